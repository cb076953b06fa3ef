//! The library counts its users, so it begins anew only once nobody has it.

use std::time::Duration;

use super::rig::{Rig, booked, broken, device, error, failure};
use crate::gpu::Consequence;

/// Device `a` fails until the library begins anew.
fn make_old(rig: &Rig) {
    rig.world().driver += 1;
    rig.set("a", |fake| fake.stale = Some(failure(Consequence::Transient, "timeout")));
}

#[test]
fn all_readers_let_go_of_a_library_that_is_initialised_anew() {
    let mut rig = Rig::new(3);
    rig.tick();
    make_old(&rig);
    for second in 1..=6 {
        for uuid in ["a", "b", "c"] {
            rig.burn(uuid, 50);
        }
        let tick = rig.tick();
        for uuid in ["b", "c"] {
            let well = device(&tick, uuid);
            assert!(well.up && well.reading.is_some() && well.errors == 0, "{second}");
            assert_eq!((booked(&tick, uuid), well.delta.unwrap().after_gap), (Some(50), false), "{second}");
        }
        let a = device(&tick, "a");
        assert_eq!((a.up, &*a.reason), (second > 3, if second > 3 { "" } else { "timeout" }));
        let expected = if second == 4 { 200 } else { 50 };
        assert_eq!(a.delta.map(|delta| delta.energy.get()), (second > 3).then_some(expected * 1_000_000));
    }
    assert_eq!(rig.world().finds, 2);
    for uuid in ["a", "b", "c"] {
        rig.wait_for_readers(uuid, 1);
    }
}

#[test]
fn one_that_hangs_is_waited_for_until_the_deadline_and_named() {
    let mut rig = Rig::new(3);
    rig.tick();
    make_old(&rig);
    rig.tick();
    rig.tick();
    rig.hang("b");
    rig.tick();
    for second in 0..2 {
        // The call may return yet.
        let tick = rig.tick();
        assert_eq!(rig.world().finds, 1, "{second}");
        assert!(device(&tick, "c").up, "it has time until the deadline");
        rig.wait_for_readers("c", 0);
    }
    let tick = rig.tick();
    assert_eq!(rig.world().finds, 2);
    for uuid in ["a", "b", "c"] {
        assert_eq!(&*device(&tick, uuid).reason, "library held by a call that hangs");
    }
    let collector = &tick.collectors[0];
    assert_eq!(error(&tick).as_deref(), Some("library held by a call that hangs"));
    assert_eq!(collector.detail.as_deref(), Some("uninitialised"), "what the system said");
    assert!(collector.remedy.is_some());
    // Once it returns, the next search has the library for itself.
    rig.unhang("b");
    rig.wait_for_ends();
    assert_eq!(rig.until_devices(60), 10);
    assert_eq!(error(&rig.tick()), None);
}

#[test]
fn a_call_that_returns_in_time_is_nothing_to_tell() {
    let mut rig = Rig::new(2);
    rig.tick();
    make_old(&rig);
    rig.tick();
    rig.tick();
    rig.hang("b");
    rig.tick();
    rig.tick();
    assert_eq!(rig.world().finds, 1);
    // Its end is the signal, in whatever part of a tick.
    rig.unhang("b");
    rig.settle();
    assert_eq!(rig.world().finds, 2);
    let tick = rig.tick();
    assert!(tick.devices.iter().all(|device| device.up) && error(&tick).is_none());
}

#[test]
fn a_slow_start_of_the_library_shows_but_makes_no_gap_of_its_own() {
    for seconds in [3, 8] {
        let mut rig = Rig::new(2);
        rig.tick();
        make_old(&rig);
        for _ in 0..3 {
            rig.burn("b", 50);
            rig.tick();
        }
        rig.hang_searches(false);
        for second in 0..seconds {
            rig.burn("b", 50);
            let b = device(&rig.tick(), "b");
            assert_eq!(&*b.reason, if second < 2 { "" } else { "driver is initialised anew" }, "{second}");
        }
        rig.unhang_searches();
        rig.burn("b", 50);
        let delta = device(&rig.tick(), "b").delta.unwrap();
        assert_eq!(delta.energy.get(), 50_000_000 * (seconds + 1));
        // Only one that is as long as any other gap.
        assert_eq!(delta.after_gap, Duration::from_secs(seconds) > crate::meters::GRACE);
    }
}

#[test]
fn other_failures_keep_their_reason() {
    let mut rig = Rig::new(2);
    rig.tick();
    make_old(&rig);
    (0..3).for_each(|_| drop(rig.tick()));
    rig.world().broken = Some(broken("version mismatch", true));
    let tick = rig.tick();
    for uuid in ["a", "b"] {
        assert_eq!(&*device(&tick, uuid).reason, "version mismatch");
    }
    rig.world().broken = None;
    // One that is there but has lost its name.
    rig.world().unnamed = Some("lost");
    rig.set("b", |fake| fake.present = false);
    rig.until(20, "a", |device| device.up);
    assert_eq!(&*device(&rig.tick(), "b").reason, "lost");
}

#[test]
fn a_release_ends_the_wait_for_others() {
    let mut rig = Rig::new(2);
    rig.tick();
    make_old(&rig);
    rig.tick();
    rig.tick();
    rig.hang("b");
    rig.tick();
    rig.tick();
    rig.bank.release();
    rig.unhang("b");
    rig.tick();
    assert_eq!(rig.world().finds, 1);
    rig.wait_for_forgets(1);
    rig.bank.resume();
    assert_eq!(rig.until_devices(2), 1);
    assert_eq!(rig.world().finds, 2);
}
