//! The HTTP client of all sources: one deadline for everything, a cap on bodies, no redirects, rustls only.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::carbon::grid::{FetchError, FetchResult};
use crate::carbon::secret::Secret;

/// From the name's resolution to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A week of 5-minute values is a tenth of this.
const MAX_BODY: u64 = 4 * 1024 * 1024;
/// So much of an error's body is told.
const SHOWN: usize = 120;

/// A client; cheap to keep, as it holds a connection open only between two requests that follow each other.
#[derive(Clone, Debug)]
pub struct HttpClient {
    agent: Agent,
}

/// A GET request.
#[derive(Clone)]
pub struct Request {
    url: String,
    /// The address as messages show it: without the query, where some providers want their token.
    shown: String,
    headers: Vec<(String, Secret)>,
}

impl Request {
    /// A request for an address without a query.
    pub fn new(address: impl Into<String>) -> Self {
        let url = address.into();
        let shown = url.split(['?', '#']).next().unwrap_or_default().to_owned();
        Self { url, shown, headers: Vec::new() }
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
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("shown", &self.shown)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// An answer whose status is not looked at yet.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    shown: String,
}

impl HttpClient {
    /// A client that trusts the roots of the web, or only those in a PEM file.
    ///
    /// # Errors
    /// The file can't be read or has no certificate.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, FetchError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = ca_file {
            tls = tls.root_certs(RootCerts::from(certificates(path)?));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("wattprint/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build();
        Ok(Self { agent: config.new_agent() })
    }

    /// Gets an answer of any status.
    ///
    /// # Errors
    /// No connection, no answer in time, or a body that is too large.
    pub fn get(&self, request: &Request) -> Result<Answer, FetchError> {
        let mut call = self.agent.get(&request.url);
        for (name, value) in &request.headers {
            call = call.header(name, value.expose());
        }
        let shown = request.shown.clone();
        let failed = |error: ureq::Error| failure(&error, &shown);
        let mut response = call.call().map_err(failed)?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MAX_BODY).read_to_vec().map_err(failed)?;
        Ok(Answer { status, retry_after, body, shown })
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
            let text = format!("{}: not the JSON that was expected: {error}: {}", self.shown, self.excerpt());
            FetchError::new(FetchResult::Decode, text)
        })
    }

    /// An error of this kind that quotes the answer.
    pub fn error(&self, result: FetchResult) -> FetchError {
        FetchError {
            result,
            text: format!("{}: HTTP {}: {}", self.shown, self.status, self.excerpt()),
            retry_after: self.retry_after.as_deref().and_then(retry_after),
        }
    }

    /// An error of this kind with this text behind the address.
    pub fn fault(&self, result: FetchResult, what: &str) -> FetchError {
        FetchError::new(result, format!("{}: {what}", self.shown))
    }

    /// The beginning of the body, on one line.
    fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(self.body.get(..4 * SHOWN).unwrap_or(&self.body)).into_owned();
        let text: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
        text.into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(SHOWN)
            .collect()
    }
}

/// What a `Retry-After` header asks for, where it is a number of seconds.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, FetchError> {
    let wrong = |what: String| FetchError::new(FetchResult::File, format!("{}: {what}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(wrong("no PEM certificate in it".to_owned()));
    }
    Ok(found)
}

fn failure(error: &ureq::Error, shown: &str) -> FetchError {
    use ureq::Error;
    let result = match error {
        Error::Timeout(_) => FetchResult::Timeout,
        Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) => FetchResult::Tls,
        Error::BodyExceedsLimit(_) => FetchResult::TooLarge,
        Error::Http(_) | Error::BadUri(_) => FetchResult::Rejected,
        _ => FetchResult::Network,
    };
    FetchError::new(result, format!("{shown}: {error}"))
}

#[cfg(test)]
mod tests;
