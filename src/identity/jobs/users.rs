//! The names of users, from the host's passwd. Users of a directory service aren't in it.

use std::collections::HashMap;
use std::path::Path;

use crate::identity::files::{HostRoot, Stamp};

const PASSWD: &str = "/etc/passwd";
/// A file with 100,000 users has some 7 MB.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The users that the host knows by itself.
#[derive(Debug, Default)]
pub(super) struct Users {
    stamp: Option<Stamp>,
    names: HashMap<u32, Box<str>>,
}

impl Users {
    /// Reads the file again if it has changed. Where it can't be read, what was known stays.
    pub(super) fn refresh(&mut self, root: &HostRoot) {
        let path = Path::new(PASSWD);
        let stamp = root.stamp(path).ok();
        if stamp.is_none() || stamp == self.stamp {
            return;
        }
        if let Ok((contents, stamp)) = root.read(path, MOST_BYTES) {
            self.names = parse(&contents);
            self.stamp = Some(stamp);
        }
    }

    /// A user's name.
    pub(super) fn name(&self, uid: u32) -> Option<&str> {
        self.names.get(&uid).map(|name| &**name)
    }
}

/// Lines `name:password:uid:...` (passwd(5)); of several names of one uid the first counts, as for the system.
fn parse(contents: &[u8]) -> HashMap<u32, Box<str>> {
    let mut names = HashMap::new();
    for line in contents.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut fields = line.split(':');
        let name = super::told::clean(fields.next().unwrap_or_default());
        let uid = fields.nth(1).and_then(|uid| uid.parse().ok());
        if let (false, Some(uid)) = (name.is_empty(), uid) {
            names.entry(uid).or_insert(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn users_are_read_again_when_the_file_changes_and_kept_when_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        let passwd = dir.path().join("etc/passwd");
        let root = HostRoot::new(dir.path());
        let mut users = Users::default();
        users.refresh(&root);
        assert_eq!(users.name(0), None);
        fs::write(&passwd, b"root:x:0:0::/:/bin/sh\ntoor:x:0:0\nada:x:1000\n\xff:x:7\n:x:8\nbad\nx:y:z\n")
            .unwrap();
        users.refresh(&root);
        assert_eq!([0, 1000, 7, 8].map(|uid| users.name(uid)), [Some("root"), Some("ada"), None, None]);
        fs::write(&passwd, "grace:x:1000:1000\n").unwrap();
        users.refresh(&root);
        assert_eq!([0, 1000].map(|uid| users.name(uid)), [None, Some("grace")]);
        fs::remove_file(&passwd).unwrap();
        users.refresh(&root);
        assert_eq!(users.name(1000), Some("grace"));
    }
}
