//! What is in the image, and what it says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::built::{CREATED, REVISION, VERSION, built_again, image};
use crate::engine::{ask_podman, directory};

/// What the Dockerfile adds to its base.
const ADDED: [&str; 5] = [
    "etc/ld.so.conf",
    "usr/bin/wattprint",
    "usr/share/doc/wattprint/LICENSE",
    "usr/share/doc/wattprint/LICENSE-MIT",
    "usr/share/doc/wattprint/crates-licences.gz",
];
/// More than this and something came along that shouldn't have.
const LIMIT: u64 = 60_000_000;

/// The image's files, as long as this lives.
struct Mounted(PathBuf);

impl Mounted {
    fn new() -> Self {
        Self(ask_podman(&["image", "mount", image()]).into())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        ask_podman(&["image", "umount", image()]);
    }
}

fn files(root: &Path, below: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(below).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            files(root, &entry.path(), found);
        } else {
            found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

fn files_of(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    files(root, root, &mut found);
    found
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
#[allow(clippy::print_stderr, reason = "the size is to be seen")]
fn it_has_one_program_and_no_shell() {
    let mounted = Mounted::new();
    let all = files_of(&mounted.0);
    let base = files_of(&directory().join("runtime"));
    let added: Vec<&str> = all
        .difference(&base)
        .map(String::as_str)
        .filter(|file| !file.starts_with("etc/ld.so.conf.d/"))
        .collect();
    assert_eq!(added, ADDED);
    let programs: Vec<_> = all
        .iter()
        .filter(|file| {
            ["bin/", "sbin/", "usr/bin/", "usr/sbin/", "usr/local/bin/"]
                .iter()
                .any(|place| file.starts_with(place))
        })
        .collect();
    assert_eq!(programs, ["usr/bin/wattprint"]);

    let state = fs::metadata(mounted.0.join("var/lib/wattprint")).unwrap();
    assert_eq!((state.uid(), state.gid(), state.permissions().mode() & 0o7777), (65532, 0, 0o770));
    let program = fs::metadata(mounted.0.join("usr/bin/wattprint")).unwrap();
    assert_eq!((program.uid(), program.permissions().mode() & 0o7777), (0, 0o755));
    let size: u64 = ask_podman(&["image", "inspect", "--format", "{{.Size}}", image()]).parse().unwrap();
    eprintln!("the image has {size} bytes, {} of them the program's", program.len());
    assert!(size < LIMIT, "{size} bytes");
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn the_program_names_no_path_of_the_builder() {
    let mounted = Mounted::new();
    let program = fs::read(mounted.0.join("usr/bin/wattprint")).unwrap();
    for path in [b"/build/src".as_slice(), b"/usr/local/cargo/registry"] {
        assert!(!program.windows(path.len()).any(|part| part == path), "{}", String::from_utf8_lossy(path));
    }
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn the_same_sources_give_the_same_image() {
    // Their ids differ by their history: without a cache buildah writes one line for all steps.
    let told = "{{.Created}} {{.Architecture}} {{json .RootFS}} {{json .Config}}";
    let of = |name: &str| ask_podman(&["image", "inspect", "--format", told, name]);
    assert_eq!(of(built_again()), of(image()));
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn the_licences_of_the_crates_came_along() {
    let mounted = Mounted::new();
    let packed = fs::File::open(mounted.0.join("usr/share/doc/wattprint/crates-licences.gz")).unwrap();
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(packed)).unwrap();
    for needed in ["==== tokio-", "==== rusqlite-", "Apache License", "Permission is hereby granted"] {
        assert!(text.contains(needed), "{needed}");
    }
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn it_says_what_it_is() {
    let said: Value = serde_json::from_str(&ask_podman(&["image", "inspect", image()])).unwrap();
    let config = &said[0]["Config"];
    for (label, value) in [
        ("title", "wattprint"),
        ("version", VERSION),
        ("revision", REVISION),
        ("created", CREATED),
        ("licenses", "Apache-2.0 AND MIT"),
        ("source", "https://github.com/wattprint/wattprint"),
    ] {
        assert_eq!(config["Labels"][format!("org.opencontainers.image.{label}")], value, "{label}");
    }
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], serde_json::json!(["/usr/bin/wattprint"]));
    assert!(config["ExposedPorts"]["10125/tcp"].is_object(), "{config}");
    assert!(config["Volumes"]["/var/lib/wattprint"].is_object(), "{config}");
    let check = &said[0]["HealthCheck"];
    let check = if check.is_null() { &said[0]["Healthcheck"] } else { check };
    assert_eq!(check["Test"], serde_json::json!(["CMD", "/usr/bin/wattprint", "health"]));
}
