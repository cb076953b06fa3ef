//! The machine under load: where it accounts CPU time, the C programs, and the processes this benchmark starts.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::ClockId;
use serde::{Deserialize, Serialize};

use crate::Outcome;

const BUSY_PERCENT: usize = 2;
const CLEAN_UP_TIME: Duration = Duration::from_secs(60);
/// Pids left free for everything else on the machine.
const SPARE_PIDS: usize = 1_000;

/// One cgroup hierarchy, as this process sees it.
#[derive(Debug)]
struct Hierarchy {
    mount: PathBuf,
    /// The cgroup of this process in it.
    home: PathBuf,
}

/// The hierarchies in which the load stands.
#[derive(Debug)]
pub(crate) struct Cgroups {
    cpu: Hierarchy,
    usage_file: &'static str,
    /// The memory hierarchy, where that is another one (v1).
    memory: Option<Hierarchy>,
}

impl Cgroups {
    /// Finds them in `/proc/self/mountinfo`, which proc_pid_mountinfo(5) describes: v1 `cpuacct` where it is
    /// mounted, since a hybrid machine accounts there, else v2.
    pub(crate) fn find() -> Outcome<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        if let Some(cpu) = hierarchy(&mounts, &own, "cpuacct") {
            let memory = hierarchy(&mounts, &own, "memory").filter(|memory| memory.mount != cpu.mount);
            return Ok(Self { cpu, usage_file: "cpuacct.usage", memory });
        }
        let cpu = hierarchy(&mounts, &own, "").ok_or(
            "no cgroup hierarchy that accounts CPU time is mounted: mount cgroup2 at /sys/fs/cgroup",
        )?;
        Ok(Self { cpu, usage_file: "cpu.stat", memory: None })
    }

    /// One line for the reader of the results.
    pub(crate) fn describe(&self) -> String {
        format!("{}/**/{}", self.cpu.mount.display(), self.usage_file)
    }

    /// `BASE HOME` for each hierarchy. A memory hierarchy in which this process does not stand at the top has a
    /// manager who counts on finding its descendants there: the load gets its directories but stays put.
    fn places(&self) -> Vec<PathBuf> {
        let mut places = vec![self.cpu.mount.join("docker"), self.cpu.home.clone()];
        if let Some(memory) = &self.memory {
            let managed = memory.home != memory.mount;
            places.push(memory.mount.join("docker"));
            places.push(if managed { PathBuf::from("-") } else { memory.home.clone() });
        }
        places
    }
}

/// The hierarchy of a v1 `controller`, or of v2 if that is empty.
fn hierarchy(mounts: &str, own: &str, controller: &str) -> Option<Hierarchy> {
    let (root, mount) = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let mut kind = kind.split(' ');
        let (root, mount) = (place.next()?, place.next()?);
        let (fs_type, options) = (kind.next()?, kind.nth(1)?);
        let wanted = match controller {
            "" => fs_type == "cgroup2",
            name => fs_type == "cgroup" && options.split(',').any(|option| option == name),
        };
        wanted.then(|| (root.to_owned(), PathBuf::from(mount)))
    })?;
    let path = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    let below = Path::new(path).strip_prefix(&root).unwrap_or(Path::new(""));
    // join("") would leave a trailing slash, and a path that differs from the mount point.
    let home = if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) };
    Some(Hierarchy { mount, home })
}

/// Why `processes` more can't be started here, if so.
pub(crate) fn too_many(processes: usize) -> Option<String> {
    let limit = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let tasks = fs::read_to_string("/proc/loadavg").ok()?;
    let present: usize = tasks.split(' ').nth(3)?.split('/').nth(1)?.parse().ok()?;
    ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max"].into_iter().find_map(|path| {
        let limit = limit(path)?;
        let needed = processes + present + SPARE_PIDS;
        (needed > limit).then(|| format!("{processes} processes need {path} to be {needed}, it is {limit}"))
    })
}

/// The C programs, compiled.
#[derive(Debug)]
pub(crate) struct Programs {
    floor: PathBuf,
    load: PathBuf,
}

impl Programs {
    /// Compiles them with `$CC` or `cc` into Cargo's folder for such things.
    pub(crate) fn compile() -> Outcome<Self> {
        Ok(Self { floor: compile("floor")?, load: compile("load")? })
    }

    /// Runs the floor for `ticks` ticks, back to back or one each `interval`.
    pub(crate) fn floor(&self, cgroups: &Cgroups, ticks: u32, interval: Duration) -> Outcome<Floor> {
        let output = Command::new(&self.floor)
            .args([ticks.to_string(), interval.as_millis().to_string()])
            .arg(&cgroups.cpu.mount)
            .arg(cgroups.usage_file)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("the floor ended with {}", output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Loads the machine; dropping the load removes it.
    pub(crate) fn load(&self, cgroups: &Cgroups, processes: usize, containers: usize) -> Outcome<Load> {
        let numbers = [processes, containers, BUSY_PERCENT, std::process::id() as usize];
        let mut child = Command::new(&self.load)
            .arg("fill")
            .args(numbers.map(|number| number.to_string()))
            .args(cgroups.places())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().ok_or("the load has no output")?;
        let mut load = Load { input: child.stdin.take(), child };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        if line.trim() == "ready" {
            return Ok(load);
        }
        load.remove()?;
        Err("the load could not be made; its message stands above".into())
    }

    /// A command that ends when this process does, however that happens.
    pub(crate) fn bound(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.load);
        command.arg("bound").arg(program);
        command
    }
}

fn compile(name: &str) -> Outcome<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name).with_extension("c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-O2", "-Wall", "-Wextra", "-o"])
        .args([&program, &source])
        .status()
        .map_err(|error| format!("{compiler}: {error}; the benchmark needs a C compiler, $CC or cc"))?;
    if !status.success() {
        return Err(format!("{compiler} could not compile {}", source.display()).into());
    }
    Ok(program)
}

/// What the floor saw and what it cost.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Floor {
    /// Processes whose clock it read.
    pub(crate) pids: u64,
    /// Cgroups whose usage it read.
    pub(crate) cgroups: u64,
    /// CPU time of one tick, milliseconds.
    pub(crate) cpu_ms_per_tick: f64,
}

/// The running load.
#[derive(Debug)]
pub(crate) struct Load {
    child: Child,
    input: Option<ChildStdin>,
}

impl Load {
    /// Its processes.
    pub(crate) fn pids(&self) -> Outcome<Vec<u32>> {
        let parent = self.child.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        Ok(children.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    /// Ends its processes and removes its cgroups.
    pub(crate) fn remove(&mut self) -> Outcome<()> {
        // The load cleans up at the end of its input, so it does so as well if this process is killed.
        self.input = None;
        let deadline = Instant::now() + CLEAN_UP_TIME;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("the load ended with {status}").into()),
                None if Instant::now() > deadline => return Err("the load does not end".into()),
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // An error here follows one that is already on its way to the reader.
        self.remove().ok();
    }
}

/// CPU time of a process so far, with that of its threads that ended, from its CPU clock.
///
/// The clock's number is made of the pid as clock_getcpuclockid(3) does it.
pub(crate) fn cpu_time(pid: u32) -> Outcome<Duration> {
    let clock = (!i32::try_from(pid)? << 3) | 2;
    Ok(Duration::from(ClockId::from_raw(clock).now()?))
}

/// Resident memory of a process, bytes: now and at its highest.
pub(crate) fn memory(pid: u32) -> Outcome<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64, Box<dyn Error>> {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let value = value.and_then(|value| value.split_whitespace().next());
        Ok(value.ok_or_else(|| format!("/proc/{pid}/status has no {name}"))?.parse::<u64>()? * 1024)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}
