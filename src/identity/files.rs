//! Files of the host that others write, read with care.
//!
//! Names come from directories of runtimes, of users and of batch systems, through a mount of the host's root where the
//! daemon runs in a container. So symbolic links are resolved within that root, as the host itself would; only regular
//! files are read, without ever waiting for one, and never more than was asked for.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

/// Symbolic links on one path, as in the kernel (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// Directories on one path, each of which is open while the path is followed.
const MOST_DEPTH: usize = 128;

/// A directory that plays the part of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot {
    root: PathBuf,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// Whether it is a directory; a link is none, wherever it leads.
    pub is_directory: bool,
}

/// What a file is, beside its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Device and inode.
    pub file: (u64, u64),
    /// Its length in bytes.
    pub length: u64,
    /// When it was last written, seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Who owns it.
    pub uid: u32,
    /// Its type and permissions (inode(7)).
    pub mode: u32,
}

impl HostRoot {
    /// The root at `root`: `/`, or where the host's is mounted.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a path of the host is seen from here, for messages.
    pub fn shown(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The contents of a regular file and what it is.
    ///
    /// # Errors
    /// What the system says; `InvalidData` for what is no regular file and for one that is longer than `most`.
    pub fn read(&self, path: &Path, most: usize) -> io::Result<(Vec<u8>, Stamp)> {
        let opened = self.open(path, OFlag::O_RDONLY)?;
        let stat = fstat(&opened)?;
        if !is(&stat, SFlag::S_IFREG) {
            return Err(invalid("isn't a regular file"));
        }
        let mut contents = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        File::from(opened).take(limit).read_to_end(&mut contents)?;
        if contents.len() > most {
            return Err(invalid("is larger than it can be"));
        }
        Ok((contents, Stamp::of(&stat)))
    }

    /// What a file is, without reading it.
    ///
    /// # Errors
    /// What the system says.
    pub fn stamp(&self, path: &Path) -> io::Result<Stamp> {
        Ok(Stamp::of(&fstat(self.find(path)?)?))
    }

    /// What a path leads to, without opening it; something other than a file can be reached through the descriptor.
    ///
    /// # Errors
    /// What the system says.
    pub fn find(&self, path: &Path) -> io::Result<OwnedFd> {
        self.open(path, OFlag::O_PATH)
    }

    /// The names in a directory, sorted; at most `most`.
    ///
    /// # Errors
    /// What the system says; `InvalidData` where there are more.
    pub fn list(&self, path: &Path, most: usize) -> io::Result<Vec<Entry>> {
        let opened = self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::from_fd(opened)?.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() >= most {
                return Err(invalid("holds more files than it can"));
            }
            entries.push(Entry {
                name: name.to_owned(),
                is_directory: entry.file_type() == Some(Type::Directory),
            });
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// Opens what a path leads to. Each step opens one name in the directory before it and never follows a link: links
    /// are taken apart here, where absolute ones begin at this root and `..` ends at it.
    fn open(&self, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
        let step = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let root = || {
            nix::fcntl::open(&self.root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        };
        let mut above: Vec<OwnedFd> = Vec::new();
        let mut here = root()?;
        let mut names = names(path)?;
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            if name == ".." {
                if let Some(parent) = above.pop() {
                    here = parent;
                }
                continue;
            }
            let next = openat(here.as_fd(), name.as_os_str(), step, Mode::empty())?;
            if is(&fstat(&next)?, SFlag::S_IFLNK) {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::ELOOP.into());
                }
                let target = PathBuf::from(readlinkat(&here, name.as_os_str())?);
                if target.is_absolute() {
                    above.clear();
                    here = root()?;
                }
                for name in self::names(&target)?.into_iter().rev() {
                    names.push_front(name);
                }
                continue;
            }
            if above.len() >= MOST_DEPTH {
                return Err(Errno::ENAMETOOLONG.into());
            }
            above.push(std::mem::replace(&mut here, next));
        }
        if flags.contains(OFlag::O_PATH) {
            return Ok(here);
        }
        // Opening a device or a pipe may wait or do something, even without reading.
        let stat = fstat(&here)?;
        if !is(&stat, SFlag::S_IFREG) && !is(&stat, SFlag::S_IFDIR) {
            return Err(invalid("isn't a regular file"));
        }
        let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&here));
        Ok(nix::fcntl::open(
            again.as_str(),
            flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY,
            Mode::empty(),
        )?)
    }
}

impl Stamp {
    fn of(stat: &FileStat) -> Self {
        Self {
            file: (stat.st_dev, stat.st_ino),
            length: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            uid: stat.st_uid,
            mode: stat.st_mode,
        }
    }
}

/// The names on a path, from the root down.
fn names(path: &Path) -> io::Result<VecDeque<OsString>> {
    let mut names = VecDeque::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::ParentDir => names.push_back("..".into()),
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return Err(invalid("isn't a path")),
        }
    }
    Ok(names)
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, HostRoot) {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "outside").unwrap();
        let inside = outside.path().join("host");
        fs::create_dir_all(inside.join("var/lib")).unwrap();
        fs::write(inside.join("secret"), "inside").unwrap();
        fs::write(inside.join("var/lib/names"), "here").unwrap();
        let root = HostRoot::new(&inside);
        (outside, root)
    }

    fn read(root: &HostRoot, path: &str) -> io::Result<String> {
        let (bytes, _) = root.read(Path::new(path), 100)?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn links_never_lead_out_of_the_root() {
        let (_outside, root) = root();
        let link = |target: &str, name: &str| symlink(target, root.shown(Path::new(name))).unwrap();
        link("/secret", "/absolute");
        link("../../../../secret", "/var/lib/relative");
        link("/var/lib", "/data");
        link("/loop", "/loop");
        assert_eq!(read(&root, "/absolute").unwrap(), "inside");
        assert_eq!(read(&root, "/var/lib/relative").unwrap(), "inside");
        assert_eq!(read(&root, "/data/names").unwrap(), "here");
        assert_eq!(read(&root, "/data/../lib/names").unwrap(), "here");
        assert_eq!(read(&root, "/../../secret").unwrap(), "inside");
        assert_eq!(read(&root, "/loop").unwrap_err().raw_os_error(), Some(Errno::ELOOP as i32));
    }

    #[test]
    fn a_path_that_never_ends_takes_few_open_files() {
        let (_outside, root) = root();
        let deep = "d/".repeat(MOST_DEPTH + 1);
        fs::create_dir_all(root.shown(Path::new(&deep))).unwrap();
        let error = root.list(Path::new(&deep), 10).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ENAMETOOLONG as i32));
        assert!(root.list(Path::new(&"d/".repeat(MOST_DEPTH)), 10).is_ok());
    }

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let (_outside, root) = root();
        nix::unistd::mkfifo(&root.shown(Path::new("/pipe")), Mode::S_IRWXU).unwrap();
        fs::write(root.shown(Path::new("/long")), "x".repeat(101)).unwrap();
        assert_eq!(read(&root, "/pipe").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&root, "/long").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&root, "/var").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&root, "/none").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read(&root, "/secret/x").unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_directory_is_listed_up_to_its_cap() {
        let (_outside, root) = root();
        let names = root.list(Path::new("/"), 2).unwrap();
        let names: Vec<_> =
            names.iter().map(|entry| (entry.name.to_str().unwrap(), entry.is_directory)).collect();
        assert_eq!(names, [("secret", false), ("var", true)]);
        assert_eq!(root.list(Path::new("/"), 1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_stamp_tells_a_file_that_was_replaced() {
        let (_outside, root) = root();
        let before = root.stamp(Path::new("/secret")).unwrap();
        assert_eq!(before, root.stamp(Path::new("/secret")).unwrap());
        fs::write(root.shown(Path::new("/new")), "inside").unwrap();
        fs::rename(root.shown(Path::new("/new")), root.shown(Path::new("/secret"))).unwrap();
        assert_ne!(before, root.stamp(Path::new("/secret")).unwrap());
    }
}
