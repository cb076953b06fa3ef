//! SIGHUP: reads the configuration again, with the flags and the environment of the start.
//!
//! All that a start would check is checked before anything changes, and that credentials and a PUE file that weren't named
//! before can be read. A configuration that can't be used is refused: an error says why, and all goes on as before. Otherwise
//! it is in force at once, and nothing that was counted is lost. Some keys ([`RESTART`]) are heeded at a start only; where one
//! of these was changed, a warning names it and the rest is taken, which counts as success. So are the keys of `carbon` where
//! the counters would count other emissions than before (life cycle or direct), since one counter can't mix them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tracing::{error, info, warn};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;

use crate::carbon::amortise::Plan;
use crate::carbon::pricing::Pricer;
use crate::carbon::secret::SecretFile;
use crate::cli::carbon::{self, CREDENTIALS, Carbon, Purpose};
use crate::cli::live::Live;
use crate::cli::systemd::Notifier;
use crate::cli::{CliError, names, serve};
use crate::config::{self, Loaded, Settings};
use crate::identity::{NameBoard, Workers};
use crate::sampler::{Order, Renewal};
use crate::units::Watts;

/// How long the end of everything may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keys and tables that take a restart; all others are in force at once.
const RESTART: &[&str] = &[
    "web",
    "path",
    "collector",
    "nvml",
    "gpu",
    "limits",
    "model",
    "kubernetes",
    "state",
    "log.format",
    "simulate",
];

/// Reads the settings.
pub(super) type Reread = Box<dyn Fn() -> Result<Loaded, CliError> + Send>;
/// Changes what is logged.
pub(super) type LogHandle = tracing_subscriber::reload::Handle<Targets, Registry>;

/// What is at work, and by which settings.
pub(super) struct Running {
    /// The settings in force.
    pub(super) settings: Settings,
    /// What the counters count; empty where that isn't known.
    pub(super) counted: String,
    /// Whether energy is priced.
    pub(super) purpose: Purpose,
    /// What is fetched.
    pub(super) live: Live,
    /// What looks for names, and where it puts them.
    pub(super) names: (Arc<NameBoard>, Workers),
    /// The log.
    pub(super) log: LogHandle,
}

/// Whether the service manager knows the daemon as started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It was told so, and hears of each reload.
    Over,
    /// Not yet. It hears nothing of a reload now: the word that ends one is the same that ends the start.
    UnderWay,
}

/// The thread that reads the configuration again. It may have to wait for files, which holds up nobody else.
pub(super) struct Reloader {
    asks: Sender<Start>,
    /// Closed when it has ended.
    ended: Receiver<()>,
}

impl Reloader {
    /// Waits to be asked.
    pub(super) fn start(running: Running, reread: Reread, orders: Sender<Order>) -> Result<Self, CliError> {
        let (asks, asked) = channel();
        let (end, ended) = channel();
        thread::Builder::new().name("reload".to_owned()).spawn(move || {
            let _end: Sender<()> = end;
            let mut running = running;
            let notifier = Notifier::from_environment();
            while let Ok(mut start) = asked.recv() {
                // One reading is enough for all who have asked so far.
                while let Ok(later) = asked.try_recv() {
                    start = later;
                }
                if start == Start::Over {
                    notifier.reloading();
                }
                running = running.reload(&reread, &orders);
                if start == Start::Over {
                    notifier.ready();
                }
            }
            running.live.stop();
            running.names.1.stop();
        })?;
        Ok(Self { asks, ended })
    }

    /// Asks for the configuration to be read again. Doesn't wait.
    pub(super) fn ask(&self, start: Start) {
        // It is there as long as this is.
        let _ = self.asks.send(start);
    }

    /// Whether it isn't there any more, which only a bug in it can bring about.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.try_recv() == Err(TryRecvError::Disconnected)
    }

    /// Ends it and all that fetches and looks for names.
    pub(super) fn stop(self) {
        drop(self.asks);
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

impl Running {
    fn reload(mut self, reread: &Reread, orders: &Sender<Order>) -> Self {
        match self.prepare(reread) {
            Ok(plan) => self = self.apply(plan, orders),
            Err(refusal) => {
                error!("SIGHUP: the configuration is refused and the old one stays: {refusal}");
                let _ = orders.send(Order::NoteRefusal);
            }
        }
        self
    }

    /// Checks everything; changes nothing.
    fn prepare(&self, reread: &Reread) -> Result<Plans, CliError> {
        let mut loaded = reread()?;
        serve::web_settings(&loaded)?;
        let mut made = carbon::carbon(&loaded, self.purpose)?;
        check_files(&loaded, &self.settings)?;
        let (mut settings, mut restart) = merged(&self.settings, &loaded.settings)?;
        let counts = counted(&made.pricer);
        let is_other = !self.counted.is_empty() && !counts.is_empty() && self.counted != counts;
        if is_other {
            restart.extend(
                changed(&self.settings, &settings)?.into_iter().filter(|key| key.starts_with("carbon.")),
            );
            settings.carbon = self.settings.carbon.clone();
            loaded.settings = settings.clone();
            made = carbon::carbon(&loaded, self.purpose)?;
        }
        Ok(Plans { settings, restart, carbon: made })
    }

    fn apply(mut self, plan: Plans, orders: &Sender<Order>) -> Self {
        let Plans { settings: new, restart, carbon: Carbon { pricer, work } } = plan;
        let old = &self.settings;
        if !restart.is_empty() {
            warn!("SIGHUP: takes a restart: {}; the rest is in force", restart.join(", "));
        }
        if old.log.level != new.log.level
            && let Err(error) = self.log.reload(serve::log_filter(new.log.level))
        {
            warn!(%error, "the level of the log can't be changed");
        }
        let mut prices = None;
        if old.carbon != new.carbon || old.market != new.market {
            let pue = |settings: &Settings| {
                let carbon = settings.carbon.clone();
                (carbon.pue_file, carbon.pue_url, carbon.pue_query)
            };
            let is_same_pue = pue(old) == pue(&new);
            self.counted = match counted(&pricer) {
                unknown if unknown.is_empty() => self.counted,
                known => known,
            };
            self.live = self.live.replace(&new, work, is_same_pue);
            prices = Some((pricer, Arc::clone(&self.live.board)));
        }
        let mut names = None;
        if old.names.labels != new.names.labels
            || old.names.annotations != new.names.annotations
            || old.jobs != new.jobs
        {
            let (board, workers) = self.names;
            workers.stop();
            let board = Arc::new(board.successor());
            self.names = (Arc::clone(&board), names::begin(&new, &board));
            names = Some(board);
        }
        let watts = || new.baseline.iter().map(|(key, watts)| (key.clone(), Watts(*watts))).collect();
        let renewal = Renewal {
            interval: new.sample.interval,
            names_wait: new.names.wait,
            baselines: (old.baseline != new.baseline).then(watts),
            embodied: (old.embodied != new.embodied).then(|| Plan::new(&new.embodied)),
            prices,
            names,
            awaiting_restart: restart.into(),
        };
        // Without a sampler, everything ends anyway.
        let _ = orders.send(Order::Renew(Box::new(renewal)));
        self.settings = new;
        info!("SIGHUP: the configuration was read again");
        self
    }
}

/// What a configuration changes.
struct Plans {
    settings: Settings,
    /// Keys that were changed, but stay as they are.
    restart: Vec<String>,
    carbon: Carbon,
}

/// What energy that this prices counts; empty where nobody says.
pub(super) fn counted(pricer: &Pricer) -> String {
    pricer.fallback().grid.basis.to_string()
}

/// Whether a key is heeded at a start only.
fn takes_restart(key: &str) -> bool {
    let table = key.split_once('.').map_or(key, |(table, _)| table);
    RESTART.iter().any(|known| *known == key || *known == table)
}

/// The keys in which two settings differ.
fn changed(old: &Settings, new: &Settings) -> Result<Vec<String>, CliError> {
    let (old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    let differs = |key: &&str| at(&old, key) != at(&new, key);
    Ok(config::keys().filter(differs).map(str::to_owned).collect())
}

/// The new settings, but with the old ones for keys that take a restart; and which of these were changed.
fn merged(old: &Settings, new: &Settings) -> Result<(Settings, Vec<String>), CliError> {
    let restart: Vec<String> = changed(old, new)?.into_iter().filter(|key| takes_restart(key)).collect();
    let (before, mut merged) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
    for key in &restart {
        if let (Some(kept), Some(place)) = (at(&before, key), merged.pointer_mut(&pointer(key))) {
            *place = kept.clone();
        }
    }
    Ok((serde_json::from_value(merged)?, restart))
}

fn at<'a>(settings: &'a Value, key: &str) -> Option<&'a Value> {
    settings.pointer(&pointer(key))
}

fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

/// Whether the files that the settings name can be used now. One that was named before is waited for as at a start: to refuse
/// all else for it would mend nothing.
fn check_files(loaded: &Loaded, before: &Settings) -> Result<(), CliError> {
    let were_named = |file: &PathBuf| {
        let mut sources = before.carbon.source.iter();
        sources.any(|source| {
            source.token_file.as_ref() == Some(file) || source.password_file.as_ref() == Some(file)
        })
    };
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    for (number, source) in loaded.settings.carbon.source.iter().enumerate() {
        let files = [("token_file", &source.token_file), ("password_file", &source.password_file)];
        for (name, file) in files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?))) {
            if were_named(file) {
                continue;
            }
            SecretFile::new(file, credentials.as_deref())
                .read()
                .map_err(|error| carbon::wrong(loaded, number, name, &error.text))?;
        }
    }
    let is_same_pue = loaded.settings.carbon.pue_file == before.carbon.pue_file;
    if let Some((source, http)) = carbon::pue(loaded)?.filter(|(source, _)| source.is_file() && !is_same_pue)
    {
        let wrong = |error: crate::carbon::grid::FetchError| {
            let key = "carbon.pue_file";
            CliError::setting(&loaded.origins, key, format!("{key}: {error}"))
        };
        source.read(&http).map_err(wrong)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each table, and whether its keys take a restart; a new key must be thought about here.
    #[test]
    fn every_key_is_in_force_at_once_or_takes_a_restart() {
        let live = ["sample", "carbon", "market", "embodied", "names", "jobs"];
        let restart =
            ["web", "path", "collector", "nvml", "gpu", "limits", "model", "kubernetes", "state", "simulate"];
        for key in config::keys() {
            let table = key.split_once('.').map_or(key, |(table, _)| table);
            let expected = match key {
                "log.level" => false,
                "log.format" => true,
                _ => {
                    assert!(live.contains(&table) != restart.contains(&table), "{key}");
                    restart.contains(&table)
                }
            };
            assert_eq!(takes_restart(key), expected, "{key}");
        }
    }

    #[test]
    fn what_takes_a_restart_stays_and_the_rest_changes() {
        let old = Settings::default();
        let mut new = old.clone();
        new.carbon.intensity = Some(7.0);
        new.baseline.insert("intel-rapl:0".to_owned(), 3.0);
        new.limits.workloads = 7;
        new.state.dir = Some("/elsewhere".into());
        let (merged, restart) = merged(&old, &new).unwrap();
        assert_eq!(restart, ["limits.workloads", "state.dir"]);
        (new.limits, new.state) = (old.limits, old.state);
        assert_eq!(merged, new);
    }
}
