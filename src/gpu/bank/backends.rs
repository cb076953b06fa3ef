//! Which backends are switched on, and what they run in.

use crate::gpu::GpuSettings;
use crate::gpu::bank::BackendFactory;
use crate::gpu::drm::DrmBackend;
use crate::gpu::nvml::NvmlBackend;
use crate::gpu::simulated::SimulatedBackend;

/// The backends that are switched on. Made-up devices exclude all others.
pub(super) fn factories(settings: &GpuSettings) -> Vec<BackendFactory> {
    let mut factories: Vec<BackendFactory> = Vec::new();
    if settings.simulate {
        let settings = settings.clone();
        factories.push(Box::new(move || Box::new(SimulatedBackend::new(&settings))));
        return factories;
    }
    if settings.nvml {
        let settings = settings.clone();
        factories.push(Box::new(move || Box::new(NvmlBackend::new(&settings))));
    }
    if settings.drm {
        let settings = settings.clone();
        factories.push(Box::new(move || Box::new(DrmBackend::new(&settings))));
    }
    factories
}
