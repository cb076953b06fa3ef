"""Carbon-aware: how dirty the grid is now and ahead, and what energy would have emitted at other hours and places."""

from grafana_foundation_sdk.models import dashboard as model

from carbon.account import over_time, sources, views
from carbon.moment import ahead, elsewhere, now, otherwise
from carbon.terms import C, REGIONS, Z
from parts import board, cluster, variable


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
