//! What libvirt keeps of its guests: a status document of each that runs in `/run/libvirt/qemu`, and the definition of
//! each that lasts in `/etc/libvirt/qemu` (`virDomainObjFormat`, `virDomainDefFormat`).

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use super::cmdline::CommandLine;
use super::{tidy, tidy_uuid, unreadable};
use crate::identity::IdentityError;
use crate::identity::files::HostRoot;

/// The drivers that make VMs, each with the places of its documents: those of running guests, the older path of the same,
/// and definitions.
const PLACES: [[&str; 3]; 2] = [
    ["/run/libvirt/qemu", "/var/run/libvirt/qemu", "/etc/libvirt/qemu"],
    ["/run/libvirt/ch", "/var/run/libvirt/ch", "/etc/libvirt/ch"],
];
/// Entries of a directory, at most; a guest has a handful there.
const MOST_ENTRIES: usize = 20_000;
/// Documents that are read of one directory, at most.
const MOST_DOMAINS: usize = 4_000;
/// Longest document in bytes. Those of guests with hundreds of devices have some 100 kB.
const MOST_BYTES: usize = 1 << 20;
/// Elements, texts and comments of one document, at most.
const MOST_NODES: u32 = 100_000;
/// What OpenStack's namespace begins with; its version follows.
const NOVA: &str = "http://openstack.org/xmlns/libvirt/nova/";
/// The longest name of a machine, which is that of a host, with the driver and the guest's number before it.
const MOST_MACHINE_NAME: usize = 64;

/// One guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Domain {
    /// libvirt's name of it.
    pub(super) name: Box<str>,
    /// Its UUID.
    pub(super) uuid: Box<str>,
    /// Its title, if it has any.
    pub(super) title: Box<str>,
    /// What OpenStack says of it.
    pub(super) nova: Option<Nova>,
}

/// What OpenStack's compute service notes of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nova {
    /// The server's name as its user gave it.
    pub(super) name: Box<str>,
    /// The project's name.
    pub(super) project: Box<str>,
    /// The flavor's name.
    pub(super) flavor: Box<str>,
}

/// All guests that files tell of, and what kept others from being read. A file that can't be read or is none of
/// libvirt's costs one guest.
pub(super) fn domains(root: &HostRoot) -> (Vec<Domain>, Option<IdentityError>) {
    let (mut domains, mut trouble) = (Vec::new(), None);
    for [running, same, defined] in PLACES {
        if !read_all(root, Path::new(running), &mut domains, &mut trouble) {
            read_all(root, Path::new(same), &mut domains, &mut trouble);
        }
        read_all(root, Path::new(defined), &mut domains, &mut trouble);
    }
    (domains, trouble)
}

/// Reads the documents of a directory, without those of guests that are known already. Tells whether it is there.
fn read_all(
    root: &HostRoot,
    directory: &Path,
    domains: &mut Vec<Domain>,
    trouble: &mut Option<IdentityError>,
) -> bool {
    let entries = match root.list(directory, MOST_ENTRIES) {
        Ok(entries) => entries,
        Err(error) => {
            let unreadable = unreadable(root, directory, &error);
            let is_there = unreadable.is_some();
            *trouble = trouble.take().or(unreadable);
            return is_there;
        }
    };
    let is_document = |name: &std::ffi::OsStr| name.as_bytes().ends_with(b".xml");
    let documents = entries.iter().filter(|entry| !entry.is_directory && is_document(&entry.name));
    for entry in documents.take(MOST_DOMAINS) {
        let path = directory.join(&entry.name);
        let found = match root.read(&path, MOST_BYTES) {
            Ok((bytes, _)) => std::str::from_utf8(&bytes).ok().and_then(parse),
            Err(error) => {
                *trouble = trouble.take().or(unreadable(root, &path, &error));
                None
            }
        };
        if let Some(domain) = found.filter(|found| !domains.iter().any(|known| known.is_same(found))) {
            domains.push(domain);
        }
    }
    true
}

/// The guest that a document tells of: a status with a definition in it, or a definition.
pub(super) fn parse(text: &str) -> Option<Domain> {
    let options = ParsingOptions { nodes_limit: MOST_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    let root = document.root_element();
    let domain = if root.has_tag_name("domstatus") { child(root, "domain")? } else { root };
    if !domain.has_tag_name("domain") {
        return None;
    }
    let found = Domain {
        name: tidy(text_of(domain, "name")),
        uuid: tidy_uuid(text_of(domain, "uuid")),
        title: tidy(text_of(domain, "title")),
        nova: child(domain, "metadata").and_then(nova),
    };
    (!found.name.is_empty()).then_some(found)
}

fn nova(metadata: Node<'_, '_>) -> Option<Nova> {
    let is_nova =
        |node: Node<'_, '_>| node.tag_name().namespace().is_some_and(|space| space.starts_with(NOVA));
    let find = |parent: Node<'_, '_>, name: &str| {
        parent.children().find(|node| is_nova(*node) && node.tag_name().name() == name).map(|node| node.id())
    };
    let document = metadata.document();
    let instance = document.get_node(find(metadata, "instance")?)?;
    let part = |parent: Option<Node<'_, '_>>, name: &str| {
        document.get_node(find(document.get_node(parent?.id())?, name)?)
    };
    let text = |node: Option<Node<'_, '_>>| tidy(node.and_then(|node| node.text()).unwrap_or_default());
    let flavor = part(Some(instance), "flavor").and_then(|flavor| flavor.attribute("name"));
    Some(Nova {
        name: text(part(Some(instance), "name")),
        project: text(part(part(Some(instance), "owner"), "project")),
        flavor: tidy(flavor.unwrap_or_default()),
    })
}

/// A child without a namespace.
fn child<'a, 'input>(parent: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    parent.children().find(|node| node.has_tag_name(name) && node.tag_name().namespace().is_none())
}

fn text_of<'a>(parent: Node<'a, '_>, name: &str) -> &'a str {
    child(parent, name).and_then(|node| node.text()).unwrap_or_default()
}

impl Domain {
    fn is_same(&self, other: &Self) -> bool {
        if self.uuid.is_empty() || other.uuid.is_empty() {
            self.name == other.name
        } else {
            self.uuid == other.uuid
        }
    }
}

/// The guest behind the name in a cgroup: the one that its command line names; else the one of that very name; else the
/// only one whose name libvirt turns into that.
pub(super) fn find<'a>(domains: &'a [Domain], name: &str, line: Option<&CommandLine>) -> Option<&'a Domain> {
    let said = line.filter(|line| !line.uuid.is_empty());
    if let Some(line) = said {
        return domains.iter().find(|domain| domain.uuid == line.uuid);
    }
    if let Some(exact) = domains.iter().find(|domain| *domain.name == *name) {
        return Some(exact);
    }
    let mut fitting = domains.iter().filter(|domain| is_machine_name(name, &domain.name));
    let only = fitting.next()?;
    if fitting.next().is_none() { Some(only) } else { None }
}

/// Whether libvirt calls the machine of the guest `domain` so, the driver and the number before it left out.
pub(super) fn is_machine_name(name: &str, domain: &str) -> bool {
    [false, true].into_iter().any(|skips| {
        let valid = machine_name(domain, skips);
        // `qemu-` or `ch-`, a number and a dash come before it, so much as the number has digits.
        let is_cut = || {
            let room = MOST_MACHINE_NAME.saturating_sub("qemu-2147483647-".len().saturating_add(1));
            name.len() >= room && name.len() <= MOST_MACHINE_NAME && valid.starts_with(name)
        };
        !valid.is_empty() && (valid == name || is_cut())
    })
}

/// What is left of a name that must be fit for a host: ASCII letters, digits, and single dots and dashes between them
/// (`virDomainMachineNameAppendValid`). Since libvirt 7 what is left out doesn't part two dashes any more (`skips`).
fn machine_name(domain: &str, skips: bool) -> String {
    let (mut valid, mut after_dash) = (String::new(), true);
    for c in domain.chars() {
        if c == '.' || c == '-' {
            if !after_dash {
                valid.push(c);
            }
            after_dash = true;
        } else if c.is_ascii_alphanumeric() {
            valid.push(c);
            after_dash = false;
        } else if !skips {
            after_dash = false;
        }
    }
    valid.truncate(valid.trim_end_matches(['.', '-']).len());
    valid
}
