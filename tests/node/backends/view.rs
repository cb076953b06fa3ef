//! A daemon that sees only a part of this machine's cgroups, so that several stand for several nodes.

use tempfile::TempDir;

use crate::cgroup::{Hierarchy, Sandbox};
use crate::daemon::Daemon;
use crate::gpu::Stage;

/// Shows `$2` in the place of the mount `$1`, which nobody else sees, and becomes the program that follows; `$3` is an empty
/// directory. As in a container, the mount's root then is the part that is seen.
const SCRIPT: &str =
    r#"mount --bind "$2" "$3" && umount -l "$1" && mount --move "$3" "$1" && shift 3 && exec "$@""#;

/// What a node sees.
#[derive(Debug)]
pub(super) struct View {
    /// Of a hybrid machine, the second tree shows nothing.
    _second: Option<Sandbox>,
    _place: TempDir,
    wrapper: Vec<String>,
}

impl View {
    /// Of the cgroups, those of the sandbox below this name.
    pub(super) fn of(sandbox: &Sandbox, name: &str) -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let second = Hierarchy::beside().map(|beside| Sandbox::new(Some(beside)).expect("a second sandbox"));
        let trees = [Hierarchy::primary(), Hierarchy::beside()].into_iter().flatten();
        let parts = [Some(sandbox.cgroup(name)), second.as_ref().map(|second| second.cgroup(name))];
        let mut wrapper = vec!["unshare".to_owned(), "--mount".to_owned()];
        for (tree, part) in trees.zip(parts.into_iter().flatten()) {
            wrapper.extend(["sh", "-c", SCRIPT, "sh"].map(str::to_owned));
            let paths = [tree.mount(), part.directory(), place.path()];
            wrapper.extend(paths.map(|path| path.display().to_string()));
        }
        Self { _second: second, _place: place, wrapper }
    }

    /// Starts a daemon that sees this, and the GPUs of a stage.
    pub(super) fn start(&self, stage: &Stage, config: &str, arguments: &[&str]) -> Daemon {
        let flag = stage.flag();
        let wrapper: Vec<&str> = self.wrapper.iter().map(String::as_str).collect();
        let arguments = [&[flag.as_str(), "--no-collector.hwmon"], arguments].concat();
        Daemon::wrapped(&wrapper, &stage.environment(), config, &arguments)
    }
}
