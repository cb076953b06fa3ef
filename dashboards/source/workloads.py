"""Workloads: from namespaces over their controllers to pods and containers, and what runs outside Kubernetes."""

from figures import equivalences, recent, sources, tinted, windows
from parts import (
    BLUE,
    ORANGE,
    PURPLE,
    board,
    cluster,
    lines,
    link_of_cell,
    namespace,
    number,
    query,
    row,
    rows,
    to,
    variable,
)

C = 'cluster=~"$cluster"'
N = 'cluster=~"$cluster", namespace=~"$namespace"'
W = f'{N}, owner_name=~"$workload"'
# Series of one container know no controller: that is on its info.
P = f'{N}, pod=~"$pod"'
OF_WORKLOAD = f'and on (cluster, instance, container_id, pod) wattprint_container_info{{{P}, owner_name=~"$workload"}}'
WHO = "cluster, namespace, owner_kind, owner_name, phase, model, variant"
CONTAINER = "cluster, instance, namespace, pod, container, container_id"
NONE = "no container of these ran in the window, or the recording rules are younger than that"
NOW = "no container of these runs now"


def build():
    built = board(
        "workloads",
        "wattprint / Workloads",
        "Energy and emissions of namespaces, of the controllers in them, and of single pods and containers.",
        [
            cluster(),
            namespace(),
            variable(
                "workload",
                "Workload",
                "The top controller of pods (Deployment, StatefulSet, Job ...) by name.",
                f"label_values(workload:wattprint_energy_joules:increase1m{{{N}}}, owner_name)",
            ),
            variable(
                "pod",
                "Pod",
                "Narrows the panels of pods and containers only.",
                f'label_values(wattprint_container_info{{{N}, owner_name=~"$workload"}}, pod)',
            ),
        ],
    )
    for part in (now, namespaces, workloads, containers, outside):
        part(built)
    return built


def now(built):
    built.with_row(row("How much"))
    built.with_panel(
        number(
            "Power",
            "IT power of these workloads, mean of five minutes. If it doesn't follow the load, look at the workloads"
            " below for what is held without being used.",
            "watt",
            [query(f"sum(workload:wattprint_power_watts:avg5m{{{W}}})", instant=True)],
            NONE,
        )
    )
    built.with_panel(
        number(
            "Energy",
            "IT energy of these workloads, containers that ended included, however short they lived. The 30 days"
            " are only partly known while the rules are younger.",
            "kwatth",
            windows("workload", "wattprint_energy_kwh", W),
            NONE,
            (8, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of CO2 equivalent, PUE included. They fall with the energy, and with the grid's"
            " intensity in the hours in which the work runs.",
            "massg",
            windows("workload", "wattprint_emissions_grams", W),
            NONE,
            (8, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )
    built.with_panel(
        number(
            "Share of the cluster's energy, 1 day",
            "These workloads' part of all energy that was measured in the last day, idle nodes included. Small"
            " shares that should be large hint at energy that is idle or unattributed.",
            "percentunit",
            [
                query(
                    f"sum({recent(f'workload:wattprint_energy_kwh:increase1d{{{W}}}')})"
                    f" / sum({recent(f'cluster:wattprint_energy_kwh:increase1d{{{C}}}')})",
                    instant=True,
                )
            ],
            NONE,
            decimals=1,
            links=[to("fleet", "All clusters", {})],
        )
    )
    built.with_panel(
        number(
            "Emissions of 30 days are as much as",
            "The same grams in things that people know, to get a feeling for them; not for reports. " + sources(),
            "short",
            equivalences(f"sum({recent(f'workload:wattprint_emissions_grams:increase30d{{{W}}}')})"),
            NONE,
            (24, 4),
            decimals=1,
        )
    )


def namespaces(built):
    built.with_row(row("Namespaces"))
    built.with_panel(
        lines(
            "Power by namespace",
            "IT power by namespace; the one without a name is containers outside Kubernetes. A step without a"
            " release or a new user is worth a question.",
            "watt",
            [query(f"sum by (namespace) (namespace:wattprint_power_watts:avg5m{{{N}}})", "{{namespace}}")],
            NONE,
            stacked=True,
        )
    )
    built.with_panel(
        lines(
            "Power by component",
            "What these namespaces have of CPU, memory and GPU. Where the GPU's part is large, its use matters more"
            " than anything else: see the GPU dashboard.",
            "watt",
            [query(f"sum by (component) (namespace:wattprint_power_watts:avg5m{{{N}}})", "{{component}}")],
            NONE,
            stacked=True,
            links=[to("gpu", "GPUs", {})],
        )
    )
    unused = f"sum by (cluster, namespace) (sum_over_time(namespace:wattprint_gpu_unused_joules:increase1m{{{N}}}[1d]))"
    built.with_panel(
        rows(
            "Namespaces",
            "Energy and emissions by namespace, the GPU energy of the last day that did no work (cards held idle,"
            " contexts parked), and, where a budget is recorded, how much of 30 days' grams is used and how fast it"
            " burns (1 spends it exactly). Above 1, find the workload below.",
            [
                ("power", "watt", f"sum by (cluster, namespace) (namespace:wattprint_power_watts:avg5m{{{N}}})"),
                ("energy 1 d", "kwatth", recent(f"namespace:wattprint_energy_kwh:increase1d{{{N}}}")),
                ("grams 1 h", "massg", f"namespace:wattprint_emissions_grams:increase1h{{{N}}}"),
                ("grams 1 d", "massg", recent(f"namespace:wattprint_emissions_grams:increase1d{{{N}}}")),
                ("grams 30 d", "massg", recent(f"namespace:wattprint_emissions_grams:increase30d{{{N}}}")),
                ("GPU without work 1 d", "kwatth", f"{unused} / 3.6e6"),
                (
                    "budget used",
                    "percentunit",
                    recent(f"namespace:wattprint_carbon_budget_used:ratio30d{{{N}}}"),
                ),
                ("burn 1 h", "none", f"namespace:wattprint_carbon_budget_burn:ratio1h{{{N}}}"),
            ],
            NONE,
            (24, 8),
            sort="grams 1 d",
            links=[
                (
                    "namespace",
                    link_of_cell(
                        "workloads", "Workloads of this namespace", {"cluster": "cluster", "namespace": "namespace"}
                    ),
                )
            ],
        )
    )


def workloads(built):
    built.with_row(row("Workloads"))
    top = f"topk(20, {recent(f'workload:wattprint_emissions_grams:increase1d{{{W}}}')})"
    of_top = f"and on ({WHO}) {top}"
    built.with_panel(
        rows(
            "Workloads that emit most",
            "The twenty controllers with the highest emissions of the last day. Follow the link to their pods; ask"
            " whether they must run now, here and at this size.",
            [
                ("power", "watt", f"sum by ({WHO}) (workload:wattprint_power_watts:avg5m{{{W}}}) {of_top}"),
                ("grams 1 d", "massg", top),
                ("energy 1 d", "kwatth", recent(f"workload:wattprint_energy_kwh:increase1d{{{W}}}") + f" {of_top}"),
                (
                    "grams 30 d",
                    "massg",
                    recent(f"workload:wattprint_emissions_grams:increase30d{{{W}}}") + f" {of_top}",
                ),
            ],
            NONE,
            (24, 9),
            names={"owner_kind": "kind", "owner_name": "workload"},
            sort="grams 1 d",
            links=[
                (
                    "workload",
                    link_of_cell(
                        "workloads",
                        "Its pods",
                        {"cluster": "cluster", "namespace": "namespace", "workload": "workload"},
                    ),
                ),
                (
                    "model",
                    link_of_cell("models", "Grams per unit of work of this model", {"model": "model"}),
                ),
            ],
        )
    )
    built.with_panel(
        lines(
            "Power of the ten highest",
            "IT power over time of the controllers that draw most at each moment. Work that comes in waves may fit"
            " into cleaner hours.",
            "watt",
            [
                query(
                    f"topk(10, sum by (namespace, owner_name) (workload:wattprint_power_watts:avg5m{{{W}}}))",
                    "{{namespace}}/{{owner_name}}",
                )
            ],
            NONE,
        )
    )
    built.with_panel(
        tinted(
            lines(
                "Emissions an hour: location-based, market-based, embodied",
                "Location-based and embodied grams of these workloads; market-based ones are known for whole"
                " namespaces only and appear where market.* is configured. Never add the two views of electricity.",
                "massg",
                [
                    query(f"sum(workload:wattprint_emissions_grams:increase1m{{{W}}}) * 60", "location-based"),
                    query(f"sum(namespace:wattprint_market_emissions_grams:increase1m{{{N}}}) * 60", "market-based"),
                    query(f"sum(workload:wattprint_embodied_emissions_grams:increase1m{{{W}}}) * 60", "embodied"),
                ],
                NONE,
            ),
            {"location-based": BLUE, "market-based": ORANGE, "embodied": PURPLE},
        )
    )


def containers(built):
    built.with_row(row("Pods and containers"))
    built.with_panel(
        lines(
            "Power by pod, the ten highest",
            "Power of single pods, mean of the last tick of each node. One that differs much from its siblings gets"
            " other work, or runs on another kind of node.",
            "watt",
            [
                query(
                    f"topk(10, sum by (namespace, pod) (wattprint_container_power_watts{{{P}}} {OF_WORKLOAD}))",
                    "{{namespace}}/{{pod}}",
                )
            ],
            NOW,
        )
    )
    built.with_panel(
        lines(
            "CPU time by pod, the ten highest",
            "CPU seconds a second: the evidence by which CPU energy is shared out. Pods with the same CPU time get"
            " the same CPU energy, whatever their instructions cost.",
            "none",
            [
                query(
                    "topk(10, sum by (namespace, pod)"
                    f" (rate(wattprint_container_cpu_seconds_total{{{P}}}[$__rate_interval]) {OF_WORKLOAD}))",
                    "{{namespace}}/{{pod}}",
                )
            ],
            NOW,
        )
    )
    built.with_panel(
        rows(
            "Containers",
            "The 30 containers that draw most now, with energy and grams since each was first seen. One that ended"
            " stays for some minutes. Follow the node to see what else runs there.",
            [
                (
                    "power",
                    "watt",
                    f"topk(30, sum by ({CONTAINER}) (wattprint_container_power_watts{{{P}}} {OF_WORKLOAD}))",
                ),
                (
                    "energy",
                    "joule",
                    f"sum by ({CONTAINER}) (wattprint_container_energy_joules_total{{{P}}} {OF_WORKLOAD})"
                    f" and on ({CONTAINER}) topk(30, sum by ({CONTAINER})"
                    f" (wattprint_container_power_watts{{{P}}} {OF_WORKLOAD}))",
                ),
                (
                    "grams",
                    "massg",
                    f"sum by ({CONTAINER}) (wattprint_container_emissions_grams_total{{{P}}} {OF_WORKLOAD})"
                    f" and on ({CONTAINER}) topk(30, sum by ({CONTAINER})"
                    f" (wattprint_container_power_watts{{{P}}} {OF_WORKLOAD}))",
                ),
            ],
            NOW,
            (24, 10),
            names={"instance": "node"},
            sort="power",
            links=[("node", link_of_cell("node", "This node", {"cluster": "cluster", "node": "node"}))],
        )
    )


def outside(built):
    built.with_row(row("Outside Kubernetes"))
    built.with_panel(
        lines(
            "Containers without a namespace",
            "Containers of docker, podman and others that no pod owns, the ten highest. On Kubernetes nodes they"
            " are most often leftovers: remove them.",
            "watt",
            [
                query(
                    'topk(10, sum by (instance, container, container_id) (wattprint_container_power_watts{cluster=~"$cluster",'
                    ' namespace=~"$namespace", namespace="", pod=""}))',
                    "{{instance}} {{container}} {{container_id}}",
                )
            ],
            "no container runs outside of pods, or another namespace is chosen",
            (8, 8),
        )
    )
    built.with_panel(
        lines(
            "Services",
            "systemd units, the ten highest over all nodes. What the node's own software costs: agents, runtimes,"
            " log shippers.",
            "watt",
            [query(f"topk(10, sum by (unit) (wattprint_unit_power_watts{{{C}}}))", "{{unit}}")],
            "no systemd unit is known: in a container without the host's cgroups none can be seen",
            (8, 8),
        )
    )
    built.with_panel(
        lines(
            "Virtual machines",
            "Virtual machines by what they draw on their hosts, the ten highest. wattprint inside of a machine can"
            " only model what is seen here.",
            "watt",
            [query(f"topk(10, sum by (vm) (wattprint_vm_power_watts{{{C}}}))", "{{vm}}")],
            "no virtual machine runs on these nodes",
            (8, 8),
        )
    )
