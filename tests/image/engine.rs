//! podman and buildah, both in a storage below `target`, which is kept so that a second build finds its layers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// An image with nothing in it but a program that burns CPU time.
pub(crate) const BURN: &str = "localhost/burn:1";

/// Where `bases.sh` laid out what the image is built from.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/image")
}

/// Where containers and images are: the host's `/var/lib/containers/storage` for whoever looks for names.
pub(crate) fn storage() -> PathBuf {
    directory().join("storage")
}

pub(crate) fn buildah() -> Command {
    command("buildah")
}

pub(crate) fn podman() -> Command {
    let mut command = command("podman");
    command.arg("--tmpdir").arg(directory().join("storage-tmp"));
    // Health checks are run by the tests, as there may be no systemd whose timers do it.
    command.env("DISABLE_HC_SYSTEMD", "true");
    command
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/image/containers.conf");
    command.env("CONTAINERS_CONF", settings);
    command.arg("--root").arg(storage()).arg("--runroot").arg(directory().join("storage-run"));
    command
}

/// What podman prints.
pub(crate) fn ask_podman<S: AsRef<str>>(arguments: &[S]) -> String {
    let output = succeed(podman().args(arguments.iter().map(AsRef::as_ref)));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `make test-image` installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Makes the image of the neighbours once.
pub(crate) fn burn_image() -> &'static str {
    static MADE: OnceLock<()> = OnceLock::new();
    MADE.get_or_init(|| {
        let files = tempfile::tempdir().unwrap();
        let (program, archive) = (files.path().join("burn"), files.path().join("burn.tar"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/burn.c");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        succeed(Command::new(compiler).args(["-O1", "-static", "-o"]).arg(&program).arg(source));
        succeed(Command::new("tar").arg("-C").arg(files.path()).arg("-cf").arg(&archive).arg("burn"));
        ask_podman(&["import", archive.to_str().unwrap(), BURN]);
    });
    BURN
}
