//! ENTSO-E's transparency platform: what was generated, by type of plant, times a factor for each type.
//!
//! The document is "actual generation per production type" (type A75, process A16, article 16.1.B&C of Regulation (EU)
//! 543/2013). The factors are generic ones over the life cycle ([`crate::carbon::fuels`]), so the values count as
//! estimated; imports are not in them. A token may ask 400 times a minute, and is banned for 10 minutes if it asks
//! more.

mod document;
mod mix;
mod zones;

use std::sync::Arc;
use std::time::Duration;

use self::document::{Contents, Fault};
use self::zones::Area;
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, utc, zone};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request};
use crate::carbon::secret::SecretFile;
use crate::carbon::series::Series;
use crate::config::{Basis, ProviderKind, Source};
use crate::units::UnixTime;

const ADDRESS: &str = "https://web-api.tp.entsoe.eu";
/// The platform's finest resolution.
const PERIOD: Duration = Duration::from_secs(15 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// How far back is asked: data come late, and what a zone reports is known from the hours before.
const BACK: Duration = Duration::from_secs(24 * 3_600);
const HOUR: Duration = Duration::from_secs(3_600);
/// How long a token is banned that asked too often.
const BAN: Duration = Duration::from_secs(600);
/// The times of a request, in UTC.
const TIMES: &str = "%Y%m%d%H%M";
const SIGNAL: Signal = Signal::AverageLifecycle;

/// The source.
#[derive(Debug)]
pub(super) struct Entsoe {
    address: String,
    area: Area,
    token: SecretFile,
    pace: Pace,
}

impl Entsoe {
    /// The source as configured: `zone` is one of `data/entsoe_zones.csv` or an area's EIC code.
    ///
    /// # Errors
    /// `zone` or `token_file` is missing, or a key isn't fit.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["basis", "token_file"])?;
        if source.basis == Some(Basis::Direct) {
            let problem = "entsoe is counted with factors over the life cycle: remove it";
            return Err(SourceError::new("basis", problem));
        }
        let area = zones::find(zone(source, around)?).map_err(|problem| SourceError::new("zone", problem))?;
        let Some(token) = &source.token_file else {
            let problem =
                "entsoe needs a file with the security token of an account on the transparency platform";
            return Err(SourceError::new("token_file", problem));
        };
        Ok(Self {
            address: address(source, ADDRESS)?,
            area,
            token: SecretFile::new(token, around.credentials),
            pace: pace(source, PERIOD, SHORTEST)?,
        })
    }

    fn ask(&self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let token = self.token.read()?;
        let request = Request::new(format!("{}/api", self.address))
            .query("securityToken", token.expose())
            .confidential(&token)
            .query("documentType", "A75")
            .query("processType", "A16")
            .query("in_Domain", &self.area.eic)
            .query("periodStart", &utc(whole_hour(now.before(BACK)), TIMES))
            .query("periodEnd", &utc(whole_hour(now).after(HOUR), TIMES));
        self.take(&http.get(&request)?, now)
    }

    fn take(&self, answer: &Answer, now: UnixTime) -> Result<Fetched, FetchError> {
        let contents = document::read(&answer.body, &self.area.eic);
        if answer.status != 200 {
            return Err(refusal(answer, contents.err()));
        }
        let contents = contents.map_err(|fault| answer.fault(fault.result, &fault.text))?;
        let (slots, warnings) = values(&contents).map_err(|error| answer.blame(&error))?;
        Ok(Fetched::one(self, ProviderKind::Entsoe, "production", now, slots, warnings))
    }
}

impl GridProvider for Entsoe {
    fn zone(&self) -> Arc<str> {
        Arc::clone(&self.area.zone)
    }

    fn signal(&self) -> Signal {
        SIGNAL
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        self.ask(http, now)
    }
}

/// What a status other than 200 means, with the reason that the platform gives.
fn refusal(answer: &Answer, fault: Option<Fault>) -> FetchError {
    let mut error = answer.clone().ok().err().unwrap_or_else(|| answer.error(FetchResult::Rejected));
    if let Some(fault) = fault.filter(|fault| fault.is_acknowledgement) {
        error.text = answer.fault(error.result, &format!("HTTP {}: {}", answer.status, fault.text)).text;
        if error.result == FetchResult::Rejected {
            error.result = fault.result;
        }
    }
    if error.result == FetchResult::RateLimited {
        error.retry_after = Some(error.retry_after.unwrap_or_default().max(BAN));
    }
    error
}

/// The intensity of the mix over time, and what had to be left out.
///
/// # Errors
/// There is no time for which it is known.
fn values(contents: &Contents) -> Result<(Series, Vec<String>), FetchError> {
    let mix = mix::intensity(&contents.outputs, &contents.reported);
    let mut notes = mix.notes();
    if contents.unusable > 0 {
        notes.push(format!("left out {} outputs that aren't a number", contents.unusable));
    }
    if mix.slots.is_empty() {
        let nothing_usable = contents.outputs.is_empty() && contents.unusable > 0;
        let result = if nothing_usable { FetchResult::Decode } else { FetchResult::Empty };
        let why = if notes.is_empty() { "it has no values".to_owned() } else { notes.join("; ") };
        return Err(FetchError::new(result, why));
    }
    Ok((Series::new(mix.slots), notes))
}

fn whole_hour(time: UnixTime) -> UnixTime {
    let hour = UnixTime::since_epoch(HOUR).as_millis();
    UnixTime::from_millis(time.as_millis() / hour * hour)
}

#[cfg(test)]
mod tests;
