mod any;

use super::*;
use std::sync::Arc;

const JOULE: u64 = 1_000_000;
const GIB: u64 = 1 << 30;
const X: Whom = Whom::Unknown;

fn owner(number: usize) -> OwnerId {
    OwnerId::from_index(number).unwrap()
}

fn whom(number: usize) -> Whom {
    Whom::Owner(owner(number))
}

/// On the whole device, with memory.
fn worker(whom: Whom, work: u64, memory: u64) -> Contender {
    Contender { whom, instance: None, memory: Some(Bytes(memory)), work }
}

/// On the whole device, without known memory.
fn blank(whom: Whom, work: u64) -> Contender {
    Contender { memory: None, ..worker(whom, work, 0) }
}

/// In an instance.
fn tenant(whom: Whom, instance: u32, memory: Option<u64>) -> Contender {
    Contender { whom, instance: Some(instance), memory: memory.map(Bytes), work: 0 }
}

fn instance(id: u32, multiprocessors: Option<u32>, sm_utilization: Option<f64>) -> Instance {
    Instance { id, uuid: Arc::from(format!("MIG-{id}")), multiprocessors, sm_utilization }
}

fn whole(contenders: &[Contender], work_is_known: bool, utilization: Option<f64>) -> Evidence<'_> {
    Evidence { contenders, work_is_known, mig: false, instances: &[], utilization }
}

fn sliced<'a>(contenders: &'a [Contender], instances: &'a [Instance]) -> Evidence<'a> {
    Evidence { contenders, work_is_known: false, mig: true, instances, utilization: None }
}

fn joules(energy: Microjoules) -> u64 {
    assert_eq!(energy.get() % JOULE, 0, "{energy:?}");
    energy.get() / JOULE
}

/// Splits 90 J and compares in joules.
#[track_caller]
fn expect(evidence: &Evidence<'_>, method: Method, usage: Use, owners: &[(Whom, u64)], contenders: &[u64]) {
    let division = divide(Microjoules::new(90 * JOULE), evidence);
    let by_owner: Vec<(Whom, u64)> =
        division.owners.iter().map(|&(whom, share)| (whom, joules(share))).collect();
    let by_contender: Vec<u64> = division.contenders.iter().map(|&share| joules(share)).collect();
    assert_eq!((division.method, division.usage), (method, usage));
    assert_eq!(by_owner, owners);
    assert_eq!(by_contender, contenders);
}

#[test]
fn methods_have_their_labels() {
    let all = [
        (Method::Exclusive, "exclusive"),
        (Method::SmUtil, "sm_util"),
        (Method::Gpm, "gpm"),
        (Method::MigSlice, "mig_slice"),
        (Method::Memory, "memory"),
        (Method::Equal, "equal"),
        (Method::None, "none"),
    ];
    assert!(all.is_sorted(), "best first");
    for (method, label) in all {
        assert_eq!(method.as_str(), label);
    }
}

#[test]
fn the_table_of_the_documentation_holds() {
    let (a, b) = (whom(5), whom(6));
    let work = [blank(a, 20), blank(a, 40), blank(b, 30)];
    expect(&whole(&work, true, None), Method::SmUtil, Use::Active, &[(a, 60), (b, 30)], &[20, 40, 30]);
    let memory = [worker(a, 0, 0), worker(a, 0, GIB), worker(b, 0, 2 * GIB)];
    expect(&whole(&memory, false, None), Method::Memory, Use::Active, &[(a, 30), (b, 60)], &[0, 30, 60]);
    let nothing = [blank(a, 0), blank(b, 0), blank(b, 0)];
    let owners = [(a, 45), (b, 45)];
    let even = Microjoules::new(45 * JOULE / 2);
    let division = divide(Microjoules::new(90 * JOULE), &whole(&nothing, false, None));
    assert_eq!(division.method, Method::Equal);
    assert_eq!(
        division.owners.iter().map(|&(whom, share)| (whom, joules(share))).collect::<Vec<_>>(),
        owners
    );
    assert_eq!(division.contenders, [Microjoules::new(45 * JOULE), even, even]);

    let tenants = [tenant(a, 1, Some(0)), tenant(a, 1, Some(GIB)), tenant(b, 2, None)];
    let busy = [instance(1, Some(28), Some(0.5)), instance(2, Some(14), Some(1.0))];
    expect(&sliced(&tenants, &busy), Method::Gpm, Use::Active, &owners, &[0, 45, 45]);
    let sizes = [instance(1, Some(28), None), instance(2, Some(14), None)];
    expect(&sliced(&tenants, &sizes), Method::MigSlice, Use::Active, &[(a, 60), (b, 30)], &[0, 60, 30]);
}

#[test]
fn without_a_contender_nothing_is_split() {
    let instances = [instance(1, Some(14), Some(0.0))];
    for evidence in
        [whole(&[], true, Some(0.0)), whole(&[], false, None), sliced(&[], &instances), sliced(&[], &[])]
    {
        expect(&evidence, Method::None, Use::Active, &[], &[]);
    }
}

#[test]
fn processes_that_are_not_known_alone_are_no_evidence() {
    let (work, parked) =
        ([worker(X, 10, GIB), worker(X, 20, GIB)], [worker(X, 0, GIB), worker(X, 0, 2 * GIB)]);
    expect(&whole(&work, true, None), Method::None, Use::Active, &[(X, 90)], &[30, 60]);
    expect(&whole(&work, false, None), Method::None, Use::Active, &[(X, 90)], &[45, 45]);
    expect(&whole(&parked, true, Some(0.0)), Method::None, Use::Parked, &[(X, 90)], &[30, 60]);
    let tenants = [tenant(X, 1, None)];
    let instances = [instance(1, Some(14), Some(0.5))];
    expect(&sliced(&tenants, &instances), Method::None, Use::Active, &[(X, 90)], &[90]);
}

#[test]
fn one_owner_takes_all() {
    let a = whom(5);
    let all = [(a, 90)];
    let idle = [worker(a, 0, GIB), worker(a, 0, 2 * GIB)];
    let busy = [worker(a, 1, GIB), worker(a, 0, 2 * GIB)];
    // work_is_known, utilization, usage of contenders that did nothing
    let cases = [
        (true, None, Use::Parked),
        (true, Some(0.0), Use::Parked),
        (true, Some(0.01), Use::Active),
        (true, Some(f64::NAN), Use::Parked),
        (false, None, Use::Active),
        (false, Some(0.0), Use::Parked),
        (false, Some(0.5), Use::Active),
        (false, Some(f64::NAN), Use::Active),
    ];
    for (work_is_known, utilization, usage) in cases {
        expect(&whole(&idle, work_is_known, utilization), Method::Exclusive, usage, &all, &[30, 60]);
    }
    for utilization in [None, Some(0.0), Some(1.0)] {
        expect(&whole(&busy, true, utilization), Method::Exclusive, Use::Active, &all, &[90, 0]);
    }
}

#[test]
fn a_process_that_is_not_known_takes_its_part() {
    let (a, b) = (whom(5), whom(6));
    let work = [blank(X, 5), blank(a, 10), blank(X, 10), blank(b, 20)];
    let owners = [(a, 20), (b, 40), (X, 30)];
    expect(&whole(&work, true, None), Method::SmUtil, Use::Active, &owners, &[10, 20, 20, 40]);
    let memory = [worker(X, 0, GIB), worker(a, 0, 2 * GIB)];
    expect(&whole(&memory, false, None), Method::Memory, Use::Active, &[(a, 60), (X, 30)], &[30, 60]);
    let parked = [worker(X, 0, GIB), worker(a, 0, 2 * GIB)];
    expect(&whole(&parked, true, None), Method::Equal, Use::Parked, &[(a, 45), (X, 45)], &[45, 45]);
}

#[test]
fn many_clients_of_one_owner_weigh_by_their_work_and_not_by_their_number() {
    let (a, b) = (whom(5), whom(6));
    let mut clients = vec![blank(a, 1); 45];
    clients.push(blank(b, 45));
    let mut shares = vec![1; 45];
    shares.push(45);
    expect(&whole(&clients, true, Some(0.9)), Method::SmUtil, Use::Active, &[(a, 45), (b, 45)], &shares);
    for client in &mut clients {
        client.work = 0;
    }
    expect(&whole(&clients, false, None), Method::Equal, Use::Active, &[(a, 45), (b, 45)], &shares);
    expect(&whole(&clients, true, None), Method::Equal, Use::Parked, &[(a, 45), (b, 45)], &shares);
}

#[test]
fn a_context_without_work_bears_nothing_beside_one_that_works() {
    let (a, b) = (whom(5), whom(6));
    let contenders = [worker(a, 0, 60 * GIB), worker(b, 0, GIB), worker(b, 7, GIB)];
    let owners = [(a, 0), (b, 90)];
    expect(&whole(&contenders, true, Some(0.0)), Method::SmUtil, Use::Active, &owners, &[0, 0, 90]);
}

#[test]
fn parked_contexts_bear_equal_parts_whatever_their_memory() {
    let (a, b) = (whom(5), whom(6));
    let contenders = [worker(a, 0, 60 * GIB), worker(b, 0, GIB), worker(b, 0, 2 * GIB)];
    let owners = [(a, 45), (b, 45)];
    for (work_is_known, utilization) in
        [(true, None), (true, Some(0.0)), (true, Some(-1.0)), (false, Some(0.0))]
    {
        let evidence = whole(&contenders, work_is_known, utilization);
        expect(&evidence, Method::Equal, Use::Parked, &owners, &[45, 15, 30]);
    }
}

#[test]
fn a_busy_device_without_a_working_process_goes_by_memory() {
    let (a, b) = (whom(5), whom(6));
    let contenders = [worker(a, 0, 2 * GIB), worker(b, 0, GIB)];
    let owners = [(a, 60), (b, 30)];
    expect(&whole(&contenders, true, Some(0.2)), Method::Memory, Use::Active, &owners, &[60, 30]);
    let contenders = [worker(a, 0, 2 * GIB), blank(b, 0)];
    let owners = [(a, 45), (b, 45)];
    expect(&whole(&contenders, true, Some(0.2)), Method::Equal, Use::Active, &owners, &[45, 45]);
}

#[test]
fn memory_counts_only_if_all_of_it_is_known() {
    let (a, b) = (whom(5), whom(6));
    let owners = [(a, 45), (b, 45)];
    // What a's processes hold is known, so it tells them apart, but not their owner from b.
    let contenders = [worker(a, 9, GIB), worker(a, 9, 2 * GIB), blank(b, 0)];
    expect(&whole(&contenders, false, None), Method::Equal, Use::Active, &owners, &[15, 30, 45]);
    let contenders = [worker(a, 9, 0), worker(b, 0, 0)];
    expect(&whole(&contenders, false, None), Method::Equal, Use::Active, &owners, &[45, 45]);
}

#[test]
fn an_instance_is_shared_by_memory_and_else_equally() {
    let (a, b, c) = (whom(5), whom(6), whom(7));
    let instances =
        [instance(1, Some(40), None), instance(2, Some(20), None), instance(3, Some(70), Some(1.0))];
    let contenders =
        [tenant(b, 2, None), tenant(a, 1, Some(GIB)), tenant(c, 2, Some(9)), tenant(b, 1, Some(2 * GIB))];
    let owners = [(a, 20), (b, 55), (c, 15)];
    expect(&sliced(&contenders, &instances), Method::MigSlice, Use::Active, &owners, &[15, 20, 15, 40]);
    // The third instance is held by nobody, so that its busy share isn't asked for, nor does it take part.
    let instances =
        [instance(1, Some(40), Some(0.5)), instance(2, Some(20), Some(0.25)), instance(3, None, None)];
    let owners = [(a, 24), (b, 57), (c, 9)];
    expect(&sliced(&contenders, &instances), Method::Gpm, Use::Active, &owners, &[9, 24, 9, 48]);
}

#[test]
fn processes_of_an_owner_get_what_it_got_in_their_instance() {
    let (a, b) = (whom(5), whom(6));
    let instances = [instance(1, Some(20), None), instance(2, Some(10), None)];
    let contenders = [tenant(a, 1, None), tenant(a, 2, None), tenant(b, 1, None)];
    expect(
        &sliced(&contenders, &instances),
        Method::MigSlice,
        Use::Active,
        &[(a, 60), (b, 30)],
        &[30, 30, 30],
    );
    let lone = [tenant(a, 1, Some(GIB)), tenant(a, 2, Some(GIB)), tenant(a, 2, Some(2 * GIB))];
    expect(&sliced(&lone, &instances), Method::Exclusive, Use::Active, &[(a, 90)], &[60, 10, 20]);
    let busy = [instance(1, Some(20), Some(0.0)), instance(2, Some(10), Some(0.5))];
    expect(&sliced(&lone, &busy), Method::Exclusive, Use::Active, &[(a, 90)], &[0, 30, 60]);
}

#[test]
fn an_instance_that_is_not_busy_bears_nothing() {
    let (a, b) = (whom(5), whom(6));
    let instances = [instance(1, Some(20), Some(0.0)), instance(2, Some(10), Some(0.01))];
    let contenders = [tenant(a, 1, Some(GIB)), tenant(b, 2, None)];
    expect(&sliced(&contenders, &instances), Method::Gpm, Use::Active, &[(a, 0), (b, 90)], &[0, 90]);
}

#[test]
fn instances_that_did_nothing_are_parked() {
    let (a, b) = (whom(5), whom(6));
    let instances = [instance(1, Some(20), Some(0.0)), instance(2, Some(10), Some(-0.5))];
    let contenders = [tenant(a, 1, Some(GIB)), tenant(b, 2, None), tenant(b, 1, None)];
    let mut evidence = sliced(&contenders, &instances);
    for utilization in [None, Some(0.0), Some(0.7)] {
        evidence.utilization = utilization;
        let division = divide(Microjoules::new(90 * JOULE), &evidence);
        assert_eq!((division.method, division.usage), (Method::Equal, Use::Parked));
        let half = Microjoules::new(45 * JOULE);
        assert_eq!(division.owners, [(a, half), (b, half)]);
    }
    let lone = [tenant(a, 1, None)];
    expect(&sliced(&lone, &instances), Method::Exclusive, Use::Parked, &[(a, 90)], &[90]);
}

#[test]
fn busy_shares_are_held_within_bounds() {
    let (a, b) = (whom(5), whom(6));
    let contenders = [tenant(a, 1, None), tenant(b, 2, None)];
    let owners = [(a, 60), (b, 30)];
    for share in [1.0, 1.5, f64::INFINITY] {
        let instances = [instance(1, Some(20), Some(share)), instance(2, Some(10), Some(1.0))];
        expect(&sliced(&contenders, &instances), Method::Gpm, Use::Active, &owners, &[60, 30]);
    }
    let instances = [instance(1, Some(20), Some(f64::NAN)), instance(2, Some(10), Some(0.0))];
    expect(&sliced(&contenders, &instances), Method::MigSlice, Use::Active, &owners, &[60, 30]);
}

#[test]
fn slices_that_are_not_known_of_all_are_not_used() {
    let (a, b) = (whom(5), whom(6));
    let known = [instance(1, Some(20), Some(1.0)), instance(2, Some(10), Some(1.0))];
    let no_size = [instance(1, Some(20), Some(1.0)), instance(2, None, Some(1.0))];
    let empty = [instance(1, Some(20), Some(1.0)), instance(2, Some(0), Some(1.0))];
    let not_listed = [instance(1, Some(20), Some(1.0))];
    let placed = [tenant(a, 1, Some(GIB)), tenant(b, 2, Some(2 * GIB))];
    let lost = [tenant(a, 1, Some(GIB)), worker(b, 0, 2 * GIB)];
    for (contenders, instances) in
        [(&placed, &no_size[..]), (&placed, &empty), (&placed, &not_listed), (&placed, &[]), (&lost, &known)]
    {
        let owners = [(a, 30), (b, 60)];
        expect(&sliced(contenders, instances), Method::Memory, Use::Active, &owners, &[30, 60]);
        let contenders = contenders.map(|one| Contender { memory: None, ..one });
        let owners = [(a, 45), (b, 45)];
        expect(&sliced(&contenders, instances), Method::Equal, Use::Active, &owners, &[45, 45]);
    }
}

#[test]
fn with_mig_work_tells_apart_only_the_processes_of_an_owner() {
    let (a, b) = (whom(5), whom(6));
    let instances = [instance(1, Some(20), None), instance(2, Some(10), None)];
    let contenders = [
        Contender { work: 1, ..tenant(a, 1, None) },
        Contender { work: 3, ..tenant(a, 1, None) },
        Contender { work: 900, ..tenant(b, 2, None) },
    ];
    let evidence = Evidence { work_is_known: true, ..sliced(&contenders, &instances) };
    expect(&evidence, Method::MigSlice, Use::Active, &[(a, 60), (b, 30)], &[15, 45, 30]);
    let evidence = Evidence { instances: &[], ..evidence };
    let division = divide(Microjoules::new(80 * JOULE), &evidence);
    assert_eq!(division.method, Method::Equal, "work in slices of different size can't be compared");
    assert_eq!(division.contenders.iter().map(|&share| joules(share)).collect::<Vec<_>>(), [10, 30, 40]);
    let together = contenders.map(|one| Contender { instance: Some(1), ..one });
    let evidence = Evidence { work_is_known: true, ..sliced(&together, &instances) };
    let division = divide(Microjoules::new(80 * JOULE), &evidence);
    assert_eq!(division.method, Method::MigSlice);
    assert_eq!(division.contenders.iter().map(|&share| joules(share)).collect::<Vec<_>>(), [10, 30, 40]);
}

#[test]
fn weights_wider_than_any_counter_keep_their_proportion() {
    let (a, b) = (whom(5), whom(6));
    let wide = u64::from(u32::MAX) * 1_000;
    let contenders = [blank(a, wide), blank(b, 2 * wide)];
    expect(&whole(&contenders, true, None), Method::SmUtil, Use::Active, &[(a, 30), (b, 60)], &[30, 60]);
    let full = worker(a, u64::MAX, u64::MAX);
    let contenders = [full, full, Contender { whom: b, ..full }];
    for (work_is_known, method) in [(true, Method::SmUtil), (false, Method::Memory)] {
        let division = divide(Microjoules::new(90 * JOULE), &whole(&contenders, work_is_known, None));
        assert_eq!(division.method, method);
        assert_eq!(division.owners[0].1, Microjoules::new(60 * JOULE));
        assert_eq!(division.contenders[0], division.contenders[1]);
        let division = divide(Microjoules::new(u64::MAX), &whole(&contenders, work_is_known, None));
        assert_eq!(
            division.contenders.iter().map(|share| u128::from(share.get())).sum::<u128>(),
            u64::MAX.into()
        );
    }
    let instances = [instance(1, Some(u32::MAX), Some(1.0)), instance(2, Some(u32::MAX), Some(0.5))];
    let contenders = [tenant(a, 1, None), tenant(b, 2, None)];
    expect(&sliced(&contenders, &instances), Method::Gpm, Use::Active, &[(a, 60), (b, 30)], &[60, 30]);
}

#[test]
fn a_microjoule_that_cannot_be_split_goes_by_the_order_of_owners() {
    let contenders = [blank(X, 1), blank(whom(6), 1), blank(whom(5), 1)];
    let division = divide(Microjoules::new(2), &whole(&contenders, true, None));
    let one = Microjoules::new(1);
    assert_eq!(division.owners, [(whom(5), one), (whom(6), one), (X, Microjoules::ZERO)]);
    assert_eq!(division.contenders, [Microjoules::ZERO, one, one]);
}

#[test]
fn idle_energy_goes_to_who_holds_the_device() {
    let (a, b) = (owner(5), owner(6));
    let split = |energy: u64, holders: &[(OwnerId, u64)], free: u64| {
        let (shares, rest) = divide_idle(Microjoules::new(energy), holders, free);
        (shares.into_iter().map(|(owner, share)| (owner, share.get())).collect::<Vec<_>>(), rest.get())
    };
    assert_eq!(split(90, &[(a, 1)], 0), (vec![(a, 90)], 0));
    assert_eq!(split(90, &[(b, 1), (a, 1)], 0), (vec![(a, 45), (b, 45)], 0));
    assert_eq!(split(90, &[(a, 1), (b, 2)], 6), (vec![(a, 10), (b, 20)], 60), "replicas");
    assert_eq!(split(90, &[(a, 1), (b, 1), (a, 1)], 0), (vec![(a, 60), (b, 30)], 0), "two of one owner");
    assert_eq!(split(90, &[(a, 0), (b, 1)], 1), (vec![(b, 45)], 45), "no allocation");
    assert_eq!(split(91, &[(a, 1)], 1), (vec![(a, 46)], 45), "holders before the rest");
    assert_eq!(split(90, &[], 4), (vec![], 90));
    assert_eq!(split(90, &[], 0), (vec![], 90));
    assert_eq!(split(90, &[(a, 0)], 0), (vec![], 90));
    let half = u64::MAX / 2;
    assert_eq!(split(u64::MAX, &[(a, u64::MAX)], u64::MAX), (vec![(a, half + 1)], half));
    assert_eq!(split(90, &[(a, u64::MAX), (a, u64::MAX), (b, u64::MAX)], 0), (vec![(a, 60), (b, 30)], 0));
}
