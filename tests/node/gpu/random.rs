//! Anything at any time: no panic, no total that falls, and never more energy than was drawn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nvidia_ml::scenario::{Device, Fault, Hang, Instance, Kind, Mig, Process, Scenario};
use nvidia_ml::{SCENARIO_FILE, code, library_in, monotonic_ns, patch};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use tempfile::TempDir;
use wattprint::gpu::{GpuBank, GpuSettings, GpuTick, Now};
use wattprint::meters::{Quality, Tick};

use crate::daemon::signal;
use crate::gpu::witness::Witness;
use crate::gpu::{HASTY, Span, Stage, assert_true};

const DEVICES: u8 = 3;
/// No device draws more.
const MOST_WATTS: u32 = 700;
/// What was ill is well again, at 200 of the bank's seconds in one.
const HEALING: Duration = Duration::from_secs(15);

const SYMBOLS: [&str; 20] = [
    "nvmlInit*",
    "nvmlSystemGetDriverVersion",
    "nvmlDeviceGetCount_v2",
    "nvmlDeviceGetHandleByIndex_v2",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetPciInfo*",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetSamples",
    "nvmlDeviceGetUtilizationRates",
    "nvmlDeviceGetMemoryInfo*",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetComputeRunning*",
    "nvmlDeviceGetGraphicsRunning*",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMigDeviceHandleByIndex",
    "nvmlDevice*",
];

const CODES: [u32; 20] = [1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 27, 29, code::UNKNOWN];

/// Symbols that a library may lack.
const MISSING: [&str; 10] = [
    "nvmlShutdown",
    "nvmlDeviceGetTotalEnergyConsumption",
    "nvmlDeviceGetProcessUtilization",
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetSamples",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetMemoryInfo_v2",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetUtilizationRates",
];

/// What happens in a scenario.
#[derive(Clone, Debug)]
enum Event {
    Watts(u8, u32),
    Fault(usize, u32, Option<u8>, Option<u32>),
    Mend,
    Hang(usize, u8),
    Unhang,
    Present(u8, bool),
    Lost(u8, bool),
    Turn,
    Reset(u8),
    Reload,
    Mig(u8, bool),
    Process(u8, u32, u32, Kind),
    Leave(u8),
    Churn(u8, u32),
}

fn event() -> impl Strategy<Value = Event> {
    let device = || 0..DEVICES;
    let (symbol, code) = (0..SYMBOLS.len(), prop::sample::select(CODES.to_vec()));
    let kind = prop_oneof![
        Just(Kind::Compute),
        Just(Kind::Graphics),
        Just(Kind::ComputeGraphics),
        Just(Kind::MpsClient),
        Just(Kind::MpsServer),
    ];
    prop_oneof![
        6 => (device(), 0..=MOST_WATTS).prop_map(|(d, w)| Event::Watts(d, w)),
        5 => (symbol.clone(), code, prop::option::of(device()), prop::option::of(1u32..4))
            .prop_map(|(s, c, d, e)| Event::Fault(s, c, d, e)),
        6 => Just(Event::Mend),
        1 => (symbol, device()).prop_map(|(s, d)| Event::Hang(s, d)),
        2 => Just(Event::Unhang),
        2 => (device(), any::<bool>()).prop_map(|(d, p)| Event::Present(d, p)),
        1 => (device(), any::<bool>()).prop_map(|(d, l)| Event::Lost(d, l)),
        1 => Just(Event::Turn),
        2 => device().prop_map(Event::Reset),
        1 => Just(Event::Reload),
        2 => (device(), any::<bool>()).prop_map(|(d, m)| Event::Mig(d, m)),
        3 => (device(), 1u32..20, 0u32..250, kind).prop_map(|(d, p, s, k)| Event::Process(d, p, s, k)),
        2 => device().prop_map(Event::Leave),
        1 => (device(), 0u32..6).prop_map(|(d, c)| Event::Churn(d, c)),
    ]
}

impl Event {
    fn happen(&self, scenario: &mut Scenario) {
        let now = monotonic_ns();
        let device = |scenario: &mut Scenario, number: u8, change: &dyn Fn(&mut Device)| {
            change(scenario.device_mut(&Device::uuid_of(number)).unwrap());
        };
        match *self {
            Self::Watts(number, watts) => device(scenario, number, &|device| {
                // From a moment on that nobody has asked about yet.
                *device = device.clone().power(now + 1_000_000, watts.into());
            }),
            Self::Fault(symbol, code, on, every) => {
                let fault =
                    Fault { device: on.map(Device::uuid_of), every, ..Fault::of(SYMBOLS[symbol], code) };
                scenario.faults.push(fault);
            }
            Self::Mend => scenario.faults.clear(),
            Self::Hang(symbol, on) => {
                scenario.hangs.push(Hang::of(SYMBOLS[symbol]).on(&Device::uuid_of(on)));
            }
            Self::Unhang => scenario.hangs.clear(),
            Self::Present(number, present) => device(scenario, number, &|device| device.present = present),
            Self::Lost(number, lost) => device(scenario, number, &|device| device.lost = lost),
            Self::Turn => scenario.devices.rotate_left(1),
            Self::Reset(number) => {
                device(scenario, number, &|device| device.counter_resets_ns.push(now + 1_000_000));
            }
            Self::Reload => scenario.driver_generation += 1,
            Self::Mig(number, enabled) => device(scenario, number, &|device| {
                let instances = (0..3).map(|place| Instance::slice(number, place)).collect();
                device.mig = Some(Mig { enabled, instances, ..Mig::default() });
                device.mig_generation += 1;
            }),
            Self::Process(number, pid, percent, kind) => device(scenario, number, &|device| {
                device.gpu_utilization = percent.min(100);
                let process = Process::compute(4_000_000 + pid).sm(percent).kind(kind);
                let process = if pid % 2 == 0 { process.memory(1 << 30) } else { process };
                let instance = Instance::slice(number, pid % 4).gpu_instance;
                device.processes.push(if pid % 3 == 0 { process.instance(instance, 0) } else { process });
            }),
            Self::Leave(number) => device(scenario, number, &|device| {
                for process in &mut device.processes {
                    process.until_ns = process.until_ns.or(Some(now));
                }
                device.gpu_utilization = 0;
            }),
            Self::Churn(number, churn) => device(scenario, number, &|device| device.churn = churn),
        }
    }

    /// Whether the counter tells the truth again once it is over: it isn't reset, and not taken for switched off.
    fn passes(&self) -> bool {
        match *self {
            Self::Watts(..) | Self::Reset(_) => false,
            Self::Fault(symbol, code, ..) => {
                let concerned =
                    ["nvmlDeviceGetTotalEnergyConsumption", "nvmlDevice*"].contains(&SYMBOLS[symbol]);
                !(concerned && [3, 4, 13, 17].contains(&code))
            }
            _ => true,
        }
    }
}

fn device(number: u8) -> Device {
    let device = match number {
        0 => Device::hopper(0),
        1 => Device::ampere(1).gpm(30.0, 30.0),
        _ => Device::pascal(number),
    };
    // Its counter moves at each look.
    Device { energy_base_mj: 7_000_000, counter_period_ns: 1_000, ..device }.power(0, 200.0)
}

/// A bank on a library of its own. Its clock is set by hand and runs ahead of the scenario's: what counters show in
/// milliseconds, the bank sees in seconds. So all that a counter shows is believable, and what is due after ten
/// seconds is done.
struct Lab {
    files: TempDir,
    scenario: Scenario,
    bank: GpuBank,
    millis: Arc<AtomicU64>,
    began_ns: u64,
}

impl Lab {
    fn new(missing: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let library = library_in(files.path()).unwrap();
        if !missing.is_empty() {
            patch::remove_symbols(&library, missing).unwrap();
        }
        let scenario = Scenario::of((0..DEVICES).map(device));
        scenario.save(&files.path().join(SCENARIO_FILE)).unwrap();
        let settings = GpuSettings {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            nvml: true,
            drm: false,
            simulate: false,
            library: Some(library),
            deadline: Duration::from_secs(3),
            // No tick waits for longer than half of this, by the real clock.
            interval: Duration::from_millis(40),
            retry: Duration::from_secs(1),
            release: Duration::from_secs(60),
        };
        let millis = Arc::new(AtomicU64::new(1_000_000));
        let clock = Arc::clone(&millis);
        let now = Now::new(move || {
            let time = Duration::from_millis(clock.load(Ordering::SeqCst));
            Tick { monotonic: time, boottime: time }
        });
        let bank = GpuBank::new(&settings, now);
        Self { files, scenario, bank, millis, began_ns: monotonic_ns() }
    }

    fn save(&self) {
        self.scenario.save(&self.files.path().join(SCENARIO_FILE)).unwrap();
    }

    fn tick(&mut self, millis: u64) -> GpuTick {
        self.millis.fetch_add(millis, Ordering::SeqCst);
        self.bank.ask();
        self.bank.collect()
    }

    /// More than a device can have used, in joules: by its counter, or by its power on the bank's clock.
    fn most(&self, is_integrated: bool, uuid: &str) -> f64 {
        let device = self.scenario.device(uuid).unwrap();
        let counted = (device.energy_mj_at(monotonic_ns()) - device.energy_mj_at(self.began_ns)) as f64 / 1e3;
        let passed = Duration::from_millis(self.millis.load(Ordering::SeqCst) - 1_000_000);
        let integrated = if is_integrated { f64::from(MOST_WATTS) * passed.as_secs_f64() } else { 0.0 };
        counted + integrated + 0.001
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What hangs may go.
        self.scenario.hangs.clear();
        self.save();
    }
}

/// What was booked for a device, and whether any of it was integrated.
#[derive(Debug, Default)]
struct Booked {
    microjoules: u64,
    is_integrated: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_library_does_no_energy_is_made_or_taken_back(
        missing in prop::sample::subsequence(MISSING.to_vec(), 0..3),
        lacks_any in any::<bool>(),
        steps in prop::collection::vec(
            (prop::collection::vec(event(), 0..3), prop_oneof![6 => Just(1_000u64), 1 => 0u64..30_000]), 10..50,
        ),
    ) {
        let mut lab = Lab::new(if lacks_any { &missing } else { &[] });
        let mut booked: BTreeMap<String, Booked> = BTreeMap::new();
        // A library that can't be shut down keeps the driver that it began with.
        let is_kept = lacks_any && missing.contains(&"nvmlShutdown");
        for (events, millis) in &steps {
            let events = events.iter().filter(|event| !(is_kept && matches!(event, Event::Reload)));
            events.for_each(|event| event.happen(&mut lab.scenario));
            lab.save();
            let tick = lab.tick(*millis);
            prop_assert_eq!(tick.collectors.len(), 1);
            prop_assert!(tick.devices.len() >= booked.len(), "an entry stays");
            let collector = tick.collectors.first().and_then(|outcome| outcome.error.as_deref());
            prop_assert!(collector != Some("search ended"), "a search panicked");
            for device in &tick.devices {
                prop_assert!(&*device.reason != "reader ended", "a reader panicked");
                prop_assert_eq!(device.up, device.reason.is_empty());
                let uuid = device.identity.uuid.to_string();
                let sum = booked.entry(uuid.clone()).or_default();
                sum.microjoules += device.delta.map_or(0, |delta| delta.energy.get());
                sum.is_integrated |= device.delta.is_some_and(|delta| delta.quality != Quality::Measured);
                prop_assert_eq!(device.report.energy.map_or(0, |energy| energy.get()), sum.microjoules);
                let (got, most) = (sum.microjoules as f64 / 1e6, lab.most(sum.is_integrated, &uuid));
                prop_assert!(got <= most, "{} J of {} J: {:?}", got, most, device);
            }
        }
        // Once all is well again, it shows.
        lab.scenario.faults.clear();
        lab.scenario.hangs.clear();
        for device in &mut lab.scenario.devices {
            (device.present, device.lost, device.churn) = (true, false, 0);
        }
        lab.save();
        let (begun, mut healthy) = (Instant::now(), false);
        while !healthy && begun.elapsed() < HEALING {
            let tick = lab.tick(1_000);
            healthy = tick.devices.len() == usize::from(DEVICES) && tick.devices.iter().all(|device| device.up);
            // The bank's seconds fly, but a search takes its milliseconds.
            thread::sleep(Duration::from_millis(5));
        }
        prop_assert!(healthy, "{:?}", lab.bank);
    }
}

#[test]
fn a_storm_of_faults_leaves_the_daemon_sound() {
    let uuids: Vec<String> = (0..DEVICES).map(Device::uuid_of).collect();
    let all: Vec<&str> = uuids.iter().map(String::as_str).collect();
    // Counters only, so that the truth is known; and power all the time.
    let drawing = |number| Device { energy_base_mj: 90_000_000, ..Device::hopper(number) }.power(0, 300.0);
    let mut stage = Stage::new(Scenario::of((0..DEVICES).map(drawing)));
    let daemon = stage.start(HASTY, &[]);
    let witness = Witness::of(&daemon);
    witness.until_up(&all);
    let span = Span::begin(&daemon);
    // The same storm in each run.
    let mut runner =
        TestRunner::new_with_rng(ProptestConfig::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let storm = event().prop_filter("what passes", Event::passes);
    let mut ticks = witness.look().sequence();
    for _ in 0..60 {
        stage.change(|scenario| {
            for _ in 0..2 {
                storm.new_tree(&mut runner).unwrap().current().happen(scenario);
            }
        });
        ticks = witness.until("a tick", |snapshot| snapshot.sequence() > ticks).sequence();
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    }
    stage.change(|scenario| {
        scenario.faults.clear();
        scenario.hangs.clear();
        for device in &mut scenario.devices {
            (device.present, device.lost, device.churn, device.mig) = (true, false, 0, None);
        }
    });
    // As a person would who doesn't want to wait for the next search.
    signal(daemon.pid(), "USR1");
    witness.until("the release", |snapshot| snapshot.error("nvml") == Some("released"));
    signal(daemon.pid(), "USR2");
    witness.until_up(&all);
    witness.until_well();
    let looks = span.end(&daemon, 3);
    for uuid in &all {
        assert_true(&stage, uuid, &looks);
    }
    daemon.finish();
}
