//! What the items of an answer come to: slots, and a count of what had to be left out.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::believable;
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::Answer;
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::units::UnixTime;

/// Takes in the items of one answer one by one, so that a bad one spoils nothing but itself.
#[derive(Debug)]
pub(super) struct Intake {
    signal: Signal,
    slots: Vec<Slot>,
    /// Items without a value: the source doesn't know it, or not yet.
    unknown: usize,
    /// Items that aren't what was agreed, or whose value isn't believable.
    unusable: usize,
}

impl Intake {
    /// For values of this kind.
    pub(super) const fn new(signal: Signal) -> Self {
        Self { signal, slots: Vec::new(), unknown: 0, unusable: 0 }
    }

    /// An item of this shape; one of another shape is counted as unusable.
    pub(super) fn item<T: DeserializeOwned>(&mut self, item: &Value) -> Option<T> {
        let item = T::deserialize(item).ok();
        if item.is_none() {
            self.unusable();
        }
        item
    }

    /// An item that can't be used.
    pub(super) const fn unusable(&mut self) {
        self.unusable += 1;
    }

    /// A slot in g/kWh, or one whose value the source doesn't know.
    pub(super) fn slot(&mut self, start: UnixTime, end: UnixTime, grams: Option<f64>, quality: SlotQuality) {
        match grams.map(|grams| believable(start, end, grams, quality, self.signal)) {
            None => self.unknown += 1,
            Some(None) => self.unusable += 1,
            Some(Some(slot)) => self.slots.push(slot),
        }
    }

    /// The slots, and a warning where something was wrong. Values that the source doesn't know yet aren't worth a
    /// warning of their own: some sources have them in every answer.
    ///
    /// # Errors
    /// There is no slot: [`FetchResult::Decode`] if that is due to unusable items, else [`FetchResult::Empty`].
    pub(super) fn finish(self, answer: &Answer) -> Result<(Series, Option<String>), FetchError> {
        let Self { slots, unknown, unusable, .. } = self;
        let all = slots.len() + unknown + unusable;
        if slots.is_empty() && unusable > 0 {
            return Err(answer.fault(FetchResult::Decode, &format!("none of {all} values can be used")));
        }
        if slots.is_empty() {
            return Err(answer.fault(FetchResult::Empty, &format!("no value among {all}")));
        }
        let warning = (unusable > 0).then(|| {
            format!("left out {unusable} of {all} values that can't be used, and {unknown} that aren't known")
        });
        Ok((Series::new(slots), warning))
    }
}

/// The figure in a field that may be null; what isn't a number is one that nobody believes.
pub(super) fn figure(value: &Value) -> Option<f64> {
    (!value.is_null()).then(|| value.as_f64().unwrap_or(f64::NAN))
}

/// The lengths of slots of which only the starts are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spacing {
    /// The length where nothing tells it.
    pub(super) typical: Duration,
    /// A longer time to the next start is a gap, not a slot.
    pub(super) longest: Duration,
}

impl Spacing {
    /// The end of each slot, in the order of `starts`, which may be any and may have repetitions. All are as long as
    /// the median of the times from one start to the next, but end where the next one starts.
    pub(super) fn ends(self, starts: &[UnixTime]) -> Vec<UnixTime> {
        let mut sorted = starts.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut lengths: Vec<Duration> = sorted
            .windows(2)
            .filter_map(|pair| Some(pair.get(1)?.since(*pair.first()?)))
            .filter(|length| *length <= self.longest)
            .collect();
        lengths.sort_unstable();
        let length = lengths.get(lengths.len().saturating_sub(1) / 2).copied().unwrap_or(self.typical);
        let end = |start: &UnixTime| {
            let next = sorted.get(sorted.partition_point(|other| other <= start));
            next.copied().unwrap_or(UnixTime::MAX).min(start.after(length))
        };
        starts.iter().map(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(starts: &[u64]) -> Vec<UnixTime> {
        starts.iter().map(|start| UnixTime::from_seconds(*start)).collect()
    }

    #[test]
    fn slots_are_as_long_as_most_and_end_where_the_next_one_starts() {
        let spacing = Spacing { typical: Duration::from_secs(15), longest: Duration::from_secs(30) };
        for (starts, ends) in [
            (vec![], vec![]),
            (vec![100], vec![115]),
            (vec![0, 10, 20, 30], vec![10, 20, 30, 40]),
            // One is missing at 20, and 200 is after a gap.
            (vec![0, 10, 30, 40, 200], vec![10, 20, 40, 50, 210]),
            (vec![0, 30, 60], vec![30, 60, 90]),
            // A stray one cuts only the one before it.
            (vec![0, 10, 11, 20, 30, 40], vec![10, 11, 20, 30, 40, 50]),
            (vec![0, 100], vec![15, 115]),
            (vec![20, 0, 10, 10], vec![30, 10, 20, 20]),
        ] {
            assert_eq!(spacing.ends(&seconds(&starts)), seconds(&ends), "{starts:?}");
        }
    }

    #[test]
    fn a_figure_is_a_number_or_not_known_or_nonsense() {
        let of = |json: &str| figure(&serde_json::from_str(json).unwrap());
        assert_eq!([of("21"), of("21.5"), of("-1"), of("null")], [Some(21.0), Some(21.5), Some(-1.0), None]);
        for text in ["\"21\"", "true", "[]", "{}"] {
            assert!(of(text).is_some_and(f64::is_nan), "{text}");
        }
    }
}
