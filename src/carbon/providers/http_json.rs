//! Any JSON over HTTP, with JSON pointers to its values.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::HeaderName;

use super::pointers::{self, Layout};
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, own, pace, refuse, web_address, zone};
use crate::carbon::grid::{FetchError, Signal};
use crate::carbon::http::{HttpClient, Request};
use crate::carbon::secret::SecretFile;
use crate::config::{ProviderKind, Source};
use crate::units::UnixTime;

const PERIOD: Duration = Duration::from_secs(900);
/// A value without a time holds so much longer than the period: the next answer takes its time.
const OVERLAP: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(60);
/// Where the zone is put in an address.
const ZONE: &str = "{zone}";

/// A server that is asked for JSON.
#[derive(Debug)]
pub(super) struct HttpJson {
    address: String,
    token: Option<SecretFile>,
    /// The header for the bare token; otherwise it is a bearer token.
    header: Option<String>,
    layout: Layout,
    zone: Arc<str>,
    signal: Signal,
    pace: Pace,
}

impl HttpJson {
    /// The source that an entry describes. Without `start` and `step`, a value holds until some time after the next request.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &[&["basis", "token_file", "header"], &pointers::KEYS[..]].concat())?;
        let zone = zone(source, around)?;
        let encoded: String = form_urlencoded::byte_serialize(zone.as_bytes()).collect();
        let address = own::needs_url(source)?.replace(ZONE, &encoded);
        web_address(&address)?;
        if let Some(header) = &source.header {
            if source.token_file.is_none() {
                return Err(SourceError::new(
                    "header",
                    "carries the token: set token_file too, or remove it",
                ));
            }
            if HeaderName::from_bytes(header.as_bytes()).is_err() {
                return Err(SourceError::new("header", "isn't the name of a header, such as X-Api-Key"));
            }
        }
        let signal = own::signal(source)?;
        let pace = pace(source, PERIOD, SHORTEST)?;
        Ok(Self {
            address: address.trim().to_owned(),
            token: own::token(source, around),
            header: source.header.clone(),
            layout: Layout::new(source, signal, pace.period + OVERLAP)?,
            zone: zone.into(),
            signal,
            pace,
        })
    }

    fn request(&self) -> Result<Request, FetchError> {
        let request = Request::without_path_in_messages(&*self.address);
        match (&self.token, &self.header) {
            (Some(token), Some(header)) => Ok(request.header(header, token.read()?)),
            (token, _) => own::with_bearer(request, token.as_ref()),
        }
    }
}

impl GridProvider for HttpJson {
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
        let answer = http.get(&self.request()?)?.ok()?;
        let document: Value = answer.json()?;
        let (slots, warning) =
            self.layout.slots(&document, now, now).map_err(|error| answer.blame(&error))?;
        Ok(Fetched::one(self, ProviderKind::Http, "", now, slots, warning))
    }
}

#[cfg(test)]
mod tests;
