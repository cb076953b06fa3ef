//! What the daemon tells systemd, the sockets that it gets from it, and `wattprint health`.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{Daemon, PATIENCE, binary, free_port, run, signal};
use crate::http;
use crate::wait_for;

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
        let pairs = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "1000000".to_owned())];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The next message, if one comes soon.
    fn message(&self) -> Option<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
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

#[test]
fn sockets_of_systemd_are_served_on_and_others_are_refused() {
    let script = "import os, socket, sys\n\
        s = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n\
        os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])";
    let port = free_port();
    let child = Command::new("python3")
        .args(["-c", script, &port.to_string(), env!("CARGO_BIN_EXE_wattprint")])
        .args(["--config.file=/dev/null", "--web.systemd-socket"])
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
    assert!(output.status.code() == Some(1) && said.contains("wattprint.socket"), "{said}");
}

#[test]
fn health_tells_running_from_stopped_and_absent() {
    let daemon = Daemon::start(&[]);
    let ask = |port: u16, more: &[&str]| {
        let listen = format!("--web.listen-address=:{port}");
        let all = [&["health", "--config.file=/dev/null", &listen][..], more].concat();
        let output = binary().args(all).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask(daemon.port, &[]).0, Some(0));
    assert_eq!(ask(daemon.port, &["--ready"]).0, Some(0));
    signal(daemon.pid(), "STOP");
    let (code, said) = ask(daemon.port, &["--timeout", "300ms"]);
    signal(daemon.pid(), "CONT");
    assert!(code == Some(1) && said.contains("no answer in time"), "{said}");
    let (code, said) = ask(free_port(), &[]);
    assert!(code == Some(1) && said.contains("refused") && said.lines().count() == 1, "{said}");
    daemon.finish();
}
