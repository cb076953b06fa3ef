"""What all nodes emit, and what is wasted."""

from figures import equivalences, recent, sources, tinted
from fleet.terms import C, NO_RULES
from parts import BLUE, ORANGE, PURPLE, bars, lines, link_of_cell, note, number, query, row, rows, to


def carbon(built):
    built.with_row(row("Carbon accounting"))
    built.with_panel(
        tinted(
            lines(
                "Emissions an hour: location-based, market-based, embodied",
                "Two views of the same electricity that are never added: the grid's mix (location-based), and"
                " contracts and certificates (market-based, where market.* is configured). Embodied is making the"
                " hardware (where embodied.enabled is set), on top of either. Report location-based and market-based"
                " side by side.",
                "massg",
                [
                    query(f"sum(cluster:wattprint_emissions_grams:increase1m{{{C}}}) * 60", "location-based"),
                    query(f"sum(cluster:wattprint_market_emissions_grams:increase1m{{{C}}}) * 60", "market-based"),
                    query(f"sum(cluster:wattprint_embodied_emissions_grams:increase1m{{{C}}}) * 60", "embodied"),
                ],
                "no emissions yet: no factor of the grid is known, or the recording rules are missing",
                (12, 8),
            ),
            {"location-based": BLUE, "market-based": ORANGE, "embodied": PURPLE},
        )
    )
    built.with_panel(
        number(
            "Market-based, 1 day",
            "Market-based emissions of the last day. Higher than the location-based ones where no contract covers"
            " the energy and the residual mix is dirtier than the grid's.",
            "massg",
            [
                query(
                    f"sum(sum_over_time(cluster:wattprint_market_emissions_grams:increase1m{{{C}}}[23h59m59s999ms] offset 1m))",
                    instant=True,
                )
            ],
            "not configured: set market.* in wattprint's configuration",
            (4, 8),
        )
    )
    built.with_panel(
        number(
            "Embodied, 1 day",
            "The last day's part of the emissions of making the hardware. It goes on while hardware idles: use what"
            " you have for longer and to the full.",
            "massg",
            [
                query(
                    f"sum(sum_over_time(cluster:wattprint_embodied_emissions_grams:increase1m{{{C}}}[23h59m59s999ms] offset 1m))",
                    instant=True,
                )
            ],
            "not configured: set embodied.enabled in wattprint's configuration",
            (4, 8),
        )
    )
    built.with_panel(
        number(
            "Water, 30 days",
            "Water that the sites used for the energy of 30 days, at the litres per kilowatt-hour (WUE) of now; the"
            " water of power stations isn't in it. Nodes without carbon.wue are left out.",
            "litre",
            [
                query(
                    f"sum({recent(f'node:wattprint_energy_kwh:increase30d{{{C}}}')}"
                    f" * on (cluster, instance) wattprint_wue_liters_per_kwh{{{C}}})",
                    instant=True,
                )
            ],
            "not configured: set carbon.wue in wattprint's configuration",
            (4, 8),
        )
    )
    built.with_panel(
        lines(
            "Water an hour",
            "Litres an hour that the sites used, by wattprint's own counters. It follows power: what saves energy"
            " saves water.",
            "litreh",
            [
                query(
                    f"sum by (cluster) (rate(wattprint_node_water_liters_total{{{C}}}[$__rate_interval])) * 3600",
                    "cluster {{cluster}}",
                )
            ],
            "not configured: set carbon.wue in wattprint's configuration",
            (12, 8),
        )
    )
    built.with_panel(
        number(
            "Emissions of 30 days are as much as",
            "The same grams in things that people know, to get a feeling for them; not for reports. " + sources(),
            "short",
            equivalences(f"sum({recent(f'cluster:wattprint_emissions_grams:increase30d{{{C}}}')})"),
            "no emissions of the last 30 days are known yet",
            (12, 8),
            decimals=1,
        )
    )


def waste(built):
    built.with_row(row("Waste"))
    idle = f'cluster:wattprint_owner_energy_joules:increase1m{{{C}, component="gpu", kind="idle"}}'
    unused = f"namespace:wattprint_gpu_unused_joules:increase1m{{{C}}}"
    empty = "no GPU energy was left unused, or no GPU is measured"
    built.with_panel(
        bars(
            "GPU energy without work, 1 day",
            "GPU energy of the last day that did no work: nobody had the card (free), a container had it and didn't"
            " use it (idle), or held a context that did nothing (parked). Free: switch nodes off. Idle and parked:"
            " talk to the namespace, end the workload, or share the card. What batch jobs leave unused isn't in"
            " it; the Jobs dashboard has its power.",
            "kwatth",
            [
                query(f"sum(sum_over_time({idle}[23h59m59s999ms] offset 1m)) / 3.6e6", "free", True),
                query(f"sum by (state) (sum_over_time({unused}[23h59m59s999ms] offset 1m)) / 3.6e6", "{{state}}", True),
            ],
            empty,
            (8, 8),
            links=[to("gpu", "GPUs", {})],
        )
    )
    built.with_panel(
        rows(
            "Namespaces that hold GPUs without work",
            "The ten namespaces whose GPU energy of the last day did least: allocated but idle, or parked contexts."
            " Ask their owners to give cards back.",
            [
                (
                    "unused 1 d",
                    "kwatth",
                    f"topk(10, sum by (cluster, namespace) (sum_over_time({unused}[23h59m59s999ms] offset 1m)) / 3.6e6 > 0)",
                )
            ],
            "no namespace holds a GPU without work",
            (8, 8),
            sort="unused 1 d",
            links=[
                (
                    "namespace",
                    link_of_cell("workloads", "Its workloads", {"cluster": "cluster", "namespace": "namespace"}),
                )
            ],
        )
    )
    total = f"scalar(sum(sum_over_time(cluster:wattprint_owner_energy_joules:increase1m{{{C}}}[23h59m59s999ms] offset 1m)))"
    part = f"sum by (kind) (sum_over_time(cluster:wattprint_owner_energy_joules:increase1m{{{C}}}[23h59m59s999ms] offset 1m)) / {total}"
    built.with_panel(
        bars(
            "Share of energy by kind of owner, 1 day",
            "Share of the last day's energy by who had it. Idle above a third means more nodes than work;"
            " unattributed above a twentieth means that evidence is missing.",
            "percentunit",
            [query(part, "{{kind}}", True)],
            NO_RULES,
            (8, 8),
            links=[to("self", "Why unattributed", {})],
        )
    )
    built.with_panel(
        note(
            "Where to look next",
            "[Node](/d/wattprint-node?${datasource:queryparam}&${cluster:queryparam}): who has a node's power, by"
            " which meters. [Workloads](/d/wattprint-workloads?${datasource:queryparam}&${cluster:queryparam}):"
            " namespaces, pods, containers. [GPU](/d/wattprint-gpu?${datasource:queryparam}&${cluster:queryparam}):"
            " cards and their waste. [Jobs](/d/wattprint-jobs?${datasource:queryparam}&${cluster:queryparam}): batch"
            " jobs. [Carbon](/d/wattprint-carbon?${datasource:queryparam}&${cluster:queryparam}): cleaner hours and"
            " places. [Models](/d/wattprint-models?${datasource:queryparam}&${cluster:queryparam}): grams per token,"
            " request and step. [wattprint"
            " itself](/d/wattprint-self?${datasource:queryparam}&${cluster:queryparam}): whether the figures can be"
            " trusted.",
        )
    )
