"""What a unit of work costs, by model, variant and phase."""

from figures import recent, tinted
from models.terms import BY, C, M, NO_BASELINE, NO_MODEL, NO_WORK, TOO_YOUNG, U, called
from parts import BLUE, GREEN, ORANGE, bars, lines, link_of_cell, query, row, rows


def cost(built):
    built.with_row(row("What a unit of work costs"))
    grams = recent(f"model:wattprint_grams_per_unit:ratio1d{{{U}}}")
    operation = recent(f"model:wattprint_operational_grams_per_unit:ratio1d{{{U}}}")
    built.with_panel(
        rows(
            "Grams and joules per unit",
            "SCI, of the last hour and day: grams of operation (PUE included) and of making the hardware, for 1,000"
            " tokens, a request, a sample or a step. Each unit's figure holds all energy of the model, so those of"
            " several units must not be added. Against baseline below 100 % is better. Lower them by larger batches,"
            " fewer idle replicas, quantization, cleaner hours.",
            [
                ("grams 1 h", "massg", f"model:wattprint_grams_per_unit:ratio1h{{{U}}}"),
                ("grams 1 d", "massg", grams),
                ("of operation 1 d", "massg", operation),
                ("joules 1 h", "joule", f"model:wattprint_joules_per_unit:ratio1h{{{U}}}"),
                ("joules 1 d", "joule", recent(f"model:wattprint_joules_per_unit:ratio1d{{{U}}}")),
                ("units 1 d", "short", recent(f"model:wattprint_work:increase1d{{{U}}}")),
                (
                    "against baseline",
                    "percentunit",
                    recent(f"model:wattprint_variant_to_baseline:ratio1d{{{U}}}"),
                ),
                ("saved 1 d", "massg", recent(f"model:wattprint_saved_grams:increase1d{{{U}}}")),
            ],
            NO_WORK,
            (24, 10),
            sort="grams 1 d",
            links=[
                (
                    "model",
                    link_of_cell("models", "This model", {"cluster": "cluster", "model": "model", "phase": "phase"}),
                ),
                ("phase", link_of_cell("workloads", "All workloads", {"cluster": "cluster"})),
            ],
        )
    )
    name = "{{model}} {{variant}} per {{unit}}"
    built.with_panel(
        lines(
            "Grams per unit, 1 hour",
            "Grams of CO2 equivalent per unit over the hour before, the ten highest. Choose one unit. They move with"
            " the grid, with load and with the model: compare with the joules beside this, which don't know the grid.",
            "massg",
            [query(f"topk(10, sum by ({BY}) (model:wattprint_grams_per_unit:ratio1h{{{U}}}))", name)],
            NO_WORK,
        )
    )
    built.with_panel(
        lines(
            "Joules per unit, 1 hour",
            "IT energy per unit over the hour before, the ten highest. Choose one unit. Rising while work falls: idle"
            " power is shared by less work, so scale down.",
            "joule",
            [query(f"topk(10, sum by ({BY}) (model:wattprint_joules_per_unit:ratio1h{{{U}}}))", name)],
            NO_WORK,
        )
    )


def variants(built):
    built.with_row(row("Variant against variant"))
    ratio = recent(f"model:wattprint_variant_to_baseline:ratio1d{{{U}}}")
    # Whichever variants are chosen, they are held against this one.
    baseline = f'{C}, model=~"$model", phase=~"$phase", variant="baseline"'
    name = "{{model}} {{variant}} per {{unit}}"
    built.with_panel(
        bars(
            "Grams against the baseline, 1 day",
            "Grams per unit of the last day over those of the variant called baseline, of the same model, phase and"
            " unit. 60 % saves two fifths; above 100 % is worse, by less load or by other hardware: look at joules, and"
            " give both the same kind of requests. Quality of answers isn't in it.",
            "percentunit",
            [query(f"sort({ratio})", name, True)],
            NO_BASELINE + TOO_YOUNG,
            (8, 9),
        )
    )
    built.with_panel(
        rows(
            "Grams saved, 1 day",
            "What the work of the last day would have emitted more with the baseline. Below zero the variant is worse."
            " Units are views of the same saving: don't add them up.",
            [("saved", "massg", f"sum by ({BY}) ({recent(f'model:wattprint_saved_grams:increase1d{{{U}}}')})")],
            NO_BASELINE + TOO_YOUNG,
            (8, 9),
            hidden=("cluster",),
            sort="saved",
            links=[("model", link_of_cell("models", "This model", {"model": "model", "phase": "phase"}))],
        )
    )
    built.with_panel(
        lines(
            "Joules per unit by variant, 1 hour",
            "IT energy per unit by variant, the grid left out. Lines that come close under high load: the saving is in"
            " idle power; lines that stay apart: it is in the work itself.",
            "joule",
            [
                query(
                    f"topk(10, sum by ({BY}) (model:wattprint_joules_per_unit:ratio1h{{{U}}}"
                    f" and on (cluster, model, phase, unit) model:wattprint_joules_per_unit:ratio1h{{{baseline}}}))",
                    name,
                )
            ],
            NO_BASELINE,
            (8, 9),
        )
    )


def phases(built):
    built.with_row(row("Training against inference"))
    colours = {"training": ORANGE, "inference": BLUE, "evaluation": GREEN}
    built.with_panel(
        tinted(
            bars(
                "Energy by phase, 30 days",
                "IT energy of the last 30 days by phase. No phase: a model without wattprint.io/phase. Training is paid"
                " once, inference for as long as the model serves: say for which you optimize.",
                "kwatth",
                [
                    query(
                        called(f"sum by (phase) ({recent(f'model:wattprint_energy_kwh:increase30d{{{M}}}')})"),
                        "{{phase}}",
                        True,
                    )
                ],
                NO_MODEL + TOO_YOUNG,
                (6, 8),
            ),
            colours,
        )
    )
    built.with_panel(
        tinted(
            bars(
                "Emissions by phase, 30 days",
                "Grams of CO2 equivalent of the last 30 days by phase, PUE included. Training can wait for clean hours;"
                " inference mostly can't.",
                "massg",
                [
                    query(
                        called(f"sum by (phase) ({recent(f'model:wattprint_emissions_grams:increase30d{{{M}}}')})"),
                        "{{phase}}",
                        True,
                    )
                ],
                NO_MODEL + TOO_YOUNG,
                (6, 8),
            ),
            colours,
        )
    )
    built.with_panel(
        tinted(
            lines(
                "Power by phase",
                "IT power by phase. Training in dirty hours: move it, see the dashboard Carbon-aware.",
                "watt",
                [query(called(f"sum by (phase) (model:wattprint_power_watts:avg5m{{{M}}})"), "{{phase}}")],
                NO_MODEL,
                (12, 8),
                stacked=True,
            ),
            colours,
        )
    )
    built.with_panel(
        rows(
            "Models",
            "All that a model used and emitted, whether its work is counted or not. A model that is missing has no"
            " annotation; one that is here and not in the first table has no counter of its work.",
            [
                ("power", "watt", f"model:wattprint_power_watts:avg5m{{{M}}}"),
                ("energy 1 h", "kwatth", f"model:wattprint_energy_kwh:increase1h{{{M}}}"),
                ("energy 1 d", "kwatth", recent(f"model:wattprint_energy_kwh:increase1d{{{M}}}")),
                ("energy 30 d", "kwatth", recent(f"model:wattprint_energy_kwh:increase30d{{{M}}}")),
                ("grams 1 h", "massg", f"model:wattprint_emissions_grams:increase1h{{{M}}}"),
                ("grams 1 d", "massg", recent(f"model:wattprint_emissions_grams:increase1d{{{M}}}")),
                ("grams 30 d", "massg", recent(f"model:wattprint_emissions_grams:increase30d{{{M}}}")),
            ],
            NO_MODEL,
            (24, 8),
            sort="grams 30 d",
            links=[
                (
                    "model",
                    link_of_cell(
                        "models",
                        "This model",
                        {"cluster": "cluster", "model": "model", "variant": "variant", "phase": "phase"},
                    ),
                )
            ],
        )
    )
