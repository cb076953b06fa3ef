//! Reads the one-line files of sysfs and procfs, and says in short, bounded words what went wrong.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Longest number in a kernel file, newline and leading blanks included; u64 has 20 digits.
const NUMBER_BYTES: usize = 64;
/// Longest name or label; ACPI strings are the longest.
const TEXT_BYTES: usize = 256;
/// A list of a thousand processors with all their flags stays far below this.
const LISTING_BYTES: u64 = 16 << 20;

/// Why a file gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum ReadFailure {
    /// It isn't there, or its device is gone (ENOENT, ENOTDIR, ENODEV, ENXIO).
    #[error("not there")]
    NotFound,
    /// EACCES or EPERM.
    #[error("permission denied: needs CAP_DAC_READ_SEARCH")]
    Denied,
    /// Any other error of the kernel, by number.
    #[error("read error (errno {0})")]
    Io(i32),
    /// Nothing in it.
    #[error("garbage: empty file")]
    Empty,
    /// Not UTF-8, or control characters.
    #[error("garbage: not text")]
    NotText,
    /// Not an unsigned decimal number of 64 bits.
    #[error("garbage: not a number")]
    NotANumber,
    /// Longer than any value that the kernel writes there.
    #[error("garbage: too long")]
    TooLong,
    /// A number, but no physical one.
    #[error("garbage: no believable value")]
    Unbelievable,
}

impl ReadFailure {
    /// Sorts an error of the kernel.
    pub fn of(error: &std::io::Error) -> Self {
        const EPERM: i32 = 1;
        const ENOENT: i32 = 2;
        const ENXIO: i32 = 6;
        const EACCES: i32 = 13;
        const ENODEV: i32 = 19;
        const ENOTDIR: i32 = 20;
        match error.raw_os_error() {
            Some(ENOENT | ENOTDIR | ENODEV | ENXIO) => Self::NotFound,
            Some(EPERM | EACCES) => Self::Denied,
            Some(errno) => Self::Io(errno),
            None if error.kind() == ErrorKind::NotFound => Self::NotFound,
            None => Self::Io(0),
        }
    }

    /// What an operator can do about it, if anything.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Denied => Some("grant CAP_DAC_READ_SEARCH by the command that stands under Permissions"),
            _ => None,
        }
    }
}

/// A file that gave nothing, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {failure}", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub failure: ReadFailure,
}

impl ReadError {
    /// Names the file that failed.
    pub fn new(path: &Path, failure: ReadFailure) -> Self {
        Self { path: path.to_path_buf(), failure }
    }
}

/// Reads a file that holds one unsigned decimal number.
pub fn read_number(path: &Path) -> Result<u64, ReadFailure> {
    let mut buffer = [0; NUMBER_BYTES + 1];
    let text = read_into(path, &mut buffer)?;
    // `str::parse` would take a plus sign, which the kernel never writes.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ReadFailure::NotANumber);
    }
    text.parse().map_err(|_| ReadFailure::NotANumber)
}

/// Reads a file that holds one short name or label.
pub fn read_text(path: &Path) -> Result<String, ReadFailure> {
    let mut buffer = [0; TEXT_BYTES + 1];
    let text = read_into(path, &mut buffer)?;
    if text.chars().any(char::is_control) {
        return Err(ReadFailure::NotText);
    }
    Ok(text.to_owned())
}

/// Reads a longer listing (`cpuinfo`); bytes that aren't UTF-8 are replaced.
pub fn read_listing(path: &Path) -> Result<String, ReadFailure> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| ReadFailure::of(&error))?;
    file.take(LISTING_BYTES).read_to_end(&mut bytes).map_err(|error| ReadFailure::of(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The names in a directory, sorted; those that aren't UTF-8 are left out, as the kernel makes none.
pub fn list_names(path: &Path) -> Result<Vec<String>, ReadFailure> {
    let entries = std::fs::read_dir(path).map_err(|error| ReadFailure::of(&error))?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}

fn read_into<'a>(path: &Path, buffer: &'a mut [u8]) -> Result<&'a str, ReadFailure> {
    let mut file = File::open(path).map_err(|error| ReadFailure::of(&error))?;
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadFailure::of(&error)),
        }
    }
    if filled == buffer.len() {
        return Err(ReadFailure::TooLong);
    }
    let bytes = buffer.get(..filled).unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| ReadFailure::NotText)?.trim();
    if text.is_empty() { Err(ReadFailure::Empty) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    #[test]
    fn numbers_are_read_or_refused_by_kind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("energy_uj");
        let long = "1".repeat(65);
        let table: [(&[u8], Result<u64, ReadFailure>); 10] = [
            (b"123\n", Ok(123)),
            (b"18446744073709551615", Ok(u64::MAX)),
            (b"18446744073709551616\n", Err(ReadFailure::NotANumber)),
            (b"", Err(ReadFailure::Empty)),
            (b" \n", Err(ReadFailure::Empty)),
            (b"-5\n", Err(ReadFailure::NotANumber)),
            (b"+5\n", Err(ReadFailure::NotANumber)),
            (b"12 13\n", Err(ReadFailure::NotANumber)),
            (b"\xff\xfe", Err(ReadFailure::NotText)),
            (long.as_bytes(), Err(ReadFailure::TooLong)),
        ];
        for (content, expected) in table {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_number(&path), expected, "{content:?}");
        }
    }

    #[test]
    fn what_is_no_file_fails_by_kind() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_number(&dir.path().join("none")), Err(ReadFailure::NotFound));
        assert_eq!(read_number(dir.path()), Err(ReadFailure::Io(21)));
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
        assert_eq!(read_text(&dir.path().join("dangling")), Err(ReadFailure::NotFound));
    }

    #[test]
    fn errors_of_the_kernel_are_sorted() {
        let sorted = |errno| ReadFailure::of(&std::io::Error::from_raw_os_error(errno));
        assert_eq!(sorted(13), ReadFailure::Denied);
        assert_eq!(sorted(1), ReadFailure::Denied);
        assert_eq!(sorted(19), ReadFailure::NotFound);
        assert_eq!(sorted(5), ReadFailure::Io(5));
        let error = ReadError::new(Path::new("/sys/x"), ReadFailure::Io(5));
        assert_eq!(error.to_string(), "/sys/x: read error (errno 5)");
    }

    #[test]
    fn the_remedy_for_missing_rights_points_at_the_one_exact_command() {
        let remedy = ReadFailure::Denied.remedy().unwrap();
        assert!(remedy.contains("Permissions") && !remedy.contains("setcap"), "{remedy}");
        assert_eq!(ReadFailure::NotFound.remedy(), None);
    }

    proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_do_no_harm(content in prop::collection::vec(any::<u8>(), 0..400)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, content).unwrap();
            let _ = (read_number(&path), read_text(&path), read_listing(&path));
        }
    }
}
