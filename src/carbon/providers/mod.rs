//! Live sources of carbon intensity, one file each. All of them are off unless configured.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::carbon::factors::MAX_INTENSITY;
use crate::carbon::grid::{FetchError, GridSeries, Signal};
use crate::carbon::http::{HttpClient, check_address};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::config::{Basis, IntensityUnit, ProviderKind, Source, human_duration};
use crate::units::{GramsPerKwh, UnixTime};

mod electricity_maps;
mod energinet;
mod energy_charts;
mod entsoe;
mod file;
#[cfg(test)]
mod harness;
mod http_json;
mod intake;
mod neso;
mod own;
mod pointers;
pub(super) mod prometheus;
pub mod relay;
#[cfg(test)]
pub(crate) mod replay;
mod rte;
mod watttime;

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

impl Fetched {
    /// One series of what a source is about, by its own word.
    fn one(
        source: &impl GridProvider,
        kind: ProviderKind,
        accounting: &str,
        fetched_at: UnixTime,
        slots: Series,
        warnings: impl IntoIterator<Item = String>,
    ) -> Self {
        let series = GridSeries {
            provider: kind.as_str().into(),
            zone: source.zone(),
            signal: source.signal(),
            accounting: accounting.into(),
            fetched_at,
            slots,
        };
        Self { series: vec![series], warnings: warnings.into_iter().collect() }
    }
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
pub fn build(source: &Source, around: Surroundings<'_>) -> Result<Box<dyn GridProvider>, SourceError> {
    Ok(match source.provider {
        ProviderKind::ElectricityMaps => Box::new(electricity_maps::ElectricityMaps::new(source, around)?),
        ProviderKind::Neso => Box::new(neso::Neso::new(source, around)?),
        ProviderKind::EnergyCharts => Box::new(energy_charts::EnergyCharts::new(source, around)?),
        ProviderKind::Rte => Box::new(rte::Rte::new(source, around)?),
        ProviderKind::Energinet => Box::new(energinet::Energinet::new(source, around)?),
        ProviderKind::Watttime => Box::new(watttime::WattTime::new(source, around)?),
        ProviderKind::Entsoe => Box::new(entsoe::Entsoe::new(source, around)?),
        ProviderKind::Http => Box::new(http_json::HttpJson::new(source, around)?),
        ProviderKind::Prometheus => Box::new(prometheus::Prometheus::new(source, around)?),
        ProviderKind::File => Box::new(file::ValueFile::new(source, around)?),
        ProviderKind::Relay => Box::new(relay::Relay::new(source, around)?),
    })
}

/// Checks that nothing is set that the provider has no use for. `zone`, `url`, `ca_file` and `interval` are of use to
/// all; `used` names the others that are.
///
/// # Errors
/// A key is set that would be ignored.
pub(super) fn refuse(source: &Source, used: &[&str]) -> Result<(), SourceError> {
    let keys = [
        ("basis", source.basis.is_some()),
        ("token_file", source.token_file.is_some()),
        ("user", source.user.is_some()),
        ("password_file", source.password_file.is_some()),
        ("header", source.header.is_some()),
        ("query", source.query.is_some()),
        ("path", source.path.is_some()),
        ("items", source.items.is_some()),
        ("value", source.value.is_some()),
        ("start", source.start.is_some()),
        ("end", source.end.is_some()),
        ("estimated", source.estimated.is_some()),
        ("step", source.step.is_some()),
        ("unit", source.unit != IntensityUnit::default()),
    ];
    match keys.into_iter().find(|(key, set)| *set && !used.contains(key)) {
        Some((key, _)) => {
            let provider = source.provider.as_str();
            Err(SourceError::new(key, format!("the provider {provider} has no use for it: remove it")))
        }
        None => Ok(()),
    }
}

/// The zone in the provider's own terms, or else the node's.
///
/// # Errors
/// There is neither, or it isn't one word.
pub(super) fn zone<'a>(source: &'a Source, around: Surroundings<'a>) -> Result<&'a str, SourceError> {
    zone_or(source, around, "")
}

/// The same, or this one where there is neither.
///
/// # Errors
/// It isn't one word.
pub(super) fn zone_or<'a>(
    source: &'a Source,
    around: Surroundings<'a>,
    default: &'a str,
) -> Result<&'a str, SourceError> {
    let zone = source.zone.as_deref().or(around.zone).unwrap_or(default).trim();
    if zone.is_empty() {
        let problem = format!("{} needs one: set it here or as carbon.zone", source.provider.as_str());
        return Err(SourceError::new("zone", problem));
    }
    if zone.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SourceError::new("zone", "must be a code without white space"));
    }
    Ok(zone)
}

/// The provider's address, or the one that is configured in its place.
///
/// # Errors
/// As [`base_address`].
pub(super) fn address(source: &Source, default: &str) -> Result<String, SourceError> {
    base_address(source.url.as_deref().unwrap_or(default))
}

/// An address that paths are put behind: it has no query, and no slash at its end.
///
/// # Errors
/// As [`web_address`], or it has a query or a fragment.
pub(super) fn base_address(url: &str) -> Result<String, SourceError> {
    let url = web_address(url)?;
    if url.contains(['?', '#']) {
        return Err(SourceError::new("url", "must end before any ? or #, as paths are put behind it"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// An address that can be asked, as [`check_address`] has it.
///
/// # Errors
/// It can't be asked.
pub(super) fn web_address(url: &str) -> Result<&str, SourceError> {
    let url = url.trim();
    check_address(url).map_err(|problem| SourceError::new("url", problem))?;
    Ok(url)
}

/// How often to ask: as configured, else every `default_period`. After a failure, and to get into step with the node's
/// turn, it may be sooner.
///
/// # Errors
/// The configured interval is less than the provider bears for long.
pub(super) fn pace(
    source: &Source,
    default_period: Duration,
    shortest: Duration,
) -> Result<Pace, SourceError> {
    let period = source.interval.unwrap_or(default_period);
    if period < shortest {
        let (provider, shortest) = (source.provider.as_str(), human_duration(shortest));
        return Err(SourceError::new("interval", format!("{provider} bears {shortest} or more")));
    }
    Ok(Pace { period, floor: shortest.min(AT_ONCE) })
}

/// The moment that a text of RFC 3339 names, with any offset and with or without seconds. A leap second is the second
/// before it. None for a time without offset, which could be anybody's, and for one before 1970.
pub(super) fn time(text: &str) -> Option<UnixTime> {
    let time: Timestamp = text.trim().parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(UnixTime::from_millis)
}

/// A moment as UTC, in a format of strftime (`%Y-%m-%dT%H:%MZ`).
pub(super) fn utc(time: UnixTime, format: &str) -> String {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX).strftime(format).to_string()
}

/// So long after a request another one is borne by all providers, if that isn't the rule.
const AT_ONCE: Duration = Duration::from_secs(60);
/// Less than this is no grid over the life cycle, but a mistaken unit (kg/kWh).
const LEAST_LIFECYCLE: f64 = 1.0;
/// No value holds for longer than a month: one with a slip in its end must not hide what comes after it.
const LONGEST_SLOT: Duration = Duration::from_secs(31 * 86_400);

/// A slot, if its value is believable. A life-cycle figure below 1 isn't: no plant is built from nothing. A direct one of 0
/// is what a grid without combustion has.
pub fn believable(
    start: UnixTime,
    end: UnixTime,
    grams: f64,
    quality: SlotQuality,
    signal: Signal,
) -> Option<Slot> {
    let low = if signal == Signal::AverageLifecycle { LEAST_LIFECYCLE } else { 0.0 };
    let in_range = grams.is_finite() && (low..=MAX_INTENSITY).contains(&grams);
    let is_a_slot = start < end && end.since(start) <= LONGEST_SLOT;
    (in_range && is_a_slot).then_some(Slot { start, end, intensity: GramsPerKwh(grams), quality })
}

#[cfg(test)]
mod tests;
