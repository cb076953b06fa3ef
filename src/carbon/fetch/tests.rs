use std::collections::VecDeque;

use super::*;
use crate::carbon::grid::{Signal, SourceState};
use crate::carbon::http::{HttpClient, Request};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::carbon::providers::{Fetched, GridProvider};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::logged::logged;
use crate::units::{GramsPerKwh, Pue};

mod threads;

const NOW: UnixTime = UnixTime::from_seconds(1_767_225_600);
const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(20);
const PACE: Pace = Pace { period: Duration::from_secs(300), floor: MINUTE };

type Answer = Result<Fetched, FetchError>;

/// Gives answers in turn; asks an address before, where it has one.
#[derive(Debug)]
struct Scripted {
    answers: VecDeque<Answer>,
    address: Option<String>,
}

impl GridProvider for Scripted {
    fn zone(&self) -> Arc<str> {
        "GB".into()
    }
    fn signal(&self) -> Signal {
        Signal::AverageDirect
    }
    fn pace(&self) -> Pace {
        PACE
    }
    fn fetch(&mut self, http: &HttpClient, _now: UnixTime) -> Answer {
        if let Some(address) = &self.address {
            http.get(&Request::new(address.as_str()))?;
        }
        self.answers.pop_front().unwrap_or_else(|| failed(FetchResult::Server))
    }
}

fn scripted<const N: usize>(answers: [Answer; N]) -> Box<Scripted> {
    Box::new(Scripted { answers: answers.into(), address: None })
}

fn failed(result: FetchResult) -> Answer {
    Err(FetchError::new(result, format!("no: {}", result.as_str())))
}

/// A series with one hour at so many hours before `NOW`.
fn series(hours_ago: u64, grams: f64) -> GridSeries {
    let start = NOW.before(Duration::from_secs(3600 * hours_ago));
    let end = start.after(Duration::from_secs(3600));
    let slot = Slot { start, end, intensity: GramsPerKwh(grams), quality: SlotQuality::Measured };
    GridSeries {
        provider: "neso".into(),
        zone: "GB".into(),
        signal: Signal::AverageDirect,
        accounting: "".into(),
        fetched_at: NOW,
        slots: Series::new([slot]),
    }
}

fn good(hours_ago: u64, grams: f64) -> Answer {
    Ok(Fetched { series: vec![series(hours_ago, grams)], warnings: Vec::new() })
}

fn board() -> Arc<GridBoard> {
    Arc::new(GridBoard::new(vec![
        SourceState::new("other", "FR".into()),
        SourceState::new("neso", "GB".into()),
    ]))
}

fn client() -> HttpClient {
    HttpClient::new(None).unwrap()
}

/// A fetcher whose rounds the test runs itself; it lives as long as the sender.
fn fetcher(job: Job, board: &Arc<GridBoard>) -> (Fetcher, Sender<()>) {
    let (stop, stopped) = channel();
    let schedule = Schedule::new(job.pace, 1, Rng::with_seed(1));
    let (board, clock, alone) = (Arc::clone(board), clock(), Arc::default());
    (Fetcher { job, schedule, board, clock, alone, stopped, failing: None }, stop)
}

fn clock() -> Clock {
    Arc::new(|| NOW)
}

/// Tells of each call on a channel.
fn store() -> (Store, Receiver<(usize, Vec<f64>)>) {
    let (calls, called) = channel();
    let store: Store = Arc::new(move |index, series: &[Arc<GridSeries>], _| {
        let values = series.iter().flat_map(|series| series.slots.slots()).map(|slot| slot.intensity.0);
        let _ = calls.send((index, values.collect()));
    });
    (store, called)
}

#[test]
fn an_answer_is_put_on_the_board_and_kept() {
    let board = board();
    let (store, kept) = store();
    let provider = scripted([good(1, 100.0), failed(FetchResult::Timeout), good(2, 200.0)]);
    let (mut fetcher, _stop) = fetcher(Job::grid(1, "neso", provider, client(), Some(store)), &board);

    fetcher.round().unwrap();
    let state = board.latest();
    assert_eq!(state.sources[0], SourceState::new("other", "FR".into()));
    assert_eq!(state.sources[1].last_success, Some(NOW));
    assert_eq!(kept.try_recv(), Ok((1, vec![100.0])));

    fetcher.round().unwrap();
    let state = board.latest();
    assert_eq!(state.sources[1].last_error, Some(FetchResult::Timeout));
    assert_eq!(state.sources[1].series.len(), 1);
    assert!(kept.try_recv().is_err());

    fetcher.round().unwrap();
    let source = board.latest().sources[1].clone();
    assert_eq!(source.last_error, None);
    assert_eq!(source.fetches, [(FetchResult::Success, 2), (FetchResult::Timeout, 1)].into());
    assert_eq!(kept.try_recv(), Ok((1, vec![200.0, 100.0])));
}

#[test]
fn an_answer_without_a_value_is_no_success_and_wipes_nothing() {
    let board = board();
    let empty = GridSeries { slots: Series::default(), ..series(0, 0.0) };
    let without = |series| Ok(Fetched { series, warnings: vec!["GB: null".to_owned()] });
    let provider = scripted([good(1, 100.0), without(vec![]), without(vec![empty]), good(50, 7.0)]);
    let (mut fetcher, _stop) = fetcher(Job::grid(1, "neso", provider, client(), None), &board);
    fetcher.round().unwrap();
    let known = board.latest().sources[1].series.clone();
    for times in 1..=3 {
        assert!(fetcher.round().unwrap() >= PACE.floor);
        let source = board.latest().sources[1].clone();
        assert_eq!(source.fetches[&FetchResult::Empty], times);
        assert_eq!(source.series, known);
        assert_eq!(source.last_error, Some(FetchResult::Empty));
    }
}

#[test]
fn what_is_two_days_old_is_forgotten() {
    let board = board();
    board.update(|state| {
        state.sources[1].series.push(Arc::new(series(60, 1.0)));
        let gone = GridSeries { zone: "GB-1".into(), ..series(60, 1.0) };
        state.sources[1].series.push(Arc::new(gone));
    });
    let (mut fetcher, _stop) =
        fetcher(Job::grid(1, "neso", scripted([good(1, 100.0)]), client(), None), &board);
    fetcher.round().unwrap();
    let source = board.latest().sources[1].clone();
    assert_eq!(source.series.len(), 1);
    assert_eq!(source.series[0].slots, series(1, 100.0).slots);
}

#[test]
fn changes_are_logged_not_requests() {
    let board = board();
    let warned = || {
        let mut answer = good(1, 1.0).unwrap();
        answer.warnings = vec!["GB: a value of -3 left out".to_owned()];
        Ok(answer)
    };
    let provider = scripted([
        warned(),
        warned(),
        failed(FetchResult::Timeout),
        failed(FetchResult::Timeout),
        failed(FetchResult::Auth),
        warned(),
        good(1, 1.0),
    ]);
    let (mut fetcher, _stop) = fetcher(Job::grid(1, "neso", provider, client(), None), &board);
    let lines = logged(|| assert_eq!((0..7).filter_map(|_| fetcher.round()).count(), 7));
    let expected = [
        ["WARN", "GB: a value of -3 left out"],
        ["WARN", "fails: no: timeout"],
        ["WARN", "fails: no: auth"],
        ["INFO", "works again"],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
        assert!(line.contains("neso") && line.contains("GB"), "{line}");
    }
}

#[test]
fn a_clock_that_is_off_is_warned_of() {
    // A quarter of an hour after `NOW`; the answer itself is an error.
    let server =
        Replay::new(|_| Some(Reply::status(401, "").header("date", "Thu, 01 Jan 2026 00:16:00 GMT")));
    let ask = || {
        let answers = [good(1, 1.0), failed(FetchResult::Auth)].into();
        let provider = Box::new(Scripted { answers, address: Some(server.url()) });
        let (mut fetcher, _stop) = fetcher(Job::grid(1, "neso", provider, client(), None), &board());
        assert_eq!((0..2).filter_map(|_| fetcher.round()).count(), 2);
    };
    let lines = logged(ask);
    assert_eq!(
        lines.iter().filter(|line| line.contains("differ by 15 min or more")).count(),
        1,
        "{lines:#?}"
    );
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn once_brings_series_or_an_error() {
    let http = client();
    let mut provider = scripted([
        good(1, 100.0),
        Ok(Fetched { series: vec![], warnings: vec!["null only".to_owned()] }),
        failed(FetchResult::Auth),
    ]);
    assert_eq!(fetch_once(&mut *provider, &http, NOW).unwrap(), [series(1, 100.0)]);
    let lines = logged(|| {
        assert_eq!(fetch_once(&mut *provider, &http, NOW).unwrap_err().result, FetchResult::Empty);
    });
    assert!(lines.len() == 1 && lines[0].contains("null only"), "{lines:?}");
    assert_eq!(fetch_once(&mut *provider, &http, NOW).unwrap_err().result, FetchResult::Auth);
}

#[test]
fn the_overhead_has_its_own_error() {
    let board = board();
    let mut turns = VecDeque::from([Some(1.2), None, Some(1.3)]);
    let ask: Ask = Box::new(move |_| match turns.pop_front().flatten() {
        Some(pue) => Ok(Box::new(move |state| {
            state.pue.push(crate::carbon::grid::Step { from: NOW, value: Pue(pue) })
        })),
        None => Err(FetchError::new(FetchResult::File, "/etc/pue: gone")),
    });
    let (mut fetcher, _stop) = fetcher(Job::new("pue", "".into(), Subject::Pue, PACE, ask), &board);
    let mut error = || {
        let wait = fetcher.round().unwrap();
        (wait <= MINUTE, board.latest().pue_error)
    };
    assert_eq!(error().1, None);
    assert_eq!(error(), (true, Some(FetchResult::File)));
    assert_eq!(error().1, None);
    assert_eq!(board.latest().pue.len(), 2);
    assert!(
        board.latest().sources.iter().all(|source| source.fetches.is_empty() && source.last_error.is_none())
    );
}
