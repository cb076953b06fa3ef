//! The kubelet's pod-resources socket, as it should be and as it shouldn't.

pub(crate) mod fake;

use std::path::Path;
use std::time::Instant;

use crate::daemon::{Daemon, PATIENCE};
use crate::wait_for;

use fake::{Kubelet, Mood, devices, pod};

const MIB: usize = 1024 * 1024;
/// Where the socket is below the host's root.
const PLACE: &str = "var/lib/kubelet/pod-resources";

/// A daemon with this host's root.
fn daemon(root: &Path) -> Daemon {
    Daemon::modelled(&format!("[path]\nrootfs = \"{}\"\n", root.display()), &["--sample.interval=200ms"])
}

/// Waits until the collector succeeds (none) or fails for this reason.
fn until(daemon: &Daemon, reason: Option<&str>) {
    wait_for(reason.unwrap_or("success"), PATIENCE, || {
        let scrape = daemon.scrape();
        let rows = scrape.select("wattprint_collector_success", &[("collector", "podresources")]);
        let row = rows.first()?;
        let said = scrape
            .select("wattprint_collector_last_error_info", &[("collector", "podresources")])
            .first()
            .map(|sample| sample.labels.values().any(|value| Some(value.as_str()) == reason));
        let is_so = match reason {
            None => row.value == 1.0,
            Some(_) => row.value == 0.0 && said.unwrap_or(false),
        };
        is_so.then_some(())
    });
}

#[test]
fn a_machine_without_kubelet_has_no_such_collector_until_one_comes() {
    let root = tempfile::tempdir().unwrap();
    let daemon = daemon(root.path());
    daemon.ticks(3);
    assert!(
        daemon.scrape().select("wattprint_collector_success", &[("collector", "podresources")]).is_empty()
    );
    let _kubelet = Kubelet::start(&root.path().join(PLACE));
    until(&daemon, None);
    daemon.finish();
}

#[test]
fn a_kubelet_may_restart_and_know_no_other_call() {
    let root = tempfile::tempdir().unwrap();
    let mut kubelet = Kubelet::start(&root.path().join(PLACE));
    kubelet.set(vec![pod("ml", "job-0", "train", "nvidia.com/gpu", &["nvidia0/vgpu1"])]);
    kubelet.set_allocatable(vec![devices("nvidia.com/gpu", &["nvidia0/vgpu0", "nvidia0/vgpu1"])]);
    kubelet.behave(Mood::OnlyLists);
    let daemon = daemon(root.path());
    until(&daemon, None);
    kubelet.stop();
    until(&daemon, Some("there is no socket"));
    kubelet.restart();
    until(&daemon, None);
    kubelet.behave(Mood::Refuses);
    until(&daemon, Some("the call failed"));
    daemon.finish();
}

#[test]
fn ticks_stay_on_time_while_the_kubelet_is_silent_and_the_end_comes_at_once() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&root.path().join(PLACE));
    kubelet.behave(Mood::Silent);
    let mut daemon = daemon(root.path());
    let (begun, before) = (Instant::now(), daemon.snapshot().sequence());
    until(&daemon, Some("doesn't answer in time"));
    let (seconds, ticks) = (begun.elapsed().as_secs_f64(), daemon.snapshot().sequence() - before);
    // Five a second; half of that on a machine that is busy with other tests. A tick that waits would be one in 5 s.
    let ticks = f64::from(u32::try_from(ticks).unwrap());
    assert!(ticks > seconds * 2.5, "{ticks} ticks in {seconds} s");
    let (status, took) = daemon.end("TERM");
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(took.as_secs() < 2, "{took:?}");
}

#[test]
fn long_answers_are_read_and_longer_ones_and_garbage_have_a_reason() {
    let root = tempfile::tempdir().unwrap();
    let kubelet = Kubelet::start(&root.path().join(PLACE));
    kubelet.behave(Mood::Padded(10 * MIB));
    let daemon = daemon(root.path());
    until(&daemon, None);
    kubelet.behave(Mood::Padded(17 * MIB));
    until(&daemon, Some("the answer is longer than 16 MiB"));
    kubelet.behave(Mood::Garbage);
    until(&daemon, Some("the answer can't be understood"));
    kubelet.behave(Mood::Answers);
    until(&daemon, None);
    assert!(kubelet.asked() >= 4);
    daemon.finish();
}
