//! WattTime (API v3): how much carbon dioxide one more kilowatt-hour causes, now and in the next day.
//!
//! The values are marginal: they serve decisions on where and when to use energy, and never the accounts. A name and a
//! password are exchanged for a token that is good for 30 minutes. A user may ask 3,000 times in 5 minutes, and log in 100
//! times; the documentation is at <https://docs.watttime.org>.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::intake::Intake;
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, address, pace, refuse, zone};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::{Answer, HttpClient, Request, brief};
use crate::carbon::secret::{Secret, SecretFile};
use crate::carbon::series::SlotQuality;
use crate::config::{IntensityUnit, ProviderKind, Source};
use crate::units::UnixTime;

const ADDRESS: &str = "https://api.watttime.org";
/// A new forecast comes every 5 minutes.
const PERIOD: Duration = Duration::from_secs(5 * 60);
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// A little less than the 30 minutes that a token is good for.
const TOKEN_LIFE: Duration = Duration::from_secs(28 * 60);
const SIGNAL_TYPE: &str = "co2_moer";
const UNITS: &str = "lbs_co2_per_mwh";
/// From now on; the first value is that of now.
const HORIZON_HOURS: &str = "24";
/// A slot is never longer than this.
const LONGEST_SLOT: u64 = 86_400;
/// So many of the provider's warnings are passed on.
const WARNINGS: usize = 5;

/// The source.
#[derive(Debug)]
pub(super) struct WattTime {
    address: String,
    region: Arc<str>,
    user: String,
    password: SecretFile,
    pace: Pace,
    token: Option<Token>,
}

#[derive(Debug)]
struct Token {
    text: Secret,
    since: UnixTime,
}

#[derive(Debug, Deserialize)]
struct Login {
    token: String,
}

#[derive(Debug, Deserialize)]
struct Body {
    data: Vec<Value>,
    meta: Meta,
}

#[derive(Debug, Deserialize)]
struct Meta {
    region: String,
    signal_type: String,
    units: String,
    data_point_period_seconds: u64,
    #[serde(default)]
    warnings: Value,
}

#[derive(Debug, Deserialize)]
struct Point {
    point_time: String,
    value: Option<f64>,
}

impl WattTime {
    /// The source as configured: `zone` is one of WattTime's regions.
    ///
    /// # Errors
    /// `zone`, `user` or `password_file` is missing, or a key isn't fit.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &["user", "password_file"])?;
        let needed = |key, what| SourceError::new(key, format!("watttime needs {what}"));
        // The node's own zone isn't one of WattTime's regions, which have names of their own.
        let region = match source.zone {
            Some(_) => zone(source, around)?,
            None => return Err(needed("zone", "one of its regions, such as CAISO_NORTH")),
        };
        let user = source.user.as_deref().ok_or_else(|| needed("user", "the name of an account"))?;
        if user.contains(':') || user.chars().any(char::is_control) {
            return Err(SourceError::new(
                "user",
                "must not have a colon or a control character in it (RFC 7617)",
            ));
        }
        let password = source.password_file.as_deref();
        let password =
            password.ok_or_else(|| needed("password_file", "a file with the account's password"))?;
        Ok(Self {
            address: address(source, ADDRESS)?,
            region: region.into(),
            user: user.to_owned(),
            password: SecretFile::new(password, around.credentials),
            pace: pace(source, PERIOD, SHORTEST)?,
            token: None,
        })
    }

    /// A new token for the name and the password.
    fn log_in(&self, http: &HttpClient) -> Result<Secret, FetchError> {
        let password = self.password.read()?;
        let basic = STANDARD.encode(format!("{}:{}", self.user, password.expose()));
        let basic = Secret::new(format!("Basic {basic}"));
        let request = Request::new(format!("{}/login", self.address))
            .header("authorization", basic)
            .confidential(&password);
        let answer = http.get(&request)?;
        // Older servers say this to a wrong password.
        let answer = if answer.status == 403 { Err(answer.error(FetchResult::Auth)) } else { answer.ok() }?;
        // Nothing of the body is told, as it may be the token.
        serde_json::from_slice(&answer.body)
            .ok()
            .map(|login: Login| login.token)
            .filter(|token| !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic()))
            .map(Secret::new)
            .ok_or_else(|| answer.fault(FetchResult::Decode, "the answer to the login has no token"))
    }

    fn ask(&self, http: &HttpClient, token: &Secret) -> Result<Answer, FetchError> {
        let request = Request::new(format!("{}/v3/forecast", self.address))
            .query("region", &self.region)
            .query("signal_type", SIGNAL_TYPE)
            .query("horizon_hours", HORIZON_HOURS)
            .header("authorization", Secret::new(format!("Bearer {}", token.expose())));
        let answer = http.get(&request)?;
        // WattTime itself answers in JSON; a page with this status comes from something on the way.
        let is_page = answer.status == 403 && serde_json::from_slice::<Value>(&answer.body).is_err();
        answer.ok().map_err(|error| match error.result {
            FetchResult::Forbidden if is_page => FetchError {
                text: format!(
                    "{}: not from WattTime's API itself: a firewall or proxy refuses it",
                    error.text
                ),
                ..error
            },
            FetchResult::Forbidden => FetchError {
                text: format!("{}: the account's plan must include {}", error.text, self.region),
                ..error
            },
            _ => error,
        })
    }

    /// The forecast, with the token that is there or, once, with a new one.
    fn forecast(&mut self, http: &HttpClient, now: UnixTime) -> Result<Answer, FetchError> {
        let is_good = |token: &&Token| now >= token.since && now.since(token.since) < TOKEN_LIFE;
        if let Some(token) = self.token.as_ref().filter(is_good) {
            match self.ask(http, &token.text) {
                Err(error) if error.result == FetchResult::Auth => self.token = None,
                other => return other,
            }
        }
        let text = self.log_in(http)?;
        let answer = self.ask(http, &text);
        if !matches!(&answer, Err(error) if error.result == FetchResult::Auth) {
            self.token = Some(Token { text, since: now });
        }
        answer
    }
}

impl GridProvider for WattTime {
    fn zone(&self) -> Arc<str> {
        Arc::clone(&self.region)
    }

    fn signal(&self) -> Signal {
        Signal::Marginal
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, http: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let answer = self.forecast(http, now)?;
        let body: Body = answer.json()?;
        let (slots, left_out) =
            read(&body, &self.region, now).and_then(Intake::finish).map_err(|error| answer.blame(&error))?;
        let mut warnings = told(&body.meta.warnings);
        warnings.extend(left_out);
        Ok(Fetched::one(self, ProviderKind::Watttime, "", now, slots, warnings))
    }
}

/// The values of an answer. All of them are forecasts: the documentation doesn't say that the first one is more.
///
/// # Errors
/// It is about another region, or another signal or unit than the one asked for.
fn read(body: &Body, region: &str, now: UnixTime) -> Result<Intake, FetchError> {
    let meta = &body.meta;
    if meta.region != region {
        let text = format!("the answer is about another region than {region}");
        return Err(FetchError::new(FetchResult::ZoneMismatch, text));
    }
    let wrong = |text: String| Err(FetchError::new(FetchResult::Decode, text));
    if meta.signal_type != SIGNAL_TYPE {
        return wrong(format!("the answer is about another signal than {SIGNAL_TYPE}"));
    }
    if meta.units != UNITS {
        return wrong(format!("the values aren't in {UNITS}"));
    }
    if !(1..=LONGEST_SLOT).contains(&meta.data_point_period_seconds) {
        return wrong(format!("a value can't be for {} seconds", meta.data_point_period_seconds));
    }
    let length = Duration::from_secs(meta.data_point_period_seconds);
    let mut intake = Intake::new(Signal::Marginal, now);
    for point in &body.data {
        let Some(point) = intake.item::<Point>(point) else { continue };
        let grams = point.value.map(|pounds| pounds * IntensityUnit::PoundsPerMwh.in_grams_per_kwh());
        let Some(start) = intake.time(&point.point_time) else { continue };
        intake.slot(start, start.after(length), grams, SlotQuality::Forecast);
    }
    Ok(intake)
}

/// The provider's own warnings: texts, or objects with a type and a message.
fn told(warnings: &Value) -> Vec<String> {
    let one = |warning: &Value| {
        let text = match warning {
            Value::String(text) => text.clone(),
            Value::Object(fields) => match fields.get("message").and_then(Value::as_str) {
                Some(message) => message.to_owned(),
                None => warning.to_string(),
            },
            _ => warning.to_string(),
        };
        format!("WattTime warns: {}", brief(&text))
    };
    warnings.as_array().into_iter().flatten().take(WARNINGS).map(one).collect()
}

#[cfg(test)]
mod tests;
