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

/// What holds a driver: open device files, and the library that uses them.
const DEVICES: &str = "/dev/nvidia";
const LIBRARY: &str = "libnvidia-ml";

/// Signals every daemon on this machine that may be signalled, or the one that is named.
pub(super) fn run(
    loaded: &Loaded,
    pid: Option<i32>,
    resume: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let procfs = &loaded.settings.path.procfs;
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
            None => writeln!(out, "pid {pid}: GPUs released for {}", human(loaded))?,
            Some(held) => {
                writeln!(out, "pid {pid}: still holds {held}; a call to the driver may hang")?;
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

/// Daemons: processes that run the same program in the same way, apart from this one.
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
    let comm = fs::read_to_string(process.join("comm")).unwrap_or_default();
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let commands = ["check", "release-gpus"];
    let is_other = |argument: &[u8]| commands.iter().any(|other| other.as_bytes() == argument);
    comm.trim_end() == "wattprint" && !command.split(|byte| *byte == 0).any(is_other)
}

/// What the process still holds when patience is at its end.
fn wait_until_free(procfs: &Path, pid: i32) -> Option<String> {
    let process = procfs.join(pid.to_string());
    let mut waited = Duration::ZERO;
    loop {
        let held = held(&process)?;
        if waited >= PATIENCE {
            return Some(held);
        }
        thread::sleep(STEP);
        waited = waited.saturating_add(STEP);
    }
}

/// A device file or library of the driver that the process uses.
fn held(process: &Path) -> Option<String> {
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    let mapped = maps.lines().find(|line| line.contains(LIBRARY) || line.contains(DEVICES));
    let path = |line: &str| line.split_whitespace().last().unwrap_or(LIBRARY).to_owned();
    mapped.map(path).or_else(|| {
        let links = fs::read_dir(process.join("fd")).ok()?.flatten();
        let mut targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        targets.find(|target| is_device(target)).map(|target| target.display().to_string())
    })
}

fn is_device(target: &Path) -> bool {
    target.to_str().is_some_and(|target| target.starts_with(DEVICES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn process(root: &Path, pid: u32, comm: &str, command: &[u8]) -> PathBuf {
        let dir = root.join(pid.to_string());
        fs::create_dir_all(dir.join("fd")).unwrap();
        fs::write(dir.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(dir.join("cmdline"), command).unwrap();
        dir
    }

    #[test]
    fn daemons_are_found_and_other_commands_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 11, "wattprint", b"/usr/bin/wattprint\0--log.level\0debug\0");
        process(dir.path(), 9, "wattprint", b"wattprint\0serve\0");
        process(dir.path(), 12, "wattprint", b"wattprint\0check\0--json\0");
        process(dir.path(), 13, "sh", b"sh\0wattprint\0");
        assert_eq!(find(dir.path()), [9, 11]);
    }

    #[test]
    fn what_is_held_is_told_by_maps_and_open_files() {
        let dir = tempfile::tempdir().unwrap();
        let process = process(dir.path(), 9, "wattprint", b"wattprint\0");
        symlink("/dev/null", process.join("fd/0")).unwrap();
        fs::write(process.join("maps"), "7f00-7f01 r-xp 0 00:00 1 /usr/lib/libc.so.6\n").unwrap();
        assert_eq!(held(&process), None);
        symlink("/dev/nvidiactl", process.join("fd/7")).unwrap();
        assert_eq!(held(&process).as_deref(), Some("/dev/nvidiactl"));
        fs::write(process.join("maps"), "7f00-7f01 r-xp 0 00:00 1 /usr/lib/libnvidia-ml.so.570\n").unwrap();
        assert_eq!(held(&process).as_deref(), Some("/usr/lib/libnvidia-ml.so.570"));
    }
}
