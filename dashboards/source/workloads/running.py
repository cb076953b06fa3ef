"""What runs now, by its own counters: containers, and what is outside Kubernetes."""

from parts import lines, link_of_cell, query, row, rows, to
from workloads.terms import GPU, NAMED_SINCE, NOT_NOW, ONE, ON_NODE, OUTSIDE, UNUSED, called, owned, rate, rated


def containers(built):
    built.with_row(row("Pods and containers: choose a namespace or a workload first"))
    joules = f"sum by ({ONE}) {rated('container_energy_joules')}"
    gpu = f"sum by ({ONE}) {rated('container_energy_joules', more=GPU)}"
    unused = f"sum by ({ONE}) {rated('container_energy_joules', more=UNUSED)}"
    tick = owned(lambda selector: f"wattprint_container_power_watts{{{selector}}}")
    top = f"topk(50, {joules})"
    of_top = f"and on ({ONE}) {top}"
    built.with_panel(
        rows(
            "Containers",
            "The fifty containers with the highest power, by their own counters. Without work is the part for memory"
            " that is held, GPUs that idle and contexts that are parked: a high share asks for smaller requests or"
            " fewer replicas. Cores is the CPU time that was the evidence. Energy over hours and days is in the table"
            " of workloads, ended containers included.",
            [
                ("power", "watt", top),
                ("of it GPU", "watt", f"{gpu} {of_top}"),
                ("without work", "watt", f"{unused} {of_top}"),
                ("power, last tick", "watt", f"sum by ({ONE}) {tick} {of_top}"),
                (
                    "grams an hour",
                    "massg",
                    f"sum by ({ONE}) {rated('container_emissions_grams')} * 3600 {of_top}",
                ),
                ("cores", "none", f"sum by ({ONE}) {rated('container_cpu_seconds')} {of_top}"),
            ],
            NOT_NOW,
            (24, 10),
            hidden=("container_id",),
            names={"instance": "node"},
            sort="power",
            links=[
                ("node", link_of_cell("node", "This node", {"cluster": "cluster", "node": "instance"})),
                (
                    "pod",
                    link_of_cell(
                        "workloads", "This pod", {"cluster": "cluster", "namespace": "namespace", "pod": "pod"}
                    ),
                ),
            ],
        )
    )
    built.with_panel(
        lines(
            "Power by pod, highest ten",
            "IT power of pods by their counters. Replicas that differ do different work, or sit on other hardware.",
            "watt",
            [
                query(
                    called(f"topk(10, sum by (namespace, pod) {rated('container_energy_joules')})"),
                    "{{namespace}} {{pod}}",
                )
            ],
            NOT_NOW,
            (8, 8),
        )
    )
    built.with_panel(
        lines(
            "Emissions an hour by pod, highest ten",
            "Grams of CO2 equivalent an hour of pods. Where they rise and the power doesn't, the grid got dirtier.",
            "massg",
            [
                query(
                    called(f"topk(10, sum by (namespace, pod) {rated('container_emissions_grams')}) * 3600"),
                    "{{namespace}} {{pod}}",
                )
            ],
            NOT_NOW,
            (8, 8),
            links=[to("carbon", "The grid", {})],
        )
    )
    built.with_panel(
        lines(
            "Power by state",
            "Active is power of work; idle of what was held without work (memory, GPUs that were given); parked of GPU"
            " contexts that did nothing. Much idle or parked: ask for less, or end what isn't used.",
            "watt",
            [query(f"sum by (state) {rated('container_energy_joules', 'state')}", "{{state}}")],
            NOT_NOW,
            (8, 8),
            stacked=True,
        )
    )


def outside(built):
    built.with_row(row("Outside Kubernetes"))
    one = "cluster, instance, container, container_id, runtime"
    unnamed = f"unless on (cluster, instance, container_id) {NAMED_SINCE}"
    top = f"topk(20, sum by ({one}) ({rate('container_energy_joules', OUTSIDE)} {unnamed}))"
    built.with_panel(
        rows(
            "Containers without a namespace",
            "The twenty containers of docker, podman and others with the highest power: nobody scheduled them, so"
            " nobody sees them in Kubernetes. Move them in, or give them an owner.",
            [
                ("power", "watt", top),
                (
                    "grams an hour",
                    "massg",
                    f"sum by ({one}) ({rate('container_emissions_grams', OUTSIDE)} {unnamed}) * 3600"
                    f" and on ({one}) {top}",
                ),
            ],
            "all containers are of Kubernetes, or a namespace was chosen",
            (10, 8),
            hidden=("cluster", "container_id"),
            names={"instance": "node"},
            sort="power",
            links=[("node", link_of_cell("node", "This node", {"node": "instance"}))],
        )
    )
    for kind, title, label, empty in (
        ("unit", "systemd units", "unit", "no systemd unit was seen on these nodes"),
        ("vm", "Virtual machines", "vm", "no virtual machine runs on these nodes"),
    ):
        one = f"cluster, instance, {label}"
        top = f"topk(20, sum by ({one}) ({rate(f'{kind}_energy_joules', ON_NODE)}))"
        built.with_panel(
            rows(
                f"{title}, highest twenty",
                f"{title} with the highest power; cluster and node narrow them, namespace doesn't. One that should be"
                " quiet and isn't is worth a look.",
                [
                    ("power", "watt", top),
                    (
                        "grams an hour",
                        "massg",
                        f"sum by ({one}) ({rate(f'{kind}_emissions_grams', ON_NODE)}) * 3600 and on ({one}) {top}",
                    ),
                ],
                empty,
                (7, 8),
                hidden=("cluster",),
                names={"instance": "node"},
                sort="power",
                links=[("node", link_of_cell("node", "This node", {"node": "instance"}))],
            )
        )
