"""The work done, what is planned, and the part of the hardware."""

from figures import recent, tinted
from models.terms import BY, M, NO_MODEL, NO_PLAN, NO_WORK, TOO_YOUNG, U
from parts import BLUE, PURPLE, bars, lines, link_of_cell, note, number, query, row, rows


def work(built):
    built.with_row(row("Work done"))
    built.with_panel(
        lines(
            "Work an hour",
            "Units of work an hour, the ten highest; tokens are counted in thousands. Zero while power is drawn:"
            " replicas that serve nobody.",
            "short",
            [
                query(
                    f"topk(10, sum by ({BY}) (model:wattprint_work:increase1m{{{U}}})) * 60",
                    "{{model}} {{variant}} {{unit}}",
                )
            ],
            NO_WORK,
        )
    )
    built.with_panel(
        lines(
            "Power of models without work",
            "IT power of models that count work and did none in the last hour: loaded and unused. Scale them to zero.",
            "watt",
            [
                query(
                    f"topk(10, sum by (cluster, model, variant, phase) (model:wattprint_power_watts:avg5m{{{M}}})"
                    f" and on (cluster, model, variant, phase) (model:wattprint_work:increase1h{{{M}}} == 0)"
                    f" unless on (cluster, model, variant, phase) (model:wattprint_work:increase1h{{{M}}} > 0))",
                    "{{model}} {{variant}} {{phase}}",
                )
            ],
            "every model that counts its work did some in the last hour, or none counts any",
        )
    )


def planned(built):
    built.with_row(row("What an early stop saves"))
    remaining = f"model:wattprint_remaining_grams:estimate{{{U}}}"
    spent = recent(f"model:wattprint_emissions_grams:increase30d{{{M}}}")
    built.with_panel(
        rows(
            "What planned work would still emit",
            "Grams that finishing the planned work would still emit, at the grams per unit of the last day, beside what"
            " the model emitted in 30 days. If the loss has stopped falling, this is what an early stop saves.",
            [
                ("still to come", "massg", remaining),
                (
                    "emitted 30 d",
                    "massg",
                    f"{remaining} * 0 + on (cluster, model, variant, phase) group_left () {spent}",
                ),
            ],
            NO_PLAN,
            (12, 8),
            sort="still to come",
            links=[("model", link_of_cell("jobs", "Its jobs", {"cluster": "cluster"}))],
        )
    )
    built.with_panel(
        lines(
            "Still to come, over time",
            "The estimate for runs under way. It should fall steadily; where it rises, the grid got dirtier, steps got"
            " slower, or more was planned.",
            "massg",
            [query(f"topk(10, sum by ({BY}) ({remaining}))", "{{model}} {{variant}} by {{unit}}")],
            NO_PLAN,
            (7, 8),
        )
    )
    built.with_panel(
        number(
            "Left out by stopping early, 1 day",
            "The last estimate of what runs that ended in the last day would still have emitted, the largest by its"
            " unit, over all clusters and phases. A run that crashed counts, too: look whether it stopped on purpose.",
            "massg",
            [
                query(
                    "topk(5, sum by (model, variant) (max by (cluster, model, variant, phase)"
                    f" ({recent(f'model:wattprint_early_stop_saved_grams:last1d{{{U}}}')} > 0)))",
                    "{{model}} {{variant}}",
                    True,
                )
            ],
            "no run with a plan ended early in the last day",
            (5, 8),
        )
    )


def embodied(built):
    built.with_row(row("Operation and hardware"))
    grams = recent(f"model:wattprint_grams_per_unit:ratio1d{{{U}}}")
    operation = recent(f"model:wattprint_operational_grams_per_unit:ratio1d{{{U}}}")
    built.with_panel(
        tinted(
            lines(
                "Emissions an hour: operation and hardware",
                "Grams an hour of running these models, and their part of making the hardware. The larger the second,"
                " the more it pays to use hardware to the full and for longer.",
                "massg",
                [
                    query(f"sum(model:wattprint_emissions_grams:increase1m{{{M}}}) * 60", "operation"),
                    query(f"sum(model:wattprint_embodied_emissions_grams:increase1m{{{M}}}) * 60", "hardware"),
                ],
                NO_MODEL,
                (9, 8),
                stacked=True,
            ),
            {"operation": BLUE, "hardware": PURPLE},
        )
    )
    built.with_panel(
        bars(
            "Hardware's share of the grams per unit, 1 day",
            "Share of making the hardware in the grams per unit. Zero: no embodied emissions are known for these (set"
            " embodied.enabled), so SCI is the operational part alone.",
            "percentunit",
            [query(f"topk(10, 1 - {operation} / ({grams} > 0))", "{{model}} {{variant}} per {{unit}}", True)],
            NO_WORK + TOO_YOUNG,
            (8, 8),
        )
    )
    built.with_panel(
        note(
            "What the figures are",
            "**SCI** (ISO/IEC 21031) = (energy x grid factor + hardware) per unit of work. Energy and work are of the"
            " same minutes, idle power included. There is no ratio where there was no work.\n\nTraining and inference"
            " are never added: one is paid by who makes the model, the other by who asks it. Market-based factors are"
            " left out, as SCI allows none. The quality of a model is in none of these figures.",
            (7, 8),
        )
    )
