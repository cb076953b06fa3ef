//! What one source says about one grid over time: half-open slots with a value and its quality.
//!
//! Slots never overlap and nothing is interpolated: a moment that no slot covers is not known.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{GramsPerKwh, UnixTime};

/// More slots than any source has reason to give: 12 days of 5 minutes.
pub(super) const MAX_SLOTS: usize = 3_456;

/// What ended longer ago than this is of no use to anybody.
pub const KEPT: Duration = Duration::from_secs(48 * 3_600);

/// How a slot's value came about; better ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotQuality {
    /// Said before the slot's time.
    Forecast,
    /// Made from other data than the grid's own of that time; the source may revise it.
    Estimated,
    /// From the grid's own figures of that time.
    Measured,
}

impl SlotQuality {
    /// The value of the `quality` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forecast => "forecast",
            Self::Estimated => "estimated",
            Self::Measured => "measured",
        }
    }
}

/// One value from `start` up to, but without, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Its first moment.
    #[serde(rename = "start_unix_ms")]
    pub start: UnixTime,
    /// The first moment after it.
    #[serde(rename = "end_unix_ms")]
    pub end: UnixTime,
    /// The intensity in it.
    #[serde(rename = "grams_per_kwh")]
    pub intensity: GramsPerKwh,
    /// How that is known.
    pub quality: SlotQuality,
}

impl Slot {
    /// Its length.
    pub const fn length(&self) -> Duration {
        self.end.since(self.start)
    }

    fn covers(&self, time: UnixTime) -> bool {
        self.start <= time && time < self.end
    }
}

/// Slots in the order of time; no two overlap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Series {
    slots: Vec<Slot>,
}

impl Series {
    /// The slots of one answer, in any order, with repetitions and overlaps.
    pub fn new(slots: impl IntoIterator<Item = Slot>) -> Self {
        let mut series = Self::default();
        series.insert(slots);
        series
    }

    /// Takes in what a later answer says. For any moment the better quality stays; of the same quality the later
    /// answer wins, and within one answer the shorter slot, then the one that comes last.
    pub fn insert(&mut self, slots: impl IntoIterator<Item = Slot>) {
        let mut slots: Vec<Slot> = slots.into_iter().filter(|slot| slot.start < slot.end).collect();
        slots.sort_by_key(|slot| (slot.quality, std::cmp::Reverse(slot.length())));
        for slot in slots {
            self.insert_one(slot);
        }
    }

    fn insert_one(&mut self, new: Slot) {
        let first = self.first_ending_after(new.start);
        let overlapping = self.slots.iter().skip(first).take_while(|old| old.start < new.end);
        let (mut pieces, mut rest, mut tail, mut count) = (Vec::new(), new, None, 0);
        for old in overlapping {
            count += 1;
            if old.quality > new.quality {
                pieces.extend([Slot { end: old.start, ..rest }, *old]);
                rest.start = old.end;
            } else {
                // Only the first one begins before the new slot, and only the last one ends after it.
                pieces.push(Slot { end: new.start, ..*old });
                tail = Some(Slot { start: new.end, ..*old });
            }
        }
        pieces.push(rest);
        pieces.extend(tail);
        // What isn't there at all is empty or turned around.
        pieces.retain(|piece| piece.start < piece.end);
        drop(self.slots.splice(first..first + count, pieces));
    }

    /// Takes in what an earlier answer says, which comes late: it counts where it is of better quality, or where nothing
    /// is known.
    pub(super) fn insert_earlier(&mut self, mut slots: Self) {
        slots.insert(self.slots.drain(..));
        *self = slots;
    }

    /// Forgets what is long past, and what is more than a series may hold: the past first, then the far future. What has
    /// passed with the same value and quality becomes one slot.
    pub(super) fn prune(&mut self, now: UnixTime) {
        let from = now.before(KEPT);
        self.slots.retain(|slot| slot.end > from);
        if let Some(first) = self.slots.first_mut() {
            first.start = first.start.max(from);
        }
        self.slots.dedup_by(|later, earlier| {
            let joins = later.end <= now
                && (earlier.end, earlier.quality, earlier.intensity)
                    == (later.start, later.quality, later.intensity);
            if joins {
                earlier.end = later.end;
            }
            joins
        });
        let excess = self.slots.len().saturating_sub(MAX_SLOTS);
        self.slots.drain(..excess.min(self.first_ending_after(now)));
        self.slots.truncate(MAX_SLOTS);
    }

    /// The slots.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot that covers a moment.
    pub fn at(&self, time: UnixTime) -> Option<&Slot> {
        self.slots.get(self.first_ending_after(time)).filter(|slot| slot.covers(time))
    }

    /// The last slot that had ended by then.
    pub(super) fn last_before(&self, time: UnixTime) -> Option<&Slot> {
        self.slots.get(self.first_ending_after(time).checked_sub(1)?)
    }

    /// The next moment after `time` at which a slot begins or ends.
    pub(super) fn next_border(&self, time: UnixTime) -> Option<UnixTime> {
        let slot = self.slots.get(self.first_ending_after(time))?;
        Some(if slot.start > time { slot.start } else { slot.end })
    }

    /// The end of what is known without a gap from a moment on; none where that moment isn't known.
    pub fn reaches(&self, time: UnixTime) -> Option<UnixTime> {
        let first = self.at(time)?;
        let rest = self.slots.iter().skip(self.first_ending_after(time) + 1);
        Some(rest.fold(first.end, |end, slot| if slot.start == end { slot.end } else { end }))
    }

    fn first_ending_after(&self, time: UnixTime) -> usize {
        self.slots.partition_point(|slot| slot.end <= time)
    }
}

#[cfg(test)]
mod tests;
