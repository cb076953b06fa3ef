//! What wattprint costs on a busy node, beside the least system calls for the same facts.
//!
//! `cargo bench --bench load -- [--quick] [--ticks N] [--binary PATH] [--json PATH] [PROCESSES]...`
//!
//! For each number of processes (100, 1000, 5000 and 20000 unless some are named) this loads the machine with
//! them, mostly idle and ten to a cgroup, runs the floor (`floor.c`), then wattprint, then the floor again, then
//! wattprint with eight imitated GPUs that 64 of the processes use, and takes the load away. It prints a table and then JSON, the JSON into a file if one is named. Needs root, to
//! make cgroups, and a C compiler.

#![allow(clippy::disallowed_methods, reason = "a benchmark is there to read clocks")]

#[path = "load/daemon.rs"]
mod daemon;
#[path = "load/gpus.rs"]
mod gpus;
#[path = "load/machine.rs"]
mod machine;
#[path = "load/report.rs"]
mod report;
#[path = "load/scrape.rs"]
mod scrape;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use daemon::{Daemon, Effort};
use gpus::Gpus;
use machine::{Cgroups, Programs, too_many};
use report::{Measured, Report};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The daemon's default, and the floor's.
const INTERVAL: Duration = Duration::from_secs(1);
const PROCESSES_PER_CONTAINER: usize = 10;
const BACK_TO_BACK_TICKS: u32 = 50;
/// Until the load has come to rest.
const SETTLE: Duration = Duration::from_secs(2);

struct Arguments {
    effort: Effort,
    binary: PathBuf,
    json: Option<PathBuf>,
    loads: Vec<usize>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut effort = Effort { ticks: 20, warm_up: 5, snapshots: 5, repeats: 100 };
        let mut binary = PathBuf::from(env!("CARGO_BIN_EXE_wattprint"));
        let (mut json, mut loads, mut quick) = (None, Vec::new(), false);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--quick" => {
                    quick = true;
                    effort = Effort { ticks: 3, warm_up: 2, snapshots: 2, repeats: 10 };
                }
                "--ticks" => effort.ticks = value()?.parse()?,
                "--binary" => binary = PathBuf::from(value()?),
                "--json" => json = Some(PathBuf::from(value()?)),
                number => loads.push(number.parse().map_err(|_| {
                    format!("{number}: not --quick, --ticks, --binary, --json or a number of processes")
                })?),
            }
        }
        if effort.ticks == 0 {
            return Err("--ticks must be at least 1".into());
        }
        if loads.is_empty() {
            loads = if quick { vec![100] } else { vec![100, 1_000, 5_000, 20_000] };
        }
        Ok(Self { effort, binary, json, loads })
    }
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, without that flag.
    if !std::env::args().any(|argument| argument == "--bench") {
        say("measures under `cargo bench --bench load` only");
        return ExitCode::SUCCESS;
    }
    let done = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    if let Err(error) = done {
        say(&error.to_string());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(arguments: &Arguments) -> Outcome<()> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Err("this benchmark makes cgroups, so it needs root".into());
    }
    let cgroups = Cgroups::find()?;
    let programs = Programs::compile()?;
    let mut report = Report::new(cgroups.describe(), INTERVAL.as_secs_f64());
    let mut failure = None;
    for &processes in &arguments.loads {
        if let Some(reason) = too_many(processes) {
            report.skipped.push(reason);
            continue;
        }
        say(&format!("measuring {processes} processes"));
        match measure(&programs, &cgroups, arguments, processes) {
            Ok(measured) => report.loads.push(measured),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    // What was measured before a failure took minutes to get: it is shown all the same.
    let mut output = io::stdout().lock();
    report.write_table(&mut output)?;
    match &arguments.json {
        Some(path) => write_json(&report, &mut File::create(path)?)?,
        None => write_json(&report, &mut output)?,
    }
    failure.map_or(Ok(()), Err)
}

/// The floor runs half its ticks before the daemon and half after, so that a machine that drifts shows it.
fn measure(
    programs: &Programs,
    cgroups: &Cgroups,
    arguments: &Arguments,
    processes: usize,
) -> Outcome<Measured> {
    let containers = processes.div_ceil(PROCESSES_PER_CONTAINER);
    let floor_ticks = arguments.effort.ticks.div_ceil(2);
    let mut load = programs.load(cgroups, processes, containers)?;
    thread::sleep(SETTLE);
    let floor_before = programs.floor(cgroups, floor_ticks, INTERVAL)?;
    let wattprint = Daemon::start(programs, &arguments.binary, None)?.measure(arguments.effort)?;
    let floor_after = programs.floor(cgroups, floor_ticks, INTERVAL)?;
    let floor_back_to_back = programs.floor(cgroups, BACK_TO_BACK_TICKS, Duration::ZERO)?;
    let with_gpus = match Gpus::of(&load)? {
        Some(gpus) => {
            Some(Daemon::start(programs, &arguments.binary, Some(&gpus))?.measure(arguments.effort)?)
        }
        None => None,
    };
    load.remove()?;
    let ratio = Measured::ratio(&wattprint, floor_before, floor_after);
    Ok(Measured {
        processes,
        containers,
        floor_before,
        wattprint,
        floor_after,
        floor_back_to_back,
        ratio,
        with_gpus,
    })
}

fn write_json(report: &Report, to: &mut dyn Write) -> Outcome<()> {
    serde_json::to_writer_pretty(&mut *to, report)?;
    Ok(writeln!(to)?)
}

/// Tells the reader; what can't be told is no reason to fail.
fn say(what: &str) {
    writeln!(io::stderr(), "load: {what}").ok();
}
