//! AMD and Intel devices, through sysfs and the fdinfo of the processes that use them. No vendor library is loaded.
//!
//! A device is a card of `amdgpu`, `i915` or `xe` in `/sys/class/drm`. Its energy comes from its hwmon chip: a counter
//! of microjoules on Intel's cards, an average power on AMD's, which is integrated. Who uses it stands in
//! `/proc/PID/fdinfo` (kernel documentation, "DRM client usage stats"), and for ROCm in `/sys/class/kfd/kfd/proc`.
//!
//! What can't be told here: the work of ROCm's compute queues, the use of integrated Intel graphics' energy (it lies
//! inside the package's), and how busy an Intel device is as a whole.

use std::path::PathBuf;
use std::sync::Arc;

use crate::gpu::{BackendFailure, Found, GpuBackend, GpuSettings, Search};

mod attribute;
mod card;
#[cfg(test)]
mod client_tests;
mod fdinfo;
#[cfg(test)]
mod fixture;
mod kfd;
mod processes;
mod reader;
mod scan;
mod share;
#[cfg(test)]
mod tests;

use reader::CardReader;
use share::SharedScanner;

/// The backend of AMD's and Intel's devices.
#[derive(Debug)]
pub struct DrmBackend {
    sysfs: PathBuf,
    procfs: PathBuf,
    scanner: Arc<SharedScanner>,
}

impl DrmBackend {
    /// A backend for the sysfs and procfs of the settings. Nothing is read before the first search.
    pub fn new(settings: &GpuSettings) -> Self {
        let (sysfs, procfs) = (&settings.sysfs, &settings.procfs);
        Self {
            sysfs: sysfs.clone(),
            procfs: procfs.clone(),
            scanner: Arc::new(SharedScanner::new(procfs, sysfs)),
        }
    }
}

impl GpuBackend for DrmBackend {
    fn name(&self) -> &'static str {
        "drm"
    }

    /// A machine without such a card is no failure, and a search costs one listing.
    fn absent(&self) -> Option<BackendFailure> {
        None
    }

    fn find(&mut self) -> Result<Search, BackendFailure> {
        let (cards, failed) = card::find(&self.sysfs);
        let found = cards
            .into_iter()
            .map(|card| {
                let identity = card.identity.clone();
                let mut reader = CardReader::new(card, &self.sysfs, Arc::clone(&self.scanner));
                Found { identity, reader: Box::new(move |now| reader.read(now)) }
            })
            .collect();
        Ok(Search { found, failed })
    }

    /// The next search gets a scanner of its own, so that one that hangs is left behind with its readers.
    fn forget(&mut self) {
        self.scanner = Arc::new(SharedScanner::new(&self.procfs, &self.sysfs));
    }
}
