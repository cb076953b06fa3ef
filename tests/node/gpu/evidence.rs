//! One test for each rung of evidence.

use nvidia_ml::scenario::{Device, Process, Scenario};

use crate::assert_close;
use crate::cgroups::sandbox;
use crate::gpu::{Span, Stage, TOLERANCE, assert_sound, assert_true};
use crate::load::Load;

#[test]
fn one_owner_takes_all_of_a_gpu() {
    let Some(sandbox) = sandbox("one_owner_takes_all_of_a_gpu") else { return };
    let (cgroup, id) = sandbox.container();
    let load = Load::start(&[&cgroup], &["steady", "50", "60000"]);
    let uuid = Device::uuid_of(0);
    let device = Device { gpu_utilization: 80, ..Device::hopper(0) };
    let device = device.power(0, 400.0).process(Process::compute(load.pid()).sm(80).memory(1 << 30));
    let stage = Stage::new(Scenario::of([device]));
    let daemon = stage.start("", &[]);
    let span = Span::begin(&daemon);
    let before = daemon.scrape();
    let looks = span.end(&daemon, 5);
    assert_true(&stage, &uuid, &looks);
    let (first, last, from, to) = &looks;
    let joules =
        |snapshot: &crate::snapshot::Snapshot| snapshot.container(&id).map_or(0.0, |row| row.joules("gpu"));
    assert_close("container", joules(last) - joules(first), stage.joules(&uuid, *from, *to), TOLERANCE);
    assert_eq!(last.gpu(&uuid)["method"], "exclusive");
    let after = daemon.scrape();
    assert_sound(&before, &after);
    let labels = [("gpu", "0"), ("uuid", uuid.as_str()), ("container_id", &id[..12])];
    let card = after.value("wattprint_gpu_container_energy_joules_total", &labels);
    assert!(card >= joules(last), "{card}");
    let process = after.select(
        "wattprint_process_energy_joules_total",
        &[("pid", &load.pid().to_string()), ("component", "gpu"), ("state", "active")],
    );
    assert_close("process", process[0].value, card, TOLERANCE);
    daemon.finish();
}
