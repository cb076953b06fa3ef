//! Finds powercap zones: `/sys/class/powercap/intel-rapl*`, for Intel and AMD alike.
//!
//! The kernel's powercap documentation describes the tree: a control type (`intel-rapl`), its zones
//! (`intel-rapl:0`, named `package-0`), and their sub-zones (`intel-rapl:0:1`, named `dram`). The class directory
//! shows all of them flat, as links into a nested tree; containers and fixtures may show either or both.
//! `intel-rapl-mmio` shows the same packages a second time, through another register window.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::meters::Domain;
use crate::meters::files::{self, ReadError, ReadFailure};
use crate::units::Watts;

/// Zones nest two deep today; a loop of links must not nest for ever.
const MAX_DEPTH: usize = 4;
/// Far more zones than any machine has.
const MAX_ZONES: usize = 1024;

/// One powercap zone, as found by a scan. Its counter is opened anew at each read, because the file's mode may
/// change and the driver may be loaded again.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// The directory's name: `intel-rapl:0:1`.
    pub device: Arc<str>,
    /// What it covers.
    pub domain: Domain,
    /// The socket (`0`) or die (`0-die-1`) that it belongs to; empty for `psys`.
    pub slot: Arc<str>,
    /// Whether it is a second view on a package through `intel-rapl-mmio`.
    pub mmio: bool,
    /// `energy_uj`.
    pub energy_path: PathBuf,
    /// `max_energy_range_uj`, in microjoules, if it can be read.
    pub range: Option<u64>,
    /// `constraint_0_max_power_uw`, if there is one.
    pub max_power: Option<Watts>,
}

/// Finds powercap zones under one sysfs.
#[derive(Clone, Debug)]
pub struct RaplReader {
    root: PathBuf,
}

struct Found {
    path: PathBuf,
    name: Option<String>,
}

impl RaplReader {
    /// A reader for the sysfs mounted at `sysfs`.
    pub fn new(sysfs: &Path) -> Self {
        Self { root: sysfs.join("class/powercap") }
    }

    /// The directory that is searched.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks for zones. An error means that the class directory itself can't be listed.
    pub fn scan(&self) -> Result<Vec<Zone>, ReadError> {
        let names = files::list_names(&self.root).map_err(|failure| ReadError::new(&self.root, failure))?;
        let mut found = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for name in names.iter().filter(|name| name.contains("rapl")) {
            collect(&self.root.join(name), name, 0, &mut seen, &mut found);
        }
        Ok(found.iter().map(|(device, entry)| zone(device, entry, &found)).collect())
    }
}

fn collect(
    path: &Path,
    device: &str,
    depth: usize,
    seen: &mut BTreeSet<PathBuf>,
    found: &mut BTreeMap<String, Found>,
) {
    // A zone that vanishes while it is looked at has no canonical path: it is no zone any more.
    let Ok(path) = path.canonicalize() else { return };
    if depth > MAX_DEPTH || found.len() >= MAX_ZONES || !seen.insert(path.clone()) {
        return;
    }
    match files::read_text(&path.join("name")) {
        // The control type itself has no name file.
        Err(ReadFailure::NotFound) => {}
        name => {
            found.entry(device.to_owned()).or_insert_with(|| Found { path: path.clone(), name: name.ok() });
        }
    }
    let control_type = device.split(':').next().unwrap_or(device);
    let Ok(children) = files::list_names(&path) else {
        return;
    };
    for child in children {
        if child.strip_prefix(control_type).is_some_and(|rest| rest.starts_with(':')) {
            collect(&path.join(&child), &child, depth + 1, seen, found);
        }
    }
}

fn zone(device: &str, entry: &Found, found: &BTreeMap<String, Found>) -> Zone {
    let (domain, own_slot) = entry.name.as_deref().map_or((Domain::Unknown, None), parse_name);
    let slot = match domain {
        Domain::Psys => String::new(),
        Domain::Package => own_slot.unwrap_or_else(|| device.to_owned()),
        _ => parent_slot(device, found),
    };
    Zone {
        device: Arc::from(device),
        domain,
        slot: Arc::from(slot),
        mmio: device.starts_with("intel-rapl-mmio"),
        energy_path: entry.path.join("energy_uj"),
        range: files::read_number(&entry.path.join("max_energy_range_uj")).ok().filter(|range| *range > 0),
        max_power: files::read_number(&entry.path.join("constraint_0_max_power_uw")).ok().map(microwatts),
    }
}

/// What a zone's name stands for, and its slot where the name tells it.
fn parse_name(name: &str) -> (Domain, Option<String>) {
    match name {
        "dram" => (Domain::Dram, None),
        "core" => (Domain::Core, None),
        "uncore" => (Domain::Uncore, None),
        "psys" => (Domain::Psys, None),
        "package" => (Domain::Package, None),
        _ => match name.strip_prefix("package-") {
            Some(slot) if is_slot(slot) => (Domain::Package, Some(slot.to_owned())),
            _ => (Domain::Unknown, None),
        },
    }
}

/// `0` or `0-die-1`.
fn is_slot(text: &str) -> bool {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once("-die-") {
        Some((socket, die)) => number(socket) && number(die),
        None => number(text),
    }
}

fn parent_slot(device: &str, found: &BTreeMap<String, Found>) -> String {
    let mut ancestor = device;
    while let Some((parent, _)) = ancestor.rsplit_once(':') {
        if let Some(name) = found.get(parent).and_then(|entry| entry.name.as_deref())
            && let (Domain::Package, slot) = parse_name(name)
        {
            return slot.unwrap_or_else(|| parent.to_owned());
        }
        ancestor = parent;
    }
    // A sub-zone without a package stands for itself.
    device.to_owned()
}

#[allow(clippy::cast_precision_loss, reason = "a power limit needs no more than 53 bits")]
fn microwatts(value: u64) -> Watts {
    Watts(value as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meters::fixture::Node;

    fn summary(node: &Node) -> Vec<String> {
        let zones = RaplReader::new(node.sysfs()).scan().unwrap();
        zones.iter().map(|zone| format!("{} {} {}", zone.device, zone.domain.as_str(), zone.slot)).collect()
    }

    #[test]
    fn a_machine_without_powercap_is_an_error_of_the_class_directory() {
        let node = Node::new();
        let error = RaplReader::new(node.sysfs()).scan().unwrap_err();
        assert_eq!(error.failure, ReadFailure::NotFound);
        assert!(error.path.ends_with("class/powercap"));
    }

    #[test]
    fn linked_zones_of_two_sockets_are_found_once() {
        let node = Node::new();
        for socket in 0..2 {
            let package = format!("intel-rapl:{socket}");
            node.linked_zone(&[&package], &format!("package-{socket}"), 1);
            node.linked_zone(&[&package, &format!("{package}:0")], "core", 1);
            node.linked_zone(&[&package, &format!("{package}:1")], "dram", 1);
        }
        assert_eq!(
            summary(&node),
            [
                "intel-rapl:0 package 0",
                "intel-rapl:0:0 core 0",
                "intel-rapl:0:1 dram 0",
                "intel-rapl:1 package 1",
                "intel-rapl:1:0 core 1",
                "intel-rapl:1:1 dram 1",
            ]
        );
    }

    #[test]
    fn dies_psys_mmio_and_unknown_names_are_told_apart() {
        let node = Node::new();
        node.zone("intel-rapl:0", "package-0-die-0", 1);
        node.zone("intel-rapl:0/intel-rapl:0:0", "dram", 1);
        node.zone("intel-rapl:1", "psys", 1);
        node.zone("intel-rapl:2", "package-0-die-1", 1);
        node.zone("intel-rapl:3", "package-x", 1);
        node.zone("intel-rapl-mmio:0", "package-0", 1);
        node.zone("dtpm:0", "package-7", 1);
        assert_eq!(
            summary(&node),
            [
                "intel-rapl-mmio:0 package 0",
                "intel-rapl:0 package 0-die-0",
                "intel-rapl:0:0 dram 0-die-0",
                "intel-rapl:1 psys ",
                "intel-rapl:2 package 0-die-1",
                "intel-rapl:3 unknown intel-rapl:3",
            ]
        );
        assert!(RaplReader::new(node.sysfs()).scan().unwrap()[0].mmio);
    }

    #[test]
    fn limits_are_read_and_garbage_in_them_is_no_limit() {
        let node = Node::new();
        node.zone("intel-rapl:0", "package-0", 5);
        node.write("class/powercap/intel-rapl:0/constraint_0_max_power_uw", b"200000000\n");
        let reader = RaplReader::new(node.sysfs());
        let zone = reader.scan().unwrap().remove(0);
        assert_eq!((zone.range, zone.max_power), (Some(262_143_328_850), Some(Watts(200.0))));
        assert_eq!(files::read_number(&zone.energy_path), Ok(5));
        node.write("class/powercap/intel-rapl:0/max_energy_range_uj", b"\xff\n");
        assert_eq!(reader.scan().unwrap()[0].range, None);
    }

    #[test]
    fn zones_that_are_broken_or_vanish_do_no_harm() {
        let node = Node::new();
        node.zone("intel-rapl:0", "package-0", 5);
        node.write("class/powercap/intel-rapl:1/name", b"\xff\xfe");
        node.write("class/powercap/intel-rapl:2/name", b"");
        node.link("class/powercap/intel-rapl:3", "gone");
        node.link("class/powercap/intel-rapl:0/intel-rapl:0:9", "..");
        let reader = RaplReader::new(node.sysfs());
        let zones = reader.scan().unwrap();
        assert_eq!(
            summary(&node),
            [
                "intel-rapl:0 package 0",
                "intel-rapl:1 unknown intel-rapl:1",
                "intel-rapl:2 unknown intel-rapl:2"
            ]
        );
        node.remove("class/powercap/intel-rapl:0");
        assert_eq!(files::read_number(&zones[0].energy_path), Err(ReadFailure::NotFound));
        assert_eq!(summary(&node).len(), 2);
    }
}
