//! The users of the host who may run containers of their own.

use std::path::{Path, PathBuf};

use crate::identity::containers::reading::{MOST_CONFIG, Reading};

/// Who owns which uids.
#[derive(Debug)]
pub(super) struct Users {
    /// Name, uid and home of each.
    users: Vec<(String, u32, PathBuf)>,
    /// Name or uid of the user, the first of the uids that are lent to it, and how many (subuid(5)).
    lent: Vec<(String, u32, u32)>,
}

impl Users {
    /// Reads the host's users.
    pub(super) fn read(reading: &mut Reading<'_>) -> Self {
        let passwd = reading.text(Path::new("/etc/passwd"), MOST_CONFIG).unwrap_or_default();
        let subuid = reading.text(Path::new("/etc/subuid"), MOST_CONFIG).unwrap_or_default();
        let users = passwd.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let home = PathBuf::from(fields.get(5)?);
            (home.is_absolute() && home != Path::new("/")).then_some(())?;
            Some(((*fields.first()?).to_owned(), fields.get(2)?.parse().ok()?, home))
        });
        let lent = subuid.lines().filter_map(|line| {
            let mut fields = line.trim().split(':');
            Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        Self { users: users.collect(), lent: lent.collect() }
    }

    /// The user whose uid it is, or to whom it is lent: who has it in containers runs as somebody else on the host. The
    /// uid and the home.
    pub(super) fn owner(&self, uid: u32) -> Option<(u32, &Path)> {
        let direct = self.users.iter().find(|(_, own, _)| *own == uid);
        let user = direct.or_else(|| {
            let is_in = |(_, first, count): &&(String, u32, u32)| {
                uid.checked_sub(*first).is_some_and(|offset| offset < *count)
            };
            let (who, _, _) = self.lent.iter().find(is_in)?;
            self.users.iter().find(|(name, own, _)| name == who || own.to_string() == *who)
        });
        user.filter(|(_, own, _)| *own != 0).map(|(_, own, home)| (*own, &**home))
    }
}
