//! Credentials: read from files when they are needed, and never shown.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::carbon::grid::{FetchError, FetchResult};

/// The largest file that can be a credential.
const MAX_BYTES: u64 = 64 * 1024;
/// A shorter piece of a credential tells nothing, and may well be part of a word.
const RECOGNIZABLE: usize = 4;

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

    /// The same error without this text, should an answer have repeated it: as it is, as in a query, or cut off at the
    /// end.
    #[must_use]
    pub fn hidden_in(&self, mut error: FetchError) -> FetchError {
        let in_query: String = form_urlencoded::byte_serialize(self.0.as_bytes()).collect();
        for secret in [&self.0, &in_query] {
            if secret.is_empty() {
                continue;
            }
            error.text = error.text.replace(secret.as_str(), "...");
            let cut = (RECOGNIZABLE..secret.len()).rev().filter_map(|length| secret.get(..length));
            let kept = cut.filter_map(|part| error.text.strip_suffix(part)).next().map(str::len);
            if let Some(kept) = kept {
                error.text.truncate(kept);
                error.text.push_str("...");
            }
        }
        error
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
        let size = std::fs::metadata(&self.0).map_err(|error| wrong(&error.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(wrong("too large for a credential"));
        }
        let text = std::fs::read_to_string(&self.0).map_err(|error| wrong(&error.to_string()))?;
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
    fn a_secret_that_an_answer_repeats_is_taken_out() {
        let secret = Secret::new("hun/ter2");
        for (text, expected) in [
            ("http://host: bad token hun/ter2 for hun/ter2", "http://host: bad token ... for ..."),
            ("token=hun%2Fter2&x", "token=...&x"),
            ("token hun/te", "token ..."),
            ("token=hun%2", "token=..."),
            ("a hun", "a hun"),
            ("", ""),
        ] {
            let error = secret.hidden_in(FetchError::new(FetchResult::Auth, text));
            assert_eq!(error, FetchError::new(FetchResult::Auth, expected), "{text}");
        }
        let error = FetchError::new(FetchResult::Auth, "as it was");
        assert_eq!(Secret::new("").hidden_in(error.clone()), error);
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
    }
}
