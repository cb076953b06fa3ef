//! Devices that are cut into instances.

use nvidia_ml::code;
use nvidia_ml::scenario::{Device, Fault, Gpm, Instance, ParentLists, Process};

use super::rig::{Rig, limitation_of};
use crate::gpu::DeviceReading;

fn cut(device: Device) -> Device {
    device
        .mig([
            Instance::slice(1, 0),
            Instance { gpu_instance: 9, compute_instance: 1, ..Instance::slice(1, 3) },
        ])
        .process(Process::compute(7).instance(7, 0).memory(1))
        .process(Process::compute(8).instance(9, 1).memory(1))
        .process(Process::compute(9).instance(9, 1).memory(1))
}

fn places(reading: &DeviceReading) -> Vec<(u32, Option<u32>)> {
    reading.clients.iter().flatten().map(|client| (client.pid, client.instance)).collect()
}

const EVERYBODY: [(u32, Option<u32>); 3] = [(7, Some(7)), (8, Some(9)), (9, Some(9))];

#[test]
fn clients_are_told_with_their_instances_whatever_may_be_seen() {
    for lists in [ParentLists::Aggregate, ParentLists::Empty, ParentLists::NoPermission] {
        let mut rig = Rig::of([cut(Device::ampere(1))]);
        rig.change(|device| device.mig.as_mut().unwrap().parent_lists = lists);
        for _ in 0..3 {
            let reading = rig.read();
            assert_eq!(places(&reading), EVERYBODY, "{lists:?}");
            assert!(reading.mig && reading.work.is_none());
            assert_eq!((reading.utilization, limitation_of(&reading, "clients")), (None, None));
            let instances: Vec<_> = reading
                .instances
                .iter()
                .map(|one| (one.id, one.multiprocessors, one.sm_utilization))
                .collect();
            assert_eq!(instances, [(7, Some(16), None), (9, Some(16), None)]);
            assert!(reading.instances[0].uuid.starts_with("MIG-"));
        }
    }
}

#[test]
fn a_new_layout_is_seen_at_once() {
    let mut rig = Rig::of([cut(Device::ampere(1))]);
    rig.change(|device| device.mig.as_mut().unwrap().parent_lists = ParentLists::Empty);
    assert_eq!(places(&rig.read()), EVERYBODY);
    rig.change(|device| {
        device.mig_generation += 1;
        let instance = Instance { gpu_instance: 2, uuid: "MIG-new".to_owned(), ..Instance::slice(1, 5) };
        device.mig.as_mut().unwrap().instances = vec![instance];
        device.processes = vec![Process::compute(20).instance(2, 0)];
    });
    let reading = rig.read();
    assert_eq!(places(&reading), [(20, Some(2))]);
    assert_eq!((reading.instances.len(), &*reading.instances[0].uuid), (1, "MIG-new"));
}

#[test]
fn switching_mig_shows_within_a_minute() {
    let mut rig = Rig::of([Device::ampere(1).mig([])]);
    rig.change(|device| device.mig.as_mut().unwrap().enabled = false);
    assert!(!rig.read().mig);
    rig.change(|device| *device = cut(Device::ampere(1)));
    // That the utilisation isn't supported any more gives it away.
    rig.read();
    assert!(rig.read().mig);
    rig.change(|device| {
        let mig = device.mig.as_mut().unwrap();
        mig.enabled = false;
        device.mig_generation += 1;
        device.processes.clear();
    });
    let off = (0..70).position(|_| !rig.read().mig).unwrap();
    assert!(off <= 60);
    assert_eq!(rig.read().work, Some(Vec::new()));
}

#[test]
fn gpm_tells_how_busy_instances_with_clients_are() {
    let mut rig = Rig::of([cut(Device::hopper(1).gpm(0.0, 0.0))]);
    rig.change(|device| {
        device.processes.pop();
        device.processes.pop();
        device.mig.as_mut().unwrap().instances[0].sm_utilization = 75.0;
    });
    let reading = rig.read_until(|reading| reading.instances[0].sm_utilization.is_some());
    assert_eq!(reading.instances[0].sm_utilization, Some(0.75));
    assert_eq!(reading.instances[1].sm_utilization, None);
    assert_eq!(limitation_of(&reading, "gpm"), None);
}

#[test]
fn gpm_that_is_not_to_be_had_is_a_limitation() {
    for (gpm, reason) in
        [(Some(Gpm { permitted: false, ..Gpm::default() }), "no permission"), (None, "needs Hopper or newer")]
    {
        let mut rig = Rig::of([Device { gpm, ..cut(Device::hopper(1)) }]);
        let reading = rig.read();
        assert_eq!(limitation_of(&reading, "gpm").unwrap(), reason);
        assert!(reading.instances.iter().all(|instance| instance.sm_utilization.is_none()));
    }
}

#[test]
fn calls_for_instances_that_keep_failing_are_limitations() {
    let mut rig = Rig::of([cut(Device::hopper(1).gpm(50.0, 50.0))]);
    rig.read();
    for (symbol, what, seconds) in [
        ("nvmlGpmMigSampleGet", "gpm", 3),
        ("nvmlDeviceGetMaxMigDeviceCount", "clients", 12),
        ("nvmlDeviceGetMigMode", "clients", 180),
    ] {
        rig.scenario.faults = vec![Fault::of(symbol, code::UNKNOWN)];
        rig.save();
        let reading = (0..seconds).map(|_| rig.read()).last().unwrap();
        // Nobody and nothing is lost by it.
        assert_eq!((places(&reading), reading.instances.len()), (EVERYBODY.to_vec(), 2), "{symbol}");
        assert!(reading.mig);
        assert_eq!(limitation_of(&reading, what).is_some(), what == "gpm" || seconds == 12, "{symbol}");
        rig.scenario.faults.clear();
        rig.save();
        rig.try_read(0, 600_000).unwrap();
    }
}

#[test]
fn an_instance_that_fails_to_be_looked_up_for_a_moment_stays() {
    for symbol in ["nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetUUID", "nvmlDeviceGetAttributes_v2"] {
        let mut rig = Rig::of([cut(Device::ampere(1))]);
        rig.change(|device| device.mig.as_mut().unwrap().parent_lists = ParentLists::Empty);
        let instances = rig.read().instances;
        let uuid = &instances[1].uuid;
        rig.scenario.faults = vec![Fault::of(symbol, code::UNKNOWN).on(uuid)];
        rig.save();
        let reading = rig.try_read(0, 10_000).unwrap();
        assert_eq!((places(&reading), &reading.instances), (EVERYBODY.to_vec(), &instances), "{symbol}");
        // It is looked up again at once, but not for ever.
        let lookups = |rig: &mut Rig| {
            let calls = rig.calls(|rig| assert_eq!(places(&rig.read()), EVERYBODY));
            calls.contains_key("nvmlDeviceGetMigDeviceHandleByIndex")
        };
        let is_told = symbol.contains("Attributes");
        assert_eq!([(); 3].map(|()| lookups(&mut rig)), [!is_told, !is_told, false], "{symbol}");
        rig.scenario.faults.clear();
        rig.change(|device| device.mig.as_mut().unwrap().instances.truncate(1));
        assert_eq!(rig.try_read(0, 10_000).unwrap().instances, instances[..1], "{symbol}");
    }
}
