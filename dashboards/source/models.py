"""Model efficiency (SCI): joules and grams per unit of work, by model, variant and phase."""

from figures import recent, tinted
from parts import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
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
    variable,
)

C = 'cluster=~"$cluster"'
M = f'{C}, model=~"$model", variant=~"$variant", phase=~"$phase"'
U = f'{M}, unit=~"$unit"'
BY = "cluster, model, variant, phase, unit"
NO_MODEL = (
    "no pod or job of these says what it runs: annotate pods with wattprint.io/model, /variant and /phase, or set"
    " WATTPRINT_MODEL, WATTPRINT_VARIANT and WATTPRINT_PHASE in a job's environment"
)
NO_WORK = (
    "no work is counted for these: Prometheus must scrape the server's tokens and requests with the labels namespace"
    " and pod, or the job's own wattprint_work_total{unit}; and the pod needs wattprint.io/model or /phase"
)
NO_BASELINE = (
    "nothing to compare: annotate one Deployment of the model with wattprint.io/variant: baseline, another one with"
    " its own variant, and the same phase; both must count the same unit of work"
)
NO_PLAN = "no run says what it plans: expose wattprint_work_planned{unit} beside wattprint_work_total{unit}"
TOO_YOUNG = "; or the recording rules are younger than five minutes"


def of_models(name, label, description, series, narrowed):
    chosen = ", ".join(f'{each}=~"${each}"' for each in narrowed)
    return variable(name, label, description, f"label_values({series}{{{chosen}}}, {name})")


def build():
    energy = "model:wattprint_energy_joules:increase1m"
    built = board(
        "models",
        "wattprint / Model efficiency",
        "Joules and grams of CO2 equivalent per 1,000 tokens, request, sample or step (Software Carbon Intensity), by"
        " model, variant and phase.",
        [
            cluster(),
            of_models("model", "Model", "By annotation wattprint.io/model.", energy, ["cluster"]),
            of_models("phase", "Phase", "Training, inference and so on.", energy, ["cluster", "model"]),
            of_models(
                "variant", "Variant", "Baseline, quantized, pruned ...", energy, ["cluster", "model", "phase"]
            ),
            of_models(
                "unit",
                "Unit of work",
                "Each unit's figures hold all energy of the model: those of several units must not be added.",
                "model:wattprint_work:increase1m",
                ["cluster", "model", "phase"],
            ),
        ],
    )
    for part in (cost, variants, phases, work, planned, embodied):
        part(built)
    return built


def called(expr):
    """Series without a phase by a name that a legend can show."""
    return f'label_replace({expr}, "phase", "no phase", "phase", "")'


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
