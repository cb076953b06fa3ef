"""How far figures can be trusted: nodes, meters, and what is missing."""

from figures import recent
from parts import BLUE, ORANGE, VERMILION, lines, link_of_cell, number, query, row, rows, to
from wattprint_self.terms import C, N, NO_NODE


def trust(built):
    built.with_row(row("Can the figures be trusted?"))
    known = f"group by (cluster, instance) (last_over_time(wattprint_build_info{{{N}}}[1h]))"
    built.with_panel(
        number(
            "Nodes",
            "Nodes that answer, and those that did within the last hour but don't now. Lost ones: look at the"
            " daemon's log and at Prometheus' targets.",
            "none",
            [
                query(f"count(wattprint_build_info{{{N}}})", "answer", True),
                query(
                    f"count({known} unless on (cluster, instance) wattprint_build_info{{{N}}}) or vector(0)",
                    "lost",
                    True,
                ),
            ],
            NO_NODE,
            links=[to("node", "A node", {})],
        )
    )
    built.with_panel(
        number(
            "Oldest sample",
            "Age of the oldest last sample. Above some scrape intervals, a daemon stands still: its counters don't"
            " move and the energy meanwhile may be lost. Look at Tick, and at stuck calls.",
            "s",
            [query(f"max(time() - wattprint_sample_timestamp_seconds{{{N}}})", instant=True)],
            NO_NODE,
            steps=[(None, BLUE), (60, ORANGE), (300, VERMILION)],
            decimals=1,
        )
    )
    owners = f"sum by (cluster, instance, component) (wattprint_node_owner_energy_joules_total{{{N}}})"
    nodes = f"sum by (cluster, instance, component) (wattprint_node_energy_joules_total{{{N}}})"
    built.with_panel(
        number(
            "Owners less node",
            "Energy of all owners less energy of the node, on the node where it differs most. Every joule has an"
            " owner, so this is 0 but for rounding of a scrape's decimals. Anything else is a fault: report it.",
            "joule",
            # A scrape's decimals leave some picojoules, which nobody needs to see.
            [query(f"max(round(abs({owners} - {nodes}), 0.000001))", instant=True)],
            NO_NODE,
            steps=[(None, BLUE), (0.01, ORANGE), (1, VERMILION)],
            decimals=3,
        )
    )
    kinds = "cluster:wattprint_owner_energy_joules:increase1m"
    unowned = f'sum(sum_over_time({kinds}{{{C}, kind="unattributed"}}[59m59s999ms] offset 1m))'
    built.with_panel(
        number(
            "Unattributed, 1 hour",
            "Share of the last hour's energy of these clusters that no owner was found for. Above a twentieth: see"
            " Unattributed by reason.",
            "percentunit",
            [query(f"{unowned} / sum(sum_over_time({kinds}{{{C}}}[59m59s999ms] offset 1m))", instant=True)],
            "nothing recorded in the last hour: are the recording rules there?",
            steps=[(None, BLUE), (0.05, ORANGE), (0.2, VERMILION)],
            decimals=1,
        )
    )
    built.with_panel(
        number(
            "Collectors that fail",
            "Collectors that didn't get all that they looked for in the last tick, on all nodes. See Collectors:"
            " nvml fails by design on nodes without NVIDIA's driver.",
            "none",
            [query(f"count(wattprint_collector_success{{{N}}} == 0) or vector(0)", instant=True)],
            NO_NODE,
        )
    )
    built.with_panel(
        number(
            "Rules cover",
            "Share of the last day and 30 days that the recording rules know of, of the worst cluster. Below 1:"
            " Prometheus or its rules stood still, or are younger; sums over these windows are too low.",
            "percentunit",
            [
                query(f"min({recent(f'cluster:wattprint_covered:ratio1d{{{C}}}')})", "1 day", True),
                query(f"min({recent(f'cluster:wattprint_covered:ratio30d{{{C}}}')})", "30 days", True),
            ],
            "the recording rules haven't run for ten minutes yet",
            steps=[(None, VERMILION), (0.5, ORANGE), (0.98, BLUE)],
            decimals=1,
        )
    )


def sources(built):
    built.with_row(row("Where the figures come from"))
    success = f"wattprint_collector_success{{{N}}}"
    built.with_panel(
        rows(
            "Collectors",
            "Share of nodes on which each collector got all that it looked for, nodes on which it didn't, and its"
            " slowest tick. On nodes without NVIDIA's driver nvml fails by design: switch it off there, or leave it.",
            [
                ("succeed", "percentunit", f"avg by (collector) ({success})"),
                ("nodes failing", "none", f"count by (collector) ({success} == 0)"),
                ("slowest", "s", f"max by (collector) (wattprint_collector_duration_seconds{{{N}}})"),
            ],
            NO_NODE,
            (8, 9),
            sort="nodes failing",
        )
    )
    built.with_panel(
        rows(
            "Why collectors fail",
            "The last error of each collector that fails, with the number of nodes that say the same. wattprint"
            " check on such a node says what to do. For nvml, no driver is the normal state of a node without"
            " NVIDIA's GPUs.",
            [("nodes", "none", f"count by (collector, reason) (wattprint_collector_last_error_info{{{N}}})")],
            "no collector fails",
            (8, 9),
            sort="nodes",
        )
    )
    built.with_panel(
        rows(
            "Where collectors fail",
            "Up to a hundred nodes with a collector that fails; nvml is left out. Follow the link to the node's"
            " meters.",
            [
                (
                    "failing",
                    "none",
                    "topk(100, count by (instance, collector)"
                    f' (wattprint_collector_success{{{N}, collector!="nvml"}} == 0))',
                )
            ],
            "no collector but nvml fails",
            (8, 9),
            names={"instance": "node"},
            links=[("node", link_of_cell("node", "This node", {"node": "instance"}))],
        )
    )
    named = (
        "* on (cluster, instance, meter, domain, device) group_left (quality, reason)"
        f" wattprint_meter_info{{{N}}}"
    )
    by = "by (meter, domain, quality, reason)"
    built.with_panel(
        rows(
            "Meters",
            "Meters by reader, domain and quality, why they are used or not, and how many are up. Modelled says that"
            " nothing better could be read: wattprint check names the missing right or module. Down: the last value"
            " was not believable, or couldn't be read.",
            [
                ("meters", "none", f"count {by} (wattprint_meter_info{{{N}}})"),
                ("up", "none", f"sum {by} (wattprint_meter_up{{{N}}} {named})"),
            ],
            "no meter: are the collectors rapl, hwmon, nvml, drm on?",
            (14, 9),
            sort="meters",
        )
    )
    built.with_panel(
        lines(
            "Resets and wraps of meters",
            "Times that a meter's counter jumped, so that an interval was left out (reset), or passed its end (wrap;"
            " normal for RAPL). Many resets: a driver is reloaded, or the meter is broken.",
            "none",
            [
                query(
                    f"sum by (meter, domain) (increase(wattprint_meter_resets_total{{{N}}}[$__rate_interval]))",
                    "{{meter}} {{domain}} resets",
                ),
                query(
                    f"sum by (meter, domain) (increase(wattprint_meter_wraps_total{{{N}}}[$__rate_interval]))",
                    "{{meter}} {{domain}} wraps",
                ),
            ],
            "no meter counts: only modelled ones are in use, or no node is scraped",
            (10, 9),
        )
    )


def missing(built):
    built.with_row(row("What is missing"))
    built.with_panel(
        lines(
            "Unattributed by reason",
            "Power that no owner was found for. no_evidence: nothing says who used it, as with a whole-node meter's"
            " rest; unknown_process: a GPU's process isn't known here; pid_namespace: run wattprint in the host's"
            " pid namespace; outage: a meter was away and came back.",
            "watt",
            [
                query(
                    "sum by (component, reason)"
                    f" (rate(wattprint_unattributed_energy_joules_total{{{N}}}[$__rate_interval]))",
                    "{{component}} {{reason}}",
                )
            ],
            "all energy has an owner, or no node is scraped",
            (8, 8),
        )
    )
    built.with_panel(
        lines(
            "Series dropped",
            "Series a second that a cap kept out, by group. Above 0 workloads are missing from the figures (their"
            " energy isn't lost to the node's): raise limits.* of wattprint, or find out who makes so many.",
            "short",
            [
                query(
                    f"sum by (family) (rate(wattprint_series_dropped_total{{{N}}}[$__rate_interval]))", "{{family}}"
                )
            ],
            NO_NODE,
            (8, 8),
        )
    )
    built.with_panel(
        lines(
            "Calls to GPU drivers that are stuck",
            "For how long a call hasn't returned, the five longest; 0 is none. Seconds and rising: the card or its"
            " driver hangs. The other cards go on; look at the kernel's log, drain the node and reset the card.",
            "s",
            [
                query(
                    f"topk(5, max by (instance, gpu, uuid) (wattprint_gpu_call_stuck_seconds{{{N}}}))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            "no GPU is watched",
            (8, 8),
            links=[to("gpu", "This card", {"node": "instance", "gpu": "uuid"})],
        )
    )
    built.with_panel(
        rows(
            "What nodes lack",
            "Nodes by what their daemon wasn't given: a mount, a namespace, a right, a driver. wattprint check on such a"
            " node says what mends it.",
            [("nodes", "none", f"count by (problem) (wattprint_setup_problem{{{N}}})")],
            "no node lacks anything",
            (8, 8),
            sort="nodes",
        )
    )
    built.with_panel(
        rows(
            "Limits of GPU figures",
            "What keeps cards from better figures, and why, with the number of cards. Most reasons are a right or a"
            " driver version: wattprint check on the node says which.",
            [("cards", "none", f"count by (what, reason) (wattprint_gpu_limitation_info{{{N}}})")],
            "nothing limits the GPU figures, or no GPU is watched",
            (8, 8),
            sort="cards",
        )
    )
    built.with_panel(
        lines(
            "Failed readings of GPUs",
            "Readings a second that failed and calls that hung, the five worst cards. Now and then is harmless; a"
            " steady rate is a card that is about to be lost.",
            "short",
            [
                query(
                    "topk(5, sum by (instance, gpu, uuid)"
                    f" (rate(wattprint_gpu_errors_total{{{N}}}[$__rate_interval])))",
                    "{{instance}} GPU {{gpu}}",
                )
            ],
            "no GPU is watched",
            (8, 8),
            links=[to("gpu", "This card", {"node": "instance", "gpu": "uuid"})],
        )
    )
