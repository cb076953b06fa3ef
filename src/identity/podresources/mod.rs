//! Which container was given which GPU, from the kubelet's pod-resources socket.
//!
//! The kubelet is asked every 10 s and soon after somebody new shows up. When it can't be asked, as while it
//! restarts, what it gave away stays given away; only after 5 minutes nobody holds anything any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tracing::warn;

use crate::identity::files::HostRoot;
use crate::identity::work::{Stopped, tell};
use crate::identity::{Allocations, Allotter, DeviceName, IdentityError, NameBoard, Service};

mod client;
mod devices;
pub mod messages;
#[cfg(test)]
mod tests;

/// The collector.
const NAME: &str = "podresources";
/// How often the kubelet is asked in any case.
const PERIOD: Duration = Duration::from_secs(10);
/// How often it is asked at most, however many containers come and go.
const SHORTEST: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody new is there.
const STEP: Duration = Duration::from_millis(500);
/// How long the last answer holds when no other comes.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// Asks the kubelet at this socket, below the host's root. Where there isn't even a directory for it, no kubelet is
/// asked and no collector shown until there is one.
pub fn service(root: HostRoot, socket: PathBuf) -> Service {
    Box::new(move |board, stopped| {
        // One thread is enough, and it is the one that this runs in.
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => Source::new(root, socket, runtime).run(&board, stopped),
            Err(error) => warn!(collector = NAME, %error, "the kubelet can't be asked"),
        }
    })
}

struct Source {
    root: HostRoot,
    socket: PathBuf,
    runtime: Runtime,
    /// The last that was heard of replicas.
    replicas: Vec<(DeviceName, u32)>,
    /// Whether there ever was a kubelet.
    is_there: bool,
    /// Since the last answer, roughly: time is counted in steps and in calls that took all the time they may.
    since_answer: Duration,
}

impl Source {
    fn new(root: HostRoot, socket: PathBuf, runtime: Runtime) -> Self {
        Self { root, socket, runtime, replicas: Vec::new(), is_there: false, since_answer: Duration::ZERO }
    }

    /// Asks whenever it is due, until its end is wanted.
    fn run(mut self, board: &Arc<NameBoard>, mut stopped: Stopped) {
        let (mut generation, mut since_look) = (None, PERIOD);
        loop {
            let wanted = board.wanted().generation;
            let is_new = generation != Some(wanted);
            if since_look >= PERIOD || (is_new && since_look >= SHORTEST) {
                (generation, since_look) = (Some(wanted), Duration::ZERO);
                self.look(board, &mut stopped);
            }
            // Without a kubelet nobody new is asked about.
            let step = if self.is_there { STEP } else { PERIOD };
            // What ends early ended for good.
            if self.runtime.block_on(async { timeout(step, stopped.recv()).await }).is_ok() {
                return;
            }
            since_look = since_look.saturating_add(step);
            self.since_answer = self.since_answer.saturating_add(step);
        }
    }

    fn look(&mut self, board: &NameBoard, stopped: &mut Stopped) {
        let directory = self.socket.parent().unwrap_or(Path::new("/"));
        let is_missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        if !self.is_there && self.root.stamp(directory).as_ref().is_err_and(is_missing) {
            return;
        }
        self.is_there = true;
        let asked = self.runtime.block_on(async {
            tokio::select! {
                answer = client::ask(&self.root, &self.socket) => Some(answer),
                _ = stopped.recv() => None,
            }
        });
        let Some(asked) = asked else { return };
        let outcome = asked.map(|answer| self.heard(&answer, board));
        let error = outcome.as_ref().err();
        tell(board, NAME, error);
        if let Some(error) = error {
            self.failed(error, board);
        }
    }

    fn heard(&mut self, answer: &client::Answer, board: &NameBoard) {
        if let Some(allocatable) = &answer.allocatable {
            self.replicas = devices::replicas(allocatable);
        }
        let allocations = devices::allocations(&answer.list, self.replicas.clone());
        board.set_allocations(Allotter::Kubelet, allocations);
        self.since_answer = Duration::ZERO;
    }

    fn failed(&mut self, error: &IdentityError, board: &NameBoard) {
        if error.reason == client::LATE {
            self.since_answer = self.since_answer.saturating_add(client::LIMIT);
        }
        if self.since_answer >= KEPT {
            board.set_allocations(Allotter::Kubelet, Allocations::default());
        }
    }
}
