//! The package that `make package` made, and the same with a higher version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// The directory with both.
#[derive(Debug)]
pub(crate) struct Packages {
    files: TempDir,
}

impl Packages {
    /// The package as it was made.
    pub(crate) const FIRST: &str = "wattprint.deb";
    /// What the one after it will be.
    pub(crate) const NEXT: &str = "wattprint-next.deb";
    /// The version of that.
    pub(crate) const NEXT_VERSION: &str = "999.0.0-1";

    /// Those of this run.
    pub(crate) fn get() -> &'static Self {
        static PACKAGES: OnceLock<Packages> = OnceLock::new();
        PACKAGES.get_or_init(|| {
            let files = tempfile::tempdir().unwrap();
            fs::copy(made(), files.path().join(Self::FIRST)).unwrap();
            repack(files.path());
            Self { files }
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.files.path()
    }
}

/// The newest package for this machine.
fn made() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/package");
    let architecture = succeed(Command::new("dpkg").arg("--print-architecture"));
    let fits = |path: &PathBuf| path.to_string_lossy().ends_with(&format!("_{}.deb", architecture.trim()));
    let packages = fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = packages.filter(fits).max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    newest.unwrap_or_else(|| panic!("no package in {}: run `make package`", directory.display()))
}

/// Changes nothing but the version.
fn repack(directory: &Path) {
    let (tree, first) = (directory.join("tree"), directory.join(Packages::FIRST));
    succeed(Command::new("dpkg-deb").arg("--raw-extract").arg(first).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let fields = fs::read_to_string(&control).unwrap();
    let version = |line: &str| match line.starts_with("Version:") {
        true => format!("Version: {}\n", Packages::NEXT_VERSION),
        false => format!("{line}\n"),
    };
    fs::write(&control, fields.lines().map(version).collect::<String>()).unwrap();
    succeed(
        Command::new("dpkg-deb").args(["--build", "-Zgzip"]).arg(&tree).arg(directory.join(Packages::NEXT)),
    );
    fs::remove_dir_all(tree).unwrap();
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
