"""Model efficiency (SCI): joules and grams per unit of work, by model, variant and phase."""

from models.plans import embodied, planned, work
from models.terms import of_models
from models.units import cost, phases, variants
from parts import board, cluster


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
