"""Energy of cards that did no work."""

from figures import recent
from gpu.terms import C, G, HELD, HOLDER, N, NO_WORK, ON, named
from parts import lines, link_of_cell, query, row, rows, to


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
