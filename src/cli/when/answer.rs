//! The best start, from what a series says of the time ahead.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::carbon::forecast::{Window, best_windows, windows};
use crate::carbon::grid::{GridSeries, Signal};
use crate::cli::when::text::{human_time, span};
use crate::config::Basis;
use crate::units::{Grams, GramsPerKwh, Microjoules, Pue, UnixTime};

/// So many other starts are told.
const ALTERNATIVES: usize = 3;

const ADVICE: &str = "configure a source that has a forecast (carbon.source, such as [\"energy_charts\"] or, for Great \
                      Britain, [\"neso\"], which need no key), or name a wattprint that has one with --daemon";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) now: UnixTime,
    /// How long the work takes.
    pub(super) length: Duration,
    /// Which emissions to look at; otherwise those that the preferred source counts.
    pub(super) basis: Option<Basis>,
    /// What grams are wanted of.
    pub(super) work: Option<Work>,
}

/// Work whose energy is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// Of the IT equipment, over the whole length.
    pub(super) energy: Microjoules,
    /// The facility's overhead.
    pub(super) pue: Pue,
}

/// When to begin, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Answer {
    #[serde(rename = "now_unix_ms")]
    pub(super) now: UnixTime,
    #[serde(rename = "length_seconds", serialize_with = "seconds")]
    pub(super) length: Duration,
    pub(super) provider: Arc<str>,
    pub(super) zone: Arc<str>,
    /// `lifecycle` or `direct` for the average mix, else `marginal`.
    pub(super) basis: &'static str,
    pub(super) accounting: Arc<str>,
    #[serde(rename = "fetched_unix_ms")]
    pub(super) fetched_at: UnixTime,
    #[serde(rename = "forecast_end_unix_ms")]
    pub(super) end: UnixTime,
    /// The energy of the work, where it is known.
    pub(super) energy_joules: Option<f64>,
    /// The facility's overhead, which is in all grams; absent where there are none.
    pub(super) pue_ratio: Option<f64>,
    /// The earliest of the best starts.
    pub(super) best: Start,
    /// Beginning at once; absent where the data have no value for now or a gap soon after.
    pub(super) starting_now: Option<Start>,
    /// The next best starts, the better ones first; neither the work of `best` nor that of each other overlaps theirs.
    pub(super) alternatives: Vec<Start>,
}

/// A start and what it causes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Start {
    #[serde(flatten)]
    pub(super) window: Window,
    /// The share that is saved against starting now; below 0 where it is more. Absent where that can't be said.
    pub(super) saving_ratio: Option<f64>,
    /// What the work emits, with the facility's overhead.
    pub(super) emissions_grams: Option<Grams>,
}

fn seconds<S: serde::Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(length.as_secs_f64())
}

/// The answer of the first place that has one. The error says why none has, and what to do.
pub(super) fn first<P: Display>(
    question: &Question,
    places: &[P],
    mut ask: impl FnMut(&P) -> Result<Vec<GridSeries>, String>,
) -> Result<Answer, String> {
    let mut reasons = Vec::new();
    for place in places {
        match ask(place) {
            Err(reason) => reasons.push(reason),
            Ok(series) => match answer(question, &series) {
                Ok(answer) => return Ok(answer),
                Err(reason) => reasons.push(format!("{place}: {reason}")),
            },
        }
    }
    Err(format!("no forecast for {}: {}; {ADVICE}", span(question.length), reasons.join("; ")))
}

/// The answer by the first series that reaches far enough: averages are preferred, as they are what is accounted.
fn answer(question: &Question, series: &[GridSeries]) -> Result<Answer, String> {
    let is_average = |series: &&GridSeries| {
        series.signal.basis().is_some_and(|basis| question.basis.is_none_or(|wanted| wanted == basis))
    };
    let averages = series.iter().filter(is_average);
    let marginals = series.iter().filter(|series| series.signal == Signal::Marginal);
    let mut reasons = Vec::new();
    for series in averages.chain(marginals) {
        match solve(question, series) {
            Some(answer) => return Ok(answer),
            None => reasons.push(too_short(question.now, series)),
        }
    }
    if reasons.is_empty() {
        let basis = question.basis.map_or("", Basis::as_str);
        return Err(format!("no live series of {basis} figures").replace("  ", " "));
    }
    Err(reasons.join(", "))
}

fn too_short(now: UnixTime, series: &GridSeries) -> String {
    let GridSeries { provider, zone, slots, .. } = series;
    let end = slots.slots().last().map(|slot| slot.end).filter(|end| *end > now);
    let what = end.map_or("knows nothing of the time ahead".to_owned(), |end| {
        format!("knows no stretch as long as that without a gap before its end at {}", human_time(end))
    });
    format!("{provider} for {zone} {what}")
}

fn solve(question: &Question, series: &GridSeries) -> Option<Answer> {
    let Question { now, length, work, .. } = *question;
    let end = series.slots.slots().last()?.end;
    let best = *best_windows(&series.slots, now, end, length).first()?;
    let all = windows(&series.slots, now, end, length);
    let at_once = all.first().copied().filter(|window| window.start == now);
    let start = |window: Window| Start {
        window,
        saving_ratio: at_once.and_then(|now| saving(window.mean, now.mean)),
        emissions_grams: work.map(|work| window.mean.emissions(work.energy, work.pue)),
    };
    Some(Answer {
        now,
        length,
        provider: Arc::clone(&series.provider),
        zone: Arc::clone(&series.zone),
        basis: series.signal.basis().map_or("marginal", Basis::as_str),
        accounting: Arc::clone(&series.accounting),
        fetched_at: series.fetched_at,
        end,
        energy_joules: work.map(|work| work.energy.as_joules()),
        pue_ratio: work.map(|work| work.pue.0),
        best: start(best),
        starting_now: at_once.map(start),
        alternatives: alternatives(&all, best, now, length).into_iter().map(start).collect(),
    })
}

fn saving(mean: GramsPerKwh, now: GramsPerKwh) -> Option<f64> {
    (now.0 > 0.0).then(|| 1.0 - mean.0 / now.0)
}

/// The best of the windows that begin later than now and don't overlap better ones.
fn alternatives(all: &[Window], best: Window, now: UnixTime, length: Duration) -> Vec<Window> {
    let mut others: Vec<Window> = all.iter().copied().filter(|window| window.start != now).collect();
    // The sort is stable: the earlier one of equals is first.
    others.sort_by(|one, other| one.mean.0.total_cmp(&other.mean.0));
    let overlap = |one: Window, other: Window| {
        one.start < other.start.after(length) && other.start < one.start.after(length)
    };
    let mut chosen = vec![best];
    for window in others {
        if chosen.len() <= ALTERNATIVES && !chosen.iter().any(|known| overlap(*known, window)) {
            chosen.push(window);
        }
    }
    chosen.split_off(1)
}
