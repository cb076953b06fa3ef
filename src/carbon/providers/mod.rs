//! Live sources of carbon intensity, one file each. All of them are off unless configured.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::carbon::factors::MAX_INTENSITY;
use crate::carbon::grid::{FetchError, GridSeries, Signal};
use crate::carbon::http::HttpClient;
use crate::carbon::series::{Slot, SlotQuality};
use crate::config::{Basis, Source};
use crate::units::{GramsPerKwh, UnixTime};

#[cfg(test)]
pub(crate) mod replay;

/// How often a source may be asked, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Time between two requests of one node.
    pub period: Duration,
    /// Never less than this between two requests, whatever is configured and however a request went.
    pub floor: Duration,
}

/// What one round of requests brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fetched {
    /// Series; more than one where the source has average and marginal figures, or is a relay.
    pub series: Vec<GridSeries>,
    /// What the provider warns of, or what in its answer had to be left out; one line each.
    pub warnings: Vec<String>,
}

/// A live source of carbon intensity.
pub trait GridProvider: Debug + Send {
    /// The zone that is asked for, as its series are labelled.
    fn zone(&self) -> Arc<str>;

    /// What kind of figure it brings.
    fn signal(&self) -> Signal;

    /// How often to ask.
    fn pace(&self) -> Pace;

    /// Asks: what was, what is and what will be, as far as the source tells. It may take several requests.
    ///
    /// # Errors
    /// No answer, or one that can't be used as a whole. A single bad value is left out, not an error.
    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError>;
}

/// What sources need to know beside their own entry of the configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// The node's grid zone, for a source without one of its own.
    pub zone: Option<&'a str>,
    /// What the node's counters count, where that is configured.
    pub basis: Option<Basis>,
    /// Where systemd puts credentials.
    pub credentials: Option<&'a Path>,
}

/// An entry of `carbon.source` that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct SourceError {
    /// The key within the entry.
    pub key: &'static str,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl SourceError {
    /// A problem with a key.
    pub fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

/// The provider that an entry of the configuration asks for.
///
/// # Errors
/// A key that the provider needs is missing, one that it has no use for is there, or a value isn't fit for it.
pub fn build(source: &Source, _around: Surroundings<'_>) -> Result<Box<dyn GridProvider>, SourceError> {
    Err(SourceError::new("provider", format!("{} isn't built yet", source.provider.as_str())))
}

/// A slot, if its value is believable. A life-cycle figure of 0 isn't: no plant is built from nothing. A direct one of 0
/// is what a grid without combustion has.
pub fn believable(
    start: UnixTime,
    end: UnixTime,
    grams: f64,
    quality: SlotQuality,
    signal: Signal,
) -> Option<Slot> {
    let low = if signal == Signal::AverageLifecycle { f64::MIN_POSITIVE } else { 0.0 };
    let in_range = grams.is_finite() && (low..=MAX_INTENSITY).contains(&grams);
    (in_range && start < end).then_some(Slot { start, end, intensity: GramsPerKwh(grams), quality })
}
