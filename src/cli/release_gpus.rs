//! `wattprint release-gpus`: makes a running daemon give back its GPU handles, so that a driver can be unloaded.
//!
//! A signal does it, so neither the network nor a driver is needed: SIGUSR1 releases, SIGUSR2 takes in again.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cli::CliError;
use crate::config::Loaded;

/// How long the command waits for the handles to be gone.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(50);

/// Open or mapped, these keep a driver from being unloaded.
const DEVICES: &str = "/dev/nvidia";
/// Mapped, it is in use, or a call inside it hasn't returned.
const LIBRARY: &str = "libnvidia-ml";

/// Signals every daemon on this machine that may be signalled, or the one that is named.
pub(super) fn run(
    loaded: &Loaded,
    pid: Option<i32>,
    resume: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let procfs = &loaded.settings.path.procfs;
    if let Some(pid) = pid.filter(|pid| !is_daemon(&procfs.join(pid.to_string()))) {
        writeln!(out, "pid {pid} is no running wattprint daemon: the signal isn't sent")?;
        return Ok(ExitCode::FAILURE);
    }
    let daemons = pid.map_or_else(|| find(procfs), |pid| vec![pid]);
    if daemons.is_empty() {
        writeln!(out, "no running wattprint daemon found in {}; name it with --pid", procfs.display())?;
        return Ok(ExitCode::FAILURE);
    }
    let signal = if resume { Signal::SIGUSR2 } else { Signal::SIGUSR1 };
    let mut all_well = true;
    for pid in daemons {
        if let Err(error) = kill(Pid::from_raw(pid), signal) {
            writeln!(out, "pid {pid}: {signal} can't be sent: {}", error.desc())?;
            all_well = false;
            continue;
        }
        if resume {
            writeln!(out, "pid {pid}: told to take its GPUs in again")?;
            continue;
        }
        match wait_until_free(procfs, pid) {
            Held::Nothing => writeln!(out, "pid {pid}: GPUs released for {}", human(loaded))?,
            Held::File(held) => {
                writeln!(out, "pid {pid}: still holds {held}; a call to the driver may hang")?;
                all_well = false;
            }
            Held::Unknown => {
                writeln!(
                    out,
                    "pid {pid}: told to release its GPUs; what it holds can't be seen: run this as its user or as root"
                )?;
                all_well = false;
            }
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn human(loaded: &Loaded) -> String {
    let release = loaded.settings.gpu.release;
    format!(
        "{} (gpu.release), or until `wattprint release-gpus --resume`",
        crate::config::human_duration(release)
    )
}

/// Daemons: processes of this name that have a handler for the signal, which would end any other.
fn find(procfs: &Path) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let entries = fs::read_dir(procfs).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut daemons: Vec<i32> =
        pids.filter(|pid| *pid != own && is_daemon(&procfs.join(pid.to_string()))).collect();
    daemons.sort_unstable();
    daemons
}

fn is_daemon(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let caught = field("SigCgt:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
    let handles = |signal: Signal| caught & (1 << (signal as u32).saturating_sub(1)) != 0;
    field("Name:") == Some("wattprint") && handles(Signal::SIGUSR1) && handles(Signal::SIGUSR2)
}

/// What of a driver a process holds.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    /// Neither a device file nor the library.
    Nothing,
    /// This file: a device, or the library, inside which a call may hang.
    File(String),
    /// It can't be seen.
    Unknown,
}

/// What the process still holds when all is given back, or when patience is at its end.
fn wait_until_free(procfs: &Path, pid: i32) -> Held {
    let process = procfs.join(pid.to_string());
    let mut waited = Duration::ZERO;
    loop {
        let held = held(&process);
        if !matches!(held, Held::File(_)) || waited >= PATIENCE {
            return held;
        }
        thread::sleep(STEP);
        waited = waited.saturating_add(STEP);
    }
}

/// What the process holds.
fn held(process: &Path) -> Held {
    let (Ok(maps), Ok(links)) = (fs::read_to_string(process.join("maps")), fs::read_dir(process.join("fd")))
    else {
        return Held::Unknown;
    };
    let of_driver = |line: &&str| line.contains(DEVICES) || line.contains(LIBRARY);
    let mapped = maps.lines().find(of_driver).and_then(|line| line.get(line.find('/')?..));
    let targets = links.flatten().filter_map(|link| fs::read_link(link.path()).ok());
    let open = || {
        targets
            .filter_map(|target| target.to_str().map(str::to_owned))
            .find(|target| target.starts_with(DEVICES))
    };
    mapped.map(str::to_owned).or_else(open).map_or(Held::Nothing, Held::File)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn process(root: &Path, pid: u32, name: &str, caught: &str) -> PathBuf {
        let dir = root.join(pid.to_string());
        fs::create_dir_all(dir.join("fd")).unwrap();
        fs::write(dir.join("status"), format!("Name:\t{name}\nPid:\t{pid}\nSigCgt:\t{caught}\n")).unwrap();
        dir
    }

    #[test]
    fn daemons_are_found_and_others_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 11, "wattprint", "0000000100004a02");
        process(dir.path(), 9, "wattprint", "0000000000000a00");
        process(dir.path(), 12, "wattprint", "0000000000004002");
        process(dir.path(), 13, "sh", "0000000000000a00");
        assert_eq!(find(dir.path()), [9, 11]);
    }

    #[test]
    fn what_is_held_is_told_by_device_files() {
        let dir = tempfile::tempdir().unwrap();
        let process = process(dir.path(), 9, "wattprint", "0");
        assert_eq!(held(&process), Held::Unknown, "without maps nothing is known");
        symlink("/dev/null", process.join("fd/0")).unwrap();
        fs::write(process.join("maps"), "7f00-7f01 r-xp 0 00:00 1 /usr/lib/libc.so.6\n").unwrap();
        assert_eq!(held(&process), Held::Nothing);
        fs::write(process.join("maps"), "7f00-7f01 r-xp 0 00:00 1 /usr/lib/libnvidia-ml.so.570\n").unwrap();
        assert_eq!(held(&process), Held::File("/usr/lib/libnvidia-ml.so.570".to_owned()));
        fs::write(process.join("maps"), "").unwrap();
        symlink("/dev/nvidiactl", process.join("fd/7")).unwrap();
        assert_eq!(held(&process), Held::File("/dev/nvidiactl".to_owned()));
    }
}
