//! What a service tells systemd, with the protocol of sd_notify(3). Without systemd (no `NOTIFY_SOCKET`) nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

use crate::cli::reload::Start;
use crate::snapshot::Snapshot;
use crate::web;

/// The status line is told this often at most.
const STATUS_PERIOD: Duration = Duration::from_secs(10);

/// Looks come a little early or late; the watchdog is rather served early.
const SLACK: Duration = Duration::from_millis(50);

/// Tells the service manager how the daemon is.
#[derive(Debug)]
pub(super) struct Notifier {
    /// How long it may be silent before it is killed, from `WATCHDOG_USEC`; absent without a watchdog.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one of the environment.
    pub(super) fn from_environment() -> Self {
        Self { watchdog: sd_notify::watchdog_enabled() }
    }

    /// How often the watchdog wants to hear of progress: half of what it waits, as sd_watchdog_enabled(3) recommends.
    pub(super) fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|patience| patience / 2)
    }

    /// It serves, or has reread its configuration.
    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// It begins to reread its configuration. [`Self::ready`] must follow, whatever comes of it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// One line for `systemctl status`.
    pub(super) fn status(&self, text: &str) {
        tell(&[NotifyState::Status(text)]);
    }

    /// It makes progress.
    pub(super) fn alive(&self) {
        tell(&[NotifyState::Watchdog]);
    }

    /// It comes to its end.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

/// What systemd hears of the sampler's progress. A watchdog hears of it exactly while `/-/healthy` answers with 200: as
/// long as the newest snapshot is not older than three intervals, or 5 s. So a long `sample.interval` needs no longer
/// `WatchdogSec=`, and a sampler that hangs is found that much later.
#[derive(Debug)]
pub(super) struct Pulse<'a> {
    notifier: &'a Notifier,
    address: String,
    is_ready: bool,
    /// The last status line, and when it was told.
    status: Option<(String, Duration)>,
    /// When the watchdog heard last.
    beat: Option<Duration>,
}

impl<'a> Pulse<'a> {
    /// The metrics are at `address`.
    pub(super) fn new(notifier: &'a Notifier, address: String) -> Self {
        Self { notifier, address, is_ready: false, status: None, beat: None }
    }

    /// Whether the service manager was told that the daemon serves.
    pub(super) fn start(&self) -> Start {
        if self.is_ready { Start::Over } else { Start::UnderWay }
    }

    /// Tells what is due with this snapshot, at `now` on its monotonic clock.
    pub(super) fn tell(&mut self, snapshot: &Snapshot, now: Duration) {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.notifier.ready();
        }
        if let Some(interval) = self.notifier.watchdog_interval()
            && self.beat.is_none_or(|beat| now.saturating_sub(beat).saturating_add(SLACK) >= interval)
            && web::is_fresh(now, snapshot)
        {
            self.beat = Some(now);
            self.notifier.alive();
        }
        if self.status.as_ref().is_none_or(|(_, told)| now.saturating_sub(*told) >= STATUS_PERIOD) {
            let text = status(snapshot, &self.address);
            if self.status.as_ref().is_none_or(|(last, _)| *last != text) {
                self.notifier.status(&text);
                self.status = Some((text, now));
            }
        }
    }
}

/// What runs here, in one line.
fn status(snapshot: &Snapshot, address: &str) -> String {
    let components = snapshot.components.iter();
    let mut parts: Vec<String> =
        components.map(|part| format!("{} {}", part.component.as_str(), part.quality.as_str())).collect();
    if !snapshot.config.is_accepted {
        parts.insert(0, "the changed configuration is refused (see the log)".to_owned());
    }
    if !snapshot.config.awaiting_restart.is_empty() {
        parts.insert(0, format!("{} takes a restart", snapshot.config.awaiting_restart.join(", ")));
    }
    if snapshot.components.is_empty() {
        parts.push("no meters".to_owned());
    }
    if !snapshot.gpus.is_empty() {
        let up = snapshot.gpus.iter().filter(|gpu| gpu.up).count();
        parts.push(format!("{up} of {} GPUs", snapshot.gpus.len()));
    }
    let workloads = snapshot.workloads.iter().filter(|workload| !workload.ended).count();
    parts.push(format!("{workloads} workloads"));
    let powers: Vec<f64> =
        snapshot.components.iter().filter_map(|part| part.power.map(|power| power.0)).collect();
    if !powers.is_empty() {
        parts.push(format!("{:.0} W", powers.iter().sum::<f64>()));
    }
    parts.push(address.to_owned());
    parts.join(", ")
}

fn tell(states: &[NotifyState<'_>]) {
    // systemd notices itself when it hears nothing.
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd can't be told");
    }
}
