use std::time::Duration;

use super::rig::{Rig, booked, broken, device, error, failure};
use crate::gpu::Consequence;

/// The seconds, from 1, in which the backend searched.
fn searches(rig: &mut Rig, seconds: u64) -> Vec<u64> {
    let mut at = Vec::new();
    for second in 1..=seconds {
        let before = rig.world().finds;
        rig.tick();
        if rig.world().finds > before {
            at.push(second);
        }
    }
    at
}

/// How often it searched and forgot.
fn searched(rig: &Rig) -> (usize, usize) {
    let world = rig.world();
    (world.finds, world.forgets)
}

#[test]
fn a_driver_that_appears_is_used_at_once() {
    let mut rig = Rig::new(1);
    rig.world().absent = Some(broken("no driver", false));
    let tick = rig.tick();
    assert_eq!((tick.devices.len(), error(&tick).as_deref()), (0, Some("no driver")));
    assert!(searches(&mut rig, 605).is_empty());
    assert_eq!(rig.world().looks, 61, "every ten seconds");
    rig.world().absent = None;
    assert_eq!(rig.until_devices(20), 5);
    assert_eq!(error(&rig.tick()), None);
}

#[test]
fn a_failing_search_is_tried_ever_more_seldom() {
    let mut rig = Rig::new(1);
    rig.world().broken = Some(broken("version mismatch", false));
    assert_eq!(error(&rig.tick()).as_deref(), Some("version mismatch"));
    assert_eq!(searches(&mut rig, 1_300), [10, 30, 70, 150, 310, 610, 910, 1_210]);
    assert_eq!(rig.world().forgets, 8, "nothing is left of the search before");
    rig.world().broken = None;
    assert_eq!(rig.until_devices(300), 210);
}

#[test]
fn a_driver_that_goes_and_comes_back_resets_the_back_off() {
    let mut rig = Rig::new(1);
    rig.world().broken = Some(broken("version mismatch", false));
    searches(&mut rig, 200);
    rig.world().absent = Some(broken("no driver", false));
    assert!(rig.until_error(11, "no driver"));
    rig.world().absent = None;
    assert!(rig.until_error(11, "version mismatch"));
    assert_eq!(searches(&mut rig, 60), [10, 30]);
}

#[test]
fn searches_that_hang_are_left_behind() {
    let mut rig = Rig::new(1);
    rig.hang_searches(false);
    assert_eq!(error(&rig.tick()).as_deref(), Some("initialising"));
    rig.tick();
    assert_eq!(error(&rig.tick()).as_deref(), Some("initialisation hangs"));
    // Two seconds to the deadline, ten to the retry.
    assert_eq!(rig.until_devices(30), 10);
    rig.burn("a", 40);
    let tick = rig.tick();
    assert_eq!((error(&tick), booked(&tick, "a")), (None, Some(40)));
    rig.unhang_searches();
    rig.wait_for_readers("a", 1);
    rig.burn("a", 40);
    assert_eq!(booked(&rig.tick(), "a"), Some(40));
}

#[test]
fn supervisors_that_hang_are_bounded() {
    let mut rig = Rig::new(1);
    rig.hang_searches(true);
    rig.tick();
    rig.tick();
    for _ in 0..3_000 {
        // One follows the other, but the trouble is the same.
        assert_eq!(error(&rig.tick()).as_deref(), Some("initialisation hangs"));
    }
    rig.wait_for_searches(4);
    rig.unhang_searches();
    rig.settle();
    assert!(rig.until_devices(3) <= 3);
    rig.wait_for_readers("a", 1);
}

#[test]
fn three_failures_in_a_row_initialise_anew() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Transient, "timeout")));
    rig.tick();
    rig.tick();
    assert_eq!(searched(&rig), (1, 0));
    rig.tick();
    rig.burn("b", 100);
    let tick = rig.tick();
    assert_eq!(searched(&rig), (2, 1));
    assert_eq!(booked(&tick, "b"), Some(100), "the other one loses nothing");
    rig.wait_for_readers("b", 1);
    // After that at least ten seconds lie between two, then twenty, and so on.
    assert_eq!(searches(&mut rig, 200), [10, 30, 70, 150]);
    rig.set("a", |fake| fake.failure = None);
    rig.tick();
    assert_eq!(error(&rig.tick()), None);
}

#[test]
fn an_uninitialised_library_is_initialised_at_once_but_no_storm_follows() {
    let mut rig = Rig::new(2);
    rig.tick();
    for uuid in ["a", "b"] {
        rig.set(uuid, |fake| fake.failure = Some(failure(Consequence::Reinitialise, "uninitialised")));
    }
    let tick = rig.tick();
    assert_eq!(error(&tick).as_deref(), Some("uninitialised"));
    rig.wait_for_readers("a", 0);
    assert_eq!(searches(&mut rig, 160), [1, 11, 31, 71, 151]);
    for uuid in ["a", "b"] {
        rig.set(uuid, |fake| fake.failure = None);
    }
    assert!(rig.until(400, "a", |device| device.up) > 1);
    assert_eq!(rig.world().devices["b"].live, 1);
}

#[test]
fn a_failed_search_leaves_devices_alone_that_answer() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Lost, "lost")));
    rig.tick();
    rig.world().broken = Some(broken("version mismatch", false));
    for _ in 0..60 {
        rig.burn("b", 10);
        let tick = rig.tick();
        assert_eq!(booked(&tick, "b"), Some(10));
    }
    let tick = rig.tick();
    assert_eq!(error(&tick).as_deref(), Some("version mismatch"));
    assert_eq!(&*device(&tick, "a").reason, "version mismatch");
}

#[test]
fn a_device_without_a_name_is_an_error_and_costs_no_other_its_reader() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.world().unnamed = Some("lost");
    rig.set("b", |fake| fake.present = false);
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Lost, "lost")));
    rig.tick();
    rig.set("a", |fake| fake.failure = None);
    rig.until(20, "a", |device| device.up);
    let tick = rig.tick();
    assert!(device(&tick, "b").up, "it answers, whatever the search says");
    assert_eq!(error(&tick).as_deref(), Some("lost"));
    rig.world().unnamed = None;
    assert!(searches(&mut rig, 301).len() == 1);
    assert_eq!(&*device(&rig.tick(), "b").reason, "no longer there");
}

#[test]
fn a_device_that_was_added_is_found() {
    let mut rig = Rig::new(2);
    rig.set("b", |fake| fake.present = false);
    assert_eq!(rig.tick().devices.len(), 1);
    rig.set("b", |fake| fake.present = true);
    assert_eq!(searches(&mut rig, 301), [300]);
    let tick = rig.tick();
    assert!(device(&tick, "b").up);
    rig.wait_for_readers("a", 1);
}

#[test]
fn released_devices_are_left_alone_and_their_energy_is_kept() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.burn("a", 10);
    rig.tick();
    rig.bank.release();
    rig.wait_for_readers("a", 0);
    rig.burn("a", 100);
    let tick = rig.tick();
    let a = device(&tick, "a");
    assert_eq!((a.up, &*a.reason, error(&tick).as_deref()), (false, "released", Some("released")));
    assert!(searches(&mut rig, 100).is_empty());
    rig.wait_for_forgets(1);
    rig.bank.resume();
    let tick = rig.tick();
    let delta = device(&tick, "a").delta.unwrap();
    assert_eq!((delta.energy.get(), delta.after_gap, delta.elapsed.as_secs()), (100_000_000, true, 102));
    assert_eq!((device(&tick, "a").up, error(&tick)), (true, None));
    rig.bank.release();
    rig.bank.resume();
    rig.burn("a", 10);
    assert!(device(&rig.tick(), "a").delta.unwrap().after_gap, "however short");
    rig.bank.release();
    assert_eq!(searches(&mut rig, 121), [120]);
}

#[test]
fn a_search_that_ends_after_the_release_gives_its_readers_back() {
    let mut rig = Rig::new(1);
    rig.hang_searches(false);
    rig.tick();
    rig.bank.release();
    rig.unhang_searches();
    rig.settle();
    rig.wait_for_readers("a", 0);
    assert_eq!(error(&rig.tick()).as_deref(), Some("released"));
}

#[test]
fn six_stale_searches_in_a_row_ask_for_a_new_container() {
    let mut rig = Rig::new(1);
    rig.world().broken = Some(broken("stale library", true));
    let until = |rig: &mut Rig| {
        for searches in 1.. {
            while rig.world().finds < searches {
                rig.tick();
            }
            if let Some(reason) = rig.bank.needs_new_container() {
                assert_eq!(reason, "stale library");
                return searches;
            }
        }
        0
    };
    assert_eq!(until(&mut rig), 6);
    rig.bank.in_pod = false;
    assert_eq!(rig.bank.needs_new_container(), None);
    rig.bank.in_pod = true;
    rig.world().broken = None;
    rig.until_devices(400);
    assert_eq!(rig.bank.needs_new_container(), None);
}

#[test]
fn other_failures_between_begin_the_count_anew() {
    let mut rig = Rig::new(1);
    for (stale, until) in [(true, 3), (false, 4), (true, 10)] {
        rig.world().broken = Some(broken("version mismatch", stale));
        while rig.world().finds < until {
            assert_eq!(rig.bank.needs_new_container(), None);
            rig.tick();
        }
    }
    assert_eq!(rig.bank.needs_new_container(), Some("version mismatch"));
}

#[test]
fn no_new_container_is_asked_for_while_a_device_answers() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.world().broken = Some(broken("version mismatch", true));
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Lost, "lost")));
    while rig.world().finds < 8 {
        assert!(device(&rig.tick(), "b").up);
        assert_eq!(rig.bank.needs_new_container(), None);
    }
    rig.set("b", |fake| fake.failure = Some(failure(Consequence::Lost, "lost")));
    rig.tick();
    assert_eq!(rig.bank.needs_new_container(), Some("version mismatch"));
}

#[test]
fn the_first_search_is_waited_for() {
    let mut rig = Rig::with_wait(1, Duration::from_secs(20));
    rig.advance(1_000);
    rig.bank.ask();
    let tick = rig.bank.collect();
    assert!(device(&tick, "a").up, "found and read in the first tick");
}
