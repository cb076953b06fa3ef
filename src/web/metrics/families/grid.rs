//! Families of what turns energy into grams and litres, and of the sources that say so.

use std::collections::BTreeMap;

use super::{Family, Samples, Source, count, counter, gauge};
use crate::carbon::grid::{FetchResult, Signal};
use crate::units::UnixTime;

const SOURCE: &[&str] = &["provider", "grid_zone"];

/// What is in force, then what is ahead, then how the sources fare.
pub(super) const FAMILIES: &[Family] = &[
    gauge(
        "wattprint_grid_carbon_intensity_grams_per_kwh",
        &["grid_zone", "provider", "basis", "quality"],
        "Emission factor of the grid in force, in grams of CO2 equivalent per kilowatt-hour.",
        |source, out| {
            let grid = &source.snapshot.grid;
            let labels = [&*grid.zone, &*grid.provider, grid.basis, grid.quality];
            out.push(&labels, &[], grid.intensity.0);
        },
    ),
    gauge(
        "wattprint_grid_carbon_intensity_age_seconds",
        &[],
        "Time since the source of the emission factor in force was last heard. Absent unless the factor is live.",
        |source, out| push(out, source.snapshot.grid_age.map(|age| age.as_secs_f64())),
    ),
    gauge(
        "wattprint_grid_market_intensity_grams_per_kwh",
        &["residual"],
        "Market-based emission factor in force. Label residual tells what counts for electricity without a contract: \
         configured (a residual mix) or location (the grid's factor). Absent unless market.* is configured.",
        |source, out| {
            if let Some(market) = source.snapshot.market {
                out.push(&[market.residual], &[], market.intensity.0);
            }
        },
    ),
    gauge(
        "wattprint_grid_marginal_intensity_grams_per_kwh",
        &["grid_zone", "provider"],
        "What one more kilowatt-hour would cause now, in grams of CO2 equivalent; for decisions, never part of a \
         counter. Absent where no source tells.",
        |source, out| {
            let now = UnixTime::since_epoch(source.snapshot.unix_time);
            for series in source.snapshot.grid_state.sources.iter().flat_map(|state| &state.series) {
                if let Some(slot) = series.slots.at(now).filter(|_| series.signal == Signal::Marginal) {
                    out.push(&[&*series.zone, &*series.provider], &[], slot.intensity.0);
                }
            }
        },
    ),
    gauge(
        "wattprint_pue_ratio",
        &[],
        "Power usage effectiveness in force: facility energy over IT energy.",
        |source, out| out.push(&[], &[], source.snapshot.pue.0),
    ),
    gauge(
        "wattprint_pue_configured",
        &[],
        "1 where the operator gives the power usage effectiveness, 0 where it is 1 for want of any.",
        |source, out| out.push(&[], &[], f64::from(u8::from(source.snapshot.pue_configured))),
    ),
    gauge(
        "wattprint_pue_last_success_timestamp_seconds",
        &[],
        "When the power usage effectiveness was last read from its file or query, in seconds since the Unix epoch. A day \
         later it isn't used any more. Absent where it is a constant.",
        |source, out| push(out, source.snapshot.grid_state.pue_read.map(UnixTime::as_seconds)),
    ),
    gauge(
        "wattprint_wue_liters_per_kwh",
        &[],
        "Water usage effectiveness: litres that the site uses per kilowatt-hour of IT energy. Absent unless configured.",
        |source, out| push(out, source.snapshot.wue.map(|wue| wue.0)),
    ),
    // What is ahead.
    gauge(
        "wattprint_grid_forecast_grams_per_kwh",
        &["hours_ahead"],
        "Emission factor of the grid at that many hours from now, by the first source that tells of the time to come.",
        |source, out| {
            for (hours, intensity) in source.snapshot.grid_outlook.iter().flat_map(|outlook| &outlook.hourly)
            {
                out.push(&[&hours.to_string()], &[], intensity.0);
            }
        },
    ),
    gauge(
        "wattprint_grid_best_window_start_timestamp_seconds",
        &["hours"],
        "Start of the cleanest stretch of that many hours ahead, in seconds since the Unix epoch.",
        |source, out| {
            for window in source.snapshot.grid_outlook.iter().flat_map(|outlook| &outlook.windows) {
                out.push(&[&window.hours.to_string()], &[], window.start.as_seconds());
            }
        },
    ),
    gauge(
        "wattprint_grid_best_window_grams_per_kwh",
        &["hours"],
        "Mean emission factor of the grid in the cleanest stretch of that many hours ahead.",
        |source, out| {
            for window in source.snapshot.grid_outlook.iter().flat_map(|outlook| &outlook.windows) {
                out.push(&[&window.hours.to_string()], &[], window.mean.0);
            }
        },
    ),
    // How the sources fare.
    counter(
        "wattprint_grid_fetches_total",
        &["provider", "grid_zone", "result"],
        "Rounds of requests to a live source of emission factors since the daemon started, by how they went; one that \
         brought something is a success.",
        fetches,
    ),
    gauge(
        "wattprint_grid_source_last_success_timestamp_seconds",
        SOURCE,
        "When a live source of emission factors last brought a value, in seconds since the Unix epoch. Absent until it \
         has.",
        |source, out| {
            for state in &source.snapshot.grid_state.sources {
                if let Some(success) = state.last_success {
                    out.push(&[state.provider, &*state.zone], &[], success.as_seconds());
                }
            }
        },
    ),
];

/// Requests of all sources; two may ask the same provider for the same zone.
fn fetches(source: Source<'_>, out: &mut Samples) {
    let mut sums: BTreeMap<(&str, &str, FetchResult), u64> = BTreeMap::new();
    for state in &source.snapshot.grid_state.sources {
        for (&result, &fetches) in &state.fetches {
            *sums.entry((state.provider, &*state.zone, result)).or_default() += fetches;
        }
    }
    for ((provider, zone, result), fetches) in sums {
        out.push(&[provider, zone, result.as_str()], &[], count(fetches));
    }
}

fn push(out: &mut Samples, value: Option<f64>) {
    if let Some(value) = value {
        out.push(&[], &[], value);
    }
}
