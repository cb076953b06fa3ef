//! A file that another process on the machine writes.
//!
//! With JSON pointers in the configuration, it is any JSON. Without, it is one number, which holds from the file's time on, or
//! a list of `{"start":..,"end":..,"grams_per_kwh":..,"quality":"measured|estimated|forecast"}`. Whoever writes it should
//! write another file and rename it; half a JSON is refused, and what was known before stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::intake::Intake;
use super::pointers::{self, Layout};
use super::{Fetched, GridProvider, Pace, SourceError, Surroundings, own, pace, refuse, zone};
use crate::carbon::data_file;
use crate::carbon::grid::{FetchError, FetchResult, Signal};
use crate::carbon::http::HttpClient;
use crate::carbon::series::{Series, SlotQuality};
use crate::config::{IntensityUnit, ProviderKind, Source};
use crate::units::UnixTime;

const PERIOD: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);
/// How long a value without an end holds.
const STEP: Duration = Duration::from_secs(3600);
/// A year of hours is a quarter of this.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// A file with values.
#[derive(Debug)]
pub(super) struct ValueFile {
    path: PathBuf,
    /// Where the values are; otherwise it is one of the plain formats.
    layout: Option<Layout>,
    step: Duration,
    unit: IntensityUnit,
    zone: Arc<str>,
    signal: Signal,
    pace: Pace,
}

impl ValueFile {
    /// The source that an entry describes.
    pub(super) fn new(source: &Source, around: Surroundings<'_>) -> Result<Self, SourceError> {
        refuse(source, &[&["basis", "path"], &pointers::KEYS[..]].concat())?;
        for (key, set) in [("url", source.url.is_some()), ("ca_file", source.ca_file.is_some())] {
            if set {
                return Err(SourceError::new(key, "a file is read, nobody is asked: remove it"));
            }
        }
        let Some(path) = source.path.clone().filter(|path| !path.as_os_str().is_empty()) else {
            return Err(SourceError::new("path", "file needs one, such as /run/grid/intensity.json"));
        };
        let signal = own::signal(source)?;
        let has_pointers = [&source.items, &source.value, &source.start, &source.end, &source.estimated]
            .iter()
            .any(|pointer| pointer.is_some());
        let layout = has_pointers.then(|| Layout::new(source, signal, STEP)).transpose()?;
        let step = source.step.unwrap_or(STEP);
        if step.is_zero() {
            return Err(SourceError::new("step", "must be more than nothing"));
        }
        Ok(Self {
            path,
            layout,
            step,
            unit: source.unit,
            zone: zone(source, around)?.into(),
            signal,
            pace: pace(source, PERIOD, SHORTEST)?,
        })
    }

    /// The slots in the file's content, written at `written`, and at most one line on what was left out.
    fn slots(
        &self,
        bytes: &[u8],
        written: UnixTime,
        now: UnixTime,
    ) -> Result<(Series, Option<String>), FetchError> {
        let decode = |text: String| FetchError::new(FetchResult::Decode, text);
        let number = std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<f64>().ok());
        if let (None, Some(number)) = (&self.layout, number) {
            let mut intake = Intake::new(self.signal, now);
            let grams = number * self.unit.in_grams_per_kwh();
            intake.slot(written, written.after(self.step), Some(grams), SlotQuality::Measured);
            return intake.finish();
        }
        let document: Value = serde_json::from_slice(bytes)
            .map_err(|error| decode(format!("not JSON, or not all of it yet: {error}")))?;
        if let Some(layout) = &self.layout {
            return layout.slots(&document, written, now);
        }
        if !document.is_array() {
            return Err(decode(
                "must be one number, or a list of objects with start, end and grams_per_kwh; for other JSON, set value"
                    .to_owned(),
            ));
        }
        if self.unit != IntensityUnit::GramsPerKwh {
            return Err(decode("grams_per_kwh is in g/kWh: leave unit out".to_owned()));
        }
        Layout::own(self.signal).slots(&document, written, now)
    }
}

impl GridProvider for ValueFile {
    fn zone(&self) -> Arc<str> {
        Arc::clone(&self.zone)
    }

    fn signal(&self) -> Signal {
        self.signal
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn fetch(&mut self, _: &HttpClient, now: UnixTime) -> Result<Fetched, FetchError> {
        let file = data_file::read(&self.path, MAX_FILE)?;
        // A file from the future was written now, by a clock that is ahead.
        let written = file.modified.min(now);
        let (slots, warning) =
            self.slots(&file.bytes, written, now).map_err(|error| error.of(self.path.display()))?;
        Ok(Fetched::one(self, ProviderKind::File, "", written, slots, warning))
    }
}

#[cfg(test)]
mod tests;
