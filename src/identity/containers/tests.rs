//! Trees of every runtime's files, as two of its versions leave them, and bad ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use proptest::prelude::{any, prop_assert, proptest};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bolt::Bolt;
use super::{ContainerNames, Places, Wish};
use crate::identity::{
    Allocation, Assignee, ContainerFacts, DeviceName, IdentityError, Look, NameBoard, Names, Wanted,
    WantedOwner,
};
use crate::workloads::owner::{Owner, Runtime};

const UID: &str = "6f1c0c1e-0d0e-4f6a-9f0e-2f6a0d3c9b11";

/// A host's root with a made-up procfs in it.
struct Host {
    files: TempDir,
    names: ContainerNames,
    board: NameBoard,
    wanted: Vec<WantedOwner>,
}

impl Host {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let places = Places { rootfs: files.path().into(), procfs: files.path().join("proc") };
        let wish = Wish {
            labels: vec!["team".into(), "app.kubernetes.io/name".into()],
            annotations: vec!["note".into()],
        };
        Self { names: ContainerNames::new(places, wish), files, board: NameBoard::new(), wanted: Vec::new() }
    }

    fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.files.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn json(&self, path: &str, value: &Value) {
        self.write(path, value.to_string());
    }

    fn want(&mut self, id: &str, pod_uid: &str, pids: &[u32]) {
        let owner = Owner::Container {
            runtime: Runtime::Unknown,
            id: id.into(),
            name: "".into(),
            pod_uid: pod_uid.into(),
        };
        self.wanted.push(WantedOwner { owner: Arc::new(owner), pids: pids.into(), is_named: false });
    }

    fn look(&mut self, is_full: bool) -> Result<Names, IdentityError> {
        let wanted = Wanted { generation: 1, owners: self.wanted.clone() };
        self.names.look(Look { wanted: &wanted, is_full }, &self.board)?;
        Ok(self.board.names())
    }

    fn facts(&self, id: &str) -> Option<Arc<ContainerFacts>> {
        self.names.names().containers.get(id).cloned()
    }

    /// What is known of a container outside pods after one look.
    fn named(&mut self, id: &str) -> ContainerFacts {
        self.want(id, "", &[]);
        self.look(false).unwrap();
        (*self.facts(id).expect("it isn't known")).clone()
    }

    fn given(&self) -> Vec<Allocation> {
        self.names.allocations().given
    }
}

fn id(number: u32) -> String {
    format!("{number:064x}")
}

fn config_v2(id: &str, name: &str) -> Value {
    json!({
        "StreamConfig": {}, "State": {"Running": true, "Pid": 4711}, "ID": id, "Created": "2024-02-01T00:00:00Z",
        "Config": {
            "Hostname": id[..12], "Env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"], "Image": "nginx:1.25",
            "Labels": {
                "com.docker.compose.project": "shop", "com.docker.compose.service": "web",
                "team": "blue", "wattprint.io/phase": "inference"
            }
        },
        "Image": "sha256:00", "Name": format!("/{name}"), "Driver": "overlay2"
    })
}

#[test]
fn docker_24_tells_name_image_and_compose_project() {
    let (mut host, id) = (Host::new(), id(1));
    host.json(&format!("/var/lib/docker/containers/{id}/config.v2.json"), &config_v2(&id, "shop-web-1"));
    let facts = host.named(&id);
    assert_eq!((&*facts.container, facts.runtime), ("shop-web-1", Some(Runtime::Docker)));
    let details = facts.details;
    assert_eq!((&*details.image, &*details.phase), ("nginx:1.25", "inference"));
    assert_eq!((&*details.owner_kind, &*details.owner_name), ("Compose", "shop/web"));
    let extra: Vec<_> = details.extra.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(extra, [("compose_project", "shop"), ("compose_service", "web"), ("label_team", "blue")]);
    assert!(host.given().is_empty(), "images set the variable, and nobody acted on it");
}

#[test]
fn docker_1_13_with_another_root_and_a_swarm_service() {
    let (mut host, id) = (Host::new(), id(1));
    host.json("/etc/docker/daemon.json", &json!({"graph": "/data/docker"}));
    let config = json!({"ID": id, "Name": "/web.1.x", "Config": {"Image": "web@sha256:0",
        "Labels": {"com.docker.swarm.service.name": "web"}}});
    host.json(&format!("/data/docker/100000.100000/containers/{id}/config.v2.json"), &config);
    let facts = host.named(&id);
    assert_eq!(&*facts.container, "web.1.x");
    assert_eq!((&*facts.details.owner_kind, &*facts.details.owner_name), ("Service", "web"));
}

#[test]
fn cri_dockerd_tells_the_pod() {
    let mut host = Host::new();
    for (number, kind, name) in [(1, "podsandbox", "POD"), (2, "container", "web")] {
        let labels = json!({
            "io.kubernetes.docker.type": kind, "io.kubernetes.container.name": name,
            "io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": UID,
            "team": "blue", "annotation.note": "hot"
        });
        let config = json!({"ID": id(number), "Name": format!("/k8s_{name}_web-0_shop_{UID}_0"),
            "Config": {"Image": "sha256:1", "Labels": labels, "Env": ["NVIDIA_VISIBLE_DEVICES=0"]}});
        host.json(&format!("/var/lib/docker/containers/{}/config.v2.json", id(number)), &config);
        host.json(
            &format!("/var/lib/docker/containers/{}/hostconfig.json", id(number)),
            &json!({"Runtime": "nvidia"}),
        );
        host.want(&id(number), UID, &[]);
    }
    host.look(true).unwrap();
    let (sandbox, web) = (host.facts(&id(1)).unwrap(), host.facts(&id(2)).unwrap());
    assert!(sandbox.is_sandbox && !web.is_sandbox);
    assert_eq!((&*web.namespace, &*web.pod, &*web.container), ("shop", "web-0", "web"));
    let names = host.names.names();
    let pod = &names.pods[UID];
    assert_eq!((&*pod.namespace, &*pod.pod), ("shop", "web-0"));
    assert!(pod.details.extra.contains(&("annotation_note".into(), "hot".into())));
    assert!(host.given().is_empty(), "in a pod it is the kubelet that gives");
}

fn cri(kind: &str, more: Value) -> Value {
    let mut annotations =
        json!({"io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": id(1)});
    annotations.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"ociVersion": "1.1.0", "annotations": annotations, "process": {"env": []}, "linux": {}})
}

#[test]
fn containerd_1_7_tells_the_pod_in_annotations() {
    let mut host = Host::new();
    let task = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io";
    let pod = json!({"io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": UID, "io.kubernetes.cri.container-name": "web",
        "io.kubernetes.cri.image-name": "docker.io/library/nginx:1.25"});
    host.json(&format!("{task}/{}/config.json", id(1)), &cri("sandbox", pod.clone()));
    host.json(&format!("{task}/{}/config.json", id(2)), &cri("container", pod));
    host.want(&id(1), UID, &[]);
    host.want(&id(2), UID, &[]);
    host.look(false).unwrap();
    let web = host.facts(&id(2)).unwrap();
    assert_eq!((&*web.namespace, &*web.pod, &*web.container), ("shop", "web-0", "web"));
    assert_eq!(
        (&*web.details.image, web.runtime),
        ("docker.io/library/nginx:1.25", Some(Runtime::Containerd))
    );
    let sandbox = host.facts(&id(1)).unwrap();
    assert!(sandbox.is_sandbox && sandbox.container.is_empty());
    assert_eq!(&*host.names.names().pods[UID].pod, "web-0");
}

#[test]
fn containerd_1_3_tells_the_pod_by_the_directory_of_its_logs() {
    let mut host = Host::new();
    host.write("/etc/containerd/config.toml", "version = 2\nstate = \"/run/other\"\n");
    let task = "/run/other/io.containerd.runtime.v1.linux/k8s.io";
    let logs = json!({"io.kubernetes.cri.sandbox-log-directory": format!("/var/log/pods/shop_web-0_{UID}")});
    host.json(&format!("{task}/{}/config.json", id(1)), &cri("sandbox", logs));
    host.json(&format!("{task}/{}/config.json", id(2)), &cri("container", json!({})));
    host.want(&id(2), UID, &[]);
    host.look(false).unwrap();
    let web = host.facts(&id(2)).unwrap();
    assert_eq!((&*web.namespace, &*web.pod, &*web.container), ("shop", "web-0", ""));
}

#[test]
fn nerdctl_1_7_follows_a_rename_and_0_8_hands_on_labels() {
    let (mut host, task) = (Host::new(), "/run/containerd/io.containerd.runtime.v2.task/default");
    let state = format!("/var/lib/nerdctl/1935db59/containers/default/{}", id(1));
    let config = json!({"annotations": {"nerdctl/name": "first", "nerdctl/state-dir": state}});
    host.json(&format!("{task}/{}/config.json", id(1)), &config);
    host.write("/var/lib/nerdctl/1935db59/names/default/first", id(1));
    assert_eq!(&*host.named(&id(1)).container, "first");
    fs::remove_file(host.files.path().join("var/lib/nerdctl/1935db59/names/default/first")).unwrap();
    host.write("/var/lib/nerdctl/1935db59/names/default/second", id(1));
    host.look(true).unwrap();
    assert_eq!(&*host.facts(&id(1)).unwrap().container, "second");
    let old = json!({"annotations": {"nerdctl/name": "old", "com.docker.compose.project": "shop"}});
    host.json(&format!("{task}/{}/config.json", id(2)), &old);
    let facts = host.named(&id(2));
    assert_eq!((&*facts.container, &*facts.details.owner_name), ("old", "shop"));
}

#[test]
fn crio_1_30_and_1_14_tell_the_pod() {
    let mut host = Host::new();
    let row = |number: u32| json!({"id": id(number), "names": ["k8s_x"], "metadata": "{}"});
    host.json(
        "/var/lib/containers/storage/overlay-containers/containers.json",
        &json!([row(1), row(2), row(3)]),
    );
    let labels = json!({"io.kubernetes.container.name": "web", "io.kubernetes.pod.name": "web-0",
        "io.kubernetes.pod.namespace": "shop", "team": "blue"});
    let of = |manager: Value, kind: &str, more: Value| {
        let mut annotations = json!({
            "io.kubernetes.cri-o.ContainerType": kind, "io.kubernetes.cri-o.Labels": labels.to_string(),
            "io.kubernetes.cri-o.Metadata": "{\"name\":\"web\"}",
            "io.kubernetes.cri-o.Annotations": json!({"note": "hot"}).to_string()
        });
        annotations.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        annotations.as_object_mut().unwrap().extend(manager.as_object().unwrap().clone());
        json!({"annotations": annotations})
    };
    let manager = json!({"io.container.manager": "cri-o"});
    let bundle = |number: u32| format!("overlay-containers/{}/userdata/config.json", id(number));
    let image = json!({"io.kubernetes.cri-o.ImageName": "quay.io/nginx:1"});
    host.json(
        &format!("/var/lib/containers/storage/{}", bundle(1)),
        &of(manager.clone(), "sandbox", json!({})),
    );
    host.json(&format!("/run/containers/storage/{}", bundle(2)), &of(manager, "container", image));
    host.json(&format!("/var/lib/containers/storage/{}", bundle(3)), &of(json!({}), "container", json!({})));
    for number in 1..=3 {
        host.want(&id(number), UID, &[]);
    }
    host.look(false).unwrap();
    for number in 2..=3 {
        let web = host.facts(&id(number)).unwrap();
        assert_eq!((&*web.namespace, &*web.pod, &*web.container), ("shop", "web-0", "web"));
        assert_eq!(web.runtime, Some(Runtime::Crio));
    }
    assert_eq!(&*host.facts(&id(2)).unwrap().details.image, "quay.io/nginx:1");
    assert!(host.facts(&id(1)).unwrap().is_sandbox);
    assert!(host.names.names().pods[UID].details.extra.contains(&("label_team".into(), "blue".into())));
}

/// A storage of podman with one container in a pod, and its database (podman 5).
fn podman_5(host: &Host, root: &str, name: &str) {
    let metadata = json!({"image-name": "localhost/demo:1", "name": "given"}).to_string();
    let row = json!([{"id": id(1), "names": [name], "metadata": metadata}]);
    host.json(&format!("{root}/overlay-containers/volatile-containers.json"), &row);
    let path = host.files.path().join(root.trim_start_matches('/')).join("db.sql");
    let _ = fs::remove_file(&path);
    let database = rusqlite::Connection::open(&path).unwrap();
    let config = json!({"id": id(1), "name": "given", "pod": id(9), "pause": false,
        "rootfsImageName": "localhost/demo:1", "labels": {"team": "blue"}});
    let pod = json!({"id": id(9), "name": "shop", "labels": {"team": "red", "wattprint.io/model": "llama"}});
    database
        .execute_batch(
            "CREATE TABLE ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL);
             CREATE TABLE PodConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL);",
        )
        .unwrap();
    database
        .execute(
            "INSERT INTO ContainerConfig VALUES (?1, 'given', ?2, ?3)",
            [id(1), id(9), config.to_string()],
        )
        .unwrap();
    database.execute("INSERT INTO PodConfig VALUES (?1, 'shop', ?2)", [id(9), pod.to_string()]).unwrap();
}

#[test]
fn podman_5_tells_name_pod_and_labels_and_a_rename_is_seen() {
    let mut host = Host::new();
    host.write("/etc/containers/storage.conf", "[storage]\ngraphroot = \"/data/storage\"\n");
    podman_5(&host, "/data/storage", "web");
    let facts = host.named(&id(1));
    assert_eq!((&*facts.container, &*facts.pod, facts.runtime), ("web", "shop", Some(Runtime::Podman)));
    assert_eq!((&*facts.details.image, &*facts.details.model), ("localhost/demo:1", "llama"));
    assert_eq!(facts.details.extra, [("label_team".into(), "blue".into())]);
    let before = host.facts(&id(1)).unwrap();
    host.look(true).unwrap();
    assert!(Arc::ptr_eq(&before, &host.facts(&id(1)).unwrap()), "nothing changed");
    podman_5(&host, "/data/storage", "renamed");
    host.look(false).unwrap();
    assert_eq!(&*host.facts(&id(1)).unwrap().container, "web", "only a full look reads known ones again");
    host.look(true).unwrap();
    assert_eq!(&*host.facts(&id(1)).unwrap().container, "renamed");
}

#[test]
fn podman_4_of_a_user_names_only_what_is_the_users() {
    use std::os::unix::fs::MetadataExt;
    let mut host = Host::new();
    let own = fs::metadata(host.files.path()).unwrap().uid();
    // Where the tests run as root, root's files stand for those of a user who isn't there.
    let (uid, owns) = if own == 0 { (4242, false) } else { (own, true) };
    host.write("/etc/passwd", format!("root:x:0:0::/root:/bin/sh\nann:x:{uid}:100::/home/ann:/bin/sh\n"));
    host.write("/etc/subuid", "ann:100000:65536\n");
    let root = "/home/ann/.local/share/containers/storage";
    let row = json!([{"id": id(1), "names": ["hers"], "metadata": "{}"}]);
    let list = format!("{root}/overlay-containers/containers.json");
    host.json(&list, &row);
    host.write("/proc/7/status", "Name:\tx\nUid:\t100999\t100999\t100999\t100999\n");
    host.write("/proc/8/status", "Name:\tx\nUid:\t200999\t200999\t200999\t200999\n");
    host.want(&id(1), "", &[8]);
    host.look(false).unwrap();
    assert_eq!(host.facts(&id(1)), None, "not her processes");
    host.wanted.clear();
    host.want(&id(1), "", &[7]);
    host.look(false).unwrap();
    assert_eq!(host.facts(&id(1)).is_some(), owns, "not her file");
    if !owns {
        std::os::unix::fs::chown(host.files.path().join(list.trim_start_matches('/')), Some(uid), None)
            .unwrap();
        host.look(false).unwrap();
    }
    assert_eq!(&*host.facts(&id(1)).unwrap().container, "hers");
}

#[test]
fn a_hostile_database_costs_no_time() {
    let mut host = Host::new();
    podman_5(&host, "/var/lib/containers/storage", "web");
    let path = host.files.path().join("var/lib/containers/storage/db.sql");
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "DROP TABLE ContainerConfig; CREATE VIEW ContainerConfig AS WITH RECURSIVE n(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS ID, 'x' AS JSON FROM n;",
        )
        .unwrap();
    drop(database);
    let facts = host.named(&id(1));
    assert_eq!((&*facts.container, &*facts.pod), ("web", ""));
}

#[test]
fn gpus_are_given_only_by_whoever_acts_on_it() {
    let all = vec![DeviceName::All];
    let index = |index: u32| vec![DeviceName::Index(index)];
    let cases = [
        ("runtime", json!({"Runtime": "nvidia"}), all.clone()),
        ("no runtime", json!({"Runtime": "runc", "DeviceRequests": null}), vec![]),
        (
            "--gpus all",
            json!({"DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]}),
            all.clone(),
        ),
        (
            "--gpus 2",
            json!({"DeviceRequests": [{"Driver": "nvidia", "Count": 2}]}),
            vec![DeviceName::Index(0), DeviceName::Index(1)],
        ),
        (
            "--gpus device=3",
            json!({"DeviceRequests": [{"DeviceIDs": ["3"], "Capabilities": [["gpu"]]}]}),
            index(3),
        ),
        (
            "CDI",
            json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=1", "vendor.com/x=2"]}]}),
            index(1),
        ),
        (
            "other",
            json!({"DeviceRequests": [{"Driver": "other", "Count": -1, "Capabilities": [["x"]]}]}),
            vec![],
        ),
    ];
    for (what, hostconfig, expected) in cases {
        let (mut host, id) = (Host::new(), id(1));
        host.json(&format!("/var/lib/docker/containers/{id}/config.v2.json"), &config_v2(&id, "a"));
        host.json(&format!("/var/lib/docker/containers/{id}/hostconfig.json"), &hostconfig);
        host.named(&id);
        let given: Vec<DeviceName> = host.given().into_iter().map(|one| one.device).collect();
        assert_eq!(given, expected, "{what}");
        assert!(host.given().iter().all(|one| one.to == Assignee::Container(id.as_str().into())));
    }
    let env = |value: &str| json!({"env": [format!("NVIDIA_VISIBLE_DEVICES={value}")]});
    let hook =
        json!({"prestart": [{"path": "/usr/bin/nvidia-container-runtime-hook", "args": ["x", "prestart"]}]});
    let cases = [
        ("only the image", json!({"process": env("all")}), vec![]),
        (
            "hook",
            json!({"process": env("GPU-aa, 1,0:1,junk"), "hooks": hook}),
            vec![DeviceName::Gpu("GPU-aa".into()), DeviceName::Index(1)],
        ),
        ("hook, none", json!({"process": env("void"), "hooks": hook}), vec![]),
        (
            "nerdctl",
            json!({"hooks": {"createRuntime": [{"path": "/usr/bin/containerd",
            "args": ["containerd", "oci-hook", "--", "nvidia-container-cli", "configure", "--device=2"]}]}}),
            index(2),
        ),
        (
            "CDI",
            json!({"process": env("void"), "linux": {"devices": [{"path": "/dev/nvidia0"}, {"path": "/dev/nvidiactl"}]}}),
            index(0),
        ),
        (
            "MIG",
            json!({"linux": {"devices": [{"path": "/dev/nvidia0"}, {"path": "/dev/nvidia-caps/nvidia-cap12"}]}}),
            vec![],
        ),
        (
            "privileged",
            json!({"linux": {"devices": [{"path": "/dev/nvidia0"}], "resources": {"devices": [
            {"allow": false, "access": "rwm"}, {"allow": true, "access": "rwm"}]}}}),
            vec![],
        ),
    ];
    for (what, bundle, expected) in cases {
        assert_eq!(super::gpus::of_bundle(&bundle), expected, "{what}");
    }
}

#[test]
fn a_bad_file_costs_its_own_name_at_most() {
    let mut host = Host::new();
    let path = |number: u32| format!("/var/lib/docker/containers/{}/config.v2.json", id(number));
    let bad: [&[u8]; 8] =
        [b"", b"{", b"null", b"[]", b"{\"ID\":3}", b"\xff\xfe", &[b'['; 100_000], &vec![b' '; 3 << 20]];
    for (number, contents) in (1..).zip(bad) {
        host.write(&path(number), contents);
        host.want(&id(number), "", &[]);
    }
    host.json(&path(20), &config_v2(&id(21), "somebody else"));
    host.want(&id(20), "", &[]);
    fs::create_dir_all(host.files.path().join(path(22).trim_start_matches('/'))).unwrap();
    host.want(&id(22), "", &[]);
    host.json(&path(30), &config_v2(&id(30), "good"));
    host.want(&id(30), "", &[]);
    for (list, contents) in [("containers.json", "[{\"id\":4},7,{}]"), ("volatile-containers.json", "{}")] {
        host.write(&format!("/var/lib/containers/storage/overlay-containers/{list}"), contents);
    }
    host.write("/var/lib/containers/storage/db.sql", "not a database at all, but long enough");
    let outcome = host.look(true);
    assert_eq!(host.names.names().containers.len(), 1);
    assert_eq!(&*host.facts(&id(30)).unwrap().container, "good");
    let error = outcome.unwrap_err();
    assert!(error.detail.contains("config.v2.json"), "{error:?}");
    assert!(!error.reason.contains('/'), "{error:?}");
}

#[test]
fn links_out_of_the_root_lead_nowhere_and_no_runtime_is_no_failure() {
    let (mut host, outside) = (Host::new(), tempfile::tempdir().unwrap());
    host.want(&id(1), "", &[]);
    assert!(host.look(true).is_ok());
    fs::write(outside.path().join("config.v2.json"), config_v2(&id(1), "leaked").to_string()).unwrap();
    let containers = host.files.path().join("var/lib/docker/containers");
    fs::create_dir_all(&containers).unwrap();
    symlink(outside.path(), containers.join(id(1))).unwrap();
    host.look(true).unwrap();
    assert_eq!(host.facts(&id(1)), None);
}

#[test]
fn ids_with_the_same_beginning_are_told_apart_and_odd_ones_left_alone() {
    let mut host = Host::new();
    let (one, two) = (format!("abcdefabcdef{}", "0".repeat(52)), format!("abcdefabcdef{}", "1".repeat(52)));
    for (id, name) in [(&one, "one"), (&two, "two")] {
        host.json(&format!("/var/lib/docker/containers/{id}/config.v2.json"), &config_v2(id, name));
        host.want(id, "", &[]);
    }
    for odd in ["abcdefabcdef", "../../../etc", &"A".repeat(64), &"/".repeat(64)] {
        host.want(odd, "", &[]);
    }
    host.look(true).unwrap();
    assert_eq!(&*host.facts(&one).unwrap().container, "one");
    assert_eq!(&*host.facts(&two).unwrap().container, "two");
    assert_eq!(host.names.names().containers.len(), 2);
}

#[test]
fn a_container_of_which_only_pause_runs_is_a_sandbox() {
    let mut host = Host::new();
    host.write("/proc/5/comm", "pause\n");
    host.write("/proc/6/comm", "nginx\n");
    host.want(&id(1), UID, &[5]);
    host.want(&id(2), UID, &[5, 6]);
    host.want(&id(3), "", &[5]);
    host.want(&id(4), UID, &[]);
    host.look(false).unwrap();
    let names = host.names.names();
    assert_eq!(names.containers.keys().map(|id| &**id).collect::<Vec<_>>(), [id(1)]);
    assert!(names.containers[&*id(1)].is_sandbox);
}

#[test]
fn what_was_known_stays_when_files_go_until_it_is_forgotten() {
    let (mut host, id) = (Host::new(), id(1));
    host.json(&format!("/var/lib/docker/containers/{id}/config.v2.json"), &config_v2(&id, "web"));
    host.named(&id);
    fs::remove_dir_all(host.files.path().join("var")).unwrap();
    host.look(true).unwrap();
    assert_eq!(&*host.facts(&id).unwrap().container, "web");
    host.wanted.clear();
    for _ in 0..super::REMEMBER {
        host.look(true).unwrap();
        assert!(host.facts(&id).is_some());
    }
    host.look(true).unwrap();
    assert_eq!(host.facts(&id), None);
}

#[test]
fn no_permission_is_told_with_a_remedy() {
    if nix::unistd::geteuid().is_root() {
        // Root may read everything; what the system would say is told apart where it comes from.
        return;
    }
    use std::os::unix::fs::PermissionsExt;
    let mut host = Host::new();
    host.write("/var/lib/docker/containers/x", "");
    let closed = host.files.path().join("var/lib/docker");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    host.want(&id(1), "", &[]);
    let error = host.look(true).unwrap_err();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(error.remedy.is_some());
}

/// A BoltDB file: an inline bucket in a bucket of one leaf page.
fn bolt_file() -> Vec<u8> {
    let element =
        |flags: u32, pos: u32, key: u32, value: u32| [flags, pos, key, value].map(u32::to_ne_bytes).concat();
    let header = |number: u64, flags: u16| {
        let mut page = number.to_ne_bytes().to_vec();
        page.extend([flags.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
        page.extend(0_u32.to_ne_bytes());
        page
    };
    let leaf = |number: u64, flags: u32, key: &[u8], value: &[u8]| {
        let mut page = header(number, 2);
        page.extend(element(
            flags,
            16,
            u32::try_from(key.len()).unwrap(),
            u32::try_from(value.len()).unwrap(),
        ));
        page.extend([key, value].concat());
        page
    };
    let meta = |number: u64, transaction: u64| {
        let mut page = header(number, 4);
        let mut meta: Vec<u8> = [0xED0C_DAED_u32, 2, 512, 0].map(u32::to_ne_bytes).concat();
        meta.extend([2_u64, 0, 0, 4, transaction].map(u64::to_ne_bytes).concat());
        let sum = meta.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        page.extend(meta);
        page.extend(sum.to_ne_bytes());
        page
    };
    let inner = [&[0_u8; 16][..], &leaf(0, 0, b"config", b"{}")].concat();
    let bucket = [&3_u64.to_ne_bytes()[..], &[0; 8]].concat();
    let pages = [meta(0, 1), meta(1, 2), leaf(2, 1, b"ctr", &bucket), leaf(3, 1, b"id", &inner)];
    let mut file = vec![0; 4 * 512];
    for (at, page) in pages.iter().enumerate() {
        file[at * 512..at * 512 + page.len()].copy_from_slice(page);
    }
    file
}

#[test]
fn keys_are_found_in_nested_buckets_of_a_bolt_file() {
    let file = bolt_file();
    let bolt = Bolt::open(&file).unwrap();
    assert_eq!(bolt.get(&[b"ctr", b"id", b"config"]), Some(&b"{}"[..]));
    for path in
        [&[&b"ctr"[..], b"id"][..], &[b"ctr", b"id", b"state"], &[b"pod"], &[b"ctr", b"ie", b"config"], &[]]
    {
        assert_eq!(bolt.get(path), None);
    }
    let mut torn = file.clone();
    torn[0..512].fill(0);
    assert!(Bolt::open(&torn).is_none(), "the second header isn't where most machines have it");
    torn[..512].copy_from_slice(&file[..512]);
    torn[512 + 40] ^= 1;
    assert!(Bolt::open(&torn).is_some(), "one header is enough");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(junk in any::<Vec<u8>>(), at in 0_usize..2048, byte: u8, name in 0_usize..9) {
        let mut file = bolt_file();
        file[at] = byte;
        for bytes in [&file, &junk] {
            if let Some(bolt) = Bolt::open(bytes) {
                let _ = bolt.get(&[b"ctr", b"id", b"config"]);
            }
        }
        let mut host = Host::new();
        let paths = [
            "etc/docker/daemon.json".to_owned(),
            "etc/containerd/config.toml".to_owned(),
            "etc/containers/storage.conf".to_owned(),
            "etc/passwd".to_owned(),
            format!("var/lib/docker/containers/{}/config.v2.json", id(1)),
            format!("run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/config.json", id(1)),
            "var/lib/containers/storage/overlay-containers/containers.json".to_owned(),
            "var/lib/containers/storage/db.sql".to_owned(),
            "proc/5/status".to_owned(),
        ];
        host.json("var/lib/containers/storage/overlay-containers/volatile-containers.json", &json!([{"id": id(1)}]));
        host.write(&paths[name], &junk);
        host.want(&id(1), UID, &[5]);
        let _ = host.look(true);
        prop_assert!(host.names.names().containers.len() <= 1);
    }
}

#[test]
fn long_words_are_cut_between_characters() {
    assert_eq!(super::tags::word(&"ä".repeat(1000)).len(), 256);
    assert_eq!(super::tags::word(&format!("a{}", "ä".repeat(1000))).len(), 255);
}
