//! A burst of power between two looks at a daemon. Before and after it the GPUs draw next to nothing, so what it
//! cost is known however late the looks are.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use nvidia_ml::monotonic_ns;
use nvidia_ml::scenario::{Device, Process, Segment};

use crate::cgroup::{Cgroup, Sandbox};
use crate::daemon::{Daemon, PATIENCE};
use crate::exposition::Exposition;
use crate::gpu::{Stage, TOLERANCE, assert_sound, tick_ns};
use crate::load::Load;
use crate::snapshot::Snapshot;
use crate::{assert_close, wait_for};

/// Ticks are short, so that tests are.
pub(crate) const QUICK: &str = "--sample.interval=250ms";
/// Power outside of bursts.
pub(crate) const REST: f64 = 2.0;
/// Power in a burst, and how long that lasts.
const BURST: (f64, Duration) = (400.0, Duration::from_millis(1_500));
/// How long before a burst the library must know of it.
const NOTICE: Duration = Duration::from_millis(100);

/// A container with a process that waits.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) load: Load,
    pub(crate) id: String,
    pub(crate) cgroup: Cgroup,
}

impl User {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let (cgroup, id) = sandbox.container();
        let load = one_more(&cgroup);
        Self { load, id, cgroup }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.load.pid()
    }

    /// Its process on a GPU, which works so many percent of the time and holds so many GiB.
    pub(crate) fn on_gpu(&self, sm: u32, gib: u64) -> Process {
        Process::compute(self.pid()).sm(sm).memory(gib << 30)
    }

    /// The `container_id` label.
    pub(crate) fn label(&self) -> &str {
        &self.id[..12]
    }
}

/// A process that waits, once it is in its cgroup.
pub(crate) fn one_more(cgroup: &Cgroup) -> Load {
    let load = Load::start(&[cgroup], &["hold", "0"]);
    arrive(cgroup, &load);
    load
}

/// Waits until a process is where it was sent.
pub(crate) fn arrive(cgroup: &Cgroup, load: &Load) {
    let pid = load.pid().to_string();
    wait_for("the process in its cgroup", PATIENCE, || {
        let pids = fs::read_to_string(cgroup.directory().join("cgroup.procs")).expect("cgroup.procs");
        pids.lines().any(|line| line == pid).then_some(())
    });
}

/// A device at rest.
pub(crate) fn at_rest(device: Device) -> Device {
    device.power(0, REST)
}

/// A burst of which the first look was taken.
#[derive(Debug)]
pub(crate) struct Running {
    from_ns: u64,
    before: Exposition,
    /// When power rises, and when it is at rest again.
    pub(crate) begin: Duration,
    end: Duration,
}

impl Running {
    /// Every GPU is going to draw 400 W for 1.5 s.
    pub(crate) fn begin(stage: &mut Stage, daemon: &Daemon) -> Self {
        let (watts, length) = BURST;
        Self::with(stage, daemon, |rest, begin| vec![(begin, watts), (begin + length, rest)])
    }

    /// `power` makes segments of the power at rest and the time to begin.
    fn with(
        stage: &mut Stage,
        daemon: &Daemon,
        power: impl Fn(f64, Duration) -> Vec<(Duration, f64)>,
    ) -> Self {
        let from_ns = tick_ns(&daemon.ticks(1));
        let before = daemon.scrape();
        let begin = now() + NOTICE;
        stage.change(|scenario| {
            for device in &mut scenario.devices {
                extend(&mut device.power, begin, &power);
                if let Some(module) = &mut device.module {
                    extend(&mut module.power, begin, &power);
                }
            }
        });
        let ends = stage.scenario.devices.iter().filter_map(|device| device.power.last());
        let end = ends.map(|segment| segment.from_ns).max().expect("power");
        Self { from_ns, before, begin, end: Duration::from_nanos(end) }
    }

    /// Waits until all is over and the daemon has seen it.
    pub(crate) fn end(self, stage: &Stage, daemon: &Daemon) -> Burst {
        let has_counter = |device: &Device| device.energy_counter;
        // Counters move up to 100 ms late, and power may be the mean of a second.
        let late = if stage.scenario.devices.iter().all(has_counter) { 100 } else { 1_200 };
        let end = self.end + Duration::from_millis(late);
        wait_for("the end of the burst", PATIENCE, || (now() > end).then_some(()));
        let last = daemon.ticks(1);
        let to_ns = tick_ns(&last);
        let after = daemon.scrape();
        assert_sound(&self.before, &after);
        let uuids = stage.scenario.devices.iter().map(|device| device.uuid.clone());
        let truth = uuids.map(|uuid| (uuid.clone(), stage.joules(&uuid, self.from_ns, to_ns))).collect();
        Burst { before: self.before, after, last, truth }
    }
}

/// The time of the scenario.
pub(crate) fn now() -> Duration {
    Duration::from_nanos(monotonic_ns())
}

/// Two looks at a daemon, and what happened between them.
#[derive(Debug)]
pub(crate) struct Burst {
    pub(crate) before: Exposition,
    pub(crate) after: Exposition,
    pub(crate) last: Snapshot,
    /// Joules by UUID.
    truth: BTreeMap<String, f64>,
}

impl Burst {
    /// Has every GPU draw 400 W for 1.5 s.
    pub(crate) fn play(stage: &mut Stage, daemon: &Daemon) -> Self {
        Running::begin(stage, daemon).end(stage, daemon)
    }

    /// The same, but power rises and falls in a straight line, so that readings of it tell the energy.
    pub(crate) fn slowly(stage: &mut Stage, daemon: &Daemon) -> Self {
        const STEPS: u32 = 150;
        const STEP: Duration = Duration::from_millis(10);
        let running = Running::with(stage, daemon, |rest, begin| {
            let rise = |step: u32| rest + (BURST.0 - rest) * f64::from(step) / f64::from(STEPS);
            let up = (1..=STEPS).map(|step| (begin + STEP * step, rise(step)));
            let down = (1..=STEPS).map(|step| (begin + STEP * (STEPS + 100 + step), rise(STEPS - step)));
            up.chain(down).collect()
        });
        running.end(stage, daemon)
    }

    /// Leaves power as it is for 1.5 s.
    pub(crate) fn none(stage: &mut Stage, daemon: &Daemon) -> Self {
        Running::with(stage, daemon, |rest, begin| vec![(begin + BURST.1, rest)]).end(stage, daemon)
    }

    /// What a counter, or all that have these labels, rose by.
    pub(crate) fn rise(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let sum =
            |scrape: &Exposition| scrape.select(name, labels).iter().map(|sample| sample.value).sum::<f64>();
        sum(&self.after) - sum(&self.before)
    }

    /// What a GPU really used.
    pub(crate) fn truth(&self, uuid: &str) -> f64 {
        *self.truth.get(uuid).expect(uuid)
    }

    /// What it was booked.
    pub(crate) fn gpu(&self, uuid: &str) -> f64 {
        self.rise("wattprint_gpu_energy_joules_total", &[("uuid", uuid)])
    }

    /// What went to a kind of beneficiary of it.
    pub(crate) fn kind(&self, uuid: &str, kind: &str) -> f64 {
        self.rise("wattprint_gpu_owner_energy_joules_total", &[("uuid", uuid), ("kind", kind)])
    }

    /// The GPU energy of a container in a state.
    pub(crate) fn state(&self, user: &User, state: &str) -> f64 {
        let labels = [("container_id", user.label()), ("component", "gpu"), ("state", state)];
        self.rise("wattprint_container_energy_joules_total", &labels)
    }

    /// The GPU energy of a process.
    pub(crate) fn process(&self, pid: u32) -> f64 {
        let labels = [("pid", &*pid.to_string()), ("component", "gpu")];
        self.rise("wattprint_process_energy_joules_total", &labels)
    }

    /// The GPU energy that nobody could be found for, by reason.
    pub(crate) fn unattributed(&self, reason: &str) -> f64 {
        let labels = [("component", "gpu"), ("reason", reason)];
        self.rise("wattprint_unattributed_energy_joules_total", &labels)
    }

    /// The exported rung.
    pub(crate) fn method(&self, uuid: &str) -> &str {
        let rows = self.after.select("wattprint_gpu_attribution_info", &[("uuid", uuid)]);
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!((rows[0].value - 1.0).abs() < 1e-9);
        &rows[0].labels["method"]
    }

    /// A GPU was booked what it used, and each container its share of that (0 to 1) by this rung.
    pub(crate) fn assert_shares(&self, uuid: &str, method: &str, shares: &[(&User, f64)]) {
        let truth = self.truth(uuid);
        assert_eq!(self.method(uuid), method, "{uuid}");
        assert_close(uuid, self.gpu(uuid), truth, TOLERANCE);
        for (place, (user, share)) in shares.iter().enumerate() {
            let labels = [("uuid", uuid), ("container_id", user.label())];
            let seen = self.rise("wattprint_gpu_container_energy_joules_total", &labels);
            let what = format!("{uuid}, owner {place}");
            if *share > 0.0 {
                assert_close(&what, seen, truth * share, TOLERANCE);
            } else {
                assert!(seen < truth * 1e-3, "{what}: {seen} of {truth}");
            }
        }
    }
}

fn extend(
    segments: &mut Vec<Segment>,
    begin: Duration,
    power: &impl Fn(f64, Duration) -> Vec<(Duration, f64)>,
) {
    let rest = segments.last().expect("a device at rest").watts;
    segments.extend(power(rest, begin).into_iter().map(|(from, watts)| Segment {
        from_ns: u64::try_from(from.as_nanos()).expect("a time of this machine"),
        watts,
    }));
}
