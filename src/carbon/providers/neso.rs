//! The carbon intensity of Great Britain, nationally or of one region, by the National Energy System Operator.
//!
//! No key; licence CC BY 4.0. The figures are direct emissions of what is consumed, by half hours. National ones are
//! measured some 30 minutes after their time; regional ones are only ever forecast.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::intake::{Intake, figure};
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, utc, zone_or};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request};
use crate::carbon::series::{Series, SlotQuality};
use crate::config::{ProviderKind, Source};
use crate::units::UnixTime;

/// The whole nation.
const NATION: &str = "GB";
const ADDRESS: &str = "https://api.carbonintensity.org.uk";
const PERIOD: Duration = Duration::from_secs(30 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// Values are revised for a day.
const PAST: Duration = Duration::from_secs(24 * 3_600);
/// A regional answer starts so early and has two days.
const REGIONAL_PAST: Duration = Duration::from_secs(2 * 3_600);

/// The source.
#[derive(Debug)]
pub(super) struct Neso {
    address: String,
    area: Area,
    pace: Pace,
}

/// Where.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Area {
    National,
    /// A distribution region (1 to 14), England (15), Scotland (16) or Wales (17).
    Region(u8),
    /// The first part of a postcode.
    Postcode(String),
}

impl Area {
    fn new(zone: &str) -> Option<Self> {
        let zone = zone.to_ascii_uppercase();
        if zone == NATION {
            return Some(Self::National);
        }
        if let Ok(region) = zone.parse() {
            return (1..=17).contains(&region).then_some(Self::Region(region));
        }
        let letters = zone.chars().take_while(char::is_ascii_uppercase).count();
        let is_postcode = (1..=2).contains(&letters)
            && (letters + 1..=letters + 2).contains(&zone.len())
            && zone.chars().nth(letters).is_some_and(|c| c.is_ascii_digit())
            && zone.chars().all(|c| c.is_ascii_alphanumeric());
        is_postcode.then_some(Self::Postcode(zone))
    }
}

/// The `grid_zone` label: ISO's code for the nation; regions have none, so theirs name their origin (`GB-neso-13`,
/// `GB-neso-RG10`).
impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::National => f.write_str(NATION),
            Self::Region(region) => write!(f, "GB-neso-{region}"),
            Self::Postcode(code) => write!(f, "GB-neso-{code}"),
        }
    }
}

/// Of an outage, there may be nothing in it.
#[derive(Debug, Deserialize)]
struct Body {
    data: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Region {
    regionid: Option<u8>,
    postcode: Option<String>,
    #[serde(default)]
    data: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct HalfHour {
    from: String,
    to: String,
    intensity: Intensity,
}

#[derive(Debug, Deserialize)]
struct Intensity {
    #[serde(default)]
    forecast: Value,
    #[serde(default)]
    actual: Value,
}

impl Neso {
    /// The source of an entry. Its zone is `GB`, as without one, the number of a region (1 to 17), or the first part of
    /// a postcode.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &[])?;
        let zone = zone_or(source, around, NATION)?;
        let area = Area::new(zone).ok_or_else(|| {
            let problem = format!(
                "neso has no zone {zone}: set GB, a region from 1 to 17, or the first part of a postcode (RG10)"
            );
            SourceError::new("zone", problem)
        })?;
        Ok(Self { address: address(source, ADDRESS)?, area, pace: pace(source, PERIOD, SHORTEST)? })
    }

    fn get(
        &self,
        http: &HttpClient,
        path: &str,
        now: UnixTime,
    ) -> Result<(Series, Option<String>), FetchError> {
        let answer = http.get(&Request::new(format!("{}{path}", self.address)))?.ok()?;
        let mut intake = Intake::new(self.signal(), now);
        for item in &self.items(&answer)? {
            take(&mut intake, item, &self.area);
        }
        intake.finish().map_err(|error| answer.blame(&error))
    }

    /// The half hours of an answer.
    fn items(&self, answer: &Answer) -> Result<Vec<Value>, FetchError> {
        let wrong = |what: &str| answer.fault(FetchResult::Decode, what);
        let body: Body = answer.json()?;
        let regions = match (body.data, &self.area) {
            (None, _) => return Ok(Vec::new()),
            (Some(Value::Array(items)), Area::National) => return Ok(items),
            (Some(Value::Array(regions)), _) => regions,
            (Some(region @ Value::Object(_)), Area::Region(_) | Area::Postcode(_)) => vec![region],
            _ => return Err(wrong("data isn't a list")),
        };
        let mut items = Vec::new();
        for region in regions {
            let region =
                Region::deserialize(region).map_err(|error| wrong(&format!("not a region: {error}")))?;
            self.check(&region, answer)?;
            items.extend(region.data);
        }
        Ok(items)
    }

    fn check(&self, region: &Region, answer: &Answer) -> Result<(), FetchError> {
        let is_right = match &self.area {
            Area::National => true,
            Area::Region(wanted) => region.regionid == Some(*wanted),
            Area::Postcode(wanted) => {
                region.postcode.as_deref().is_some_and(|code| code.eq_ignore_ascii_case(wanted))
            }
        };
        if is_right {
            return Ok(());
        }
        let what = format!(
            "asked for {}, but the answer is about region {} and postcode {}",
            self.area,
            region.regionid.map_or("none".to_owned(), |region| region.to_string()),
            region.postcode.as_deref().unwrap_or("none"),
        );
        Err(answer.fault(FetchResult::ZoneMismatch, &what))
    }

    /// What was measured, and what is forecast: two requests, of which one may bring nothing.
    fn national(&self, http: &HttpClient, now: UnixTime) -> Result<(Series, Vec<String>), FetchError> {
        let past = self.get(http, &format!("/intensity/{}/{}", minute(now.before(PAST)), minute(now)), now);
        let past = match past {
            Err(error) if error.result == FetchResult::RateLimited => return Err(error),
            other => other,
        };
        let ahead = self.get(http, &format!("/intensity/{}/fw48h", minute(now)), now);
        let (past, ahead) = match (past, ahead) {
            (Ok(past), Ok(ahead)) => (past, ahead),
            (Ok((past, warning)), Err(missing)) => {
                return Ok((past, warning.into_iter().chain([missing.text]).collect()));
            }
            (Err(missing), Ok((ahead, warning))) => {
                return Ok((ahead, warning.into_iter().chain([missing.text]).collect()));
            }
            (Err(error), Err(_)) => return Err(error),
        };
        let (mut slots, first) = past;
        slots.insert(ahead.0.slots().iter().copied());
        Ok((slots, first.into_iter().chain(ahead.1).collect()))
    }
}

impl GridProvider for Neso {
    fn zone(&self) -> Arc<str> {
        self.area.to_string().into()
    }

    fn signal(&self) -> Signal {
        Signal::AverageDirect
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let from = minute(now.before(REGIONAL_PAST));
        let regional = |end: String| {
            let (slots, warning) = self.get(http, &format!("/regional/intensity/{from}/fw48h/{end}"), now)?;
            Ok((slots, warning.into_iter().collect()))
        };
        let (slots, warnings) = match &self.area {
            Area::National => self.national(http, now)?,
            Area::Region(region) => regional(format!("regionid/{region}"))?,
            Area::Postcode(code) => regional(format!("postcode/{code}"))?,
        };
        Ok(Fetched::one(self, ProviderKind::Neso, "consumption", now, slots, warnings))
    }
}

/// Paths have no seconds.
fn minute(time: UnixTime) -> String {
    utc(time, "%Y-%m-%dT%H:%MZ")
}

fn take(intake: &mut Intake, item: &Value, area: &Area) {
    let Some(item) = intake.item::<HalfHour>(item) else { return };
    let Some(start) = intake.time(&item.from) else { return };
    let Some(end) = intake.time(&item.to) else { return };
    let Intensity { forecast, actual } = item.intensity;
    let (value, quality) =
        if actual.is_null() { (forecast, SlotQuality::Forecast) } else { (actual, SlotQuality::Measured) };
    match area {
        Area::National => intake.positive_slot(start, end, figure(&value), quality),
        // Some regions have no combustion at times.
        Area::Region(_) | Area::Postcode(_) => intake.slot(start, end, figure(&value), quality),
    }
}

#[cfg(test)]
mod tests;
