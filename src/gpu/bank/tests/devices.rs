use std::time::Duration;

use super::rig::{Rig, booked, device, error, failure, joules};
use crate::gpu::{Consequence, GpuTick};
use crate::meters::{Component, Domain, Quality};
use crate::units::Microjoules;

fn reason(tick: &GpuTick, uuid: &str) -> String {
    device(tick, uuid).reason.to_string()
}

#[test]
fn the_second_tick_of_a_quick_look_has_energy() {
    let mut rig = Rig::new(2);
    let first = rig.tick();
    assert_eq!(first.devices.len(), 2);
    assert_eq!(error(&first), None);
    for device in &first.devices {
        assert!(device.up && device.reason.is_empty() && device.reading.is_some());
        assert_eq!((device.delta, device.report.energy), (None, None));
        assert_eq!(&*device.report.reason, "waiting for a second reading");
        assert!(device.report.up && device.report.feeds.is_none());
    }
    rig.burn("a", 50);
    let second = rig.tick_after(500);
    let a = device(&second, "a");
    let delta = a.delta.unwrap();
    assert_eq!((delta.energy, delta.elapsed), (Microjoules::new(50_000_000), Duration::from_millis(500)));
    assert_eq!((delta.quality, delta.domain, delta.after_gap), (Quality::Measured, Domain::Gpu, false));
    assert_eq!((a.report.feeds, a.report.energy), (Some(Component::Gpu), Some(delta.energy)));
    assert_eq!(&*a.report.reason, "chosen: hardware counter");
    assert_eq!((a.report.id.meter, a.report.id.domain, &*a.report.id.device), ("nvml", Domain::Gpu, "a"));
    assert_eq!(device(&second, "b").delta, None, "its counter stands");
}

#[test]
fn a_standing_counter_reaches_back_when_it_moves() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.burn("a", 10);
    rig.tick();
    assert_eq!(booked(&rig.tick(), "a"), None);
    rig.burn("a", 40);
    let delta = device(&rig.tick(), "a").delta.unwrap();
    assert_eq!((delta.energy.get(), delta.elapsed), (40_000_000, Duration::from_secs(2)));
}

#[test]
fn a_missed_tick_loses_no_energy() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Transient, "timeout")));
    rig.burn("a", 100);
    let missed = rig.tick();
    assert_eq!((device(&missed, "a").up, reason(&missed, "a").as_str()), (false, "timeout"));
    assert_eq!((device(&missed, "a").reading, error(&missed).as_deref()), (None, Some("timeout")));
    assert!(!device(&missed, "a").report.up);
    rig.set("a", |fake| fake.failure = None);
    rig.burn("a", 100);
    let delta = device(&rig.tick(), "a").delta.unwrap();
    assert_eq!((delta.energy.get(), delta.elapsed.as_secs(), delta.after_gap), (200_000_000, 2, false));
}

#[test]
fn a_device_that_hangs_delays_nobody_and_its_late_answer_counts_energy_only() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.hang("a");
    let tick = rig.tick();
    assert!(device(&tick, "a").up, "it has time until the deadline");
    assert_eq!(device(&tick, "a").reading, None);
    for second in 2..=8u64 {
        rig.burn("b", 30);
        rig.burn("a", 20);
        let tick = rig.tick();
        assert_eq!(booked(&tick, "b"), Some(30));
        let a = device(&tick, "a");
        let stuck = if second > 2 { Duration::from_secs(second - 1) } else { Duration::ZERO };
        assert_eq!((a.up, a.stuck), (second == 2, stuck), "{second}");
    }
    assert_eq!(reason(&rig.tick(), "a"), "call hangs");
    rig.unhang("a");
    rig.settle();
    // The late answer is in, and a fresh one is asked for in this tick.
    rig.set("a", |fake| fake.work = Some(vec![(9, 5)]));
    let tick = rig.tick();
    let a = device(&tick, "a");
    assert!(a.up && a.delta.unwrap().after_gap);
    assert_eq!(a.delta.unwrap().energy.get(), 140_000_000);
    assert_eq!(
        a.reading.unwrap().work,
        Some(vec![(9, 5)]),
        "what the late answer said of clients is dropped"
    );
    rig.burn("a", 20);
    let delta = device(&rig.tick(), "a").delta.unwrap();
    assert_eq!((delta.energy.get(), delta.after_gap), (20_000_000, false));
    assert_eq!(rig.world().finds, 1);
}

#[test]
fn an_answer_after_the_tick_but_before_the_deadline_is_a_reading() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.hang("a");
    rig.tick();
    rig.burn("a", 10);
    rig.unhang("a");
    rig.settle();
    let tick = rig.tick();
    let a = device(&tick, "a");
    assert!(a.up && !a.delta.unwrap().after_gap);
    assert_eq!(a.reading.unwrap().work, Some(vec![(7, 200)]), "the work of both");
}

#[test]
fn a_slow_answer_is_a_reading_too_and_nothing_is_missing() {
    let mut rig = Rig::new(1);
    rig.tick();
    for _ in 0..3 {
        rig.hang("a");
        rig.tick();
        rig.tick();
        assert!(!device(&rig.tick(), "a").up, "silent for the deadline");
        rig.burn("a", 10);
        rig.unhang("a");
        let tick = rig.tick();
        let a = device(&tick, "a");
        assert!(a.up && !a.delta.unwrap().after_gap);
        assert!(a.reading.unwrap().work.is_some());
    }
}

#[test]
fn a_device_that_hangs_for_ever_gets_a_new_reader() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.hang("a");
    rig.tick();
    rig.burn("a", 500);
    // Two seconds to the deadline, ten to the search.
    assert_eq!(rig.until(60, "a", |device| device.up && device.reading.is_some()), 12);
    assert_eq!(rig.world().finds, 2);
    assert_eq!(rig.world().devices["a"].live, 2);
    rig.wait_for_readers("b", 1);
    rig.burn("a", 30);
    assert_eq!(booked(&rig.tick(), "a"), Some(30));
    // The old call returns: nobody listens, and its reader is dropped.
    rig.burn("a", 30);
    rig.unhang("a");
    rig.wait_for_readers("a", 1);
    assert_eq!(booked(&rig.tick(), "a"), Some(30));
    rig.wait_for_ends();
}

#[test]
fn threads_that_hang_are_bounded() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.hang_for_ever("a");
    let mut reasons = Vec::new();
    for _ in 0..900 {
        let tick = rig.tick();
        assert!(rig.world().devices["a"].live <= 5 + 1);
        assert!(device(&tick, "b").up);
        if reasons.last() != Some(&reason(&tick, "a")) {
            reasons.push(reason(&tick, "a"));
        }
    }
    assert_eq!(reasons.last().map(String::as_str), Some("too many hung calls"), "{reasons:?}");
    assert_eq!(rig.bank.abandoned.len(), 4);
    rig.wait_for_readers("a", 5);
    rig.unhang("a");
    rig.wait_for_readers("a", 1);
    rig.settle();
    assert!(rig.until(2, "a", |device| device.up) <= 2);
}

#[test]
fn a_lost_device_keeps_its_entry_under_another_index() {
    let mut rig = Rig::new(2);
    rig.tick();
    rig.burn("a", 100);
    rig.tick();
    rig.set("a", |fake| fake.failure = Some(failure(Consequence::Lost, "lost")));
    let tick = rig.tick();
    assert_eq!((device(&tick, "a").up, reason(&tick, "a").as_str()), (false, "lost"));
    rig.wait_for_readers("a", 0);
    rig.set("a", |fake| {
        fake.present = false;
        fake.failure = None;
    });
    rig.set("b", |fake| fake.index = 0);
    assert_eq!(rig.until(20, "a", |device| &*device.reason == "no longer there"), 10);
    assert_eq!(&*device(&rig.tick(), "b").identity.gpu, "0");
    rig.set("a", |fake| {
        fake.present = true;
        fake.index = 1;
    });
    rig.burn("a", 1_000);
    // The next search comes twenty seconds after the first.
    assert_eq!(rig.until(60, "a", |device| device.up), 19);
    let tick = rig.tick();
    assert_eq!(tick.devices.len(), 2);
    let a = device(&tick, "a");
    assert_eq!((&*a.identity.gpu, a.report.energy), ("1", Some(Microjoules::new(1_100_000_000))));
    assert_eq!(rig.world().devices["b"].reads, 34, "one in each tick");
}

#[test]
fn searches_for_a_device_become_rare() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.set("a", |fake| {
        fake.failure = Some(failure(Consequence::Lost, "lost"));
        fake.present = false;
    });
    rig.tick();
    let mut at = Vec::new();
    for second in 1..=280 {
        let before = rig.world().finds;
        rig.tick();
        if rig.world().finds > before {
            at.push(second);
        }
    }
    assert_eq!(at, [10, 30, 70, 130, 190, 250]);
}

#[test]
fn a_decrease_is_a_reset_once_confirmed() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.burn("a", 100);
    rig.tick();
    rig.set("a", |fake| fake.energy = Some(joules(60)));
    let tick = rig.tick();
    assert_eq!((booked(&tick, "a"), device(&tick, "a").up), (None, true));
    assert_eq!(&*device(&tick, "a").report.reason, "counter went backwards");
    rig.burn("a", 100);
    let tick = rig.tick();
    let a = device(&tick, "a");
    assert_eq!((booked(&tick, "a"), a.report.resets), (Some(160), 1));
    assert_eq!((a.delta.unwrap().elapsed.as_secs(), a.report.energy.unwrap().get()), (2, 260_000_000));
}

#[test]
fn all_ones_and_zero_book_nothing() {
    let mut rig = Rig::new(1);
    rig.tick();
    for garbage in [u64::MAX, u64::MAX / 1_000 * 1_000, 0, 1 << 61] {
        for times in 1..=3 {
            let before = rig.world().devices["a"].energy;
            for _ in 0..times {
                rig.set("a", |fake| fake.energy.as_mut().unwrap().total = Microjoules::new(garbage));
                assert_eq!(booked(&rig.tick(), "a"), None);
            }
            rig.set("a", |fake| fake.energy = before);
            rig.burn("a", 10);
            assert_eq!(booked(&rig.tick(), "a"), Some(10), "{garbage} {times}");
        }
    }
}

#[test]
fn another_quality_goes_on_with_the_total() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.burn("a", 100);
    rig.tick();
    // The reader goes on where the counter was.
    let integrated = |energy| crate::gpu::GpuEnergy { quality: Quality::Integrated, ..joules(energy) };
    rig.set("a", |fake| fake.energy = Some(integrated(5_000_120)));
    let tick = rig.tick();
    let report = device(&tick, "a").report;
    assert_eq!((booked(&tick, "a"), report.energy.unwrap().get()), (Some(20), 120_000_000));
    assert_eq!(&*report.reason, "chosen: power reading, integrated");
    rig.set("a", |fake| fake.energy = None);
    let tick = rig.tick();
    let a = device(&tick, "a");
    assert_eq!((a.up, a.report.up, a.report.energy.unwrap().get()), (true, false, 120_000_000));
    assert_eq!(&*a.report.reason, "no energy counter and no power reading");
}

#[test]
fn no_more_than_64_devices_are_read() {
    let mut rig = Rig::with_wait(70, Duration::from_secs(20));
    let tick = rig.tick();
    assert_eq!((tick.devices.len(), error(&tick).as_deref()), (64, Some("more than 64 devices")));
    for index in 64..70 {
        rig.wait_for_readers(&format!("z{index}"), 0);
    }
    rig.wait_for_readers("z63", 1);
}

#[test]
fn a_device_that_is_gone_for_ten_minutes_leaves_and_comes_back_as_new() {
    let mut rig = Rig::new(3);
    rig.tick();
    rig.burn("a", 100);
    rig.tick();
    rig.set("a", |fake| (fake.failure, fake.present) = (Some(failure(Consequence::Lost, "lost")), false));
    rig.hang("c");
    rig.until(20, "a", |device| &*device.reason == "no longer there");
    let gone = |tick: &GpuTick| tick.devices.iter().all(|device| &*device.identity.uuid != "a");
    let seconds = (1..=800).find(|_| {
        rig.burn("b", 10);
        let tick = rig.tick();
        assert_eq!(booked(&tick, "b"), Some(10), "nothing is mixed up");
        gone(&tick)
    });
    // The first search after ten minutes; there is one each minute.
    let seconds = seconds.expect("it leaves");
    assert!((600..=660).contains(&seconds), "{seconds}");
    rig.unhang("c");
    let tick = rig.tick();
    assert_eq!((tick.devices.len(), device(&tick, "c").up), (2, true));
    assert_eq!(error(&tick), None, "nobody waits for it any more");
    rig.set("a", |fake| (fake.failure, fake.present) = (None, true));
    assert!((0..=300).any(|_| !gone(&rig.tick())));
    let a = device(&rig.tick(), "a");
    assert_eq!((a.up, a.report.energy, a.errors), (true, None, 0));
    rig.burn("a", 10);
    assert_eq!(booked(&rig.tick(), "a"), Some(10));
}

#[test]
fn devices_that_left_make_room_for_others() {
    let mut rig = Rig::with_wait(66, Duration::from_secs(20));
    rig.set("z65", |fake| fake.present = false);
    assert_eq!(error(&rig.tick()).as_deref(), Some("more than 64 devices"));
    for gone in ["a", "b"] {
        rig.set(gone, |fake| fake.present = false);
    }
    rig.set("z65", |fake| fake.present = true);
    let here = |tick: &GpuTick, uuid: &str| tick.devices.iter().any(|device| &*device.identity.uuid == uuid);
    let minutes = (1..=20).find(|_| {
        let tick = rig.tick_after(60_000);
        here(&tick, "z64") && here(&tick, "z65")
    });
    assert!(minutes.is_some_and(|minutes| minutes >= 10), "{minutes:?}");
    assert_eq!(error(&rig.tick_after(60_000)), None);
}

#[test]
fn collect_waits_for_half_a_tick_at_most_and_once() {
    let mut rig = Rig::with_wait(2, Duration::from_millis(200));
    rig.tick();
    rig.hang("a");
    rig.advance(500);
    rig.bank.ask();
    rig.settle();
    let waits = |rig: &mut Rig| {
        let begun = tokio::time::Instant::now();
        rig.bank.collect();
        begun.elapsed()
    };
    let first = waits(&mut rig);
    assert!(first >= Duration::from_millis(190) && first < Duration::from_secs(2), "{first:?}");
    rig.advance(500);
    rig.bank.ask();
    rig.settle();
    let second = waits(&mut rig);
    assert!(second < Duration::from_millis(190), "{second:?}");
}

#[test]
fn a_reader_that_panics_is_replaced() {
    let mut rig = Rig::new(1);
    rig.tick();
    rig.set("a", |fake| fake.panics = true);
    let tick = rig.tick();
    assert_eq!((device(&tick, "a").up, reason(&tick, "a").as_str()), (false, "reader ended"));
    rig.set("a", |fake| fake.panics = false);
    assert_eq!(rig.until(20, "a", |device| device.up), 10);
}
