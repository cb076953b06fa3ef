//! A daemon that watches a made-up API server, and pods to show it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::{ApiServer, NODE};
use crate::cgroup::container_id;
use crate::daemon::{Daemon, PATIENCE};
use crate::exposition::Exposition;
use crate::wait_for;

/// A daemon and the API server that it watches.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) daemon: Daemon,
    pub(crate) server: ApiServer,
    files: TempDir,
}

impl Rig {
    /// A daemon that waits for names for so long.
    pub(crate) fn start(server: ApiServer, wait: &str, config: &str) -> Self {
        Self::trusting(server, None, wait, config)
    }

    /// The same with an authority.
    pub(crate) fn trusting(server: ApiServer, ca_file: Option<&Path>, wait: &str, config: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let (kubeconfig, token) = (files.path().join("kubeconfig"), files.path().join("token"));
        fs::write(&token, "first").unwrap();
        let mut cluster = json!({"server": server.url()});
        if let Some(path) = ca_file {
            cluster["certificate-authority"] = json!(path);
        }
        // JSON is YAML.
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"tokenFile": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]
        });
        fs::write(&kubeconfig, text.to_string()).unwrap();
        let config =
            format!("{config}\n[kubernetes]\nkubeconfig = \"{}\"\nnode = \"{NODE}\"\n", kubeconfig.display());
        Self { daemon: Self::daemon(wait, &config), server, files }
    }

    /// A daemon that waits for names for so long, and that no other source gives any.
    pub(crate) fn daemon(wait: &str, config: &str) -> Daemon {
        let environment = [("WATTPRINT_NAMES__WAIT".to_owned(), wait.to_owned())];
        let config = format!("{}{config}", crate::cgroups::MODEL);
        let arguments = [
            "--no-collector.rapl",
            "--no-collector.hwmon",
            "--no-collector.containers",
            "--no-collector.podresources",
        ];
        Daemon::in_environment(&environment, &config, &arguments)
    }

    /// The file with the daemon's token.
    pub(crate) fn token(&self) -> PathBuf {
        self.files.path().join("token")
    }

    /// What is known of a container now.
    pub(crate) fn infos(&self, id: &str) -> Vec<String> {
        let scrape = self.daemon.scrape();
        let rows = scrape.select("wattprint_container_info", &[("container_id", &id[..12])]);
        rows.iter().map(|row| format!("{row:?}")).collect()
    }

    /// Waits until a container has these labels, and no other row is there for it.
    pub(crate) fn until_info(&self, id: &str, labels: &[(&str, &str)]) {
        self.until(&format!("{labels:?}"), |scrape| {
            let own = [("container_id", &id[..12])];
            let rows = scrape.select("wattprint_container_info", &own);
            assert!(rows.len() <= 1, "{rows:?}");
            scrape.select("wattprint_container_info", &[&own, labels].concat()).len() == 1
        });
    }

    /// Waits for a scrape that fits.
    pub(crate) fn until(&self, what: &str, mut fits: impl FnMut(&Exposition) -> bool) {
        wait_for(what, PATIENCE, || fits(&self.daemon.scrape()).then_some(()));
    }

    /// Series of CPU time that a container has with these labels.
    pub(crate) fn series(&self, id: &str, labels: &[(&str, &str)]) -> usize {
        let own = [("container_id", &id[..12])];
        self.daemon.scrape().select("wattprint_container_cpu_seconds_total", &[&own, labels].concat()).len()
    }

    /// Whether the collector fares well; none where it isn't at work.
    pub(crate) fn collector_succeeds(&self) -> Option<bool> {
        let scrape = self.daemon.scrape();
        let rows = scrape.select("wattprint_collector_success", &[("collector", "kubernetes")]);
        rows.first().map(|row| row.value == 1.0)
    }
}

/// A pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    json: Value,
}

impl Pod {
    /// A pod of a Deployment `web` without containers.
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let uid = format!("{:08x}-0000-4000-8000-{count:012x}", std::process::id());
        let json = json!({
            "metadata": {
                "name": name, "namespace": "shop", "uid": uid, "creationTimestamp": "2026-03-01T10:00:03Z",
                "labels": {"pod-template-hash": "6f7d8c9b5"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6f7d8c9b5",
                    "uid": "b1", "controller": true}],
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:conditions": {}}}}]
            },
            "spec": {"nodeName": NODE, "containers": []},
            "status": {"phase": "Running", "containerStatuses": []}
        });
        Self { uid, json }
    }

    /// Adds a container, and gives its id.
    pub(crate) fn container(&mut self, name: &str) -> String {
        let id = container_id();
        let image = "nginx:1.27";
        let status = json!({"name": name, "image": image, "containerID": format!("containerd://{id}"), "lastState": {}});
        self.json["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": name, "image": image}));
        self.json["status"]["containerStatuses"].as_array_mut().unwrap().push(status);
        id
    }

    /// Gives a container another id, as a second restart would: the first id isn't even told as the last one.
    pub(crate) fn restart(&mut self, name: &str, id: &str) {
        let statuses = self.json["status"]["containerStatuses"].as_array_mut().unwrap();
        let status = statuses.iter_mut().find(|status| status["name"] == name).unwrap();
        status["containerID"] = json!(format!("containerd://{id}"));
    }

    pub(crate) fn label(&mut self, key: &str, value: &str) {
        self.json["metadata"]["labels"][key] = json!(value);
    }

    /// Makes it one of the kubelet's own, and gives the UID in its cgroups.
    pub(crate) fn make_static(&mut self) -> String {
        let hash = self.uid.replace('-', "");
        self.json["metadata"]["annotations"] = json!({"kubernetes.io/config.hash": hash});
        self.json["metadata"]["ownerReferences"] =
            json!([{"kind": "Node", "name": NODE, "controller": true}]);
        hash
    }

    /// Where the cgroup of a container is.
    pub(crate) fn path(&self, id: &str) -> String {
        format!("kubepods/burstable/pod{}/{id}", self.uid)
    }

    pub(crate) fn json(&self) -> Value {
        self.json.clone()
    }
}
