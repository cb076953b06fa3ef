use super::*;
use crate::units::CpuTime;
use crate::workloads::owner::Owner;
use crate::workloads::owners::OwnerTable;
use proptest::prelude::*;

fn owners(count: usize) -> (OwnerTable, Vec<OwnerId>) {
    let mut table = OwnerTable::new(count);
    let ids =
        (0..count).map(|n| table.acquire(Owner::Unit { unit: format!("{n}.service").into() })).collect();
    (table, ids)
}

fn node(key: u64, parent: Option<usize>, owner: OwnerId, delta: u64) -> UsageNode {
    UsageNode {
        key,
        parent,
        owner,
        delta: Some(CpuTime::from_nanos(delta)),
        is_missed: false,
        vanished: false,
        rate: CpuTime::ZERO,
        direct: CpuTime::ZERO,
        is_coarse: false,
        elsewhere: CpuTime::ZERO,
    }
}

fn gone(key: u64, parent: usize, owner: OwnerId, rate: u64) -> UsageNode {
    UsageNode {
        delta: None,
        vanished: true,
        rate: CpuTime::from_nanos(rate),
        ..node(key, Some(parent), owner, 0)
    }
}

#[test]
fn the_residual_is_the_nodes_own() {
    let (table, ids) = owners(2);
    let nodes = [
        node(1, None, OwnerId::SYSTEM, 100),
        node(2, Some(0), OwnerId::SYSTEM, 70),
        node(3, Some(1), ids[0], 50),
        node(4, Some(1), ids[1], 15),
    ];
    let weights = CpuWeights::default().weigh(&nodes, table.bound());
    assert_eq!(weights[ids[0].index()], 50);
    assert_eq!(weights[ids[1].index()], 15);
    assert_eq!(weights[OwnerId::SYSTEM.index()], 35);
    assert_eq!(weights.iter().sum::<u64>(), 100);
}

#[test]
fn a_vanished_child_gets_the_residual_of_its_parent() {
    let (table, ids) = owners(3);
    let mut slice = node(2, Some(0), OwnerId::SYSTEM, 70);
    slice.direct = CpuTime::from_nanos(4);
    let nodes = [
        node(1, None, OwnerId::SYSTEM, 100),
        slice,
        node(3, Some(1), ids[0], 30),
        gone(4, 1, ids[1], 10),
        gone(5, 1, ids[2], 20),
    ];
    let weights = CpuWeights::default().weigh(&nodes, table.bound());
    assert_eq!(weights[ids[0].index()], 30);
    assert_eq!(weights[ids[1].index()], 12);
    assert_eq!(weights[ids[2].index()], 24);
    assert_eq!(weights[OwnerId::SYSTEM.index()], 34, "30 of the root and 4 of living processes in the slice");
}

#[test]
fn a_vanished_pod_passes_it_on_to_its_containers() {
    let (table, ids) = owners(2);
    let nodes = [
        node(1, None, OwnerId::SYSTEM, 9),
        node(2, Some(0), OwnerId::SYSTEM, 9),
        gone(3, 1, ids[0], 0),
        gone(4, 2, ids[1], 0),
    ];
    let weights = CpuWeights::default().weigh(&nodes, table.bound());
    assert_eq!(weights[ids[1].index()], 9);
    assert_eq!(weights[ids[0].index()], 0);
}

#[test]
fn what_others_in_the_root_used_is_not_given_to_what_vanished_there() {
    let (table, ids) = owners(1);
    let mut weights = CpuWeights::default();
    // Processes that come and go in the root use 400 a tick.
    for _ in 0..60 {
        weights.weigh(&[node(1, None, OwnerId::SYSTEM, 450), node(2, Some(0), ids[0], 50)], table.bound());
    }
    let root = |total| [node(1, None, OwnerId::SYSTEM, total), gone(2, 0, ids[0], 50)];
    let out = weights.clone().weigh(&root(430), table.bound());
    assert!((20..=50).contains(&out[ids[0].index()]), "{out:?}");
    let out = weights.weigh(&root(4_000), table.bound());
    assert_eq!(out[ids[0].index()], 50, "no more than in the tick before");
}

#[test]
fn a_child_that_ran_ahead_is_not_counted_twice() {
    let (table, ids) = owners(1);
    let mut weights = CpuWeights::default();
    let first =
        weights.weigh(&[node(1, None, OwnerId::SYSTEM, 100), node(2, Some(0), ids[0], 103)], table.bound());
    let second =
        weights.weigh(&[node(1, None, OwnerId::SYSTEM, 103), node(2, Some(0), ids[0], 90)], table.bound());
    assert_eq!(first[OwnerId::SYSTEM.index()], 0);
    assert_eq!(second[OwnerId::SYSTEM.index()], 10, "the root showed 203 in all, its child 193");
}

#[test]
fn a_root_that_counts_in_clock_ticks_hides_nothing() {
    let (table, ids) = owners(1);
    let mut weights = CpuWeights::default();
    let mut booked = [0, 0];
    // 3 ns a tick in a process of the root and 2 in a child; the root shows all of it only every fourth tick.
    for tick in 1..=40 {
        let shown = if tick % 4 == 0 { 20 } else { 0 };
        let mut root = node(1, None, OwnerId::SYSTEM, shown);
        root.is_coarse = true;
        root.direct = CpuTime::from_nanos(3);
        let out = weights.weigh(&[root, node(2, Some(0), ids[0], 2)], table.bound());
        assert_eq!((out[0], out[ids[0].index()]), (3, 2), "tick {tick}");
        booked[0] += out[0];
        booked[1] += out[ids[0].index()];
    }
    assert_eq!(booked, [120, 80]);
}

#[test]
fn a_process_thought_to_be_in_the_root_takes_nothing_from_where_it_is() {
    let (table, ids) = owners(1);
    // It was moved into the child: the child shows its time, the root has no room for it.
    let mut root = node(1, None, OwnerId::SYSTEM, 100);
    root.direct = CpuTime::from_nanos(98);
    let weights = CpuWeights::default().weigh(&[root, node(2, Some(0), ids[0], 98)], table.bound());
    assert_eq!((weights[0], weights[ids[0].index()]), (2, 98));
}

#[test]
fn a_node_that_cant_be_read_for_a_tick_counts_nothing_twice() {
    let (table, ids) = owners(2);
    let mut weights = CpuWeights::default();
    let slice = |delta: Option<u64>| UsageNode {
        delta: delta.map(CpuTime::from_nanos),
        is_missed: delta.is_none(),
        ..node(2, Some(0), ids[1], 0)
    };
    let mut sums = [0; 3];
    for (root, middle, leaf) in [(50, Some(40), 30), (50, None, 30), (50, Some(80), 30)] {
        let nodes = [node(1, None, OwnerId::SYSTEM, root), slice(middle), node(3, Some(1), ids[0], leaf)];
        let out = weights.weigh(&nodes, table.bound());
        for (sum, at) in sums.iter_mut().zip([0, ids[0].index(), ids[1].index()]) {
            *sum += out[at];
        }
    }
    // The slice's own 10 of the unread tick went to the root and were then given back to the slice.
    assert_eq!(sums, [30, 90, 30]);
}

#[test]
fn the_first_reading_of_a_node_owes_nothing() {
    let (table, ids) = owners(1);
    let mut weights = CpuWeights::default();
    let first = UsageNode { delta: None, ..node(2, Some(0), OwnerId::SYSTEM, 0) };
    weights.weigh(&[node(1, None, OwnerId::SYSTEM, 30), first, node(3, Some(1), ids[0], 30)], table.bound());
    let nodes =
        [node(1, None, OwnerId::SYSTEM, 20), node(2, Some(0), OwnerId::SYSTEM, 20), gone(3, 1, ids[0], 30)];
    let out = weights.weigh(&nodes, table.bound());
    assert_eq!(out[ids[0].index()], 20);
}

#[test]
fn what_stands_elsewhere_is_not_counted_twice() {
    let (table, ids) = owners(2);
    let mut service = node(3, Some(0), ids[1], 60);
    service.elsewhere = CpuTime::from_nanos(50);
    let nodes = [node(1, None, OwnerId::SYSTEM, 70), node(2, Some(0), ids[0], 50), service];
    let weights = CpuWeights::default().weigh(&nodes, table.bound());
    assert_eq!((weights[ids[0].index()], weights[ids[1].index()], weights[0]), (50, 10, 10));
}

/// A tree in which every node has used at least what its children have, some leaves vanishing.
fn any_tree() -> impl Strategy<Value = (Vec<UsageNode>, u64, usize)> {
    let parts = proptest::collection::vec((any::<u32>(), any::<u16>(), any::<bool>(), any::<u32>()), 1..40);
    parts.prop_map(|parts| {
        let (table, ids) = owners(parts.len());
        let mut nodes: Vec<UsageNode> = Vec::new();
        for (at, (own, parent, _, rate)) in parts.iter().enumerate() {
            let parent = (at > 0).then(|| usize::from(*parent) % at);
            let mut node = node(at as u64, parent, ids[at], u64::from(*own));
            node.rate = CpuTime::from_nanos(u64::from(*rate));
            nodes.push(node);
        }
        for at in (1..nodes.len()).rev() {
            let (delta, parent) = (nodes[at].delta.unwrap(), nodes[at].parent.unwrap());
            nodes[parent].delta = Some(nodes[parent].delta.unwrap() + delta);
        }
        let total = nodes[0].delta.unwrap().as_nanos();
        for at in 1..nodes.len() {
            let parent_gone = nodes[nodes[at].parent.unwrap()].vanished;
            if parent_gone || parts[at].2 {
                nodes[at].vanished = true;
                nodes[at].delta = None;
            }
        }
        (nodes, total, table.bound())
    })
}

proptest! {
    #[test]
    fn every_nanosecond_of_the_root_has_an_owner((nodes, root, owners) in any_tree()) {
        let weights = CpuWeights::default().weigh(&nodes, owners);
        prop_assert_eq!(weights.iter().sum::<u64>(), root);
    }

    #[test]
    fn over_many_ticks_nothing_is_counted_twice(ticks in proptest::collection::vec((0..50_u64, 0..50_u64, 0..3_u64), 1..50)) {
        // A root with own time `a` and a child with `b`, of which `lag` shows in the root one tick late.
        let (table, ids) = owners(1);
        let mut weights = CpuWeights::default();
        let (mut booked, mut true_own, mut child, mut late) = (0, 0, 0, 0);
        for (a, b, lag) in ticks {
            let lag = lag.min(b);
            let root = a + b - lag + late;
            late = lag;
            let out = weights.weigh(&[node(1, None, OwnerId::SYSTEM, root), node(2, Some(0), ids[0], b)], table.bound());
            booked += out[0];
            child += out[ids[0].index()];
            true_own += a;
            prop_assert!(booked <= true_own);
            prop_assert!(true_own - booked <= 3, "at most the last lag is still to come");
        }
        let _ = child;
    }
}
