//! The image, built once for all tests from the repository's Dockerfile. No registry is asked: its two bases are stand-ins.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::engine::{buildah, directory, succeed};

const IMAGE: &str = "localhost/wattprint:test";
const AGAIN: &str = "localhost/wattprint:again";
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What a release's build gives as arguments; the labels must say it.
pub(crate) const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const CREATED: &str = "2026-01-02T03:04:05Z";

/// Builds the image, and gives its name.
pub(crate) fn image() -> &'static str {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        for base in ["build", "runtime"] {
            assert!(
                directory().join("vendor").is_dir(),
                "no bases in {}; `make test-image` lays them out",
                directory().display()
            );
            base_image(base);
        }
        build(IMAGE, "--layers");
    });
    IMAGE
}

/// Builds it once more without anything that was kept of the first time, and gives its name.
pub(crate) fn built_again() -> &'static str {
    image();
    build(AGAIN, "--no-cache");
    AGAIN
}

fn base_image(base: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/image/{base}.Containerfile"));
    let mut command = buildah();
    // buildah 1.28 takes a last stage from its cache although the stage that it copies from, or an argument, has changed. A
    // final base that is always new makes it look again.
    let cache = if base == "runtime" { "--no-cache" } else { "--layers" };
    command.args(["build", cache, "--pull-never", "--quiet", "--tag"]).arg(stand_in(base));
    succeed(command.arg("--file").arg(file).arg(directory()));
}

fn stand_in(base: &str) -> String {
    format!("localhost/{base}-stand-in")
}

fn build(name: &str, cache: &str) {
    let toolchain = succeed(Command::new("rustc").args(["--print", "sysroot"]));
    let toolchain = String::from_utf8(toolchain.stdout).unwrap().trim().to_owned();
    let vendor = directory().join("vendor");
    let mut command = buildah();
    // Without a registry's image there is no reason to pull, and without systemd chroot is what works everywhere.
    command.args(["build", cache, "--pull-never", "--isolation", "chroot", "--format", "docker"]);
    command.args(["--timestamp", "1767323045"]);
    for (argument, value) in [
        ("BUILD_IMAGE", stand_in("build")),
        ("RUNTIME_IMAGE", stand_in("runtime")),
        ("VERSION", VERSION.to_owned()),
        ("REVISION", REVISION.to_owned()),
        ("CREATED", CREATED.to_owned()),
    ] {
        command.args(["--build-arg", &format!("{argument}={value}")]);
    }
    command.args(["--volume", &format!("{toolchain}:/usr/local/rust:ro")]);
    command.args(["--volume", &format!("{}:/vendor:ro", vendor.display())]);
    succeed(command.args(["--tag", name, env!("CARGO_MANIFEST_DIR")]));
}
