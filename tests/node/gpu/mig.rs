//! MIG: a card that is cut into instances, and cut anew.

use std::time::Duration;

use nvidia_ml::monotonic_ns;
use nvidia_ml::scenario::{Device, Instance, Mig, ParentLists, Process, Scenario};

use crate::cgroups::sandbox;
use crate::daemon::PATIENCE;
use crate::gpu::burst::{Burst, QUICK, Running, User, at_rest, now};
use crate::gpu::{Stage, TOLERANCE};
use crate::{assert_close, wait_for};

/// An instance at a place, with so many multiprocessors; its number is 7 above the place's.
fn instance(device: u8, place: u32, multiprocessors: u32) -> Instance {
    Instance { multiprocessors, ..Instance::slice(device, place) }
}

fn within(user: &User, gib: u64, instance: u32) -> Process {
    user.on_gpu(0, gib).instance(instance, 0)
}

fn lists(device: &mut Device, lists: ParentLists) {
    device.mig.as_mut().expect("MIG").parent_lists = lists;
}

#[test]
fn owners_are_found_whatever_the_cards_own_lists_say() {
    let Some(sandbox) = sandbox("owners_are_found_whatever_the_cards_own_lists_say") else { return };
    let users = [0; 3].map(|_| User::start(&sandbox));
    let cut = |number, parent| {
        let sizes = [(0, 14), (2, 28), (5, 56)];
        let mut device =
            at_rest(Device::ampere(number)).mig(sizes.map(|(place, size)| instance(number, place, size)));
        for (user, (place, _)) in users.iter().zip(sizes) {
            // Memory would tell otherwise.
            device = device.process(within(user, 4, place + 7));
        }
        lists(&mut device, parent);
        device
    };
    let ways = [ParentLists::Aggregate, ParentLists::Empty, ParentLists::NoPermission];
    let devices = [0, 1, 2].map(|number| cut(number, ways[usize::from(number)]));
    let mut stage = Stage::new(Scenario::of(devices));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    for uuid in [0, 1, 2].map(Device::uuid_of) {
        let shares = [(&users[0], 1.0 / 7.0), (&users[1], 2.0 / 7.0), (&users[2], 4.0 / 7.0)];
        burst.assert_shares(&uuid, "mig_slice", &shares);
        assert_eq!(burst.after.select("wattprint_gpu_info", &[("uuid", &uuid), ("mig", "on")]).len(), 1);
        assert_eq!(burst.last.gpu(&uuid)["clients"], 3);
        let limits = burst.last.limitations(&uuid);
        assert!(limits.contains(&("sm_util".to_owned(), "not available with MIG".to_owned())), "{limits:?}");
    }
    daemon.finish();
}

#[test]
fn two_owners_in_one_instance_share_its_part() {
    let Some(sandbox) = sandbox("two_owners_in_one_instance_share_its_part") else { return };
    let users = [0; 3].map(|_| User::start(&sandbox));
    let cut = |device: Device, number| {
        let instances = [
            Instance { sm_utilization: 60.0, ..instance(number, 0, 16) },
            Instance { sm_utilization: 30.0, ..instance(number, 1, 16) },
        ];
        at_rest(device.mig(instances))
            .process(within(&users[0], 3, 7))
            .process(within(&users[1], 1, 7))
            .process(within(&users[2], 8, 8))
    };
    // In the second one it isn't known what the second user holds.
    let mut unknown = cut(Device::ampere(1), 1);
    unknown.processes[1].memory = None;
    let mut stage = Stage::new(Scenario::of([cut(Device::hopper(0).gpm(50.0, 50.0), 0), unknown]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    let [a, b, c] = &users;
    burst.assert_shares(&Device::uuid_of(0), "gpm", &[(a, 0.5), (b, 1.0 / 6.0), (c, 1.0 / 3.0)]);
    burst.assert_shares(&Device::uuid_of(1), "mig_slice", &[(a, 0.25), (b, 0.25), (c, 0.5)]);
    daemon.finish();
}

#[test]
fn a_new_layout_is_found_and_no_joule_is_lost() {
    let Some(sandbox) = sandbox("a_new_layout_is_found_and_no_joule_is_lost") else { return };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let cut = |number, parent| {
        let mut device = at_rest(Device::ampere(number))
            .mig([instance(number, 0, 16), instance(number, 1, 48)])
            .process(within(&a, 4, 7))
            .process(within(&b, 4, 8));
        lists(&mut device, parent);
        device
    };
    let devices = [cut(0, ParentLists::Aggregate), cut(1, ParentLists::NoPermission)];
    let uuids = [0, 1].map(Device::uuid_of);
    let mut stage = Stage::new(Scenario::of(devices));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    for uuid in &uuids {
        burst.assert_shares(uuid, "mig_slice", &[(&a, 0.25), (&b, 0.75)]);
    }

    // The layout changes while the cards work.
    let running = Running::begin(&mut stage, &daemon);
    let change = running.begin + Duration::from_millis(700);
    wait_for("the middle of the burst", PATIENCE, || (now() > change).then_some(()));
    let change = monotonic_ns();
    stage.change(|scenario| {
        for (device, number) in scenario.devices.iter_mut().zip(0..) {
            device.mig_generation += 1;
            let instances = [instance(number, 3, 64), instance(number, 0, 16)];
            device.mig.as_mut().unwrap().instances = instances.into();
            device.processes.iter_mut().for_each(|process| process.until_ns = Some(change));
            for process in [within(&a, 1, 10), within(&b, 9, 7)] {
                device.processes.push(Process { from_ns: change, ..process });
            }
        }
    });
    let whole = running.end(&stage, &daemon);
    for uuid in &uuids {
        assert_close(uuid, whole.gpu(uuid), whole.truth(uuid), TOLERANCE);
        assert_close("containers", whole.kind(uuid, "container"), whole.gpu(uuid), 1e-6);
    }
    let burst = Burst::play(&mut stage, &daemon);
    for uuid in &uuids {
        burst.assert_shares(uuid, "mig_slice", &[(&a, 0.8), (&b, 0.2)]);
        assert_eq!(burst.last.gpu(uuid)["up"], true);
    }
    whole.after.assert_never_falls(&burst.after);
    daemon.finish();
}

#[test]
fn a_card_that_is_cut_while_the_daemon_runs_goes_on_by_instance() {
    let Some(sandbox) = sandbox("a_card_that_is_cut_while_the_daemon_runs_goes_on_by_instance") else {
        return;
    };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let uuid = Device::uuid_of(0);
    let device = Device {
        gpu_utilization: 80,
        mig: Some(Mig { instances: vec![instance(0, 0, 16), instance(0, 1, 48)], ..Mig::default() }),
        ..Device::ampere(0)
    };
    let device = at_rest(device).process(a.on_gpu(60, 1)).process(b.on_gpu(20, 1));
    let mut stage = Stage::new(Scenario::of([device]));
    let daemon = stage.start("", &[QUICK]);
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "sm_util", &[(&a, 0.75), (&b, 0.25)]);
    assert_eq!(burst.last.gpu(&uuid)["mig"], false);
    let first = burst.after;

    stage.change(|scenario| {
        let device = &mut scenario.devices[0];
        device.mig.as_mut().unwrap().enabled = true;
        device.mig_generation += 1;
        device.processes = vec![within(&a, 1, 7), within(&b, 1, 8)];
    });
    daemon.until("MIG", |snapshot| snapshot.gpu(&uuid)["method"] == "mig_slice");
    let burst = Burst::play(&mut stage, &daemon);
    burst.assert_shares(&uuid, "mig_slice", &[(&a, 0.25), (&b, 0.75)]);
    assert_close("active", burst.state(&b, "active"), 0.75 * burst.truth(&uuid), TOLERANCE);
    assert_eq!(burst.after.select("wattprint_gpu_info", &[("uuid", &uuid), ("mig", "on")]).len(), 1);
    first.assert_never_falls(&burst.after);
    daemon.finish();
}
