//! What the operator's own sources have in common: checks of their keys, and how single values become a series.

use std::sync::Arc;

use crate::carbon::grid::{FetchError, FetchResult, GridSeries, Signal};
use crate::carbon::http::Request;
use crate::carbon::secret::{Secret, SecretFile};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::config::{ProviderKind, Source};
use crate::units::UnixTime;

use super::{Fetched, SourceError, Surroundings, believable};

/// Values that ended longer ago than this are of no use to anybody.
const PAST: std::time::Duration = std::time::Duration::from_secs(48 * 3600);
/// Values that a series can hold: 12 days of 5 minutes.
const MAX_VALUES: usize = 3_456;
/// So much of what others say is told.
const SHOWN: usize = 160;

/// What the source's values count. It isn't guessed: nothing in a bare number tells life-cycle emissions from direct ones,
/// and the two may differ tenfold.
///
/// # Errors
/// It isn't configured.
pub(super) fn signal(source: &Source) -> Result<Signal, SourceError> {
    let problem = "must be \"lifecycle\" or \"direct\": a bare number doesn't tell which emissions it counts, and a guess \
                   could be wrong tenfold; whoever makes the values knows";
    source.basis.map(Signal::average).ok_or_else(|| SourceError::new("basis", problem))
}

/// The address, which has no default.
///
/// # Errors
/// It isn't configured.
pub(super) fn needs_url(source: &Source) -> Result<&str, SourceError> {
    let problem = || format!("{} needs one, such as https://host:9090", source.provider.as_str());
    source.url.as_deref().ok_or_else(|| SourceError::new("url", problem()))
}

/// The file with the token, where there is one.
pub(super) fn token(source: &Source, around: Surroundings<'_>) -> Option<SecretFile> {
    source.token_file.as_deref().map(|path| SecretFile::new(path, around.credentials))
}

/// The request with the token as `Authorization: Bearer` (RFC 6750), where there is one.
///
/// # Errors
/// The token can't be read.
pub(super) fn with_bearer(request: Request, token: Option<&SecretFile>) -> Result<Request, FetchError> {
    Ok(match token {
        Some(file) => {
            let token = Secret::new(format!("Bearer {}", file.read()?.expose()));
            request.header("authorization", token)
        }
        None => request,
    })
}

/// What a source brings that has one series: figures of this zone from this provider.
pub(super) fn one_series(
    provider: ProviderKind,
    (zone, signal): (&Arc<str>, Signal),
    fetched_at: UnixTime,
    slots: Vec<Slot>,
    warnings: impl IntoIterator<Item = String>,
) -> Fetched {
    let series = GridSeries {
        provider: provider.as_str().into(),
        zone: Arc::clone(zone),
        signal,
        accounting: "".into(),
        fetched_at,
        slots: Series::new(slots),
    };
    Fetched { series: vec![series], warnings: warnings.into_iter().collect() }
}

/// What somebody else said, as one line of bounded length.
pub(super) fn brief(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    line.trim().to_owned()
}

/// The slot of a value, or why it can't be one. A value of the future is a forecast, whatever it is said to be.
///
/// # Errors
/// What is wrong with it.
pub(super) fn slot(
    (start, end): (UnixTime, UnixTime),
    grams: f64,
    said: SlotQuality,
    signal: Signal,
    now: UnixTime,
) -> Result<Slot, String> {
    if end <= start {
        return Err("it ends before it starts".to_owned());
    }
    let quality = if start > now { SlotQuality::Forecast } else { said };
    believable(start, end, grams, quality, signal).ok_or_else(|| format!("{grams} g/kWh isn't believable"))
}

/// Values of one answer, and a count of those that had to be left out.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    slots: Vec<Slot>,
    nulls: usize,
    bad: usize,
    /// What is wrong with the first bad one.
    problem: Option<String>,
}

impl Gathered {
    /// Takes in a value: none where the source says that it doesn't know, an error where it can't be used.
    pub(super) fn take(&mut self, value: Result<Option<Slot>, String>) {
        match value {
            Ok(Some(slot)) => self.slots.push(slot),
            Ok(None) => self.nulls += 1,
            Err(problem) => {
                self.bad += 1;
                self.problem.get_or_insert(problem);
            }
        }
    }

    /// The slots that are of use now, and at most one line on what was left out.
    ///
    /// # Errors
    /// There is none: the kind of failure and its text.
    pub(super) fn finish(
        mut self,
        now: UnixTime,
    ) -> Result<(Vec<Slot>, Option<String>), (FetchResult, String)> {
        let all = self.slots.len() + self.nulls + self.bad;
        let problem = self.problem.unwrap_or_default();
        if self.slots.is_empty() {
            return Err(match (self.bad, self.nulls) {
                (0, 0) => (FetchResult::Empty, "has no values".to_owned()),
                (0, _) => (FetchResult::Empty, format!("all {all} values are null")),
                _ => (FetchResult::Decode, format!("none of {all} values can be used: {problem}")),
            });
        }
        self.slots.retain(|slot| slot.end > now.before(PAST));
        if self.slots.is_empty() {
            return Err((FetchResult::Empty, "all values are more than two days old".to_owned()));
        }
        // Those nearest in time stay.
        self.slots.sort_by_key(|slot| slot.start);
        self.slots.truncate(MAX_VALUES);
        let warning = match (self.bad, self.nulls) {
            (0, 0) => None,
            (0, nulls) => Some(format!("{nulls} of {all} values are null and left out")),
            (bad, 0) => Some(format!("{bad} of {all} values are left out: {problem}")),
            (bad, nulls) => {
                Some(format!("{} of {all} values are left out, {nulls} as null: {problem}", bad + nulls))
            }
        };
        Ok((self.slots, warning))
    }
}

#[cfg(test)]
pub(super) mod tests;
