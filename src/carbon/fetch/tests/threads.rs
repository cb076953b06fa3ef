//! Jobs in their threads: who waits for whom, and how they end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;

use super::*;

/// Waits in the middle of a request until it is let go.
fn hanging(name: &'static str) -> (Job, Receiver<()>, SyncSender<()>) {
    let (begun, begins) = channel();
    let (let_go, may_go) = std::sync::mpsc::sync_channel(1);
    let ask: Ask = Box::new(move |_| {
        begun.send(()).unwrap();
        may_go.recv().unwrap();
        Ok(Box::new(|state| state.sources[1].last_error = Some(FetchResult::Timeout)))
    });
    (Job::new(name, "GB".into(), Subject::Other, PACE, ask), begins, let_go)
}

fn all(jobs: Vec<Job>, board: &Arc<GridBoard>, spread: Duration) -> Fetchers {
    start(jobs, board, &clock(), "node1", spread, |_| false)
}

#[test]
fn a_source_that_hangs_holds_up_neither_others_nor_the_end() {
    let board = board();
    let (hang, begins, let_go) = hanging("energinet");
    let (store, kept) = store();
    let job = Job::grid(1, "neso", scripted([good(1, 100.0)]), client(), Some(store));
    let fetchers = all(vec![hang, job], &board, Duration::ZERO);
    begins.recv_timeout(LONG).unwrap();
    assert_eq!(kept.recv_timeout(LONG).unwrap(), (1, vec![100.0]));
    let (end, ended) = channel();
    thread::spawn(move || {
        fetchers.stop();
        end.send(()).unwrap();
    });
    ended.recv_timeout(LONG).unwrap();
    // The one that waited for its turn goes, and what it held with it.
    assert_eq!(kept.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    let_go.send(()).unwrap();
    // It hangs up on its channel when it has ended.
    assert_eq!(begins.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    assert_eq!(board.latest().sources[1].last_error, None);
}

#[test]
fn threads_end_when_nobody_holds_them() {
    let (store, kept) = store();
    let job = Job::grid(1, "neso", scripted([]), client(), Some(store));
    drop(all(vec![job], &board(), Duration::from_secs(3600)));
    assert_eq!(kept.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_local_source_does_not_wait_for_the_fleet() {
    let (store, kept) = store();
    let job = Job::grid(1, "file", scripted([good(1, 100.0)]), client(), Some(store)).local();
    let fetchers = all(vec![job], &board(), Duration::from_secs(1_000_000));
    assert_eq!(kept.recv_timeout(LONG).unwrap(), (1, vec![100.0]));
    fetchers.stop();
}

#[test]
fn a_job_is_asked_again_at_its_turn_and_not_before() {
    let of_period = |seconds| {
        let (told, tells) = channel();
        let ask: Ask = Box::new(move |_| {
            told.send(()).unwrap();
            Ok(Box::new(|_| ()))
        });
        let pace = Pace { period: Duration::from_secs(seconds), floor: Duration::from_secs(1) };
        // The wall clock stands still, so this is the wait from the same moment each time.
        let mut schedule = Schedule::new(pace, identity(&["node1", "a", "b"]), Rng::new());
        let job = Job::new("a", "b".into(), Subject::Other, pace, ask);
        (schedule.next(NOW, NOW, None), job, tells)
    };
    let (_, short, again) = of_period(1);
    let (wait, long, not_again) = of_period(7200);
    assert!(wait > MINUTE, "{wait:?}: take another name for the node");
    let fetchers = all(vec![short], &board(), Duration::ZERO);
    let slow = all(vec![long], &board(), Duration::ZERO);
    not_again.recv_timeout(LONG).unwrap();
    for _ in 0..2 {
        again.recv_timeout(LONG).unwrap();
    }
    assert_eq!(not_again.try_recv(), Err(TryRecvError::Empty));
    fetchers.stop();
    slow.stop();
}

#[test]
fn who_is_stopped_does_not_ask() {
    let (mut fetcher, stop) =
        fetcher(Job::grid(1, "neso", scripted([good(1, 100.0)]), client(), None), &board());
    drop(stop);
    assert_eq!(fetcher.round(), None);
    assert_eq!(fetcher.board.latest().sources, board().latest().sources);
}

#[test]
fn two_jobs_of_a_provider_never_ask_at_once() {
    let inside = Arc::new(AtomicUsize::new(0));
    let (told, tells) = channel();
    let job = || {
        let (inside, told) = (Arc::clone(&inside), told.clone());
        let ask: Ask = Box::new(move |_| {
            let others = inside.fetch_add(1, Ordering::SeqCst);
            // Time enough for another one to come in, if it could.
            let (_never, nothing) = channel::<()>();
            let _ = nothing.recv_timeout(Duration::from_millis(30));
            inside.fetch_sub(1, Ordering::SeqCst);
            told.send(others).unwrap();
            Ok(Box::new(|_| ()))
        });
        Job::new("electricity_maps", "FR".into(), Subject::Other, PACE, ask)
    };
    let fetchers = all(vec![job(), job(), job()], &board(), Duration::ZERO);
    let others: Vec<usize> = (0..3).map(|_| tells.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(others, [0, 0, 0]);
    fetchers.stop();
}

#[test]
fn files_do_not_wait_for_each_other() {
    let ((one, one_begins, let_one_go), (other, other_begins, let_other_go)) =
        (hanging("file"), hanging("file"));
    let fetchers = all(vec![one.local(), other.local()], &board(), Duration::ZERO);
    one_begins.recv_timeout(LONG).unwrap();
    other_begins.recv_timeout(LONG).unwrap();
    for let_go in [let_one_go, let_other_go] {
        let_go.send(()).unwrap();
    }
    fetchers.stop();
}
