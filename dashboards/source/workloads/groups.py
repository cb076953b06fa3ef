"""Namespaces and workloads, over all their containers, and their carbon accounting."""

from figures import equivalences, recent, sources, tinted, windows
from parts import BLUE, ORANGE, PURPLE, bars, lines, link_of_cell, number, query, row, rows, to
from workloads.terms import C, N, NO_CONTAINER, W, called


def now(built):
    built.with_row(row("The chosen namespaces"))
    power = f"sum(namespace:wattprint_power_watts:avg5m{{{N}}})"
    built.with_panel(
        number(
            "Power",
            "IT power of these namespaces, mean of five minutes, with the GPUs that they hold. If it doesn't fall when"
            " you scale down, look at the table of workloads for what stayed.",
            "watt",
            [query(power, instant=True)],
            NO_CONTAINER,
        )
    )
    built.with_panel(
        number(
            "Share of the clusters",
            "Their share of the power of all nodes of these clusters. The rest is other namespaces, units, jobs, and"
            " what nobody uses: see the fleet.",
            "percentunit",
            [query(f"{power} / sum(cluster:wattprint_power_watts:avg5m{{{C}}})", instant=True)],
            NO_CONTAINER,
            decimals=1,
            links=[to("fleet", "The whole fleet", {})],
        )
    )
    built.with_panel(
        number(
            "Energy",
            "IT energy of these namespaces in the last hour, day and 30 days, containers that ended included. Show it"
            " to the teams that caused it.",
            "kwatth",
            windows("namespace", "wattprint_energy_kwh", N),
            NO_CONTAINER,
            (8, 4),
        )
    )
    built.with_panel(
        number(
            "Emissions",
            "Location-based grams of CO2 equivalent, PUE included. Less work, or the same work in cleaner hours,"
            " lowers them.",
            "massg",
            windows("namespace", "wattprint_emissions_grams", N),
            "no emissions yet: no factor of the grid is known, or the recording rules are missing",
            (8, 4),
            links=[to("carbon", "Cleaner hours and places", {})],
        )
    )


def namespaces(built):
    built.with_row(row("Namespaces"))

    def unused(state):
        series = f'namespace:wattprint_gpu_unused_joules:increase1m{{{N}, state="{state}"}}'
        return f"sum by (cluster, namespace) (sum_over_time({series}[23h59m59s999ms] offset 1m)) / 3.6e6"

    used = f"namespace:wattprint_carbon_budget_used:ratio30d{{{N}}}"
    burn = f"namespace:wattprint_carbon_budget_burn:ratio6h{{{N}}}"
    built.with_panel(
        rows(
            "Namespaces",
            "Each namespace; the one without a name is containers outside Kubernetes. GPU idle is energy of cards that"
            " were held without work, GPU parked of contexts that did none: give those cards back. Budget used is the"
            " share of 30 days' grams; a burn of 1 spends exactly the budget, and 2 twice that. Follow the link for"
            " one namespace.",
            [
                ("power", "watt", f"sum by (cluster, namespace) (namespace:wattprint_power_watts:avg5m{{{N}}})"),
                ("energy 1 d", "kwatth", recent(f"namespace:wattprint_energy_kwh:increase1d{{{N}}}")),
                ("energy 30 d", "kwatth", recent(f"namespace:wattprint_energy_kwh:increase30d{{{N}}}")),
                ("grams 1 h", "massg", f"namespace:wattprint_emissions_grams:increase1h{{{N}}}"),
                ("grams 1 d", "massg", recent(f"namespace:wattprint_emissions_grams:increase1d{{{N}}}")),
                ("grams 30 d", "massg", recent(f"namespace:wattprint_emissions_grams:increase30d{{{N}}}")),
                ("GPU idle 1 d", "kwatth", unused("idle")),
                ("GPU parked 1 d", "kwatth", unused("parked")),
                ("budget used", "percentunit", used),
                ("burn 6 h", "none", burn),
            ],
            "no container ran in the last 30 days, or the recording rules are younger than ten minutes",
            (24, 9),
            sort="grams 30 d",
            links=[
                (
                    "namespace",
                    link_of_cell(
                        "workloads", "This namespace", {"cluster": "cluster", "namespace": "namespace"}
                    ),
                ),
                (
                    "GPU idle 1 d",
                    link_of_cell("gpu", "Cards without work", {"cluster": "cluster", "namespace": "namespace"}),
                ),
            ],
        )
    )
    built.with_panel(
        lines(
            "Power by namespace, highest ten",
            "IT power by namespace, the ten highest at each time. A step that nobody planned is a rollout or a leak:"
            " look at its workloads.",
            "watt",
            [
                query(
                    called(f"topk(10, sum by (cluster, namespace) (namespace:wattprint_power_watts:avg5m{{{N}}}))"),
                    "{{cluster}} {{namespace}}",
                )
            ],
            NO_CONTAINER,
            (9, 8),
        )
    )
    built.with_panel(
        lines(
            "Budget burn by namespace, 1 hour",
            "How fast a namespace spends its carbon budget: 1 spends exactly the budget in 30 days, 14.4 in two days,"
            " which is when the critical alert comes. Above 1 for long: less work, cleaner hours, or a larger budget.",
            "none",
            [
                query(
                    called(f"topk(10, namespace:wattprint_carbon_budget_burn:ratio1h{{{N}}})"),
                    "{{cluster}} {{namespace}}",
                )
            ],
            "no budget is recorded for these: record namespace:wattprint_carbon_budget_grams:30d",
            (9, 8),
        )
    )
    built.with_panel(
        bars(
            "Budget used, 30 days",
            "Share of the carbon budget that the last 30 days used, of the ten highest. Above 100 % the budget is"
            " spent: agree on a larger one, or do less.",
            "percentunit",
            [
                query(
                    called(f"topk(10, {used})"),
                    "{{cluster}} {{namespace}}",
                    True,
                )
            ],
            "no budget is recorded for these: record namespace:wattprint_carbon_budget_grams:30d",
            (6, 8),
        )
    )


def workloads(built):
    built.with_row(row("Workloads of these namespaces"))
    grams = recent(f"workload:wattprint_emissions_grams:increase1d{{{W}}}")
    top = f"topk(100, {grams})"
    built.with_panel(
        rows(
            "Workloads",
            "The hundred controllers with the highest emissions of the last day; without a controller: pods by"
            " themselves and containers outside Kubernetes. Phase, model and variant come from the annotations"
            " wattprint.io/phase, /model and /variant. Follow the links for its pods, or for grams per unit of work.",
            [
                ("power", "watt", f"workload:wattprint_power_watts:avg5m{{{W}}} and {top}"),
                ("energy 1 h", "kwatth", f"workload:wattprint_energy_kwh:increase1h{{{W}}} and {top}"),
                ("energy 1 d", "kwatth", recent(f"workload:wattprint_energy_kwh:increase1d{{{W}}}") + f" and {top}"),
                ("grams 1 h", "massg", f"workload:wattprint_emissions_grams:increase1h{{{W}}} and {top}"),
                ("grams 1 d", "massg", top),
                (
                    "grams 30 d",
                    "massg",
                    recent(f"workload:wattprint_emissions_grams:increase30d{{{W}}}") + f" and {top}",
                ),
            ],
            "no workload of these ran in the last day, or the recording rules are younger than five minutes",
            (24, 10),
            sort="grams 1 d",
            names={"owner_kind": "kind", "owner_name": "workload"},
            links=[
                (
                    "workload",
                    link_of_cell(
                        "workloads",
                        "Pods of this workload",
                        {"cluster": "cluster", "namespace": "namespace", "workload": "owner_name"},
                    ),
                ),
                (
                    "model",
                    link_of_cell(
                        "models", "This model", {"cluster": "cluster", "model": "model", "variant": "variant"}
                    ),
                ),
            ],
        )
    )
    built.with_panel(
        bars(
            "Highest ten by emissions, 1 day",
            "Grams of the last day by controller. Start with the highest.",
            "massg",
            [
                query(
                    called(f"topk(10, sum by (namespace, owner_name) ({grams}))"),
                    "{{namespace}} {{owner_name}}",
                    True,
                )
            ],
            "no workload of these ran in the last day, or the recording rules are younger than five minutes",
            (10, 9),
        )
    )
    built.with_panel(
        lines(
            "Power by workload, highest ten",
            "IT power by controller, the ten highest at each time. Flat through the night: could it scale down then?",
            "watt",
            [
                query(
                    called(f"topk(10, sum by (namespace, owner_name) (workload:wattprint_power_watts:avg5m{{{W}}}))"),
                    "{{namespace}} {{owner_name}}",
                )
            ],
            NO_CONTAINER,
            (14, 9),
        )
    )


def footprint(built):
    built.with_row(row("Carbon accounting of the chosen namespaces"))
    operation = f"namespace:wattprint_emissions_grams:increase1m{{{N}}}"
    market = f"namespace:wattprint_market_emissions_grams:increase1m{{{N}}}"
    embodied = f"namespace:wattprint_embodied_emissions_grams:increase1m{{{N}}}"
    built.with_panel(
        tinted(
            lines(
                "Emissions an hour: location-based, market-based, embodied",
                "Two views of the same electricity that are never added: the grid's mix (location-based), and contracts"
                " and certificates (market-based, where market.* is configured). Embodied is making the hardware (where"
                " embodied.enabled is set), on top of either. Report the two views side by side.",
                "massg",
                [
                    query(f"sum({operation}) * 60", "location-based"),
                    query(f"sum({market}) * 60", "market-based"),
                    query(f"sum({embodied}) * 60", "embodied"),
                ],
                "no emissions yet: no factor of the grid is known, or the recording rules are missing",
                (10, 8),
            ),
            {"location-based": BLUE, "market-based": ORANGE, "embodied": PURPLE},
        )
    )
    for title, about, series, empty in (
        (
            "Market-based, 1 day",
            "Emissions of the last day by contracts and certificates. Far from the location-based ones: say so beside"
            " either figure.",
            market,
            "not configured: set market.* in wattprint's configuration",
        ),
        (
            "Embodied, 1 day",
            "These containers' part of making the hardware, in the last day. It is theirs for what they hold, busy or"
            " not: hold less.",
            embodied,
            "not configured: set embodied.enabled in wattprint's configuration",
        ),
    ):
        built.with_panel(
            number(title, about, "massg", [query(f"sum(sum_over_time({series}[23h59m59s999ms] offset 1m))", instant=True)], empty, (4, 8))
        )
    built.with_panel(
        number(
            "Emissions of 30 days are as much as",
            "The same grams in things that people know, to get a feeling for them; not for reports. " + sources(),
            "short",
            equivalences(f"sum({recent(f'namespace:wattprint_emissions_grams:increase30d{{{N}}}')})"),
            "no emissions of the last 30 days are known yet",
            (6, 8),
            steps=[(None, BLUE)],
            decimals=1,
        )
    )
