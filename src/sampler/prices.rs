//! What energy costs in one tick, by the time that it was drawn in.

use std::sync::Arc;
use std::time::Duration;

use crate::carbon::grid::GridBoard;
use crate::carbon::pricing::{Pricer, Rates};
use crate::units::{GramsPerKwh, LitresPerKwh, Microjoules, UnixTime};

/// Most of a tick's energy was drawn in the tick; some in longer or shorter intervals that end with it.
#[derive(Debug)]
pub(super) struct Prices {
    pricer: Pricer,
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
        Self { pricer, board, now, start, rates }
    }

    /// Takes in what was fetched, and gives the rates of a tick that ends `now`.
    pub(super) fn begin(&mut self, now: UnixTime, elapsed: Duration) -> Rates {
        self.pricer.take(self.board.latest());
        self.now = now;
        self.start = now.before(elapsed);
        self.rates = self.pricer.rates(self.start, now);
        self.rates
    }

    /// The rates of an interval of this length that ends with the tick.
    pub(super) fn over(&mut self, elapsed: Duration) -> Rates {
        let start = self.now.before(elapsed);
        if start != self.start {
            self.start = start;
            self.rates = self.pricer.rates(start, self.now);
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

/// The mean of two rates, of which the second has this share.
fn mixed(one: &Rates, other: &Rates, share: f64) -> Rates {
    let mean = |one: f64, other: f64| one + (other - one) * share;
    let both = |one: Option<f64>, other: Option<f64>| Some(mean(one?, other?));
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
