//! Reads the files of runtimes, and keeps in mind which ones said something and which ones couldn't.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::identity::IdentityError;
use crate::identity::files::{Entry, HostRoot, Stamp};

/// Bytes of the configuration of one container; real ones have some ten thousand.
pub(super) const MOST_CONFIG: usize = 2 * 1024 * 1024;
/// Bytes of the list of all containers of a storage: below a thousand for each.
pub(super) const MOST_LIST: usize = 16 * 1024 * 1024;
/// Bytes of a database of all containers of a storage.
pub(super) const MOST_DATABASE: usize = 32 * 1024 * 1024;
/// Files in one directory.
const MOST_FILES: usize = 20_000;
/// Bytes of one file of a user, who may write there what he likes.
const MOST_OF_USER: usize = 1024 * 1024;
/// How often a file that is being written is read.
const MOST_TRIES: usize = 3;

/// A file that was read, and what it was then.
pub(super) type Seen = (Arc<Path>, Stamp);

/// Reads files for one look. A file that isn't there is no failure.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    root: &'a HostRoot,
    /// What said something of the container in question.
    seen: Vec<Seen>,
    /// What couldn't be read since the container in question is looked for.
    problem: Option<IdentityError>,
    /// Whose files are read; none for those of the system.
    user: Option<u32>,
    /// What files are now, as far as somebody asked.
    stamps: HashMap<Arc<Path>, Option<Stamp>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(root: &'a HostRoot) -> Self {
        Self { root, seen: Vec::new(), problem: None, user: None, stamps: HashMap::new() }
    }

    /// Begins with another container.
    pub(super) fn begin(&mut self) {
        self.seen.clear();
        self.problem = None;
    }

    /// The files that said something of the container.
    pub(super) fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// What kept the container's name away.
    pub(super) fn take_problem(&mut self) -> Option<IdentityError> {
        self.problem.take()
    }

    /// Adds a file that was read for several containers.
    pub(super) fn add_seen(&mut self, seen: &[Seen]) {
        self.seen.extend_from_slice(seen);
    }

    /// Reads a user's files with `read`: only what is the user's own, and without complaint, as users may write there
    /// what they like.
    pub(super) fn as_user<T>(&mut self, uid: u32, read: impl FnOnce(&mut Self) -> T) -> T {
        self.user = Some(uid);
        let result = read(self);
        self.user = None;
        result
    }

    /// Whether any of these files is another one by now.
    pub(super) fn has_changed(&mut self, seen: &[Seen]) -> bool {
        let root = self.root;
        seen.iter().any(|(path, stamp)| {
            let now = self.stamps.entry(Arc::clone(path)).or_insert_with(|| root.stamp(path).ok());
            *now != Some(*stamp)
        })
    }

    /// Whether a user's files are read.
    pub(super) fn is_of_user(&self) -> bool {
        self.user.is_some()
    }

    /// A whole file.
    pub(super) fn bytes(&mut self, path: &Path, most: usize) -> Option<Vec<u8>> {
        let is_strange = |uid: u32| self.root.stamp(path).is_ok_and(|stamp| stamp.uid != uid);
        if self.user.is_some_and(is_strange) {
            return None;
        }
        let most = if self.user.is_some() { most.min(MOST_OF_USER) } else { most };
        match self.root.read(path, most) {
            Ok((_, stamp)) if self.user.is_some_and(|uid| stamp.uid != uid) => None,
            Ok((bytes, stamp)) => {
                self.seen.push((path.into(), stamp));
                Some(bytes)
            }
            Err(error) => {
                self.fail(path, &error);
                None
            }
        }
    }

    /// A file that others write in place, if nobody did while it was read, or while it was read again.
    pub(super) fn settled_bytes(&mut self, path: &Path, most: usize) -> Option<Vec<u8>> {
        for _ in 0..MOST_TRIES {
            let bytes = self.bytes(path, most)?;
            let (_, stamp) = self.seen.last()?;
            if self.root.stamp(path).ok() == Some(*stamp) {
                return Some(bytes);
            }
        }
        None
    }

    /// A file that holds JSON.
    pub(super) fn json(&mut self, path: &Path, most: usize) -> Option<Value> {
        let bytes = self.bytes(path, most)?;
        let value = serde_json::from_slice(&bytes).ok();
        if value.is_none() {
            self.complain(IdentityError::new(
                "isn't valid JSON",
                self.root.shown(path).display().to_string(),
            ));
        }
        value
    }

    /// A file of text.
    pub(super) fn text(&mut self, path: &Path, most: usize) -> Option<String> {
        String::from_utf8(self.bytes(path, most)?).ok()
    }

    /// The directories in a directory.
    pub(super) fn directories(&mut self, path: &Path) -> Vec<PathBuf> {
        let entries = self.list(path).into_iter();
        entries.filter(|entry| entry.is_directory).map(|entry| path.join(entry.name)).collect()
    }

    /// The entries of a directory.
    pub(super) fn list(&mut self, path: &Path) -> Vec<Entry> {
        self.root.list(path, MOST_FILES).unwrap_or_else(|error| {
            self.fail(path, &error);
            Vec::new()
        })
    }

    fn fail(&mut self, path: &Path, error: &io::Error) {
        use io::ErrorKind::{InvalidData, NotADirectory, NotFound, PermissionDenied};
        let shown = self.root.shown(path);
        let detail = format!("{}: {error}", shown.display());
        match error.kind() {
            NotFound | NotADirectory => {}
            PermissionDenied => self.complain(
                IdentityError::new("no permission to read a container runtime's files", detail)
                    .remedy("run wattprint as root or with CAP_DAC_READ_SEARCH"),
            ),
            InvalidData => {
                self.complain(IdentityError::new("isn't a file that a runtime writes", detail));
            }
            _ => self.complain(IdentityError::new("a container runtime's file can't be read", detail)),
        }
    }

    fn complain(&mut self, error: IdentityError) {
        if self.user.is_none() && self.problem.is_none() {
            self.problem = Some(error);
        }
    }
}
