//! Credentials: read from files when they are needed, and never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::carbon::data_file;
use crate::carbon::grid::{FetchError, FetchResult};

/// The largest file that can be a credential.
const MAX_BYTES: u64 = 64 * 1024;

/// A text that must not be seen: printing it for debugging gives dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the request that it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

/// A file with one credential. It is read anew for each request, so that it can be replaced at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The file at this path. A name without a directory is a credential that systemd passes
    /// (`LoadCredential=`), in `credentials`, the value of `$CREDENTIALS_DIRECTORY`.
    pub fn new(path: &Path, credentials: Option<&Path>) -> Self {
        let is_name = path.components().count() == 1 && path.is_relative();
        match credentials.filter(|_| is_name) {
            Some(directory) => Self(directory.join(path)),
            None => Self(path.to_owned()),
        }
    }

    /// What is in it, without white space around.
    ///
    /// # Errors
    /// It can't be read, is empty or too large, or isn't a line of text.
    pub fn read(&self) -> Result<Secret, FetchError> {
        let wrong = |what: &str| FetchError::new(FetchResult::File, format!("{}: {what}", self.0.display()));
        if self.0.is_relative() && !self.0.exists() {
            return Err(wrong(
                "not found; a credential of systemd's needs LoadCredential=NAME:FILE in the unit, and only the service can \
                 read it (to try it: systemd-run --pipe --property=LoadCredential=NAME:FILE wattprint check)",
            ));
        }
        let file = data_file::read(&self.0, MAX_BYTES).map_err(|error| match error.result {
            FetchResult::TooLarge => wrong("too large for a credential"),
            _ => error,
        })?;
        let text = std::str::from_utf8(&file.bytes).map_err(|_| wrong("must be text in UTF-8"))?;
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(wrong("must hold one line of text"));
        }
        Ok(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        assert_eq!(format!("{:?}", Some(Secret::new("hunter2"))), "Some(...)");
    }

    #[test]
    fn a_file_is_read_without_its_line_end() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), " abc\n").unwrap();
        let read = |name: &str| SecretFile::new(Path::new(name), Some(directory.path())).read();
        assert_eq!(read("token").unwrap().expose(), "abc");
        assert_eq!(read("none").unwrap_err().result, FetchResult::File);
        for bad in ["", "a\nb", "\n"] {
            std::fs::write(directory.path().join("bad"), bad).unwrap();
            assert_eq!(read("bad").unwrap_err().result, FetchResult::File, "{bad:?}");
        }
        std::fs::write(directory.path().join("bad"), b"\xff\xfe").unwrap();
        assert_eq!(read("bad").unwrap_err().result, FetchResult::File);
    }

    #[test]
    fn nothing_else_than_a_small_regular_file_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::File::create(path("huge")).unwrap().set_len(MAX_BYTES + 1).unwrap();
        for (name, told) in [("pipe", "isn't a regular file"), ("huge", "too large for a credential")] {
            let error = SecretFile::new(&path(name), None).read().unwrap_err();
            assert_eq!(error.result, FetchResult::File);
            assert!(error.text.ends_with(told), "{error}");
        }
    }
}
