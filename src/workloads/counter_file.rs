//! A small kernel file that holds a number and is read every tick.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::workloads::tree::is_gone;

/// The file is gone: its cgroup was removed.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The directory of the file was removed (ENOENT, or ENODEV on a descriptor that was kept open).
    Gone,
    /// The file is there but can't be read, or holds no number.
    Unreadable(io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if is_gone(&error) { Self::Gone } else { Self::Unreadable(error) }
    }
}

/// A number in a file, whose descriptor may be kept open: one `pread` a tick instead of open, read and close.
#[derive(Debug)]
pub(crate) struct CounterFile {
    path: PathBuf,
    /// The word before the number; empty where the file holds just the number.
    key: &'static str,
    kept: Option<File>,
}

impl CounterFile {
    /// Names a file; nothing is opened yet.
    pub(crate) fn new(path: PathBuf, key: &'static str) -> Self {
        Self { path, key, kept: None }
    }

    /// Reads the number. With `keep`, the descriptor stays open for the next time.
    pub(crate) fn read(&mut self, keep: bool) -> Result<u64, ReadError> {
        // cpu.stat begins with usage_usec, so its start is enough.
        let mut buffer = [0_u8; 64];
        let length = match &self.kept {
            Some(file) => file.read_at(&mut buffer, 0)?,
            None => {
                let file = File::open(&self.path)?;
                let length = file.read_at(&mut buffer, 0)?;
                if keep {
                    self.kept = Some(file);
                }
                length
            }
        };
        let text = buffer.get(..length).unwrap_or_default();
        number_after(text, self.key).ok_or_else(|| {
            ReadError::Unreadable(io::Error::new(io::ErrorKind::InvalidData, "holds no number"))
        })
    }

    /// Whether a descriptor is held.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Closes the descriptor; returns whether one was held.
    pub(crate) fn close(&mut self) -> bool {
        self.kept.take().is_some()
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The decimal number that follows `key` and white space at the start of `text`.
fn number_after(text: &[u8], key: &str) -> Option<u64> {
    let rest = text.strip_prefix(key.as_bytes())?.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, tail) = rest.split_at(digits);
    if tail.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    #[test]
    fn reads_a_number_with_or_without_a_key() {
        assert_eq!(number_after(b"115664579682\n", ""), Some(115_664_579_682));
        assert_eq!(number_after(b"usage_usec 42\nuser_usec 7\n", "usage_usec"), Some(42));
        assert_eq!(number_after(b"", ""), None);
        assert_eq!(number_after(b"usage_usec\n", "usage_usec"), None);
        assert_eq!(number_after(b"12x", ""), None);
        assert_eq!(number_after(b"99999999999999999999999", ""), None);
        assert_eq!(number_after(b"\xff\xfe", ""), None);
    }

    #[test]
    fn a_missing_file_is_gone_and_garbage_is_unreadable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cpu.stat");
        let mut file = CounterFile::new(path.clone(), "usage_usec");
        assert!(matches!(file.read(true), Err(ReadError::Gone)));
        fs::write(&path, "nonsense").unwrap();
        assert!(matches!(file.read(false), Err(ReadError::Unreadable(_))));
        fs::write(&path, "usage_usec 5\n").unwrap();
        assert_eq!(file.read(true).unwrap(), 5);
        assert!(file.is_kept());
        fs::write(&path, "usage_usec 6\n").unwrap();
        assert_eq!(file.read(true).unwrap(), 6);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = number_after(&bytes, "");
            let _ = number_after(&bytes, "usage_usec");
        }
    }
}
