//! What a kilowatt-hour of IT energy costs in grams and litres, at any moment and over any interval.
//!
//! For each moment, in this order: what the preferred source measured, estimated or forecast for it; the last that it said,
//! if that isn't too old; the same of the next source; the embedded or configured figure. All of them count the same
//! emissions (life cycle or direct), so a counter never mixes two kinds. An interval that spans a border is split there, as
//! if its energy had flown evenly.

use std::sync::Arc;
use std::time::Duration;

use crate::carbon::factors::{Factors, GridFactor};
use crate::carbon::grid::{GridSeries, GridState, Signal};
use crate::carbon::market::Market;
use crate::carbon::series::Slot;
use crate::config::Basis;
use crate::units::{GramsPerKwh, LitresPerKwh, Pue, UnixTime};

/// No interval is split into more pieces than this; the rest is priced as its last moment.
const MAX_PIECES: usize = 10_000;

/// An overhead that can't be read any more holds for this long; it changes with the weather.
const PUE_HOLDS: Duration = Duration::from_secs(24 * 3_600);

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What one kilowatt-hour of IT energy in an interval causes; the facility's overhead is in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Location-based emissions.
    pub location: GramsPerKwh,
    /// Market-based emissions; absent where nothing is known of contracts.
    pub market: Option<GramsPerKwh>,
    /// Water that the site uses; absent where that isn't known.
    pub water: Option<LitresPerKwh>,
}

/// Prices energy.
#[derive(Clone, Debug)]
pub struct Pricer {
    /// What holds where no live source knows.
    fallback: Factors,
    /// What the counters count; none for a configured constant that doesn't say, beside which there are no sources.
    basis: Option<Basis>,
    max_age: Duration,
    market: Market,
    wue: Option<LitresPerKwh>,
    state: Arc<GridState>,
}

impl Pricer {
    /// A pricer that knows no live figures yet.
    pub fn new(
        fallback: Factors,
        basis: Option<Basis>,
        max_age: Duration,
        market: Market,
        wue: Option<LitresPerKwh>,
    ) -> Self {
        Self { fallback, basis, max_age, market, wue, state: Arc::default() }
    }

    /// Takes in what was fetched since. It counts for energy that is priced from now on.
    pub fn take(&mut self, state: Arc<GridState>) {
        if let Some(windows) = &state.windows {
            self.market.replace_windows(Arc::clone(windows));
        }
        self.state = state;
    }

    /// What was taken in last.
    pub fn state(&self) -> &Arc<GridState> {
        &self.state
    }

    /// What holds where no live source knows.
    pub fn fallback(&self) -> &Factors {
        &self.fallback
    }

    /// The contracts.
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// The site's use of water.
    pub fn wue(&self) -> Option<LitresPerKwh> {
        self.wue
    }

    /// The grid's factor at a moment.
    pub fn factor_at(&self, time: UnixTime) -> GridFactor {
        match self.live(time) {
            Some((series, slot, quality)) => GridFactor {
                zone: Arc::clone(&series.zone),
                provider: Arc::clone(&series.provider),
                basis: series.signal.basis().map_or("", Basis::as_str),
                quality,
                intensity: slot.intensity,
            },
            None => self.fallback.grid.clone(),
        }
    }

    /// How long ago the source of the factor at a moment was last heard; absent for a figure that isn't live.
    pub fn age_at(&self, time: UnixTime) -> Option<Duration> {
        self.live(time).map(|(series, _, _)| time.since(series.fetched_at))
    }

    /// The facility's overhead at a moment.
    pub fn pue_at(&self, time: UnixTime) -> Pue {
        self.pue_read_at(time).unwrap_or(self.fallback.pue)
    }

    /// The overhead that was read, unless that was too long ago.
    fn pue_read_at(&self, time: UnixTime) -> Option<Pue> {
        self.state.pue_read.filter(|read| time < read.after(PUE_HOLDS))?;
        self.state.pue.iter().rev().find(|step| step.from <= time).map(|step| step.value)
    }

    /// Whether that is the operator's word, or else 1 for want of any.
    pub fn is_pue_configured(&self, time: UnixTime) -> bool {
        self.fallback.pue_configured || self.pue_read_at(time).is_some()
    }

    /// The market-based factor at a moment, without the facility's overhead; absent where nothing is known of contracts.
    pub fn market_at(&self, time: UnixTime) -> Option<GramsPerKwh> {
        self.market.factor_at(time, self.factor_at(time).intensity)
    }

    /// What energy that flew evenly from `start` to `end` costs. An interval without length costs what its moment does.
    pub fn rates(&self, start: UnixTime, end: UnixTime) -> Rates {
        let mut at = start.min(end);
        let (mut location, mut market, mut seconds) = (0.0, None::<f64>, 0.0);
        for piece in 1..=MAX_PIECES {
            let next = self.next_border(at).filter(|_| piece < MAX_PIECES).unwrap_or(end).min(end);
            let pue = self.pue_at(at).0;
            let length = next.since(at).as_secs_f64();
            let factor = self.factor_at(at).intensity;
            if next >= end && seconds == 0.0 {
                // All of it has one price.
                let market = self.market.factor_at(at, factor).map(|factor| GramsPerKwh(factor.0 * pue));
                return Rates { location: GramsPerKwh(factor.0 * pue), market, water: self.wue };
            }
            location += factor.0 * pue * length;
            if let Some(factor) = self.market.factor_at(at, factor) {
                market = Some(market.unwrap_or_default() + factor.0 * pue * length);
            }
            seconds += length;
            if next >= end {
                break;
            }
            at = next;
        }
        Rates {
            location: GramsPerKwh(location / seconds),
            market: market.map(|sum| GramsPerKwh(sum / seconds)),
            water: self.wue,
        }
    }

    /// What tells of the time after a moment: of the series that the counters may be made of, the preferred one that knows
    /// a day ahead without a gap, else the one that knows most.
    pub fn ahead(&self, time: UnixTime) -> Option<&Arc<GridSeries>> {
        let known = |series: &Arc<GridSeries>| {
            series.slots.reaches(time).map_or(Duration::ZERO, |end| end.since(time))
        };
        let preferred = self.candidates().find(|series| known(series) >= DAY);
        let most = || self.candidates().max_by_key(|series| known(series));
        preferred
            .or_else(most)
            .filter(|series| series.slots.slots().last().is_some_and(|slot| slot.start > time))
    }

    /// What live sources say of a moment: the first that knows.
    fn live(&self, time: UnixTime) -> Option<(&GridSeries, &Slot, &'static str)> {
        self.candidates().find_map(|series| {
            let series = &**series;
            if let Some(slot) = series.slots.at(time) {
                return Some((series, slot, slot.quality.as_str()));
            }
            let last = series.slots.last_before(time)?;
            (time < last.end.after(self.max_age)).then_some((series, last, "stale"))
        })
    }

    /// The series that the counters may be made of, the preferred one first.
    fn candidates(&self) -> impl Iterator<Item = &Arc<GridSeries>> {
        let signal = self.basis.map(Signal::average);
        self.state.series().filter(move |series| Some(series.signal) == signal)
    }

    /// The next moment after `time` at which any price may change.
    fn next_border(&self, time: UnixTime) -> Option<UnixTime> {
        let of_series = self.candidates().flat_map(|series| {
            let stale = series.slots.last_before(time).map(|slot| slot.end.after(self.max_age));
            [series.slots.next_border(time), stale]
        });
        let of_pue = self.state.pue.iter().map(|step| Some(step.from));
        let of_pue = of_pue.chain([self.state.pue_read.map(|read| read.after(PUE_HOLDS))]);
        let borders = of_series.chain(of_pue).chain([self.market.next_border(time)]);
        borders.flatten().filter(|border| *border > time).min()
    }
}

#[cfg(test)]
mod tests;
