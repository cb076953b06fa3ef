//! A machine: a Debian whose systemd runs in a container of nspawn. What is written in it is gone with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use crate::exposition::Exposition;
use crate::package::Packages;
use crate::wait_for;

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Where the packages lie in a machine.
const PACKAGES: &str = "/srv/packages";

/// Which hierarchies of cgroups a machine has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cgroups {
    /// Version 2 alone.
    Unified,
    /// Version 1 with systemd's own in version 2.
    Hybrid,
}

/// A booted machine; it is switched off when dropped.
#[derive(Debug)]
pub(crate) struct Machine {
    nspawn: Child,
    /// The pid of its init.
    leader: u32,
    files: TempDir,
}

impl Machine {
    /// Boots one that has only Debian in it.
    pub(crate) fn boot(cgroups: Cgroups) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wattprint-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let files = tempfile::tempdir().unwrap();
        let log = File::create(files.path().join("console")).unwrap();
        let packages = Packages::get();
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--register=no", "--keep-unit", "--private-network", "--boot"]);
        // The root is read-only below; all that is written goes to memory.
        command.args(["--volatile=overlay", "--machine", &name, "--directory"]).arg(root());
        command.arg(format!("--bind-ro={}:{PACKAGES}", packages.directory().display()));
        match cgroups {
            Cgroups::Unified => command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1"),
            Cgroups::Hybrid => command.env_remove("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"),
        };
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let nspawn = command.spawn().expect("systemd-nspawn, which `make tools-system` installs");
        let mut machine = Self { nspawn, leader: 0, files };
        wait_for("a running systemd", PATIENCE, || {
            let ended = machine.nspawn.try_wait().unwrap();
            assert!(ended.is_none(), "it doesn't boot: {ended:?}\n{}", machine.console());
            machine.leader = child_of(machine.nspawn.id())?;
            let state = machine.output(&["systemctl", "is-system-running"]);
            let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
            // Degraded is a machine in which a unit of Debian's own failed; the tests look at theirs.
            ["running", "degraded"].contains(&&*state).then_some(())
        });
        machine
    }

    /// Boots one with version 2 alone, installs the package, and starts the service with this configuration.
    pub(crate) fn serving(config: &str) -> Self {
        let machine = Self::boot(Cgroups::Unified);
        machine.install();
        machine.configure(config);
        machine.run(&["systemctl", "restart", "wattprint"]);
        machine
    }

    /// Installs the package with dpkg.
    pub(crate) fn install(&self) {
        self.dpkg(&["--install", &format!("{PACKAGES}/{}", Packages::FIRST)]);
    }

    /// Installs the same package with a higher version.
    pub(crate) fn upgrade(&self) {
        self.dpkg(&["--install", &format!("{PACKAGES}/{}", Packages::NEXT)]);
    }

    /// Runs dpkg as an administrator's script would, and gives what it says.
    pub(crate) fn dpkg(&self, arguments: &[&str]) -> String {
        self.run(&[&["env", "DEBIAN_FRONTEND=noninteractive", "dpkg"], arguments].concat())
    }

    /// Writes the service's configuration.
    pub(crate) fn configure(&self, config: &str) {
        self.write("/etc/wattprint/config.toml", config);
    }

    /// Adds a drop-in to the service; it counts from the next start.
    pub(crate) fn drop_in(&self, name: &str, text: &str) {
        self.write(&format!("/etc/systemd/system/wattprint.service.d/{name}.conf"), text);
        self.run(&["systemctl", "daemon-reload"]);
    }

    /// Enables a drop-in of the package, as its documentation says.
    pub(crate) fn enable_drop_in(&self, name: &str) {
        self.shell(&format!(
            "mkdir -p /etc/systemd/system/wattprint.service.d && \
             cp /usr/share/wattprint/dropins/{name}.conf /etc/systemd/system/wattprint.service.d/ && \
             systemctl daemon-reload"
        ));
    }

    /// Writes a file in the machine, whole at once, and makes its directories.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let new = self.files.path().join("new");
        fs::write(&new, text).unwrap();
        let mut command = self.command(&["sh", "-c"]);
        command.arg(format!(
            "mkdir -p \"$(dirname '{path}')\" && cat >'{path}.new' && mv '{path}.new' '{path}'"
        ));
        let output = command.stdin(File::open(new).unwrap()).output().unwrap();
        assert!(output.status.success(), "{path}: {output:?}");
    }

    /// What a command that must succeed prints.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = self.output(command);
        let (said, complaint) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command:?}: {said}{complaint}\n{}", self.journal());
        said.trim().to_owned()
    }

    /// The same for a line of shell.
    pub(crate) fn shell(&self, script: &str) -> String {
        self.run(&["sh", "-c", script])
    }

    /// Runs a command in the machine as its root.
    pub(crate) fn output(&self, command: &[&str]) -> Output {
        self.command(command).stdin(Stdio::null()).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader.to_string(), "--"]).args(arguments);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command
    }

    /// One property of the service.
    pub(crate) fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, "wattprint.service"])
    }

    /// Waits until a property of the service has this value.
    pub(crate) fn wait_until(&self, name: &str, value: &str) {
        wait_for(&format!("{name}={value}"), PATIENCE, || (self.property(name) == value).then_some(()));
    }

    /// The service's own log and what systemd says of it.
    pub(crate) fn journal(&self) -> String {
        let output = self.output(&[
            "journalctl",
            "--no-pager",
            "--output=cat",
            "--unit=wattprint.service",
            "--lines=60",
        ]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the daemon answers on a path, if it does.
    pub(crate) fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:10125{path}");
        let output = self.output(&["curl", "--silent", "--fail", "--max-time", "5", &url]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// One scrape, with the sums checked.
    pub(crate) fn scrape(&self) -> Exposition {
        let text = self.get("/metrics").unwrap_or_else(|| panic!("no answer\n{}", self.journal()));
        let scrape = Exposition::parse(&text);
        scrape.assert_conserved();
        scrape
    }

    fn console(&self) -> String {
        fs::read_to_string(self.files.path().join("console")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The end of its init ends all of its processes, and nspawn tidies up then.
        if self.leader != 0 {
            let _ = Command::new("kill").args(["-KILL", &self.leader.to_string()]).status();
        } else {
            let _ = self.nspawn.kill();
        }
        let _ = self.nspawn.wait();
    }
}

/// What `make tools-system` made.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/system-root");
    assert!(root.join("etc/os-release").exists(), "{}: `make tools-system` makes it", root.display());
    root
}

fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}
