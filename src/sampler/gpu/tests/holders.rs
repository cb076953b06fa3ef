use std::fs;

use proptest::prelude::*;

use super::*;
use crate::gpu::Instance;
use crate::identity::{
    Allocation, Allocations, Allotter, Assignee, ContainerFacts, DeviceName, NameSource, OwnerNames,
};
use crate::units::Microjoules;
use crate::workloads::owner::Owner;

const SECOND: &str = "docker/aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn id(group: &str) -> &str {
    group.strip_prefix("docker/").unwrap()
}

/// A card that draws 60 W while nobody uses it, and the container's name in Kubernetes.
fn card() -> Card {
    let card = Card::new(|settings| {
        settings.baseline.insert("gpu".to_owned(), 60.0);
    });
    name(&card, &[(CONTAINER, "train")]);
    card
}

fn name(card: &Card, containers: &[(&str, &str)]) {
    let facts = |container: &str| ContainerFacts {
        namespace: "ml".into(),
        pod: "p-0".into(),
        container: container.into(),
        ..ContainerFacts::default()
    };
    let containers =
        containers.iter().map(|(group, name)| (id(group).into(), Arc::new(facts(name)))).collect();
    let names = OwnerNames { containers, ..OwnerNames::default() };
    card.node.sampler.names.board().set_owners(NameSource::Kubernetes, names);
}

fn in_pod(container: &str) -> Assignee {
    Assignee::PodContainer { namespace: "ml".into(), pod: "p-0".into(), container: container.into() }
}

fn by_id(group: &str) -> Assignee {
    Assignee::Container(id(group).into())
}

fn gpu() -> DeviceName {
    DeviceName::Gpu(UUID.into())
}

fn allot(card: &Card, by: Allotter, given: &[(Assignee, DeviceName, u32)], totals: &[(DeviceName, u32)]) {
    let given = given.iter().map(|(to, device, replicas)| Allocation {
        to: to.clone(),
        device: device.clone(),
        replicas: *replicas,
    });
    let allocations = Allocations { given: given.collect(), replicas: totals.to_vec() };
    card.node.sampler.names.board().set_allocations(by, allocations);
}

/// Joules in this state of the containers, by the beginning of their ids.
fn joules(card: &Card, group: &str, state: State) -> u64 {
    let account = card.node.sampler.ledger.accounts().find(|account| {
        matches!(account.owner.as_deref(), Some(Owner::Container { id: known, .. }) if **known == *id(group))
    });
    account.map_or(0, |account| account.totals.energy(Component::Gpu, state).get() / 1_000_000)
}

fn idle(card: &Card, group: &str) -> u64 {
    joules(card, group, State::Idle)
}

fn unused() -> DeviceReading {
    reading(&[], Some(&[]))
}

fn mig(clients: &[u32]) -> DeviceReading {
    let instance = |id, sms| Instance {
        id,
        uuid: format!("MIG-{id}").into(),
        multiprocessors: Some(sms),
        sm_utilization: Some(0.0),
    };
    DeviceReading {
        mig: true,
        instances: vec![instance(1, 42), instance(2, 14), instance(3, 14)],
        work: None,
        ..reading(clients, Some(&[]))
    }
}

#[test]
fn a_card_that_is_held_and_not_used_is_its_holders() {
    let mut card = card();
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 1)], &[]);
    card.tick(unused(), 100);
    assert_eq!((idle(&card, CONTAINER), card.got(Beneficiary::Idle)), (100, 0));
    // Somebody else uses it: the holder pays for the card, the other one for its work.
    card.tick(reading(&[11], Some(&[(11, 50)])), 100);
    assert_eq!((idle(&card, CONTAINER), card.got(UNITS), card.got(Beneficiary::Idle)), (160, 40, 0));
    // Whoever holds it and uses it pays for both.
    card.tick(reading(&[10], Some(&[(10, 50)])), 100);
    assert_eq!((idle(&card, CONTAINER), joules(&card, CONTAINER, State::Active)), (220, 40));
    let (_, account) = card
        .node
        .sampler
        .ledger
        .numbered_accounts()
        .find(|(_, account)| account.owner.as_ref().unwrap().kind() == OwnerKind::Container)
        .unwrap();
    assert_eq!(account.totals.gpus()[0].1.as_joules(), 260.0, "the card's own row");
    assert_eq!(account.in_tick(Component::Gpu).as_joules(), 100.0, "its power");
    let gpus = GpuTick { devices: vec![device(Domain::Gpu, None)], collectors: Vec::new() };
    let allocated = card.node.sampler.allocated(&gpus);
    let cards: Vec<&str> = allocated.values().flatten().map(|card| &*card.uuid).collect();
    assert_eq!(cards, [UUID]);
}

#[test]
fn replicas_share_a_card_and_free_ones_are_nobodys() {
    let mut card = card();
    card.node.cpu(SECOND, 0);
    name(&card, &[(CONTAINER, "train"), (SECOND, "serve")]);
    let four = [(gpu(), 4)];
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 2)], &four);
    card.tick(unused(), 60);
    assert_eq!((idle(&card, CONTAINER), card.got(Beneficiary::Idle)), (30, 30));
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 2), (in_pod("serve"), gpu(), 1)], &four);
    card.tick(unused(), 60);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (60, 15, 45));
    // How many there are isn't known: those that are held are all.
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 2), (in_pod("serve"), gpu(), 1)], &[]);
    card.tick(unused(), 60);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (100, 35, 45));
    // Somebody has it whole, by another word: that is all four.
    allot(&card, Allotter::Kubelet, &[(in_pod("serve"), gpu(), 1)], &four);
    allot(&card, Allotter::Jobs, &[(by_id(CONTAINER), DeviceName::Index(0), 1)], &[]);
    card.tick(unused(), 60);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (148, 47, 45));
}

#[test]
fn instances_weigh_their_multiprocessors() {
    let mut card = card();
    card.node.cpu(SECOND, 0);
    let one = (by_id(CONTAINER), DeviceName::Mig("MIG-1".into()), 1);
    allot(&card, Allotter::Kubelet, std::slice::from_ref(&one), &[]);
    card.tick(mig(&[]), 70);
    assert_eq!((idle(&card, CONTAINER), card.got(Beneficiary::Idle)), (42, 28));
    let three = (by_id(SECOND), DeviceName::Instance { index: 0, instance: 3 }, 1);
    allot(&card, Allotter::Kubelet, &[one, three], &[]);
    card.tick(mig(&[]), 70);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (84, 14, 42));
    // Half of an instance that is shared.
    let shared = DeviceName::Mig("MIG-2".into());
    allot(&card, Allotter::Kubelet, &[(by_id(SECOND), shared.clone(), 1)], &[(shared, 2)]);
    card.tick(mig(&[]), 70);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (84, 21, 105));
    // Sizes that aren't known are taken for equal, and an instance that isn't there is nobody's.
    let mut unknown = mig(&[]);
    unknown.instances[0].multiprocessors = None;
    let gone = (by_id(CONTAINER), DeviceName::Mig("MIG-9".into()), 1);
    allot(&card, Allotter::Kubelet, &[(by_id(SECOND), DeviceName::Mig("MIG-2".into()), 1), gone], &[]);
    card.tick(unknown, 60);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (84, 41, 145));
}

#[test]
fn the_holder_is_whoever_has_the_name_now() {
    let mut card = card();
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 1)], &[]);
    card.tick(unused(), 10);
    // It is started again while the old one is still there.
    card.node.cpu(SECOND, 0);
    name(&card, &[(CONTAINER, "train"), (SECOND, "train")]);
    card.tick(unused(), 10);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND)), (10, 10));
    for group in [CONTAINER, SECOND] {
        fs::remove_dir_all(card.node.dir.path().join("sys/fs/cgroup").join(group)).unwrap();
    }
    card.tick(unused(), 10);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND), card.got(Beneficiary::Idle)), (10, 10, 10));
}

#[test]
fn what_two_say_of_one_holder_counts_once() {
    let mut card = card();
    card.node.cpu(SECOND, 0);
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 1)], &[]);
    let said = [
        (by_id(CONTAINER), gpu(), 1),
        (by_id(CONTAINER), DeviceName::All, 1),
        (by_id(SECOND), DeviceName::All, 1),
        (by_id(SECOND), DeviceName::Pci("0000:99:00.0".into()), 1),
        (by_id(SECOND), DeviceName::Gpu("GPU-9999".into()), 1),
    ];
    allot(&card, Allotter::Containers, &said, &[]);
    card.tick(unused(), 60);
    // Who may use all cards doesn't hold the one that was given to somebody else.
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND)), (60, 0));
    // The kubelet knows best how much it is.
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 1)], &[(gpu(), 3)]);
    card.tick(unused(), 60);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND)), (60 + 20, 0));
    // Where nobody was given this card, all who were given all of them hold it.
    allot(&card, Allotter::Kubelet, &[], &[]);
    allot(&card, Allotter::Containers, &[said[1].clone(), said[2].clone()], &[]);
    card.tick(unused(), 60);
    assert_eq!((idle(&card, CONTAINER), idle(&card, SECOND)), (80 + 30, 30));
}

#[test]
fn a_sandbox_holds_nothing_and_quiet_ticks_change_nothing() {
    let mut card = card();
    allot(&card, Allotter::Kubelet, &[(in_pod("train"), gpu(), 1)], &[]);
    card.tick(unused(), 10);
    let revision = card.node.sampler.names.revision();
    card.tick(unused(), 10);
    assert_eq!(card.node.sampler.names.revision(), revision);
    let facts = ContainerFacts {
        namespace: "ml".into(),
        pod: "p-0".into(),
        container: "train".into(),
        is_sandbox: true,
        ..ContainerFacts::default()
    };
    let containers = [(id(CONTAINER).into(), Arc::new(facts))].into();
    let names = OwnerNames { containers, ..OwnerNames::default() };
    card.node.sampler.names.board().set_owners(NameSource::Kubernetes, names);
    card.tick(unused(), 10);
    assert_eq!((idle(&card, CONTAINER), card.got(Beneficiary::Idle)), (20, 10));
}

fn any_given() -> impl Strategy<Value = (Assignee, DeviceName, u32)> {
    let to = prop_oneof![
        Just(in_pod("train")),
        Just(by_id(CONTAINER)),
        Just(by_id(SECOND)),
        Just(by_id(&CONTAINER[..20])),
    ];
    let replicas = prop_oneof![6 => 0..4_u32, 1 => any::<u32>()];
    (to, any_device(), replicas)
}

fn any_device() -> impl Strategy<Value = DeviceName> {
    prop_oneof![
        Just(gpu()),
        Just(DeviceName::All),
        (0..2_u32).prop_map(DeviceName::Index),
        (0..5_u32).prop_map(|id| DeviceName::Mig(format!("MIG-{id}").into())),
        (0..5_u32).prop_map(|instance| DeviceName::Instance { index: 0, instance }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whoever_holds_a_card_its_energy_adds_up(
        steps in proptest::collection::vec(
            (
                proptest::collection::vec(any_given(), 0..6),
                proptest::collection::vec((any_device(), 0..9_u32), 0..3),
                0..3_usize, 0..500_u64, 0..8_u8,
            ),
            1..10,
        ),
    ) {
        let mut card = card();
        card.node.cpu(SECOND, 0);
        let mut last = 0;
        for (given, totals, by, joules, scene) in steps {
            let by = [Allotter::Kubelet, Allotter::Jobs, Allotter::Containers][by];
            allot(&card, by, &given, &totals);
            if scene == 7 {
                let _ = fs::remove_dir_all(card.node.dir.path().join("sys/fs/cgroup").join(SECOND));
            }
            let clients: &[u32] = [&[][..], &[10], &[10, 11]][usize::from(scene % 3)];
            let reading = if scene % 2 == 0 { mig(clients) } else { reading(clients, Some(&[])) };
            // Looks itself whether the parts add up.
            card.tick(reading, joules);
            let books = &card.node.sampler.ledger;
            let owners: Microjoules = books
                .accounts()
                .flat_map(|account| State::ALL.map(|state| account.totals.energy(Component::Gpu, state)))
                .sum();
            let device = books.device(card.state().index().unwrap()).unwrap();
            let kinds: Microjoules = [CONTAINERS, UNITS].map(|kind| device.by_beneficiary[kind.index()]).into_iter().sum();
            prop_assert_eq!(owners, kinds);
            let now = device.energy.get();
            prop_assert_eq!(now - last, joules * 1_000_000);
            last = now;
        }
    }
}
