"""Carbon-aware: how dirty the grid is now and ahead, and what energy would have emitted at other hours and places."""

from grafana_foundation_sdk.models import dashboard as model

from figures import recent, tinted
from parts import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    bars,
    board,
    cluster,
    lines,
    link_of_cell,
    note,
    number,
    query,
    row,
    rows,
    to,
    variable,
)

C = 'cluster=~"$cluster"'
Z = f'{C}, grid_zone=~"$grid_zone"'
H = f'{Z}, hours=~"$hours"'
FACTOR = f"zone:wattprint_grid_carbon_intensity_grams_per_kwh:avg{{{Z}}}"
NOW = f"avg by (cluster, grid_zone) ({FACTOR})"
BEST = f"zone:wattprint_grid_best_window_grams_per_kwh:avg{{{H}}}"
START = f"zone:wattprint_grid_best_window_start_timestamp_seconds:min{{{H}}}"
PUE = f"avg by (cluster) (wattprint_pue_ratio{{{C}}})"
OF_ZONE = "on (cluster, grid_zone) group_left ()"
OF_CLUSTER = "on (cluster) group_left ()"
DAY = recent(f"cluster:wattprint_energy_kwh:increase1d{{{C}}}")
EMITTED = recent(f"cluster:wattprint_emissions_grams:increase1d{{{C}}}")
YEARLY = 'zone:wattprint_grid_yearly_grams_per_kwh:reference{grid_zone=~"$region"}'
PER_KWH = "suffix: g/kWh"
NO_FACTOR = "no factor is known here: set carbon.zone in wattprint's configuration"
NO_FORECAST = "no source tells of the time to come: configure one of those in docs/grid.md that give forecasts"
NO_DAY = "no energy of the last day is known, or the recording rules are younger than five minutes"
# The world, and zones that people think of first: from very clean to very dirty.
REGIONS = ["SE", "FR", "GB", "US", "DE", "CN", "PL", "IN", "world"]


def build():
    regions = variable(
        "region",
        "Other regions",
        "Zones whose yearly averages the last day's energy is compared with.",
        "label_values(zone:wattprint_grid_yearly_grams_per_kwh:reference, grid_zone)",
    ).current(model.VariableOption(selected=True, text=REGIONS, value=REGIONS))
    built = board(
        "carbon",
        "wattprint / Carbon-aware",
        "How dirty the grid is now and in the hours to come, when and where the same energy would emit less, and how"
        " much could wait.",
        [
            cluster(),
            variable(
                "grid_zone",
                "Grid zone",
                "The zone of the grid that nodes price their energy by. Clusters' sums aren't narrowed by it.",
                f"label_values(zone:wattprint_grid_carbon_intensity_grams_per_kwh:avg{{{C}}}, grid_zone)",
            ),
            variable(
                "hours",
                "Hours of work",
                "How long work that can wait would run: the length of the best window.",
                f"label_values(zone:wattprint_grid_best_window_grams_per_kwh:avg{{{Z}}}, hours)",
            ),
            regions,
        ],
    )
    for part in (now, ahead, otherwise, elsewhere, over_time, views, sources):
        part(built)
    return built


def now(built):
    built.with_row(row("Now"))
    built.with_panel(
        number(
            "Factor of the grid in force",
            "Grams of CO2 equivalent per kilowatt-hour that energy is priced by now, by zone; PUE isn't in it. High"
            " against the day's mean: let work wait that can.",
            PER_KWH,
            [query(NOW, "{{grid_zone}}", True)],
            NO_FACTOR,
            (6, 4),
            decimals=0,
        )
    )
    built.with_panel(
        number(
            "What one more kWh would cause",
            "Marginal intensity by zone: of the power stations that would follow a change of load now. For decisions"
            " about when, never for accounts; it isn't part of any counter.",
            PER_KWH,
            [
                query(
                    f"avg by (grid_zone) (zone:wattprint_grid_marginal_intensity_grams_per_kwh:avg{{{Z}}})",
                    "{{grid_zone}}",
                    True,
                )
            ],
            "no source tells of the margin: docs/grid.md says which do",
            (6, 4),
            decimals=0,
        )
    )
    built.with_panel(
        number(
            "Charged in the last hour, PUE included",
            "What a kilowatt-hour of IT energy was charged, by cluster: the factors of its zones, times PUE. Above the"
            " factor by the overhead of the site.",
            PER_KWH,
            [query(f"cluster:wattprint_charged_grams_per_kwh:ratio1h{{{C}}}", "cluster {{cluster}}", True)],
            "no energy was charged in the last hour",
            (4, 4),
            decimals=0,
            links=[to("fleet", "Fleet", {"cluster": "cluster"})],
        )
    )
    built.with_panel(
        number(
            "Power that could wait",
            "IT power now of batch jobs, of pods of Jobs and CronJobs, and of what says that it trains. What it would"
            " save in the best window is below.",
            "watt",
            [query(f"sum(cluster:wattprint_deferrable_power_watts:avg5m{{{C}}})", instant=True)],
            "no batch job, Job, CronJob or training runs now",
            (4, 4),
        )
    )
    built.with_panel(
        number(
            "Now against the mean of the last day",
            "The factor in force over its mean of the last day, by zone. Above 100 % the grid is dirtier than usual;"
            " at 125 % an alert tells you while work runs that could wait.",
            "percentunit",
            [
                query(
                    f"{NOW} / on (cluster, grid_zone) avg by (cluster, grid_zone) (avg_over_time({FACTOR}[1d]))",
                    "{{grid_zone}}",
                    True,
                )
            ],
            NO_FACTOR,
            (4, 4),
            steps=[(None, BLUE), (1.05, ORANGE), (1.25, VERMILION)],
            decimals=0,
        )
    )


def ahead(built):
    built.with_row(row("Ahead"))
    hours = ("[0-9]", "1[0-9]", "2[0-9]", "3[0-9]", "[4-9][0-9]")
    built.with_panel(
        bars(
            "Forecast, by hours from now",
            "The forecast factor of the grid at each full hour ahead. Choose one zone to see them in order. Start what"
            " can wait where the bars are shortest; the table beside this finds the window.",
            PER_KWH,
            # One query for each ten hours: an answer is in the order of its labels' text, in which 10 precedes 2.
            [
                query(
                    f'zone:wattprint_grid_forecast_grams_per_kwh:avg{{{Z}, hours_ahead=~"{each}"}}',
                    "{{grid_zone}} in {{hours_ahead}} h",
                    True,
                )
                for each in hours
            ],
            NO_FORECAST,
            (11, 16),
        ).decimals(0)
    )
    now_of = f"({BEST} * 0 + {OF_ZONE} {NOW})"
    waiting = f"sum by (cluster) (cluster:wattprint_deferrable_power_watts:avg5m{{{C}}}) / 1000"
    built.with_panel(
        rows(
            "Best windows",
            "For work of so many hours: the cleanest stretch ahead, when it starts, its mean factor, and how much"
            " cleaner than now that is; less than zero: now is better. Saved an hour is for all power that could wait,"
            " if it were in this zone: grams for each hour of it that runs then instead of now, PUE included. Little"
            " to save: don't wait.",
            [
                ("starts", "dateTimeFromNow", f"{START} * 1000"),
                ("grams per kWh", PER_KWH, BEST),
                ("now", PER_KWH, now_of),
                ("cleaner", "percentunit", f"1 - {BEST} / {now_of}"),
                (
                    "saved an hour",
                    "massg",
                    f"({now_of} - {BEST}) * {OF_CLUSTER} ({waiting} * on (cluster) {PUE})",
                ),
            ],
            NO_FORECAST,
            (13, 16),
            sort="cleaner",
            links=[
                ("grid_zone", link_of_cell("carbon", "Only this zone", {"grid_zone": "grid_zone"})),
                ("cluster", link_of_cell("jobs", "Jobs that could wait", {"cluster": "cluster"})),
            ],
        )
    )


def otherwise(built):
    built.with_row(row("What the last day's energy would have emitted at other hours"))
    charged = f"cluster:wattprint_charged_grams_per_kwh:ratio1h{{{C}}}"
    built.with_panel(
        rows(
            "At the cleanest and the dirtiest hour of that day",
            "Emitted is what the last day's energy was charged, hour by hour. Beside it: all of it at the grams per"
            " kilowatt-hour of the day's cleanest and dirtiest hour, as they were charged (PUE included). The gap to"
            " the cleanest is the most that better hours could have saved; where it is small, use less instead.",
            [
                ("energy", "kwatth", DAY),
                ("emitted", "massg", EMITTED),
                ("at the cleanest hour", "massg", f"{DAY} * on (cluster) min_over_time({charged}[1d])"),
                ("at the dirtiest hour", "massg", f"{DAY} * on (cluster) max_over_time({charged}[1d])"),
                (
                    "could be saved",
                    "percentunit",
                    f"1 - {DAY} * on (cluster) min_over_time({charged}[1d]) / on (cluster) ({EMITTED} > 0)",
                ),
            ],
            NO_DAY,
            (24, 6),
            sort="emitted",
            links=[("cluster", link_of_cell("fleet", "This cluster", {"cluster": "cluster"}))],
        )
    )
    # A day's mean in watts is of the minutes that are known only.
    covered = recent(f"cluster:wattprint_covered:ratio1d{{{C}}}")
    energy = (
        f"sum by (cluster, grid_zone) (avg_over_time(zone:wattprint_power_watts:avg5m{{{Z}}}[1d])) * 0.024"
        f" * on (cluster) group_left () {covered}"
    )
    mean = f"avg by (cluster, grid_zone) (avg_over_time({FACTOR}[1d]))"
    built.with_panel(
        rows(
            "In the best window ahead",
            "The same energy as in the last day, by zone: at the mean factor of that day, and if it ran in the best"
            " window ahead of so many hours. PUE is in both, as the mean of the cluster's nodes. A forecast isn't a"
            " measurement: what is saved is known afterwards.",
            [
                ("energy", "kwatth", f"{BEST} * 0 + {OF_ZONE} ({energy})"),
                (
                    "at the day's mean",
                    "massg",
                    f"({BEST} * 0 + {OF_ZONE} ({energy} * {mean})) * {OF_CLUSTER} {PUE}",
                ),
                ("in the window", "massg", f"({BEST} * {OF_ZONE} ({energy})) * {OF_CLUSTER} {PUE}"),
                ("less", "percentunit", f"1 - {BEST} / ({BEST} * 0 + {OF_ZONE} {mean})"),
            ],
            NO_FORECAST,
            (24, 8),
            sort="less",
            links=[("grid_zone", link_of_cell("carbon", "Only this zone", {"grid_zone": "grid_zone"}))],
        )
    )


def elsewhere(built):
    built.with_row(row("What the last day's energy would have emitted in other regions"))
    site = f"scalar(sum({DAY} * on (cluster) {PUE}))"
    built.with_panel(
        tinted(
            bars(
                "Here, and elsewhere by yearly averages",
                "The last day's emissions of these clusters as they were charged, and the same energy with the same PUE"
                " at the yearly average of other regions. Another kind of figure: see the note.",
                "massg",
                [
                    query(f"sum({EMITTED})", "here, as charged", True),
                    query(f"sort_desc({YEARLY} * {site})", "{{zone_name}}", True),
                ],
                NO_DAY,
                (9, 12),
                links=[to("fleet", "Fleet", {})],
            ),
            {"here, as charged": ORANGE},
        )
    )
    built.with_panel(
        rows(
            "Other regions",
            "Yearly averages over the life cycle, and what they make of the last day's energy, with this site's PUE."
            " Against here: below 100 % it would have been less. Choose regions at the top.",
            [
                ("grams per kWh", PER_KWH, YEARLY),
                ("the day's energy there", "massg", f"{YEARLY} * {site}"),
                ("against here", "percentunit", f"{YEARLY} * {site} / scalar(sum({EMITTED}) > 0)"),
            ],
            NO_DAY,
            (9, 12),
            hidden=("basis",),
            names={"grid_zone": "zone", "zone_name": "region"},
            sort="grams per kWh",
        )
    )
    built.with_panel(
        note(
            "How to read this",
            "A **yearly average** is another kind of figure than the live one that energy here is priced by: it knows"
            " no hours and no weather, is a year or more old, and comes from other statistics. It is good for where to"
            " put a cluster or a long training run, and never for accounts.\n\n**PUE is in all figures of this row**:"
            " in the charged ones as each node has it, in the others as the mean of these clusters' nodes. Elsewhere"
            " the site would have its own.\n\nMoving work moves load from one grid to another; what that causes is the"
            " margin's, which no average tells. Data has to move, too.",
            (6, 12),
        )
    )


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
                    f"sum(sum_over_time(cluster:wattprint_market_emissions_grams:increase1m{{{C}}}[1d]))",
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
                ("mean", "none", PUE),
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
