//! Threads that ask sources when it is their turn and put what they get on the board.
//!
//! Each source has its own, so one that hangs holds up nobody else; the sampler only ever reads the board.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::carbon::grid::{FetchError, FetchResult, GridBoard, GridSeries, GridState};
use crate::carbon::providers::Pace;
use crate::carbon::schedule::{Schedule, identity};
use crate::units::UnixTime;

mod source;

pub use source::fetch_once;

/// Enough for TLS and for parsers, which don't recurse deep.
const STACK: usize = 512 * 1024;
/// How long those who are at work when everything ends are waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// What an answer changes on the board.
pub type Change = Box<dyn FnOnce(&mut GridState) + Send>;
/// Asks, at this wall-clock time.
pub type Ask = Box<dyn FnMut(UnixTime) -> Result<Change, FetchError> + Send>;
/// Reads the wall clock.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;
/// Keeps all that a source (by its place on the board) has said so far; called after each success, with the time of day.
pub type Store = Arc<dyn Fn(usize, &[Arc<GridSeries>], UnixTime) + Send + Sync>;

/// What on the board a job is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The source at this place.
    Source(usize),
    /// The facility's overhead.
    Pue,
    /// Something whose failures the board doesn't show.
    Other,
}

/// Something to be asked again and again.
pub struct Job {
    name: &'static str,
    zone: Arc<str>,
    lane: String,
    subject: Subject,
    pace: Pace,
    is_local: bool,
    ask: Ask,
    store: Option<Store>,
}

impl Job {
    /// A job. `name` and `zone` say in logs who is asked for what, and with the node's name they determine its turn.
    pub fn new(name: &'static str, zone: Arc<str>, subject: Subject, pace: Pace, ask: Ask) -> Self {
        Self { name, zone, lane: name.to_owned(), subject, pace, is_local: false, ask, store: None }
    }

    /// The same job in another lane than that of its name: jobs of one lane never ask at the same time.
    #[must_use]
    pub fn lane(self, lane: String) -> Self {
        Self { lane, ..self }
    }

    /// The same job, known to ask nobody else, as it reads a file: it begins at once and heeds no other job.
    #[must_use]
    pub fn local(self) -> Self {
        Self { is_local: true, ..self }
    }
}

/// The threads that ask. They also end when this is dropped, but then nobody waits for them.
#[derive(Debug)]
pub struct Fetchers {
    /// Nothing is ever sent: a thread ends when its sender is gone.
    stops: Vec<Sender<()>>,
    /// Closed when all threads have ended.
    ended: Receiver<()>,
}

/// Begins to ask, each job in a thread of its own. `node` is the node's name; nodes that share one would all ask at the
/// same moments. `had_data` tells of a source's place on the board whether it has data kept from an earlier run.
pub fn start(
    jobs: Vec<Job>,
    board: &Arc<GridBoard>,
    clock: &Clock,
    node: &str,
    startup_spread: Duration,
    had_data: impl Fn(usize) -> bool,
) -> Fetchers {
    let (end, ended) = channel();
    let mut alone: BTreeMap<String, Arc<Mutex<()>>> = BTreeMap::new();
    let mut stops = Vec::with_capacity(jobs.len());
    for job in jobs {
        let schedule = Schedule::new(job.pace, identity(&[node, job.name, &job.zone]), Rng::new());
        let has_data = matches!(job.subject, Subject::Source(index) if had_data(index));
        let first = if job.is_local { Duration::ZERO } else { schedule.first(has_data, startup_spread) };
        let alone = if job.is_local {
            Arc::default()
        } else {
            Arc::clone(alone.entry(job.lane.clone()).or_default())
        };
        let (stop, stopped) = channel();
        let (name, zone, subject) = (job.name, Arc::clone(&job.zone), job.subject);
        let fetcher = Fetcher {
            alone,
            job,
            schedule,
            board: Arc::clone(board),
            clock: Arc::clone(clock),
            stopped,
            failing: None,
        };
        let end = end.clone();
        let spawned =
            thread::Builder::new().name(format!("fetch-{name}")).stack_size(STACK).spawn(move || {
                let _end = end;
                fetcher.run(first);
            });
        match spawned {
            Ok(_) => stops.push(stop),
            Err(error) => {
                tracing::error!(
                    source = name,
                    zone = &*zone,
                    "no thread to ask with, so it is never asked: {error}"
                );
                board.update(|state| {
                    subject.count(state, FetchResult::NotAsked, clock());
                    subject.note_error(state, Some(FetchResult::NotAsked));
                });
            }
        }
    }
    Fetchers { stops, ended }
}

impl Fetchers {
    /// Ends all threads that wait for their turn. One that is in the middle of a request is left behind after 200 ms; it
    /// changes nothing any more.
    pub fn stop(self) {
        drop(self.stops);
        // Either all have ended, or they had their time.
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

impl Subject {
    fn note_error(self, state: &mut GridState, error: Option<FetchResult>) {
        match self {
            Self::Source(index) => {
                if let Some(source) = state.sources.get_mut(index) {
                    source.last_error = error;
                }
            }
            Self::Pue => state.pue_error = error,
            Self::Other => {}
        }
    }

    fn count(self, state: &mut GridState, result: FetchResult, now: UnixTime) {
        let Self::Source(index) = self else { return };
        if let Some(source) = state.sources.get_mut(index) {
            *source.fetches.entry(result).or_default() += 1;
            if result == FetchResult::Success {
                source.last_success = Some(now);
            }
        }
    }
}

/// One job's thread.
struct Fetcher {
    job: Job,
    schedule: Schedule,
    board: Arc<GridBoard>,
    clock: Clock,
    /// Held while asking, by all jobs of the same lane that aren't local: some providers refuse calls that overlap.
    alone: Arc<Mutex<()>>,
    stopped: Receiver<()>,
    /// How the last request failed.
    failing: Option<FetchResult>,
}

impl Fetcher {
    fn run(mut self, first: Duration) {
        let mut wait = first;
        while self.stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            match self.round() {
                Some(next) => wait = next,
                None => return,
            }
        }
    }

    /// Asks once and returns how long to wait for the next time; none where everything ended meanwhile.
    fn round(&mut self) -> Option<Duration> {
        let alone = self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stopped() {
            return None;
        }
        let asked = (self.clock)();
        let outcome = (self.job.ask)(asked);
        drop(alone);
        if self.is_stopped() {
            return None;
        }
        let now = (self.clock)();
        let failure = outcome.map(|change| self.put(change, now)).err();
        if let Some(error) = &failure {
            self.board.update(|state| {
                self.job.subject.count(state, error.result, now);
                self.job.subject.note_error(state, Some(error.result));
            });
        }
        self.tell(failure.as_ref());
        Some(self.schedule.next(asked, now, failure.as_ref()))
    }

    fn put(&self, change: Change, now: UnixTime) {
        let subject = self.job.subject;
        self.board.update(|state| {
            change(state);
            subject.count(state, FetchResult::Success, now);
            subject.note_error(state, None);
        });
        if let (Subject::Source(index), Some(store)) = (subject, &self.job.store)
            && let Some(source) = self.board.latest().sources.get(index)
        {
            store(index, &source.series, now);
        }
    }

    /// Logs when it begins to fail, fails in another way, or works again.
    fn tell(&mut self, failure: Option<&FetchError>) {
        let failing = failure.map(|error| error.result);
        if failing == self.failing {
            return;
        }
        self.failing = failing;
        let (source, zone) = (self.job.name, &*self.job.zone);
        match failure {
            None => tracing::info!(source, zone, "works again"),
            Some(error) => tracing::warn!(source, zone, result = error.result.as_str(), "fails: {error}"),
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.try_recv() == Err(TryRecvError::Disconnected)
    }
}

#[cfg(test)]
mod tests;
