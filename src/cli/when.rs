//! `wattprint when`: the best time in the forecast to begin something, and what that saves against now.

mod answer;
mod ask;
mod text;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;

use self::answer::{Question, Work};
use self::ask::ask;
pub(super) use self::ask::daemon;
use crate::cli::{CliError, carbon, quantity};
use crate::config::Loaded;
use crate::sampler::Clock;
use crate::units::{Microjoules, Pue, UnixTime, Watts};

/// Forecasts have slots of 5 to 60 minutes.
const SHORTEST: Duration = Duration::from_secs(900);
/// No forecast goes further.
const LONGEST: Duration = Duration::from_secs(72 * 3_600);

/// The length that a text means: hours, or a duration with units.
///
/// # Errors
/// Neither, or not from a quarter of an hour to three days.
pub(super) fn length(text: &str) -> Result<Duration, &'static str> {
    let length = quantity::hours(text).ok().or_else(|| humantime::parse_duration(text).ok());
    length
        .filter(|length| (SHORTEST..=LONGEST).contains(length))
        .ok_or("must be 0.25 to 72 hours, such as 4 or 90min")
}

/// Answers what the options ask.
pub(super) fn run(loaded: &Loaded, options: &ArgMatches, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let now = UnixTime::since_epoch(Clock::new()?.unix());
    // The command line requires it.
    let length = options.get_one::<Duration>("hours").copied().unwrap_or(SHORTEST);
    let work = match energy(options, length)? {
        Some(energy) => Some(Work { energy, pue: pue(loaded)? }),
        None => None,
    };
    let question = Question { now, length, basis: loaded.settings.carbon.basis, work };
    let places = ask::places(&loaded.settings, options.get_one::<String>("daemon").map(String::as_str));
    let answer =
        answer::first(&question, &places, |place| ask(place, loaded, now)).map_err(CliError::NoForecast)?;
    if options.get_flag("json") {
        serde_json::to_writer_pretty(&mut *out, &answer)?;
        writeln!(out)?;
    } else {
        text::write(&answer, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The facility's overhead, read as the daemon does; while it can't be, what holds for the daemon then.
fn pue(loaded: &Loaded) -> Result<Pue, CliError> {
    let constant = Pue(loaded.settings.carbon.pue.unwrap_or(1.0));
    let read = carbon::pue(loaded)?.and_then(|(source, http)| source.read(&http).ok());
    Ok(read.unwrap_or(constant))
}

/// The energy of the work, given as such or as a power over the length.
fn energy(options: &ArgMatches, length: Duration) -> Result<Option<Microjoules>, CliError> {
    if let Some(energy) = options.get_one::<Microjoules>("energy") {
        return Ok(Some(*energy));
    }
    let over = |power: &Watts| quantity::over(*power, length);
    options.get_one::<Watts>("power").map(over).transpose().map_err(|error| CliError::Setting {
        origin: String::new(),
        text: format!("--power x --hours: {error}"),
    })
}

#[cfg(test)]
mod tests;
