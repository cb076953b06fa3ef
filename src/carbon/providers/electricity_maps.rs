//! Electricity Maps, versions 3 and 4 of its API: consumption-based averages of zones all over the world.
//!
//! It needs a key. Free plans cover one zone, have no forecast and are for non-commercial use only; passing figures on
//! to others needs a plan that allows it.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::intake::{Intake, Spacing, figure};
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, zone};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request};
use crate::carbon::secret::{Secret, SecretFile};
use crate::carbon::series::{Series, SlotQuality};
use crate::config::{Basis, ProviderKind, Source};
use crate::units::UnixTime;

const ADDRESS: &str = "https://api.electricitymaps.com/v4";
const PERIOD: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// After 401 for the forecast alone, it is asked for again after this time.
const TOO_MANY_CALLS: Duration = Duration::from_secs(1_800);
/// A plan without forecasts is asked for one again after this time.
const PLAN_LASTS: Duration = Duration::from_secs(6 * 3_600);
/// Where the granularity isn't told.
const SPACING: Spacing = Spacing { typical: Duration::from_secs(3_600), longest: Duration::from_secs(3_600) };

/// The source.
#[derive(Debug)]
pub(super) struct ElectricityMaps {
    address: String,
    zone: Arc<str>,
    basis: Basis,
    token: SecretFile,
    pace: Pace,
    /// Until then the plan, or the provider's wish for rest, rules out a forecast.
    no_forecast_until: UnixTime,
}

/// What an answer as a whole, or an item of it, says about itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    zone: Option<String>,
    emission_factor_type: Option<String>,
    temporal_granularity: Option<String>,
}

impl Head {
    /// The length of slots; months and years have none that is fixed.
    fn length(&self) -> Option<Duration> {
        let minutes = match self.temporal_granularity.as_deref()? {
            "hourly" => 60,
            "daily" => 24 * 60,
            name => {
                name.strip_suffix("_minutes")?.parse().ok().filter(|minutes| (1..=60).contains(minutes))?
            }
        };
        Some(Duration::from_secs(minutes * 60))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    datetime: String,
    #[serde(default)]
    carbon_intensity: Value,
    is_estimated: Option<bool>,
}

/// Which of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// The last 24 hours.
    History,
    /// The newest value alone.
    Latest,
    Forecast,
}

impl Path {
    const fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Latest => "latest",
            Self::Forecast => "forecast",
        }
    }
}

impl ElectricityMaps {
    /// The source of an entry, with its key in `token_file`. Life-cycle figures unless the entry's `basis` or else the
    /// node's is direct.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["basis", "token_file"])?;
        let Some(token) = &source.token_file else {
            return Err(SourceError::new("token_file", "electricity_maps needs a file with its key"));
        };
        let zone = zone(source, around)?.to_ascii_uppercase();
        if source.zone.is_none() && !is_shared(&zone) {
            let problem = format!(
                "electricity_maps has zones of its own within countries, so {zone} can't be asked for: set one here, \
                 such as US-CAL-CISO"
            );
            return Err(SourceError::new("zone", problem));
        }
        Ok(Self {
            address: address(source, ADDRESS)?,
            zone: zone.into(),
            basis: source.basis.or(around.basis).unwrap_or(Basis::Lifecycle),
            token: SecretFile::new(token, around.credentials),
            pace: pace(source, PERIOD, SHORTEST)?,
            no_forecast_until: UnixTime::default(),
        })
    }

    fn get(
        &self,
        http: &HttpClient,
        token: &Secret,
        path: Path,
        now: UnixTime,
    ) -> Result<(Series, Option<String>), FetchError> {
        let request = Request::new(format!("{}/carbon-intensity/{}", self.address, path.as_str()))
            .query("zone", &self.zone)
            .query("emissionFactorType", self.basis.as_str())
            // Without it, an unknown zone silently becomes the one that the caller's address is in.
            .query("disableCallerLookup", "true")
            .header("auth-token", token.clone());
        let answer = http.get(&request)?.ok()?;
        self.read(&answer, path, now)?.finish().map_err(|error| answer.blame(&error))
    }

    fn read(&self, answer: &Answer, path: Path, now: UnixTime) -> Result<Intake, FetchError> {
        let body: Value = answer.json()?;
        let Some(whole) = self.head(&body, answer)?.filter(|head| head.zone.is_some()) else {
            return Err(answer.fault(FetchResult::Decode, "the answer doesn't say which zone it is about"));
        };
        let list = ["history", "data", "forecast"].iter().find_map(|key| body.get(key)?.as_array());
        let items = match (path, list) {
            (Path::Latest, _) => std::slice::from_ref(&body),
            (_, Some(list)) => list.as_slice(),
            _ => return Err(answer.fault(FetchResult::Decode, "the answer has no list of values")),
        };
        let mut intake = Intake::new(self.signal(), now);
        let mut read = Vec::with_capacity(items.len());
        for item in items {
            let Some(head) = self.head(item, answer)? else {
                intake.unusable("what it says of itself isn't text");
                continue;
            };
            let Some(item) = intake.item::<Item>(item) else { continue };
            let Some(start) = intake.time(&item.datetime) else { continue };
            read.push((start, head.length(), item));
        }
        let starts: Vec<UnixTime> = read.iter().map(|(start, ..)| *start).collect();
        for ((start, length, item), end) in read.into_iter().zip(SPACING.ends(&starts)) {
            let end = length.or(whole.length()).map_or(end, |length| start.after(length));
            let quality = match item.is_estimated {
                _ if path == Path::Forecast => SlotQuality::Forecast,
                Some(true) => SlotQuality::Estimated,
                _ => SlotQuality::Measured,
            };
            // The hour to come may be in the history, too.
            intake.slot_by_now(start, end, figure(&item.carbon_intensity), quality);
        }
        Ok(intake)
    }

    /// What an answer or an item says about itself, if that is what was asked for; none where it can't be read.
    fn head(&self, value: &Value, answer: &Answer) -> Result<Option<Head>, FetchError> {
        let Ok(head) = Head::deserialize(value) else { return Ok(None) };
        match (&head.zone, &head.emission_factor_type) {
            (Some(zone), _) if !zone.eq_ignore_ascii_case(&self.zone) => {
                let what = format!("asked for {}, but the answer is about {zone}", self.zone);
                Err(answer.fault(FetchResult::ZoneMismatch, &what))
            }
            (_, Some(kind)) if kind != self.basis.as_str() => {
                let what = format!("asked for {} figures, but these are {kind}", self.basis.as_str());
                Err(answer.fault(FetchResult::Decode, &what))
            }
            _ => Ok(Some(head)),
        }
    }

    /// The forecast; what is in its way is a warning, since not all plans have one.
    fn forecast(
        &mut self,
        http: &HttpClient,
        token: &Secret,
        now: UnixTime,
    ) -> (Option<Series>, Option<String>) {
        let rest = self.no_forecast_until.since(now);
        // More than that is left only if the clock was set back.
        if !rest.is_zero() && rest <= PLAN_LASTS {
            return (None, None);
        }
        match self.get(http, token, Path::Forecast, now) {
            Ok((slots, warning)) => (Some(slots), warning),
            Err(error) => {
                let rest = match error.result {
                    FetchResult::Forbidden | FetchResult::NotFound => PLAN_LASTS,
                    // The key was good for the history, so these are too many calls at once.
                    FetchResult::Auth => TOO_MANY_CALLS,
                    _ => error.retry_after.unwrap_or_default().min(PLAN_LASTS),
                };
                self.no_forecast_until = now.after(rest);
                (None, Some(format!("no forecast: {}", error.text)))
            }
        }
    }
}

impl GridProvider for ElectricityMaps {
    fn zone(&self) -> Arc<str> {
        Arc::clone(&self.zone)
    }

    fn signal(&self) -> Signal {
        Signal::average(self.basis)
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let token = self.token.read()?;
        let mut warnings = Vec::new();
        let (mut slots, empty) = match self.get(http, &token, Path::History, now) {
            // The newest value may be there all the same.
            Err(error) if error.result == FetchResult::Empty => (Series::default(), Some(error)),
            history => {
                let (slots, warning) = history?;
                warnings.extend(warning);
                (slots, None)
            }
        };
        if slots.at(now).is_none() {
            match self.get(http, &token, Path::Latest, now) {
                Ok((latest, warning)) => {
                    slots.insert(latest.slots().iter().copied());
                    warnings.extend(warning);
                }
                Err(error) => match empty {
                    Some(empty) => return Err(empty),
                    None => warnings.push(error.text),
                },
            }
        }
        let (forecast, warning) = self.forecast(http, &token, now);
        slots.insert(forecast.iter().flat_map(|forecast| forecast.slots()).copied());
        warnings.extend(warning);
        Ok(Fetched::one(self, ProviderKind::ElectricityMaps, "consumption", now, slots, warnings))
    }
}

/// Whether a zone of this program's tables has the same code there: countries, provinces of Canada, and the bidding zones
/// of Denmark, Norway and Sweden.
fn is_shared(zone: &str) -> bool {
    match zone.split_once('-') {
        None => zone.len() == 2 && zone.chars().all(|c| c.is_ascii_alphabetic()),
        Some((country, part)) => {
            let number = part.strip_prefix(country).unwrap_or_default();
            let is_province = country == "CA" && part.len() == 2;
            is_province
                || matches!(country, "DK" | "NO" | "SE") && matches!(number, "1" | "2" | "3" | "4" | "5")
        }
    }
}

#[cfg(test)]
mod tests;
