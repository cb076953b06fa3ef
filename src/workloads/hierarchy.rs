//! Which cgroup hierarchies this machine has, found from its mounts: v2, v1 or both side by side.
//!
//! Sources: proc(5) for `/proc/PID/mountinfo` and `/proc/PID/cgroup`; the kernel's `admin-guide/cgroup-v1` and
//! `admin-guide/cgroup-v2`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The generation of a hierarchy's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One hierarchy for each controller (or set of controllers).
    V1,
    /// The unified hierarchy.
    V2,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hierarchy {
    /// v1 or v2.
    pub version: Version,
    /// Where its root is mounted, as this process reaches it.
    pub mount: PathBuf,
    /// The cgroup that the mount shows as its root: `/`, unless only a part of the tree is mounted.
    pub root: String,
    /// The v1 controllers on it; empty on v2.
    pub controllers: Vec<String>,
}

impl Hierarchy {
    /// Whether the mount shows the whole machine. The real root of v2 has no `cgroup.type`
    /// (`admin-guide/cgroup-v2`), which that of a container's own cgroup namespace has.
    pub fn is_whole(&self) -> bool {
        self.root == "/" && !(self.version == Version::V2 && self.mount.join("cgroup.type").exists())
    }

    /// Whether a line `N:controllers:path` of /proc/PID/cgroup speaks of this hierarchy.
    pub(crate) fn matches(&self, id: &str, controllers: &str) -> bool {
        match self.version {
            Version::V2 => id == "0" && controllers.is_empty(),
            Version::V1 => controllers.split(',').any(|name| self.controllers.iter().any(|own| own == name)),
        }
    }

    /// The path below the mount for a cgroup path as /proc/PID/cgroup prints it. Where the mount shows only a
    /// part of the tree, its root is taken off; the `/..` of paths outside the reader's cgroup namespace
    /// (cgroup_namespaces(7)) are taken off too.
    pub(crate) fn relative<'a>(&self, path: &'a str) -> &'a str {
        let inside = match path.strip_prefix(self.root.trim_end_matches('/')) {
            Some(rest) if self.root != "/" && (rest.is_empty() || rest.starts_with('/')) => rest,
            _ => path,
        };
        let mut rest = inside.trim_start_matches('/');
        while let Some(up) = rest.strip_prefix("..") {
            if !up.is_empty() && !up.starts_with('/') {
                break;
            }
            rest = up.trim_start_matches('/');
        }
        rest
    }
}

/// The hierarchies in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// Where CPU time is accounted: v1 `cpuacct` where it is mounted, else v2.
    pub cpu: Option<Hierarchy>,
    /// The v2 tree beside a v1 `cpuacct`, which has groups of its own (hybrid systemd).
    pub second_cpu: Option<Hierarchy>,
    /// Where resident memory is accounted: v1 `memory`, else v2 if its memory controller is on.
    pub memory: Option<Hierarchy>,
}

/// The layout in one word for people: `v1`, `v2`, `hybrid` or `none`.
impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match (&self.cpu, &self.second_cpu) {
            (None, _) => "none",
            (Some(_), Some(_)) => "hybrid",
            (Some(cpu), None) if cpu.version == Version::V2 => "v2",
            (Some(_), None) => "v1",
        })
    }
}

/// Finds the hierarchies from `procfs`/self/mountinfo. A mount point below `/sys` is looked for below `sysfs`
/// when that is another place (a host's /sys in a container, a fixture tree). Where mountinfo is missing, the
/// usual places below `sysfs` are probed.
pub fn discover(procfs: &Path, sysfs: &Path) -> Layout {
    let text = fs::read(procfs.join("self/mountinfo")).unwrap_or_default();
    let mut found = parse_mountinfo(&String::from_utf8_lossy(&text), sysfs);
    found.retain(|hierarchy| hierarchy.mount.is_dir());
    if found.is_empty() {
        found = probe(sysfs);
    }
    choose(&found)
}

/// Reads the cgroup mounts from the text of a mountinfo file.
fn parse_mountinfo(text: &str, sysfs: &Path) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in text.lines() {
        let Some((mount_part, fs_part)) = line.split_once(" - ") else {
            continue;
        };
        let mount_fields: Vec<&str> = mount_part.split(' ').collect();
        let fs_fields: Vec<&str> = fs_part.split(' ').collect();
        let (Some(root), Some(point), Some(kind)) =
            (mount_fields.get(3), mount_fields.get(4), fs_fields.first())
        else {
            continue;
        };
        let version = match *kind {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => continue,
        };
        let controllers = match version {
            Version::V2 => Vec::new(),
            Version::V1 => fs_fields
                .get(2)
                .map(|options| options.split(',').filter(|option| *option != "rw" && *option != "ro"))
                .map(|options| options.map(str::to_owned).collect())
                .unwrap_or_default(),
        };
        found.push(Hierarchy {
            version,
            mount: below(sysfs, &unescape(point)),
            root: unescape(root),
            controllers,
        });
    }
    // The mounts that lie below the given sysfs come first: in a container, the host's tree and not its own.
    found.sort_by_key(|hierarchy| !hierarchy.mount.starts_with(sysfs));
    found
}

/// Turns the octal escapes of mountinfo (`\040` for a space) back into characters.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = (first == b'\\').then(|| tail.get(..3)).flatten();
        let code = escape.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Moves a mount point from /sys to `sysfs`, where it isn't there already.
fn below(sysfs: &Path, point: &str) -> PathBuf {
    let path = Path::new(point);
    if path.starts_with(sysfs) {
        return path.to_owned();
    }
    match path.strip_prefix("/sys") {
        Ok(rest) => sysfs.join(rest),
        Err(_) => path.to_owned(),
    }
}

/// Looks for hierarchies in the usual places, for trees that come without mounts.
fn probe(sysfs: &Path) -> Vec<Hierarchy> {
    let base = sysfs.join("fs/cgroup");
    let mut found = Vec::new();
    let mut add = |version, mount: PathBuf, controllers: &[&str]| {
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        found.push(Hierarchy { version, mount, root: "/".to_owned(), controllers });
    };
    for (directory, controllers) in
        [("cpu,cpuacct", &["cpu", "cpuacct"][..]), ("cpuacct", &["cpuacct"]), ("memory", &["memory"])]
    {
        if base.join(directory).is_dir() {
            add(Version::V1, base.join(directory), controllers);
        }
    }
    for mount in [base.clone(), base.join("unified")] {
        if mount.join("cgroup.controllers").is_file() {
            add(Version::V2, mount, &[]);
        }
    }
    found
}

/// Picks the hierarchies to use among those that are mounted.
fn choose(found: &[Hierarchy]) -> Layout {
    let v1 = |controller: &str| {
        let has = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|name| name == controller);
        found.iter().filter(|hierarchy| hierarchy.version == Version::V1).find(has).cloned()
    };
    let v2 = found.iter().find(|hierarchy| hierarchy.version == Version::V2).cloned();
    // A v2 root lists `memory` only where that controller isn't bound to a v1 hierarchy.
    let v2_memory = v2.clone().filter(|hierarchy| {
        fs::read_to_string(hierarchy.mount.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_whitespace().any(|name| name == "memory"))
    });
    let memory = v1("memory").or(v2_memory);
    match v1("cpuacct") {
        Some(cpu) => Layout { cpu: Some(cpu), second_cpu: v2, memory },
        None => Layout { cpu: v2, second_cpu: None, memory },
    }
}

#[cfg(test)]
mod tests;
