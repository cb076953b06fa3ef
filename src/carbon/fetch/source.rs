//! Asking a source of grid data: what of its answer counts, and what is worth a warning.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Change, Job, Store, Subject};
use crate::carbon::grid::{FetchError, FetchResult, GridSeries};
use crate::carbon::http::HttpClient;
use crate::carbon::providers::{Fetched, GridProvider};
use crate::carbon::series::KEPT;
use crate::units::UnixTime;

/// A warning is repeated after this time.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So many different warnings a day are told of one source.
const MOST_WARNINGS: usize = 20;
/// So many characters of each.
const LONGEST_WARNING: usize = 300;

impl Job {
    /// Asks a source of grid data, which is at `index` on the board and whose name in the configuration is `name`.
    pub fn grid(
        index: usize,
        name: &'static str,
        mut provider: Box<dyn GridProvider>,
        http: HttpClient,
        store: Option<Store>,
    ) -> Self {
        let (zone, pace) = (provider.zone(), provider.pace());
        let mut warnings = Warnings::default();
        let of = Arc::clone(&zone);
        let of_any_zone = zone.is_empty();
        let ask = move |now: UnixTime| {
            let (series, told) = ask(provider.as_mut(), &http, now);
            for text in warnings.news(&told, now) {
                tracing::warn!(source = name, zone = &*of, "{text}");
            }
            let series = series?;
            let change: Change = Box::new(move |state| {
                let Some(source) = state.sources.get_mut(index) else { return };
                if of_any_zone {
                    // What it had of a place that it isn't about any more must not stand for the new one.
                    source.series.retain(|known| series.iter().any(|new| new.zone == known.zone));
                }
                for series in series {
                    source.take(series, now);
                }
                source.series.retain(|known| reaches_beyond(known, now.before(KEPT)));
            });
            Ok(change)
        };
        Self { store, ..Self::new(name, zone, Subject::Source(index), pace, Box::new(ask)) }
    }
}

/// Asks a source once, for a program that ends after it. Warnings are logged.
///
/// # Errors
/// As [`GridProvider::fetch`]; also an answer without any value.
pub fn fetch_once(
    provider: &mut dyn GridProvider,
    http: &HttpClient,
    now: UnixTime,
) -> Result<Vec<GridSeries>, FetchError> {
    let (series, told) = ask(provider, http, now);
    for text in Warnings::default().news(&told, now) {
        tracing::warn!(zone = &*provider.zone(), "{text}");
    }
    series
}

/// The series that have values, and warnings, also of a request that failed.
fn ask(
    provider: &mut dyn GridProvider,
    http: &HttpClient,
    now: UnixTime,
) -> (Result<Vec<GridSeries>, FetchError>, Vec<String>) {
    http.begin(now);
    let fetched = provider.fetch(http, now);
    let (series, mut warnings) = match fetched {
        Ok(Fetched { series, warnings }) => (with_values(series, &warnings, now), warnings),
        Err(error) => (Err(error), Vec::new()),
    };
    for warning in &mut warnings {
        *warning = http.hide_in(warning);
    }
    warnings.extend(http.skew().map(skew_warning));
    (series, warnings)
}

fn with_values(
    mut series: Vec<GridSeries>,
    warnings: &[String],
    now: UnixTime,
) -> Result<Vec<GridSeries>, FetchError> {
    series.retain(|series| reaches_beyond(series, now.before(KEPT)));
    if !series.is_empty() {
        return Ok(series);
    }
    let why = warnings.first().map_or("it has none of the last two days or of the future", String::as_str);
    Err(FetchError::new(FetchResult::Empty, format!("the answer has no value that can be used: {why}")))
}

fn reaches_beyond(series: &GridSeries, time: UnixTime) -> bool {
    series.slots.slots().last().is_some_and(|slot| slot.end > time)
}

/// In steps of 5 min, so that each request isn't one more warning.
fn skew_warning(skew: Duration) -> String {
    let minutes = skew.as_secs() / 300 * 5;
    format!(
        "its clock and this node's differ by {minutes} min or more: if this node's is wrong, so are the emissions"
    )
}

/// What was warned of already.
#[derive(Debug, Default)]
struct Warnings {
    since: UnixTime,
    told: BTreeSet<String>,
}

impl Warnings {
    /// Those that weren't told yet that day, cut to what a log line can bear. Beyond a number of them the rest isn't told.
    fn news(&mut self, warnings: &[String], now: UnixTime) -> Vec<String> {
        if now.since(self.since).max(self.since.since(now)) > DAY {
            *self = Self { since: now, told: BTreeSet::new() };
        }
        let mut news = Vec::new();
        for text in warnings {
            if self.told.len() >= MOST_WARNINGS {
                break;
            }
            let text: String = text.chars().take(LONGEST_WARNING).collect();
            if self.told.insert(text.clone()) {
                news.push(text);
                if self.told.len() == MOST_WARNINGS {
                    news.push("further warnings of this day aren't shown".to_owned());
                }
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);

    #[test]
    fn a_warning_is_told_once_a_day() {
        let mut warnings = Warnings::default();
        let text = |text: &str| vec![text.to_owned()];
        assert_eq!(warnings.news(&text("a"), NOW), ["a"]);
        assert!(warnings.news(&text("a"), NOW.after(DAY)).is_empty());
        assert_eq!(warnings.news(&text("b"), NOW), ["b"]);
        assert_eq!(warnings.news(&text("a"), NOW.after(DAY + Duration::from_secs(1))), ["a"]);
        // A clock that was set back doesn't make it silent for ever.
        assert_eq!(warnings.news(&text("a"), NOW.before(DAY)), ["a"]);
    }

    #[test]
    fn warnings_that_are_all_different_end() {
        let mut warnings = Warnings::default();
        let mut lines = 0;
        for request in 0..100 {
            let text = format!("bad value at {request}{}", "x".repeat(10_000));
            let news = warnings.news(&[text], NOW);
            assert!(news.iter().all(|line| line.chars().count() <= LONGEST_WARNING));
            lines += news.len();
        }
        assert_eq!(lines, MOST_WARNINGS + 1);
        assert_eq!(warnings.told.len(), MOST_WARNINGS);
    }

    #[test]
    fn skew_is_told_in_steps() {
        assert!(skew_warning(Duration::from_secs(301)).contains("by 5 min or more"));
        assert_eq!(skew_warning(Duration::from_secs(3601)), skew_warning(Duration::from_secs(3899)));
    }
}
