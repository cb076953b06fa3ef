//! What a rendered DaemonSet asks of the kubelet, so that podman can be asked for the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::engine::storage;
use crate::yaml::{assert_only, find, items, rendered, text};

/// What the downward API says of the made-up pod.
const DOWNWARD: [(&str, &str); 6] = [
    ("spec.nodeName", "node-7"),
    ("metadata.name", "wattprint-x2x4z"),
    ("metadata.namespace", "wattprint"),
    ("spec.serviceAccountName", "wattprint"),
    ("status.hostIP", "127.0.0.1"),
    ("status.podIP", "127.0.0.1"),
];
/// The security context that is promised. The rendered one must be this one, whatever else changes.
const PROMISED: [&str; 5] = [
    "--user=0",
    "--cap-drop=ALL",
    "--cap-add=DAC_READ_SEARCH",
    "--read-only",
    "--security-opt=no-new-privileges",
];

/// A mount of the container; what of the host isn't there is an empty directory here.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
    is_read_only: bool,
}

/// The DaemonSet's only container, in podman's words.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) is_in_host_pids: bool,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Rights, limits and the like.
    pub(crate) options: Vec<String>,
    /// What the program is given.
    pub(crate) arguments: Vec<String>,
    is_in_host_network: bool,
    files: TempDir,
}

impl Pod {
    /// Reads the rendered chart.
    pub(crate) fn rendered() -> Self {
        let documents = rendered();
        let pod = &find(&documents, "DaemonSet", None)["spec"]["template"]["spec"];
        assert_eq!(items(&pod["initContainers"]).len(), 0, "init containers aren't run here");
        let [container] = items(&pod["containers"]) else { panic!("more than one container, or none") };
        assert!(container["command"].is_null(), "the image's own entrypoint is what is tested");
        let mut read = Self {
            is_in_host_pids: pod["hostPID"] == true,
            is_in_host_network: pod["hostNetwork"] == true,
            mounts: Vec::new(),
            environment: BTreeMap::new(),
            options: Vec::new(),
            arguments: items(&container["args"]).iter().map(text).collect(),
            files: tempfile::tempdir().unwrap(),
        };
        read.security(&pod["securityContext"], &container["securityContext"]);
        read.limits(&container["resources"]["limits"]);
        assert!(items(&container["envFrom"]).is_empty(), "envFrom isn't understood here");
        for variable in items(&container["env"]) {
            read.variable(variable);
        }
        for mount in items(&container["volumeMounts"]) {
            let volume = items(&pod["volumes"]).iter().find(|volume| volume["name"] == mount["name"]);
            read.mount(mount, volume.unwrap_or_else(|| panic!("no volume for {mount}")), &documents);
        }
        for promise in PROMISED {
            assert!(read.options.iter().any(|option| option == promise), "{promise}: {:?}", read.options);
        }
        let added = read.options.iter().filter(|option| option.starts_with("--cap-add")).count();
        assert_eq!(added, 1, "one capability is promised: {:?}", read.options);
        assert!(read.is_in_host_pids && !read.is_in_host_network, "hostPID and no hostNetwork are promised");
        read
    }

    /// The options of `podman run` up to the image's name.
    pub(crate) fn run_options(&self) -> Vec<String> {
        let mut options = self.options.clone();
        // A network of its own: the tests go into it, so that no port of the host is taken.
        options.push(if self.is_in_host_network { "--network=host" } else { "--network=none" }.to_owned());
        if self.is_in_host_pids {
            options.push("--pid=host".to_owned());
        }
        options.extend(self.environment.iter().map(|(name, value)| format!("--env={name}={value}")));
        options.extend(self.mounts.iter().map(|mount| {
            let mode = if mount.is_read_only { "ro" } else { "rw" };
            format!("--volume={}:{}:{mode}", mount.source.display(), mount.target)
        }));
        options
    }

    /// Without the mount at this place in the container.
    pub(crate) fn without_mount(mut self, target: &str) -> Self {
        let before = self.mounts.len();
        self.mounts.retain(|mount| mount.target != target);
        assert_eq!(self.mounts.len() + 1, before, "no mount at {target}");
        self
    }

    /// Where this file or directory of the host is, for the container.
    fn host(&self, path: &str) -> PathBuf {
        match path.trim_end_matches('/') {
            "/proc" | "/sys" => path.into(),
            "/var/lib/containers/storage" => storage(),
            "/var/lib/containers" => {
                panic!(
                    "the storage is no part of a directory of this name here; mount /var/lib/containers/storage"
                )
            }
            other => {
                let place = self.files.path().join("host").join(other.trim_start_matches('/'));
                fs::create_dir_all(&place).unwrap();
                place
            }
        }
    }

    fn security(&mut self, pod: &Value, container: &Value) {
        assert_only(
            "securityContext",
            pod,
            &["runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "fsGroup", "fsGroupChangePolicy"],
        );
        assert_only(
            "securityContext",
            container,
            &[
                "runAsUser",
                "runAsGroup",
                "runAsNonRoot",
                "seccompProfile",
                "privileged",
                "readOnlyRootFilesystem",
                "allowPrivilegeEscalation",
                "capabilities",
            ],
        );
        let either = |key: &str| if container[key].is_null() { &pod[key] } else { &container[key] };
        assert_ne!(container["privileged"], true, "privileged");
        // A group that isn't named is the image's, which for uid 0 is 0.
        match (either("runAsUser").as_u64(), either("runAsGroup").as_u64()) {
            (Some(0), None | Some(0)) => self.options.push("--user=0".to_owned()),
            (Some(user), group) => self.options.push(format!("--user={user}:{}", group.unwrap_or(0))),
            (None, _) => {}
        }
        for (key, word) in [("drop", "--cap-drop"), ("add", "--cap-add")] {
            for name in items(&container["capabilities"][key]) {
                self.options.push(format!("{word}={}", text(name)));
            }
        }
        if container["readOnlyRootFilesystem"] == true {
            // podman would give directories of its own that can be written, which Kubernetes doesn't.
            self.options.extend(["--read-only".to_owned(), "--read-only-tmpfs=false".to_owned()]);
        }
        if container["allowPrivilegeEscalation"] == false {
            self.options.push("--security-opt=no-new-privileges".to_owned());
        }
        // The engine's own filter is what RuntimeDefault names; Kubernetes' default is none at all.
        assert_eq!(either("seccompProfile")["type"], "RuntimeDefault", "seccompProfile");
    }

    fn limits(&mut self, limits: &Value) {
        assert_only("limits", limits, &["memory", "cpu"]);
        if let Some(memory) = limits["memory"].as_str() {
            let bytes = memory.trim_end_matches('i').to_ascii_lowercase();
            assert!(memory.ends_with('i'), "limits.memory: {memory} isn't in Ki, Mi or Gi");
            self.options.push(format!("--memory={bytes}"));
        }
        let cpu = text(&limits["cpu"]);
        if let Some(thousandths) = cpu.strip_suffix('m') {
            self.options.push(format!("--cpus={}", thousandths.parse::<f64>().unwrap() / 1000.0));
        } else if !limits["cpu"].is_null() {
            self.options.push(format!("--cpus={cpu}"));
        }
    }

    fn variable(&mut self, variable: &Value) {
        let name = text(&variable["name"]);
        let from = &variable["valueFrom"];
        let value = match from["fieldRef"]["fieldPath"].as_str() {
            Some(field) => {
                let said = DOWNWARD.iter().find(|(path, _)| *path == field);
                said.unwrap_or_else(|| panic!("env {name}: what is {field}?")).1.to_owned()
            }
            None if from.is_null() => text(&variable["value"]),
            // What may be missing is missing here.
            None if from["secretKeyRef"]["optional"] == true => return,
            None => panic!("env {name}: {from} isn't understood here"),
        };
        self.environment.insert(name, value);
    }

    fn mount(&mut self, mount: &Value, volume: &Value, documents: &[Value]) {
        // podman 4 has no word for recursiveReadOnly, so what is mounted below such a mount is as it is on the host.
        assert_only(
            "volumeMount",
            mount,
            &["name", "mountPath", "readOnly", "recursiveReadOnly", "mountPropagation", "subPath"],
        );
        let name = text(&volume["name"]);
        let source = if let Some(path) = volume["hostPath"]["path"].as_str() {
            self.host(path)
        } else if volume["emptyDir"].is_object() {
            let place = self.own_directory(&name);
            fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
            place
        } else if volume["configMap"].is_object() {
            let map = find(documents, "ConfigMap", volume["configMap"]["name"].as_str());
            let place = self.own_directory(&name);
            for (file, content) in map["data"].as_object().into_iter().flatten() {
                fs::write(place.join(file), text(content)).unwrap();
            }
            place
        } else if volume["secret"]["optional"] == true {
            self.own_directory(&name)
        } else {
            panic!("volume {volume} isn't understood here")
        };
        let source = mount["subPath"].as_str().map_or_else(|| source.clone(), |below| source.join(below));
        let is_read_only = mount["readOnly"] == true;
        assert!(
            is_read_only || !volume["hostPath"].is_object() || is_state(mount),
            "{name}: of the host only the state may be written"
        );
        self.mounts.push(Mount { source, target: text(&mount["mountPath"]), is_read_only });
    }

    fn own_directory(&self, name: &str) -> PathBuf {
        let place = self.files.path().join("volumes").join(name);
        fs::create_dir_all(&place).unwrap();
        place
    }
}

fn is_state(mount: &Value) -> bool {
    mount["mountPath"] == "/var/lib/wattprint"
}
