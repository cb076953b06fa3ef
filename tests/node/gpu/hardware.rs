//! Real GPUs: wattprint's joules against the hardware's counter and `nvidia-smi`. `make test-gpu` runs these, on a
//! machine with an NVIDIA GPU that nobody else uses; elsewhere they are left out.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use nvml_wrapper::Nvml;

use crate::assert_close;
use crate::cgroup::Cgroup;
use crate::cgroups::sandbox;
use crate::daemon::Daemon;
use crate::snapshot::Snapshot;

/// Counters move every 20 to 100 ms, and snapshots are a tick apart.
const COUNTER: f64 = 0.02;
/// What `nvidia-smi` shows is sampled, and by another window.
const TOOL: f64 = 0.10;
/// Ticks of one comparison.
const TICKS: u64 = 30;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gpu_burn.c");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu_burn");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-o"]).arg(&binary).arg(source).arg("-ldl");
        assert!(compiler.status().expect("run cc").success(), "gpu_burn.c doesn't compile");
        binary
    })
}

/// A process on the first GPU, inside a cgroup; it is killed when dropped.
#[derive(Debug)]
struct Burn(Child);

impl Burn {
    fn start(cgroup: &Cgroup, blocks: &str) -> Self {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.directory().display());
        let mut command = Command::new("sh");
        command.args(["-c", &enter, "sh"]).arg(program()).args(["600", blocks]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start gpu_burn");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("its first line");
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Burn {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the tools say of a span.
#[derive(Debug)]
struct Truth {
    /// The hardware counter's joules.
    counter: f64,
    /// Joules by the power that `nvidia-smi` shows, by trapezoid.
    tool: f64,
}

fn counter(nvml: &Nvml, uuid: &str) -> f64 {
    let device = nvml.device_by_uuid(uuid).expect("the device");
    device.total_energy_consumption().expect("a counter") as f64 / 1000.0
}

fn power(uuid: &str) -> f64 {
    let query = ["-i", uuid, "--query-gpu=power.draw.instant", "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(query).output().expect("run nvidia-smi");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a power")
}

/// Watches the first GPU for a while, and gives wattprint's view of it before and after.
fn watch(daemon: &Daemon, nvml: &Nvml, uuid: &str) -> (Snapshot, Snapshot, Truth) {
    let before = daemon.ticks(1);
    let (begun, first) = (Instant::now(), counter(nvml, uuid));
    let (mut last, mut tool) = ((0.0, power(uuid)), 0.0);
    let target = before.sequence() + TICKS;
    let after = daemon.until("the span to end", |snapshot| {
        let now = (begun.elapsed().as_secs_f64(), power(uuid));
        tool += (now.0 - last.0) * (now.1 + last.1) / 2.0;
        last = now;
        snapshot.sequence() >= target
    });
    (before, after, Truth { counter: counter(nvml, uuid) - first, tool })
}

/// Writes one line of the table in `docs/accuracy.md`.
fn report(what: &str, gpu: f64, truth: &Truth, owners: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("accuracy.md");
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("open the report");
    let Truth { counter, tool } = truth;
    writeln!(file, "| {what} | {gpu:.1} | {counter:.1} | {tool:.1} | {owners} |").expect("write the report");
}

#[test]
#[ignore = "needs an NVIDIA GPU; make test-gpu runs it"]
fn joules_are_those_of_the_counter_and_of_nvidia_smi() {
    let nvml = Nvml::init().expect("NVML");
    let uuid = nvml.device_by_index(0).and_then(|device| device.uuid()).expect("a GPU");
    let sandbox = sandbox("hardware").expect("cgroups can be made");
    let ((one, one_id), (two, two_id)) = (sandbox.container(), sandbox.container());
    let daemon = Daemon::start(&[]);
    let joules = |(before, after): (&Snapshot, &Snapshot), id: &str| {
        let of = |snapshot: &Snapshot| snapshot.container(id).map_or(0.0, |row| row.joules("gpu"));
        of(after) - of(before)
    };
    let compare = |what: &str, owners: &[&str]| {
        let (before, after, truth) = watch(&daemon, &nvml, &uuid);
        let gpu = after.gpu_joules(&uuid) - before.gpu_joules(&uuid);
        let shares: Vec<f64> = owners.iter().map(|id| joules((&before, &after), id)).collect();
        let method = after.gpu(&uuid)["method"].as_str().unwrap_or("").to_owned();
        report(what, gpu, &truth, &format!("{method}: {shares:.1?}"));
        assert_close(&format!("{what}, counter"), gpu, truth.counter, COUNTER);
        assert_close(&format!("{what}, nvidia-smi"), gpu, truth.tool, TOOL);
        (gpu, shares)
    };
    compare("idle", &[]);
    let first = Burn::start(&one, "4096");
    let (gpu, shares) = compare("one busy process", &[&one_id]);
    assert!(shares[0] > 0.0 && shares[0] <= gpu, "{shares:?} of {gpu}");
    let second = Burn::start(&two, "4096");
    let (gpu, shares) = compare("two that share", &[&one_id, &two_id]);
    assert!(shares.iter().all(|share| *share > 0.1 * gpu), "alike, but {shares:?} of {gpu}");
    drop((first, second));
    daemon.finish();
}
