//! Energy-Charts of Fraunhofer ISE: the carbon intensity of about 40 European countries.
//!
//! Licence of the data: CC BY 4.0, by the provider's pages. Two things its documentation doesn't say: which emissions
//! the factors count, and whether imports are in. The figures are taken for life-cycle ones, since they are called CO2
//! equivalents; `basis` of the entry overrides that. Accounting is left empty.
//!
//! One request without dates brings the current day of the country and what is forecast of its rest. What was fetched
//! the day before is known from then.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::intake::{Intake, Spacing, figure};
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, zone};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request};
use crate::carbon::series::SlotQuality;
use crate::config::{Basis, ProviderKind, Source};
use crate::units::UnixTime;

const ADDRESS: &str = "https://api.energy-charts.info";
const PERIOD: Duration = Duration::from_secs(30 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// Quarters in most countries, hours in some.
const SPACING: Spacing =
    Spacing { typical: Duration::from_secs(15 * 60), longest: Duration::from_secs(3_600) };

/// The source.
#[derive(Debug)]
pub(super) struct EnergyCharts {
    address: String,
    /// The code that the provider knows it by.
    country: String,
    zone: Arc<str>,
    signal: Signal,
    pace: Pace,
}

/// Parallel lists: one moment, and what is known of it.
#[derive(Debug, Deserialize)]
struct Body {
    unix_seconds: Vec<Value>,
    co2eq: Option<Vec<Value>>,
    co2eq_forecast: Option<Vec<Value>>,
}

impl EnergyCharts {
    /// The source of an entry. The zone is a country's ISO code; Great Britain has another code there, so that it needs
    /// to be given in the entry's own `zone`.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["basis"])?;
        let zone = zone(source, around)?;
        let is_word = zone.chars().all(|c| c.is_ascii_alphabetic());
        if !is_word || (source.zone.is_none() && zone.len() != 2) {
            let problem =
                format!("energy_charts has no zone {zone}, only countries: set one here, such as DE");
            return Err(SourceError::new("zone", problem));
        }
        Ok(Self {
            address: address(source, ADDRESS)?,
            country: zone.to_ascii_lowercase(),
            zone: zone.to_ascii_uppercase().into(),
            signal: Signal::average(source.basis.unwrap_or(Basis::Lifecycle)),
            pace: pace(source, PERIOD, SHORTEST)?,
        })
    }
}

impl GridProvider for EnergyCharts {
    fn zone(&self) -> Arc<str> {
        Arc::clone(&self.zone)
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let request = Request::new(format!("{}/co2eq", self.address)).query("country", &self.country);
        let answer = http.get(&request)?.ok()?;
        let intake = read(&answer, Intake::new(self.signal, now))?;
        let (slots, warning) = intake.finish().map_err(|error| answer.blame(&error))?;
        Ok(Fetched::one(self, ProviderKind::EnergyCharts, "", now, slots, warning))
    }
}

fn read(answer: &Answer, mut intake: Intake) -> Result<Intake, FetchError> {
    let Body { unix_seconds, co2eq, co2eq_forecast } = answer.json()?;
    let count = unix_seconds.len();
    // A list that is missing knows nothing; one of another length can't be matched to the moments.
    let measured = co2eq.unwrap_or_else(|| vec![Value::Null; count]);
    let forecast = co2eq_forecast.unwrap_or_else(|| vec![Value::Null; count]);
    if measured.len() != count || forecast.len() != count {
        let lengths = format!("{count} moments, but {} and {} values", measured.len(), forecast.len());
        return Err(answer.fault(FetchResult::Decode, &lengths));
    }
    let mut starts = Vec::with_capacity(count);
    let mut values = Vec::with_capacity(count);
    for ((second, measured), forecast) in unix_seconds.iter().zip(&measured).zip(&forecast) {
        let Some(second) = intake.item::<u64>(second) else { continue };
        let (value, quality) = if measured.is_null() {
            (forecast, SlotQuality::Forecast)
        } else {
            (measured, SlotQuality::Measured)
        };
        starts.push(UnixTime::from_seconds(second));
        values.push((figure(value), quality));
    }
    for ((start, end), (grams, quality)) in starts.iter().zip(SPACING.ends(&starts)).zip(values) {
        intake.slot(*start, end, grams, quality);
    }
    Ok(intake)
}

#[cfg(test)]
mod tests;
