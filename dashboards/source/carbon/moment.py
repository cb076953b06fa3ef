"""The grid now and ahead, and what was or would be emitted at other times and places."""

from carbon.terms import (
    BEST,
    C,
    DAY,
    EMITTED,
    FACTOR,
    NOW,
    NO_DAY,
    NO_FACTOR,
    NO_FORECAST,
    OF_CLUSTER,
    OF_ZONE,
    PER_KWH,
    PUE,
    START,
    YEARLY,
    Z,
)
from figures import recent, tinted
from parts import BLUE, ORANGE, VERMILION, bars, link_of_cell, note, number, query, row, rows, to


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
            " window ahead of so many hours. PUE is in both, as the cluster's mean by power. A forecast isn't a"
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
            " in the charged ones as each node has it, in the others as the mean of these clusters by power. Elsewhere"
            " the site would have its own.\n\nMoving work moves load from one grid to another; what that causes is the"
            " margin's, which no average tells. Data has to move, too.",
            (6, 12),
        )
    )
