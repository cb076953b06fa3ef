//! Market-based factors (GHG Protocol Scope 2 Guidance, 2015, chapter 6): what contracts and certificates say of the
//! electricity, instead of where it was used.

mod windows;

use std::sync::Arc;

pub use windows::{WindowsError, WindowsFile};

use crate::config;
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

/// Settings of the market-based factor that can't be used; names the key and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MarketError {
    /// Two ways to say what is covered.
    #[error(
        "market.{0}: not beside market.windows_file, which says for each window what is covered (outside of them nothing \
         is): put it into the file's column {0}, or remove one of the two"
    )]
    BesideWindows(&'static str),
    /// Nothing says what is covered.
    #[error(
        "market.residual: is for what contracts don't cover, but nothing says what they do: give market.share, \
         market.intensity or market.windows_file, too (market.share = 0 for no contracts at all)"
    )]
    NothingCovered,
    /// The file of windows can't be used.
    #[error("market.windows_file: {0}")]
    Windows(#[from] WindowsError),
}

impl MarketError {
    /// The key of the configuration that it is about.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::BesideWindows(_) | Self::Windows(_) => "market.windows_file",
            Self::NothingCovered => "market.residual",
        }
    }
}

impl Market {
    /// The contracts that are configured; those of a file as it is now.
    ///
    /// # Errors
    /// The file of windows can't be used, or there is something beside it that says what is covered.
    pub fn from_settings(settings: &config::Market) -> Result<Self, MarketError> {
        let residual = settings.residual.map(GramsPerKwh);
        let intensity = settings.intensity.map(GramsPerKwh);
        match (&settings.windows_file, settings.share, intensity) {
            (Some(_), Some(_), _) => Err(MarketError::BesideWindows("share")),
            (Some(_), None, Some(_)) => Err(MarketError::BesideWindows("intensity")),
            (Some(path), None, None) => {
                let windows = WindowsFile::new(path).read()?.unwrap_or_default();
                Ok(Self::matched(windows, residual))
            }
            (None, None, None) if residual.is_some() => Err(MarketError::NothingCovered),
            (None, None, None) => Ok(Self::default()),
            (None, share, intensity) => {
                let cover = Cover { share: share.unwrap_or(1.0), intensity: intensity.unwrap_or_default() };
                Ok(Self::constant(cover, residual))
            }
        }
    }

    /// Contracts that cover the same share at all times.
    pub fn constant(cover: Cover, residual: Option<GramsPerKwh>) -> Self {
        Self { cover: Some(cover), windows: None, residual }
    }

    /// Contracts that are matched window by window; `windows` are sorted and don't overlap.
    pub fn matched(windows: impl Into<Arc<[Window]>>, residual: Option<GramsPerKwh>) -> Self {
        Self { cover: None, windows: Some(windows.into()), residual }
    }

    /// Takes other windows in place of those there were. They are sorted and don't overlap.
    pub fn replace_windows(&mut self, windows: Arc<[Window]>) {
        self.windows = Some(windows);
    }

    /// The residual mix, where it is known.
    pub fn residual(&self) -> Option<GramsPerKwh> {
        self.residual
    }

    /// The factor at a moment, given the grid's own; absent where nothing is known of contracts.
    pub fn factor_at(&self, time: UnixTime, location: GramsPerKwh) -> Option<GramsPerKwh> {
        let cover = match &self.windows {
            Some(windows) => {
                let window = first_ending_after(windows, time).filter(|window| window.start <= time);
                window.map(|window| window.cover).unwrap_or_default()
            }
            None => self.cover?,
        };
        let residual = self.residual.unwrap_or(location);
        Some(GramsPerKwh(cover.share * cover.intensity.0 + (1.0 - cover.share) * residual.0))
    }

    /// The next moment after `time` at which a window begins or ends.
    pub fn next_border(&self, time: UnixTime) -> Option<UnixTime> {
        let window = first_ending_after(self.windows.as_deref()?, time)?;
        Some(if window.start > time { window.start } else { window.end })
    }
}

/// The first window that ends after a moment. Each tick looks it up, and a year of hours is 8,760 windows.
fn first_ending_after(windows: &[Window], time: UnixTime) -> Option<&Window> {
    windows.get(windows.partition_point(|window| window.end <= time))
}

#[cfg(test)]
mod tests;
