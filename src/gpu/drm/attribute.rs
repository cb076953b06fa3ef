//! Reads numbers from a device's attributes, and sorts what the driver answers by what follows from it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use crate::gpu::{Consequence, DeviceFailure};

/// u64 has 20 digits.
const NUMBER_BYTES: usize = 64;

/// Why an attribute gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeFailure {
    /// There is no such file.
    Absent,
    /// The device is gone (ENODEV, ENXIO).
    Gone,
    /// The hardware hasn't got it (EOPNOTSUPP, EINVAL, ENODATA).
    Unsupported,
    /// The file may not be opened (EACCES).
    Denied,
    /// Anything else. EPERM is among it: amdgpu answers so while the device is reset.
    Refused,
    /// No number.
    Garbage,
}

impl AttributeFailure {
    /// Sorts an error of the kernel.
    pub(super) fn of(error: &io::Error) -> Self {
        const ENOENT: i32 = 2;
        const ENXIO: i32 = 6;
        const EACCES: i32 = 13;
        const ENODEV: i32 = 19;
        const ENOTDIR: i32 = 20;
        const EINVAL: i32 = 22;
        const ENODATA: i32 = 61;
        const EOPNOTSUPP: i32 = 95;
        match error.raw_os_error() {
            Some(ENOENT | ENOTDIR) => Self::Absent,
            Some(ENODEV | ENXIO) => Self::Gone,
            Some(EINVAL | ENODATA | EOPNOTSUPP) => Self::Unsupported,
            Some(EACCES) => Self::Denied,
            _ => Self::Refused,
        }
    }
}

/// Reads a file that holds one unsigned decimal number.
pub(super) fn read_number(path: &Path) -> Result<u64, AttributeFailure> {
    let mut file = File::open(path).map_err(|error| AttributeFailure::of(&error))?;
    let mut buffer = [0; NUMBER_BYTES];
    let count = loop {
        match file.read(&mut buffer) {
            // sysfs gives such a short attribute whole.
            Ok(count) => break count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(AttributeFailure::of(&error)),
        }
    };
    let text =
        buffer.get(..count).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default().trim();
    // `str::parse` would take a plus sign, which the kernel never writes.
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AttributeFailure::Garbage);
    }
    text.parse().map_err(|_| AttributeFailure::Garbage)
}

/// The device is gone.
pub(super) fn lost() -> DeviceFailure {
    DeviceFailure { consequence: Consequence::Lost, reason: Arc::from("device is gone") }
}

/// A failure that may pass.
pub(super) fn transient(reason: &str) -> DeviceFailure {
    DeviceFailure { consequence: Consequence::Transient, reason: Arc::from(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_kernel_are_sorted_by_what_follows() {
        let table = [
            (2, AttributeFailure::Absent),
            (19, AttributeFailure::Gone),
            (6, AttributeFailure::Gone),
            (13, AttributeFailure::Denied),
            (1, AttributeFailure::Refused),
            (5, AttributeFailure::Refused),
            (11, AttributeFailure::Refused),
            (22, AttributeFailure::Unsupported),
            (95, AttributeFailure::Unsupported),
        ];
        for (errno, expected) in table {
            assert_eq!(AttributeFailure::of(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
        }
    }

    #[test]
    fn numbers_are_read_or_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("energy1_input");
        let table: [(&[u8], Result<u64, AttributeFailure>); 7] = [
            (b"123\n", Ok(123)),
            (b"18446744073709551615\n", Ok(u64::MAX)),
            (b"18446744073709551616\n", Err(AttributeFailure::Garbage)),
            (b"", Err(AttributeFailure::Garbage)),
            (b"-1\n", Err(AttributeFailure::Garbage)),
            (b"+1\n", Err(AttributeFailure::Garbage)),
            (b"\xff\n", Err(AttributeFailure::Garbage)),
        ];
        for (content, expected) in table {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read_number(&path), expected, "{content:?}");
        }
        assert_eq!(read_number(&dir.path().join("none")), Err(AttributeFailure::Absent));
        assert_eq!(read_number(dir.path()), Err(AttributeFailure::Refused));
    }
}
