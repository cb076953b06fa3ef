"""What was emitted over time, the views of it, and where factors come from."""

from grafana_foundation_sdk.models import dashboard as model

from carbon.terms import C, EMITTED, FACTOR, NO_DAY, NO_FACTOR, PER_KWH, PUE, Z
from figures import tinted
from parts import BLUE, GREY, ORANGE, PURPLE, VERMILION, bars, lines, link_of_cell, number, query, row, rows


def over_time(built):
    built.with_row(row("Power against the grid"))
    for title, about, series, name in (
        (
            "All power, and the grid",
            "IT power of these clusters, and the mean factor of their zones (right). Where both peak together, there is"
            " something to gain.",
            f"sum(cluster:wattprint_power_watts:avg5m{{{C}}})",
            "power",
        ),
        (
            "Power that could wait, and the grid",
            "Power of batch jobs, Jobs, CronJobs and training, and the mean factor of the zones (right). It should be"
            " high where the factor is low; if not, give the scheduler the best window.",
            f"sum(cluster:wattprint_deferrable_power_watts:avg5m{{{C}}})",
            "power that could wait",
        ),
    ):
        panel = lines(
            title,
            about,
            "watt",
            [query(series, name), query(f"avg({FACTOR})", "factor of the grid")],
            "no power and no factor is known: are wattprint and its recording rules there?",
            (8, 8),
        )
        panel.override_by_name(
            "factor of the grid",
            [
                model.DynamicConfigValue(id_val="unit", value=PER_KWH),
                model.DynamicConfigValue(id_val="custom.axisPlacement", value="right"),
            ],
        )
        built.with_panel(tinted(panel, {name: BLUE, "factor of the grid": ORANGE}))
    built.with_panel(
        tinted(
            lines(
                "Factors, the margin, and what was charged",
                "Factors in force by zone, the marginal ones where known, and what clusters were charged (PUE"
                " included). A line that never moves is a yearly average: configure a live source.",
                PER_KWH,
                [
                    query(f"avg by (grid_zone) ({FACTOR})", "{{grid_zone}}"),
                    query(
                        f"avg by (grid_zone) (zone:wattprint_grid_marginal_intensity_grams_per_kwh:avg{{{Z}}})",
                        "{{grid_zone}} marginal",
                    ),
                    query(
                        f"cluster:wattprint_charged_grams_per_kwh:ratio1h{{{C}}}", "charged, cluster {{cluster}}"
                    ),
                ],
                NO_FACTOR,
                (8, 8),
            ),
            {},
        )
    )


def views(built):
    built.with_row(row("Location-based and market-based"))
    built.with_panel(
        tinted(
            lines(
                "Emissions an hour, both views",
                "The same electricity by the grid's mix (location-based) and by contracts and certificates"
                " (market-based), PUE included. Never add them; report both. Hours with a factor of zero by contract"
                " aren't clean hours of the grid: go by the location-based one when you choose hours.",
                "massg",
                [
                    query(f"sum(cluster:wattprint_emissions_grams:increase1m{{{C}}}) * 60", "location-based"),
                    query(f"sum(cluster:wattprint_market_emissions_grams:increase1m{{{C}}}) * 60", "market-based"),
                ],
                "no emissions yet: no factor of the grid is known, or the recording rules are missing",
                (14, 8),
            ),
            {"location-based": BLUE, "market-based": PURPLE},
        )
    )
    built.with_panel(
        number(
            "Emissions of the last day, both views",
            "Grams of the last day by either view. Only what market.* of wattprint's configuration says is in the"
            " market-based one.",
            "massg",
            [
                query(f"sum({EMITTED})", "location-based", True),
                query(
                    f"sum(sum_over_time(cluster:wattprint_market_emissions_grams:increase1m{{{C}}}[23h59m59s999ms] offset 1m))",
                    "market-based",
                    True,
                ),
            ],
            NO_DAY,
            (5, 8),
        )
    )
    built.with_panel(
        number(
            "Market-based factor in force",
            "Mean over nodes, by what stands in for electricity without a contract: configured is a residual mix,"
            " location is the grid's factor for want of one. Ask your supplier for the residual mix then.",
            PER_KWH,
            [query(f"avg by (residual) (wattprint_grid_market_intensity_grams_per_kwh{{{C}}})", "{{residual}}", True)],
            "not configured: set market.* in wattprint's configuration",
            (5, 8),
            decimals=0,
        )
    )


def sources(built):
    built.with_row(row("How well it is known"))
    by = "cluster, grid_zone, provider, basis, quality"
    # Ages have no zone: that of the node's newest factor.
    age = (
        f"max by ({by}) (wattprint_grid_carbon_intensity_age_seconds{{{C}}}"
        " + on (cluster, instance) group_left (grid_zone, provider, basis, quality)"
        f" 0 * topk by (cluster, instance) (1, timestamp(wattprint_grid_carbon_intensity_grams_per_kwh{{{Z}}})))"
    )
    built.with_panel(
        rows(
            "Factors in force",
            "Each zone's factor: from whom, on which basis (lifecycle, or direct: what leaves the stacks), and how"
            " good: measured, estimated, forecast, stale, or static, which is a yearly average. Age is of the oldest"
            " node. Several rows of a zone: nodes differ in their configuration.",
            [
                ("factor", PER_KWH, FACTOR),
                ("nodes", "none", f"zone:wattprint_nodes:count{{{Z}}}"),
                ("age", "s", age),
            ],
            NO_FACTOR,
            (14, 8),
            sort="nodes",
            links=[("provider", link_of_cell("self", "Whether it is fetched", {"cluster": "cluster"}))],
        )
    )
    success = "wattprint_grid_source_last_success_timestamp_seconds"
    of_success = f'{Z}, result="success"'
    # Sources are asked a few times an hour: the rate of a minute is nothing, or far too much.
    succeeded = f"increase(wattprint_grid_fetches_total{{{of_success}}}[1h])"
    fetches = f"increase(wattprint_grid_fetches_total{{{Z}}}[1h])"
    built.with_panel(
        rows(
            "Live sources",
            "When a source last brought a value, on the node where that is longest ago, and how many of its rounds of"
            " requests failed in the last hour. Silent for hours: a key has expired, a quota is used up, or the way"
            " out is closed.",
            [
                ("last success", "dateTimeFromNow", f"min by (cluster, grid_zone, provider) ({success}{{{Z}}}) * 1000"),
                ("rounds an hour", "short", f"sum by (cluster, grid_zone, provider) ({fetches})"),
                (
                    "failed",
                    "percentunit",
                    f"1 - sum by (cluster, grid_zone, provider) ({succeeded})"
                    f" / (sum by (cluster, grid_zone, provider) ({fetches}) > 0)",
                ),
            ],
            "no live source is configured, or none has brought a value yet",
            (10, 8),
            sort="rounds an hour",
        )
    )
    quality = (
        f"sum by (quality) (zone:wattprint_nodes:count{{{Z}}}) / scalar(sum(zone:wattprint_nodes:count{{{Z}}}))"
    )
    built.with_panel(
        tinted(
            bars(
                "Nodes by quality of their factor",
                "Share of nodes by how good the factor in force is. Static can't tell hours apart: no best window and"
                " no saving by waiting is seen there. Stale: the source is silent.",
                "percentunit",
                [query(quality, "{{quality}}", True)],
                NO_FACTOR,
                (12, 7),
            ),
            {"measured": BLUE, "static": GREY, "stale": VERMILION},
        )
    )
    built.with_panel(
        rows(
            "PUE",
            "Power usage effectiveness that turns IT energy into the site's, by cluster: lowest, mean and highest over"
            " nodes; nodes where 1 is assumed since none is configured leave cooling and losses out: set carbon.pue."
            " Read is when the file or query behind it was last read, where there is one.",
            [
                ("lowest", "none", f"min by (cluster) (wattprint_pue_ratio{{{C}}})"),
                ("mean by power", "none", PUE),
                ("highest", "none", f"max by (cluster) (wattprint_pue_ratio{{{C}}})"),
                ("nodes without", "none", f"sum by (cluster) (wattprint_pue_configured{{{C}}} == bool 0)"),
                (
                    "read",
                    "dateTimeFromNow",
                    f"min by (cluster) (wattprint_pue_last_success_timestamp_seconds{{{C}}}) * 1000",
                ),
            ],
            "no node is scraped",
            (12, 7),
            links=[("cluster", link_of_cell("fleet", "This cluster", {"cluster": "cluster"}))],
        )
    )
