//! The HTTP client of all sources: one deadline for everything, a cap on bodies, no redirects, rustls only.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::carbon::data_file;
use crate::carbon::grid::{FetchError, FetchResult};
use crate::carbon::secret::Secret;
use crate::pem;
use crate::units::UnixTime;

mod address;
mod clock;
mod quote;

pub use address::check_address;
pub(in crate::carbon) use quote::brief;

use self::clock::clock_skew;
use self::quote::{Confidences, RECOGNIZABLE};

/// From the name's resolution to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A week of 5-minute values is a tenth of this.
const MAX_BODY: u64 = 4 * 1024 * 1024;
/// All roots of the web are a quarter of this.
const MAX_CA_FILE: u64 = 1024 * 1024;
/// Parameters that are shorter aren't tokens; zones and dates mostly are.
const SHORTEST_TOKEN: usize = 16;

/// A client; cheap to keep, as it holds no connection open between requests.
#[derive(Clone)]
pub struct HttpClient {
    agent: Agent,
    seen: Arc<Mutex<Seen>>,
}

/// What a client saw in a round of requests.
#[derive(Clone, Default)]
struct Seen {
    now: Option<UnixTime>,
    skew: Option<Duration>,
    /// What was sent in confidence in this round.
    sent: Vec<Confidences>,
}

/// A GET request.
#[derive(Clone)]
pub struct Request {
    url: String,
    /// The address as messages show it: without the query, where some providers want their token.
    shown: String,
    headers: Vec<(String, Secret)>,
    confidential: Vec<Secret>,
}

impl Request {
    /// A request for an address without a query.
    pub fn new(address: impl Into<String>) -> Self {
        let url = address.into();
        let shown = url.split(['?', '#']).next().unwrap_or_default().to_owned();
        Self { url, shown, headers: Vec::new(), confidential: Vec::new() }
    }

    /// A request for an address of the operator's own, whose path may hold a key: messages show the host only.
    pub fn without_path_in_messages(address: impl Into<String>) -> Self {
        let request = Self::new(address);
        let host = request.shown.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        Self { shown: host, ..request }
    }

    /// Adds a parameter to the query, encoded as forms are.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url.extend(form_urlencoded::byte_serialize(name.as_bytes()));
        self.url.push('=');
        self.url.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: Secret) -> Self {
        self.headers.push((name.to_owned(), value));
        self
    }

    /// Hides a text in messages that isn't in the request as it is.
    #[must_use]
    pub(super) fn confidential(mut self, text: &Secret) -> Self {
        self.confidential.push(text.clone());
        self
    }

    /// What no message may quote, should the answer repeat it: words of header values, parameters that are as long as
    /// tokens are, and what is said to be confidential.
    fn confidences(&self) -> Confidences {
        // Before the last word stands the scheme (Bearer, Basic), if anything.
        let headers = self.headers.iter().filter_map(|(_, value)| value.expose().split_whitespace().last());
        let headers = headers.filter(|word| word.len() >= RECOGNIZABLE).map(str::to_owned);
        let query = self.url.split_once('?').map_or("", |(_, query)| query);
        let encoded = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1.to_owned()));
        let decoded = form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned());
        let query = encoded.chain(decoded).filter(|value| value.len() >= SHORTEST_TOKEN);
        let others = self.confidential.iter().map(|text| text.expose().to_owned());
        Confidences::new(headers.chain(query).chain(others))
    }
}

/// An answer whose status is not looked at yet.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// When it was made, by the clock of the one that made it.
    pub date: Option<UnixTime>,
    /// The body.
    pub body: Vec<u8>,
    /// When it was asked for, where that is known.
    now: Option<UnixTime>,
    shown: String,
    confidences: Confidences,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The agent knows the proxy's address, and that may hold a password.
        f.write_str("HttpClient")
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GET {}", self.shown)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: HTTP {}: {}", self.shown, self.status, self.excerpt())
    }
}

impl HttpClient {
    /// A client that trusts the roots of the web, or only those in a PEM file.
    ///
    /// # Errors
    /// The file can't be read or has no certificate.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, FetchError> {
        Self::with_timeout(ca_file, TIMEOUT)
    }

    fn with_timeout(ca_file: Option<&Path>, timeout: Duration) -> Result<Self, FetchError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca_file {
            tls = tls.root_certs(RootCerts::from(certificates(path)?));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Minutes pass between requests, and a relay would have to hold a connection of each node.
            .max_idle_connections(0)
            .user_agent(concat!("wattprint/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build();
        Ok(Self { agent: config.new_agent(), seen: Arc::default() })
    }

    /// Tells what time it is, before a round of requests. Without it, answers that give dates without their own clock's
    /// aren't understood, and skew isn't noticed.
    pub fn begin(&self, now: UnixTime) {
        *self.seen() = Seen { now: Some(now), ..Seen::default() };
    }

    /// How far the clock of the one that was asked last is off this node's, if that is more than any request's duration
    /// explains.
    pub(super) fn skew(&self) -> Option<Duration> {
        self.seen().skew
    }

    /// A text that quotes answers of this round, without what was sent in confidence.
    pub(super) fn hide_in(&self, text: &str) -> String {
        self.seen().sent.iter().fold(text.to_owned(), |text, sent| sent.hide_in(&text))
    }

    /// Gets an answer of any status.
    ///
    /// # Errors
    /// No connection, no answer in time, a body that is too large, or an address that can't be used.
    pub fn get(&self, request: &Request) -> Result<Answer, FetchError> {
        // The address itself may hold what must not be told.
        check_address(&request.url).map_err(|problem| FetchError::new(FetchResult::Rejected, problem))?;
        let mut call = self.agent.get(&request.url);
        for (name, value) in &request.headers {
            call = call.header(name, value.expose());
        }
        let failed = |error: ureq::Error| failure(&error, &request.shown);
        let mut response = call.call().map_err(failed)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = header("retry-after").map(str::to_owned);
        let date = header("date").and_then(|date| clock::answer_date(date, header("age")));
        let status = response.status().as_u16();
        let now = {
            let mut seen = self.seen();
            seen.skew = date.zip(seen.now).and_then(|(date, now)| clock_skew(date, now)).or(seen.skew);
            seen.now
        };
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec().map_err(failed)?;
        let (shown, confidences) = (request.shown.clone(), request.confidences());
        self.seen().sent.push(confidences.clone());
        Ok(Answer { status, retry_after, date, body, now, shown, confidences })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    /// The same answer where its status is 200, else what the status means for any provider.
    ///
    /// # Errors
    /// Every status but 200.
    pub fn ok(self) -> Result<Self, FetchError> {
        let result = match self.status {
            200 => return Ok(self),
            // 204 is how some say that there is nothing.
            201..=299 => FetchResult::Empty,
            300..=399 => FetchResult::Redirect,
            401 => FetchResult::Auth,
            403 => FetchResult::Forbidden,
            404 | 410 => FetchResult::NotFound,
            408 => FetchResult::Timeout,
            429 => FetchResult::RateLimited,
            400..=499 => FetchResult::Rejected,
            _ => FetchResult::Server,
        };
        Err(self.error(result))
    }

    /// The body as JSON of this shape.
    ///
    /// # Errors
    /// It is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, FetchError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let what = format!("not the JSON that was expected: {error}: {}", self.excerpt());
            self.fault(FetchResult::Decode, &what)
        })
    }

    /// An error of this kind that quotes the answer.
    pub fn error(&self, result: FetchResult) -> FetchError {
        FetchError {
            result,
            text: format!("{}: HTTP {}: {}", self.shown, self.status, self.excerpt()),
            retry_after: self
                .retry_after
                .as_deref()
                .and_then(|text| clock::retry_after(text, self.date.or(self.now))),
        }
    }

    /// An error of this kind with this text behind the address.
    pub fn fault(&self, result: FetchResult, what: &str) -> FetchError {
        FetchError::new(result, format!("{}: {}", self.shown, self.confidences.hide_in(what)))
    }

    /// An error about the answer's content, with the address before its text.
    pub(super) fn blame(&self, error: &FetchError) -> FetchError {
        self.fault(error.result, &error.text)
    }

    /// The beginning of the body, on one line.
    fn excerpt(&self) -> String {
        brief(&self.confidences.hide_in(&String::from_utf8_lossy(&self.body)))
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, FetchError> {
    let pem = data_file::read(path, MAX_CA_FILE)?.bytes;
    let found = pem::certificates(&pem);
    if found.is_empty() {
        let text = format!("{}: no PEM certificate in it", path.display());
        return Err(FetchError::new(FetchResult::File, text));
    }
    Ok(found)
}

fn failure(error: &ureq::Error, shown: &str) -> FetchError {
    use std::io::ErrorKind;
    use ureq::Error;
    let result = match error {
        Error::Timeout(_) => FetchResult::Timeout,
        Error::Io(error) => match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => FetchResult::Timeout,
            // How rustls passes its own errors through streams.
            ErrorKind::InvalidData if is_secure(shown) => FetchResult::Tls,
            _ => FetchResult::Network,
        },
        Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) => FetchResult::Tls,
        Error::BodyExceedsLimit(_) => FetchResult::TooLarge,
        Error::Http(_) | Error::BadUri(_) => FetchResult::Rejected,
        _ => FetchResult::Network,
    };
    let what = match error {
        // Their texts may quote the address with its query, a header or what a proxy says.
        Error::BadUri(_) => "not an address that can be asked".to_owned(),
        Error::Http(_) => "the address or a header has characters that it can't have".to_owned(),
        Error::ConnectProxyFailed(_) => "the proxy doesn't connect".to_owned(),
        error => error.to_string(),
    };
    FetchError::new(result, format!("{shown}: {what}"))
}

fn is_secure(address: &str) -> bool {
    address.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;
