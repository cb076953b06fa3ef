//! The daemon under measurement: started, timed over ticks, scraped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::gpus::Gpus;
use crate::machine::{Programs, cpu_time, memory};
use crate::scrape::{Client, Encoding, series, value};
use crate::{INTERVAL, Outcome};

const START_TIME: Duration = Duration::from_secs(120);
/// Until what a request set in motion has come to rest.
const AFTER_REQUEST: Duration = Duration::from_millis(100);
/// For how long repeated scrapes may run, from the middle of a tick: they end before the next one.
const REPEATS: Duration = Duration::from_millis(250);

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Ticks without a scrape.
    pub(crate) ticks: u32,
    /// Ticks between the first answer and the measurement, in which processes are met for the first time.
    pub(crate) warm_up: u32,
    /// Snapshots scraped, for each encoding.
    pub(crate) snapshots: u32,
    /// Further scrapes of each of these snapshots, at most.
    pub(crate) repeats: u32,
}

/// What the daemon cost.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    /// From the start of the process to the first answer of `/-/ready` that says so.
    pub(crate) start_seconds: f64,
    pub(crate) ticks: f64,
    pub(crate) cpu_ms_per_tick: f64,
    /// How long a tick took by the daemon's own measure.
    pub(crate) sample_ms: Option<f64>,
    /// Calls of NVML in a tick; absent without GPUs.
    pub(crate) nvml_calls_per_tick: Option<f64>,
    pub(crate) series: usize,
    pub(crate) scrape: Scrapes,
    /// Absent if the daemon does not compress.
    pub(crate) scrape_gzip: Option<Scrapes>,
    pub(crate) resident_bytes: u64,
    pub(crate) resident_peak_bytes: u64,
}

/// The first scrape of a snapshot, which encodes it, and those that follow.
#[derive(Debug, Serialize)]
pub(crate) struct Scrapes {
    pub(crate) body_bytes: usize,
    /// The median over the snapshots.
    pub(crate) first_cpu_ms: f64,
    pub(crate) first_latency_ms: f64,
    /// The median over the snapshots.
    pub(crate) repeat_cpu_ms: f64,
    pub(crate) repeat_latency_ms: f64,
}

/// What was counted over some ticks.
#[derive(Debug)]
struct Ticks {
    /// How many they were by the daemon's timestamps.
    ticks: f64,
    /// CPU time.
    cpu: Duration,
    /// Calls of NVML.
    calls: u64,
}

/// A running daemon; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Daemon<'a> {
    child: Child,
    gpus: Option<&'a Gpus>,
    port: u16,
    start: Duration,
    log: PathBuf,
}

/// How the daemon is called.
fn command(programs: &Programs, binary: &Path, port: u16, gpus: Option<&Gpus>) -> Command {
    let mut command = programs.bound(binary);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(format!("--sample.interval={}s", INTERVAL.as_secs()));
    if let Some(gpus) = gpus {
        command.arg(gpus.flag()).envs(gpus.environment());
    }
    command
}

impl<'a> Daemon<'a> {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(programs: &Programs, binary: &Path, gpus: Option<&'a Gpus>) -> Outcome<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load-daemon.log");
        let output = File::create(&log)?;
        let started = Instant::now();
        let child = command(programs, binary, port, gpus)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        let mut daemon = Self { child, gpus, port, start: Duration::ZERO, log };
        while !daemon.is_ready() {
            if let Some(status) = daemon.child.try_wait()? {
                return Err(daemon.failure(&format!("ended with {status}")));
            }
            if started.elapsed() > START_TIME {
                return Err(daemon.failure(&format!("not ready after {} s", START_TIME.as_secs())));
            }
            thread::sleep(Duration::from_millis(5));
        }
        daemon.start = started.elapsed();
        Ok(daemon)
    }

    /// Measures ticks, then scrapes, then memory.
    pub(crate) fn measure(&self, effort: Effort) -> Outcome<Cost> {
        thread::sleep(INTERVAL * effort.warm_up);
        let Ticks { ticks, cpu, calls } = self.ticks(effort.ticks)?;
        let exposition = self.exposition()?;
        let scrape = self.scrapes(effort, Encoding::Identity)?.ok_or("/metrics is compressed unasked")?;
        let scrape_gzip = self.scrapes(effort, Encoding::Gzip)?;
        let (resident_bytes, resident_peak_bytes) = memory(self.child.id())?;
        Ok(Cost {
            start_seconds: self.start.as_secs_f64(),
            ticks,
            cpu_ms_per_tick: ms(cpu) / ticks,
            sample_ms: value(&exposition, "wattprint_sample_duration_seconds").map(|seconds| seconds * 1e3),
            nvml_calls_per_tick: self.gpus.map(|_| calls as f64 / ticks),
            series: series(&exposition),
            scrape,
            scrape_gzip,
            resident_bytes,
            resident_peak_bytes,
        })
    }

    /// About `count` ticks without a scrape.
    fn ticks(&self, count: u32) -> Outcome<Ticks> {
        self.wait_for_mid_tick()?;
        let from = self.sampled()?;
        thread::sleep(AFTER_REQUEST);
        let calls = || self.gpus.map_or(0, Gpus::calls);
        let before = (cpu_time(self.child.id())?, calls());
        thread::sleep(INTERVAL * count);
        let cpu = cpu_time(self.child.id())?.saturating_sub(before.0);
        let calls = calls() - before.1;
        let ticks = ((self.sampled()? - from) / INTERVAL.as_secs_f64()).round();
        if ticks < 1.0 {
            return Err(self.failure("no tick in the time measured"));
        }
        Ok(Ticks { ticks, cpu, calls })
    }

    /// `None` if gzip was asked for and not given.
    fn scrapes(&self, effort: Effort, encoding: Encoding) -> Outcome<Option<Scrapes>> {
        let (mut first_cpu, mut first_latency) = (Vec::new(), Vec::new());
        let (mut repeat_cpu, mut repeat_latency) = (Vec::new(), Vec::new());
        let mut body_bytes = 0;
        let mut middle = self.wait_for_mid_tick()?;
        for _ in 0..effort.snapshots {
            // A new snapshot each time: the one that told where the middle is has been scraped already.
            middle += INTERVAL.as_secs_f64();
            let mut client = Client::connect(self.port)?;
            sleep_until(middle);
            let mut scrape = || -> Outcome<_> {
                let start = Instant::now();
                let answer = client.get("/metrics", encoding)?;
                Ok((answer, start.elapsed()))
            };
            let before = cpu_time(self.child.id())?;
            let (answer, latency) = scrape()?;
            thread::sleep(AFTER_REQUEST);
            let between = cpu_time(self.child.id())?;
            if answer.status != 200 {
                return Err(self.failure(&format!("/metrics answers {}", answer.status)));
            }
            if answer.gzip != (encoding == Encoding::Gzip) {
                return Ok(None);
            }
            body_bytes = answer.body.len();
            first_cpu.push(ms(between.saturating_sub(before)));
            first_latency.push(ms(latency));

            let (deadline, mut repeats) = (Instant::now() + REPEATS, 0);
            while repeats < effort.repeats && Instant::now() < deadline {
                repeat_latency.push(ms(scrape()?.1));
                repeats += 1;
            }
            let spent = cpu_time(self.child.id())?.saturating_sub(between);
            repeat_cpu.push(ms(spent) / f64::from(repeats.max(1)));
        }
        Ok(Some(Scrapes {
            body_bytes,
            first_cpu_ms: median(first_cpu),
            first_latency_ms: median(first_latency),
            repeat_cpu_ms: median(repeat_cpu),
            repeat_latency_ms: median(repeat_latency),
        }))
    }

    fn is_ready(&self) -> bool {
        let answer =
            Client::connect(self.port).and_then(|mut client| client.get("/-/ready", Encoding::Identity));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    fn exposition(&self) -> Outcome<Vec<u8>> {
        Ok(Client::connect(self.port)?.get("/metrics", Encoding::Identity)?.body)
    }

    /// When the latest snapshot was taken, Unix seconds.
    fn sampled(&self) -> Outcome<f64> {
        let family = "wattprint_sample_timestamp_seconds";
        value(&self.exposition()?, family).ok_or_else(|| self.failure(&format!("/metrics has no {family}")))
    }

    /// Waits until half an interval after a tick, and says when that was: as far from the ticks as can be, so
    /// that none falls between two readings that belong together.
    fn wait_for_mid_tick(&self) -> Outcome<f64> {
        let interval = INTERVAL.as_secs_f64();
        let mut middle = self.sampled()? + interval / 2.0;
        let now = unix_now();
        if middle < now {
            middle += ((now - middle) / interval).ceil() * interval;
        }
        sleep_until(middle);
        Ok(middle)
    }

    fn failure(&self, what: &str) -> Box<dyn std::error::Error> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        format!("the daemon: {what}\n{log}").into()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        // It may have ended by itself, which an error on the way to the reader tells.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn sleep_until(unix_seconds: f64) {
    thread::sleep(Duration::from_secs_f64((unix_seconds - unix_now()).max(0.0)));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
