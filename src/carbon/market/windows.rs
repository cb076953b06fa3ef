//! Time windows of contracts, for hourly matching, from a CSV file.
//!
//! Its first line names the columns `start,end,share,intensity` in any order; `intensity` may be missing or blank, which
//! is 0, as for certified renewable energy. Times are those of RFC 3339 with an offset from UTC, so that the hour that
//! occurs twice in autumn is two windows. Lines that begin with `#` are left out.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{Cover, Window};
use crate::carbon::data_file;
use crate::carbon::factors::MAX_INTENSITY;
use crate::carbon::providers::time;
use crate::units::{GramsPerKwh, UnixTime};

/// Five years of 15 minutes are less than this.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// The columns; the last one may be missing.
const COLUMNS: [&str; 4] = ["start", "end", "share", "intensity"];
/// So much of a cell is told.
const SHOWN: usize = 40;

/// A file of windows that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowsError {
    /// It can't be read.
    #[error("{0}")]
    File(String),
    /// A line isn't as it must be.
    #[error("{}: line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// A file of windows that is read again when it was written anew.
#[derive(Clone, Debug)]
pub struct WindowsFile {
    path: PathBuf,
    /// Tells what was read last.
    seen: Option<u64>,
}

impl WindowsFile {
    /// The file at this path, not read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), seen: None }
    }

    /// Its windows, sorted and without overlaps, if they aren't those that were read last; none if they are.
    ///
    /// # Errors
    /// The file can't be read, or a line isn't as it must be. The same file is told once: until it is written anew, it
    /// counts as read.
    pub fn read(&mut self) -> Result<Option<Arc<[Window]>>, WindowsError> {
        let file = data_file::read(&self.path, MAX_FILE);
        let file = file.map_err(|error| WindowsError::File(error.text))?;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(&file.bytes);
        if self.seen.replace(hash) == Some(hash) {
            return Ok(None);
        }
        parse(&self.path, &file.bytes).map(|windows| Some(windows.into()))
    }
}

/// The windows of a file at this path with this content.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Window>, WindowsError> {
    let wrong = |line, problem| WindowsError::Line { path: path.to_owned(), line, problem };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        wrong(number_of(before), "isn't UTF-8".to_owned())
    })?;
    // Left out here and not by the reader, whose count of lines doesn't tell which of them it skipped.
    let (lines, numbers): (Vec<&str>, Vec<u64>) =
        text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#')).unzip();
    let joined = lines.join("\n");
    let line_at = |position: Option<&csv::Position>| {
        let place = position.and_then(|position| usize::try_from(position.line()).ok()?.checked_sub(1));
        place.and_then(|place| numbers.get(place)).copied().unwrap_or(1)
    };
    let mut reader = ReaderBuilder::new().trim(Trim::All).has_headers(false).from_reader(joined.as_bytes());
    let mut columns = None;
    let mut windows: Vec<(Window, u64)> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(line_at(error.position()), flaw(&error)))?;
        let line = line_at(record.position());
        match &columns {
            None => columns = Some(Columns::of(&record).map_err(|problem| wrong(line, problem))?),
            Some(columns) => {
                windows.push((columns.window(&record).map_err(|problem| wrong(line, problem))?, line));
            }
        }
    }
    if columns.is_none() {
        return Err(wrong(1, no_header()));
    }
    windows.sort_by_key(|(window, line)| (window.start, *line));
    for pair in windows.windows(2) {
        if let [(earlier, line), (later, other)] = pair
            && later.start < earlier.end
        {
            // Told at the line that comes second in the file.
            let problem = format!("overlaps with the window of line {}", line.min(other));
            return Err(wrong(*line.max(other), problem));
        }
    }
    Ok(windows.into_iter().map(|(window, _)| window).collect())
}

/// Where each column is.
struct Columns {
    start: usize,
    end: usize,
    share: usize,
    intensity: Option<usize>,
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, String> {
        if let Some(other) = header.iter().find(|name| !COLUMNS.contains(name)) {
            let names_a_column = header.iter().any(|name| COLUMNS.contains(&name));
            return Err(match names_a_column {
                true => format!("{:?} is no column: there are {}", shown(other), COLUMNS.join(", ")),
                false => no_header(),
            });
        }
        let find = |name: &str| header.iter().position(|column| column == name);
        let must = |name: &str| find(name).ok_or_else(|| format!("the column {name} is missing"));
        if header.iter().enumerate().any(|(place, name)| find(name) != Some(place)) {
            return Err("a column is there twice".to_owned());
        }
        Ok(Self {
            start: must("start")?,
            end: must("end")?,
            share: must("share")?,
            intensity: find("intensity"),
        })
    }

    fn window(&self, record: &StringRecord) -> Result<Window, String> {
        let cell = |place: usize| record.get(place).unwrap_or_default();
        let (start, end) = (moment("start", cell(self.start))?, moment("end", cell(self.end))?);
        if end <= start {
            return Err("end must be after start".to_owned());
        }
        let share = number("share", cell(self.share), 1.0)?;
        let intensity = match self.intensity.map(cell).unwrap_or_default() {
            "" => 0.0,
            text => number("intensity", text, MAX_INTENSITY)?,
        };
        Ok(Window { start, end, cover: Cover { share, intensity: GramsPerKwh(intensity) } })
    }
}

fn no_header() -> String {
    format!("no header: the first line must be {}", COLUMNS.join(","))
}

fn moment(column: &str, text: &str) -> Result<UnixTime, String> {
    time(text).ok_or_else(|| {
        let naive = text.parse::<jiff::civil::DateTime>().is_ok();
        let problem = match naive {
            true => "has no offset from UTC: put Z or one such as +01:00 behind it",
            false => "must be a time such as 2026-01-01T00:00:00+01:00, in 1970 or later",
        };
        format!("{column} = {:?}: {problem}", shown(text))
    })
}

fn number(column: &str, text: &str, most: f64) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=most).contains(number));
    number.ok_or_else(|| format!("{column} = {:?}: must be a number from 0 to {most}", shown(text)))
}

fn flaw(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} columns where the header has {expected_len}")
        }
        _ => error.to_string(),
    }
}

/// The number of the line behind so many others.
fn number_of(before: usize) -> u64 {
    u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests;
