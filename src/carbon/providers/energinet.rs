//! Energinet for Denmark: data sets of Energi Data Service. No key is needed.
//!
//! `CO2Emis` has the direct emissions of consumption in each of the two bidding zones, imports counted in, every 5
//! minutes; `CO2EmisProg` has their forecast. Since August 2025 each data set may be asked once a minute from one
//! address, so the nodes behind one gateway need a relay.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::intake::Intake;
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, zone};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{HttpClient, Request};
use crate::carbon::series::{Series, SlotQuality};
use crate::config::{Basis, ProviderKind, Source};
use crate::units::UnixTime;

const ADDRESS: &str = "https://api.energidataservice.dk";
/// New values come every 5 minutes.
const PERIOD: Duration = Duration::from_secs(5 * 60);
/// The provider's limit.
const SHORTEST: Duration = Duration::from_secs(60);
const SLOT: Duration = Duration::from_secs(5 * 60);
/// However long the forecast is asked to be left alone, it is tried again after this.
const LONGEST_REST: Duration = Duration::from_secs(3_600);
const SIGNAL: Signal = Signal::AverageDirect;

/// A data set, and how it is asked for.
#[derive(Debug)]
struct DataSet {
    name: &'static str,
    quality: SlotQuality,
    /// From when on; the service knows the time better than a node whose clock may be wrong.
    start: &'static str,
    sort: &'static str,
    /// More records than there are from `start` on.
    limit: &'static str,
}

const MEASURED: DataSet = DataSet {
    name: "CO2Emis",
    quality: SlotQuality::Measured,
    start: "now-PT6H",
    sort: "Minutes5UTC desc",
    limit: "200",
};

const FORECAST: DataSet = DataSet {
    name: "CO2EmisProg",
    quality: SlotQuality::Forecast,
    start: "now-PT1H",
    sort: "Minutes5UTC asc",
    limit: "1000",
};

/// The source.
#[derive(Debug)]
pub(super) struct Energinet {
    address: String,
    /// The bidding zone in the provider's terms.
    area: &'static str,
    zone: Arc<str>,
    pace: Pace,
    /// The forecast isn't asked for before this.
    rest_until: UnixTime,
}

#[derive(Debug, Deserialize)]
struct Body {
    dataset: String,
    records: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    #[serde(rename = "Minutes5UTC")]
    start: String,
    price_area: String,
    #[serde(rename = "CO2Emission")]
    grams: Option<f64>,
}

impl Energinet {
    /// The source as configured: `zone` is a Danish bidding zone.
    ///
    /// # Errors
    /// The zone isn't one of the two, or a key isn't fit.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["basis"])?;
        if source.basis == Some(Basis::Lifecycle) {
            return Err(SourceError::new("basis", "energinet counts direct emissions: remove it"));
        }
        let asked = zone(source, around)?;
        let (area, zone) = match asked.to_ascii_uppercase().as_str() {
            "DK1" | "DK-DK1" => ("DK1", "DK-DK1"),
            "DK2" | "DK-DK2" => ("DK2", "DK-DK2"),
            _ => {
                let problem = format!(
                    "energinet doesn't have {asked}: choose DK-DK1 (west of the Great Belt) or DK-DK2 (east of it)"
                );
                return Err(SourceError::new("zone", problem));
            }
        };
        Ok(Self {
            address: address(source, ADDRESS)?,
            area,
            zone: zone.into(),
            pace: pace(source, PERIOD, SHORTEST)?,
            rest_until: UnixTime::default(),
        })
    }

    /// One data set's values, and a line on what had to be left out.
    fn ask(
        &self,
        http: &HttpClient,
        set: &DataSet,
        now: UnixTime,
    ) -> Result<(Series, Option<String>), FetchError> {
        // Without the time zone, `start` would be Danish local time.
        let request = Request::new(format!("{}/dataset/{}", self.address, set.name))
            .query("start", set.start)
            .query("timezone", "UTC")
            .query("filter", &format!("{{\"PriceArea\":[\"{}\"]}}", self.area))
            .query("sort", set.sort)
            .query("limit", set.limit);
        let answer = http.get(&request)?.ok()?;
        let (series, warning) = read(&answer.json()?, set, self.area, now)
            .and_then(Intake::finish)
            .map_err(|error| answer.blame(&error))?;
        Ok((series, warning.map(|warning| format!("{}: {warning}", set.name))))
    }
}

impl GridProvider for Energinet {
    fn zone(&self) -> Arc<str> {
        Arc::clone(&self.zone)
    }

    fn signal(&self) -> Signal {
        SIGNAL
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let measured = match self.ask(http, &MEASURED, now) {
            Err(error) if error.result == FetchResult::RateLimited => return Err(error),
            other => other,
        };
        let rest = self.rest_until.since(now);
        // More than that is left only if the clock was set back.
        let is_resting = !rest.is_zero() && rest <= LONGEST_REST;
        let forecast = (!is_resting).then(|| self.ask(http, &FORECAST, now));
        if let Some(Err(FetchError { retry_after: Some(rest), .. })) = &forecast {
            self.rest_until = now.after((*rest).min(LONGEST_REST));
        }
        // Either of the two is of use without the other.
        let (mut slots, mut warnings, mut errors) = (Series::default(), Vec::new(), Vec::new());
        for answer in [Some(measured), forecast].into_iter().flatten() {
            match answer {
                Ok((series, warning)) => {
                    slots.insert(series.slots().iter().copied());
                    warnings.extend(warning);
                }
                Err(error) => errors.push(error),
            }
        }
        let mut errors = errors.into_iter();
        if slots.slots().is_empty()
            && let Some(first) = errors.next()
        {
            return Err(first);
        }
        warnings.extend(errors.map(|error| error.text));
        Ok(Fetched::one(self, ProviderKind::Energinet, "consumption", now, slots, warnings))
    }
}

/// The values of an answer.
///
/// # Errors
/// It is another data set's, or another zone's.
fn read(body: &Body, set: &DataSet, area: &str, now: UnixTime) -> Result<Intake, FetchError> {
    if body.dataset != set.name {
        let text = format!("the answer is from another data set than {}", set.name);
        return Err(FetchError::new(FetchResult::Decode, text));
    }
    let mut intake = Intake::new(SIGNAL, now);
    for record in &body.records {
        let Some(record) = intake.item::<Record>(record) else { continue };
        if record.price_area != area {
            let text = format!("{} has values of another zone than {area}", set.name);
            return Err(FetchError::new(FetchResult::ZoneMismatch, text));
        }
        // The times are without offset, as they are UTC by the column's definition.
        let Some(start) = intake.time(&format!("{}Z", record.start)) else { continue };
        intake.slot(start, start.after(SLOT), record.grams, set.quality);
    }
    Ok(intake)
}

#[cfg(test)]
mod tests;
