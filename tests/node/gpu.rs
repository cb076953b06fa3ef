//! GPUs, through a library that imitates NVML: what is scraped must be what the scenario says.

pub(crate) mod burst;
mod calls;
mod driver;
mod energy;
mod errors;
mod evidence;
mod hang;
mod hardware;
mod held;
mod mig;
mod mps;
mod namespaces;
mod parked;
mod random;
mod survey;
mod turnover;
mod witness;

use std::fs;
use std::path::PathBuf;
use std::thread;

use nvidia_ml::scenario::Scenario;
use nvidia_ml::{library_in, monotonic_ns};
use tempfile::TempDir;

use crate::daemon::{Daemon, PATIENCE};
use crate::exposition::Exposition;
use crate::snapshot::Snapshot;
use crate::{assert_close, wait_for};

/// How far joules may be from the scenario's own.
pub(crate) const TOLERANCE: f64 = 0.01;

/// Short waits and short ticks; but no device is late on a busy machine.
pub(crate) const HASTY: &str = "[gpu]
retry = \"200ms\"
deadline = \"3s\"
[sample]
interval = \"200ms\"
";

/// Runs each case in a thread of its own.
pub(crate) fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, case: impl Fn(T) + Sync) {
    let case = &case;
    thread::scope(|scope| {
        for one in cases {
            scope.spawn(move || case(one));
        }
    });
}

/// A scenario, and the library that plays it.
#[derive(Debug)]
pub(crate) struct Stage {
    files: TempDir,
    pub(crate) scenario: Scenario,
    pub(crate) library: PathBuf,
}

impl Stage {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let library = library_in(files.path()).expect("the library");
        let stage = Self { files, scenario, library };
        stage.play();
        stage
    }

    fn path(&self) -> PathBuf {
        self.files.path().join("scenario.json")
    }

    fn play(&self) {
        self.scenario.save(&self.path()).expect("save the scenario");
    }

    /// Changes the scenario; the library plays the new one from its next call on.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Scenario)) {
        change(&mut self.scenario);
        self.play();
    }

    /// What the library needs to know.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let path = |file: PathBuf| file.display().to_string();
        vec![
            ("FAKE_NVML_SCENARIO".to_owned(), path(self.path())),
            ("FAKE_NVML_CALLS".to_owned(), path(self.files.path().join("calls"))),
        ]
    }

    /// Calls of each function so far.
    pub(crate) fn calls(&self) -> std::collections::BTreeMap<String, u64> {
        nvidia_ml::calls::read(&self.files.path().join("calls"))
    }

    pub(crate) fn flag(&self) -> String {
        format!("--nvml.library={}", self.library.display())
    }

    /// Starts the daemon on it, with the model for everything that is no GPU.
    pub(crate) fn start(&self, config: &str, arguments: &[&str]) -> Daemon {
        let flag = self.flag();
        let own = ["--no-collector.rapl", "--no-collector.hwmon", &flag];
        Daemon::in_environment(&self.environment(), config, &[&own, arguments].concat())
    }

    /// The scenario's energy of a device between two snapshots, in joules.
    pub(crate) fn joules(&self, uuid: &str, from_ns: u64, to_ns: u64) -> f64 {
        let device = self.scenario.device(uuid).expect(uuid);
        let millijoules = device.energy_mj_at(to_ns) - device.energy_mj_at(from_ns);
        // A test's energies are far below 2^53 mJ.
        millijoules as f64 / 1000.0
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What hangs in the library must not outlive the test.
        let _ = fs::remove_file(self.path());
    }
}

/// Two looks at a daemon some seconds apart, on the clock of the scenario.
#[derive(Debug)]
pub(crate) struct Span {
    before: (u64, Snapshot),
}

impl Span {
    /// Begins at the daemon's last tick.
    pub(crate) fn begin(daemon: &Daemon) -> Self {
        let snapshot = daemon.ticks(1);
        Self { before: (tick_ns(&snapshot), snapshot) }
    }

    /// Ends some ticks later.
    pub(crate) fn end(self, daemon: &Daemon, ticks: u64) -> (Snapshot, Snapshot, u64, u64) {
        let after = daemon.ticks(ticks);
        let end = tick_ns(&after);
        (self.before.1, after, self.before.0, end)
    }
}

/// When a snapshot's tick began, which is when its GPUs were asked, on the monotonic clock.
pub(crate) fn tick_ns(snapshot: &Snapshot) -> u64 {
    let (now_ns, now) = wait_for("two clocks read at once", PATIENCE, || {
        let (before, now, after) = (monotonic_ns(), unix_seconds(), monotonic_ns());
        (after - before < 1_000_000).then_some((before, now))
    });
    let age = now - snapshot.unix_time() + snapshot.sample_seconds();
    let age = std::time::Duration::from_secs_f64(age.max(0.0));
    now_ns - u64::try_from(age.as_nanos()).expect("a short time")
}

pub(crate) fn unix_seconds() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs_f64()
}

/// Both scrapes' sums are right, and no counter fell from one to the other.
pub(crate) fn assert_sound(before: &Exposition, after: &Exposition) {
    before.assert_never_falls(after);
    assert_gpus_conserved(after);
}

/// Each GPU's energy is what its owners got.
pub(crate) fn assert_gpus_conserved(scrape: &Exposition) {
    let mut all = 0.0;
    for gpu in scrape.select("wattprint_gpu_energy_joules_total", &[]) {
        let uuid = gpu.labels.get("uuid").expect("uuid");
        let kinds = scrape.select("wattprint_gpu_owner_energy_joules_total", &[("uuid", uuid)]);
        let sum: f64 = kinds.iter().map(|sample| sample.value).sum();
        assert!((sum - gpu.value).abs() < 1e-6, "{uuid}: {sum} of {}", gpu.value);
        all += gpu.value;
    }
    let node = scrape.select("wattprint_node_energy_joules_total", &[("component", "gpu")]);
    let node = node.first().map_or(0.0, |sample| sample.value);
    assert!((all - node).abs() < 1e-6, "the GPUs have {all}, the node {node}");
}

/// Energy of one GPU is what the scenario says.
pub(crate) fn assert_true(stage: &Stage, uuid: &str, snapshots: &(Snapshot, Snapshot, u64, u64)) {
    let (before, after, from, to) = snapshots;
    let seen = after.gpu_joules(uuid) - before.gpu_joules(uuid);
    assert_close(uuid, seen, stage.joules(uuid, *from, *to), TOLERANCE);
}
