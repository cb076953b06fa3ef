//! A node's GPUs, imitated: what they cost beside everything else.

use std::fs;
use std::path::{Path, PathBuf};

use nvidia_ml::scenario::{Device, Process, Scenario};
use nvidia_ml::{calls, library_in};

use crate::Outcome;
use crate::machine::Load;

const DEVICES: u8 = 8;
const CLIENTS: usize = 64;

/// The imitation, and who uses it.
#[derive(Debug)]
pub(crate) struct Gpus {
    directory: PathBuf,
}

impl Gpus {
    /// Eight devices that work, each shared by eight processes of the load. `None` if that has too few.
    pub(crate) fn of(load: &Load) -> Outcome<Option<Self>> {
        let pids = load.pids()?;
        if pids.len() < CLIENTS {
            return Ok(None);
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load-gpus");
        fs::create_dir_all(&directory)?;
        library_in(&directory)?;
        let devices =
            (0..DEVICES).zip(pids.chunks(CLIENTS / usize::from(DEVICES))).map(|(number, clients)| {
                let device = Device { gpu_utilization: 80, ..Device::hopper(number) }.power(0, 400.0);
                clients
                    .iter()
                    .fold(device, |device, &pid| device.process(Process::compute(pid).sm(10).memory(1 << 30)))
            });
        Scenario::of(devices).save(&directory.join("scenario.json"))?;
        Ok(Some(Self { directory }))
    }

    /// What the library needs to know. It counts its calls, for half a microsecond each.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("FAKE_NVML_SCENARIO", self.directory.join("scenario.json")), ("FAKE_NVML_CALLS", self.calls_file())]
    }

    pub(crate) fn flag(&self) -> String {
        format!("--nvml.library={}", self.directory.join("libnvidia-ml.so.1").display())
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> u64 {
        calls::read(&self.calls_file()).values().sum()
    }

    fn calls_file(&self) -> PathBuf {
        self.directory.join("calls")
    }
}
