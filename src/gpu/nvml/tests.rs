use std::path::Path;
use std::time::Duration;

use super::*;

mod energy;
mod mig;
mod rig;
mod search;
mod use_of_devices;

fn settings(sysfs: &Path, library: Option<&str>) -> GpuSettings {
    GpuSettings {
        procfs: PathBuf::from("/proc"),
        sysfs: sysfs.to_path_buf(),
        nvml: true,
        drm: false,
        simulate: false,
        library: library.map(PathBuf::from),
        deadline: Duration::from_secs(1),
        interval: Duration::from_secs(1),
        retry: Duration::from_secs(10),
        release: Duration::from_secs(60),
    }
}

#[test]
fn bus_ids_are_written_as_the_kernel_does() {
    for (nvml, expected) in [
        ("00000000:0A:00.0", "0000:0a:00.0"),
        ("00010000:C1:00.0", "10000:c1:00.0"),
        ("0000:17:00.0", "0000:17:00.0"),
        ("", ""),
        (":", ":"),
        ("aé000:1", "aé000:1"),
    ] {
        assert_eq!(pci_bus_id(nvml), expected);
    }
}

#[test]
fn without_the_module_no_library_is_loaded() {
    let sysfs = tempfile::tempdir().unwrap();
    let failure = NvmlBackend::new(&settings(sysfs.path(), None)).absent().unwrap();
    assert_eq!(&*failure.reason, "driver not loaded");
    assert!(failure.detail.contains("module/nvidia"));
    std::fs::create_dir_all(sysfs.path().join("module/nvidia")).unwrap();
    assert_eq!(NvmlBackend::new(&settings(sysfs.path(), None)).absent(), None);
}

#[test]
fn a_configured_library_is_tried_in_any_case() {
    let sysfs = tempfile::tempdir().unwrap();
    let mut backend = NvmlBackend::new(&settings(sysfs.path(), Some("/nowhere/libnvidia-ml.so.1")));
    assert_eq!(backend.absent(), None);
    let failure = backend.find().unwrap_err();
    assert_eq!(&*failure.reason, "library can't be loaded");
    assert!(failure.detail.contains("/nowhere/libnvidia-ml.so.1"));
    assert!(!failure.needs_new_container);
}
