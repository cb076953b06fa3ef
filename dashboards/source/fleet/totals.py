"""What all nodes draw, where, and who causes it."""

from figures import recent, windows
from fleet.terms import C, CHOSEN, KINDS, NO_RULES
from parts import BLUE, ORANGE, VERMILION, lines, link_of_cell, number, query, row, rows, to


def now(built):
    built.with_row(row("How much"))
    built.with_panel(
        number(
            "Power",
            "IT power of all measured nodes, mean of five minutes. Compare it with what the site's meters say; if it"
            " is far lower, nodes aren't measured.",
            "watt",
            [query(f"sum(cluster:wattprint_power_watts:avg5m{{{C}}})", instant=True)],
            NO_RULES,
            links=[to("node", "A node", {})],
        )
    )
    built.with_panel(
        number(
            "Energy",
            "IT energy of the last hour, day and 30 days. A month that is younger than the rules is only partly"
            " known: see Time covered.",
            "kwatth",
            windows("cluster", "wattprint_energy_kwh", C),
            NO_RULES,
            (8, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of CO2 equivalent, with the site's overhead (PUE). They follow from energy and the"
            " grid: less work, or the same work in cleaner hours, lowers them.",
            "massg",
            windows("cluster", "wattprint_emissions_grams", C),
            "no emissions yet: no factor of the grid is known, or the recording rules are missing",
            (8, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )
    built.with_panel(
        number(
            "Grams per kWh charged",
            "What a kilowatt-hour of IT energy was charged in the last hour, PUE included, for each cluster. High"
            " while the grid is dirty: move work that can wait.",
            "suffix: g",
            [query(f"cluster:wattprint_charged_grams_per_kwh:ratio1h{{{C}}}", "cluster {{cluster}}", True)],
            "no energy was charged in the last hour",
            decimals=0,
            links=[to("carbon", "Cleaner hours and places", {"cluster": "cluster"})],
        )
    )
    built.with_panel(
        number(
            "Share by quality",
            "Share of the chosen meters' power now that is measured (a counter), integrated (a power reading),"
            " modelled (no meter can be read) or simulated. Modelled is an estimate: on those nodes run wattprint"
            " check, which says what keeps meters from being read.",
            "percentunit",
            [query(f"sum by (quality) ({CHOSEN}) / scalar(sum({CHOSEN}))", "{{quality}}", True)],
            "no meter is in use: see the dashboard of wattprint itself",
            (8, 4),
            decimals=1,
            links=[to("self", "Meters", {})],
        )
    )
    built.with_panel(
        number(
            "Time covered",
            "Share of the last day and 30 days that the sums know of, of the worst cluster. Below 1, Prometheus or"
            " its rules stood still or are younger than that, and the sums are too low by about that share.",
            "percentunit",
            [
                query(f"min({recent(f'cluster:wattprint_covered:ratio1d{{{C}}}')})", "1 day", True),
                query(f"min({recent(f'cluster:wattprint_covered:ratio30d{{{C}}}')})", "30 days", True),
            ],
            "the recording rules haven't run for ten minutes yet",
            (6, 4),
            steps=[(None, VERMILION), (0.5, ORANGE), (0.98, BLUE)],
            decimals=1,
        )
    )
    built.with_panel(
        number(
            "Nodes",
            "Nodes that answer now. Fewer than you have: look at Prometheus' targets.",
            "none",
            [query(f"count(wattprint_build_info{{{C}}})", instant=True)],
            "no node is scraped",
            links=[to("self", "wattprint itself", {})],
        )
    )
    pue = f"cluster:wattprint_pue:avg{{{C}}}"
    built.with_panel(
        number(
            "PUE, and nodes without one",
            "Power usage effectiveness, weighted by power, and the nodes where 1 is assumed since none is"
            " configured: their grams leave cooling and losses out. Set carbon.pue there.",
            "none",
            [
                query(
                    f"sum(sum by (cluster) (cluster:wattprint_power_watts:avg5m{{{C}}}) * on (cluster) {pue})"
                    f" / sum(cluster:wattprint_power_watts:avg5m{{{C}}} and on (cluster) {pue})",
                    "PUE",
                    True,
                ),
                query(f"count(wattprint_pue_configured{{{C}}} == 0) or vector(0)", "nodes without", True),
            ],
            "no node is scraped",
            (6, 4),
        )
    )


def where(built):
    built.with_row(row("Where it goes"))
    built.with_panel(
        lines(
            "Power by cluster",
            "IT power by cluster. A step up that nobody planned is worth a look at the nodes of that cluster.",
            "watt",
            [query(f"sum by (cluster) (cluster:wattprint_power_watts:avg5m{{{C}}})", "cluster {{cluster}}")],
            NO_RULES,
            (8, 8),
            stacked=True,
            links=[to("node", "A node of this cluster", {"cluster": "cluster"})],
        )
    )
    built.with_panel(
        lines(
            "Power by component",
            "IT power by component. Other is what a whole-node meter shows beyond CPU, memory and GPU; without such"
            " a meter it isn't known, and the sum is too low by fans, disks and power supplies.",
            "watt",
            [query(f"sum by (component) (cluster:wattprint_power_watts:avg5m{{{C}}})", "{{component}}")],
            NO_RULES,
            (8, 8),
            stacked=True,
        )
    )
    built.with_panel(
        lines(
            "Power by kind of owner",
            f"Who the energy went to: {KINDS}. Idle is what nodes draw without work: pack work on fewer nodes and"
            " switch the others off. Unattributed has no known owner: the dashboard of wattprint itself says why.",
            "watt",
            [query(f"sum by (kind) (cluster:wattprint_owner_energy_joules:increase1m{{{C}}}) / 60", "{{kind}}")],
            NO_RULES,
            (8, 8),
            stacked=True,
        )
    )


def tables(built):
    built.with_panel(
        rows(
            "Clusters",
            "Each cluster's energy, emissions and cover. Compare grams per kWh: work that may run anywhere belongs"
            " where it is low.",
            [
                ("power", "watt", f"sum by (cluster) (cluster:wattprint_power_watts:avg5m{{{C}}})"),
                ("energy 1 d", "kwatth", recent(f"cluster:wattprint_energy_kwh:increase1d{{{C}}}")),
                ("energy 30 d", "kwatth", recent(f"cluster:wattprint_energy_kwh:increase30d{{{C}}}")),
                ("grams 1 d", "massg", recent(f"cluster:wattprint_emissions_grams:increase1d{{{C}}}")),
                ("grams 30 d", "massg", recent(f"cluster:wattprint_emissions_grams:increase30d{{{C}}}")),
                ("grams per kWh", "suffix: g", f"cluster:wattprint_charged_grams_per_kwh:ratio1h{{{C}}}"),
                ("30 d covered", "percentunit", recent(f"cluster:wattprint_covered:ratio30d{{{C}}}")),
            ],
            NO_RULES,
            (24, 6),
            sort="grams 30 d",
            links=[("cluster", link_of_cell("node", "Nodes of this cluster", {"cluster": "cluster"}))],
        )
    )
    top = recent(f"namespace:wattprint_emissions_grams:increase30d{{{C}}}")
    of_top = f"and on (cluster, namespace) topk(10, {top})"
    built.with_panel(
        rows(
            "Namespaces that emit most",
            "The ten Kubernetes namespaces with the highest emissions of 30 days; the one without a name is"
            " containers outside Kubernetes. Follow the link to the workloads behind it.",
            [
                (
                    "power",
                    "watt",
                    f"sum by (cluster, namespace) (namespace:wattprint_power_watts:avg5m{{{C}}}) {of_top}",
                ),
                ("grams 1 d", "massg", recent(f"namespace:wattprint_emissions_grams:increase1d{{{C}}}") + f" {of_top}"),
                ("grams 30 d", "massg", f"topk(10, {top})"),
                ("energy 30 d", "kwatth", recent(f"namespace:wattprint_energy_kwh:increase30d{{{C}}}") + f" {of_top}"),
            ],
            "no container ran in the last 30 days, or the recording rules are younger than ten minutes",
            (12, 10),
            sort="grams 30 d",
            links=[
                (
                    "namespace",
                    link_of_cell(
                        "workloads", "Workloads of this namespace", {"cluster": "cluster", "namespace": "namespace"}
                    ),
                )
            ],
        )
    )
    top = recent(f"node:wattprint_emissions_grams:increase30d{{{C}}}")
    of_top = f"and on (cluster, instance) topk(10, {top})"
    built.with_panel(
        rows(
            "Nodes that emit most",
            "The ten nodes with the highest emissions of 30 days. Follow the link to see by what meters, and who has"
            " it.",
            [
                ("power", "watt", f"sum by (cluster, instance) (node:wattprint_power_watts:avg5m{{{C}}}) {of_top}"),
                ("grams 1 d", "massg", recent(f"node:wattprint_emissions_grams:increase1d{{{C}}}") + f" {of_top}"),
                ("grams 30 d", "massg", f"topk(10, {top})"),
                ("energy 30 d", "kwatth", recent(f"node:wattprint_energy_kwh:increase30d{{{C}}}") + f" {of_top}"),
            ],
            "no node was measured in the last 30 days, or the recording rules are younger than ten minutes",
            (12, 10),
            names={"instance": "node"},
            sort="grams 30 d",
            links=[("node", link_of_cell("node", "This node", {"cluster": "cluster", "node": "instance"}))],
        )
    )
