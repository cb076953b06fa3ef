//! RTE's eCO2mix for France, through the open data platform ODRE (Opendatasoft Explore API 2.1).
//!
//! The data set `eco2mix-national-tr` has the direct emissions of production in France, without imports, every 15
//! minutes. Licence: Licence Ouverte 2.0. There is no forecast: rows of the future are there, but empty.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::intake::{Intake, Spacing, figure};
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, time, zone_or};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request};
use crate::carbon::secret::{Secret, SecretFile};
use crate::carbon::series::SlotQuality;
use crate::config::{ProviderKind, Source};
use crate::units::UnixTime;

const ADDRESS: &str = "https://odre.opendatasoft.com/api/explore/v2.1";
const RECORDS: &str = "/catalog/datasets/eco2mix-national-tr/records";
const ZONE: &str = "FR";
/// New rows come every 15 to 30 minutes; all anonymous users of an address share one quota.
const PERIOD: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// The most that the interface gives at once; 25 hours of quarters.
const ROWS: &str = "100";
/// Quarters; consolidated data may have half hours.
const SPACING: Spacing =
    Spacing { typical: Duration::from_secs(15 * 60), longest: Duration::from_secs(30 * 60) };
/// A quota that ends later than this is not what a node waits for in one go.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The source.
#[derive(Debug)]
pub(super) struct Rte {
    records: String,
    key: Option<SecretFile>,
    pace: Pace,
}

#[derive(Debug, Deserialize)]
struct Body {
    results: Vec<Value>,
}

#[derive(Debug, Deserialize)]
struct Row {
    date_heure: String,
    #[serde(default)]
    taux_co2: Value,
}

/// What a quota that is used up answers.
#[derive(Debug, Deserialize)]
struct Exhausted {
    reset_time: String,
}

impl Rte {
    /// The source of an entry, which needs no zone; `token_file` may have a key of the platform, for a quota of one's own.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["token_file"])?;
        let zone = zone_or(source, around, ZONE)?;
        if !zone.eq_ignore_ascii_case(ZONE) {
            let problem = format!("is {zone}, but rte has figures of {ZONE} only");
            return Err(SourceError::new("zone", problem));
        }
        let key = source.token_file.as_deref().map(|path| SecretFile::new(path, around.credentials));
        let records = address(source, ADDRESS)? + RECORDS;
        Ok(Self { records, key, pace: pace(source, PERIOD, SHORTEST)? })
    }
}

impl GridProvider for Rte {
    fn zone(&self) -> Arc<str> {
        ZONE.into()
    }

    fn signal(&self) -> Signal {
        Signal::AverageDirect
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let mut request = Request::new(&self.records)
            .query("select", "taux_co2,date_heure")
            .query("where", "date_heure <= now()")
            .query("order_by", "date_heure desc")
            .query("limit", ROWS)
            .query("timezone", "UTC");
        if let Some(key) = &self.key {
            let key = key.read()?;
            request = request.header("Authorization", Secret::new(format!("Apikey {}", key.expose())));
        }
        let answer = http.get(&request)?;
        if answer.status == 429 {
            return Err(too_many(&answer, now));
        }
        let answer = answer.ok()?;
        let intake = read(&answer.json()?, Intake::new(self.signal(), now));
        let (slots, warning) = intake.finish().map_err(|error| answer.blame(&error))?;
        Ok(Fetched::one(self, ProviderKind::Rte, "production", now, slots, warning))
    }
}

fn read(body: &Body, mut intake: Intake) -> Intake {
    let mut rows = Vec::new();
    for item in &body.results {
        let Some(row) = intake.item::<Row>(item) else { continue };
        let Some(start) = intake.time(&row.date_heure) else { continue };
        rows.push((start, row.taux_co2));
    }
    let starts: Vec<UnixTime> = rows.iter().map(|(start, _)| *start).collect();
    for ((start, rate), end) in rows.into_iter().zip(SPACING.ends(&starts)) {
        intake.positive_slot(start, end, grams(&rate), SlotQuality::Measured);
    }
    intake
}

/// Some of the data set's numbers are texts, and `ND` (not available) is one of them.
fn grams(rate: &Value) -> Option<f64> {
    match rate.as_str().map(str::trim) {
        None => figure(rate),
        Some("" | "ND") => None,
        Some(text) => Some(text.parse().unwrap_or(f64::NAN)),
    }
}

/// Beside the usual header, the platform names the moment from which it answers again.
fn too_many(answer: &Answer, now: UnixTime) -> FetchError {
    let mut error = answer.error(FetchResult::RateLimited);
    let reset = answer.json::<Exhausted>().ok().and_then(|body| time(&body.reset_time));
    let wait = reset.map(|reset| reset.since(now));
    error.retry_after = error.retry_after.or(wait.filter(|wait| !wait.is_zero() && *wait < LONGEST_WAIT));
    error
}

#[cfg(test)]
mod tests;
