"""GPU: each card, who has it, how that is known, and what of its energy did no work."""

from figures import recent, tinted, windows
from parts import (
    BLUE,
    GREY,
    VERMILION,
    bars,
    board,
    cluster,
    lines,
    link_of_cell,
    namespace,
    node,
    note,
    number,
    query,
    row,
    rows,
    to,
    variable,
)

C = 'cluster=~"$cluster"'
N = f'{C}, namespace=~"$namespace"'
G = f'{C}, instance=~"$node", uuid=~"$gpu"'
HELD = f'{G}, namespace=~"$namespace"'
CARD = "cluster, instance, gpu, uuid"
ON = f"on ({CARD})"
HOLDER = f"{CARD}, namespace, pod, container, manager, job_id"
# Of cards with these names; a card that doesn't answer has no method.
NAMES = (
    f"* {ON} group_left (model, driver, mig, method) (wattprint_gpu_info{{{G}}} * {ON} group_left (method)"
    f" (wattprint_gpu_attribution_info{{{G}}} or {ON} group by ({CARD}) (wattprint_gpu_info{{{G}}})))"
)
WITH_MIG = f'and {ON} wattprint_gpu_info{{{G}, mig="on"}}'
NO_CARD = "no GPU is watched here: is NVML or a DRM driver there, and its collector on?"
NO_ENERGY = "no GPU used energy in the window, or the recording rules are missing"
NO_WORK = 0.01


def build():
    built = board(
        "gpu",
        "wattprint / GPU",
        "Each GPU: power and energy, who has it and by what evidence, and what idles, is parked, or is near its limit.",
        [
            cluster(),
            node(),
            variable(
                "gpu",
                "GPU",
                "A card by its UUID.",
                f'label_values(wattprint_gpu_info{{{C}, instance=~"$node"}}, uuid)',
            ),
            namespace().description(
                "Narrows who holds and uses cards; batch jobs and containers outside Kubernetes have none."
            ),
        ],
    )
    for part in (now, cards, users, waste, evidence, health, instances):
        part(built)
    return built


def rate(metric, selector):
    return f"rate(wattprint_{metric}_total{{{selector}}}[$__rate_interval])"


def named(expr, of="method, model, driver, mig"):
    """By card with its names, without the labels of the scrape, which recorded series don't have."""
    return f"sum by ({CARD}, {of}) ({expr} {NAMES})"


def now(built):
    built.with_row(row("How much"))
    built.with_panel(
        number(
            "Cards, and cards that don't answer",
            "GPUs that wattprint watches, and those that gave no answer in the last tick. Lost ones: look at the"
            " kernel's log of the node, drain it and reset the card.",
            "none",
            [
                query(f"count(wattprint_gpu_up{{{G}}})", "cards", True),
                query(f"count(wattprint_gpu_up{{{G}}} == 0) or count(wattprint_gpu_up{{{G}}}) * 0", "lost", True),
            ],
            NO_CARD,
        )
    )
    built.with_panel(
        number(
            "Power",
            "Power of these cards, mean of five minutes. Cards draw power without work, too: see Waste for how much of"
            " it that is.",
            "watt",
            [query(f"sum(gpu:wattprint_power_watts:avg5m{{{G}}})", instant=True)],
            NO_ENERGY,
        )
    )
    built.with_panel(
        number(
            "Energy",
            "Energy of these cards in the last hour, day and 30 days. Compare it with the energy without work below.",
            "kwatth",
            windows("gpu", "wattprint_energy_kwh", G),
            NO_ENERGY,
            (8, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of CO2 equivalent of these cards, PUE included. Training that can wait belongs in"
            " cleaner hours.",
            "massg",
            windows("gpu", "wattprint_emissions_grams", G),
            "no emissions yet: no factor of the grid is known, or the recording rules are missing",
            (8, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )


def cards(built):
    built.with_row(row("Cards"))
    built.with_panel(
        rows(
            "Cards",
            "Each card. Busy is what the driver says, clients are processes with a context, holders are containers and"
            " jobs that the card was given to. Method is the evidence by which its energy was split. Holders and not"
            " busy: see Waste. Power at the limit: it is throttled. Follow the links for one card, or its node.",
            [
                ("power", "watt", named(f"wattprint_gpu_power_watts{{{G}}}")),
                ("limit", "watt", named(f"wattprint_gpu_power_limit_watts{{{G}}}")),
                ("busy", "percentunit", named(f"wattprint_gpu_utilization_ratio{{{G}}}")),
                ("memory", "bytes", named(f"wattprint_gpu_memory_used_bytes{{{G}}}")),
                ("clients", "none", named(f"wattprint_gpu_clients{{{G}}}")),
                ("holders", "none", named(f"count by ({CARD}) (wattprint_gpu_allocated{{{HELD}}})")),
                ("up", "none", named(f"wattprint_gpu_up{{{G}}}")),
                ("energy 1 h", "kwatth", named(f"gpu:wattprint_energy_kwh:increase1h{{{G}}}")),
                ("energy 1 d", "kwatth", named(recent(f"gpu:wattprint_energy_kwh:increase1d{{{G}}}"))),
                ("grams 1 d", "massg", named(recent(f"gpu:wattprint_emissions_grams:increase1d{{{G}}}"))),
            ],
            NO_CARD,
            (24, 10),
            hidden=("cluster",),
            names={"instance": "node"},
            sort="power",
            links=[
                ("node", link_of_cell("node", "This node", {"node": "instance"})),
                ("uuid", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"})),
            ],
        )
    )
    built.with_panel(
        lines(
            "Power by card, highest ten",
            "Power of single cards, the ten highest at each time. Saw teeth in training are waits for data: feed the"
            " card faster, or take fewer cards.",
            "watt",
            [
                query(
                    f"topk(10, sum by (instance, gpu) (gpu:wattprint_power_watts:avg5m{{{G}}}))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            NO_ENERGY,
            (8, 8),
            links=[to("node", "This node", {"node": "instance"})],
        )
    )
    built.with_panel(
        lines(
            "Busy, least busy ten of those that are given away",
            "Share of time that a kernel ran, as the driver says, on cards that a container or job was given. It says"
            " nothing of how much of the card was used. Near zero for hours: ask the holder for it.",
            "percentunit",
            [
                query(
                    "bottomk(10, max by (instance, gpu)"
                    f" (wattprint_gpu_utilization_ratio{{{G}}} and {ON} wattprint_gpu_allocated{{{HELD}}}))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            "no card is given to a container or job, or the kubelet's or Slurm's word on it can't be read",
            (8, 8),
        )
    )
    built.with_panel(
        lines(
            "Power, of its limit, highest ten",
            "A card near 100 % is held back by its limit: more work on it takes longer instead of more power. A lower"
            " limit may save energy for little time: try one, and look at the joules per unit of work.",
            "percentunit",
            [
                query(
                    f"topk(10, max by (instance, gpu) (wattprint_gpu_power_watts{{{G}}}"
                    f" / {ON} (wattprint_gpu_power_limit_watts{{{G}}} > 0)))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            "no card tells its power limit",
            (8, 8),
            links=[to("models", "Joules per unit of work", {})],
        )
    )


def users(built):
    built.with_row(row("Who"))
    built.with_panel(
        lines(
            "Power by container, highest ten",
            "Power of these cards by the container that it went to, all states together. One that you don't know:"
            " follow it to its workload.",
            "watt",
            [
                query(
                    f"topk(10, sum by (namespace, pod, container) ({rate('gpu_container_energy_joules', HELD)}))",
                    "{{namespace}} {{pod}} {{container}}",
                )
            ],
            "no container used or held one of these cards",
            stacked=True,
            links=[to("workloads", "Its namespace", {"namespace": "namespace"})],
        )
    )
    built.with_panel(
        lines(
            "Power by kind of owner",
            "Who these cards' power went to: container, unit, job, vm, system; idle is cards that nobody had;"
            " unattributed is work that no owner was found for, which the evidence below explains.",
            "watt",
            [query(f"sum by (kind) ({rate('gpu_owner_energy_joules', G)})", "{{kind}}")],
            NO_CARD,
            stacked=True,
        )
    )
    drawn = f"sum by ({HOLDER}) ({rate('gpu_container_energy_joules', HELD)})"
    given = f"max by ({HOLDER}) (wattprint_gpu_allocated{{{HELD}}})"
    built.with_panel(
        rows(
            "Who holds and uses which card",
            "Given 1: the kubelet or the batch system gave the card, or a part of it, to this container or job. Power"
            " without given: a container reached a card that nobody gave it. Power of jobs is on the dashboard of"
            " jobs. Busy is of the whole card.",
            [
                ("given", "none", given),
                ("power", "watt", drawn),
                (
                    "busy",
                    "percentunit",
                    f"({given} or {drawn} * 0 + 1) * {ON} group_left () wattprint_gpu_utilization_ratio{{{G}}}",
                ),
            ],
            "no container and no job holds or uses one of these cards",
            (24, 9),
            hidden=("cluster",),
            names={"instance": "node"},
            sort="power",
            links=[
                ("namespace", link_of_cell("workloads", "This namespace", {"namespace": "namespace"})),
                ("pod", link_of_cell("workloads", "This pod", {"namespace": "namespace", "pod": "pod"})),
                ("job_id", link_of_cell("jobs", "This job", {"manager": "manager", "job": "job_id"})),
                ("uuid", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"})),
            ],
        )
    )


def waste(built):
    built.with_row(row("Waste: power without work"))
    unused = f"namespace:wattprint_gpu_unused_joules:increase1m{{{N}}}"
    built.with_panel(
        lines(
            "Idle and parked, by namespace",
            "Power of cards that a namespace holds without work (idle), and of its contexts that do none (parked),"
            " whatever node and card is chosen. End notebooks and servers that nobody uses.",
            "watt",
            [query(f"topk(10, sum by (namespace, state) ({unused}) / 60 > 0)", "{{namespace}} {{state}}")],
            "no namespace holds a GPU without work",
            (8, 8),
        )
    )
    day = f"sum by (cluster, namespace) (sum_over_time({unused}[23h59m59s999ms] offset 1m)) / 3.6e6"

    def of(state):
        series = f'namespace:wattprint_gpu_unused_joules:increase1m{{{N}, state="{state}"}}'
        return f"sum by (cluster, namespace) (sum_over_time({series}[23h59m59s999ms] offset 1m)) / 3.6e6"

    factor = (
        f"(sum by (cluster) ({recent(f'cluster:wattprint_emissions_grams:increase1d{{{C}}}')})"
        f" / sum by (cluster) ({recent(f'cluster:wattprint_energy_kwh:increase1d{{{C}}}')} > 0))"
    )
    built.with_panel(
        rows(
            "Namespaces that hold GPUs without work, 1 day",
            "GPU energy of the last day that did no work, and its grams at what the cluster's kilowatt-hours were"
            " charged on average that day, PUE included. Show it to the teams, with a way to give cards back.",
            [
                ("idle", "kwatth", of("idle")),
                ("parked", "kwatth", of("parked")),
                ("grams", "massg", f"{day} * on (cluster) group_left () {factor}"),
            ],
            "no namespace held a GPU without work in the last day",
            (8, 8),
            sort="grams",
            links=[
                (
                    "namespace",
                    link_of_cell("workloads", "Its workloads", {"cluster": "cluster", "namespace": "namespace"}),
                )
            ],
        )
    )
    built.with_panel(
        lines(
            "Cards that nobody has, by node",
            "Power of cards without a holder and without clients, the ten nodes with most. Steady for hours: switch"
            " nodes off, or let waiting work in.",
            "watt",
            [
                query(
                    f"topk(10, sum by (instance) (gpu:wattprint_idle_energy_joules:increase1m{{{G}}}) / 60 > 0)",
                    "{{instance}}",
                )
            ],
            "every card has somebody, or none is watched",
            (8, 8),
            links=[to("node", "This node", {"node": "instance"})],
        )
    )
    idle = f"(wattprint_gpu_utilization_ratio{{{G}}} < {NO_WORK})"
    mean = f"avg_over_time(wattprint_gpu_utilization_ratio{{{G}}}[1h])"
    held = f"max by ({HOLDER}) (wattprint_gpu_allocated{{{HELD}}}) * {ON} group_left ()"
    built.with_panel(
        rows(
            "Given away and idle now",
            "Cards that were given to somebody and are less than 1 % busy now, with how busy they were in the last"
            " hour. Low in both: ask the holder, or let a controller take it back.",
            [
                ("power", "watt", f"{held} (wattprint_gpu_power_watts{{{G}}} and {ON} {idle})"),
                ("busy 1 h", "percentunit", f"{held} ({mean} and {ON} {idle})"),
            ],
            "every card that is given away works, or the kubelet's or Slurm's word on it can't be read",
            (12, 8),
            hidden=("cluster",),
            names={"instance": "node"},
            sort="power",
            links=[
                ("pod", link_of_cell("workloads", "This pod", {"namespace": "namespace", "pod": "pod"})),
                ("uuid", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"})),
            ],
        )
    )
    parked = f"(wattprint_gpu_clients{{{G}}} > 0 and {ON} ({mean} < {NO_WORK}))"
    built.with_panel(
        rows(
            "Contexts without work",
            "Cards on which processes hold contexts, and that were less than 1 % busy over the last hour. The context"
            " keeps memory, and the card from its deepest sleep: unload the model, or end the process.",
            [
                ("clients", "none", named(parked, "model")),
                ("power", "watt", named(f"(wattprint_gpu_power_watts{{{G}}} and {ON} {parked})", "model")),
                ("memory", "bytes", named(f"(wattprint_gpu_memory_used_bytes{{{G}}} and {ON} {parked})", "model")),
            ],
            "no card has contexts and no work",
            (12, 8),
            hidden=("cluster",),
            names={"instance": "node"},
            sort="memory",
            links=[("uuid", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"}))],
        )
    )


def evidence(built):
    built.with_row(row("How it is known"))
    built.with_panel(
        bars(
            "Cards by method",
            "Evidence by which energy was split in the last tick, best first: exclusive (one owner), sm_util (time"
            " that each process kept the card busy), gpm and mig_slice (MIG), memory, equal. Many by memory or equal:"
            " the limits beside this say what better evidence needs.",
            "none",
            [query(f"count by (method) (wattprint_gpu_attribution_info{{{G}}})", "{{method}}", True)],
            NO_CARD,
            (8, 8),
        )
    )
    built.with_panel(
        rows(
            "Limits",
            "What keeps cards from better figures, and why, with the number of cards. Most are a right or a driver"
            " version: run wattprint check on the node.",
            [("cards", "none", f"count by (what, reason) (wattprint_gpu_limitation_info{{{G}}})")],
            "nothing limits the figures of these cards, or none is watched",
            (8, 8),
            sort="cards",
            links=[("what", link_of_cell("self", "Whether figures can be trusted", {}))],
        )
    )
    nobody = f'{G}, kind="unattributed"'
    built.with_panel(
        number(
            "Power that no owner was found for",
            "Work on these cards by processes that nobody could name. Above a few percent of the power: hostPID is"
            " missing, or the driver doesn't tell clients.",
            "watt",
            [query(f"sum({rate('gpu_owner_energy_joules', nobody)})", instant=True)],
            "all power of these cards has an owner, or none is watched",
            (4, 8),
        )
    )
    built.with_panel(
        number(
            "Nodes whose drivers' pids aren't ours",
            "Nodes where the pids that GPU drivers give aren't those of wattprint's procfs: nobody can be told there."
            " Give the daemon the host's pid namespace (hostPID).",
            "none",
            [
                query(
                    f'count(wattprint_gpu_pid_namespace_ok{{{C}, instance=~"$node"}} == 0)'
                    f' or count(wattprint_gpu_pid_namespace_ok{{{C}, instance=~"$node"}}) * 0',
                    instant=True,
                )
            ],
            "no node with GPU clients",
            (4, 8),
            steps=[(None, BLUE), (1, VERMILION)],
        )
    )


def health(built):
    built.with_row(row("Health"))
    built.with_panel(
        rows(
            "Lost cards",
            "Cards that gave no answer in the last tick. Their counters stand still; the others go on. Read the"
            " kernel's log for Xid, drain the node and reset the card.",
            [("up", "none", named(f"(wattprint_gpu_up{{{G}}} == 0)", "model, driver"))],
            "every card answers, or none is watched",
            (8, 7),
            hidden=("cluster",),
            names={"instance": "node"},
            links=[("node", link_of_cell("node", "This node", {"node": "instance"}))],
        )
    )
    built.with_panel(
        lines(
            "Calls to drivers that are stuck",
            "For how long a call hasn't returned, the five longest; 0 is none. Seconds and rising: the card or its"
            " driver hangs; drain the node.",
            "s",
            [
                query(
                    f"topk(5, max by (instance, gpu) (wattprint_gpu_call_stuck_seconds{{{G}}}))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            NO_CARD,
            (8, 7),
        )
    )
    built.with_panel(
        lines(
            "Failed readings an hour",
            "Readings that failed and calls that hung, an hour, of the five worst cards. Now and then is harmless; a"
            " steady rate is a card that is about to be lost.",
            "short",
            [
                query(
                    f"topk(5, sum by (instance, gpu) ({rate('gpu_errors', G)})) * 3600",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            NO_CARD,
            (8, 7),
        )
    )


def instances(built):
    built.with_row(row("MIG"))
    built.with_panel(
        tinted(
            lines(
                "Power of cards with MIG, by container",
                "Power of whole cards with MIG by the container that it went to, and what nobody has of them: free or"
                " unattributed. Free for hours: larger or fewer instances would do.",
                "watt",
                [
                    query(
                        "topk(10, sum by (namespace, pod, container)"
                        f" ({rate('gpu_container_energy_joules', HELD)} {WITH_MIG}))",
                        "{{namespace}} {{pod}} {{container}}",
                    ),
                    query(
                        f"sum by (kind) ({rate('gpu_owner_energy_joules', nobodys())} {WITH_MIG})",
                        "{{kind}}",
                    ),
                ],
                "no card has MIG on",
                (9, 9),
                stacked=True,
            ),
            {"idle": GREY, "unattributed": VERMILION},
        )
    )
    built.with_panel(
        rows(
            "Cards with MIG",
            "Cards that are divided. Holders are containers and jobs with an instance, clients are processes on any of"
            " them. Busy is empty where the driver gives none for a divided card.",
            [
                ("power", "watt", named(f"(wattprint_gpu_power_watts{{{G}}} {WITH_MIG})", "method, model")),
                ("busy", "percentunit", named(f"(wattprint_gpu_utilization_ratio{{{G}}} {WITH_MIG})", "method, model")),
                ("memory", "bytes", named(f"(wattprint_gpu_memory_used_bytes{{{G}}} {WITH_MIG})", "method, model")),
                ("clients", "none", named(f"(wattprint_gpu_clients{{{G}}} {WITH_MIG})", "method, model")),
                (
                    "holders",
                    "none",
                    named(f"(count by ({CARD}) (wattprint_gpu_allocated{{{HELD}}}) {WITH_MIG})", "method, model"),
                ),
            ],
            "no card has MIG on",
            (9, 9),
            hidden=("cluster",),
            names={"instance": "node"},
            sort="power",
            links=[("uuid", link_of_cell("gpu", "This card", {"node": "instance", "gpu": "uuid"}))],
        )
    )
    built.with_panel(
        note(
            "What can be seen of an instance",
            "The hardware counts energy for the **whole card** only: there is no power, energy or limit of an instance,"
            " and none is made up here.\n\nThe card's energy is split: **gpm** (Hopper and newer) by how busy each"
            " instance kept its multiprocessors, **mig_slice** elsewhere by the size of the instances that hold a"
            " process, whether they work or not. Several owners within one instance are told apart by memory.\n\nIdle"
            " energy goes to whom instances were given to, by size; instances that nobody holds are idle.",
            (6, 9),
        )
    )


def nobodys():
    return f'{G}, kind=~"idle|unattributed"'
