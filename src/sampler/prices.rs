//! What energy costs in one tick, by the time that it was drawn in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::carbon::grid::GridBoard;
use crate::carbon::pricing::{Pricer, Rates};
use crate::units::{GramsPerKwh, LitresPerKwh, Microjoules, UnixTime};

/// No interval of a meter is longer, so whatever held before needn't be known any more.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// So many that held before are known; with more in an hour, the oldest ones give way to those that followed.
const MOST_BEFORE: usize = 16;

/// Most of a tick's energy was drawn in the tick; some in longer or shorter intervals that end with it.
#[derive(Debug)]
pub(super) struct Prices {
    pricer: Pricer,
    /// Those that held before, the oldest first, each up to its moment.
    before: VecDeque<(Pricer, UnixTime)>,
    board: Arc<GridBoard>,
    /// The end of the tick.
    now: UnixTime,
    /// The interval that was priced last begins here.
    start: UnixTime,
    rates: Rates,
}

impl Prices {
    pub(super) fn new(pricer: Pricer, board: Arc<GridBoard>) -> Self {
        let (now, start) = (UnixTime::default(), UnixTime::default());
        let rates = Rates { location: GramsPerKwh(0.0), market: None, water: None };
        Self { pricer, before: VecDeque::new(), board, now, start, rates }
    }

    /// Takes in what was fetched, and gives the rates of a tick that ends `now`.
    pub(super) fn begin(&mut self, now: UnixTime, elapsed: Duration) -> Rates {
        self.pricer.take(self.board.latest());
        self.now = now;
        self.start = now.before(elapsed);
        // A clock that was set back makes none of them hold again.
        let holds = |until: UnixTime| until <= now && until.after(REMEMBERED) > now;
        self.before.retain(|(_, until)| holds(*until));
        self.rates = self.price(self.start);
        self.rates
    }

    /// Prices what is drawn after `at` in another way.
    pub(super) fn replace(&mut self, pricer: Pricer, board: Arc<GridBoard>, at: UnixTime) {
        let mut before = std::mem::replace(&mut self.pricer, pricer);
        before.take(self.board.latest());
        if self.before.len() >= MOST_BEFORE {
            self.before.pop_front();
        }
        self.before.push_back((before, at));
        self.board = board;
        self.pricer.take(self.board.latest());
    }

    /// The rates of an interval from `start` on that ends with the tick, each part of it by what held then.
    fn price(&self, start: UnixTime) -> Rates {
        let mut sum: Option<(Duration, Rates)> = None;
        let mut from = start;
        for (pricer, until) in &self.before {
            if *until > from {
                let part = (until.since(from), pricer.rates(from, *until));
                sum = Some(joined(sum, part));
                from = *until;
            }
        }
        match sum {
            Some(_) if from < self.now => {
                joined(sum, (self.now.since(from), self.pricer.rates(from, self.now))).1
            }
            Some((_, rates)) => rates,
            None => self.pricer.rates(start, self.now),
        }
    }

    /// The rates of an interval of this length that ends with the tick.
    pub(super) fn over(&mut self, elapsed: Duration) -> Rates {
        let start = self.now.before(elapsed);
        if start != self.start {
            self.start = start;
            self.rates = self.price(start);
        }
        self.rates
    }

    /// The rate of a sum of energy whose parts were drawn in intervals of these lengths: the sum costs at it what the
    /// parts cost together.
    #[allow(clippy::cast_precision_loss, reason = "the energy of a tick is far below 2^53 microjoules")]
    pub(super) fn mean(&mut self, parts: impl Iterator<Item = (Microjoules, Duration)>) -> Rates {
        let mut sum: Option<(f64, Rates)> = None;
        for (energy, elapsed) in parts {
            let (weight, rates) = (energy.get() as f64, self.over(elapsed));
            sum = Some(match sum {
                Some((before, mean)) if mean != rates => {
                    let share = if weight > 0.0 { weight / (before + weight) } else { 0.0 };
                    (before + weight, mixed(&mean, &rates, share))
                }
                Some((before, mean)) => (before + weight, mean),
                None => (weight, rates),
            });
        }
        sum.map_or(self.rates, |(_, mean)| mean)
    }

    /// Rates that are there for all that is counted, and absent for what isn't.
    pub(super) fn counted(&self) -> &Rates {
        &self.rates
    }

    /// The end of the tick.
    pub(super) fn now(&self) -> UnixTime {
        self.now
    }

    pub(super) fn pricer(&self) -> &Pricer {
        &self.pricer
    }
}

/// The rates of two intervals together, the second of which follows.
fn joined(before: Option<(Duration, Rates)>, (length, rates): (Duration, Rates)) -> (Duration, Rates) {
    let Some((known, mean)) = before else { return (length, rates) };
    let whole = known.saturating_add(length);
    let share = if whole.is_zero() { 0.0 } else { length.as_secs_f64() / whole.as_secs_f64() };
    (whole, mixed(&mean, &rates, share))
}

/// The mean of two rates, of which the second has this share.
fn mixed(one: &Rates, other: &Rates, share: f64) -> Rates {
    let mean = |one: f64, other: f64| one + (other - one) * share;
    // What isn't counted in one of the two parts has nothing there.
    let both = |one: Option<f64>, other: Option<f64>| {
        (one.is_some() || other.is_some()).then(|| mean(one.unwrap_or_default(), other.unwrap_or_default()))
    };
    let grams = |rate: Option<GramsPerKwh>| rate.map(|rate| rate.0);
    let litres = |rate: Option<LitresPerKwh>| rate.map(|rate| rate.0);
    Rates {
        location: GramsPerKwh(mean(one.location.0, other.location.0)),
        market: both(grams(one.market), grams(other.market)).map(GramsPerKwh),
        water: both(litres(one.water), litres(other.water)).map(LitresPerKwh),
    }
}

#[cfg(test)]
mod tests;
