//! Calls that don't return: everything else goes on as if nothing was.

use std::thread;
use std::time::{Duration, Instant};

use nvidia_ml::scenario::{Device, Hang, Process, Scenario};

use crate::daemon::Daemon;
use crate::gpu::witness::{Witness, resting};
use crate::gpu::{Stage, at_once};

/// A device may be silent for a second.
const DEADLINE: &str = "[gpu]\nretry = \"200ms\"\ndeadline = \"1s\"\n";

/// Nothing waits for a driver: not even the slowest scrape of a busy machine takes this long.
const SLOWEST: Duration = Duration::from_millis(900);
/// What all but a few scrapes stay below.
const USUAL: Duration = Duration::from_millis(100);
/// From the signal to the end.
const END: Duration = Duration::from_secs(2);

/// What went on in some time.
#[derive(Debug)]
struct Pace {
    scrapes: Vec<Duration>,
    /// Ticks that were done, of those that were due.
    ticks: f64,
}

impl Pace {
    /// Scrapes all the time, for so many intervals.
    fn of(daemon: &Daemon, interval: Duration, intervals: u32) -> Self {
        let before = daemon.snapshot();
        let (begun, mut scrapes) = (Instant::now(), Vec::new());
        while begun.elapsed() < interval * intervals {
            let asked = Instant::now();
            assert_eq!(daemon.get("/metrics").status, 200);
            scrapes.push(asked.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        let after = daemon.snapshot();
        let seconds = after.unix_time() - before.unix_time();
        let ticks = (after.sequence() - before.sequence()) as f64 / (seconds / interval.as_secs_f64());
        Self { scrapes, ticks }
    }

    fn assert_kept(&mut self, when: &str) {
        self.scrapes.sort();
        let slowest = *self.scrapes.last().unwrap();
        let usual = self.scrapes[self.scrapes.len() * 95 / 100];
        assert!(slowest < SLOWEST && usual < USUAL, "{when}: 95 % within {usual:?}, all within {slowest:?}");
        assert!(self.ticks >= 0.8, "{when}: {} of the ticks", self.ticks);
    }
}

/// How a call comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It returns when it is let go.
    Released,
    /// It returns after some seconds.
    Late,
    /// It never does; a new reader takes over.
    Never,
}

fn one_of_three_hangs(interval: Duration, symbol: &str, end: End) {
    let uuids: Vec<String> = (0..3).map(Device::uuid_of).collect();
    let [first, ill, last] = [0, 1, 2].map(|place: usize| uuids[place].as_str());
    let device = |number| {
        let process = Process::compute(4_194_000 + u32::from(number)).sm(50).memory(1 << 30);
        Device { gpu_utilization: 50, ..resting(number) }.process(process)
    };
    let mut stage = Stage::new(Scenario::of((0..3).map(device)));
    let mut daemon = stage.start(DEADLINE, &[&format!("--sample.interval={}ms", interval.as_millis())]);
    let witness = Witness::of(&daemon);
    witness.until_up(&[first, ill, last]);
    Pace::of(&daemon, interval, 3).assert_kept("before");

    stage.change(|scenario| {
        let hang = Hang::of(symbol).on(ill);
        scenario.hangs.push(match end {
            End::Released => hang,
            End::Late => hang.seconds(6.0).for_ever(),
            End::Never => hang.for_ever(),
        });
    });
    let hung = Instant::now();
    let early = witness.until_down(ill, "call hangs");
    let soon = Duration::from_secs(1) + interval * 3 + SLOWEST;
    assert!(hung.elapsed() < soon, "it was noticed after {:?}", hung.elapsed());
    if end == End::Late {
        // The call that hangs now is the only one.
        stage.change(|scenario| scenario.hangs.clear());
    }
    for uuid in [first, ill, last] {
        stage.pulse(uuid, 400, 800);
    }
    Pace::of(&daemon, interval, 4).assert_kept("during");
    let (scrape, late) = (daemon.scrape(), witness.look());
    assert!(!late.is_up(ill), "it must still hang");
    let stuck = |snapshot: &crate::snapshot::Snapshot| snapshot.gpu(ill)["stuck_seconds"].as_f64().unwrap();
    let (rise, passed) = (stuck(&late) - stuck(&early), late.unix_time() - early.unix_time());
    assert!((rise - passed).abs() < 0.5, "stuck for {rise} s more after {passed} s");
    assert!(passed > 0.0 && stuck(&early) >= 1.0);
    for uuid in [first, ill, last] {
        let value = |name| scrape.value(name, &[("uuid", uuid)]);
        assert_eq!(value("wattprint_gpu_up"), if uuid == ill { 0.0 } else { 1.0 }, "{uuid}");
        assert_eq!(value("wattprint_gpu_call_stuck_seconds") > 0.0, uuid == ill, "{uuid}");
    }
    assert_eq!(late.error("nvml"), Some("call hangs"));

    if end == End::Never {
        // A new reader may work.
        stage.change(|scenario| scenario.hangs.clear());
    }
    witness.until_all_booked(&stage, &[first, last]);
    stage.change(|scenario| scenario.hangs.clear());
    witness.until_up(&[first, ill, last]);
    let back = witness.until_well();
    assert!(stuck(&back).abs() < 1e-9);
    witness.until_booked(&stage, ill);
    stage.pulse(ill, 400, 500);
    witness.until_booked(&stage, ill);
    Pace::of(&daemon, interval, 3).assert_kept("after");
    if end == End::Never {
        let (status, took) = daemon.end("TERM");
        assert!(status.success() && took < END, "{status} after {took:?}");
        assert!(!daemon.log().contains("panicked"));
    } else {
        daemon.finish();
    }
}

#[test]
fn a_hang_of_one_device_is_its_own() {
    let (energy, samples) = ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetProcessUtilization");
    let cases = [
        (200, energy, End::Released),
        (200, samples, End::Late),
        (1_000, samples, End::Released),
        (1_000, energy, End::Never),
    ];
    at_once(cases, |(interval, symbol, end)| {
        one_of_three_hangs(Duration::from_millis(interval), symbol, end)
    });
}

#[test]
fn a_library_that_hangs_in_its_start_holds_up_only_the_gpus() {
    let uuid = Device::uuid_of(0);
    let symbols = ["nvmlInit_v2", "nvmlDeviceGetCount_v2"];
    let cases = symbols.into_iter().flat_map(|symbol| [(symbol, true), (symbol, false)]);
    at_once(cases, |(symbol, is_released)| {
        let interval = Duration::from_millis(200);
        let mut stage = Stage::new(Scenario::of([resting(0)]).hang(Hang::of(symbol)));
        let mut daemon = stage.start(DEADLINE, &["--sample.interval=200ms"]);
        assert!(daemon.ready_after < Duration::from_secs(5), "ready after {:?}", daemon.ready_after);
        let witness = Witness::of(&daemon);
        let hangs = "initialisation hangs";
        witness.until(hangs, |snapshot| snapshot.error("nvml") == Some(hangs));
        Pace::of(&daemon, interval, 10).assert_kept(symbol);
        witness.assert_cpu_goes_on();
        let labels = [("collector", "nvml"), ("reason", hangs)];
        assert_eq!(daemon.scrape().value("wattprint_collector_last_error_info", &labels), 1.0);
        if is_released {
            stage.change(|scenario| scenario.hangs.clear());
            witness.until_up(&[&uuid]);
            witness.until_well();
            stage.pulse(&uuid, 400, 500);
            witness.until_booked(&stage, &uuid);
        }
        let (status, took) = daemon.end("TERM");
        assert!(status.success() && took < END, "{status} after {took:?}");
        assert!(!daemon.log().contains("panicked"));
    });
}

#[test]
fn a_call_that_hangs_doesnt_keep_the_daemon_from_its_end() {
    let uuid = Device::uuid_of(0);
    let mut stage = Stage::new(Scenario::of([resting(0)]));
    let mut daemon = stage.start(DEADLINE, &["--sample.interval=200ms"]);
    let witness = Witness::of(&daemon);
    witness.until_up(&[&uuid]);
    stage.change(|scenario| scenario.hangs.push(Hang::of("nvmlDeviceGet*").for_ever()));
    witness.until_down(&uuid, "call hangs");
    let (status, took) = daemon.end("TERM");
    assert!(status.success() && took < END, "{status} after {took:?}");
}
