//! Sets to work what fetches grid data, and keeps it in the state directory.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::{info, warn};

use crate::carbon::fetch::{self, Change, Clock, Fetchers, Job, Store, Subject};
use crate::carbon::grid::{FetchError, FetchResult, GridBoard, SourceState};
use crate::carbon::http::HttpClient;
use crate::carbon::market::WindowsFile;
use crate::carbon::providers::Pace;
use crate::carbon::pue::{self, PueSource};
use crate::cli::carbon::{LiveSource, Work};
use crate::config::{ProviderKind, Settings};
use crate::journal::{Journal, JournalError, JournalWriter, KeptSeries, SourceKey};
use crate::units::UnixTime;

/// Where systemd wants a service's state (systemd.exec(5)); several directories have colons between.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// How often what the operator's own machines say is looked at.
const LOOK: Pace = Pace { period: Duration::from_secs(60), floor: Duration::from_secs(1) };

/// What is fetched, and what is known of it.
pub(super) struct Live {
    /// What was fetched so far.
    pub(super) board: Arc<GridBoard>,
    /// Absent where nothing is kept.
    journal: Option<Arc<Journal>>,
    keys: Vec<SourceKey>,
    fetchers: Fetchers,
    clock: Clock,
    /// The counts of requests to sources that aren't asked any more: they go on if those come back.
    retired: HashMap<Label, Counts>,
}

/// What a count of requests is told by: provider and zone.
type Label = (&'static str, Arc<str>);
type Counts = BTreeMap<FetchResult, u64>;

impl Live {
    /// Begins to fetch. The board has what was kept from an earlier run at once.
    pub(super) fn begin(settings: &Settings, work: Work, clock: &Clock) -> Self {
        let (journal, mut kept) = journal(settings);
        let journal = journal.map(Arc::new);
        let states = work.sources.iter().map(|source| {
            let mut state = SourceState::new(source.kind.as_str(), source.provider.zone());
            state.series = kept.take(&source.key).into_iter().map(Arc::new).collect();
            state
        });
        let board = Arc::new(GridBoard::new(states.collect()));
        let keys = keys(&work);
        let fetchers = fetchers(settings, work, &board, clock, journal.as_ref());
        Self { board, journal, keys, fetchers, clock: Arc::clone(clock), retired: HashMap::new() }
    }

    /// Fetches something else from now on, for a new board, which has all that is still of use. Requests under way are left to
    /// their end; they change nothing any more. `is_same_pue` says that the overhead is read where it was before.
    pub(super) fn replace(self, settings: &Settings, work: Work, is_same_pue: bool) -> Self {
        let Self { board, journal, keys: before, fetchers: old, clock, mut retired } = self;
        old.stop();
        keep(journal.as_deref(), &before, &board, clock());
        let known = board.latest();
        for state in &known.sources {
            let counts = retired.entry((state.provider, Arc::clone(&state.zone))).or_default();
            for (result, count) in &state.fetches {
                *counts.entry(*result).or_default() += count;
            }
        }
        let mut kept = journal.as_ref().and_then(|journal| journal.load_series().ok()).unwrap_or_default();
        let states = work.sources.iter().map(|source| {
            let mut state = SourceState::new(source.kind.as_str(), source.provider.zone());
            let place = before.iter().position(|key| *key == source.key);
            match place.and_then(|place| known.sources.get(place)) {
                Some(same) => {
                    state.series.clone_from(&same.series);
                    state.last_success = same.last_success;
                    state.last_error = same.last_error;
                }
                None => state.series = kept.take(&source.key).into_iter().map(Arc::new).collect(),
            }
            let label = (state.provider, Arc::clone(&state.zone));
            state.fetches = retired.remove(&label).unwrap_or_default();
            state
        });
        let board = Arc::new(GridBoard::new(states.collect()));
        if is_same_pue {
            board.update(|state| {
                state.pue.clone_from(&known.pue);
                state.pue_read = known.pue_read;
                state.pue_error = known.pue_error;
            });
        }
        let keys = keys(&work);
        let fetchers = fetchers(settings, work, &board, &clock, journal.as_ref());
        Self { board, journal, keys, fetchers, clock, retired }
    }

    /// Keeps what was fetched, and ends all that fetches.
    pub(super) fn stop(self) {
        keep(self.journal.as_deref(), &self.keys, &self.board, (self.clock)());
        self.fetchers.stop();
    }
}

/// Keeps what was fetched and, as each source is saved now and then only, may not be kept yet.
fn keep(journal: Option<&Journal>, keys: &[SourceKey], board: &GridBoard, now: UnixTime) {
    let Some(journal) = journal else { return };
    let state = board.latest();
    let fetched = keys.iter().zip(&state.sources).filter(|(_, source)| source.last_success.is_some());
    for (key, source) in fetched {
        if let Err(error) = journal.save_series(key, &source.series, now) {
            warn!(%error, "grid data can't be kept; a restart will forget it");
        }
    }
}

fn keys(work: &Work) -> Vec<SourceKey> {
    work.sources.iter().map(|source| source.key.clone()).collect()
}

/// Sets to work what fetches for a board.
fn fetchers(
    settings: &Settings,
    work: Work,
    board: &Arc<GridBoard>,
    clock: &Clock,
    journal: Option<&Arc<Journal>>,
) -> Fetchers {
    // What doesn't reach up to now is no reason to wait.
    let now = clock();
    let knows = |source: &SourceState| source.series.iter().any(|series| series.slots.at(now).is_some());
    let had_data: Vec<bool> = board.latest().sources.iter().map(knows).collect();
    let store: Option<Store> =
        journal.map(|journal| JournalWriter::new(Arc::clone(journal), keys(&work)).into_function());
    let mut jobs: Vec<Job> = Vec::new();
    for (index, LiveSource { kind, provider, http, lane, .. }) in work.sources.into_iter().enumerate() {
        let job = Job::grid(index, kind.as_str(), provider, http, store.clone()).lane(lane);
        jobs.push(if kind == ProviderKind::File { job.local() } else { job });
    }
    jobs.extend(work.pue.map(|(source, http)| pue_job(source, http)));
    jobs.extend(work.windows.map(windows_job));
    let node = node_name(&settings.path.procfs);
    let spread = settings.carbon.startup_spread;
    let had_data = |index: usize| had_data.get(index).copied().unwrap_or(false);
    fetch::start(jobs, board, clock, &node, spread, had_data)
}

fn pue_job(source: PueSource, http: HttpClient) -> Job {
    let is_local = source.is_file();
    let ask = move |now| {
        let read = source.read(&http)?;
        let change: Change = Box::new(move |state| pue::note(state, now, read));
        Ok(change)
    };
    let job = Job::new("pue", Arc::default(), Subject::Pue, LOOK, Box::new(ask));
    if is_local { job.local() } else { job }
}

fn windows_job(mut file: WindowsFile) -> Job {
    let ask = move |_| {
        let read = file.read().map_err(|error| FetchError::new(FetchResult::File, error.to_string()))?;
        let change: Change = Box::new(move |state| {
            if read.is_some() {
                state.windows = read;
            }
        });
        Ok(change)
    };
    Job::new("windows_file", Arc::default(), Subject::Other, LOOK, Box::new(ask)).local()
}

/// The journal, and what it kept. Without a state directory, or with one that can't be used, there is none.
fn journal(settings: &Settings) -> (Option<Journal>, KeptSeries) {
    let Some(directory) = state_directory(settings) else {
        return Default::default();
    };
    match open(&directory) {
        Ok((journal, kept)) => (Some(journal), kept),
        Err(error) => {
            warn!(%error, "nothing is kept; all else works");
            Default::default()
        }
    }
}

fn open(directory: &Path) -> Result<(Journal, KeptSeries), JournalError> {
    let (journal, set_aside) = Journal::open(directory)?;
    if let Some(aside) = set_aside {
        warn!(reason = aside.reason, set_aside = %aside.path.display(), "the state was corrupt; a new one is begun");
    }
    let kept = journal.load_series()?;
    if kept.skipped > 0 {
        warn!(rows = kept.skipped, path = %journal.path().display(), "rows of kept grid data can't be used");
    }
    info!(path = %journal.path().display(), sources = kept.sources.len(), "state");
    Ok((journal, kept))
}

fn state_directory(settings: &Settings) -> Option<PathBuf> {
    let of_systemd = || {
        let directories = std::env::var(STATE_DIRECTORY).ok()?;
        directories.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
    };
    settings.state.dir.clone().or_else(of_systemd)
}

/// What tells this node from others, so that not all ask in step: clones may share a host name, but never a boot.
fn node_name(procfs: &Path) -> String {
    let read = |name: &str| std::fs::read_to_string(procfs.join("sys/kernel").join(name)).unwrap_or_default();
    format!("{} {}", read("hostname").trim(), read("random/boot_id").trim())
}
