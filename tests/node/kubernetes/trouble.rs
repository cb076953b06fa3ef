//! What may go wrong with a watch: names come all the same, and ticks never wait.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;

use super::rig::{Pod, Rig};
use super::server::{ApiServer, Forgetting};
use crate::cgroups::sandbox;
use crate::daemon::PATIENCE;
use crate::wait_for;

/// What tells a list from a watch.
const LISTS: [&str; 1] = ["/pods?&fieldSelector"];

#[test]
fn a_watch_goes_on_after_whatever_happens_to_it() {
    let Some(sandbox) = sandbox("a_watch_goes_on_after_whatever_happens_to_it") else { return };
    let server = ApiServer::new();
    server.pages(2);
    let mut pods: Vec<Pod> = (0..5).map(|number| Pod::new(&format!("web-{number}"))).collect();
    let ids: Vec<String> = pods.iter_mut().map(|pod| pod.container("web")).collect();
    for pod in &pods {
        server.put(pod.json());
    }
    let rig = Rig::start(server, "60s", "[names]\nlabels = [\"step\"]\n");
    let _cgroups: Vec<_> = pods.iter().zip(&ids).map(|(pod, id)| sandbox.cgroup(&pod.path(id))).collect();
    for id in &ids {
        rig.until_info(id, &[("container", "web")]);
    }
    assert_eq!(rig.server.asked(&["resourceVersion=0&"]), 1, "the first page");
    assert_eq!(rig.server.asked(&["continue="]), 2, "the second and the third");
    assert_eq!(rig.server.asked(&["allowWatchBookmarks=true", "fieldSelector=spec.nodeName%3Dn1"]), 1);

    let (pod, id) = (&mut pods[0], &ids[0]);
    let mut step = |what: &str| {
        pod.label("step", what);
        rig.server.put(pod.json());
        rig.until_info(id, &[("label_step", what)]);
    };
    step("changed");

    rig.server.bookmark();
    rig.server.cut("");
    step("cut-after-a-bookmark");
    assert_eq!(rig.server.asked(&LISTS), 3, "it goes on from the bookmark");

    rig.server.cut("{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"we");
    step("half-an-event");
    assert_eq!(rig.server.asked(&LISTS), 3);

    rig.server.send("garbage");
    rig.server.send("{\"type\":\"ADDED\",\"object\":[1,2]}");
    rig.server.send("{\"type\":\"STRANGE\",\"object\":{}}");
    rig.server.send("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"uid\":7}}}");
    step("garbage");
    assert_eq!(rig.server.asked(&LISTS), 3);

    for (forgetting, lists) in [(Forgetting::Status, 6), (Forgetting::Event, 9)] {
        rig.server.forget(forgetting);
        step(&format!("{forgetting:?}"));
        assert_eq!(rig.server.asked(&LISTS), lists, "three pages again");
    }
    rig.until("success", |_| rig.collector_succeeds() == Some(true));
    assert!(
        !rig.daemon.log().contains("collector is failing collector=\"kubernetes\""),
        "{}",
        rig.daemon.log()
    );
    rig.daemon.finish();
}

#[test]
fn a_token_that_was_replaced_is_read_again() {
    let Some(sandbox) = sandbox("a_token_that_was_replaced_is_read_again") else { return };
    let mut pod = Pod::new("web-0");
    let id = pod.container("web");
    let server = ApiServer::new();
    server.takes_only("first");
    server.put(pod.json());
    let rig = Rig::start(server, "60s", "[names]\nlabels = [\"step\"]\n");
    let _cgroup = sandbox.cgroup(&pod.path(&id));
    rig.until_info(&id, &[("pod", "web-0")]);
    rig.server.takes_only("second");
    rig.server.cut("");
    rig.until("a failure", |_| rig.collector_succeeds() == Some(false));
    assert!(rig.daemon.log().contains("doesn't accept the credentials"), "{}", rig.daemon.log());
    rig.until_info(&id, &[("pod", "web-0")]);
    fs::write(rig.token(), "second").unwrap();
    pod.label("step", "rotated");
    rig.server.put(pod.json());
    rig.until_info(&id, &[("label_step", "rotated")]);
    rig.until("success", |_| rig.collector_succeeds() == Some(true));

    rig.server.forbids(true);
    rig.server.cut("");
    rig.until("a failure", |_| rig.collector_succeeds() == Some(false));
    let refused = [("problem", "kubernetes_access")];
    rig.until("a problem of the setup", |scrape| {
        !scrape.select("wattprint_setup_problem", &refused).is_empty()
    });
    let log = rig.daemon.log();
    assert!(log.contains("refuses this account") && log.contains("list and watch pods"), "{log}");
    assert_eq!(
        log.matches("collector is failing collector=\"kubernetes\" reason=403").count(),
        1,
        "once: {log}"
    );
    rig.until_info(&id, &[("label_step", "rotated")]);
    rig.daemon.finish();
}

#[test]
fn silence_is_ordinary() {
    silence("silence_is_ordinary", Duration::from_secs(3));
}

#[test]
fn half_a_minute_of_silence_is_ordinary() {
    let test = "half_a_minute_of_silence_is_ordinary";
    if super::is_asked_for(test) {
        silence(test, Duration::from_secs(35));
    }
}

/// Ticks and scrapes go on while the server says nothing, and the watch is the same afterwards.
fn silence(test: &str, length: Duration) {
    let Some(sandbox) = sandbox(test) else { return };
    let mut pod = Pod::new("web-0");
    let id = pod.container("web");
    let server = ApiServer::new();
    server.put(pod.json());
    let rig = Rig::start(server, "60s", "[names]\nlabels = [\"step\"]\n");
    let _cgroup = sandbox.cgroup(&pod.path(&id));
    rig.until_info(&id, &[("pod", "web-0")]);
    let (begun, first) = (Instant::now(), rig.daemon.snapshot().sequence());
    wait_for("the silence to end", PATIENCE, || {
        rig.daemon.scrape();
        (begun.elapsed() >= length).then_some(())
    });
    let ticks = rig.daemon.snapshot().sequence() - first;
    assert!(ticks as f64 >= 0.6 * length.as_secs_f64(), "{ticks} ticks in {length:?}");
    rig.until("success", |_| rig.collector_succeeds() == Some(true));
    pod.label("step", "after");
    rig.server.put(pod.json());
    rig.until_info(&id, &[("label_step", "after")]);
    assert_eq!(rig.server.asked(&["watch=true"]), 1, "it is still the first watch");
    rig.daemon.finish();
}

#[test]
fn the_daemon_ends_at_once_whatever_the_server_does() {
    let server = ApiServer::new();
    server.put(json!({"metadata": {"uid": "a", "name": "a"}}));
    let mut rig = Rig::start(server, "60s", "");
    rig.until("the watch", |_| rig.server.asked(&["watch=true"]) == 1);
    let (status, took) = rig.daemon.end("TERM");
    assert_eq!(status.code(), Some(0), "{}", rig.daemon.log());
    assert!(took < Duration::from_secs(5), "{took:?}");
}
