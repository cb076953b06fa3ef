//! What all sources said so far: shared by those who fetch and the sampler that prices energy.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::carbon::market::Window;
use crate::carbon::series::Series;
use crate::config::{Basis, ProviderKind};
use crate::units::{Pue, UnixTime};

/// What kind of figure a series has. Average and marginal figures, life cycle and direct ones are never mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The mean of all electricity, over the life cycle.
    AverageLifecycle,
    /// The mean of all electricity, what leaves the stacks only.
    AverageDirect,
    /// What one more kilowatt-hour would cause; for decisions, never for accounts.
    Marginal,
}

impl Signal {
    /// The average on a basis.
    pub const fn average(basis: Basis) -> Self {
        match basis {
            Basis::Lifecycle => Self::AverageLifecycle,
            Basis::Direct => Self::AverageDirect,
        }
    }

    /// What an average counts; none for a marginal figure.
    pub const fn basis(self) -> Option<Basis> {
        match self {
            Self::AverageLifecycle => Some(Basis::Lifecycle),
            Self::AverageDirect => Some(Basis::Direct),
            Self::Marginal => None,
        }
    }
}

/// One kind of figure of one zone by one provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridSeries {
    /// Whose figures they are: the value of the `provider` label. Through a relay it is still the one that made them.
    pub provider: Arc<str>,
    /// The grid zone: the value of the `grid_zone` label.
    pub zone: Arc<str>,
    /// What kind of figure it is.
    pub signal: Signal,
    /// What is counted, for people: `consumption`, `production`, or empty where the provider doesn't say.
    pub accounting: Arc<str>,
    /// When an answer that had it was last got from the provider itself, even if through a relay.
    #[serde(rename = "fetched_unix_ms")]
    pub fetched_at: UnixTime,
    /// The values.
    pub slots: Series,
}

impl GridSeries {
    /// Whether it is of the same kind, zone and provider.
    pub fn is_same(&self, other: &Self) -> bool {
        self.provider == other.provider && self.zone == other.zone && self.signal == other.signal
    }
}

/// How a request went; the value of the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchResult {
    /// It brought at least one value.
    Success,
    /// The answer is well-formed, but has no value.
    Empty,
    /// 401: the credential is wrong or has expired.
    Auth,
    /// 403: the credential is right, but doesn't cover this.
    Forbidden,
    /// 404: no such zone or path.
    NotFound,
    /// 400, 422 and other 4xx: the request isn't what the provider wants.
    Rejected,
    /// 429: too many requests.
    RateLimited,
    /// 5xx.
    Server,
    /// It took too long.
    Timeout,
    /// No connection, or it broke.
    Network,
    /// No secure connection.
    Tls,
    /// 3xx: redirects aren't followed, since credentials would go with them.
    Redirect,
    /// The body is larger than any right answer.
    TooLarge,
    /// The body isn't what was agreed.
    Decode,
    /// The answer is about another zone than the one asked for.
    ZoneMismatch,
    /// A file (credential, data) can't be read.
    File,
    /// There is no thread to ask with.
    NotAsked,
}

impl FetchResult {
    /// The value of the `result` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Empty => "empty",
            Self::Auth => "auth",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Rejected => "rejected",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::Tls => "tls",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Decode => "decode",
            Self::ZoneMismatch => "zone_mismatch",
            Self::File => "file",
            Self::NotAsked => "not_asked",
        }
    }

    /// What to do about it; none where time mends it, or nothing is wrong.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Success | Self::Empty | Self::Server => None,
            Self::Auth => {
                Some("check token_file, or user and password_file: the provider refuses the credential")
            }
            Self::Forbidden => Some("ask for a plan that covers the zone, or configure one that it covers"),
            Self::NotFound => Some("check zone, and url where it is set: the provider doesn't know it"),
            Self::Rejected => {
                Some("check zone, and url where it is set: the provider doesn't take the request")
            }
            Self::RateLimited => Some("ask less often (interval), or let many nodes read from one relay"),
            Self::Timeout | Self::Network => {
                Some("check that the host can be reached from here: name resolution, firewall, HTTPS_PROXY")
            }
            Self::Tls => {
                Some("check the certificate and the clock; for an authority of your own set ca_file")
            }
            Self::Redirect => Some("set url to the address that the redirect names"),
            Self::TooLarge | Self::Decode => {
                Some("check url: something else than the provider's interface answers")
            }
            Self::ZoneMismatch => Some("set zone to one that the provider has"),
            Self::NotAsked => {
                Some("raise the limit of threads (TasksMax=, pids.max) and start the daemon again")
            }
            Self::File => Some("check the path, and that the daemon may read the file"),
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FetchError {
    /// The kind.
    pub result: FetchResult,
    /// What happened, with the address but without any credential.
    pub text: String,
    /// How long the provider wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl FetchError {
    /// An error of this kind.
    pub fn new(result: FetchResult, text: impl Into<String>) -> Self {
        Self { result, text: text.into(), retry_after: None }
    }

    /// The same error, with what it is about before its text.
    pub(super) fn of(self, what: impl std::fmt::Display) -> Self {
        Self { text: format!("{what}: {}", self.text), ..self }
    }
}

/// The only provider whose answers may be older than those before.
const RELAY: &str = ProviderKind::Relay.as_str();
/// No source has more series than this: a relay that makes up new names must not fill the memory.
const MAX_SERIES: usize = 64;

/// One configured source and how it fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SourceState {
    /// The provider's name, as configured.
    pub provider: &'static str,
    /// The zone that is asked for.
    pub zone: Arc<str>,
    /// What it said so far; a relay gives several series.
    #[serde(skip)]
    pub series: Vec<Arc<GridSeries>>,
    /// Requests by how they went.
    pub fetches: BTreeMap<FetchResult, u64>,
    /// When it last brought a value.
    #[serde(rename = "last_success_unix_ms")]
    pub last_success: Option<UnixTime>,
    /// How the last request failed; none if it didn't. What was said is in the log only: it may have an address in it.
    pub last_error: Option<FetchResult>,
}

impl SourceState {
    /// A source that wasn't asked yet.
    pub fn new(provider: &'static str, zone: Arc<str>) -> Self {
        Self { provider, zone, ..Self::default() }
    }

    /// Takes in one answer's series. It is a later word on what is known already, unless it was got from the provider
    /// before that: relays may be asked in turn that aren't equally up to date.
    pub fn take(&mut self, mut fetched: GridSeries, now: UnixTime) {
        let has_room = self.series.len() < MAX_SERIES;
        let known = self.series.iter_mut().find(|known| known.is_same(&fetched));
        match known {
            Some(known) => {
                let known = Arc::make_mut(known);
                // A clock that was ahead makes no answer late, nor does an old file.
                if self.provider == RELAY && fetched.fetched_at < known.fetched_at.min(now) {
                    known.slots.insert_earlier(fetched.slots);
                } else {
                    known.slots.insert(fetched.slots.slots().iter().copied());
                    known.fetched_at = fetched.fetched_at;
                    known.accounting = fetched.accounting;
                }
                known.slots.prune(now);
            }
            None if has_room => {
                fetched.slots.prune(now);
                self.series.push(Arc::new(fetched));
            }
            None => {}
        }
    }
}

/// A value that holds from a moment on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<T> {
    /// When it was learned.
    pub from: UnixTime,
    /// The value.
    pub value: T,
}

/// Everything that was fetched.
#[derive(Clone, Debug, Default)]
pub struct GridState {
    /// The configured sources, the preferred one first.
    pub sources: Vec<SourceState>,
    /// The facility's overhead, as it was read over time, the oldest first; empty where it isn't read from anywhere.
    pub pue: Vec<Step<Pue>>,
    /// When it was last read.
    pub pue_read: Option<UnixTime>,
    /// How reading it failed the last time.
    pub pue_error: Option<FetchResult>,
    /// The windows of contracts, as they were last read since the start; absent where they weren't.
    pub windows: Option<Arc<[Window]>>,
}

impl GridState {
    /// All series, those of the preferred source first.
    pub fn series(&self) -> impl Iterator<Item = &Arc<GridSeries>> {
        self.sources.iter().flat_map(|source| &source.series)
    }
}

/// Where those who fetch put what they got and the sampler finds it. Readers never wait.
#[derive(Debug, Default)]
pub struct GridBoard {
    latest: ArcSwap<GridState>,
    writer: Mutex<()>,
}

impl GridBoard {
    /// A board with these sources, of which nothing is known yet, or what was kept from an earlier run.
    pub fn new(sources: Vec<SourceState>) -> Self {
        let state = GridState { sources, ..GridState::default() };
        Self { latest: ArcSwap::from_pointee(state), writer: Mutex::new(()) }
    }

    /// What is known now.
    pub fn latest(&self) -> Arc<GridState> {
        self.latest.load_full()
    }

    /// Changes what is known; one writer at a time.
    pub fn update(&self, change: impl FnOnce(&mut GridState)) {
        // A writer that panicked left the last whole state in place.
        let _writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut state = GridState::clone(&self.latest.load());
        change(&mut state);
        self.latest.store(Arc::new(state));
    }
}
