//! Libraries that lack symbols, as those of older drivers do.
//!
//! A shared library can't take a symbol back at run time. But the dynamic linker compares names, so a copy of the
//! library in which a name is overwritten with another of the same length has no such symbol any more.

use std::fs;
use std::io;
use std::path::Path;

/// Overwrites these symbols' names in the library at `path`. It must not be loaded at the time.
///
/// # Errors
/// The file can't be read or written, or it has no such symbol.
pub fn remove_symbols(path: &Path, symbols: &[&str]) -> io::Result<()> {
    let mut bytes = fs::read(path)?;
    for symbol in symbols {
        if overwrite(&mut bytes, symbol) == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("no symbol {symbol}")));
        }
    }
    // A new file, as the old one may be mapped by a process.
    fs::remove_file(path)?;
    fs::write(path, bytes)
}

/// Spoils each `\0symbol\0`, which is how string tables hold names, and says how many there were.
fn overwrite(bytes: &mut [u8], symbol: &str) -> usize {
    let mut name = vec![0];
    name.extend(symbol.bytes());
    name.push(0);
    let places: Vec<usize> = bytes
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| *window == name.as_slice())
        .map(|(place, _)| place)
        .collect();
    for &place in &places {
        if let Some(first) = bytes.get_mut(place + 1) {
            *first = b'-';
        }
    }
    places.len()
}
