//! What is ahead on the grid, worked out when it may have changed.

use std::sync::Arc;

use crate::carbon::forecast::{self, Outlook};
use crate::carbon::grid::GridSeries;
use crate::carbon::pricing::Pricer;
use crate::units::UnixTime;

const MILLIS_PER_MINUTE: u64 = 60_000;

/// The last outlook, and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    series: Option<Arc<GridSeries>>,
    minute: u64,
    outlook: Option<Arc<Outlook>>,
}

impl Ahead {
    /// The outlook from `now` on; at most a minute old.
    pub(super) fn look(&mut self, pricer: &Pricer, now: UnixTime) -> Option<Arc<Outlook>> {
        let series = pricer.ahead(now);
        let minute = now.as_millis() / MILLIS_PER_MINUTE;
        let is_same = match (&self.series, series) {
            (Some(known), Some(series)) => Arc::ptr_eq(known, series),
            (None, None) => true,
            _ => false,
        };
        if !is_same || minute != self.minute {
            self.series = series.cloned();
            self.minute = minute;
            self.outlook = series.and_then(|series| forecast::outlook(&series.slots, now)).map(Arc::new);
        }
        self.outlook.clone()
    }
}
