//! Threads that look for names: when somebody new shows up, and now and then in any case.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use tracing::warn;

use crate::identity::{IdentityError, NameBoard, Wanted};
use crate::meters::CollectorOutcome;

/// How often a thread looks whether somebody new is there, while there are some whose names may come at any moment.
const STEP: Duration = Duration::from_millis(200);
/// The same, while there are none: to wake up costs more than to look.
const QUIET_STEP: Duration = Duration::from_millis(500);
/// After how many steps those who have no name yet are looked for again: files may come later than their cgroup.
const AGAIN: [u32; 6] = [1, 3, 8, 15, 30, LAST_AGAIN];
const LAST_AGAIN: u32 = 50;
/// Enough for parsers, which don't recurse deep.
const STACK: usize = 1024 * 1024;
/// How long those who are at work when everything ends are waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// Why a source is asked to look.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Who is there.
    pub wanted: &'a Wanted,
    /// Whether everything is to be read again, as something known may have changed (a rename); otherwise only those
    /// are looked for who have no name.
    pub is_full: bool,
}

/// Something that looks for names.
pub struct Job {
    /// The collector.
    pub name: &'static str,
    /// How often everything is read again.
    pub period: Duration,
    /// Looks, and puts what it found on the board.
    pub look: LookFn,
}

/// Looks for names.
pub type LookFn = Box<dyn FnMut(Look<'_>, &NameBoard) -> Result<(), IdentityError> + Send>;
/// Something that runs for the whole time in a thread of its own, until its end is wanted.
pub type Service = Box<dyn FnOnce(Arc<NameBoard>, Stopped) + Send>;
/// Nothing ever comes from it; it is closed when the end of a service is wanted.
pub type Stopped = tokio::sync::mpsc::Receiver<()>;

/// The threads. They also end when this is dropped, but then nobody waits for them.
#[derive(Debug)]
pub struct Workers {
    /// The collectors that are at work.
    names: Vec<&'static str>,
    /// Nothing is ever sent: a thread ends when its sender is gone.
    stops: Vec<Stop>,
    /// Closed when all threads have ended.
    ended: Receiver<()>,
}

/// What keeps a thread at work as long as it lives.
#[derive(Debug)]
enum Stop {
    Job { _sender: Sender<()> },
    Service { _sender: tokio::sync::mpsc::Sender<()> },
}

/// Sets jobs and services to work, each in a thread of its own; a service has the name of its collector.
pub fn start(jobs: Vec<Job>, services: Vec<(&'static str, Service)>, board: &Arc<NameBoard>) -> Workers {
    let (end, ended) = channel();
    let mut workers = Workers { names: Vec::new(), stops: Vec::new(), ended };
    for job in jobs {
        let (stop, stopped) = channel();
        let board = Arc::clone(board);
        workers.spawn(job.name, Stop::Job { _sender: stop }, &end, move || {
            let _watch = Watch { name: job.name, board: &board };
            repeat(job, &board, &stopped);
        });
    }
    for (name, service) in services {
        let (stop, stopped) = tokio::sync::mpsc::channel(1);
        let board = Arc::clone(board);
        workers.spawn(name, Stop::Service { _sender: stop }, &end, move || {
            let _watch = Watch { name, board: &board };
            service(Arc::clone(&board), stopped);
        });
    }
    workers
}

impl Workers {
    /// The collectors that are at work.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Ends the threads, and waits a moment for those that are at work.
    pub fn stop(self) {
        drop(self.stops);
        // Nothing is sent: this waits until all have ended, or for so long.
        let _ = self.ended.recv_timeout(PATIENCE);
    }

    fn spawn(
        &mut self,
        name: &'static str,
        stop: Stop,
        end: &Sender<()>,
        run: impl FnOnce() + Send + 'static,
    ) {
        let end = end.clone();
        let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(move || {
            run();
            drop(end);
        });
        match thread {
            Ok(_) => {
                self.names.push(name);
                self.stops.push(stop);
            }
            Err(error) => {
                warn!(collector = name, %error, "no thread can be started; nobody looks for these names")
            }
        }
    }
}

/// Tells that a collector is gone if its thread panics: nobody else would.
struct Watch<'a> {
    name: &'static str,
    board: &'a NameBoard,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = IdentityError::new("it failed inside wattprint", self.name);
            let error = error.remedy("report it as a bug; the other collectors go on");
            tell(self.board, self.name, Some(&error));
        }
    }
}

/// Looks whenever it is due, until the sender is gone.
fn repeat(mut job: Job, board: &NameBoard, stopped: &Receiver<()>) {
    let (mut generation, mut since_full, mut since_change) = (None, Duration::ZERO, 0_u32);
    loop {
        let wanted = board.wanted();
        let is_new = generation != Some(wanted.generation);
        let is_full = generation.is_none() || since_full >= job.period;
        since_change = if is_new { 0 } else { since_change.saturating_add(1) };
        let is_again = AGAIN.contains(&since_change) && wanted.lacks_names();
        if is_new || is_full || is_again {
            generation = Some(wanted.generation);
            let outcome = (job.look)(Look { wanted: &wanted, is_full }, board);
            if is_full {
                since_full = Duration::ZERO;
            }
            tell(board, job.name, outcome.as_ref().err());
        }
        let is_quiet = since_change >= LAST_AGAIN || !wanted.lacks_names();
        let step = if is_quiet { QUIET_STEP } else { STEP };
        match stopped.recv_timeout(step) {
            Err(RecvTimeoutError::Timeout) => since_full = since_full.saturating_add(step),
            _ => return,
        }
    }
}

/// Says how a collector fared: that it found all that it looked for, or what kept it from that.
pub(crate) fn tell(board: &NameBoard, name: &'static str, error: Option<&IdentityError>) {
    board.set_outcome(match error {
        Some(error) => error.outcome(name),
        None => CollectorOutcome { name, success: true, error: None, detail: None, remedy: None },
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::WantedOwner;
    use crate::workloads::owner::Owner;
    use std::sync::mpsc;

    fn somebody(name: &str, is_named: bool) -> WantedOwner {
        WantedOwner { owner: Arc::new(Owner::Vm { name: name.into() }), pids: Vec::new(), is_named }
    }

    fn job(
        period: Duration,
        mut look: impl FnMut(Look<'_>) -> Result<(), IdentityError> + Send + 'static,
    ) -> Job {
        Job { name: "vms", period, look: Box::new(move |wanted, _| look(wanted)) }
    }

    #[test]
    fn it_looks_at_once_and_whenever_somebody_comes() {
        let board = Arc::new(NameBoard::new());
        let (told, looks) = mpsc::channel();
        let job = job(Duration::from_secs(3600), move |look| {
            told.send((look.wanted.generation, look.is_full)).unwrap();
            Ok(())
        });
        let workers = start(vec![job], Vec::new(), &board);
        let wait = Duration::from_secs(30);
        assert_eq!(looks.recv_timeout(wait).unwrap(), (0, true));
        board.want(Wanted { generation: 1, owners: vec![somebody("a", true)] });
        assert_eq!(looks.recv_timeout(wait).unwrap(), (1, false));
        board.want(Wanted { generation: 2, owners: vec![somebody("a", false)] });
        assert_eq!(looks.recv_timeout(wait).unwrap(), (2, false));
        assert_eq!(looks.recv_timeout(wait).unwrap(), (2, false), "it still has no name");
        workers.stop();
        while looks.recv_timeout(wait).is_ok() {}
        assert_eq!(board.outcomes().map(|outcome| outcome.success).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn a_failure_stands_on_the_board() {
        let board = Arc::new(NameBoard::new());
        let (told, looks) = mpsc::channel();
        let job = job(Duration::ZERO, move |_| {
            let _ = told.send(());
            Err(IdentityError::new("can't be read", "/run/x").remedy("mount it"))
        });
        let workers = start(vec![job], Vec::new(), &board);
        looks.recv_timeout(Duration::from_secs(30)).unwrap();
        looks.recv_timeout(Duration::from_secs(30)).unwrap();
        workers.stop();
        let outcome = board.outcomes().next().unwrap();
        assert_eq!(outcome.error.as_deref(), Some("can't be read"));
        assert_eq!(outcome.detail.as_deref(), Some("/run/x: can't be read"));
        assert_eq!(outcome.remedy, Some("mount it"));
    }

    #[test]
    fn a_thread_that_fails_inside_is_told() {
        let board = Arc::new(NameBoard::new());
        let workers = start(vec![job(Duration::ZERO, |_| panic!("on purpose"))], Vec::new(), &board);
        // Its end is the end of all.
        let _ = workers.ended.recv_timeout(Duration::from_secs(30));
        let outcome = board.outcomes().next().unwrap();
        assert_eq!(outcome.error.as_deref(), Some("it failed inside wattprint"));
    }
}
