//! Names of pods, by the watch of a made-up API server, for real cgroups.

pub(crate) mod rig;
mod scale;
pub(crate) mod server;
mod trouble;

use crate::cgroup::container_id;
use crate::cgroups::sandbox;
use crate::load::Load;
use crate::skip;
use rig::{Pod, Rig};
use server::ApiServer;

#[test]
fn names_come_and_change_and_stay_with_what_ended() {
    let Some(sandbox) = sandbox("names_come_and_change_and_stay_with_what_ended") else { return };
    let mut pod = Pod::new("web-6f7d8c9b5-x2x2x");
    let first = pod.container("web");
    let rig = Rig::start(ApiServer::new(), "60s", "[names]\nlabels = [\"tier\"]\n");
    let cgroup = sandbox.cgroup(&pod.path(&first));
    // The cgroup is there before the API server knows of the pod, as in life.
    rig.daemon.ticks(2);
    assert_eq!(rig.infos(&first).len(), 0, "it is held back");
    rig.server.put(pod.json());
    let names = [("namespace", "shop"), ("pod", "web-6f7d8c9b5-x2x2x"), ("container", "web")];
    rig.until_info(&first, &names);
    let details =
        [("image", "nginx:1.27"), ("owner_kind", "Deployment"), ("owner_name", "web"), ("node", "n1")];
    rig.until_info(&first, &details);
    assert_eq!(rig.series(&first, &names), 1, "born with its names");
    rig.until("success", |_| rig.collector_succeeds() == Some(true));

    pod.label("tier", "front");
    rig.server.put(pod.json());
    rig.until_info(&first, &[("label_tier", "front")]);
    assert_eq!((rig.series(&first, &names), rig.series(&first, &[])), (1, 1), "no new series");

    // A restart: the same name, another id.
    let second = container_id();
    let again = sandbox.cgroup(&pod.path(&second));
    cgroup.remove();
    pod.restart("web", &second);
    rig.server.put(pod.json());
    rig.until_info(&second, &names);
    rig.until_info(&first, &names);

    again.remove();
    rig.server.delete(&pod.uid);
    rig.daemon.until("the end", |snapshot| snapshot.container(&second).is_some_and(|row| row.has_ended()));
    rig.daemon.ticks(1);
    rig.until_info(&second, &names);
    assert_eq!((rig.series(&first, &names), rig.series(&second, &names)), (1, 1));
    rig.daemon.finish();
}

#[test]
fn a_static_pod_and_the_pods_own_share_are_named() {
    let Some(sandbox) = sandbox("a_static_pod_and_the_pods_own_share_are_named") else { return };
    let mut pod = Pod::new("etcd-n1");
    let id = pod.container("etcd");
    let hash = pod.make_static();
    let rig = Rig::start(ApiServer::new(), "60s", "");
    rig.server.put(pod.json());
    let _container = sandbox.cgroup(&format!("kubepods/burstable/pod{hash}/{id}"));
    let own = sandbox.cgroup(&format!("kubepods/burstable/pod{hash}"));
    Load::start(&[&own], &["steady", "300", "500"]).join();
    rig.until_info(&id, &[("pod", "etcd-n1"), ("container", "etcd"), ("owner_kind", "Node")]);
    rig.until("the pod's own share", |scrape| {
        let own = [("pod", "etcd-n1"), ("container", ""), ("namespace", "shop")];
        scrape.select("wattprint_container_info", &own).len() == 1
    });
    rig.daemon.finish();
}

#[test]
fn without_the_api_server_ids_stand_until_names_come() {
    let Some(sandbox) = sandbox("without_the_api_server_ids_stand_until_names_come") else { return };
    let mut pod = Pod::new("db-0");
    let id = pod.container("db");
    let server = ApiServer::new();
    server.put(pod.json());
    server.is_down(true);
    let _cgroup = sandbox.cgroup(&pod.path(&id));
    let rig = Rig::start(server, "1s", "");
    let uid = pod.uid.clone();
    let unnamed = [("namespace", ""), ("pod", uid.as_str()), ("container", "")];
    rig.until("a series without names", |_| rig.series(&id, &unnamed) == 1);
    rig.until("a failure", |_| rig.collector_succeeds() == Some(false));
    assert!(rig.daemon.log().contains("the API server can't be reached"), "{}", rig.daemon.log());
    rig.server.is_down(false);
    rig.until_info(&id, &[("pod", "db-0"), ("container", "db")]);
    assert_eq!((rig.series(&id, &unnamed), rig.series(&id, &[])), (1, 1), "the series keeps its labels");
    rig.until("success", |_| rig.collector_succeeds() == Some(true));
    rig.daemon.finish();
}

#[test]
fn names_come_over_tls_with_an_authority_of_the_cluster() {
    let test = "names_come_over_tls_with_an_authority_of_the_cluster";
    let Some(sandbox) = sandbox(test) else { return };
    let mut pod = Pod::new("web-0");
    let id = pod.container("web");
    let files = tempfile::tempdir().unwrap();
    let ca_file = files.path().join("ca.crt");
    let rig = Rig::trusting(ApiServer::tls(&ca_file), Some(&ca_file), "60s", "");
    let _cgroup = sandbox.cgroup(&pod.path(&id));
    rig.server.put(pod.json());
    rig.until_info(&id, &[("pod", "web-0"), ("container", "web")]);
    rig.daemon.finish();
}

#[test]
fn the_directories_of_logs_name_containers_too() {
    let test = "the_directories_of_logs_name_containers_too";
    let Some(sandbox) = sandbox(test) else { return };
    let mut pod = Pod::new("web-0");
    let id = pod.container("web");
    let host = tempfile::tempdir().unwrap();
    let logs = host.path().join("var/log");
    std::fs::create_dir_all(logs.join("pods")).unwrap();
    std::fs::create_dir_all(logs.join("containers")).unwrap();
    let config = format!("[path]\nrootfs = \"{}\"\n", host.path().display());
    let daemon = Rig::daemon("60s", &config);
    let _cgroup = sandbox.cgroup(&pod.path(&id));
    daemon.until("the container", |snapshot| snapshot.container(&id).is_some());
    std::fs::create_dir_all(logs.join(format!("pods/shop_web-0_{}/web", pod.uid))).unwrap();
    std::os::unix::fs::symlink("/x", logs.join(format!("containers/web-0_shop_web-{id}.log"))).unwrap();
    let names = [("container_id", &id[..12]), ("namespace", "shop"), ("pod", "web-0"), ("container", "web")];
    crate::wait_for("its names", crate::daemon::PATIENCE, || {
        (daemon.scrape().select("wattprint_container_info", &names).len() == 1).then_some(())
    });
    daemon.finish();
}

/// Says that a test takes long, unless it is asked for.
fn is_asked_for(test: &str) -> bool {
    let is_asked = std::env::var_os("WATTPRINT_LONG_TESTS").is_some();
    if !is_asked {
        skip(test, "it takes a minute; set WATTPRINT_LONG_TESTS");
    }
    is_asked
}
