//! Sets to work what fetches grid data, and keeps it in the state directory.

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
use crate::journal::{Journal, JournalError, JournalWriter, KeptSeries};

/// Where systemd wants a service's state (systemd.exec(5)); several directories have colons between.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// How often what the operator's own machines say is looked at.
const LOOK: Pace = Pace { period: Duration::from_secs(60), floor: Duration::from_secs(1) };

/// Begins to fetch. The board has what was kept from an earlier run at once.
pub(super) fn begin(settings: &Settings, work: Work, clock: &Clock) -> (Arc<GridBoard>, Fetchers) {
    let (journal, mut kept) = journal(settings);
    let states = work.sources.iter().map(|source| {
        let mut state = SourceState::new(source.kind.as_str(), source.provider.zone());
        state.series = kept.take(&source.key).into_iter().map(Arc::new).collect();
        state
    });
    let board = Arc::new(GridBoard::new(states.collect()));
    // What doesn't reach up to now is no reason to wait.
    let now = clock();
    let knows = |source: &SourceState| source.series.iter().any(|series| series.slots.at(now).is_some());
    let had_data: Vec<bool> = board.latest().sources.iter().map(knows).collect();
    let keys = work.sources.iter().map(|source| source.key.clone()).collect();
    let store: Option<Store> = journal.map(|journal| JournalWriter::new(journal, keys).into_function());
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
    let fetchers = fetch::start(jobs, &board, clock, &node, spread, had_data);
    (board, fetchers)
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
