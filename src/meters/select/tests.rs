use std::sync::Arc;

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::meters::Domain;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn id(device: &str) -> MeterId {
    MeterId { meter: "rapl", domain: Domain::Package, device: Arc::from(device) }
}

/// A meter and a model that draw a microjoule per second, so that energy shows the time that it stands for.
fn moved(since: u64, now: u64) -> Status {
    Status::Moved { energy: Microjoules::new(now - since), since: at(since) }
}

fn model() -> Booking {
    Booking {
        meter: None,
        energy: Microjoules::new(1),
        elapsed: at(1),
        idle: Some(Watts(1.0)),
        is_late: false,
    }
}

/// Plays one meter's statuses from second 1 on, and tells what was booked: `m3` is 3 s by the meter, `e1` is 1 s
/// by the model.
fn play(statuses: &[Status]) -> Vec<String> {
    let mut slot = Slot::new(at(0));
    (1..)
        .zip(statuses)
        .map(|(now, status)| {
            let booked = slot.tick(&[Offer { id: id("0"), status: *status }], Some(&model()), at(now));
            let words: Vec<String> = booked
                .iter()
                .map(|booking| {
                    let source = if booking.meter.is_some() { "m" } else { "e" };
                    assert_eq!(booking.elapsed, at(booking.energy.get()));
                    format!("{source}{}", booking.energy.get())
                })
                .collect();
            words.join("+")
        })
        .collect()
}

#[test]
fn a_meter_is_used_from_its_first_interval() {
    assert_eq!(play(&[moved(0, 1), moved(1, 2)]), ["m1", "m1"]);
    // Found one tick late: the model has covered the tick before.
    assert_eq!(play(&[Status::Silent, moved(1, 2), moved(2, 3)]), ["e1", "m1", "m1"]);
}

#[test]
fn a_counter_that_never_moves_is_modelled_from_the_start_after_a_short_wait() {
    assert_eq!(play(&[Status::Standing, Status::Standing, Status::Stalled]), ["", "", "e3"]);
}

#[test]
fn a_short_failure_is_bridged_by_the_meter_itself() {
    let silent = Status::Silent;
    assert_eq!(play(&[moved(0, 1), silent, silent, moved(1, 4)]), ["m1", "", "", "m3"]);
    let standing = Status::Standing;
    assert_eq!(play(&[moved(0, 1), standing, standing, moved(1, 4)]), ["m1", "", "", "m3"]);
}

#[test]
fn a_long_failure_is_modelled_and_the_return_is_not_booked_twice() {
    let mut statuses = vec![moved(0, 1)];
    statuses.extend([Status::Silent; 7]);
    statuses.extend([moved(1, 9), moved(9, 10)]);
    assert_eq!(play(&statuses), ["m1", "", "", "", "", "", "e6", "e1", "e1", "m1"]);
}

#[test]
fn a_stall_is_modelled_from_its_beginning() {
    let mut statuses = vec![moved(0, 1)];
    statuses.extend([Status::Standing; 9]);
    statuses.extend([Status::Stalled, Status::Stalled, moved(1, 13), moved(13, 14)]);
    let mut expected = vec!["m1"];
    expected.extend([""; 9]);
    expected.extend(["e10", "e1", "e1", "m1"]);
    assert_eq!(play(&statuses), expected);
}

#[test]
fn what_a_counter_missed_in_a_jump_is_not_invented() {
    assert_eq!(play(&[moved(0, 1), Status::Silent, moved(2, 3)]), ["m1", "", "m1"]);
}

#[test]
fn the_next_best_meter_stands_in_before_the_model() {
    let mut slot = Slot::new(at(0));
    let mut tick = |first: Status, now: u64| {
        let offers =
            [Offer { id: id("0"), status: first }, Offer { id: id("1"), status: moved(now - 1, now) }];
        let booked = slot.tick(&offers, Some(&model()), at(now));
        booked.into_iter().map(|b| (b.meter.unwrap().device.to_string(), b.energy.get())).collect::<Vec<_>>()
    };
    assert_eq!(tick(moved(0, 1), 1), [("0".to_owned(), 1)]);
    for now in 2..=6 {
        assert_eq!(tick(Status::Silent, now), []);
    }
    assert_eq!(tick(Status::Silent, 7), [("1".to_owned(), 6)]);
    assert_eq!(tick(Status::Silent, 8), [("1".to_owned(), 1)]);
    // Its return overlaps; the substitute goes on for one tick.
    assert_eq!(tick(moved(1, 9), 9), [("1".to_owned(), 1)]);
    assert_eq!(tick(moved(9, 10), 10), [("0".to_owned(), 1)]);
}

#[test]
fn energy_that_a_returning_meter_proves_is_booked_late() {
    let mut slot = Slot::new(at(0));
    let mut tick = |status, now| {
        let booked = slot.tick(&[Offer { id: id("0"), status }], Some(&model()), at(now));
        booked.into_iter().map(|booking| (booking.energy.get(), booking.is_late)).collect::<Vec<_>>()
    };
    let used = |energy, since| Status::Moved { energy: Microjoules::new(energy), since: at(since) };
    assert_eq!(tick(used(30, 0), 1), [(30, false)]);
    for now in 2..=6 {
        assert_eq!(tick(Status::Silent, now), []);
    }
    assert_eq!(tick(Status::Silent, 7), [(6, false)]);
    // It counted 200 in the 7 s to now, of which the model has 6 and this tick's 1.
    assert_eq!(tick(used(200, 1), 8), [(1, false), (193, true)]);
    assert_eq!(tick(used(30, 8), 9), [(30, false)]);
    // A jump proves nothing: what it missed isn't known.
    for now in 10..=15 {
        tick(Status::Silent, now);
    }
    assert_eq!(tick(used(90, 13), 16), [(1, false)]);
}

#[test]
fn without_a_model_nothing_is_booked_and_the_meter_catches_up() {
    let mut slot = Slot::new(at(0));
    let mut tick = |status, now| {
        let booked = slot.tick(&[Offer { id: id("0"), status }], None, at(now));
        booked.into_iter().map(|booking| booking.energy.get()).sum::<u64>()
    };
    assert_eq!(tick(moved(0, 1), 1), 1);
    for now in 2..=20 {
        assert_eq!(tick(Status::Silent, now), 0);
    }
    assert_eq!(tick(moved(1, 21), 21), 20);
}

#[test]
fn the_idle_power_of_joined_parts_is_their_mean_over_time() {
    let part = |watts, seconds| Booking {
        meter: None,
        energy: Microjoules::new(1),
        elapsed: at(seconds),
        idle: Some(Watts(watts)),
        is_late: false,
    };
    let mut joined = part(10.0, 1);
    joined.extend(&part(40.0, 2));
    assert_eq!((joined.idle, joined.elapsed), (Some(Watts(30.0)), at(3)));
}

proptest! {
    /// Whatever two meters do, every second is booked at most once; and exactly once up to the slot's own
    /// mark if no meter jumped.
    #[test]
    fn every_second_is_booked_once(
        ticks in prop::collection::vec((0u8..5, 0u8..5), 1..80),
        jumps in proptest::bool::ANY,
    ) {
        let mut slot = Slot::new(at(0));
        let mut bases = [0u64, 0];
        let mut booked = 0;
        for (now, actions) in (1u64..).zip(ticks) {
            let mut offers = Vec::new();
            for (meter, action) in [actions.0, actions.1].into_iter().enumerate() {
                let status = match action {
                    0 | 1 => {
                        let status = moved(bases[meter], now);
                        bases[meter] = now;
                        status
                    }
                    2 => Status::Standing,
                    3 => Status::Stalled,
                    _ => {
                        if jumps {
                            bases[meter] = now;
                        }
                        Status::Silent
                    }
                };
                offers.push(Offer { id: id(&meter.to_string()), status });
            }
            booked += slot.tick(&offers, Some(&model()), at(now)).iter().map(|b| b.energy.get()).sum::<u64>();
            let until = slot.booked_until().as_secs();
            prop_assert!(booked <= until && until <= now, "{booked} of {until}");
            if !jumps {
                prop_assert_eq!(booked, until);
            }
        }
    }
}
