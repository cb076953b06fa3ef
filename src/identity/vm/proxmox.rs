//! The guests of Proxmox VE: `/etc/pve/qemu-server/<number>.conf`, lines of `key: value`, then a part for each snapshot
//! (qm.conf(5)).

use std::path::Path;

use super::{add, tidy, tidy_uuid, unreadable};
use crate::identity::files::HostRoot;
use crate::identity::{Details, IdentityError, VmFacts};

const PLACE: &str = "/etc/pve/qemu-server";
/// Proxmox's own file system takes no file that is larger, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// One guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Guest {
    name: Box<str>,
    uuid: Box<str>,
}

/// Reads what is known of a guest by its number; nothing where the name is none or nothing is there.
pub(super) fn read(root: &HostRoot, number: &str) -> Result<Option<Guest>, IdentityError> {
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let path = Path::new(PLACE).join(format!("{number}.conf"));
    match root.read(&path, MOST_BYTES) {
        Ok((bytes, _)) => Ok(parse(&String::from_utf8_lossy(&bytes))),
        Err(error) => unreadable(root, &path, &error).map_or(Ok(None), Err),
    }
}

/// The guest as it is now; what it was in its snapshots comes after the first `[`.
pub(super) fn parse(text: &str) -> Option<Guest> {
    let mut guest = Guest::default();
    for line in text.lines().take_while(|line| !line.starts_with('[')) {
        match line.split_once(':') {
            Some(("name", name)) => guest.name = tidy(name),
            Some(("smbios1", settings)) => {
                let uuid = settings.split(',').find_map(|setting| setting.trim().strip_prefix("uuid="));
                guest.uuid = tidy_uuid(uuid.unwrap_or_default());
            }
            _ => {}
        }
    }
    (guest != Guest::default()).then_some(guest)
}

impl Guest {
    pub(super) fn facts(self) -> VmFacts {
        let mut details =
            Details { owner_kind: "Proxmox".into(), owner_name: self.name, ..Details::default() };
        add(&mut details, "uuid", &self.uuid);
        VmFacts { details }
    }
}
