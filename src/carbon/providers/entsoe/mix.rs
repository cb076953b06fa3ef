//! From a mix of generation to its intensity.
//!
//! Intensity is the sum of power times factor over the sum of power, for each stretch of time in which no type's power
//! changes. Storage is in neither sum: what it gives back was generated, and counted, before; taken as clean it would
//! flatter the evenings, and the mix that it was charged with isn't known.
//!
//! Two things make a stretch unfit. A type that the zone reports elsewhere in the document and not here may be a coal
//! plant whose figures are late. And types without a factor ("Other", oil shale, peat) are taken to be like the rest
//! only while they are at most 5 % of the generation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::super::believable;
use super::SIGNAL;
use super::document::Output;
use crate::carbon::fuels::{Fuel, FuelKind, by_psr_type};
use crate::carbon::series::{Slot, SlotQuality};
use crate::units::{GramsPerKwh, UnixTime};

/// The most that may come from types without a factor, as a share of generation.
const MAX_OPEN_SHARE: f64 = 0.05;
/// More moments of change than a day of quarters has, tenfold; no right answer has more.
const MAX_BORDERS: usize = 1_000;

/// What became of a document's time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mix {
    /// The intensity where it is known.
    pub(super) slots: Vec<Slot>,
    /// Stretches in which a type is missing, and the types.
    incomplete: (usize, BTreeSet<String>),
    /// Stretches in which too much has no factor, and the types.
    open: (usize, BTreeSet<String>),
    /// The largest share without a factor in the stretches that are taken, and the types.
    tolerated: (f64, BTreeSet<String>),
    /// Stretches without any generation or with an intensity that isn't believable.
    unbelievable: usize,
    /// Whether there were more moments of change than were looked at.
    cut: bool,
}

/// One type over time: the power from each moment until another.
#[derive(Debug)]
struct Line {
    name: String,
    factor: Option<GramsPerKwh>,
    outputs: BTreeMap<UnixTime, (UnixTime, f64)>,
}

impl Line {
    fn new(psr_type: &str, fuel: Option<&Fuel>) -> Self {
        Self {
            name: fuel.map_or(psr_type, |fuel| fuel.name.as_str()).to_owned(),
            factor: fuel.and_then(|fuel| fuel.factor),
            outputs: BTreeMap::new(),
        }
    }

    /// The power at a moment. Where values overlap, the one that starts last holds.
    fn megawatts(&self, time: UnixTime) -> Option<f64> {
        let (_, (end, megawatts)) = self.outputs.range(..=time).next_back()?;
        (time < *end).then_some(*megawatts)
    }
}

/// The intensity of what was generated. `reported` are the types that a complete mix has.
pub(super) fn intensity(outputs: &[Output], reported: &BTreeSet<String>) -> Mix {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for psr_type in reported {
        let fuel = by_psr_type(psr_type);
        // A code that isn't in the table is a type that came later, without a factor yet.
        if fuel.as_ref().is_none_or(|fuel| fuel.kind == FuelKind::Fuel) {
            lines.insert(psr_type, Line::new(psr_type, fuel.as_ref()));
        }
    }
    let mut borders = BTreeSet::new();
    for output in outputs {
        if let Some(line) = lines.get_mut(output.psr_type.as_str()) {
            line.outputs.insert(output.time.start, (output.time.end, output.megawatts));
            borders.extend([output.time.start, output.time.end]);
        }
    }
    let borders: Vec<UnixTime> = borders.into_iter().collect();
    let mut mix = Mix { cut: borders.len() > MAX_BORDERS, ..Mix::default() };
    for pair in borders.windows(2).rev().take(MAX_BORDERS) {
        if let [start, end] = pair {
            mix.take(*start..*end, lines.values());
        }
    }
    mix
}

impl Mix {
    fn take<'a>(&mut self, time: Range<UnixTime>, lines: impl Iterator<Item = &'a Line>) {
        let (mut megawatts, mut weighted, mut open) = (0.0, 0.0, 0.0);
        let (mut missing, mut without_factor, mut known) = (BTreeSet::new(), BTreeSet::new(), false);
        for line in lines {
            match (line.megawatts(time.start), line.factor) {
                (None, _) => {
                    missing.insert(line.name.clone());
                    continue;
                }
                (Some(power), Some(factor)) => {
                    megawatts += power;
                    weighted += power * factor.0;
                }
                (Some(power), None) => {
                    open += power;
                    if power > 0.0 {
                        without_factor.insert(line.name.clone());
                    }
                }
            }
            known = true;
        }
        if !known {
            return;
        }
        let open_share = open / (megawatts + open);
        if !missing.is_empty() {
            self.incomplete.0 += 1;
            self.incomplete.1.extend(missing);
        } else if open_share > MAX_OPEN_SHARE {
            self.open.0 += 1;
            self.open.1.extend(without_factor);
        } else if let Some(slot) =
            believable(time.start, time.end, weighted / megawatts, SlotQuality::Estimated, SIGNAL)
        {
            self.slots.push(slot);
            self.tolerated.0 = self.tolerated.0.max(open_share);
            self.tolerated.1.extend(without_factor);
        } else {
            self.unbelievable += 1;
        }
    }

    /// What had to be left out, and how much of what is taken has no factor: one line each.
    pub(super) fn notes(&self) -> Vec<String> {
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let mut notes = Vec::new();
        if let (times @ 1.., types) = &self.incomplete {
            notes.push(format!("left out {times} times for which there is no value yet of {}", list(types)));
        }
        if let (times @ 1.., types) = &self.open {
            let most = MAX_OPEN_SHARE * 100.0;
            let types = list(types);
            notes.push(format!(
                "left out {times} times with more than {most} % from types without a factor: {types}"
            ));
        }
        if self.unbelievable > 0 {
            notes.push(format!("left out {} times without believable generation", self.unbelievable));
        }
        if self.tolerated.0 > 0.0 {
            let (share, types) = (self.tolerated.0 * 100.0, list(&self.tolerated.1));
            notes.push(format!(
                "up to {share:.1} % is from types without a factor, taken to be like the rest: {types}"
            ));
        }
        if self.cut {
            notes.push(format!("only the last {MAX_BORDERS} changes are looked at"));
        }
        notes
    }
}

#[cfg(test)]
mod tests;
