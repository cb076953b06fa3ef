//! Finds energy and power inputs under `/sys/class/hwmon`: `amd_energy` and the ACPI power meter.
//!
//! `amd_energy` (Documentation/hwmon/amd_energy.rst, v5.8 to v5.12, later outside the kernel) counts microjoules
//! per core and per socket in 64 bits; only the sockets are read, the cores lie inside them.
//! `acpi_power_meter` (Documentation/hwmon/acpi_power_meter.rst) shows the power of one ACPI device: the whole
//! machine on most servers, one rail per device on NVIDIA Grace, whose firmware names them in `power1_oem_info`.
//! Inputs of GPU drivers belong to the GPU room; fans, batteries and voltage regulators to nobody.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::meters::Domain;
use crate::meters::files::{self, ReadError};

/// Firmware writes what it likes into labels.
const MAX_LABEL: usize = 64;

/// What an input counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Microjoules since boot, in 64 bits.
    Energy,
    /// Microwatts, now or as a mean over the meter's own interval.
    Power,
}

/// One input, as found by a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its label (`Esocket0`, `CPU Power Socket 0`) or the ACPI device (`ACPI000D:00`); unique.
    pub device: Arc<str>,
    /// What it covers.
    pub domain: Domain,
    /// The socket; empty for the whole node.
    pub slot: Arc<str>,
    /// What it counts.
    pub kind: InputKind,
    /// The file.
    pub path: PathBuf,
}

/// Finds hwmon inputs under one sysfs.
#[derive(Clone, Debug)]
pub struct HwmonReader {
    root: PathBuf,
}

impl HwmonReader {
    /// A reader for the sysfs mounted at `sysfs`.
    pub fn new(sysfs: &Path) -> Self {
        Self { root: sysfs.join("class/hwmon") }
    }

    /// The directory that is searched.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks for inputs. An error means that the class directory itself can't be listed.
    pub fn scan(&self) -> Result<Vec<Input>, ReadError> {
        let names = files::list_names(&self.root).map_err(|failure| ReadError::new(&self.root, failure))?;
        let mut inputs = Vec::new();
        for name in names.iter().filter(|name| name.starts_with("hwmon")) {
            let chip = Chip { name, path: self.root.join(name) };
            match chip.text("name").as_deref() {
                Some("amd_energy") => inputs.extend(chip.sockets()),
                Some("power_meter") => inputs.extend(chip.power_meter()),
                _ => {}
            }
        }
        // Two devices with one label would be one meter to everybody else.
        let mut taken = BTreeSet::new();
        for input in &mut inputs {
            let mut device = input.device.to_string();
            let mut copy = 2;
            while !taken.insert(device.clone()) {
                device = format!("{} #{copy}", input.device);
                copy += 1;
            }
            input.device = Arc::from(device);
        }
        Ok(inputs)
    }
}

struct Chip<'a> {
    name: &'a str,
    path: PathBuf,
}

impl Chip<'_> {
    /// Attributes sit beside the chip, or with older drivers at its device.
    fn directories(&self) -> [PathBuf; 2] {
        [self.path.clone(), self.path.join("device")]
    }

    fn text(&self, file: &str) -> Option<String> {
        self.directories().iter().find_map(|directory| files::read_text(&directory.join(file)).ok())
    }

    fn find(&self, file: &str) -> Option<PathBuf> {
        self.directories().iter().map(|directory| directory.join(file)).find(|path| path.exists())
    }

    fn sockets(&self) -> Vec<Input> {
        let mut inputs = Vec::new();
        for directory in self.directories() {
            for file in files::list_names(&directory).unwrap_or_default() {
                let Some(stem) = file.strip_suffix("_label").filter(|stem| stem.starts_with("energy")) else {
                    continue;
                };
                let Ok(label) = files::read_text(&directory.join(&file)) else {
                    continue;
                };
                let Some(socket) = label.strip_prefix("Esocket").filter(|socket| is_number(socket)) else {
                    continue;
                };
                inputs.push(Input {
                    slot: Arc::from(without_zeros(socket)),
                    device: Arc::from(label.as_str()),
                    domain: Domain::Package,
                    kind: InputKind::Energy,
                    path: directory.join(format!("{stem}_input")),
                });
            }
            if !inputs.is_empty() {
                break;
            }
        }
        inputs
    }

    fn power_meter(&self) -> Option<Input> {
        let path = self.find("power1_average").or_else(|| self.find("power1_input"))?;
        let label = self.text("power1_label").or_else(|| self.text("power1_oem_info"));
        let battery = self.find("power1_is_battery").map(|path| files::read_number(&path));
        let (domain, slot) = match (&label, battery) {
            // The charge and discharge of a battery is no consumption.
            (_, Some(Ok(1..))) => (Domain::Unknown, String::new()),
            (Some(label), _) => parse_label(label),
            (None, _) => (Domain::Node, String::new()),
        };
        let device = match (label, domain) {
            (Some(label), domain) if domain != Domain::Node => label.chars().take(MAX_LABEL).collect(),
            _ => self.acpi_name(),
        };
        Some(Input { device: Arc::from(device), domain, slot: Arc::from(slot), kind: InputKind::Power, path })
    }

    /// `ACPI000D:00` keeps its name over boots, hwmon's numbers don't.
    fn acpi_name(&self) -> String {
        let device = self.path.join("device").canonicalize().ok();
        device
            .as_deref()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .filter(|name| *name != "device")
            .unwrap_or(self.name)
            .to_owned()
    }
}

/// What a power meter's label stands for. Grace's firmware writes `Module Power Socket 0` and the like; a label
/// that speaks of a socket in other words is a part of unknown extent, any other text (vendor, model) means
/// nothing, and the meter is the machine's.
fn parse_label(label: &str) -> (Domain, String) {
    let words: Vec<&str> = label.split_ascii_whitespace().collect();
    if let [what, "Power", "Socket", socket] = words.as_slice()
        && is_number(socket)
    {
        let domain = match *what {
            "Module" => Domain::Module,
            "Grace" => Domain::Grace,
            "CPU" => Domain::Package,
            "SysIO" => Domain::Sysio,
            _ => Domain::Unknown,
        };
        return (domain, without_zeros(socket).to_owned());
    }
    let partial = label.to_ascii_lowercase().contains("socket");
    (if partial { Domain::Unknown } else { Domain::Node }, String::new())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn without_zeros(number: &str) -> &str {
    let trimmed = number.trim_start_matches('0');
    if trimmed.is_empty() { "0" } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meters::fixture::Node;

    fn summary(node: &Node) -> Vec<String> {
        let inputs = HwmonReader::new(node.sysfs()).scan().unwrap();
        inputs
            .iter()
            .map(|input| {
                format!("{} {} {} {:?}", input.device, input.domain.as_str(), input.slot, input.kind)
            })
            .collect()
    }

    #[test]
    fn grace_rails_are_told_apart_by_their_labels() {
        let node = Node::new();
        for (number, rail) in ["Module", "Grace", "CPU", "SysIO", "GPU"].iter().enumerate() {
            let label = format!("{rail} Power Socket 1");
            node.power_meter(&format!("hwmon{number}"), Some(&label), 62_000_000);
        }
        assert_eq!(
            summary(&node),
            [
                "Module Power Socket 1 module 1 Power",
                "Grace Power Socket 1 grace 1 Power",
                "CPU Power Socket 1 package 1 Power",
                "SysIO Power Socket 1 sysio 1 Power",
                "GPU Power Socket 1 unknown 1 Power",
            ]
        );
    }

    #[test]
    fn a_meter_without_a_telling_label_is_the_node() {
        let node = Node::new();
        node.power_meter("hwmon0", None, 250_000_000);
        node.power_meter("hwmon1", Some("ACME Power Controller"), 250_000_000);
        node.power_meter("hwmon2", Some("Total Power in uW socket 0"), 250_000_000);
        node.power_meter("hwmon3", None, 250_000_000);
        node.write("class/hwmon/hwmon3/power1_is_battery", b"1\n");
        assert_eq!(
            summary(&node),
            [
                "hwmon0 node  Power",
                "hwmon1 node  Power",
                "Total Power in uW socket 0 unknown  Power",
                "hwmon3 unknown  Power",
            ]
        );
    }

    #[test]
    fn attributes_may_sit_at_the_device_and_name_it() {
        let node = Node::new();
        node.write("devices/ACPI000D:00/name", b"power_meter\n");
        node.write("devices/ACPI000D:00/power1_average", b"300000000\n");
        node.link("devices/ACPI000D:00/hwmon/hwmon4/device", "../..");
        node.link("class/hwmon/hwmon4", "../../devices/ACPI000D:00/hwmon/hwmon4");
        assert_eq!(summary(&node), ["ACPI000D:00 node  Power"]);
        let reader = HwmonReader::new(node.sysfs());
        assert_eq!(files::read_number(&reader.scan().unwrap()[0].path), Ok(300_000_000));
    }

    #[test]
    fn amd_energy_gives_its_sockets_and_gpus_give_nothing() {
        let node = Node::new();
        node.amd_energy("hwmon0", &["Ecore000", "Ecore001", "Esocket0", "Esocket1"]);
        for driver in ["amdgpu", "i915", "xe", "nouveau", "coretemp"] {
            let chip = format!("class/hwmon/hwmon-{driver}");
            node.write(&format!("{chip}/name"), driver.as_bytes());
            node.write(&format!("{chip}/energy1_input"), b"5\n");
            node.write(&format!("{chip}/power1_average"), b"5\n");
        }
        assert_eq!(summary(&node), ["Esocket0 package 0 Energy", "Esocket1 package 1 Energy"]);
    }

    #[test]
    fn equal_labels_stay_apart_and_garbage_does_no_harm() {
        let node = Node::new();
        node.power_meter("hwmon0", Some("CPU Power Socket 0"), 1);
        node.power_meter("hwmon1", Some("CPU Power Socket 0"), 1);
        node.write("class/hwmon/hwmon2/name", b"\xff");
        node.write("class/hwmon/hwmon3/name", b"power_meter\n");
        node.link("class/hwmon/hwmon4", "gone");
        assert_eq!(
            summary(&node),
            ["CPU Power Socket 0 package 0 Power", "CPU Power Socket 0 #2 package 0 Power"]
        );
    }
}
