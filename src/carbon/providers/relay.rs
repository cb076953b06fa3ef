//! Another wattprint, so that a fleet costs a provider one client: the series that it serves at `/api/v1/grid`.
//!
//! Each series keeps its maker's name and the moment at which it was got from there. So its age is that of the figures, over
//! any number of hops, and relays that ask each other in a circle can't make old figures look new.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::intake::Intake;
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, own, pace, refuse, zone};
use crate::carbon::grid::{FetchError, FetchResult, GridSeries, Signal};
use crate::carbon::http::{Answer, HttpClient, Request, brief};
use crate::carbon::secret::SecretFile;
use crate::carbon::series::{Series, Slot};
use crate::config::{Basis, Source};
use crate::units::UnixTime;

/// Where a wattprint serves its series.
pub const PATH: &str = "/api/v1/grid";
/// The version of the document that is served and understood.
const VERSION: u64 = 1;

const PERIOD: Duration = Duration::from_secs(300);
const SHORTEST: Duration = Duration::from_secs(60);
/// A name of a provider or zone is a label's value; longer ones are refused.
const MAX_NAME: usize = 100;
/// One zone and basis has no more makers than this.
const MAX_SERIES: usize = 32;
/// So many zones are named where the wanted one isn't there.
const NAMED: usize = 10;

/// What ended longer ago isn't passed on: no node uses an older last value.
const PASSED_ON: Duration = Duration::from_secs(6 * 3_600);

/// What a wattprint serves to others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Document {
    version: u64,
    series: Vec<GridSeries>,
}

impl Document {
    /// A document with what these series say from a while before `now` on. Of several with the same maker, zone and kind,
    /// as two relays give them, only the newest is passed on.
    pub fn new(series: &[Arc<GridSeries>], now: UnixTime) -> Self {
        let is_newest = |one: &&Arc<GridSeries>| {
            let same = series.iter().filter(|other| other.is_same(one));
            same.rev().max_by_key(|other| other.fetched_at).is_some_and(|newest| Arc::ptr_eq(newest, one))
        };
        let recent = |one: &Arc<GridSeries>| {
            let slots = one.slots.slots().iter().filter(|slot| slot.end > now.before(PASSED_ON));
            GridSeries { slots: Series::new(slots.copied()), ..GridSeries::clone(one) }
        };
        let newest = series.iter().filter(is_newest).map(recent);
        Self { version: VERSION, series: newest.filter(|one| !one.slots.slots().is_empty()).collect() }
    }
}

/// The same as it comes in: whoever serves it may be newer.
#[derive(Deserialize)]
struct Received {
    version: u64,
    #[serde(default)]
    series: Value,
}

/// Another wattprint.
#[derive(Debug)]
pub(super) struct Relay {
    address: String,
    token: Option<SecretFile>,
    /// The zone whose series are taken; otherwise the only one that there is.
    zone: Option<Arc<str>>,
    basis: Basis,
    pace: Pace,
}

impl Relay {
    /// The source that an entry describes. What it takes is chosen by `basis`, else by what the node's counters count,
    /// else it is life-cycle figures.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["basis", "token_file"])?;
        let base = address(source, own::needs_url(source)?)?;
        let zone = match (&source.zone, around.zone) {
            (None, None) => None,
            _ => Some(zone(source, around)?.into()),
        };
        Ok(Self {
            address: format!("{base}{PATH}"),
            token: own::token(source, around),
            zone,
            basis: source.basis.or(around.basis).unwrap_or(Basis::Lifecycle),
            pace: pace(source, PERIOD, SHORTEST)?,
        })
    }

    /// Keeps what is wanted.
    fn choose(&self, fetched: &mut Fetched) -> Result<(), FetchError> {
        let wrong = |result, text: String| Err(FetchError::new(result, text));
        let average = Signal::average(self.basis);
        let all = &mut fetched.series;
        if all.is_empty() {
            return wrong(FetchResult::Empty, "the relay has no live series with values".to_owned());
        }
        let there = names(all.iter().map(|series| &*series.zone));
        let zone = match &self.zone {
            Some(zone) => Arc::clone(zone),
            None => {
                let averages = all.iter().filter(|series| series.signal == average);
                let zones: BTreeSet<&Arc<str>> = averages.map(|series| &series.zone).collect();
                match zones.first() {
                    Some(zone) if zones.len() == 1 => Arc::clone(zone),
                    Some(_) => {
                        let text = format!("the relay has several zones ({there}): set zone to one of them");
                        return wrong(FetchResult::ZoneMismatch, text);
                    }
                    None => return wrong(FetchResult::Empty, self.other_basis(all, &there)),
                }
            }
        };
        if !all.iter().any(|series| series.zone.eq_ignore_ascii_case(&zone)) {
            let text = format!("the relay has nothing for {}; it has {there}", brief(&zone));
            return wrong(FetchResult::ZoneMismatch, text);
        }
        let is_wanted = |series: &GridSeries| {
            series.zone.eq_ignore_ascii_case(&zone) && [average, Signal::Marginal].contains(&series.signal)
        };
        if !all.iter().any(is_wanted) {
            return wrong(FetchResult::Empty, self.other_basis(all, &zone));
        }
        all.retain(is_wanted);
        all.truncate(MAX_SERIES);
        Ok(())
    }

    fn other_basis(&self, all: &[GridSeries], place: &str) -> String {
        let here = all.iter().filter(|series| series.zone.eq_ignore_ascii_case(place));
        let others = names(here.filter_map(|series| series.signal.basis()).map(Basis::as_str));
        let others = if others.is_empty() { "marginal figures" } else { &others };
        format!("the relay has no {} figures for {}, only {others}", self.basis.as_str(), brief(place))
    }
}

/// All series that another wattprint's answer has, each of its slots checked again; the warnings say what was left out.
///
/// # Errors
/// It isn't such a document, or one of another version.
pub(crate) fn received(answer: &Answer, now: UnixTime) -> Result<Fetched, FetchError> {
    let received: Received = answer.json()?;
    if received.version != VERSION {
        let text = format!(
            "it speaks version {} of {PATH}, this wattprint version {VERSION}: upgrade the older one",
            received.version
        );
        return Err(answer.fault(FetchResult::Decode, &text));
    }
    let Value::Array(items) = received.series else {
        return Err(answer.fault(FetchResult::Decode, "no list of series"));
    };
    let mut fetched = Fetched::default();
    for item in items {
        match series(item, now) {
            Ok((series, warning)) => {
                fetched.series.push(series);
                fetched.warnings.extend(warning);
            }
            Err(warning) => fetched.warnings.push(warning),
        }
    }
    Ok(fetched)
}

/// One series, with a line on what was left out of it; or why it can't be used.
fn series(mut item: Value, now: UnixTime) -> Result<(GridSeries, Option<String>), String> {
    let slots = item.get_mut("slots").map(Value::take);
    let Some(Value::Array(values)) = slots else { return Err("a series without a list of slots".to_owned()) };
    item["slots"] = Value::Array(Vec::new());
    let mut series: GridSeries = serde_json::from_value(item)
        .map_err(|error| format!("a series is left out: {}", brief(&error.to_string())))?;
    for name in [&series.provider, &series.zone, &series.accounting] {
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(format!("a series is left out: {:?} is no name", brief(name)));
        }
    }
    if series.provider.is_empty() || series.zone.is_empty() {
        return Err("a series is left out: it has no provider or no zone".to_owned());
    }
    let name = format!("{} for {}", series.provider, series.zone);
    let mut intake = Intake::new(series.signal, now);
    for value in values {
        if value["grams_per_kwh"].is_null() {
            intake.unknown();
        } else if let Some(Slot { start, end, intensity, quality }) = intake.item(&value) {
            // What is a forecast by the maker's clock stays what it is by this one.
            intake.slot(start, end, Some(intensity.0), quality);
        }
    }
    let (slots, warning) = intake.finish().map_err(|error| error.of(&name).text)?;
    series.slots = slots;
    // The relay's clock may be ahead.
    series.fetched_at = series.fetched_at.min(now);
    Ok((series, warning.map(|warning| format!("{name}: {warning}"))))
}

/// A few of these names, once each.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: BTreeSet<&str> = all.collect();
    let mut named: Vec<&str> = all.iter().copied().take(NAMED).collect();
    if all.len() > NAMED {
        named.push("...");
    }
    named.join(", ")
}

impl GridProvider for Relay {
    fn zone(&self) -> Arc<str> {
        self.zone.clone().unwrap_or_default()
    }

    fn signal(&self) -> Signal {
        Signal::average(self.basis)
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let request = own::with_bearer(Request::new(&*self.address), self.token.as_ref())?;
        let answer = http.get(&request)?.ok()?;
        let mut fetched = received(&answer, now)?;
        self.choose(&mut fetched).map_err(|error| answer.blame(&error))?;
        Ok(fetched)
    }
}

#[cfg(test)]
mod tests;
