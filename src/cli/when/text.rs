//! The answer for a person. The local time isn't known, so all times are UTC.

use std::io::{self, Write};
use std::time::Duration;

use jiff::Timestamp;

use crate::cli::quantity::{figures, mass};
use crate::cli::when::answer::{Answer, Start};
use crate::units::{Grams, UnixTime};

/// Writes the best start, the grams, other starts, and where all that comes from.
pub(super) fn write(answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    let Answer { now, best, starting_now, .. } = answer;
    let at = format!("{} at {} g/kWh", span(answer.length), figures(best.window.mean.0));
    match starting_now {
        Some(_) if best.window.start == *now => {
            writeln!(
                out,
                "start now ({}): {at}, no later start in the forecast is better",
                human_time(*now)
            )?;
        }
        Some(at_once) => writeln!(
            out,
            "start {}: {at}, {} starting now ({} g/kWh)",
            moment(*now, best),
            compared(best),
            figures(at_once.window.mean.0)
        )?,
        None => {
            writeln!(out, "start {}: {at}; what starting now would cause isn't known", moment(*now, best))?;
        }
    }
    write_grams(answer, out)?;
    for other in &answer.alternatives {
        // Nobody waits for what is no better than now.
        if starting_now.is_some_and(|at_once| other.window.mean.0 >= at_once.window.mean.0) {
            continue;
        }
        let against =
            if other.saving_ratio.is_some() { format!(", {} now", compared(other)) } else { String::new() };
        writeln!(out, "  or {}: {} g/kWh{against}", moment(*now, other), figures(other.window.mean.0))?;
    }
    let basis = match answer.basis {
        "marginal" => "marginal emissions".to_owned(),
        basis => format!("{basis} average"),
    };
    let accounting = if answer.accounting.is_empty() { "" } else { " of " };
    writeln!(
        out,
        "forecast of {} for {}, {basis}{accounting}{}, up to {}; fetched {} ago",
        answer.provider,
        answer.zone,
        answer.accounting,
        human_time(answer.end),
        span(now.since(answer.fetched_at))
    )
}

fn write_grams(answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    let (Some(joules), Some(grams)) = (answer.energy_joules, answer.best.emissions_grams) else {
        return Ok(());
    };
    write!(out, "{} kWh: {} of CO2e", figures(joules / 3.6e6), mass(grams))?;
    let at_once = answer.starting_now.and_then(|start| start.emissions_grams);
    if let Some(at_once) = at_once.filter(|_| answer.best.window.start != answer.now) {
        write!(out, " instead of {}, {} less", mass(at_once), mass(Grams(at_once.0 - grams.0)))?;
    }
    match answer.pue_ratio {
        Some(pue) if pue != 1.0 => writeln!(out, " (PUE {pue} counted)"),
        _ => writeln!(out),
    }
}

/// `2026-11-23 02:00 UTC (in 5 h 12 min)`.
fn moment(now: UnixTime, start: &Start) -> String {
    let start = start.window.start;
    format!("{} (in {})", human_time(start), span(start.since(now)))
}

/// How a start that is better compares with starting now, as `54 % less than`.
fn compared(start: &Start) -> String {
    match start.saving_ratio.unwrap_or(0.0) * 100.0 {
        percent if percent < 0.05 => "as much as".to_owned(),
        percent if percent < 9.95 => format!("{percent:.1} % less than"),
        percent => format!("{percent:.0} % less than"),
    }
}

/// A moment to the minute.
pub(super) fn human_time(time: UnixTime) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    // What is later than the year 9999 has no name.
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A length of time to the minute.
pub(super) fn span(length: Duration) -> String {
    let minutes = (length.as_secs() + 30) / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
