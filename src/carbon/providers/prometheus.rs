//! A query to a Prometheus server, or to one that speaks its HTTP API.
//!
//! Source: <https://prometheus.io/docs/prometheus/latest/querying/api/>, instant queries. A vector's timestamp is that of the
//! evaluation, not of the sample, which may be 5 minutes older; so `timestamp(QUERY)` is asked too. It gives the sample's own
//! time where the query is a bare selector, and the evaluation's otherwise.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::intake::Intake;
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, own, pace, refuse, zone};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request, brief};
use crate::carbon::secret::SecretFile;
use crate::carbon::series::SlotQuality;
use crate::config::{IntensityUnit, ProviderKind, Source};
use crate::units::{UnixTime, floor_to_u64};

const PERIOD: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(15);
/// How long a value holds: as long as Prometheus itself looks back.
const STEP: Duration = Duration::from_secs(300);

/// A query for one number.
#[derive(Clone, Debug)]
pub(in crate::carbon) struct Query {
    /// Without the query.
    address: String,
    query: String,
    token: Option<SecretFile>,
}

/// The number that a query gave.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::carbon) struct Reading {
    /// A finite number.
    pub(in crate::carbon) value: f64,
    /// When the query was evaluated, by the server's clock.
    evaluated: UnixTime,
    /// Whether it is of a series, which has times of its own.
    of_series: bool,
    /// What the server warns of.
    warnings: Vec<String>,
}

/// What the server answers, good or bad.
#[derive(Deserialize)]
struct Told {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar(Point),
    Matrix(IgnoredAny),
    String(IgnoredAny),
}

/// One series of a vector; a native histogram has no value.
#[derive(Deserialize)]
struct Sample {
    value: Option<Point>,
}

/// A time in seconds and a number as text.
type Point = (f64, String);

/// Clocks may differ by this much.
const MAX_SKEW: Duration = Duration::from_secs(300);

impl Query {
    /// A query to the server at `base`, an address to which paths can be added.
    pub(in crate::carbon) fn new(base: &str, query: &str, token: Option<SecretFile>) -> Self {
        Self { address: format!("{base}/api/v1/query"), query: query.trim().to_owned(), token }
    }

    /// The number.
    ///
    /// # Errors
    /// No answer, not exactly one series, or a value that isn't finite.
    pub(in crate::carbon) fn ask(&self, http: &HttpClient) -> Result<Reading, FetchError> {
        self.evaluate(&self.query, http)
    }

    /// When the sample behind the number was taken, by its own time.
    fn sampled(&self, http: &HttpClient) -> Result<UnixTime, FetchError> {
        let reading = self.evaluate(&format!("timestamp({})", self.query), http)?;
        Ok(unix_time(reading.value))
    }

    fn evaluate(&self, query: &str, http: &HttpClient) -> Result<Reading, FetchError> {
        let request = own::with_bearer(Request::new(&*self.address), self.token.as_ref())?;
        let answer = http.get(&request.query("query", query))?;
        let told: Result<Told, _> = serde_json::from_slice(&answer.body);
        if let Ok(told) = &told
            && told.status == "error"
        {
            return Err(refused(answer, told));
        }
        let answer = answer.ok()?;
        let told: Told = answer.json()?;
        let wrong = |result, text: &str| Err(answer.fault(result, text));
        let ((seconds, text), of_series) = match told.data {
            Some(Data::Scalar(point)) => (point, false),
            Some(Data::Vector(mut samples)) => match (samples.pop(), samples.len()) {
                (None, _) => return wrong(FetchResult::Empty, "the query has no result"),
                (Some(Sample { value: Some(point) }), 0) => (point, true),
                (Some(Sample { value: None }), 0) => {
                    return wrong(FetchResult::Decode, "the query gives a histogram, not a number");
                }
                (Some(_), others) => {
                    let text = format!(
                        "the query gives {} series, but it must give one: select it by its labels, or use avg()",
                        others + 1
                    );
                    return wrong(FetchResult::Decode, &text);
                }
            },
            Some(Data::Matrix(_) | Data::String(_)) => {
                return wrong(FetchResult::Decode, "the query gives no instant vector and no scalar");
            }
            None => return wrong(FetchResult::Decode, "the answer has no data"),
        };
        let Ok(value) = text.parse::<f64>() else {
            return wrong(FetchResult::Decode, &format!("{:?} isn't a number", brief(&text)));
        };
        if !value.is_finite() {
            return wrong(FetchResult::Empty, &format!("the value is {value}"));
        }
        let warnings = told.warnings.iter().take(1).map(|warning| brief(warning)).collect();
        Ok(Reading { value, evaluated: unix_time(seconds), of_series, warnings })
    }
}

/// The error that the server explains.
fn refused(answer: Answer, told: &Told) -> FetchError {
    let said = format!("{}: {}", brief(&told.error_type), brief(&told.error));
    let fault = answer.fault(FetchResult::Rejected, &said);
    match answer.ok() {
        Ok(_) => fault,
        Err(error) => FetchError { text: fault.text, ..error },
    }
}

fn unix_time(seconds: f64) -> UnixTime {
    UnixTime::from_millis(floor_to_u64((seconds * 1e3).round()))
}

/// A Prometheus server that knows the grid's intensity.
#[derive(Debug)]
pub(super) struct Prometheus {
    query: Query,
    step: Duration,
    unit: IntensityUnit,
    zone: Arc<str>,
    signal: Signal,
    pace: Pace,
}

impl Prometheus {
    /// The source that an entry describes.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["basis", "token_file", "query", "step", "unit"])?;
        let base = address(source, own::needs_url(source)?)?;
        let Some(query) = source.query.as_deref().filter(|query| !query.trim().is_empty()) else {
            return Err(SourceError::new(
                "query",
                "prometheus needs one, such as grid_intensity{zone=\"FR\"}",
            ));
        };
        let step = source.step.unwrap_or(STEP);
        if step.is_zero() {
            return Err(SourceError::new("step", "must be more than nothing"));
        }
        Ok(Self {
            query: Query::new(&base, query, own::token(source, around)),
            step,
            unit: source.unit,
            zone: zone(source, around)?.into(),
            signal: own::signal(source)?,
            pace: pace(source, PERIOD, SHORTEST)?,
        })
    }
}

impl GridProvider for Prometheus {
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
        let mut reading = self.query.ask(http)?;
        let sampled = if reading.of_series { self.query.sampled(http) } else { Ok(reading.evaluated) };
        let sampled = sampled.unwrap_or_else(|error| {
            let said = format!("the value's own time isn't known, the query's is used: {}", error.text);
            reading.warnings.push(said);
            reading.evaluated
        });
        if sampled > now.after(MAX_SKEW) {
            let text = "the value's time is in the future: is the clock wrong, here or there?";
            return Err(FetchError::new(FetchResult::Decode, text).of(&self.query.address));
        }
        // A server whose clock is a bit ahead has no value of the future.
        let start = sampled.min(now);
        let mut intake = Intake::new(self.signal, now);
        let grams = reading.value * self.unit.in_grams_per_kwh();
        intake.slot(start, start.after(self.step), Some(grams), SlotQuality::Measured);
        let (slots, _) = intake.finish().map_err(|error| error.of(&self.query.address))?;
        Ok(Fetched::one(self, ProviderKind::Prometheus, "", now, slots, reading.warnings))
    }
}

#[cfg(test)]
mod tests;
