//! The API server, by a watch of this node's pods.
//!
//! One list, then a watch that goes on from it, for as long as the server lets it; where the server has forgotten where the
//! watch was (410 Gone), another list. After a failure everything begins anew with the credentials as they are then, later
//! each time.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::core::params::{ListParams, VersionMatch, WatchParams};
use kube::core::{Request, WatchEvent};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::NAME;
use super::client::{self, Gone};
use super::log_directories;
use super::pod::{Pod, PodList};
use super::roster::Roster;
use super::sighting::{Selection, Sighting};
use crate::identity::files::HostRoot;
use crate::identity::work::{Stopped, tell};
use crate::identity::{IdentityError, NameBoard, NameSource};

const PODS: &str = "/api/v1/pods";
/// Pages of one list; more is no list of one node's pods.
const MOST_PAGES: usize = 100;
/// How long the server may take to begin an answer, and to end one to a list.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a watch is asked for, in seconds, and by how much longer some are, so that not all nodes come back at once. Silence
/// is ordinary: this is also how long a connection may be dead before that is noticed.
const WATCH: u32 = 240;
const WATCH_SPREAD: u32 = 60;
/// How much later than asked for a watch may end.
const WATCH_MARGIN: Duration = Duration::from_secs(15);
/// A watch that ends sooner is a failure, as far as waiting is concerned.
const SHORT_WATCH: Duration = Duration::from_secs(5);
/// Changes are put on the board together. The sampler doesn't look more often by default, and each time costs a look at all.
const GATHER: Duration = Duration::from_millis(400);
/// How often the departed are looked through, and whether this is the right node.
const SWEEP: Duration = Duration::from_secs(5);
/// The first wait after a failure, which doubles up to the last; half of each is left to chance.
const FIRST_WAIT: Duration = Duration::from_millis(800);
const LAST_WAIT: Duration = Duration::from_secs(30);
/// Events in a row that can't be read.
const MOST_GARBAGE: u32 = 100;

/// What is watched.
#[derive(Debug)]
pub(super) struct Watch {
    /// The node's name.
    pub(super) node: Option<String>,
    /// Credentials; otherwise those of the pod.
    pub(super) kubeconfig: Option<PathBuf>,
    /// What is taken from pods.
    pub(super) selection: Selection,
    /// How long names of the departed stay.
    pub(super) grace: Duration,
    /// Where logs are that may tell names while the server hasn't told any.
    pub(super) stand_in: Option<HostRoot>,
}

/// Watches until its end is wanted.
pub(super) fn serve(watch: Watch, board: Arc<NameBoard>, mut stopped: Stopped) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = IdentityError::new("no runtime for the API server's client", error.to_string());
            return tell(&board, NAME, Some(&error));
        }
    };
    let watcher = Watcher::new(watch, board);
    runtime.block_on(async {
        tokio::select! {
            _ = stopped.recv() => {}
            () = watcher.run() => {}
        }
    });
    // A host name that is being looked up can't be interrupted.
    runtime.shutdown_background();
}

/// Why a watch ended.
enum End {
    /// The server no longer knows where it was.
    Gone,
    /// It was over, or its connection is.
    Over,
}

struct Watcher {
    watch: Watch,
    board: Arc<NameBoard>,
    roster: Roster,
    begun: Instant,
    /// How many failures in a row there were.
    failures: u32,
    has_listed: bool,
}

impl Watcher {
    fn new(watch: Watch, board: Arc<NameBoard>) -> Self {
        let roster = Roster::new(watch.grace);
        let begun = Instant::now();
        Self { watch, board, roster, begun, failures: 0, has_listed: false }
    }

    async fn run(mut self) {
        loop {
            let Err(error) = self.session().await;
            self.say(Some(&error));
            if !self.has_listed
                && let Some(root) = &self.watch.stand_in
                && let Ok(seen) = log_directories::read(root, self.watch.node.as_deref().unwrap_or_default())
            {
                self.roster.replace(seen, self.begun.elapsed());
            }
            self.publish();
            self.pause().await;
        }
    }

    /// Lists and watches for as long as that goes well.
    async fn session(&mut self) -> Result<std::convert::Infallible, IdentityError> {
        let node = self.watch.node.as_deref().ok_or_else(|| {
            IdentityError::new("the node's name isn't known", "the host has no name")
                .remedy("set kubernetes.node, or NODE_NAME from the downward API (spec.nodeName)")
        })?;
        let fields = format!("spec.nodeName={node}");
        let client = client::connect(self.watch.kubeconfig.as_deref()).await?;
        loop {
            let Some(mut version) = self.list(&client, &fields).await? else {
                // A list of several pages took too long for the server.
                self.pause().await;
                continue;
            };
            loop {
                let begun = Instant::now();
                let end = self.follow(&client, &fields, &mut version).await;
                self.publish();
                let end = end?;
                if begun.elapsed() < SHORT_WATCH {
                    self.pause().await;
                } else {
                    self.failures = 0;
                }
                if matches!(end, End::Gone) {
                    break;
                }
            }
        }
    }

    /// Takes in all pods, and gives the version of the list; none if the server forgot it in between.
    async fn list(&mut self, client: &kube::Client, fields: &str) -> Result<Option<String>, IdentityError> {
        let mut seen = Vec::new();
        // As the kubelet does: what the server has in memory is new enough, and reading the database for each node isn't
        // free (kubernetes.io, "Kubernetes API Concepts", semantics for list). A limit would make it a
        // read of the database, so there is none; pages that a server makes of its own accord are followed.
        let mut parameters = ListParams {
            resource_version: Some("0".to_owned()),
            version_match: Some(VersionMatch::NotOlderThan),
            ..ListParams::default().fields(fields)
        };
        for _ in 0..MOST_PAGES {
            let request = Request::new(PODS).list(&parameters).map_err(|error| client::invalid(&error))?;
            let answer = timeout(ANSWER, client.request::<PodList>(request)).await;
            let page = match answer.map_err(|_| client::silent())?.map_err(client::failure) {
                Ok(page) => page,
                Err(Gone::Yes) => return Ok(None),
                Err(Gone::No(error)) => return Err(error),
            };
            seen.extend(page.items.iter().filter_map(|pod| Sighting::of(pod, &self.watch.selection)));
            if page.metadata.next.is_empty() {
                self.roster.replace(seen, self.begun.elapsed());
                self.has_listed = true;
                self.publish();
                self.say(None);
                return Ok(Some(page.metadata.resource_version));
            }
            parameters.continue_token = Some(page.metadata.next);
        }
        Err(client::garbage("its list has no end"))
    }

    /// Watches from a version on, once.
    async fn follow(
        &mut self,
        client: &kube::Client,
        fields: &str,
        version: &mut String,
    ) -> Result<End, IdentityError> {
        let seconds = WATCH.saturating_add(fastrand::u32(0..WATCH_SPREAD));
        let parameters = WatchParams::default().fields(fields).timeout(seconds);
        let request =
            Request::new(PODS).watch(&parameters, version).map_err(|error| client::invalid(&error))?;
        let answer = timeout(ANSWER, client.request_events::<Pod>(request)).await;
        let stream = match answer.map_err(|_| client::silent())?.map_err(client::failure) {
            Ok(stream) => stream,
            Err(Gone::Yes) => return Ok(End::Gone),
            Err(Gone::No(error)) => return Err(error),
        };
        self.say(None);
        let mut stream = pin!(stream);
        let over_at = Instant::now() + Duration::from_secs(u64::from(seconds)) + WATCH_MARGIN;
        let (mut publish_at, mut sweep_at) = (None, Instant::now() + SWEEP);
        let mut garbage = 0_u32;
        loop {
            let now = Instant::now();
            if sweep_at <= now {
                self.sweep();
                sweep_at = now + SWEEP;
            }
            if self.roster.has_news() && publish_at.is_none() {
                publish_at = Some(now + GATHER);
            }
            if publish_at.is_some_and(|at| at <= now) {
                self.publish();
                publish_at = None;
            }
            let wake_at = publish_at.unwrap_or(sweep_at).min(sweep_at).min(over_at);
            let event = match timeout_at(wake_at, stream.next()).await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(End::Over),
                Err(_) if Instant::now() >= over_at => return Ok(End::Over),
                Err(_) => continue,
            };
            match event {
                Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => {
                    if let Some(seen) = Sighting::of(&pod, &self.watch.selection) {
                        self.roster.apply(seen, self.begun.elapsed());
                    }
                    advance(version, pod.metadata.resource_version);
                }
                Ok(WatchEvent::Deleted(pod)) => {
                    self.roster.remove(&pod.metadata.uid, self.begun.elapsed());
                    advance(version, pod.metadata.resource_version);
                }
                Ok(WatchEvent::Bookmark(mark)) => advance(version, mark.metadata.resource_version),
                Ok(WatchEvent::Error(status)) => {
                    return match client::failure(kube::Error::Api(status)) {
                        Gone::Yes => Ok(End::Gone),
                        Gone::No(error) => Err(error),
                    };
                }
                Err(kube::Error::Api(status)) if status.code != 0 => {
                    return match client::failure(kube::Error::Api(status)) {
                        Gone::Yes => Ok(End::Gone),
                        Gone::No(error) => Err(error),
                    };
                }
                // One odd event costs one change of one pod. The client takes any object that is no event for a status.
                Err(kube::Error::SerdeError(_) | kube::Error::Api(_)) => {
                    garbage = garbage.saturating_add(1);
                    if garbage > MOST_GARBAGE {
                        return Err(client::garbage("its events make no sense"));
                    }
                    continue;
                }
                // The connection is cut, as happens; what was missed comes with the next one.
                Err(_) => return Ok(End::Over),
            }
            garbage = 0;
            // It came further, so the next wait is a short one.
            self.failures = 0;
        }
    }

    fn publish(&mut self) {
        if let Some(names) = self.roster.take_news() {
            self.board.set_owners(NameSource::Kubernetes, names);
        }
    }

    fn sweep(&mut self) {
        self.roster.expire(self.begun.elapsed());
        self.say(None);
    }

    /// Says how it fares.
    fn say(&mut self, error: Option<&IdentityError>) {
        let stranger;
        let error = match error {
            None if self.roster.is_empty() && self.has_strangers() => {
                let node = self.watch.node.as_deref().unwrap_or_default();
                stranger =
                    IdentityError::new("the API server knows no pod of this node", format!("node {node}"))
                        .remedy("set kubernetes.node, or NODE_NAME from the downward API (spec.nodeName)");
                Some(&stranger)
            }
            error => error,
        };
        tell(&self.board, NAME, error);
    }

    /// Whether there are containers of pods.
    fn has_strangers(&self) -> bool {
        self.board.wanted().containers().any(|(_, pod_uid, _)| !pod_uid.is_empty())
    }

    /// Waits after a failure, longer each time.
    async fn pause(&mut self) {
        let longest = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LAST_WAIT);
        self.failures = self.failures.saturating_add(1);
        sleep(longest.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
    }
}

/// Takes note of how far the watch has come.
fn advance(version: &mut String, to: String) {
    if !to.is_empty() {
        *version = to;
    }
}
