//! What holds for any evidence.

use proptest::prelude::*;

use super::*;

fn any_weight() -> impl Strategy<Value = u64> {
    prop_oneof![3 => Just(0), 5 => 1..5_000_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn any_contender() -> impl Strategy<Value = Contender> {
    let whom = prop_oneof![1 => Just(X), 5 => (5..10_usize).prop_map(whom)];
    let instance = prop_oneof![1 => Just(None), 20 => (1..5_u32).prop_map(Some)];
    let memory = prop_oneof![1 => Just(None), 12 => any_weight().prop_map(|bytes| Some(Bytes(bytes)))];
    (whom, instance, memory, any_weight()).prop_map(|(whom, instance, memory, work)| Contender {
        whom,
        instance,
        memory,
        work,
    })
}

fn any_share() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        1 => Just(None),
        2 => Just(Some(0.0)),
        8 => (0.0..=1.0_f64).prop_map(Some),
        1 => any::<f64>().prop_map(Some),
    ]
}

#[derive(Clone, Debug)]
struct Scene {
    contenders: Vec<Contender>,
    instances: Vec<Instance>,
    work_is_known: bool,
    mig: bool,
    utilization: Option<f64>,
}

impl Scene {
    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            contenders: &self.contenders,
            work_is_known: self.work_is_known,
            mig: self.mig,
            instances: &self.instances,
            utilization: self.utilization,
        }
    }

    fn instance_of(&self, one: &Contender) -> &Instance {
        self.instances.iter().find(|instance| Some(instance.id) == one.instance).unwrap()
    }
}

fn any_scene() -> impl Strategy<Value = Scene> {
    let size = prop_oneof![1 => Just(None), 12 => (0..150_u32).prop_map(Some), 1 => Just(Some(u32::MAX))];
    let instances = proptest::collection::vec((1..5_u32, size, any_share()), 0..6).prop_map(|all| {
        all.into_iter().map(|(id, size, share)| instance(id, size, share)).collect::<Vec<_>>()
    });
    let full = (1..150_u32, 1..150_u32, 1..150_u32, 1..150_u32).prop_map(|(a, b, c, d)| {
        [a, b, c, d].into_iter().zip(1..).map(|(size, id)| instance(id, Some(size), Some(0.3))).collect()
    });
    let contenders = proptest::collection::vec(any_contender(), 0..24);
    let idle = prop_oneof![4 => Just(false), 1 => Just(true)];
    (contenders, prop_oneof![instances, full], any::<bool>(), any::<bool>(), any_share(), idle).prop_map(
        |(mut contenders, instances, work_is_known, mig, utilization, idle)| {
            for one in contenders.iter_mut().filter(|_| idle) {
                one.work = 0;
            }
            Scene { contenders, instances, work_is_known, mig, utilization }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn energy_is_kept_at_both_levels(energy: u64, scene in any_scene()) {
        let division = divide(Microjoules::new(energy), &scene.evidence());
        prop_assert_eq!(division.contenders.len(), scene.contenders.len());
        prop_assert!(division.owners.is_sorted_by(|a, b| a.0 < b.0), "each once, in order");
        let sum: u128 = division.owners.iter().map(|(_, share)| u128::from(share.get())).sum();
        prop_assert_eq!(sum, if scene.contenders.is_empty() { 0 } else { u128::from(energy) });
        for &(whom, share) in &division.owners {
            let own = scene.contenders.iter().zip(&division.contenders).filter(|(one, _)| one.whom == whom);
            prop_assert_eq!(own.map(|(_, part)| u128::from(part.get())).sum::<u128>(), u128::from(share.get()));
        }
        for one in &scene.contenders {
            prop_assert!(division.owners.iter().any(|(whom, _)| *whom == one.whom));
        }
    }

    #[test]
    fn the_order_of_contenders_does_not_matter_to_owners(
        energy: u64,
        (scene, shuffled) in any_scene().prop_flat_map(|scene| {
            let shuffled = Just(scene.contenders.clone()).prop_shuffle();
            (Just(scene), shuffled)
        }),
    ) {
        let before = divide(Microjoules::new(energy), &scene.evidence());
        let scene = Scene { contenders: shuffled, ..scene };
        let after = divide(Microjoules::new(energy), &scene.evidence());
        prop_assert_eq!(before.owners, after.owners);
        prop_assert_eq!((before.method, before.usage), (after.method, after.usage));
    }

    #[test]
    fn who_weighs_nothing_gets_nothing(energy: u64, scene in any_scene()) {
        let division = divide(Microjoules::new(energy), &scene.evidence());
        for (one, share) in scene.contenders.iter().zip(&division.contenders) {
            let weighs_nothing = match division.method {
                Method::SmUtil => one.work == 0,
                Method::Memory => !(scene.mig && scene.work_is_known) && one.memory == Some(Bytes(0)),
                Method::Gpm => scene.instance_of(one).sm_utilization.is_some_and(|share| share <= 0.0),
                Method::MigSlice | Method::Exclusive | Method::Equal | Method::None => false,
            };
            prop_assert!(!weighs_nothing || share.is_zero());
        }
    }

    #[test]
    fn a_weighted_share_is_fair(energy: u64, scene in any_scene()) {
        let narrow: Vec<Contender> = scene.contenders.iter().map(|one| Contender {
            memory: one.memory.map(|bytes| Bytes(bytes.0 >> 8)), work: one.work >> 8, ..*one
        }).collect();
        let scene = Scene { contenders: narrow, ..scene };
        let division = divide(Microjoules::new(energy), &scene.evidence());
        let weight = |one: &Contender| match division.method {
            Method::SmUtil => Some(u128::from(one.work)),
            Method::Memory => one.memory.map(|bytes| u128::from(bytes.0)),
            _ => None,
        };
        let all: Option<u128> = scene.contenders.iter().map(weight).sum();
        if let Some(all) = all.filter(|&all| all > 0) {
            for &(whom, share) in &division.owners {
                let own: u128 =
                    scene.contenders.iter().filter(|one| one.whom == whom).filter_map(weight).sum();
                prop_assert!((u128::from(energy) * own / all).abs_diff(u128::from(share.get())) <= 1);
            }
        }
    }

    #[test]
    fn parked_and_equal_shares_differ_by_a_microjoule_at_most(energy: u64, scene in any_scene()) {
        let division = divide(Microjoules::new(energy), &scene.evidence());
        if division.usage == Use::Parked || division.method == Method::Equal {
            let shares = division.owners.iter().map(|(_, share)| share.get());
            let least = shares.clone().min().unwrap_or(0);
            prop_assert!(shares.max().unwrap_or(0) - least <= 1);
        }
    }

    #[test]
    fn idle_energy_is_kept(
        energy: u64,
        holders in proptest::collection::vec((5..12_usize, any_weight()), 0..12),
        free in any_weight(),
    ) {
        let holders: Vec<(OwnerId, u64)> =
            holders.into_iter().map(|(number, weight)| (owner(number), weight)).collect();
        let (shares, rest) = divide_idle(Microjoules::new(energy), &holders, free);
        let sum: u128 = shares.iter().map(|(_, share)| u128::from(share.get())).sum();
        prop_assert_eq!(sum + u128::from(rest.get()), u128::from(energy));
        prop_assert!(shares.is_sorted_by(|a, b| a.0 < b.0), "each once, in order");
        for (owner, _) in &shares {
            prop_assert!(holders.iter().any(|(holder, weight)| holder == owner && *weight > 0));
        }
        if free == 0 && !shares.is_empty() {
            prop_assert!(rest.is_zero());
        }
    }
}
