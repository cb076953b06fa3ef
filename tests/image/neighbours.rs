//! As a DaemonSet runs it, beside other containers.

use std::time::Duration;

use crate::container::Container;
use crate::daemonset::Pod;
use crate::wait_for;

/// What a kubelet's grace period must never be needed for.
const PROMPT: Duration = Duration::from_secs(2);
const JOULES: &str = "wattprint_container_energy_joules_total";

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn the_daemonsets_container_sees_its_neighbours_and_ends_at_once() {
    let pod = Pod::rendered();
    let web = Container::neighbour("web", &[]);
    let uid = format!("0f1e2d3c-4b5a-6978-8796-{:012x}", std::process::id());
    let parent = format!("--cgroup-parent=/kubepods/burstable/pod{uid}");
    let pods_own = Container::neighbour("inside", &[&parent]);
    let daemon = Container::start("daemonset", &pod.run_options(), &pod.arguments).ready();

    let of = |container: &Container| {
        let labels = [
            ("container", &*container.name),
            ("container_id", &container.id[..12]),
            ("component", "cpu"),
            ("state", "active"),
        ];
        let scrape = daemon.scrape();
        let found = scrape.select(JOULES, &labels);
        (found.len() == 1).then(|| found[0].clone())
    };
    let first = wait_for("a series with the neighbour's name", || of(&web));
    assert_eq!(first.labels["runtime"], "podman");
    wait_for("more joules", || of(&web).filter(|later| later.value > first.value));
    let in_pod = wait_for("the series of the pod's container", || of(&pods_own));
    assert_eq!(in_pod.labels["pod"], uid);
    assert!(in_pod.value > 0.0, "{in_pod:?}");
    // It is a container too, and sees itself.
    wait_for("its own series", || of(&daemon));

    let check = daemon.check();
    assert!(check.contains("CAP_DAC_READ_SEARCH: held"), "{check}");
    for bad in [
        "FAIL process ids",
        "FAIL CPU time",
        "FAIL cpu",
        "FAIL procfs",
        "FAIL sysfs",
        "FAIL scope",
        "FAIL rootfs",
    ] {
        assert!(!check.contains(bad), "{bad}: {check}");
    }
    assert!(daemon.log().contains("/var/lib/wattprint"), "the state isn't kept: {}", daemon.log());

    let (code, took) = daemon.terminate();
    assert_eq!(code, "0", "{}", daemon.log());
    assert!(took <= PROMPT, "{took:?}");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn the_health_check_of_the_image_tells_a_daemon_that_serves_from_one_that_hangs() {
    let pod = Pod::rendered();
    let daemon = Container::start("health", &pod.run_options(), &pod.arguments).ready();
    assert!(daemon.is_healthy(), "{}", daemon.log());
    // The health check is a process of its own, so it tells even when the daemon stands still.
    daemon.signal("STOP");
    assert!(!daemon.is_healthy());
    daemon.signal("CONT");
    wait_for("health", || daemon.is_healthy().then_some(()));
}
