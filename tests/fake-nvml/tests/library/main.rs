//! The library, read through the wrapper that the daemon reads it with.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod energy;
mod mig;
mod obstacles;
mod processes;

use std::path::PathBuf;
use std::time::Duration;

use nvidia_ml::scenario::{Device, Scenario};
use nvidia_ml::{SCENARIO_FILE, library_in, monotonic_ns};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use tempfile::TempDir;

/// Memory that a process holds, in the tests.
const GIB: u64 = 1 << 30;

/// A library with a scenario of its own.
struct Fixture {
    dir: TempDir,
    library: PathBuf,
}

impl Fixture {
    fn new(scenario: &Scenario) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = library_in(dir.path()).unwrap();
        let fixture = Self { dir, library };
        fixture.set(scenario);
        fixture
    }

    fn of(devices: impl IntoIterator<Item = Device>) -> Self {
        Self::new(&Scenario::of(devices))
    }

    fn set(&self, scenario: &Scenario) {
        scenario.save(&self.dir.path().join(SCENARIO_FILE)).unwrap();
    }

    fn init(&self) -> Result<Nvml, NvmlError> {
        Nvml::builder().lib_path(self.library.as_os_str()).init()
    }

    fn nvml(&self) -> Nvml {
        self.init().unwrap()
    }
}

/// Nanoseconds in a duration, as scenarios count.
fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

/// Waits until a moment of the scenario's clock; no test depends on its being exact.
fn wait_until(moment: u64) {
    while monotonic_ns() < moment {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The name of the variant, for errors that can't be compared.
fn kind<T>(result: Result<T, NvmlError>) -> String {
    match result {
        Ok(_) => "Ok".to_owned(),
        Err(error) => {
            let text = format!("{error:?}");
            text.split('(').next().unwrap_or_default().to_owned()
        }
    }
}
