//! The page's lines on the grid: what is in force, how the sources fare, when it will be cleanest.

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use jiff::Timestamp;

use super::Escaped;
use crate::carbon::forecast::BestWindow;
use crate::snapshot::Snapshot;
use crate::units::UnixTime;

/// The window that is shown, in hours: the length of a job that can wait.
const HOURS: u32 = 4;
/// A window that is better by less than this share isn't worth waiting for.
const WORTH_WAITING: f64 = 0.01;

/// Addresses and errors of sources stay off the page: an address may hold a secret.
pub(super) fn write(html: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let now = UnixTime::since_epoch(snapshot.unix_time);
    let grid = &snapshot.grid;
    write!(html, "<p>Grid: {:.0} g/kWh, {}", grid.intensity.0, Escaped(grid.quality))?;
    for (before, text) in [(", zone ", &*grid.zone), (", ", grid.basis), (", by ", &*grid.provider)] {
        if !text.is_empty() {
            write!(html, "{before}{}", Escaped(text))?;
        }
    }
    if let Some(age) = snapshot.grid_age {
        write!(html, ", heard {} ago", Age(age))?;
    }
    write!(html, ". PUE {:.2}", snapshot.pue.0)?;
    if !snapshot.pue_configured {
        html.write_str(" (not configured)")?;
    }
    html.write_char('.')?;
    if let Some(market) = snapshot.market {
        write!(html, " Market-based: {:.0} g/kWh.", market.intensity.0)?;
    }
    html.write_str("</p>\n")?;
    let windows = snapshot.grid_outlook.iter().flat_map(|outlook| &outlook.windows);
    if let Some(window) = windows.into_iter().find(|window| window.hours == HOURS) {
        writeln!(html, "<p>{}</p>", Best { window, now })?;
    }
    if snapshot.grid_state.sources.is_empty() {
        return Ok(());
    }
    html.write_str("<ul>\n")?;
    for source in &snapshot.grid_state.sources {
        write!(html, "<li>{} for {}: ", Escaped(source.provider), Escaped(&source.zone))?;
        match source.last_success {
            Some(at) => write!(html, "last success {} ago", Age(now.since(at)))?,
            None => html.write_str("no success yet")?,
        }
        if let Some(error) = source.last_error {
            write!(html, ", failing ({})", error.as_str())?;
            if let Some(remedy) = error.remedy() {
                write!(html, ": {}", Escaped(remedy))?;
            }
        }
        html.write_str("</li>\n")?;
    }
    html.write_str("</ul>\n")
}

/// When it will be cleanest, against now.
struct Best<'a> {
    window: &'a BestWindow,
    now: UnixTime,
}

impl Display for Best<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let gain = self.window.starting_now.map(|now| 1.0 - self.window.mean.0 / now.0);
        if self.window.start <= self.now {
            return write!(f, "Cleanest {HOURS} h ahead: from now on.");
        }
        if gain.is_some_and(|gain| gain < WORTH_WAITING) {
            return write!(f, "No {HOURS} h ahead are cleaner than those from now on.");
        }
        let moment = |time: UnixTime| {
            let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
        };
        let (start, now) = (moment(self.window.start), moment(self.now));
        let is_today = start.strftime("%F").to_string() == now.strftime("%F").to_string();
        let format = if is_today { "%H:%M" } else { "%F %H:%M" };
        write!(f, "Cleanest {HOURS} h from {} UTC", start.strftime(format))?;
        match gain {
            Some(gain) => write!(f, ", {:.0} % below those from now on.", gain * 100.0),
            None => f.write_char('.'),
        }
    }
}

/// A time as people say it.
struct Age(Duration);

impl Display for Age {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{} h", seconds / 3_600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GramsPerKwh;
    use crate::web::fixture;

    fn page(change: impl FnOnce(&mut Snapshot)) -> String {
        let mut snapshot = fixture::snapshot();
        change(&mut snapshot);
        let mut html = String::new();
        write(&mut html, &snapshot).unwrap();
        html
    }

    #[test]
    fn says_what_is_in_force_and_how_the_sources_fare() {
        let html = page(|_| {});
        for expected in [
            "Grid: 44 g/kWh, measured, zone FR, lifecycle, by electricity_maps, heard 7 min ago.",
            "PUE 1.20. Market-based: 11 g/kWh.",
            "<li>electricity_maps for FR: last success 7 min ago, failing (timeout): check that",
            "<li>watttime for FR: no success yet</li>",
        ] {
            assert!(html.contains(expected), "{expected} isn't in {html}");
        }
        assert!(!html.contains("https://"), "an address may hold a secret: {html}");
    }

    #[test]
    fn says_when_it_will_be_cleanest() {
        // 2027-01-15, 08:00 UTC.
        let best = |start: u64, mean: f64| {
            let window = BestWindow {
                hours: HOURS,
                start: UnixTime::from_seconds(start),
                mean: GramsPerKwh(mean),
                starting_now: Some(GramsPerKwh(50.0)),
            };
            Best { window: &window, now: UnixTime::from_seconds(1_800_000_000) }.to_string()
        };
        assert_eq!(best(1_800_021_600, 34.5), "Cleanest 4 h from 14:00 UTC, 31 % below those from now on.");
        assert_eq!(
            best(1_800_064_800, 34.5),
            "Cleanest 4 h from 2027-01-16 02:00 UTC, 31 % below those from now on."
        );
        assert_eq!(best(1_800_000_000, 34.5), "Cleanest 4 h ahead: from now on.");
        assert_eq!(best(1_800_021_600, 49.9), "No 4 h ahead are cleaner than those from now on.");
    }
}
