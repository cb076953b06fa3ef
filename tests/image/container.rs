//! Running containers: the daemon in its image, and neighbours that burn CPU time.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::built::image;
use crate::engine::{ask_podman, burn_image, podman, succeed};
use crate::exposition::Exposition;
use crate::wait_for;

const PORT: u16 = 10125;
const PROGRAM: &str = "/usr/bin/wattprint";
const TIMEOUT: Duration = Duration::from_secs(20);

/// A container that is removed when dropped.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) id: String,
    /// Its first process, as the host counts.
    pid: u32,
    arguments: Vec<String>,
}

impl Container {
    /// Starts the daemon's image with options of podman's and arguments of the daemon's.
    pub(crate) fn start(test: &str, options: &[String], arguments: &[String]) -> Self {
        Self::of(image(), &own_name(test), options, arguments)
    }

    /// Starts a neighbour, which uses a fifth of a core.
    pub(crate) fn neighbour(name: &str, options: &[&str]) -> Self {
        let options: Vec<String> =
            [&["--network=none"], options].concat().iter().map(|&one| one.into()).collect();
        let arguments = ["/burn", "steady", "200", "600000"].map(str::to_owned);
        Self::of(burn_image(), &own_name(name), &options, &arguments)
    }

    fn of(image: &str, name: &str, options: &[String], arguments: &[String]) -> Self {
        let mut command = podman();
        command.args(["run", "--detach", "--name", name]).args(options).arg(image).args(arguments);
        let id = String::from_utf8(succeed(&mut command).stdout).unwrap().trim().to_owned();
        let mut container = Self { name: name.to_owned(), id, pid: 0, arguments: arguments.to_vec() };
        let pid = ask_podman(&["inspect", "--format", "{{.State.Pid}}", &container.id]);
        container.pid = pid.parse().unwrap();
        container
    }

    /// Waits until the daemon is ready.
    pub(crate) fn ready(self) -> Self {
        wait_for(&format!("/-/ready of {}", self.name), || {
            assert!(self.is_running(), "it ended: {}", self.log());
            self.get("/-/ready").filter(|(status, _)| *status == 200)
        });
        self
    }

    pub(crate) fn is_running(&self) -> bool {
        Path::new(&format!("/proc/{}", self.pid)).exists()
            && fs::read_to_string(format!("/proc/{}/stat", self.pid)).is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Status and body of an answer, asked for inside the container's network.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let network = File::open(format!("/proc/{}/ns/net", self.pid)).ok()?;
        let path = path.to_owned();
        // The network is the thread's, and ends with it.
        let asked = thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            let mut stream = TcpStream::connect(("127.0.0.1", PORT)).ok()?;
            stream.set_read_timeout(Some(TIMEOUT)).ok()?;
            write!(stream, "GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
        });
        asked.join().unwrap()
    }

    pub(crate) fn scrape(&self) -> Exposition {
        let (status, body) = self.get("/metrics").unwrap_or_else(|| panic!("no answer: {}", self.log()));
        assert_eq!(status, 200, "{body}");
        let scrape = Exposition::parse(&body);
        scrape.assert_conserved();
        scrape
    }

    /// Runs the program once more inside, with the daemon's own arguments and a subcommand.
    pub(crate) fn inside(&self, subcommand: &[&str]) -> Output {
        let mut command = podman();
        command.args(["exec", &self.id, PROGRAM]).args(&self.arguments).args(subcommand);
        command.output().unwrap()
    }

    /// What `wattprint check` prints inside.
    pub(crate) fn check(&self) -> String {
        let output = self.inside(&["check"]);
        // 0 is for measured, 1 for modelled, 2 for nothing.
        assert!(output.status.code().is_some_and(|code| code <= 2), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The image's own health check, as an engine runs it.
    pub(crate) fn is_healthy(&self) -> bool {
        let mut command = podman();
        command.args(["healthcheck", "run", &self.id]);
        let output = command.output().unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 1), "{output:?}");
        output.status.success()
    }

    pub(crate) fn log(&self) -> String {
        let output = succeed(podman().args(["logs", &self.id]));
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        succeed(Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]));
    }

    /// Whose rights it has.
    pub(crate) fn uid(&self) -> u32 {
        fs::metadata(format!("/proc/{}", self.pid)).unwrap().uid()
    }

    /// Stops it as a kubelet does; the exit code, and how long it took.
    pub(crate) fn terminate(&self) -> (String, Duration) {
        let begun = Instant::now();
        // podman itself would take part of the time.
        self.signal("TERM");
        wait_for("the end", || (!self.is_running()).then_some(()));
        let took = begun.elapsed();
        (ask_podman(&["wait", &self.id]), took)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = podman().args(["rm", "--force", "--volumes", "--time=0", &self.id]).output();
    }
}

/// A name that no other run has.
fn own_name(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}
