//! Finds the devices of one backend: when a search is due, what its failures mean, and what if it hangs.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::gpu::bank::renewal::{Renewal, Staleness};
use crate::gpu::worker::{Event, Searched, Supervisor};
use crate::gpu::{BackendFactory, BackendFailure, Found, GpuBackend, Search};

/// The longest wait between two tries.
const RETRY_LAST: Duration = Duration::from_secs(300);
/// A search while everything is well, for devices that were added.
const HOT_PLUG: Duration = Duration::from_secs(300);
/// The longest wait between two looks whether there is a driver.
const LOOK_LAST: Duration = Duration::from_secs(10);
/// The longest wait for a first search of somebody who looks once.
const SETTLED: Duration = Duration::from_secs(8);
/// Supervisors that may hang at a time.
const ABANDONED: usize = 3;
/// Why a library can't be initialised anew.
const HELD: &str = "library held by a call that hangs";

/// How the last search went.
#[derive(Debug)]
enum State {
    /// There was none yet.
    New,
    Well,
    /// There is no driver.
    Absent(Arc<str>),
    Failed(Arc<str>),
}

#[derive(Debug)]
struct Busy {
    since: Duration,
    /// The library is forgotten before.
    anew: bool,
    /// But a thread that hangs keeps it.
    held: bool,
}

/// What has to do with a backend's library, beside its supervisor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Users {
    /// A device is to be looked for.
    pub(super) wanted: bool,
    /// Threads that were let go are about to end.
    pub(super) ending: bool,
    /// A thread hangs in a call.
    pub(super) hanging: bool,
    /// A device answers.
    pub(super) answering: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    /// All readers are to be dropped, as the library is to be initialised anew: NVML counts who initialised it, and
    /// begins anew only once everybody has shut it down. The search begins when nobody is left.
    Clear,
    /// A search was started.
    Search,
}

/// What the bank makes of a supervisor's answer.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing.
    None,
    /// These are all devices. `anew`: readers from before use a library that was forgotten.
    Devices { found: Vec<Found>, anew: bool, complete: bool },
    /// The search failed.
    Failed(Arc<str>),
}

/// The waits of one backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// How long a call may take.
    pub(super) deadline: Duration,
    /// The first wait after a failure.
    pub(super) retry: Duration,
}

/// Owns a backend's supervisor.
pub(super) struct Finder {
    pub(super) name: &'static str,
    factory: BackendFactory,
    patience: Patience,
    /// A backend that nobody has asked anything yet.
    fresh: Option<Box<dyn GpuBackend>>,
    supervisor: Option<Supervisor>,
    /// Supervisors that hang, by number; each is let go once it answers.
    abandoned: Vec<(u64, Option<Supervisor>)>,
    busy: Option<Busy>,
    /// Whether a search hung, and none has answered since.
    given_up: bool,
    state: State,
    /// What the system said, while the backend is absent or fails.
    failure: Option<BackendFailure>,
    search_at: Duration,
    look_at: Duration,
    wait: Duration,
    pub(super) renewal: Renewal,
    staleness: Staleness,
    /// What is wrong with a device that was seen but can't be named.
    pub(super) unnamed: Option<Arc<str>>,
    /// Whether devices were left out.
    pub(super) overfull: bool,
    released: bool,
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Finder");
        debug.field("name", &self.name).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Finder {
    pub(super) fn new(factory: BackendFactory, patience: Patience) -> Self {
        let backend = factory();
        Self {
            name: backend.name(),
            factory,
            patience,
            fresh: Some(backend),
            supervisor: None,
            abandoned: Vec::new(),
            busy: None,
            given_up: false,
            state: State::New,
            failure: None,
            search_at: Duration::ZERO,
            look_at: Duration::ZERO,
            wait: patience.retry,
            renewal: Renewal::new(patience.retry),
            staleness: Staleness::default(),
            unnamed: None,
            overfull: false,
            released: false,
        }
    }

    /// Whether the first search is under way, and not for too long; or one that began in this tick, without which
    /// no device has a reader.
    pub(super) fn is_awaited(&self, now: Duration) -> bool {
        let first = matches!(self.state, State::New) && !self.given_up && !self.hangs(now);
        let renewed = self.renewal.is_fresh();
        (self.busy.is_some() && (first || renewed)) || (self.renewal.is_clearing() && renewed)
    }

    fn hangs(&self, now: Duration) -> bool {
        self.busy.as_ref().is_some_and(|busy| now.saturating_sub(busy.since) >= self.patience.deadline)
    }

    /// The number of its supervisor, if that was asked something.
    #[cfg(test)]
    pub(super) fn busy_number(&self) -> Option<u64> {
        self.supervisor.as_ref().filter(|_| self.busy.is_some()).map(Supervisor::generation)
    }

    /// Why only a new container helps.
    pub(super) fn needs_new_container(&self) -> Option<&str> {
        self.staleness.reason()
    }

    /// Starts what is due.
    pub(super) fn poll(
        &mut self,
        now: Duration,
        users: Users,
        numbers: &mut u64,
        events: &Sender<Event>,
    ) -> Step {
        if self.released || (self.busy.is_some() && !self.abandon(now)) {
            return Step::None;
        }
        let failed = matches!(self.state, State::Absent(_) | State::Failed(_));
        let anew = self.renewal.is_due(now);
        let clearing = self.renewal.is_clearing();
        if clearing || self.search_at <= now || (!failed && (anew || users.wanted)) {
            if anew && self.renewal.clear() {
                return Step::Clear;
            }
            if clearing && users.ending {
                return Step::None;
            }
            self.renewal.end_clearing();
            // What failed before must not live on in a library that is mapped already.
            return self.search(now, anew || failed, users, numbers, events);
        }
        if matches!(self.state, State::Failed(_)) && self.look_at <= now {
            self.look_at = now + self.look_every();
            if self.supervisor.as_ref().is_some_and(Supervisor::look) {
                self.busy = Some(Busy { since: now, anew: false, held: false });
            }
        }
        Step::None
    }

    fn look_every(&self) -> Duration {
        self.patience.retry.min(LOOK_LAST)
    }

    /// Gives up a supervisor that hangs, once that is due and few enough do. True if it did.
    fn abandon(&mut self, now: Duration) -> bool {
        let patience = self.patience.deadline + self.wait;
        let given_up = self.busy.as_ref().is_some_and(|busy| now.saturating_sub(busy.since) >= patience);
        if !given_up || self.abandoned.len() >= ABANDONED {
            return false;
        }
        if let Some(supervisor) = self.supervisor.take() {
            self.abandoned.push((supervisor.generation(), Some(supervisor)));
        }
        self.busy = None;
        self.given_up = true;
        self.wait = (self.wait * 2).min(RETRY_LAST);
        self.search_at = now;
        true
    }

    fn search(
        &mut self,
        now: Duration,
        anew: bool,
        users: Users,
        numbers: &mut u64,
        events: &Sender<Event>,
    ) -> Step {
        if self.supervisor.is_none() {
            let backend = self.fresh.take().unwrap_or_else(|| (self.factory)());
            *numbers += 1;
            match Supervisor::start(*numbers, backend, events.clone()) {
                Ok(supervisor) => self.supervisor = Some(supervisor),
                Err(_) => {
                    self.fail(now, Arc::from("no thread could be started"));
                    return Step::None;
                }
            }
        }
        if !self.supervisor.as_ref().is_some_and(|supervisor| supervisor.find(anew)) {
            self.supervisor = None;
            self.fail(now, Arc::from("search ended"));
            return Step::None;
        }
        // A device that answers shows that the library works for others.
        let hanging = users.hanging || !self.abandoned.is_empty();
        self.busy = Some(Busy { since: now, anew, held: anew && hanging && !users.answering });
        if anew {
            self.renewal.begun(now);
        }
        Step::Search
    }

    fn fail(&mut self, now: Duration, reason: Arc<str>) {
        self.given_up = false;
        self.state = State::Failed(reason);
        self.search_at = now + self.wait;
        self.look_at = now + self.look_every();
        self.wait = (self.wait * 2).min(RETRY_LAST);
    }

    /// Whether this thread is, or was, its supervisor.
    pub(super) fn owns(&self, generation: u64) -> bool {
        self.supervisor.as_ref().is_some_and(|supervisor| supervisor.generation() == generation)
            || self.abandoned.iter().any(|(number, _)| *number == generation)
    }

    /// Takes a supervisor's answer.
    pub(super) fn take(&mut self, generation: u64, outcome: Searched, now: Duration) -> Verdict {
        if let Some((_, late)) = self.abandoned.iter_mut().find(|(number, _)| *number == generation) {
            if let (Some(late), Searched::Found(search)) = (late.take(), outcome) {
                late.discard(search.found);
            }
            return Verdict::None;
        }
        let busy = self.busy.take();
        let anew = busy.as_ref().is_some_and(|busy| busy.anew);
        let held = busy.is_some_and(|busy| busy.held);
        self.given_up = false;
        if self.released {
            if let Searched::Found(search) = outcome {
                self.discard(search.found);
            }
            return Verdict::None;
        }
        match outcome {
            Searched::Present => Verdict::None,
            Searched::Found(search) => self.found(search, anew, now),
            Searched::Absent(failure) => {
                self.failure = Some(failure.clone());
                self.staleness.count(&failure);
                self.wait = self.patience.retry;
                self.search_at = now + self.look_every();
                self.state = State::Absent(Arc::clone(&failure.reason));
                Verdict::Failed(failure.reason)
            }
            Searched::Failed(mut failure) => {
                self.staleness.count(&failure);
                if held {
                    failure.reason = Arc::from(HELD);
                    failure.remedy = Some("start the daemon anew; what the call waits for may need a reboot");
                }
                self.failure = Some(failure.clone());
                self.fail(now, Arc::clone(&failure.reason));
                Verdict::Failed(failure.reason)
            }
        }
    }

    fn found(&mut self, search: Search, anew: bool, now: Duration) -> Verdict {
        self.state = State::Well;
        self.failure = None;
        self.wait = self.patience.retry;
        self.search_at = now + HOT_PLUG;
        self.staleness = Staleness::default();
        self.unnamed = search.failed.first().map(|(_, reason)| Arc::clone(reason));
        self.overfull = false;
        Verdict::Devices { found: search.found, anew, complete: search.failed.is_empty() }
    }

    /// Notes that a thread ended; whether it was its supervisor.
    pub(super) fn end(&mut self, generation: u64, now: Duration) -> bool {
        let before = self.abandoned.len();
        self.abandoned.retain(|(number, _)| *number != generation);
        if self.supervisor.as_ref().is_some_and(|supervisor| supervisor.generation() == generation) {
            self.supervisor = None;
            self.busy = None;
            self.fail(now, Arc::from("search ended"));
            return true;
        }
        self.abandoned.len() < before
    }

    /// Drops readers where nobody waits for it.
    pub(super) fn discard(&self, found: Vec<Found>) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.discard(found);
        }
    }

    /// Forgets the library and leaves it alone.
    pub(super) fn release(&mut self) {
        self.released = true;
        self.renewal.cancel();
        self.unnamed = None;
        if let Some(supervisor) = &self.supervisor {
            supervisor.forget();
        }
    }

    /// Searches again.
    pub(super) fn resume(&mut self, now: Duration) {
        self.released = false;
        self.given_up = false;
        self.state = State::New;
        self.wait = self.patience.retry;
        self.search_at = now;
    }

    /// Whether its first search has come to an end, or takes longer than anybody should wait for.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        let waits = self.busy.as_ref().map(|busy| now.saturating_sub(busy.since));
        self.released || !matches!(self.state, State::New) || waits.is_some_and(|time| time >= SETTLED)
    }

    /// What the system said of what is wrong with it.
    pub(super) fn failure(&self) -> Option<&BackendFailure> {
        let fails = matches!(self.state, State::Absent(_) | State::Failed(_)) && !self.released;
        self.failure.as_ref().filter(|_| fails)
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self, now: Duration) -> Option<Arc<str>> {
        match &self.state {
            _ if self.released => Some(Arc::from("released")),
            _ if self.given_up || self.hangs(now) => Some(Arc::from("initialisation hangs")),
            State::New => Some(Arc::from("initialising")),
            State::Absent(reason) | State::Failed(reason) => Some(Arc::clone(reason)),
            State::Well => self.unnamed.clone(),
        }
    }
}
