//! The results as a table with a column for each load, and as JSON.

use std::fs;
use std::io::{self, Write};

use serde::Serialize;

use crate::daemon::{Cost, Scrapes};
use crate::machine::Floor;

/// CPU per tick, as a multiple of the floor's, that wattprint is to stay below.
pub(crate) const TARGET_RATIO: f64 = 1.5;

const LABEL_WIDTH: usize = 44;
const COLUMN_WIDTH: usize = 12;

/// All measurements of one run of the benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) kernel: String,
    pub(crate) cpus: usize,
    pub(crate) accounting: String,
    pub(crate) interval_seconds: f64,
    pub(crate) target_ratio: f64,
    pub(crate) loads: Vec<Measured>,
    /// Loads left out, and why.
    pub(crate) skipped: Vec<String>,
}

/// The daemon and the floor over one load.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// Processes and cgroups that the load added.
    pub(crate) processes: usize,
    pub(crate) containers: usize,
    pub(crate) floor_before: Floor,
    pub(crate) wattprint: Cost,
    pub(crate) floor_after: Floor,
    /// The same system calls without a second's pause between ticks: what warm caches save.
    pub(crate) floor_back_to_back: Floor,
    /// CPU per tick, wattprint's by the mean of the floor's before and after.
    pub(crate) ratio: f64,
    /// The same with GPUs; absent where the load has too few processes to use them.
    pub(crate) with_gpus: Option<Cost>,
}

impl Measured {
    pub(crate) fn ratio(wattprint: &Cost, before: Floor, after: Floor) -> f64 {
        wattprint.cpu_ms_per_tick * 2.0 / (before.cpu_ms_per_tick + after.cpu_ms_per_tick)
    }
}

impl Report {
    /// The kernel and the CPUs of this machine, and no measurement yet.
    pub(crate) fn new(accounting: String, interval_seconds: f64) -> Self {
        Self {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            accounting,
            interval_seconds,
            target_ratio: TARGET_RATIO,
            loads: Vec::new(),
            skipped: Vec::new(),
        }
    }

    pub(crate) fn write_table(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(
            to,
            "Linux {}, {} CPUs, {}, ticks of {} s",
            self.kernel, self.cpus, self.accounting, self.interval_seconds
        )?;
        writeln!(to)?;
        self.row(to, "processes added", |load| load.processes.to_string())?;
        self.row(to, "cgroups added", |load| load.containers.to_string())?;
        self.row(to, "processes on the machine", |load| load.floor_after.pids.to_string())?;
        self.row(to, "CPU per tick, ms: floor, before", |load| millis(load.floor_before.cpu_ms_per_tick))?;
        self.row(to, "CPU per tick, ms: wattprint", |load| millis(load.wattprint.cpu_ms_per_tick))?;
        self.row(to, "CPU per tick, ms: floor, after", |load| millis(load.floor_after.cpu_ms_per_tick))?;
        self.row(to, "CPU per tick, ms: floor, back to back", |load| {
            millis(load.floor_back_to_back.cpu_ms_per_tick)
        })?;
        let label = format!("ratio (target: at most {TARGET_RATIO})");
        self.row(to, &label, |load| format!("{:.2}", load.ratio))?;
        self.row(to, "tick by its own clock, ms", |load| load.wattprint.sample_ms.map_or_else(dash, millis))?;
        self.row(to, "start to ready, s", |load| format!("{:.2}", load.wattprint.start_seconds))?;
        self.row(to, "series", |load| load.wattprint.series.to_string())?;
        self.scrape_rows(to, "scrape", |load| Some(&load.wattprint.scrape))?;
        self.scrape_rows(to, "gzip scrape", |load| load.wattprint.scrape_gzip.as_ref())?;
        self.row(to, "resident, MB", |load| megabytes(load.wattprint.resident_bytes))?;
        self.row(to, "resident at its highest, MB", |load| megabytes(load.wattprint.resident_peak_bytes))?;
        let gpus = |show: fn(&Cost) -> String| {
            move |load: &Measured| load.with_gpus.as_ref().map_or_else(dash, show)
        };
        self.row(to, "with 8 GPUs: CPU per tick, ms", gpus(|cost| millis(cost.cpu_ms_per_tick)))?;
        let calls = |cost: &Cost| cost.nvml_calls_per_tick.map_or_else(dash, |calls| format!("{calls:.1}"));
        self.row(to, "with 8 GPUs: NVML calls per tick", gpus(calls))?;
        self.row(to, "with 8 GPUs: series", gpus(|cost| cost.series.to_string()))?;
        self.row(to, "with 8 GPUs: resident, MB", gpus(|cost| megabytes(cost.resident_bytes)))?;
        self.row(to, "with 8 GPUs: start to ready, s", gpus(|cost| format!("{:.2}", cost.start_seconds)))?;
        for skipped in &self.skipped {
            writeln!(to, "left out: {skipped}")?;
        }
        Ok(())
    }

    fn scrape_rows(
        &self,
        to: &mut dyn Write,
        name: &str,
        of: impl Fn(&Measured) -> Option<&Scrapes>,
    ) -> io::Result<()> {
        let mut row = |what: &str, show: &dyn Fn(&Scrapes) -> String| {
            self.row(to, &format!("{name}{what}"), |load| of(load).map_or_else(dash, show))
        };
        row(", bytes", &|scrapes| scrapes.body_bytes.to_string())?;
        row(", first of a snapshot: CPU, ms", &|scrapes| millis(scrapes.first_cpu_ms))?;
        row(", first of a snapshot: latency, ms", &|scrapes| millis(scrapes.first_latency_ms))?;
        row(", repeated: CPU, ms", &|scrapes| millis(scrapes.repeat_cpu_ms))?;
        row(", repeated: latency, ms", &|scrapes| millis(scrapes.repeat_latency_ms))
    }

    fn row(&self, to: &mut dyn Write, label: &str, show: impl Fn(&Measured) -> String) -> io::Result<()> {
        write!(to, "{label:LABEL_WIDTH$}")?;
        for load in &self.loads {
            write!(to, "{:>COLUMN_WIDTH$}", show(load))?;
        }
        writeln!(to)
    }
}

fn millis(value: f64) -> String {
    format!("{value:.3}")
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

fn dash() -> String {
    "-".to_owned()
}
