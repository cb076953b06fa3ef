//! Market-based factors (GHG Protocol Scope 2 Guidance, 2015, chapter 6): what contracts and certificates say of the
//! electricity, instead of where it was used.

use std::sync::Arc;

use crate::units::{GramsPerKwh, UnixTime};

/// What is covered by contracts, all the time or in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cover {
    /// The share of the electricity that is covered, 0 to 1.
    pub share: f64,
    /// The intensity of the covered part; 0 for certified renewable energy.
    pub intensity: GramsPerKwh,
}

/// A stretch of time with a cover of its own, for hourly matching: from `start` up to, but without, `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Its first moment.
    pub start: UnixTime,
    /// The first moment after it.
    pub end: UnixTime,
    /// What is covered in it.
    pub cover: Cover,
}

/// The contracts of a node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Market {
    /// What is covered where no window says otherwise; none where nothing is known of contracts. With windows, what no
    /// window covers isn't covered.
    cover: Option<Cover>,
    /// Sorted, and no two overlap.
    windows: Option<Arc<[Window]>>,
    /// The residual mix: the intensity of what isn't covered; otherwise the grid's own.
    residual: Option<GramsPerKwh>,
}

impl Market {
    /// Contracts that cover the same share at all times.
    pub fn constant(cover: Cover, residual: Option<GramsPerKwh>) -> Self {
        Self { cover: Some(cover), windows: None, residual }
    }

    /// Contracts that are matched window by window; `windows` are sorted and don't overlap.
    pub fn matched(windows: impl Into<Arc<[Window]>>, residual: Option<GramsPerKwh>) -> Self {
        Self { cover: None, windows: Some(windows.into()), residual }
    }

    /// The residual mix, where it is known.
    pub fn residual(&self) -> Option<GramsPerKwh> {
        self.residual
    }

    /// The factor at a moment, given the grid's own; absent where nothing is known of contracts.
    pub fn factor_at(&self, time: UnixTime, location: GramsPerKwh) -> Option<GramsPerKwh> {
        let cover = match &self.windows {
            Some(windows) => {
                let window = windows.iter().find(|window| window.start <= time && time < window.end);
                window.map(|window| window.cover).unwrap_or_default()
            }
            None => self.cover?,
        };
        let residual = self.residual.unwrap_or(location);
        Some(GramsPerKwh(cover.share * cover.intensity.0 + (1.0 - cover.share) * residual.0))
    }

    /// The next moment after `time` at which a window begins or ends.
    pub fn next_border(&self, time: UnixTime) -> Option<UnixTime> {
        let borders = self
            .windows
            .iter()
            .flat_map(|windows| windows.iter())
            .flat_map(|window| [window.start, window.end]);
        borders.filter(|border| *border > time).min()
    }
}
