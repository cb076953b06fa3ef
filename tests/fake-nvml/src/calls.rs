//! How often each symbol was called, in a file that a test reads while the daemon runs.
//!
//! A record has 64 bytes: the symbol's name, filled up with zeros, and its count in the last 8, little-endian. Only
//! the count of one record is written at each call, so that counting costs about a microsecond. One process may
//! write at a time; a library that is loaded again goes on where it was.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use crate::abi;
use crate::locate;

/// The file's name where the environment names none: it counts if it lies beside the library.
pub const FILE: &str = "calls";

const RECORD: usize = 64;
const NAME: usize = 56;

/// Switches counting on for the library in this directory.
///
/// # Errors
/// The file can't be created.
pub fn count_in(dir: &Path) -> io::Result<std::path::PathBuf> {
    let path = dir.join(FILE);
    File::create(&path)?;
    Ok(path)
}

/// The counts so far, of the symbols that were called at all; empty where there is no file.
pub fn read(path: &Path) -> BTreeMap<String, u64> {
    let Ok(bytes) = fs::read(path) else { return BTreeMap::new() };
    bytes.chunks_exact(RECORD).filter_map(parse).filter(|&(_, count)| count > 0).collect()
}

fn parse(record: &[u8]) -> Option<(String, u64)> {
    let (name, count) = record.split_at_checked(NAME)?;
    let name = std::str::from_utf8(name).ok()?.trim_end_matches('\0');
    Some((name.to_owned(), u64::from_le_bytes(count.try_into().ok()?)))
}

struct Counter {
    file: File,
    counts: BTreeMap<&'static str, (u64, u64)>,
}

/// None: not opened yet. The inner none: nobody wants counts.
static COUNTER: Mutex<Option<Option<Counter>>> = Mutex::new(None);

/// Counts a call.
pub(crate) fn count(symbol: &'static str) {
    let mut counter = COUNTER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(counter) = counter.get_or_insert_with(open) else { return };
    if let Some((place, count)) = counter.counts.get_mut(symbol) {
        *count += 1;
        // Who asked for counts sees that they stand still; there is nobody else to tell.
        let _ = counter.file.write_all_at(&count.to_le_bytes(), *place);
    }
}

/// Closes the file: the library may be unloaded.
pub(crate) fn close() {
    if let Ok(mut counter) = COUNTER.try_lock() {
        *counter = None;
    }
}

fn open() -> Option<Counter> {
    let path = locate::calls()?;
    let before = read(&path);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).ok()?;
    let mut counts = BTreeMap::new();
    let mut place = 0;
    for symbol in abi::symbols() {
        let count = before.get(symbol).copied().unwrap_or(0);
        let mut record = symbol.as_bytes().to_vec();
        record.resize(NAME, 0);
        record.extend(count.to_le_bytes());
        file.write_all_at(&record, place).ok()?;
        let record_size = u64::try_from(RECORD).ok()?;
        counts.insert(symbol, (place + record_size - 8, count));
        place += record_size;
    }
    Some(Counter { file, counts })
}
