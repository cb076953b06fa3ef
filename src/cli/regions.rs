//! `wattprint regions`: what the same work would emit elsewhere.

mod text;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use serde::Serialize;

use crate::carbon::equivalences::{Equivalent, equivalents};
use crate::carbon::provider_pue::SourcedPue;
use crate::carbon::whatif::{self, Origin, PlaceKind, Ranking, Standing};
use crate::cli::{CliError, quantity};
use crate::config::{Basis, Carbon, Loaded};
use crate::units::{Grams, Microjoules, Pue, Watts};

/// The configured overhead, as the source of a figure.
const OWN_PUE: &str = "carbon.pue";

/// What isn't in the figures.
const CAVEATS: [&str; 4] = [
    "The factors are yearly averages of the year shown: the hour matters as well, and forecasts aren't in it.",
    "Moving data, latency, price, and making the hardware aren't in it.",
    "A provider's PUE is one figure for all its regions. Where none is known it counts as 1.0, which flatters the place.",
    "Life-cycle and direct figures aren't comparable, and direct ones of Chinese provinces count CO2 alone.",
];

/// Everything that is answered.
#[derive(Debug, Serialize)]
struct Report<'a> {
    energy_kwh: f64,
    lists: Vec<List<'a>>,
    caveats: [&'static str; 4],
}

/// The places that are known on one basis.
#[derive(Debug, Serialize)]
struct List<'a> {
    basis: Basis,
    /// How many places are ranked.
    places: usize,
    /// Why there is no comparison with `--from`.
    no_comparison: Option<String>,
    /// The place of `--from`.
    from: Option<&'a Standing>,
    /// The places that are shown.
    ranking: Vec<&'a Standing>,
    saving: Option<Move<'a>>,
}

/// What a move to the best place saves.
#[derive(Debug, Serialize)]
struct Move<'a> {
    /// `--from`, or the median place.
    from: &'a str,
    to: &'a str,
    grams: Grams,
    equivalents: Vec<Equivalent>,
}

/// The configured overhead, where a place is the configured one or none is configured.
fn own_pue(settings: &Carbon, code: &str) -> Option<SourcedPue> {
    let own = [&settings.zone, &settings.cloud];
    let is_own = own.iter().all(|place| place.is_none())
        || own.into_iter().flatten().any(|place| place.eq_ignore_ascii_case(code));
    let ratio = settings.pue.filter(|_| is_own)?;
    Some(SourcedPue { ratio: Pue(ratio), low: None, source: OWN_PUE.into() })
}

/// Ranks what the options ask for.
pub(super) fn run(loaded: &Loaded, options: &ArgMatches, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let energy = energy(options)?;
    let from = options.get_one::<String>("from");
    let from = from.map(|code| Origin { code: code.clone(), pue: own_pue(&loaded.settings.carbon, code) });
    let known = match &from {
        Some(from) => whatif::bases(&from.code).map_err(|error| usage(format!("--from = {error}")))?,
        None => Vec::new(),
    };
    let only = options.get_one::<String>("only").map(|kind| match kind.as_str() {
        "clouds" => PlaceKind::CloudRegion,
        _ => PlaceKind::Zone,
    });
    let basis = options.get_one::<String>("basis");
    let rankings: Vec<Ranking> = [Basis::Lifecycle, Basis::Direct]
        .into_iter()
        .filter(|one| basis.is_none_or(|wanted| wanted == one.as_str()))
        .map(|basis| whatif::rank(energy, basis, only, from.as_ref()))
        .collect();
    let limit = options.get_one::<usize>("limit").copied().unwrap_or_default();
    let lists = rankings.iter().map(|ranking| list(ranking, limit, from.as_ref(), &known)).collect();
    let report = Report { energy_kwh: energy.as_joules() / 3.6e6, lists, caveats: CAVEATS };
    if options.get_flag("json") {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        text::write(&report, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The energy that is asked about, given as such or as a power over hours.
fn energy(options: &ArgMatches) -> Result<Microjoules, CliError> {
    if let Some(energy) = options.get_one::<Microjoules>("energy") {
        return Ok(*energy);
    }
    // The command line needs both where it has no energy.
    let power = options.get_one::<Watts>("power").copied().unwrap_or_default();
    let hours = options.get_one::<Duration>("hours").copied().unwrap_or_default();
    quantity::over(power, hours).map_err(|error| usage(format!("--power x --hours: {error}")))
}

fn list<'a>(ranking: &'a Ranking, limit: usize, from: Option<&Origin>, known: &[Basis]) -> List<'a> {
    let no_comparison = from.filter(|_| ranking.from.is_none()).map(|from| {
        let bases: Vec<&str> = known.iter().map(|basis| basis.as_str()).collect();
        format!(
            "no comparison with {}: it is known by {} emissions only",
            from.code.trim(),
            bases.join(" and ")
        )
    });
    let saving = ranking.saving().map(|saving| Move {
        from: &saving.from.place.code,
        to: &saving.best.place.code,
        grams: saving.grams,
        equivalents: equivalents(saving.grams),
    });
    List {
        basis: ranking.basis,
        places: ranking.standings.len(),
        no_comparison,
        from: ranking.origin(),
        ranking: ranking.shown(limit),
        saving,
    }
}

fn usage(text: String) -> CliError {
    CliError::Setting { origin: String::new(), text }
}

#[cfg(test)]
mod tests;
