//! Names of virtual machines: what libvirt, Proxmox VE and QEMU's own command line tell of them.
//!
//! A VM's series are called by the name in its cgroup and never wait for anything. What is found here stands on
//! `wattprint_vm_info`: the UUID, and whose machine it is.

mod cmdline;
mod libvirt;
mod proxmox;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::identity::board::VmNames;
use crate::identity::files::HostRoot;
use crate::identity::{Details, IdentityError, Job, Look, NameBoard, VmFacts, Wanted};
use crate::workloads::owner::Owner;

use cmdline::CommandLine;
use libvirt::Domain;

/// How often everything is read again: titles and what OpenStack says can change while a VM runs.
const PERIOD: Duration = Duration::from_secs(30);
/// A label's value is no longer than this, in bytes.
const MOST_VALUE: usize = 253;

/// Looks for the names of VMs in the host's files below `root`, and in the command lines in `procfs`.
pub fn job(root: HostRoot, procfs: PathBuf) -> Job {
    let mut known = VmNames::new();
    Job {
        name: "vms",
        period: PERIOD,
        look: Box::new(move |look, board| read(&root, &procfs, look, board, &mut known)),
    }
}

/// Reads what is known of the VMs that are there. `known` is what was found before.
fn read(
    root: &HostRoot,
    procfs: &Path,
    look: Look<'_>,
    board: &NameBoard,
    known: &mut VmNames,
) -> Result<(), IdentityError> {
    let present: Vec<(&str, &[u32])> = vms(look.wanted).collect();
    known.retain(|name, _| present.iter().any(|(there, _)| **there == **name));
    let asked = present.iter().filter(|(name, _)| look.is_full || !known.contains_key(*name));
    let asked: Vec<_> = asked.copied().collect();
    let mut trouble = None;
    if !asked.is_empty() {
        let (domains, unread) = libvirt::domains(root);
        trouble = unread;
        for (name, pids) in asked {
            let line = cmdline::of(procfs, pids, name);
            let facts = match libvirt::find(&domains, name, line.as_ref()) {
                Some(domain) => Some(of_domain(domain, name)),
                None => match proxmox::read(root, name) {
                    Ok(guest) => guest.map(|guest| guest.facts()),
                    Err(error) => {
                        trouble = trouble.or(Some(error));
                        None
                    }
                },
            };
            let before = known.get(name);
            let facts = match (facts, line) {
                (Some(facts), _) => Some(facts),
                (None, Some(line)) => Some(of_line(&line, name, before)),
                (None, None) => None,
            };
            // What was known of a VM stays while nothing is found.
            if let Some(facts) = facts.filter(|facts| before.is_none_or(|before| **before != *facts)) {
                known.insert(name.into(), Arc::new(facts));
            }
        }
    }
    board.set_vms(known.clone());
    match trouble {
        Some(error) if present.iter().any(|(name, _)| !known.contains_key(*name)) => Err(error),
        _ => Ok(()),
    }
}

/// The VMs that are there, by the name in their cgroups, and their processes.
fn vms(wanted: &Wanted) -> impl Iterator<Item = (&str, &[u32])> {
    wanted.owners.iter().filter_map(|wanted| match &*wanted.owner {
        Owner::Vm { name } => Some((&**name, wanted.pids.as_slice())),
        _ => None,
    })
}

fn of_domain(domain: &Domain, name: &str) -> VmFacts {
    let mut details = Details::default();
    if let Some(nova) = &domain.nova {
        details.owner_kind = "Nova".into();
        details.owner_name = nova.name.clone();
    }
    let nova = |value: fn(&libvirt::Nova) -> &str| domain.nova.as_ref().map(value).unwrap_or_default();
    add(&mut details, "uuid", &domain.uuid);
    // A cgroup's name holds only what is fit for the name of a host, and no more than 64 letters.
    add(&mut details, "domain", if *domain.name == *name { "" } else { &domain.name });
    add(&mut details, "title", &domain.title);
    add(&mut details, "project", nova(|nova| &nova.project));
    add(&mut details, "flavor", nova(|nova| &nova.flavor));
    VmFacts { details }
}

/// What the command line tells, and what was known before of the same machine.
fn of_line(line: &CommandLine, name: &str, before: Option<&Arc<VmFacts>>) -> VmFacts {
    let mut details = Details::default();
    add(&mut details, "uuid", &line.uuid);
    if *line.id == *name {
        details.owner_kind = "Proxmox".into();
        details.owner_name = line.guest.clone();
    } else {
        add(&mut details, "domain", if *line.guest == *name { "" } else { &line.guest });
    }
    match before.filter(|before| line.uuid.is_empty() || uuid(before) == Some(&line.uuid)) {
        Some(before) => VmFacts { details: before.details.or(&details) },
        None => VmFacts { details },
    }
}

fn uuid(facts: &VmFacts) -> Option<&str> {
    facts.details.extra.iter().find(|(name, _)| &**name == "uuid").map(|(_, value)| &**value)
}

/// Adds a label that says something.
fn add(details: &mut Details, name: &str, value: &str) {
    if !value.is_empty() {
        details.extra.push((name.into(), value.into()));
    }
}

/// A text as it may stand in a label: one line, not too long.
fn tidy(text: &str) -> Box<str> {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end =
        (0..=MOST_VALUE.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    text.get(..end).unwrap_or_default().into()
}

/// A UUID in lower case; nothing where it is none.
fn tidy_uuid(text: &str) -> Box<str> {
    let text = text.trim();
    let groups: Vec<usize> = text
        .split('-')
        .map(|group| if group.bytes().all(|byte| byte.is_ascii_hexdigit()) { group.len() } else { 0 })
        .collect();
    match groups.as_slice() {
        [8, 4, 4, 4, 12] => text.to_ascii_lowercase().into(),
        [32] => {
            let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
            [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)]
                .join("-")
                .to_ascii_lowercase()
                .into()
        }
        _ => "".into(),
    }
}

/// What keeps a file that is there from being read; none where it isn't there (any more).
fn unreadable(root: &HostRoot, path: &Path, error: &io::Error) -> Option<IdentityError> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => None,
        io::ErrorKind::PermissionDenied => Some(
            IdentityError::new("permission denied", root.shown(path).display().to_string())
                .remedy("run as root or give CAP_DAC_READ_SEARCH; --no-collector.vms does without"),
        ),
        _ => Some(IdentityError::new(
            "files of VMs can't be read",
            format!("{}: {error}", root.shown(path).display()),
        )),
    }
}

#[cfg(test)]
mod tests;
