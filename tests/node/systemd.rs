//! What the daemon tells systemd, the sockets that it gets from it, and `wattprint health`.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::daemon::{Daemon, PATIENCE, free_port, run, signal};
use crate::http;
use crate::rapl_tree::{RANGE, Tree};
use crate::wait_for;

/// What the manager says that it waits for a sign of life.
const WATCHDOG: Duration = Duration::from_secs(1);

/// A process that doesn't outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Takes the place of systemd's socket for messages.
struct Manager {
    directory: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Self { directory, socket }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let path = self.directory.path().join("notify").display().to_string();
        let pairs = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The next message, if one comes soon.
    fn message(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// Asserts that none like these comes before the watchdog would have been served several times.
    fn hears_none_of(&self, kinds: &[&str]) {
        let begun = Instant::now();
        while begun.elapsed() < WATCHDOG * 2 {
            let message = self.message().unwrap_or_default();
            assert!(!kinds.iter().any(|kind| message.contains(kind)), "{message}");
        }
    }

    fn waits_for(&self, what: &str) -> String {
        wait_for(what, PATIENCE, || self.message().filter(|message| message.starts_with(what)))
    }
}

#[test]
fn systemd_hears_of_the_start_the_progress_and_the_end() {
    let manager = Manager::new();
    let mut daemon = Daemon::in_environment(&manager.environment(), "", &["--sample.interval=200ms"]);
    let first = wait_for("a message", PATIENCE, || manager.message());
    assert!(first.starts_with("READY=1"), "{first}");
    assert_eq!(daemon.get("/-/ready").status, 200);
    let status = manager.waits_for("STATUS=");
    assert!(status.contains(" workloads") && status.contains(&daemon.port.to_string()), "{status}");
    for _ in 0..3 {
        manager.waits_for("WATCHDOG=1");
    }
    let (ended, _) = daemon.end("TERM");
    assert_eq!(ended.code(), Some(0));
    manager.waits_for("STOPPING=1");
}

/// A node with one zone that can be made to hang.
fn tree() -> Tree {
    let mut tree = Tree::new();
    tree.zone("intel-rapl:0", "package-0", 0, RANGE);
    tree
}

/// Exit code and standard error of `wattprint health` with these options.
fn health(port: u16, more: &[&str]) -> (Option<i32>, String) {
    let listen = format!("--web.listen-address=:{port}");
    let all = [&["health", "--config.file=/dev/null", &listen][..], more].concat();
    let output = run(&all, &[]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn nothing_ends_the_start_before_the_first_snapshot_not_even_a_reload() {
    let (manager, mut tree) = (Manager::new(), tree());
    let pipe = tree.hang("intel-rapl:0");
    let arguments = [&*tree.flag(), "--sample.interval=200ms"];
    let daemon = Daemon::unready(&manager.environment(), "", &arguments);
    signal(daemon.pid(), "HUP");
    wait_for("the reload", PATIENCE, || daemon.log().contains("was read again").then_some(()));
    manager.hears_none_of(&["READY", "RELOADING", "WATCHDOG", "STATUS"]);
    assert_eq!(daemon.get("/-/ready").status, 503);
    let (code, said) = health(daemon.port, &["--ready"]);
    assert!(code == Some(1) && said.contains("503"), "{code:?}: {said}");
    // The first snapshot has its time.
    assert_eq!(health(daemon.port, &[]).0, Some(0));

    tree.mend("intel-rapl:0");
    assert!(pipe.lets_go(), "nothing hung");
    let first = wait_for("a message", PATIENCE, || manager.message());
    assert!(first.starts_with("READY=1"), "{first}");
    assert_eq!(health(daemon.port, &["--ready"]).0, Some(0));

    signal(daemon.pid(), "HUP");
    let is_of_reload = |message: &String| message.contains("RELOADING=1") || message.contains("READY=1");
    let next = || wait_for("a message", PATIENCE, || manager.message().filter(is_of_reload));
    let begin = next();
    let usec = begin.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(begin.contains("RELOADING=1") && usec.is_some_and(|usec| usec.parse::<u64>().is_ok()), "{begin}");
    assert!(next().starts_with("READY=1"));
    daemon.finish();
}

#[test]
fn the_watchdog_hears_nothing_while_a_read_hangs() {
    let (manager, mut tree) = (Manager::new(), tree());
    let arguments = [&*tree.flag(), "--sample.interval=200ms"];
    let daemon = Daemon::in_environment(&manager.environment(), "", &arguments);
    manager.waits_for("WATCHDOG=1");
    let pipe = tree.hang("intel-rapl:0");
    wait_for("its illness", PATIENCE, || (daemon.get("/-/healthy").status == 503).then_some(()));
    let (code, said) = health(daemon.port, &[]);
    assert!(code == Some(1) && said.contains("last snapshot is"), "{said}");
    // It still has something to show.
    assert_eq!(daemon.get("/metrics").status, 200);
    while manager.message().is_some() {}
    manager.hears_none_of(&["WATCHDOG"]);
    tree.mend("intel-rapl:0");
    assert!(pipe.lets_go(), "nothing hung");
    manager.waits_for("WATCHDOG=1");
    assert_eq!(health(daemon.port, &[]).0, Some(0));
    daemon.finish();
}

#[test]
fn sockets_of_systemd_are_served_on_and_others_are_refused() {
    let script = "import os, socket, sys\n\
        s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])";
    let port = free_port();
    let child = Command::new("python3")
        .args(["-c", script, &port.to_string(), env!("CARGO_BIN_EXE_wattprint")])
        .args(["--config.file=/dev/null"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    wait_for("the socket", PATIENCE, || {
        http::get(port, "/-/ready", "").ok().filter(|answer| answer.status == 200)
    });
    signal(child.0.id(), "TERM");
    assert!(child.0.wait().unwrap().success());

    let output = run(&["--config.file=/dev/null", "--web.systemd-socket"], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("wattprint.socket"), "{said}");

    let datagrams = script
        .replace("socket.socket()", "socket.socket(type=socket.SOCK_DGRAM)")
        .replace("s.listen(); ", "");
    let output = Command::new("python3")
        .args([
            "-c",
            &datagrams,
            &port.to_string(),
            env!("CARGO_BIN_EXE_wattprint"),
            "--config.file=/dev/null",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("socket 1") && said.contains("TCP only"),
        "{said}"
    );
}

#[test]
fn health_tells_running_from_stopped_and_absent() {
    let daemon = Daemon::start(&[]);
    assert_eq!(health(daemon.port, &[]).0, Some(0));
    assert_eq!(health(daemon.port, &["--ready"]).0, Some(0));
    signal(daemon.pid(), "STOP");
    let (code, said) = health(daemon.port, &["--timeout", "300ms"]);
    signal(daemon.pid(), "CONT");
    assert!(code == Some(1) && said.contains("no answer in time"), "{said}");
    // A file that the daemon would refuse, or has refused, doesn't make it ill.
    let file = format!("--config.file={}", daemon.config_file().display());
    let address = format!("127.0.0.1:{}", daemon.port);
    let listen = format!("--web.listen-address={address}");
    for text in ["[carbon\n", "[web]\ntelemetry_path = \"x\"\n"] {
        daemon.configure(text);
        for place in [&*listen, &*format!("--address={address}")] {
            let output = run(&["health", &file, place], &[]);
            assert_eq!(output.status.code(), Some(0), "{place}: {output:?}");
        }
    }
    let output = run(&["health", &file, &format!("--web.listen-address=:{}", free_port())], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("web.telemetry_path"), "{said}");
    // Of the two addresses that this stands for it listens at one.
    let (code, said) = health(daemon.port, &["--all"]);
    assert!(code == Some(1) && said.contains("1 of 2 that were asked don't answer well: [::1]:"), "{said}");
    assert_eq!(health(daemon.port, &["--all", "--address", &address]), (Some(0), String::new()));
    let (code, said) = health(free_port(), &[]);
    assert!(code == Some(1) && said.contains("refused") && said.lines().count() == 1, "{said}");
    daemon.finish();
}

#[test]
fn credentials_of_the_service_are_missed_by_nobody_else() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let source = "[[carbon.source]]\nprovider = \"entsoe\"\nzone = \"FR\"\n";
    std::fs::write(file.path(), format!("{source}token_file = \"$CREDENTIALS_DIRECTORY/em\"\n")).unwrap();
    let file = format!("--config.file={}", file.path().display());
    let output = run(&["check", &file], &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("$CREDENTIALS_DIRECTORY/em: not found") && said.contains("systemd-run"),
        "{output:?}"
    );
    let output = run(&["release-gpus", &file, "--pid", "1"], &[]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("no running wattprint"), "{output:?}");
    // The service itself says at the start what its unit lacks.
    let output = run(&["serve", &file], &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("LoadCredential="), "{output:?}");
}
