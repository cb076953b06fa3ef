//! What the items of an answer come to: slots that are believed, and one line on what had to be left out.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{LONGEST_SLOT, believable};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::brief;
use crate::carbon::series::{KEPT, MAX_SLOTS, Series, Slot, SlotQuality};
use crate::units::UnixTime;

/// Nobody forecasts further than this: such times are in another unit.
const AHEAD: Duration = Duration::from_secs(366 * 86_400);

/// Takes in the items of one answer one by one, so that a bad one spoils nothing but itself.
#[derive(Debug)]
pub(super) struct Intake {
    signal: Signal,
    now: UnixTime,
    slots: Vec<Slot>,
    /// Items without a value: the source doesn't know it, or not yet.
    unknown: usize,
    /// Items that aren't what was agreed, or whose value isn't believable.
    unusable: usize,
    /// What is wrong with the first of those.
    problem: Option<String>,
}

impl Intake {
    /// For values of this kind, at this moment.
    pub(super) const fn new(signal: Signal, now: UnixTime) -> Self {
        Self { signal, now, slots: Vec::new(), unknown: 0, unusable: 0, problem: None }
    }

    /// An item of this shape; one of another shape is counted as unusable.
    pub(super) fn item<T: DeserializeOwned>(&mut self, item: &Value) -> Option<T> {
        T::deserialize(item).map_err(|error| self.unusable(&error.to_string())).ok()
    }

    /// The moment that the text of an item names, if it is one of RFC 3339 with its offset.
    pub(super) fn time(&mut self, text: &str) -> Option<UnixTime> {
        let time = super::time(text);
        if time.is_none() {
            self.unusable(&format!("{text:?} isn't a time with an offset"));
        }
        time
    }

    /// An item whose value the source doesn't know.
    pub(super) const fn unknown(&mut self) {
        self.unknown += 1;
    }

    /// An item that can't be used, and why.
    pub(super) fn unusable(&mut self, problem: &str) {
        self.unusable += 1;
        self.problem.get_or_insert_with(|| brief(problem));
    }

    /// A slot in g/kWh, or one whose value the source doesn't know.
    pub(super) fn slot(&mut self, start: UnixTime, end: UnixTime, grams: Option<f64>, quality: SlotQuality) {
        match grams.map(|grams| (grams, believable(start, end, grams, quality, self.signal))) {
            None => self.unknown(),
            Some(_) if start > self.now.after(AHEAD) => {
                self.unusable("it begins more than a year from now: is its time in another unit?");
            }
            Some((_, Some(slot))) => self.slots.push(slot),
            Some(_) if end <= start => self.unusable("it ends before it starts"),
            Some(_) if end.since(start) > LONGEST_SLOT => self.unusable("it holds for longer than 31 days"),
            Some((grams, None)) => self.unusable(&format!("{grams} g/kWh isn't believable")),
        }
    }

    /// The same for a whole country that is never without emissions: 0 stands for a value that isn't there.
    pub(super) fn positive_slot(
        &mut self,
        start: UnixTime,
        end: UnixTime,
        grams: Option<f64>,
        quality: SlotQuality,
    ) {
        match grams {
            Some(0.0) => self.unusable("0 g/kWh isn't possible there"),
            grams => self.slot(start, end, grams, quality),
        }
    }

    /// The same as `slot`, where a value of the future is a forecast, whatever it is said to be.
    pub(super) fn slot_by_now(
        &mut self,
        start: UnixTime,
        end: UnixTime,
        grams: Option<f64>,
        said: SlotQuality,
    ) {
        let quality = if start > self.now { SlotQuality::Forecast } else { said };
        self.slot(start, end, grams, quality);
    }

    /// The slots that are of use now, and a warning where something was wrong. Values that the source doesn't know yet
    /// aren't worth one: some sources have them in every answer.
    ///
    /// # Errors
    /// There is no slot: [`FetchResult::Decode`] if that is due to unusable items, else [`FetchResult::Empty`].
    pub(super) fn finish(self) -> Result<(Series, Option<String>), FetchError> {
        let Self { now, mut slots, unknown, unusable, problem, .. } = self;
        let all = slots.len() + unknown + unusable;
        let problem = problem.unwrap_or_default();
        if slots.is_empty() {
            let (result, text) = match (unusable, unknown) {
                (0, 0) => (FetchResult::Empty, "has no values".to_owned()),
                (0, _) => (FetchResult::Empty, format!("all {all} values are null")),
                _ => (FetchResult::Decode, format!("none of {all} values can be used: {problem}")),
            };
            return Err(FetchError::new(result, text));
        }
        slots.retain(|slot| slot.end > now.before(KEPT));
        if slots.is_empty() {
            return Err(FetchError::new(FetchResult::Empty, "all values are more than two days old"));
        }
        if slots.len() > MAX_SLOTS {
            // The past goes first, then the far future.
            slots.sort_by_key(|slot| slot.start);
            let past = slots.iter().take_while(|slot| slot.end <= now).count();
            slots.drain(..past.min(slots.len() - MAX_SLOTS));
            slots.truncate(MAX_SLOTS);
        }
        let warning = (unusable > 0).then(|| format!("{unusable} of {all} values are left out: {problem}"));
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

    /// 2027-01-15T08:00:00Z.
    const NOW: u64 = 1_800_000_000;

    fn intake() -> Intake {
        Intake::new(Signal::AverageLifecycle, UnixTime::from_seconds(NOW))
    }

    #[test]
    fn what_is_left_out_is_told_in_one_line() {
        let finish = |values: &[(u64, Option<f64>)]| {
            let mut intake = intake();
            for (start, grams) in values {
                let start = UnixTime::from_seconds(*start);
                intake.slot(start, start.after(Duration::from_secs(300)), *grams, SlotQuality::Measured);
            }
            let finished = intake.finish().map(|(slots, warning)| (slots.slots().len(), warning));
            finished.map_err(|error| (error.result, error.text))
        };
        let (good, null, bad, zero) = ((NOW, Some(50.0)), (NOW, None), (NOW, Some(-1.0)), (NOW, Some(0.0)));
        assert_eq!(finish(&[good]), Ok((1, None)));
        assert_eq!(finish(&[good, null]), Ok((1, None)), "not to know yet is no fault");
        let left_out = "1 of 2 values are left out: -1 g/kWh isn't believable";
        assert_eq!(finish(&[good, bad]), Ok((1, Some(left_out.to_owned()))));
        let first = "2 of 4 values are left out: -1 g/kWh isn't believable";
        assert_eq!(finish(&[bad, good, null, zero]), Ok((1, Some(first.to_owned()))));
        assert_eq!(finish(&[]), Err((FetchResult::Empty, "has no values".to_owned())));
        assert_eq!(finish(&[null]), Err((FetchResult::Empty, "all 1 values are null".to_owned())));
        assert_eq!(finish(&[null, bad]).unwrap_err().0, FetchResult::Decode);
        let old = "all values are more than two days old".to_owned();
        assert_eq!(finish(&[(NOW - 48 * 3600 - 300, Some(50.0))]), Err((FetchResult::Empty, old)));
        assert_eq!(finish(&[(NOW - 48 * 3600 - 299, Some(50.0))]), Ok((1, None)));
        let year: Vec<_> = (0..105_120).rev().map(|n| (NOW + 300 * n, Some(50.0))).collect();
        assert_eq!(finish(&year), Ok((MAX_SLOTS, None)));
        let mut intake = intake();
        for second in NOW - 10_000..NOW + 100 {
            let start = UnixTime::from_seconds(second);
            intake.slot(start, start.after(Duration::from_secs(1)), Some(50.0), SlotQuality::Measured);
        }
        let slots = intake.finish().unwrap().0;
        assert!(slots.at(UnixTime::from_seconds(NOW)).is_some() && slots.slots().len() == MAX_SLOTS);
    }

    #[test]
    fn a_value_of_the_future_is_a_forecast() {
        for (start, quality) in [(NOW, SlotQuality::Measured), (NOW + 1, SlotQuality::Forecast)] {
            let (mut intake, start) = (intake(), UnixTime::from_seconds(start));
            let end = start.after(Duration::from_secs(1));
            intake.slot_by_now(start, end, Some(50.0), SlotQuality::Measured);
            assert_eq!(intake.finish().unwrap().0.slots()[0].quality, quality);
        }
    }

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
