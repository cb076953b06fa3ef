"""Factors of the grid, and what measuring costs."""

from parts import lines, query, row, rows, to
from wattprint_self.terms import N, NO_NODE, OURS


def carbon(built):
    built.with_row(row("Factors of the grid, and PUE"))
    built.with_panel(
        lines(
            "Fetches of the grid's factors",
            "Rounds of requests to live sources in the hour before, by how they went. Failures for hours: the key"
            " expired, the source is down, or the network forbids it. wattprint goes on with older, then worse factors"
            " meanwhile.",
            "none",
            [
                query(
                    # Sources are asked a few times an hour: the rate of a minute is nothing, or far too much.
                    f"sum by (provider, grid_zone, result) (increase(wattprint_grid_fetches_total{{{N}}}[1h]))",
                    "{{provider}} {{grid_zone}} {{result}}",
                )
            ],
            "no live source is configured: factors are yearly means or constants",
            (8, 8),
            links=[to("carbon", "The factor itself", {})],
        )
    )
    by = "by (grid_zone, provider)"
    quality = "by (grid_zone, provider, quality)"
    told = f"wattprint_grid_source_last_success_timestamp_seconds{{{N}}}"
    built.with_panel(
        rows(
            "Sources that are live",
            "For each live source and zone, how long ago it last brought a value: on the node where that is longest,"
            " and on the one where it is shortest. Hours on one node only: that node's network.",
            [("oldest", "s", f"max {by} (time() - {told})"), ("newest", "s", f"min {by} (time() - {told})")],
            "no live source is configured, or none has answered yet",
            (8, 8),
            sort="oldest",
        )
    )
    built.with_panel(
        rows(
            "Factors in force, PUE",
            "Nodes by the zone, source and quality of their factor, their mean PUE, and those where PUE is told"
            " rather than taken for 1. Static: a yearly mean that knows no hours. Not all told: set carbon.pue.",
            [
                ("nodes", "none", f"count {quality} (wattprint_grid_carbon_intensity_grams_per_kwh{{{N}}})"),
                (
                    "PUE",
                    "none",
                    f"avg {quality} (wattprint_pue_ratio{{{N}}} * on (cluster, instance) group_right ()"
                    f" group by (cluster, instance, grid_zone, provider, quality)"
                    f" (wattprint_grid_carbon_intensity_grams_per_kwh{{{N}}}))",
                ),
                (
                    "PUE told",
                    "percentunit",
                    f"avg {quality} (wattprint_pue_configured{{{N}}} * on (cluster, instance) group_right ()"
                    f" group by (cluster, instance, grid_zone, provider, quality)"
                    f" (wattprint_grid_carbon_intensity_grams_per_kwh{{{N}}}))",
                ),
            ],
            "no node has a factor: set carbon.zone in wattprint's configuration",
            (8, 8),
            sort="nodes",
        )
    )


def costs(built):
    built.with_row(row("What it costs"))
    built.with_panel(
        rows(
            "Versions",
            "Nodes by version and architecture. More than one version for long: an update got stuck.",
            [("nodes", "none", f"count by (version, arch, os) (wattprint_build_info{{{N}}})")],
            NO_NODE,
            (6, 8),
            sort="nodes",
        )
    )
    built.with_panel(
        lines(
            "Tick, slowest five",
            "What one sample of the node took. Near sample.interval, figures are late: raise the interval, or switch"
            " collectors off that take long (see Collectors).",
            "s",
            [query(f"topk(5, max by (instance) (wattprint_sample_duration_seconds{{{N}}}))", "{{instance}}")],
            NO_NODE,
            (6, 8),
        )
    )
    built.with_panel(
        lines(
            "CPU of wattprint, highest five",
            "CPU time of the daemon, in cores. Above a few hundredths: many processes or a short sample.interval;"
            " lengthen it.",
            "percentunit",
            [
                query(
                    "topk(5, sum by (instance)"
                    f" (rate(process_cpu_seconds_total{{{N}}}[$__rate_interval]) {OURS}))",
                    "{{instance}}",
                )
            ],
            NO_NODE,
            (6, 8),
        )
    )
    built.with_panel(
        lines(
            "Memory of wattprint, highest five",
            "Resident memory of the daemon. It follows the number of workloads and processes and has caps"
            " (limits.*); steady growth beyond them is a fault: report it.",
            "bytes",
            [query(f"topk(5, sum by (instance) (process_resident_memory_bytes{{{N}}} {OURS}))", "{{instance}}")],
            NO_NODE,
            (6, 8),
        )
    )
    built.with_panel(
        lines(
            "Scrapes, slowest five",
            "What Prometheus took to scrape the daemon. Seconds: the network, or too many series; scrapes never"
            " touch hardware.",
            "s",
            [query(f"topk(5, max by (instance) (scrape_duration_seconds{{{N}}} {OURS}))", "{{instance}}")],
            NO_NODE,
            (12, 8),
        )
    )
    built.with_panel(
        lines(
            "Samples of a scrape, most five, and of all nodes",
            "Samples of a scrape. The sum times the days of retention is what Prometheus stores: lower limits.* or"
            " drop families where that is too much.",
            "short",
            [
                query(f"topk(5, max by (instance) (scrape_samples_scraped{{{N}}} {OURS}))", "{{instance}}"),
                query(f"sum(scrape_samples_scraped{{{N}}} {OURS})", "all nodes"),
            ],
            NO_NODE,
            (12, 8),
        )
    )
