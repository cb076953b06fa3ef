"""GPUs: each card, who has it, by which evidence, and what of its energy does no work."""

from figures import recent
from parts import (
    BLUE,
    ORANGE,
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
G = 'cluster=~"$cluster", instance=~"$node", gpu=~"$gpu"'
OF_NAMESPACE = f'{G}, namespace=~"$namespace"'
N = 'cluster=~"$cluster", namespace=~"$namespace"'
CARD = "cluster, instance, gpu, uuid"
NO_GPU = "no GPU is measured on these nodes: wattprint check says why"
NO_WASTE = "no GPU energy was left unused, or no GPU is measured"
# Below one hundredth a card answers queries and does nothing else.
IDLE = f"wattprint_gpu_utilization_ratio{{{G}}} < 0.01"


def build():
    built = board(
        "gpu",
        "wattprint / GPU",
        "Each card: what it draws, who has it and by which evidence, and what is held without being used.",
        [
            cluster(),
            node(),
            variable(
                "gpu",
                "GPU",
                "A card by its index on the node.",
                'label_values(wattprint_gpu_info{cluster=~"$cluster", instance=~"$node"}, gpu)',
            ),
            namespace(),
        ],
    )
    for part in (now, cards, users, waste, evidence):
        part(built)
    return built


def now(built):
    built.with_row(row("How much"))
    built.with_panel(
        number(
            "Cards",
            "Cards that are known, and of these the ones that don't answer. For a lost card see its node's kernel"
            " log (Xid) and the runbook of WattprintGpuLost.",
            "none",
            [
                query(f"count(wattprint_gpu_up{{{G}}})", "known", True),
                query(f"count(wattprint_gpu_up{{{G}}} == 0) or vector(0)", "lost", True),
            ],
            NO_GPU,
            (6, 4),
        )
    )
    built.with_panel(
        number(
            "Power",
            "Power of these cards, mean of five minutes. Compare it with the limit in the table: cards near it are"
            " throttled.",
            "watt",
            [query(f"sum(gpu:wattprint_power_watts:avg5m{{{G}}})", instant=True)],
            NO_GPU,
            (4, 4),
        )
    )
    built.with_panel(
        number(
            "Energy",
            "Energy of these cards in the last hour, day and 30 days; the last as far as the rules reach back.",
            "kwatth",
            [
                query(f"sum(gpu:wattprint_energy_kwh:increase1h{{{G}}})", "1 hour", True),
                query(f"sum({recent(f'gpu:wattprint_energy_kwh:increase1d{{{G}}}')})", "1 day", True),
                query(f"sum({recent(f'gpu:wattprint_energy_kwh:increase30d{{{G}}}')})", "30 days", True),
            ],
            NO_GPU,
            (7, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of these cards, PUE included: their part of their nodes' grams, minute by minute.",
            "massg",
            [
                query(f"sum(gpu:wattprint_emissions_grams:increase1h{{{G}}})", "1 hour", True),
                query(f"sum({recent(f'gpu:wattprint_emissions_grams:increase1d{{{G}}}')})", "1 day", True),
                query(f"sum({recent(f'gpu:wattprint_emissions_grams:increase30d{{{G}}}')})", "30 days", True),
            ],
            NO_GPU,
            (7, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )


def cards(built):
    built.with_row(row("Cards"))
    named = f"* on ({CARD}) group_left (model, mig, driver) max by ({CARD}, model, mig, driver) (wattprint_gpu_info{{{G}}})"
    built.with_panel(
        rows(
            "Cards",
            "Every card that answers: power of the last tick, share of its limit, how busy its driver says it is,"
            " memory in use, and processes that hold a context. Much memory without utilisation is a parked card.",
            [
                ("power", "watt", f"wattprint_gpu_power_watts{{{G}}} {named}"),
                (
                    "of its limit",
                    "percentunit",
                    f"wattprint_gpu_power_watts{{{G}}} / on ({CARD}) wattprint_gpu_power_limit_watts{{{G}}} {named}",
                ),
                ("utilisation", "percentunit", f"wattprint_gpu_utilization_ratio{{{G}}} {named}"),
                ("memory", "bytes", f"wattprint_gpu_memory_used_bytes{{{G}}} {named}"),
                ("clients", "none", f"wattprint_gpu_clients{{{G}}} {named}"),
                (
                    "energy 1 d",
                    "kwatth",
                    f"{recent(f'gpu:wattprint_energy_kwh:increase1d{{{G}}}')} {named}",
                ),
                (
                    "grams 1 d",
                    "massg",
                    f"{recent(f'gpu:wattprint_emissions_grams:increase1d{{{G}}}')} {named}",
                ),
            ],
            NO_GPU,
            (24, 10),
            hidden=("job",),
            names={"instance": "node"},
            sort="power",
            links=[("node", link_of_cell("node", "This node", {"cluster": "cluster", "node": "node"}))],
        )
    )
    built.with_panel(
        lines(
            "Power by card",
            "Power of each card, mean of five minutes. A card that never falls near its idle power between jobs is"
            " held by something: see who has it.",
            "watt",
            [query(f"gpu:wattprint_power_watts:avg5m{{{G}}}", "{{instance}} {{gpu}}")],
            NO_GPU,
        )
    )
    built.with_panel(
        lines(
            "Utilisation by card",
            "Share of time that a kernel ran on the card. High utilisation at low power means many small kernels:"
            " larger batches do the same work with less energy.",
            "percentunit",
            [query(f"wattprint_gpu_utilization_ratio{{{G}}}", "{{instance}} {{gpu}}")],
            "no card tells its utilisation: with MIG on, drivers don't",
        )
    )
    built.with_panel(
        lines(
            "Power as a share of the limit",
            "At 1 the card is throttled by its power limit. That is no fault (a lower limit often gives more work a"
            " joule) unless the work is urgent: then spread it.",
            "percentunit",
            [
                query(
                    f"wattprint_gpu_power_watts{{{G}}} / on ({CARD}) wattprint_gpu_power_limit_watts{{{G}}}",
                    "{{instance}} {{gpu}}",
                )
            ],
            "no card tells its limit",
        )
    )
    built.with_panel(
        lines(
            "Memory in use",
            "Memory of each card in use. Memory that stays while utilisation is nothing belongs to a parked context:"
            " ask its owner to end it.",
            "bytes",
            [query(f"wattprint_gpu_memory_used_bytes{{{G}}}", "{{instance}} {{gpu}}")],
            NO_GPU,
        )
    )


def users(built):
    built.with_row(row("Who has them"))
    built.with_panel(
        lines(
            "Power by kind of owner",
            "Who the cards' energy went to: container, unit, job, vm, system, idle (nobody had the card) and"
            " unattributed (no evidence: the limits below say why).",
            "watt",
            [
                query(
                    f"sum by (kind) (rate(wattprint_gpu_owner_energy_joules_total{{{G}}}[$__rate_interval]))",
                    "{{kind}}",
                )
            ],
            NO_GPU,
            stacked=True,
        )
    )
    built.with_panel(
        lines(
            "Power by container, the ten highest",
            "What containers have of these cards, work, idle and parked together. Follow a series to its workload.",
            "watt",
            [
                query(
                    "topk(10, sum by (namespace, pod, container)"
                    f" (rate(wattprint_gpu_container_energy_joules_total{{{OF_NAMESPACE}}}[$__rate_interval])))",
                    "{{namespace}}/{{pod}}/{{container}}",
                )
            ],
            "no container of these namespaces has a GPU",
            links=[to("workloads", "Its pod", {"namespace": "namespace", "pod": "pod"})],
        )
    )
    built.with_panel(
        rows(
            "Held by",
            "To whom the kubelet or the batch system gave each card, used or not. A card that somebody uses and"
            " nobody holds was taken around the scheduler.",
            [
                (
                    "cards",
                    "none",
                    "sum by (cluster, instance, gpu, namespace, pod, container, manager, job_id)"
                    f" (wattprint_gpu_allocated{{{OF_NAMESPACE}}})",
                )
            ],
            "no card is allocated, or nobody tells: pod-resources and job files are the sources (docs/names.md)",
            (24, 8),
            names={"instance": "node", "job_id": "job"},
            links=[
                (
                    "pod",
                    link_of_cell(
                        "workloads", "Its pod", {"cluster": "cluster", "namespace": "namespace", "pod": "pod"}
                    ),
                ),
                ("job", link_of_cell("jobs", "Its job", {"cluster": "cluster", "job": "job"})),
            ],
        )
    )


def waste(built):
    built.with_row(row("Held without work"))
    held = f"group by ({CARD}) (wattprint_gpu_allocated{{{OF_NAMESPACE}}})"
    built.with_panel(
        number(
            "Allocated and idle now",
            "Cards that are given away and whose utilisation is under 1 %, and what they draw. Ask the holder, or let"
            " the scheduler take them back.",
            "none",
            [query(f"count({IDLE} and on ({CARD}) {held}) or vector(0)", "cards", True)],
            NO_GPU,
            (4, 8),
            steps=[(None, BLUE), (1, ORANGE), (8, VERMILION)],
        )
    )
    built.with_panel(
        number(
            "Parked now",
            "Cards on which processes hold a context and nothing runs, and so draw more than a free card. Notebooks"
            " and servers without requests do that: scale them to zero.",
            "none",
            [query(f"count({IDLE} and on ({CARD}) wattprint_gpu_clients{{{G}}} > 0) or vector(0)", "cards", True)],
            NO_GPU,
            (4, 8),
            steps=[(None, BLUE), (1, ORANGE), (8, VERMILION)],
        )
    )
    unused = f"namespace:wattprint_gpu_unused_joules:increase1m{{{N}}}"
    built.with_panel(
        lines(
            "Waste by state",
            "Power of cards that namespaces held without work: idle (no context) and parked (a context that does"
            " nothing). Free cards aren't in it.",
            "watt",
            [query(f"sum by (state) ({unused}) / 60", "{{state}}")],
            NO_WASTE,
            (8, 8),
            stacked=True,
        )
    )
    built.with_panel(
        bars(
            "Waste by namespace, 1 day",
            "GPU energy of the last day that namespaces held without work, in kWh. Talk to the highest first.",
            "kwatth",
            [query(f"topk(10, sum by (namespace) (sum_over_time({unused}[1d])) / 3.6e6 > 0)", "{{namespace}}", True)],
            NO_WASTE,
            (8, 8),
            links=[to("workloads", "Its workloads", {"namespace": "namespace"})],
        )
    )
    built.with_panel(
        number(
            "Grams of waste, 1 day",
            "What held cards without work emitted in the last day, at the mean grams per kWh that the clusters were"
            " charged in it. It is what giving cards back would have saved at most.",
            "massg",
            [
                query(
                    f"sum(sum by (cluster) (sum_over_time({unused}[1d])) / 3.6e6 * on (cluster)"
                    f" ({recent(f'cluster:wattprint_emissions_grams:increase1d{{{C}}}')}"
                    f" / {recent(f'cluster:wattprint_energy_kwh:increase1d{{{C}}}')}))",
                    instant=True,
                )
            ],
            NO_WASTE,
            (6, 7),
        )
    )
    built.with_panel(
        bars(
            "Free cards' energy, 1 day",
            "Energy of the last day of cards that nobody had, by node, the ten highest. Pack work on fewer nodes and"
            " switch the others off.",
            "kwatth",
            [
                query(
                    "topk(10, sum by (instance) (sum_over_time(gpu:wattprint_idle_energy_joules:increase1m"
                    f"{{{G}}}[1d])) / 3.6e6)",
                    "{{instance}}",
                    True,
                )
            ],
            NO_GPU,
            (9, 7),
            links=[to("node", "This node", {"node": "instance"})],
        )
    )
    built.with_panel(
        note(
            "MIG",
            "A card with MIG on has one meter for all its instances. Its energy is split over them by what"
            " profiling counters say (`gpm`), else by the size of the busy instances (`mig_slice`); containers on an"
            " instance get its part. Utilisation, memory and power by instance aren't exported: drivers give no power"
            " below the card. The table of evidence says which rung is in use.",
            (9, 7),
        )
    )


def evidence(built):
    built.with_row(row("How it is known"))
    built.with_panel(
        lines(
            "Cards by evidence",
            "By what the energy of cards was split: exclusive (one owner) is exact; sm_util, gpm and mig_slice are"
            " good; memory and equal are guesses. The table beside tells what keeps a card from better.",
            "none",
            [query(f"count by (method) (wattprint_gpu_attribution_info{{{G}}})", "{{method}}")],
            NO_GPU,
            (10, 9),
            stacked=True,
        )
    )
    built.with_panel(
        rows(
            "What keeps cards from better figures",
            "Limits by cause and number of cards. Most can be lifted: docs/gpus.md says how for each.",
            [("cards", "none", f"count by (cluster, what, reason) (wattprint_gpu_limitation_info{{{G}}})")],
            "no card is kept from anything",
            (14, 9),
            sort="cards",
        )
    )
    built.with_panel(
        lines(
            "Calls to the driver that don't return",
            "Seconds for which a call has hung. The card's energy is kept for later; if it lasts for minutes, look"
            " for Xid errors and drain the node.",
            "s",
            [query(f"max by (instance, gpu) (wattprint_gpu_call_stuck_seconds{{{G}}}) > 0", "{{instance}} {{gpu}}")],
            "no call hangs",
        )
    )
    built.with_panel(
        lines(
            "Readings that failed",
            "Failed readings a second by card. Now and then is harmless; steady failures mean a sick card or a"
            " driver that was updated under way.",
            "none",
            [
                query(
                    f"sum by (instance, gpu) (rate(wattprint_gpu_errors_total{{{G}}}[$__rate_interval])) > 0",
                    "{{instance}} {{gpu}}",
                )
            ],
            "no reading failed",
        )
    )
