//! Reads the files that operators and other processes keep up to date: regular files of bounded size only, so that a pipe
//! or a device in their place can't stall whoever reads.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::carbon::grid::{FetchError, FetchResult};
use crate::units::UnixTime;

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DataFile {
    /// When it was last written.
    pub(super) modified: UnixTime,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// Reads a regular file of at most `max` bytes.
///
/// # Errors
/// [`FetchResult::File`] for what can't be read or is no regular file, [`FetchResult::TooLarge`] beyond `max`.
pub(super) fn read(path: &Path, max: u64) -> Result<DataFile, FetchError> {
    let wrong = |what: &dyn std::fmt::Display| {
        FetchError::new(FetchResult::File, format!("{}: {what}", path.display()))
    };
    // Without O_NONBLOCK, opening a named pipe waits for a writer.
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| wrong(&error))?;
    let about = file.metadata().map_err(|error| wrong(&error))?;
    if !about.is_file() {
        return Err(wrong(&"isn't a regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that grows while it is read.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        let text = format!("{}: larger than {max} bytes", path.display());
        return Err(FetchError::new(FetchResult::TooLarge, text));
    }
    let millis = about.mtime().saturating_mul(1_000).saturating_add(about.mtime_nsec() / 1_000_000);
    let modified = UnixTime::from_millis(u64::try_from(millis).unwrap_or_default());
    Ok(DataFile { modified, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("good"), "12345").unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let result = |name: &str, max| read(&path(name), max).map_err(|error| error.result);
        assert_eq!(result("good", 5).unwrap().bytes, b"12345");
        assert!(result("good", 5).unwrap().modified > UnixTime::from_seconds(1_600_000_000));
        assert_eq!(result("good", 4), Err(FetchResult::TooLarge));
        assert_eq!(result("pipe", 5), Err(FetchResult::File));
        assert_eq!(result(".", 5), Err(FetchResult::File));
        assert_eq!(result("none", 5), Err(FetchResult::File));
        assert_eq!(read(Path::new("/dev/zero"), 5).unwrap_err().result, FetchResult::File);
        let text = read(&path("pipe"), 5).unwrap_err().text;
        assert!(text.ends_with("pipe: isn't a regular file"), "{text}");
    }
}
