use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const UID: &str = "8f1b6d1e-50a7-4a7d-9c0e-3b1f0a2c4d5e";
const HASH: &str = "c0ffee00c0ffee00c0ffee00c0ffee00";

fn host() -> (tempfile::TempDir, HostRoot) {
    let directory = tempfile::tempdir().unwrap();
    let root = HostRoot::new(directory.path());
    (directory, root)
}

#[test]
fn names_of_directories_and_links_tell_pods_and_containers() {
    let (directory, root) = host();
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let pods = directory.path().join("var/log/pods");
    let links = directory.path().join("var/log/containers");
    fs::create_dir_all(pods.join(format!("shop_web-0_{UID}/web"))).unwrap();
    fs::create_dir_all(pods.join(format!("kube-system_etcd-n1_{HASH}/etcd"))).unwrap();
    fs::create_dir_all(pods.join("lost+found")).unwrap();
    fs::create_dir_all(&links).unwrap();
    // Where links lead doesn't matter.
    let link = |name: String| symlink("/nowhere", links.join(name)).unwrap();
    link(format!("web-0_shop_web-{one}.log"));
    link(format!("web-0_shop_web-{two}.log"));
    link(format!("etcd-n1_kube-system_etcd-{}.log", "3".repeat(64)));
    link("web-0_shop_web-12.log".to_owned());
    link("README".to_owned());
    let mut seen = read(&root, "n1").unwrap();
    seen.sort_by(|one, two| one.key.cmp(&two.key));
    let [etcd, web] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((&*etcd.facts.namespace, &*etcd.facts.pod), ("kube-system", "etcd-n1"));
    assert_eq!(etcd.uids, [HASH.into()]);
    assert_eq!(web.uids, [UID.into()]);
    let ids: Vec<&str> = web.containers.iter().map(|(id, _)| &**id).collect();
    assert_eq!(ids, [one, two], "a restarted container has both ids");
    let facts = &web.containers[0].1;
    assert_eq!((&*facts.namespace, &*facts.pod, &*facts.container), ("shop", "web-0", "web"));
    assert_eq!((&*facts.details.node, &*facts.details.image), ("n1", ""));
}

#[test]
fn without_links_pods_have_names() {
    let (directory, root) = host();
    fs::create_dir_all(directory.path().join(format!("var/log/pods/shop_web-0_{UID}"))).unwrap();
    assert_eq!(read(&root, "").unwrap()[0].uids, [UID.into()]);
    let (_directory, empty) = host();
    let error = read(&empty, "").unwrap_err();
    assert!(error.detail.contains("/var/log/pods"), "{error}");
}

#[test]
fn only_whole_names_are_understood() {
    for name in ["", "a", "a_b", "a_b_c_d", "_b_c", "a__c", "a_b_", "A_b_c", "a_b_c/../d", "ä_b_c"] {
        assert_eq!(pod_directory(name), None, "{name}");
    }
    let id = "a".repeat(64);
    for name in [
        format!("p_n_c-{id}"),
        format!("p_n_c{id}.log"),
        format!("p_n_-{id}.log"),
        format!("p_n-{id}.log"),
        format!("p_n_c_d-{id}.log"),
        format!("p_n_c-{}.log", "A".repeat(64)),
    ] {
        assert_eq!(container_link(&name), None, "{name}");
    }
    let name = format!("p.q_n_c-1-{id}.log");
    let link = container_link(&name).unwrap();
    assert_eq!((link.pod, link.namespace, link.container, link.id), ("p.q", "n", "c-1", id.as_str()));
}

proptest::proptest! {
    #[test]
    fn no_name_is_too_odd(name: String) {
        let _ = (pod_directory(&name), container_link(&name));
    }
}
