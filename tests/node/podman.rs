//! Real containers of a real podman, each test in a storage of its own.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::cgroup::{Hierarchy, Sandbox};
use crate::cgroups::{MODEL, joules_per_cpu_second};
use crate::daemon::{Daemon, PATIENCE};
use crate::exposition::{Exposition, Sample};
use crate::{assert_close, skip, wait_for};

/// As root in a container without systemd, with hierarchies of both versions: crun refuses these, and the limits of the
/// session may be lower than podman's own.
const SETTINGS: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
infra_image = "localhost/demo:1"
[network]
network_backend = "netavark"
"#;
const IMAGE: &str = "localhost/demo:1";
/// How far joules may be from the CPU time that the kernel counted.
const TOLERANCE: f64 = 0.05;
/// And those of a few, whose last tick came late: that of 0.4 s lacks 0.04 s of their 0.3 s of CPU time.
const BUSY_TOLERANCE: f64 = 0.15;
const JOULES: &str = "wattprint_container_energy_joules_total";
const INFO: &str = "wattprint_container_info";
/// Names are waited for; ticks are short, so that little is left of a container's last one.
const HASTY: &str = "[sample]\ninterval = \"100ms\"\n";

/// A storage, and all containers in it. They end with it.
struct Podman {
    files: TempDir,
    /// The cgroup of the containers, which podman makes in every hierarchy.
    cgroup: String,
    _sandbox: Sandbox,
}

impl Podman {
    /// None where nobody may make cgroups here.
    fn new(test: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let sandbox = Sandbox::new(Hierarchy::primary()).map_err(|why| skip(test, &why)).ok()?;
        let files = tempfile::tempdir().unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("wattprint-podman-{}-{count}", std::process::id());
        fs::create_dir_all(files.path().join("host/var/lib/containers")).unwrap();
        fs::create_dir_all(files.path().join("image")).unwrap();
        fs::write(files.path().join("containers.conf"), SETTINGS).unwrap();
        let podman = Self { files, cgroup, _sandbox: sandbox };
        podman.make_image();
        Some(podman)
    }

    /// An image with nothing in it but a program that burns CPU time.
    fn make_image(&self) {
        let (image, archive) = (self.files.path().join("image"), self.files.path().join("image.tar"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/burn.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut compile = Command::new(compiler);
        compile.args(["-O1", "-static", "-o"]).arg(image.join("burn")).arg(source);
        succeed(&mut compile);
        succeed(Command::new("tar").arg("-C").arg(&image).arg("-cf").arg(&archive).arg("burn"));
        // An infra container gets the command of its image.
        let changes = ["--change", r#"CMD ["/burn","steady","1","60000"]"#, "--change", "LABEL team=blue"];
        self.run(&[&["import"], &changes[..], &[archive.to_str().unwrap(), IMAGE]].concat());
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", self.files.path().join("containers.conf"));
        for (option, place) in
            [("--root", "host/var/lib/containers/storage"), ("--runroot", "run"), ("--tmpdir", "tmp")]
        {
            command.arg(option).arg(self.files.path().join(place));
        }
        command
    }

    /// What podman prints.
    fn run(&self, arguments: &[&str]) -> String {
        let output = succeed(self.command().args(arguments));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Starts a container and gives its id.
    fn start(&self, name: &str, more: &[&str], burn: &[&str]) -> String {
        let parent = format!("--cgroup-parent=/{}", self.cgroup);
        let begin = ["run", "-d", "--rm=false", "--network=none", "--name", name, &parent];
        self.run(&[&begin, more, &[IMAGE, "/burn"], burn].concat())
    }

    /// A daemon that finds the storage below its root of the host.
    fn daemon(&self, wait: &str, config: &str) -> Daemon {
        let host = self.files.path().join("host");
        let environment = [("WATTPRINT_NAMES__WAIT".to_owned(), wait.to_owned())];
        let arguments = ["--no-collector.rapl".into(), "--no-collector.hwmon".into()];
        let arguments: Vec<String> =
            arguments.into_iter().chain([format!("--path.rootfs={}", host.display())]).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Daemon::in_environment(&environment, &format!("{HASTY}{MODEL}{config}"), &arguments)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for arguments in
            [["pod", "rm", "-a", "-f", "-t0"].as_slice(), &["rm", "-a", "-f", "-t0"], &["umount", "-a"]]
        {
            let _ = self.command().args(arguments).output();
        }
        // What it mounts for itself.
        let storage = self.files.path().join("host/var/lib/containers/storage/overlay");
        let _ = Command::new("umount").arg("-l").arg(storage).output();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&hierarchy.path().join(&self.cgroup));
        }
        remove_groups(&Path::new("/sys/fs/cgroup").join(&self.cgroup));
    }
}

fn remove_groups(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

fn succeed(command: &mut Command) -> Output {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `make tools` installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The only sample of a family that has these labels, as soon as it is there.
fn sample(daemon: &Daemon, family: &str, labels: &[(&str, &str)]) -> Sample {
    wait_for(&format!("{family} {labels:?}"), PATIENCE, || {
        let scrape = daemon.scrape();
        let found = scrape.select(family, labels);
        (found.len() == 1).then(|| found[0].clone())
    })
}

fn short(id: &str) -> &str {
    &id[..12]
}

/// Joules of a container under its name, all states of the CPU together.
fn joules(scrape: &Exposition, name: &str, id: &str) -> f64 {
    let labels =
        [("container", name), ("container_id", short(id)), ("component", "cpu"), ("state", "active")];
    scrape.select(JOULES, &labels).iter().map(|sample| sample.value).sum()
}

#[test]
fn containers_have_the_names_that_podman_gave_them() {
    let Some(podman) = Podman::new("containers_have_the_names_that_podman_gave_them") else { return };
    let daemon = podman.daemon("30s", "[names]\nannotations = [\"team\"]\nlabels = [\"team\"]\n");
    let steady = ["steady", "20", "60000"];
    let first = podman.start("web", &["--label", "com.docker.compose.project=shop"], &steady);
    let series =
        [("container", "web"), ("container_id", short(&first)), ("component", "cpu"), ("state", "active")];
    let labels = sample(&daemon, JOULES, &series).labels;
    assert_eq!(labels["runtime"], "podman");
    let info = sample(&daemon, INFO, &[("container_id", short(&first))]).labels;
    assert_eq!(info["image"], IMAGE, "{info:?}");
    assert_eq!((&*info["owner_name"], &*info["label_team"]), ("shop", "blue"), "{info:?}");

    // The same container started again goes on where it was.
    podman.run(&["kill", "web"]);
    daemon.until("its end", |snapshot| snapshot.container(&first).is_some_and(|row| row.has_ended()));
    let before = joules(&daemon.scrape(), "web", &first);
    podman.run(&["start", "web"]);
    daemon.until("its start", |snapshot| snapshot.container(&first).is_some_and(|row| !row.has_ended()));
    wait_for("more joules", PATIENCE, || (joules(&daemon.scrape(), "web", &first) > before).then_some(()));

    // Another one of the same name is another series, and both stay.
    podman.run(&["rm", "-f", "-t0", "web"]);
    let second = podman.start("web", &[], &steady);
    sample(
        &daemon,
        JOULES,
        &[("container", "web"), ("container_id", short(&second)), ("component", "cpu"), ("state", "active")],
    );
    assert!(joules(&daemon.scrape(), "web", &first) >= before);

    // A rename is told beside the series, which keep the name that they began with.
    podman.run(&["rename", "web", "renamed"]);
    let renamed = [("container", "renamed"), ("container_id", short(&second))];
    sample(&daemon, INFO, &renamed);
    assert!(joules(&daemon.scrape(), "web", &second) > 0.0);
    daemon.finish();
}

#[test]
fn containers_in_pods_have_their_names_and_the_pods_too() {
    let Some(podman) = Podman::new("containers_in_pods_have_their_names_and_the_pods_too") else { return };
    let daemon = podman.daemon("2s", "");
    let uid = format!("0f1e2d3c-4b5a-6978-8796-{:012x}", std::process::id());
    let kube = format!("/kubepods/burstable/pod{uid}");
    let parent = format!("--cgroup-parent={kube}");
    let inside = podman.run(&[
        "run",
        "-d",
        "--network=none",
        "--name=inside",
        &parent,
        IMAGE,
        "/burn",
        "steady",
        "20",
        "60000",
    ]);
    let manifest = podman.files.path().join("pod.json");
    let container = |name: &str| serde_json::json!({"name": name, "image": IMAGE, "command": ["/burn", "steady", "20", "60000"]});
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "shop", "annotations": {"wattprint.io/phase": "training"}},
        "spec": {"hostNetwork": true, "restartPolicy": "Never", "containers": [container("front"), container("back")]}
    });
    fs::write(&manifest, pod.to_string()).unwrap();
    podman.run(&["play", "kube", manifest.to_str().unwrap()]);
    for name in ["shop-front", "shop-back"] {
        let labels = [
            ("container", name),
            ("pod", "shop"),
            ("runtime", "podman"),
            ("component", "cpu"),
            ("state", "active"),
        ];
        sample(&daemon, JOULES, &labels);
        let info = sample(&daemon, INFO, &[("container", name), ("pod", "shop")]).labels;
        assert_eq!(info["phase"], "training", "{info:?}");
    }
    // It has a name, but nobody calls its pod anything.
    let labels = [
        ("container", "inside"),
        ("container_id", short(&inside)),
        ("pod", &*uid),
        ("component", "cpu"),
        ("state", "active"),
    ];
    sample(&daemon, JOULES, &labels);
    podman.run(&["rm", "-f", "-t0", "inside"]);
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        remove_groups(&hierarchy.path().join(kube.trim_start_matches('/')));
    }
    daemon.finish();
}

/// Reads what the kernel counts for each container while it is there.
fn watch(cgroup: PathBuf, usage: &Mutex<HashMap<String, f64>>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        for entry in fs::read_dir(&cgroup).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_prefix("libpod-") else { continue };
            let v1 = fs::read_to_string(entry.path().join("cpuacct.usage")).ok();
            let v2 = || fs::read_to_string(entry.path().join("cpu.stat")).ok();
            let seconds = match v1 {
                Some(text) => text.trim().parse::<f64>().map(|ns| ns / 1e9).ok(),
                None => v2().and_then(|text| {
                    let usec = text.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                    usec.trim().parse::<f64>().map(|usec| usec / 1e6).ok()
                }),
            };
            if let Some(seconds) = seconds {
                usage.lock().unwrap().insert(id.to_owned(), seconds);
            }
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hundred_short_containers_have_the_joules_of_their_cpu_time() {
    let Some(podman) = Podman::new("a_hundred_short_containers_have_the_joules_of_their_cpu_time") else {
        return;
    };
    let daemon = podman.daemon("30s", "");
    let (usage, is_over, next) = (Mutex::new(HashMap::new()), AtomicBool::new(false), AtomicU32::new(0));
    let started = Mutex::new(BTreeMap::new());
    let root = Hierarchy::primary().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| watch(root.mount().join(&podman.cgroup), &usage, &is_over));
        let makers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= 100 {
                            return;
                        }
                        let name = format!("burst-{number}");
                        // 0.3 s of CPU time in 3 s.
                        let id = podman.start(&name, &[], &["steady", "100", "300"]);
                        started.lock().unwrap().insert(name, id);
                    }
                })
            })
            .collect();
        let made: Vec<_> = makers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let is_done = || {
            let ids: Vec<String> = started.lock().unwrap().values().cloned().collect();
            daemon.until("the end of all", |snapshot| {
                ids.iter().all(|id| snapshot.container(id).is_some_and(|row| row.has_ended()))
            });
        };
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(is_done));
        is_over.store(true, Ordering::Relaxed);
        assert!(made.iter().all(Result::is_ok) && ended.is_ok());
    });
    daemon.ticks(1);
    let (scrape, usage, started) =
        (daemon.scrape(), usage.into_inner().unwrap(), started.into_inner().unwrap());
    assert_eq!(started.len(), 100);
    let (mut off, mut kernel_sum, mut seen_sum) = (Vec::new(), 0.0, 0.0);
    for (name, id) in &started {
        let (kernel, seen) = (usage[id], joules(&scrape, name, id) / joules_per_cpu_second());
        assert!(kernel >= 0.29, "{name}: {kernel}");
        // Those that end in one tick share what is left, and on a busy machine that tick is longer than it should be.
        let ratio = seen / kernel;
        assert!((ratio - 1.0).abs() < BUSY_TOLERANCE, "{name}: {kernel} s, {ratio} of it seen");
        if (ratio - 1.0).abs() > TOLERANCE {
            off.push((name, kernel, ratio));
        }
        kernel_sum += kernel;
        seen_sum += seen;
    }
    assert!(off.len() <= 10, "of 100: {off:?}");
    assert_close("CPU time of all", seen_sum, kernel_sum, TOLERANCE);
    // The sums are checked to the microjoule with each snapshot, and as far as the text tells with each scrape.
    let named = scrape.select(JOULES, &[("runtime", "podman"), ("component", "cpu"), ("state", "active")]);
    let sum: f64 =
        named.iter().filter(|one| one.labels["container"].starts_with("burst-")).map(|one| one.value).sum();
    let snapshot = daemon.snapshot();
    let rows: f64 = started.values().map(|id| snapshot.container(id).unwrap().joules("cpu")).sum();
    assert!((sum - rows).abs() < 1e-3, "{sum} in series, {rows} in rows");
    daemon.finish();
}
