//! Finds the cards of one sysfs, and names them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::gpu::{GpuIdentity, Vendor};
use crate::meters::files::{self, ReadFailure};

/// The kernel drivers whose cards are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Driver {
    /// AMD's.
    Amdgpu,
    /// Intel's older one.
    I915,
    /// Intel's newer one.
    Xe,
}

impl Driver {
    /// The driver of this name, if it is one of them.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Amdgpu, Self::I915, Self::Xe].into_iter().find(|driver| driver.as_str() == name)
    }

    /// The kernel module's name; hwmon chips and fdinfo carry it, too.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Amdgpu => "amdgpu",
            Self::I915 => "i915",
            Self::Xe => "xe",
        }
    }

    const fn vendor(self) -> Vendor {
        match self {
            Self::Amdgpu => Vendor::Amd,
            Self::I915 | Self::Xe => Vendor::Intel,
        }
    }
}

/// A card that was found.
#[derive(Debug)]
pub(super) struct Card {
    /// Its names.
    pub(super) identity: GpuIdentity,
    /// Its driver.
    pub(super) driver: Driver,
    /// `class/drm/cardN/device`, the way to it.
    pub(super) link: PathBuf,
    /// The directory that the way led to: another device that gets the card's number has another.
    pub(super) device: PathBuf,
    /// The PCI device id in hexadecimal, without `0x`.
    pub(super) device_id: String,
}

/// Places and reasons of cards that can't be used.
pub(super) type Failed = Vec<(Arc<str>, Arc<str>)>;

/// Looks for cards of the known drivers, in the order of their numbers.
pub(super) fn find(sysfs: &Path) -> (Vec<Card>, Failed) {
    let class = sysfs.join("class/drm");
    let names = match files::list_names(&class) {
        Ok(names) => names,
        Err(ReadFailure::NotFound) => return (Vec::new(), Vec::new()),
        Err(failure) => return (Vec::new(), vec![(Arc::from("class/drm"), reason(failure))]),
    };
    // `card0` is a card, `card0-DP-1` a connector of it.
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| name.strip_prefix("card")?.parse().ok()).collect();
    numbers.sort_unstable();
    let (mut cards, mut failed) = (Vec::new(), Vec::new());
    for number in numbers {
        let name = format!("card{number}");
        match look(sysfs, &class.join(&name).join("device"), &name) {
            Some(Ok(card)) => cards.push(card),
            Some(Err(failure)) => failed.push((Arc::from(name), reason(failure))),
            None => {}
        }
    }
    (cards, failed)
}

/// One card; none where it has a driver that isn't read here.
fn look(sysfs: &Path, link: &Path, name: &str) -> Option<Result<Card, ReadFailure>> {
    let device = std::fs::canonicalize(link).ok()?;
    let uevent = files::read_listing(&device.join("uevent")).unwrap_or_default();
    let driver = std::fs::read_link(device.join("driver"))
        .ok()
        .and_then(|target| Some(target.file_name()?.to_str()?.to_owned()))
        .or_else(|| property(&uevent, "DRIVER").map(str::to_owned))?;
    let driver = Driver::named(&driver)?;
    let Some(pci) = property(&uevent, "PCI_SLOT_NAME").map(str::to_ascii_lowercase) else {
        return Some(Err(ReadFailure::Empty));
    };
    let text = |file: &str| files::read_text(&device.join(file)).ok();
    let device_id = text("device").map_or_else(String::new, |id| id.trim_start_matches("0x").to_owned());
    let vendor = driver.vendor();
    let maker = match vendor {
        Vendor::Amd => "AMD",
        _ => "Intel",
    };
    let model = text("product_name").unwrap_or_else(|| format!("{maker} {device_id}").trim_end().to_owned());
    // Boards without a serial number have no such file; one of zeros would be no name.
    let uuid = match text("unique_id")
        .filter(|id| driver == Driver::Amdgpu && id.bytes().any(|byte| byte != b'0'))
    {
        Some(id) => format!("AMD-{id}"),
        None => format!("{}-{pci}", driver.as_str()),
    };
    let version = files::read_text(&sysfs.join("module").join(driver.as_str()).join("version")).ok();
    let driver_name = match version {
        Some(version) => format!("{} {version}", driver.as_str()),
        None => driver.as_str().to_owned(),
    };
    let identity = GpuIdentity {
        uuid: Arc::from(uuid),
        gpu: Arc::from(name),
        model: Arc::from(model),
        vendor,
        pci_bus_id: Arc::from(pci),
        driver: Arc::from(driver_name),
    };
    Some(Ok(Card { identity, driver, link: link.to_path_buf(), device, device_id }))
}

fn property<'a>(uevent: &'a str, key: &str) -> Option<&'a str> {
    uevent
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn reason(failure: ReadFailure) -> Arc<str> {
    Arc::from(match failure {
        ReadFailure::Empty => "no PCI address",
        ReadFailure::Denied => "permission denied",
        _ => "read error",
    })
}
