//! Starts the daemon, asks it, and ends it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::exposition::Exposition;
use crate::http::{self, Answer};
use crate::snapshot::Snapshot;
use crate::wait_for;

/// A loaded machine may take its time; what is promised to be fast is measured, not waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, without settings from outside.
pub(crate) fn binary() -> Command {
    binary_under(&[])
}

/// The same, started by another program: `wrapper` is that and its arguments, which the binary's path follows.
pub(crate) fn binary_under(wrapper: &[&str]) -> Command {
    let own = env!("CARGO_BIN_EXE_wattprint");
    let mut command = match wrapper {
        [] => Command::new(own),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(own);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WATTPRINT_") {
            command.env_remove(name);
        }
    }
    // These change what the daemon does where only a new container helps.
    command.env_remove("KUBERNETES_SERVICE_HOST").env_remove("container");
    // Made-up containers have no names to wait for; tests of names say how long they wait.
    command.env("WATTPRINT_NAMES__WAIT", "0s");
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = binary();
    let child = command.args(arguments).envs(environment.iter().copied());
    child.stdout(Stdio::piped()).stderr(Stdio::piped()).output().expect("run wattprint")
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Sends a signal, by its name, to one process.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("run sh");
    assert!(status.success(), "kill -{name} {pid}");
}

/// A running daemon; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    files: TempDir,
    /// From the start of the process to the first "ready", or to the first answer.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    /// Starts it with working defaults and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::configured("", arguments)
    }

    /// Starts it with the model in use, whatever meters this machine has.
    pub(crate) fn modelled(config: &str, arguments: &[&str]) -> Self {
        Self::configured(config, &[&["--no-collector.rapl", "--no-collector.hwmon"], arguments].concat())
    }

    /// Starts it with this configuration file and waits until it is ready.
    pub(crate) fn configured(config: &str, arguments: &[&str]) -> Self {
        Self::in_environment(&[], config, arguments)
    }

    /// The same with more in its environment.
    pub(crate) fn in_environment(environment: &[(String, String)], config: &str, arguments: &[&str]) -> Self {
        Self::wrapped(&[], environment, config, arguments)
    }

    /// The same, started by another program, which gets all signals in its place.
    pub(crate) fn wrapped(
        wrapper: &[&str],
        environment: &[(String, String)],
        config: &str,
        arguments: &[&str],
    ) -> Self {
        Self::begun(wrapper, environment, config, arguments, |status| status == 200)
    }

    /// Starts it and waits until it answers, ready or not.
    pub(crate) fn unready(environment: &[(String, String)], config: &str, arguments: &[&str]) -> Self {
        Self::begun(&[], environment, config, arguments, |_| true)
    }

    /// Starts it and waits for an answer to `/-/ready` with a status that is enough.
    fn begun(
        wrapper: &[&str],
        environment: &[(String, String)],
        config: &str,
        arguments: &[&str],
        is_enough: fn(u16) -> bool,
    ) -> Self {
        let mut files = tempfile::tempdir().expect("a temporary directory");
        let config_file = files.path().join("config.toml");
        fs::write(&config_file, config).expect("write the configuration");
        for _ in 0..10 {
            let port = free_port();
            let log = File::create(files.path().join("log")).expect("create the log");
            let mut command = binary_under(wrapper);
            command.arg("--config.file").arg(&config_file);
            command.arg(format!("--web.listen-address=127.0.0.1:{port}")).args(arguments);
            command.envs(environment.iter().map(|(name, value)| (name, value)));
            let started = Instant::now();
            let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("start wattprint");
            let mut daemon = Self { child, port, files, ready_after: Duration::ZERO };
            if daemon.answers(is_enough) {
                daemon.ready_after = started.elapsed();
                return daemon;
            }
            assert!(daemon.log().contains("in use"), "it ended: {}", daemon.log());
            // Someone else took the port in between.
            let unused = tempfile::tempdir().expect("a temporary directory");
            files = std::mem::replace(&mut daemon.files, unused);
        }
        panic!("no port stays free");
    }

    /// False if it ended.
    fn answers(&mut self, is_enough: fn(u16) -> bool) -> bool {
        wait_for("/-/ready", PATIENCE, || {
            if self.child.try_wait().expect("wait").is_some() {
                return Some(false);
            }
            let answer = http::get(self.port, "/-/ready", "");
            answer.is_ok_and(|answer| is_enough(answer.status)).then_some(true)
        })
    }

    /// Writes another configuration file.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.config_file(), config).expect("write the configuration");
    }

    pub(crate) fn config_file(&self) -> std::path::PathBuf {
        self.files.path().join("config.toml")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.port, path, "").unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()))
    }

    /// One scrape, with the sums checked.
    pub(crate) fn scrape(&self) -> Exposition {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let scrape = Exposition::parse(&answer.text());
        scrape.assert_conserved();
        scrape
    }

    /// The last snapshot, with the sums checked.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let answer = self.get("/api/v1/snapshot");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let snapshot = Snapshot(serde_json::from_slice(&answer.body).expect("JSON"));
        snapshot.assert_conserved();
        snapshot
    }

    /// The first snapshot that fits.
    pub(crate) fn until(&self, what: &str, mut fits: impl FnMut(&Snapshot) -> bool) -> Snapshot {
        wait_for(what, PATIENCE, || Some(self.snapshot()).filter(&mut fits))
    }

    /// The snapshot after `count` whole ticks from now.
    pub(crate) fn ticks(&self, count: u64) -> Snapshot {
        // The tick that is under way now may have read its files already.
        let target = self.snapshot().sequence() + count + 1;
        self.until("a tick", |snapshot| snapshot.sequence() >= target)
    }

    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.files.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a signal, waits for the end and says how long that took.
    pub(crate) fn end(&mut self, name: &str) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        signal(self.pid(), name);
        let status = wait_for("the end", PATIENCE, || self.child.try_wait().expect("wait"));
        (status, begun.elapsed())
    }

    /// Ends it and looks whether all went well.
    pub(crate) fn finish(mut self) {
        self.scrape();
        let (status, _) = self.end("TERM");
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(status.code(), Some(0), "{log}");
    }
}

impl Drop for Daemon {
    #[allow(clippy::print_stderr, reason = "the log tells why a test failed")]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}
