//! NVIDIA devices, through the driver's management library (NVML).
//!
//! The library is opened at run time, so a node without it runs the same binary. It stays initialised as long as
//! any device is read: with persistence mode off each initialisation wakes the devices, which takes a second and a
//! burst of power.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use crate::gpu::{BackendFailure, Found, GpuBackend, GpuIdentity, GpuSettings, Limitation, Search, Vendor};

mod accounting;
mod clients;
mod energy;
mod errors;
mod gpm;
mod latch;
mod mig;
mod raw;
mod reader;
mod ring;
mod splice;
mod work;

pub use raw::forget_mps_enumeration;

use errors::Fault;
use raw::Handle;
use reader::Reader;

/// What the dynamic linker is asked for.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// Finds NVIDIA devices and gives a reader for each.
pub struct NvmlBackend {
    module: PathBuf,
    library: Option<PathBuf>,
    nvml: Option<Arc<Nvml>>,
}

impl fmt::Debug for NvmlBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NvmlBackend").field("library", &self.library).finish_non_exhaustive()
    }
}

impl NvmlBackend {
    /// A backend that has loaded nothing yet. It uses `sysfs` and `library` of the settings.
    pub fn new(settings: &GpuSettings) -> Self {
        Self { module: settings.sysfs.join("module/nvidia"), library: settings.library.clone(), nvml: None }
    }

    fn library(&self) -> &Path {
        self.library.as_deref().unwrap_or(Path::new(LIBRARY))
    }

    fn load(&mut self) -> Result<Arc<Nvml>, BackendFailure> {
        let nvml = Nvml::builder()
            .lib_path(self.library().as_os_str())
            .init()
            .map_err(|error| errors::no_start(&error, self.library()))?;
        let nvml = raw::share(nvml);
        self.nvml = Some(Arc::clone(&nvml));
        Ok(nvml)
    }
}

impl GpuBackend for NvmlBackend {
    fn name(&self) -> &'static str {
        "nvml"
    }

    /// Whether the driver's module is loaded, unless a library is configured. Without this look, initialising as
    /// root would load the module or make device nodes on nodes that have no such device.
    fn absent(&self) -> Option<BackendFailure> {
        let seen = self.library.is_some() || self.module.exists();
        (!seen).then(|| errors::no_driver(&self.module))
    }

    fn find(&mut self) -> Result<Search, BackendFailure> {
        let first = match &self.nvml {
            Some(nvml) => enumerate(nvml),
            None => enumerate(&self.load()?),
        };
        let result = match first {
            Err(NvmlError::Uninitialized) => {
                self.forget();
                enumerate(&self.load()?)
            }
            result => result,
        };
        result.map_err(|error| {
            self.forget();
            errors::refusal(&error, self.library())
        })
    }

    fn forget(&mut self) {
        self.nvml = None;
    }
}

/// All devices. An error means that the library doesn't even count them, or isn't initialised.
fn enumerate(nvml: &Arc<Nvml>) -> Result<Search, NvmlError> {
    let driver: Arc<str> = match nvml.sys_driver_version() {
        Ok(version) => Arc::from(format!("nvidia {version}")),
        Err(_) => Arc::from("nvidia"),
    };
    let mut search = Search::default();
    for index in 0..nvml.device_count()? {
        match open(nvml, index, &driver) {
            Ok(found) => search.found.push(found),
            Err(NvmlError::Uninitialized) => return Err(NvmlError::Uninitialized),
            Err(error) => {
                search.failed.push((Arc::from(index.to_string()), Arc::from(Fault::of(&error).reason())));
            }
        }
    }
    Ok(search)
}

fn open(nvml: &Arc<Nvml>, index: u32, driver: &Arc<str>) -> Result<Found, NvmlError> {
    let handle = Handle::by_index(nvml, index)?;
    let device = handle.device();
    let identity = GpuIdentity {
        uuid: Arc::from(device.uuid()?),
        gpu: Arc::from(index.to_string()),
        model: Arc::from(device.name()?),
        vendor: Vendor::Nvidia,
        pci_bus_id: Arc::from(pci_bus_id(&device.pci_info()?.bus_id)),
        driver: Arc::clone(driver),
    };
    let mut reader = Reader::new(handle, &identity.model);
    Ok(Found { identity, reader: Box::new(move |now| reader.read(now)) })
}

/// NVML writes eight digits of domain and capital letters, the kernel four digits and small ones.
fn pci_bus_id(nvml: &str) -> String {
    let id = nvml.to_ascii_lowercase();
    let Some((domain, rest)) = id.split_once(':') else {
        return id;
    };
    match domain.len().checked_sub(4).and_then(|extra| domain.split_at_checked(extra)) {
        Some((extra, domain)) => format!("{}{domain}:{rest}", extra.trim_start_matches('0')),
        None => id,
    }
}

fn limitation(what: &'static str, reason: &'static str, remedy: Option<&'static str>) -> Limitation {
    Limitation { what, reason: Arc::from(reason), remedy }
}

#[cfg(test)]
mod tests;
