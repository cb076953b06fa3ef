use std::fs;

use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use super::*;
use crate::config::Settings;
use crate::gpu::{DeviceReading, Instance};
use crate::identity::{Allocation, Allocations, Allotter, Assignee, DeviceName};
use crate::ledger::Holder;
use crate::meters::Domain;
use crate::sampler::gpu::tests::{Card, device, reading};
use crate::sampler::tests::{CONTAINER, Node};
use crate::snapshot::Snapshot;
use crate::workloads::owner::OwnerKind;

/// Four years, in seconds.
const LIFESPAN: f64 = 4.0 * 31_557_600.0;

fn counted(settings: &mut Settings) {
    settings.embodied.enabled = true;
    settings.embodied.server_kg = Some(1_000.0);
    settings.embodied.gpu_kg = Some(200.0);
    settings.embodied.gpu_high_kg = Some(500.0);
}

fn grams(kilograms: f64, seconds: f64) -> f64 {
    kilograms * 1_000.0 * seconds / LIFESPAN
}

fn assert_close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-9 * want.abs(), "{got} isn't {want}");
}

/// Grams by holder, and that they add up.
fn holders(totals: &EmbodiedTotals) -> [f64; Holder::ALL.len()] {
    let by_holder = totals.by_holder.map(|grams| grams.0);
    assert_close(by_holder.iter().sum(), totals.emissions.0);
    by_holder
}

fn server(snapshot: &Snapshot) -> [f64; Holder::ALL.len()] {
    let totals = snapshot.embodied.iter().find(|totals| totals.component == Component::Other);
    holders(totals.unwrap())
}

#[test]
fn the_server_goes_by_the_share_of_all_cpu_time() {
    let mut node = Node::new(counted);
    node.tick(1);
    // Two CPUs for 10 s: 5 s in the container, 2 s in the unit, 1 s in nobody's.
    node.cpu("", 8_000_000);
    node.cpu(CONTAINER, 5_000_000);
    node.cpu("system.slice/a.service", 2_000_000);
    node.energy(10_000_000, 0);
    let snapshot = node.tick(10);
    let whole = grams(1_000.0, 10.0);
    let got = server(&snapshot);
    for (holder, share) in [
        (Holder::Owner(OwnerKind::Container), 0.25),
        (Holder::Owner(OwnerKind::Unit), 0.1),
        (Holder::Owner(OwnerKind::System), 0.05),
        (Holder::Unallocated, 0.6),
    ] {
        assert_close(got[holder.index()], whole * share);
    }
    let row = snapshot.workloads.iter().find(|row| row.owner.kind() == OwnerKind::Container).unwrap();
    let [cell] = row.embodied[..] else { panic!("{:?}", row.embodied) };
    assert_eq!(cell.component, Component::Other);
    assert_close(cell.emissions.0, whole * 0.25);
    let [part] = &snapshot.embodied_parts[..] else { panic!("{:?}", snapshot.embodied_parts) };
    assert_eq!((part.part, part.figures.kilograms.0), ("server", 1_000.0));
}

#[test]
fn more_cpu_time_than_there_can_be_is_shared_out_whole() {
    let mut node = Node::new(counted);
    node.tick(1);
    node.cpu("", 3_000_000);
    node.cpu(CONTAINER, 3_000_000);
    let got = server(&node.tick(1));
    assert_close(got[Holder::Owner(OwnerKind::Container).index()], grams(1_000.0, 1.0));
    assert_eq!(got[Holder::Unallocated.index()], 0.0);
}

/// One tick of a card, and who has how much of it since.
fn tick(card: &mut Card, reading: Option<DeviceReading>) -> [f64; 3] {
    let before = shares(card);
    card.tick_of(reading.clone(), 100, false, Domain::Gpu, Microjoules::ZERO);
    let gpus = GpuTick { devices: vec![device(Domain::Gpu, reading)], collectors: Vec::new() };
    card.node.sampler.book_embodied_gpus(&gpus, Duration::from_secs(1));
    let after = shares(card);
    let whole = grams(200.0, 1.0);
    std::array::from_fn(|at| (after[at] - before[at]) / whole)
}

/// Containers, units, unallocated.
fn shares(card: &Card) -> [f64; 3] {
    let totals = card.node.sampler.embodied_totals();
    let gpu = totals.iter().find(|totals| totals.component == Component::Gpu);
    let by_holder = gpu.map(holders).unwrap_or_default();
    let kinds = [Holder::Owner(OwnerKind::Container), Holder::Owner(OwnerKind::Unit), Holder::Unallocated];
    kinds.map(|holder| by_holder[holder.index()])
}

#[test]
fn a_card_goes_to_those_who_hold_contexts_on_it() {
    let mut card = Card::new(counted);
    let mut mig = reading(&[10, 11], None);
    mig.mig = true;
    let instance = |id, multiprocessors| Instance {
        id,
        uuid: "MIG".into(),
        multiprocessors: Some(multiprocessors),
        sm_utilization: None,
    };
    mig.instances = vec![instance(1, 42), instance(2, 14)];
    for (client, id) in mig.clients.iter_mut().flatten().zip([1, 2]) {
        client.instance = Some(id);
    }
    for (name, reading, want) in [
        ("one alone", Some(reading(&[10], Some(&[(10, 50)]))), [1.0, 0.0, 0.0]),
        ("by work", Some(reading(&[10, 11], Some(&[(10, 75), (11, 25)]))), [0.75, 0.25, 0.0]),
        ("by slices", Some(mig), [0.75, 0.25, 0.0]),
        ("a stranger", Some(reading(&[10, 99], Some(&[(10, 30), (99, 70)]))), [0.3, 0.0, 0.7]),
        ("nobody", Some(reading(&[], Some(&[]))), [0.0, 0.0, 1.0]),
        ("down", None, [0.0, 0.0, 1.0]),
    ] {
        let got = tick(&mut card, reading);
        for (got, want) in got.into_iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{name}: {got} isn't {want}");
        }
    }
    // Contexts that do nothing hold the card all the same.
    let got = tick(&mut card, Some(reading(&[10, 11], Some(&[]))));
    assert!((got[0] - 0.5).abs() < 1e-6 && (got[1] - 0.5).abs() < 1e-6, "{got:?}");
}

#[test]
fn a_card_that_was_given_away_goes_to_its_holders_whoever_uses_it() {
    let mut card = Card::new(counted);
    let whole = DeviceName::Index(0);
    let to = Assignee::Container(CONTAINER.strip_prefix("docker/").unwrap().into());
    let given = |replicas| vec![Allocation { to: to.clone(), device: whole.clone(), replicas }];
    let allot = |card: &Card, allocations| {
        card.node.sampler.names.board().set_allocations(Allotter::Kubelet, allocations);
    };
    allot(&card, Allocations { given: given(1), replicas: Vec::new() });
    assert_eq!(tick(&mut card, Some(reading(&[11], Some(&[(11, 50)])))), [1.0, 0.0, 0.0]);
    assert_eq!(tick(&mut card, None), [1.0, 0.0, 0.0], "a card that is down is held all the same");
    allot(&card, Allocations { given: given(1), replicas: vec![(whole.clone(), 4)] });
    let got = tick(&mut card, Some(reading(&[11], Some(&[(11, 50)]))));
    assert!((got[0] - 0.25).abs() < 1e-6 && (got[2] - 0.75).abs() < 1e-6, "{got:?}");
    allot(&card, Allocations::default());
    let got = tick(&mut card, Some(reading(&[11], Some(&[(11, 50)]))));
    assert!((got[1] - 1.0).abs() < 1e-6, "{got:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn all_of_the_hardware_is_somebodys_or_unallocated(
        steps in proptest::collection::vec((1_u64..30, 0_u64..9_000_000, 0_u64..900_000, 0..8_u8), 1..15),
    ) {
        let mut node = Node::new(counted);
        node.tick(1);
        let (mut container, mut unit, mut passed) = (0, 0, 0);
        let mut last = [0.0; Holder::ALL.len()];
        for (seconds, a, b, accident) in steps {
            container += a;
            unit += b;
            node.cpu("", container + unit + b);
            node.cpu("system.slice/a.service", unit);
            match accident {
                0 => drop(fs::remove_dir_all(node.dir.path().join("sys/fs/cgroup").join(CONTAINER))),
                1 => node.cpu(CONTAINER, 3),
                _ => node.cpu(CONTAINER, container),
            }
            let snapshot = node.tick(seconds);
            passed += seconds;
            let got = server(&snapshot);
            assert_close(got.iter().sum(), grams(1_000.0, passed as f64));
            prop_assert!(last.iter().zip(&got).all(|(before, after)| before <= after), "{last:?} {got:?}");
            // All rows are still there: retention is longer.
            let rows: f64 = snapshot.workloads.iter().flat_map(|row| &row.embodied).map(|cell| cell.emissions.0).sum();
            let kinds = [OwnerKind::Container, OwnerKind::Unit].map(|kind| got[Holder::Owner(kind).index()]);
            let kinds: f64 = kinds.iter().sum();
            prop_assert!((rows - kinds).abs() <= 1e-9 * kinds, "{rows} isn't {kinds}");
            last = got;
        }
    }
}
