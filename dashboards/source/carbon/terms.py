"""What is asked of the grid: selectors, factors, and what empty panels mean."""

from figures import recent

C = 'cluster=~"$cluster"'
Z = f'{C}, grid_zone=~"$grid_zone"'
H = f'{Z}, hours=~"$hours"'
FACTOR = f"zone:wattprint_grid_carbon_intensity_grams_per_kwh:avg{{{Z}}}"
NOW = f"avg by (cluster, grid_zone) ({FACTOR})"
BEST = f"zone:wattprint_grid_best_window_grams_per_kwh:avg{{{H}}}"
START = f"zone:wattprint_grid_best_window_start_timestamp_seconds:min{{{H}}}"
PUE = f"cluster:wattprint_pue:avg{{{C}}}"
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
