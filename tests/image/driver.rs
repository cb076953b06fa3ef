//! The driver's library, which is on the host and not in the image.

use std::fs;

use crate::container::Container;
use crate::daemonset::Pod;

/// Where NVIDIA's container toolkit mounts it in an image of Debian's layout.
#[cfg(target_arch = "x86_64")]
const PLACE: &str = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1";
#[cfg(target_arch = "aarch64")]
const PLACE: &str = "/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1";

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn the_drivers_library_is_found_where_the_toolkit_mounts_it() {
    let files = tempfile::tempdir().unwrap();
    let library = nvidia_ml::library_in(files.path()).unwrap();
    let scenario = files.path().join("scenario.json");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake-nvml/examples/two-gpus.json");
    fs::copy(example, &scenario).unwrap();
    // The module is looked for in sysfs before anything is loaded.
    fs::create_dir_all(files.path().join("sys/module/nvidia")).unwrap();

    let pod = Pod::rendered().without_mount("/host/sys");
    let mut options = pod.run_options();
    options.push(format!("--volume={}:{PLACE}:ro", library.display()));
    options.push(format!("--volume={}:/scenario.json:ro", scenario.display()));
    options.push(format!("--volume={}:/host/sys:ro", files.path().join("sys").display()));
    options.push("--env=FAKE_NVML_SCENARIO=/scenario.json".to_owned());
    let daemon = Container::start("driver", &options, &pod.arguments).ready();
    let check = daemon.check();
    assert!(!check.contains("FAIL nvml"), "{check}");
    let cards = crate::wait_for("two cards", || {
        let found = daemon.scrape().select("wattprint_gpu_info", &[]).len();
        (found > 0).then_some(found)
    });
    assert_eq!(cards, 2);
}
