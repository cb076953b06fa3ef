//! Processes that use known amounts of CPU time.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use crate::cgroup::Cgroup;
use crate::daemon::PATIENCE;
use crate::wait_for;

/// Compiles the program once, with `$CC` or `cc`.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/burn.c");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("burn");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let status =
            Command::new(&compiler).args(["-O1", "-Wall", "-Werror", "-o"]).arg(&binary).arg(source).status();
        let status = status.unwrap_or_else(|error| panic!("{compiler:?}: {error}; `make tools` installs it"));
        assert!(status.success(), "burn.c doesn't compile");
        binary
    })
}

/// A process of `burn.c`; it is killed when dropped.
#[derive(Debug)]
pub(crate) struct Load(Child);

impl Load {
    /// Starts it inside a cgroup; `mode` is as `burn.c` describes.
    pub(crate) fn start(cgroups: &[&Cgroup], mode: &[&str]) -> Self {
        Self::of(program(), cgroups, mode)
    }

    /// The same under another name, which is made in `directory`: the kernel takes it from the path (execve(2)).
    pub(crate) fn named(name: &str, directory: &Path, cgroups: &[&Cgroup], mode: &[&str]) -> Self {
        let link = directory.join(name);
        std::os::unix::fs::symlink(program(), &link).expect("link burn");
        Self::of(&link, cgroups, mode)
    }

    fn of(program: &Path, cgroups: &[&Cgroup], mode: &[&str]) -> Self {
        let mut command = Command::new(program);
        for cgroup in cgroups {
            command.arg("-g").arg(cgroup.directory().join("cgroup.procs"));
        }
        Self(command.args(mode).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("start burn"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_some()
    }

    /// Waits until it has done all.
    pub(crate) fn join(mut self) {
        let status = wait_for("the load to end", PATIENCE, || self.0.try_wait().expect("wait"));
        assert!(status.success(), "burn: {status}");
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
