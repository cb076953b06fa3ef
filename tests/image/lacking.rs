//! What is missing is said, and nothing else breaks.

use crate::container::Container;
use crate::daemonset::Pod;

/// That the daemon says by a metric what it lacks.
fn assert_lacks(daemon: &Container, problem: &str) {
    let scrape = daemon.scrape();
    let told = scrape.select("wattprint_setup_problem", &[]);
    assert!(told.iter().any(|sample| sample.labels["problem"] == problem), "{problem}: {told:?}");
}

const NODE_JOULES: &str = "wattprint_node_energy_joules_total";

fn start(test: &str, pod: &Pod) -> Container {
    Container::start(test, &pod.run_options(), &pod.arguments)
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn without_the_hosts_pids_it_says_so_and_measures_the_node() {
    let mut pod = Pod::rendered();
    pod.is_in_host_pids = false;
    let daemon = start("no-pids", &pod).ready();
    assert!(daemon.check().contains("hostPID: true"), "{}", daemon.check());
    assert_lacks(&daemon, "pid_namespace");
    assert!(!daemon.scrape().select(NODE_JOULES, &[]).is_empty());
    // It is process 1 then, for which the kernel has no default handlers.
    assert_eq!(daemon.terminate().0, "0");
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn without_the_hosts_sysfs_it_says_so_and_goes_on() {
    let pod = Pod::rendered().without_mount("/host/sys");
    let daemon = start("no-sys", &pod).ready();
    let check = daemon.check();
    assert!(check.contains("/host/sys doesn't exist"), "{check}");
    assert!(check.contains("path.sysfs"), "{check}");
    assert_lacks(&daemon, "sysfs");
    assert_eq!(daemon.terminate().0, "0");
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn without_the_hosts_procfs_it_says_so_and_goes_on() {
    let pod = Pod::rendered().without_mount("/host/proc");
    let daemon = start("no-proc", &pod).ready();
    let check = daemon.check();
    assert!(check.contains("/host/proc doesn't exist"), "{check}");
    assert!(check.contains("path.procfs"), "{check}");
    assert_lacks(&daemon, "procfs");
    assert_eq!(daemon.terminate().0, "0");
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn without_any_option_it_is_nobody_and_says_what_it_lacks() {
    let daemon = Container::start("plain", &["--network=none".to_owned()], &[]).ready();
    assert_eq!(daemon.uid(), 65532);
    let check = daemon.check();
    for said in ["--pid=host", "CAP_DAC_READ_SEARCH"] {
        assert!(check.contains(said), "{said}: {check}");
    }
    assert!(!daemon.scrape().select(NODE_JOULES, &[]).is_empty());
    assert!(daemon.log().contains("/var/lib/wattprint"), "the state isn't kept: {}", daemon.log());
    assert!(daemon.is_healthy());
    assert_eq!(daemon.terminate().0, "0");
}

#[test]
#[ignore = "needs root and the bases that `make test-image` lays out"]
fn without_a_place_for_the_state_it_measures_all_the_same() {
    let options = ["--network=none", "--read-only", "--read-only-tmpfs=false", "--image-volume=ignore"];
    let daemon = Container::start("no-state", &options.map(str::to_owned), &[]).ready();
    assert!(daemon.log().contains("nothing is kept"), "{}", daemon.log());
    assert!(!daemon.scrape().select(NODE_JOULES, &[]).is_empty());
}
