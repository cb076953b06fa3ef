//! What a service tells systemd, with the protocol of sd_notify(3). Without systemd (no `NOTIFY_SOCKET`) nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Tells the service manager how the daemon is.
#[derive(Debug)]
pub(super) struct Notifier {
    /// How long it may be silent before it is killed, from `WATCHDOG_USEC`; absent without a watchdog.
    watchdog: Option<Duration>,
}

#[expect(dead_code, reason = "the daemon tells its end only, so far")]
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

fn tell(states: &[NotifyState<'_>]) {
    // systemd notices itself when it hears nothing.
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd can't be told");
    }
}
