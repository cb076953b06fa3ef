//! MPS: one server process does the work of many clients.

use nvidia_ml::scenario::{Device, Kind, Process, Scenario};

use crate::assert_close;
use crate::cgroups::sandbox;
use crate::gpu::burst::{Burst, QUICK, User, arrive, at_rest};
use crate::gpu::{Stage, TOLERANCE};
use crate::load::Load;

#[test]
fn clients_of_mps_are_billed_and_its_server_never() {
    let Some(sandbox) = sandbox("clients_of_mps_are_billed_and_its_server_never") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let programs = tempfile::tempdir().unwrap();
    let (cgroup, id) = sandbox.container();
    let load = Load::named("nvidia-cuda-mps-server", programs.path(), &[&cgroup], &["hold", "0"]);
    arrive(&cgroup, &load);
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", load.pid())).unwrap();
    assert_eq!(comm.trim_end(), "nvidia-cuda-mps");
    let server = User { load, id, cgroup };
    let busy = |number| at_rest(Device { gpu_utilization: 80, ..Device::hopper(number) });
    let serving = |sm| Process::compute(server.pid()).kind(Kind::MpsServer).sm(sm).memory(30 << 20);
    let client = |user: &User, sm, gib| user.on_gpu(sm, gib).kind(Kind::MpsClient);
    let devices = [
        // Clients in both lists, clients in their own list only, and work that only the server shows.
        busy(0).process(serving(5)).process(client(&a, 60, 1)).process(client(&b, 20, 1)),
        Device { mps_clients_in_compute: false, ..busy(1) }
            .process(serving(0))
            .process(client(&a, 60, 1))
            .process(client(&b, 20, 1)),
        busy(2).process(serving(80)).process(client(&a, 0, 3)).process(client(&b, 0, 1)),
        // A server without clients keeps a card on for nobody.
        at_rest(Device::hopper(3)).process(serving(0)),
    ];
    let mut stage = Stage::new(Scenario::of(devices));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let uuids = [0, 1, 2, 3].map(Device::uuid_of);
    let shares = [(&a, 0.75), (&b, 0.25), (&server, 0.0)];
    burst.assert_shares(&uuids[0], "sm_util", &shares);
    burst.assert_shares(&uuids[1], "sm_util", &shares);
    burst.assert_shares(&uuids[2], "memory", &shares);
    burst.assert_shares(&uuids[3], "none", &[(&a, 0.0), (&b, 0.0), (&server, 0.0)]);
    for (uuid, count) in uuids.iter().zip([2.0, 2.0, 2.0, 0.0]) {
        let clients = burst.after.value("wattprint_gpu_clients", &[("uuid", uuid)]);
        assert!((clients - count).abs() < 1e-9, "{uuid}: {clients}");
    }
    assert!(burst.process(server.pid()).abs() < 1e-9, "the server has a bill");
    let first: f64 = uuids[..3].iter().map(|uuid| burst.truth(uuid)).sum();
    assert_close("a", burst.state(&a, "active"), 0.75 * first, TOLERANCE);
    daemon.finish();
}
