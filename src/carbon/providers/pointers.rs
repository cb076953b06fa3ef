//! Values in any JSON, found by JSON pointers (RFC 6901).

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::intake::Intake;
use super::{SourceError, time};
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::brief;
use crate::carbon::series::{Series, SlotQuality};
use crate::config::{IntensityUnit, Source};
use crate::units::{UnixTime, floor_to_u64};

/// The keys of an entry that say where values are.
pub(super) const KEYS: [&str; 7] = ["items", "value", "start", "end", "estimated", "step", "unit"];
/// A number of time above this is in milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973.
const MILLIS_FROM: f64 = 1e11;

/// Where the values are, and what they mean.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    items: Option<String>,
    value: String,
    span: Span,
    estimated: Option<String>,
    /// Where the name of the value's quality is; otherwise it is measured, or estimated by that flag.
    quality: Option<String>,
    unit: IntensityUnit,
    signal: Signal,
}

/// How long a value holds.
#[derive(Clone, Debug)]
enum Span {
    /// From a moment that the caller knows, for this long.
    Given(Duration),
    /// As the item says.
    Told { start: String, end: Option<String>, step: Option<Duration> },
}

/// What an item says.
struct Item {
    start: UnixTime,
    end: UnixTime,
    grams: f64,
    quality: SlotQuality,
}

impl Layout {
    /// The layout that an entry describes. Without `start`, the value holds for `step`, else for `default_step`.
    ///
    /// # Errors
    /// A pointer is missing or isn't one, or they don't fit together.
    pub(super) fn new(source: &Source, signal: Signal, default_step: Duration) -> Result<Self, SourceError> {
        let pointers = [
            ("items", &source.items),
            ("value", &source.value),
            ("start", &source.start),
            ("end", &source.end),
            ("estimated", &source.estimated),
        ];
        for (key, pointer) in pointers {
            if pointer.as_ref().is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                let problem = "must be a JSON pointer (RFC 6901), such as /intensity/actual";
                return Err(SourceError::new(key, problem));
            }
        }
        let Some(value) = source.value.clone() else {
            return Err(SourceError::new(
                "value",
                "must be the JSON pointer to the value, such as /intensity",
            ));
        };
        let span = match (&source.start, &source.end, source.step) {
            (None, None, _) if source.items.is_some() => {
                let problem = "must be there beside items, since not all of them can hold at once; for the first \
                               item alone, leave items out and let value begin with /0";
                return Err(SourceError::new("start", problem));
            }
            (None, None, step) => Span::Given(step.unwrap_or(default_step)),
            (None, Some(_), _) => return Err(SourceError::new("start", "must be there beside end")),
            (Some(_), None, None) => {
                return Err(SourceError::new("step", "must be there, or end: how long does a value hold?"));
            }
            (Some(start), end, step) => Span::Told { start: start.clone(), end: end.clone(), step },
        };
        if span.length() == Some(Duration::ZERO) {
            return Err(SourceError::new("step", "must be more than nothing"));
        }
        let (items, estimated) = (source.items.clone(), source.estimated.clone());
        Ok(Self { items, value, span, estimated, quality: None, unit: source.unit, signal })
    }

    /// The project's own layout: a list of objects with `start`, `end`, `grams_per_kwh` and, unless it is measured,
    /// `quality`.
    pub(super) fn own(signal: Signal) -> Self {
        Self {
            items: Some(String::new()),
            value: "/grams_per_kwh".to_owned(),
            span: Span::Told { start: "/start".to_owned(), end: Some("/end".to_owned()), step: None },
            estimated: None,
            quality: Some("/quality".to_owned()),
            unit: IntensityUnit::GramsPerKwh,
            signal,
        }
    }

    /// The slots in a document, and at most one line on what was left out. A value without times holds from `from` on.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn slots(
        &self,
        document: &Value,
        from: UnixTime,
        now: UnixTime,
    ) -> Result<(Series, Option<String>), FetchError> {
        let items = match &self.items {
            None => std::slice::from_ref(document),
            Some(pointer) => document.pointer(pointer).and_then(Value::as_array).ok_or_else(|| {
                FetchError::new(FetchResult::Decode, format!("no list at {pointer:?} (items)"))
            })?,
        };
        let mut intake = Intake::new(self.signal, now);
        for item in items {
            match self.read(item, from) {
                Ok(Some(Item { start, end, grams, quality })) => {
                    intake.slot_by_now(start, end, Some(grams), quality);
                }
                Ok(None) => intake.unknown(),
                Err(problem) => intake.unusable(&problem),
            }
        }
        intake.finish()
    }

    /// What an item says; none where that is that its value isn't known.
    fn read(&self, item: &Value, from: UnixTime) -> Result<Option<Item>, String> {
        let at = |pointer: &String| item.pointer(pointer);
        let value = match at(&self.value) {
            None => return Err(format!("nothing at {:?} (value)", self.value)),
            Some(Value::Null) => return Ok(None),
            Some(value) => number(value).ok_or_else(|| format!("{} isn't a number", shown(value)))?,
        };
        let (start, end) = match &self.span {
            Span::Given(step) => (from, from.after(*step)),
            Span::Told { start, end, step } => {
                let start = moment(at(start).unwrap_or(&Value::Null))?;
                let end = end.as_ref().and_then(at).filter(|end| !end.is_null());
                let end = match (end, step) {
                    (Some(end), _) => moment(end)?,
                    (None, Some(step)) => start.after(*step),
                    (None, None) => return Err("it has no end".to_owned()),
                };
                (start, end)
            }
        };
        let estimated = self.estimated.as_ref().and_then(at).is_some_and(is_set);
        let quality = match self.quality.as_ref().and_then(at).filter(|quality| !quality.is_null()) {
            Some(quality) => SlotQuality::deserialize(quality)
                .map_err(|_| format!("{} isn't measured, estimated or forecast", shown(quality)))?,
            None if estimated => SlotQuality::Estimated,
            None => SlotQuality::Measured,
        };
        Ok(Some(Item { start, end, grams: value * self.unit.in_grams_per_kwh(), quality }))
    }
}

impl Span {
    fn length(&self) -> Option<Duration> {
        match self {
            Self::Given(step) => Some(*step),
            Self::Told { step, .. } => *step,
        }
    }
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A moment: a text of RFC 3339 with its offset, or a number of seconds or milliseconds since the Unix epoch.
pub(super) fn moment(value: &Value) -> Result<UnixTime, String> {
    let moment = match value {
        Value::String(text) => time(text),
        Value::Number(number) => number.as_f64().filter(|number| *number >= 0.0).map(|number| {
            let millis = if number >= MILLIS_FROM { number } else { number * 1e3 };
            UnixTime::from_millis(floor_to_u64(millis.round()))
        }),
        _ => None,
    };
    moment.ok_or_else(|| {
        format!("{} isn't a time: it must be RFC 3339 with an offset, or a Unix time", shown(value))
    })
}

/// Whether a flag is up: `true`, or anything that isn't null, false, 0 or an empty text. Some give the method of the estimate
/// in its place.
fn is_set(flag: &Value) -> bool {
    match flag {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !matches!(text.trim(), "" | "false" | "False" | "no" | "0"),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => brief(&other.to_string()),
    }
}

#[cfg(test)]
mod tests;
