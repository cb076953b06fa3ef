//! What QEMU's command line says of its guest (qemu(1)): `-uuid`, `-name guest=...`, and with Proxmox VE `-id` and
//! `-smbios type=1,uuid=...`. It can be read by everybody.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::{libvirt, tidy, tidy_uuid};

/// As much of a command line as is read, in bytes.
const MOST_BYTES: u64 = 256 * 1024;

/// The guest of one QEMU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// Its name.
    pub(super) guest: Box<str>,
    /// Its UUID.
    pub(super) uuid: Box<str>,
    /// Its number, with Proxmox VE.
    pub(super) id: Box<str>,
}

/// The first of a VM's processes that is a QEMU of it.
pub(super) fn of(procfs: &Path, pids: &[u32], name: &str) -> Option<CommandLine> {
    pids.iter().find_map(|pid| {
        let mut bytes = Vec::new();
        let file = File::open(procfs.join(pid.to_string()).join("cmdline")).ok()?;
        file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        parse(&bytes).filter(|line| line.is_of(name))
    })
}

/// Words that end in a zero byte each.
pub(super) fn parse(bytes: &[u8]) -> Option<CommandLine> {
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let mut line = CommandLine::default();
    for (option, value) in words.iter().zip(words.iter().skip(1)) {
        // QEMU takes options with one dash or two.
        match option.strip_prefix("--").or_else(|| option.strip_prefix('-')) {
            Some("uuid") => line.uuid = tidy_uuid(value),
            Some("name") => {
                let first = settings(value).into_iter().find(|setting| is_name(setting)).unwrap_or_default();
                line.guest = tidy(first.strip_prefix("guest=").unwrap_or(&first));
            }
            Some("smbios") if line.uuid.is_empty() => {
                let uuid =
                    settings(value).into_iter().find_map(|one| one.strip_prefix("uuid=").map(tidy_uuid));
                line.uuid = uuid.unwrap_or_default();
            }
            Some("id") if value.bytes().all(|byte| byte.is_ascii_digit()) => line.id = tidy(value),
            _ => {}
        }
    }
    (!line.uuid.is_empty() || !line.guest.is_empty()).then_some(line)
}

fn is_name(setting: &str) -> bool {
    setting.starts_with("guest=")
        || !setting.starts_with("process=") && !setting.starts_with("debug-threads=")
}

/// What stands between the commas of a value; a comma of the value itself stands there twice.
fn settings(value: &str) -> Vec<String> {
    value.replace(",,", "\0").split(',').map(|setting| setting.replace('\0', ",")).collect()
}

impl CommandLine {
    /// Whether it may be the QEMU of the VM with this name in its cgroup. Guests of a user's own libvirt have the user's name
    /// and a number before theirs.
    fn is_of(&self, name: &str) -> bool {
        let is_last = || name.strip_suffix(&*self.guest).is_some_and(|before| before.ends_with('-'));
        self.guest.is_empty()
            || *self.guest == *name
            || *self.id == *name
            || is_last()
            || libvirt::is_machine_name(name, &self.guest)
    }
}
