//! What is ahead, and when work would cost the least.
//!
//! A window's mean is the time-weighted mean of the slots under it. A window may begin now or where a slot begins; one
//! over a moment that isn't known is none at all, since it could look better than it is. This is the definition of the
//! Green Software Foundation's carbon-aware-sdk, whose windows have the same ends and means.

use std::time::Duration;

use serde::Serialize;

use crate::carbon::series::{Series, Slot};
use crate::units::{GramsPerKwh, UnixTime};

/// The lengths of the windows that an outlook has, in hours.
pub const WINDOW_HOURS: [u32; 5] = [1, 2, 4, 8, 24];

/// How far an outlook goes, in hours.
pub const MAX_HOURS_AHEAD: u32 = 72;

/// Means that differ by less than this, in g/kWh, are the same: floating-point sums of equal slots may differ by it.
const SAME: f64 = 1e-9;

/// A stretch of time of a length that is agreed elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    /// Its first moment.
    #[serde(rename = "start_unix_ms")]
    pub start: UnixTime,
    /// The mean intensity in it.
    #[serde(rename = "mean_grams_per_kwh")]
    pub mean: GramsPerKwh,
}

/// The best window of so many hours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestWindow {
    /// Its length in hours.
    pub hours: u32,
    /// Its first moment.
    #[serde(rename = "start_unix_ms")]
    pub start: UnixTime,
    /// The mean intensity in it.
    #[serde(rename = "mean_grams_per_kwh")]
    pub mean: GramsPerKwh,
    /// The mean intensity in as many hours from now on; absent where that isn't known.
    #[serde(rename = "starting_now_grams_per_kwh")]
    pub starting_now: Option<GramsPerKwh>,
}

/// What a series says of the time from now on.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outlook {
    /// Hours from now, 0 to [`MAX_HOURS_AHEAD`], each with the intensity at that moment. An hour that isn't known is absent.
    #[serde(rename = "hourly_grams_per_kwh")]
    pub hourly: Vec<(u32, GramsPerKwh)>,
    /// The earliest of the best windows of each length of [`WINDOW_HOURS`]. Absent where the forecast has no stretch as long
    /// as that without a gap.
    pub windows: Vec<BestWindow>,
}

/// The outlook from `now` on; none where nothing is known of any later moment.
///
/// The cost grows with the number of slots times those in a day: about a million steps for four days of 5-minute slots, so
/// ask when the series changed or an hour went by, not with every tick.
pub fn outlook(series: &Series, now: UnixTime) -> Option<Outlook> {
    let end = series.slots().last().map(|slot| slot.end).filter(|end| *end > now)?;
    let ahead = |hour: u32| Some((hour, series.at(now.after(hours(hour)))?.intensity));
    let best = |length: u32| {
        let all = windows(series, now, end, hours(length));
        let at_once = all.first().filter(|window| window.start == now);
        let starting_now = at_once.map(|window| window.mean);
        let window = least(all).into_iter().next()?;
        Some(BestWindow { hours: length, start: window.start, mean: window.mean, starting_now })
    };
    Some(Outlook {
        hourly: (0..=MAX_HOURS_AHEAD).filter_map(ahead).collect(),
        windows: WINDOW_HOURS.into_iter().filter_map(best).collect(),
    })
}

/// All windows of this length between two moments whose mean is the least, the earliest first; empty where there is no window.
pub fn best_windows(series: &Series, from: UnixTime, to: UnixTime, length: Duration) -> Vec<Window> {
    least(windows(series, from, to, length))
}

/// Those whose mean is the least.
fn least(mut windows: Vec<Window>) -> Vec<Window> {
    let least = windows.iter().map(|window| window.mean.0).min_by(f64::total_cmp);
    windows.retain(|window| least.is_some_and(|least| window.mean.0 - least <= SAME));
    windows
}

/// All windows of this length between two moments, the earliest first: one at each slot's start, of which the first is
/// `from` where a slot has begun by then, as long as it ends by `to` and has no gap. Without a length it is a single moment.
pub fn windows(series: &Series, from: UnixTime, to: UnixTime, length: Duration) -> Vec<Window> {
    let clip = |slot: &Slot| Slot { start: slot.start.max(from), end: slot.end.min(to), ..*slot };
    let slots: Vec<Slot> = series.slots().iter().map(clip).filter(|slot| slot.start < slot.end).collect();
    let window = |first: usize| {
        let slots = slots.get(first..)?;
        Some(Window { start: slots.first()?.start, mean: mean(slots, length)? })
    };
    (0..slots.len()).filter_map(window).collect()
}

/// The mean from the first slot's start on; none where the slots have a gap or end too early.
fn mean(slots: &[Slot], length: Duration) -> Option<GramsPerKwh> {
    let first = slots.first()?;
    let end = first.start.after(length);
    if end == first.start {
        return Some(first.intensity);
    }
    let (mut at, mut sum) = (first.start, 0.0);
    for slot in slots {
        if slot.start > at {
            return None;
        }
        let until = slot.end.min(end);
        sum += slot.intensity.0 * until.since(at).as_secs_f64();
        at = until;
        if at == end {
            return Some(GramsPerKwh(sum / end.since(first.start).as_secs_f64()));
        }
    }
    None
}

fn hours(count: u32) -> Duration {
    Duration::from_secs(3_600 * u64::from(count))
}

#[cfg(test)]
mod tests;
