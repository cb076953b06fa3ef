//! Which backends are switched on, and what they run in.

use crate::gpu::GpuSettings;
use std::env;
use std::path::Path;

use crate::gpu::bank::BackendFactory;
use crate::gpu::drm::DrmBackend;
use crate::gpu::nvml::NvmlBackend;
use crate::gpu::simulated::SimulatedBackend;

/// What orchestrators and container runtimes leave in a container: variables, and files of Docker and Podman.
const VARIABLES: [&str; 2] = ["KUBERNETES_SERVICE_HOST", "container"];
const FILES: [&str; 2] = [".dockerenv", "run/.containerenv"];

/// Whether this runs in a container.
pub(super) fn in_container() -> bool {
    is_container(Path::new("/"), |name| env::var_os(name).is_some())
}

fn is_container(root: &Path, has_variable: impl Fn(&str) -> bool) -> bool {
    VARIABLES.into_iter().any(has_variable) || FILES.iter().any(|file| root.join(file).exists())
}

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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn containers_are_known_by_what_their_makers_leave() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_container(root.path(), |_| false));
        for name in ["KUBERNETES_SERVICE_HOST", "container"] {
            assert!(is_container(root.path(), |variable| variable == name), "{name}");
        }
        for file in [".dockerenv", "run/.containerenv"] {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("run")).unwrap();
            fs::write(root.path().join(file), "").unwrap();
            assert!(is_container(root.path(), |_| false), "{file}");
        }
    }
}
