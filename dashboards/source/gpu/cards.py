"""The cards: what they draw, and who has them."""

from figures import recent, windows
from gpu.terms import CARD, G, HELD, HOLDER, NO_CARD, NO_ENERGY, ON, named, rate
from parts import lines, link_of_cell, number, query, row, rows, to


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
