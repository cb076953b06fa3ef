use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::rig::{Rig, broken, failure};
use crate::gpu::Consequence;
use crate::meters::Quality;
use crate::units::Microjoules;

#[derive(Clone, Debug)]
enum Step {
    Burn(usize, u64),
    Show(usize, u64),
    Quality(usize, bool),
    Fail(usize, Consequence),
    Mend(usize),
    Hang(usize),
    HangForEver(usize),
    Unhang(usize),
    Present(usize, bool),
    Search(u8),
    HangSearches(bool),
    UnhangSearches,
    Release,
    Resume,
    Tick(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let device = 0usize..3;
    let consequence =
        prop_oneof![Just(Consequence::Lost), Just(Consequence::Transient), Just(Consequence::Reinitialise)];
    let garbage = prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0..10_000_000_000u64];
    prop_oneof![
        8 => (device.clone(), 0u64..2_000).prop_map(|(d, j)| Step::Burn(d, j)),
        2 => (device.clone(), garbage).prop_map(|(d, v)| Step::Show(d, v)),
        1 => (device.clone(), any::<bool>()).prop_map(|(d, q)| Step::Quality(d, q)),
        2 => (device.clone(), consequence).prop_map(|(d, c)| Step::Fail(d, c)),
        3 => device.clone().prop_map(Step::Mend),
        1 => device.clone().prop_map(Step::Hang),
        1 => device.clone().prop_map(Step::HangForEver),
        2 => device.clone().prop_map(Step::Unhang),
        1 => (device, any::<bool>()).prop_map(|(d, p)| Step::Present(d, p)),
        1 => (0u8..3).prop_map(Step::Search),
        1 => any::<bool>().prop_map(Step::HangSearches),
        2 => Just(Step::UnhangSearches),
        1 => Just(Step::Release),
        1 => Just(Step::Resume),
        16 => prop_oneof![8 => Just(1_000u64), 1 => 0u64..100_000].prop_map(Step::Tick),
    ]
}

fn take(rig: &mut Rig, step: &Step) {
    let name = |device: &usize| ["a", "b", "c"][*device];
    match step {
        Step::Burn(device, joules) => rig.set(name(device), |fake| {
            let energy = fake.energy.as_mut().unwrap();
            energy.total += Microjoules::new(joules * 1_000_000);
        }),
        Step::Show(device, value) => {
            rig.set(name(device), |fake| fake.energy.as_mut().unwrap().total = Microjoules::new(*value));
        }
        Step::Quality(device, measured) => rig.set(name(device), |fake| {
            fake.energy.as_mut().unwrap().quality =
                if *measured { Quality::Measured } else { Quality::Integrated };
        }),
        Step::Fail(device, consequence) => {
            rig.set(name(device), |fake| fake.failure = Some(failure(*consequence, "scripted")));
        }
        Step::Mend(device) => rig.set(name(device), |fake| fake.failure = None),
        Step::Hang(device) => rig.hang(name(device)),
        Step::HangForEver(device) => rig.hang_for_ever(name(device)),
        Step::Unhang(device) => rig.unhang(name(device)),
        Step::Present(device, present) => rig.set(name(device), |fake| fake.present = *present),
        Step::Search(how) => {
            let mut world = rig.world();
            world.absent = (*how == 1).then(|| broken("absent", true));
            world.broken = (*how == 2).then(|| broken("broken", true));
        }
        Step::HangSearches(for_ever) => rig.hang_searches(*for_ever),
        Step::UnhangSearches => rig.unhang_searches(),
        Step::Release => rig.bank.release(),
        Step::Resume => rig.bank.resume(),
        Step::Tick(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_totals_never_fall_and_hold_all_that_was_booked(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut rig = Rig::new(3);
        let mut sums: BTreeMap<String, (u64, Duration)> = BTreeMap::new();
        for step in &steps {
            take(&mut rig, step);
            let Step::Tick(millis) = step else { continue };
            let tick = rig.tick_after(*millis);
            prop_assert_eq!(tick.collectors.len(), 1);
            let uuids: BTreeSet<&str> = tick.devices.iter().map(|device| &*device.identity.uuid).collect();
            prop_assert_eq!(uuids.len(), tick.devices.len());
            // An entry stays, unless its device has been away for ten minutes.
            let now = rig.bank.now.get().monotonic;
            sums.retain(|uuid, (_, last_up)| {
                uuids.contains(&**uuid) || now - *last_up < Duration::from_secs(600)
            });
            prop_assert!(sums.keys().all(|uuid| uuids.contains(&**uuid)), "an entry stays");
            for device in &tick.devices {
                let (sum, last_up) = sums.entry(device.identity.uuid.to_string()).or_default();
                *last_up = if device.up { now } else { *last_up };
                *sum += device.delta.map_or(0, |delta| delta.energy.get());
                let total = device.report.energy.unwrap_or_default().get();
                prop_assert_eq!(*sum, total);
                prop_assert_eq!(device.up, device.reason.is_empty());
                prop_assert!(device.up || device.reading.is_none());
                prop_assert!(device.up || !device.report.up);
                prop_assert!(!device.up || device.stuck.is_zero());
                if let Some(delta) = device.delta {
                    prop_assert!(!delta.energy.is_zero());
                }
            }
            prop_assert!(rig.bank.abandoned.len() <= 3 * 5 + 3);
        }
        // Once all is well again, it shows.
        rig.bank.resume();
        for device in ["a", "b", "c"] {
            rig.unhang(device);
            rig.set(device, |fake| {
                fake.failure = None;
                fake.present = true;
            });
        }
        take(&mut rig, &Step::Search(0));
        rig.unhang_searches();
        let healthy = (0..100).any(|_| {
            let tick = rig.tick_after(10_000);
            tick.devices.len() == 3 && tick.devices.iter().all(|device| device.up)
        });
        prop_assert!(healthy, "not within a thousand seconds: {:?}", rig.bank);
        for device in ["a", "b", "c"] {
            rig.wait_for_readers(device, 1);
        }
    }
}
