use super::*;
use crate::units::LitresPerKwh;
use proptest::prelude::*;

const RETENTION: Duration = Duration::from_secs(300);

fn unit(name: &str) -> Owner {
    Owner::Unit { unit: name.into() }
}

fn ledger() -> Ledger {
    Ledger::new(RETENTION, 2, 1, 2)
}

fn rates(location: f64) -> Rates {
    Rates { location: GramsPerKwh(location), market: None, water: None }
}

fn begin(ledger: &mut Ledger, owners: &mut OwnerTable, seconds: u64) {
    ledger.begin(Duration::from_secs(seconds), owners, rates(360.0));
}

fn name<'a>(pid: u32, comm: &'a Arc<str>, owner: Option<&'a Arc<Owner>>) -> ProcessName<'a> {
    ProcessName { pid, start_time: 0, comm, owner }
}

fn active(ledger: &Ledger, id: OwnerId) -> u64 {
    ledger.accounts[id.index()].totals.energy(Component::Cpu, State::Active).get()
}

#[test]
fn grams_are_booked_at_the_rates_of_their_time() {
    let (mut ledger, mut owners) = (ledger(), OwnerTable::new(10));
    let id = owners.acquire(unit("a.service"));
    let energy = Microjoules::new(10_000_000_000);
    begin(&mut ledger, &mut owners, 0);
    ledger.book(id, OwnerKind::Unit, Component::Cpu, State::Active, energy);
    ledger.set_rates(Rates {
        market: Some(GramsPerKwh(36.0)),
        water: Some(LitresPerKwh(1.8)),
        ..rates(72.0)
    });
    ledger.book(id, OwnerKind::Unit, Component::Cpu, State::Active, energy);
    ledger.book_idle(Component::Cpu, energy);
    let close = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} isn't {want}");
    // 10 kJ are 1 g at 360 g/kWh, 0.2 g at 72, 0.1 g at 36, and 5 ml at 1.8 l/kWh.
    let owner = ledger.accounts[id.index()].totals.footprint(Component::Cpu);
    close(owner.location.0, 1.2);
    close(owner.market.0, 0.1);
    close(owner.water.0, 0.005);
    let node = ledger.component(Component::Cpu).unwrap().footprint;
    close(node.location.0, 1.4);
    close(node.market.0, 0.2);
    close(node.water.0, 0.01);
}

#[test]
fn an_ended_owner_stays_for_its_retention() {
    let (mut ledger, mut owners) = (ledger(), OwnerTable::new(10));
    let id = owners.acquire(Owner::Job {
        manager: crate::workloads::owner::JobManager::Slurm,
        id: "1".into(),
        uid: None,
    });
    begin(&mut ledger, &mut owners, 1);
    owners.leave(id);
    begin(&mut ledger, &mut owners, 2);
    ledger.book(id, OwnerKind::Job, Component::Cpu, State::Active, Microjoules::new(7));
    begin(&mut ledger, &mut owners, 301);
    assert!(ledger.accounts().any(|account| account.has_ended()));
    assert_eq!(active(&ledger, id), 7, "its last interval is booked");
    begin(&mut ledger, &mut owners, 302);
    assert_eq!(ledger.accounts().count(), 0);
    assert_eq!(ledger.component(Component::Cpu).unwrap().energy.get(), 7, "the node keeps it");
}

#[test]
fn without_retention_an_owner_still_gets_its_last_interval() {
    let (mut ledger, mut owners) = (Ledger::new(Duration::ZERO, 2, 1, 2), OwnerTable::new(10));
    let id = owners.acquire(unit("a.service"));
    begin(&mut ledger, &mut owners, 1);
    owners.leave(id);
    begin(&mut ledger, &mut owners, 2);
    assert_eq!(owners.kind(id), OwnerKind::Unit);
    ledger.book(id, OwnerKind::Unit, Component::Cpu, State::Active, Microjoules::new(7));
    begin(&mut ledger, &mut owners, 3);
    assert_eq!(ledger.accounts().count(), 0);
    assert!(owners.get(id).is_none());
}

#[test]
fn a_unit_that_comes_back_counts_on() {
    let (mut ledger, mut owners) = (ledger(), OwnerTable::new(10));
    let id = owners.acquire(unit("a.service"));
    begin(&mut ledger, &mut owners, 1);
    ledger.book(id, OwnerKind::Unit, Component::Cpu, State::Active, Microjoules::new(5));
    owners.leave(id);
    begin(&mut ledger, &mut owners, 2);
    begin(&mut ledger, &mut owners, 400);
    assert_eq!(ledger.accounts().count(), 0);
    let other = owners.acquire(unit("b.service"));
    let back = owners.acquire(unit("a.service"));
    begin(&mut ledger, &mut owners, 500);
    assert_eq!((active(&ledger, other), active(&ledger, back)), (0, 5));
}

#[test]
fn a_bounded_number_of_absent_units_is_remembered() {
    let (mut ledger, mut owners) = (ledger(), OwnerTable::new(10));
    for (n, name) in ["a.service", "b.service", "c.service"].into_iter().enumerate() {
        let id = owners.acquire(unit(name));
        let start = n as u64 * 1000;
        begin(&mut ledger, &mut owners, start);
        owners.leave(id);
        begin(&mut ledger, &mut owners, start + 1);
        begin(&mut ledger, &mut owners, start + 400);
    }
    let back: Vec<bool> = ["a.service", "b.service", "c.service"]
        .map(|name| ledger.dormant.wake(&Arc::new(unit(name))).is_some())
        .into();
    assert_eq!(back, [false, true, true]);
}

#[test]
fn the_hungriest_processes_are_shown_and_kept_after_their_end() {
    let mut book = ProcessBook::new(RETENTION, 2, 1);
    let comm: Arc<str> = "x".into();
    book.begin(Duration::from_secs(1));
    for (pid, energy) in [(1, 10), (2, 30), (3, 20)] {
        book.book(&name(pid, &comm, None), Component::Cpu, Microjoules::new(energy));
    }
    let pids = |chosen: Vec<ProcessAccount>| chosen.iter().map(|account| account.pid).collect::<Vec<_>>();
    assert_eq!(pids(book.choose()), [2, 3]);
    assert_eq!(book.not_shown(), 1);
    book.end(&[(2, 0)]);
    book.begin(Duration::from_secs(2));
    assert_eq!(pids(book.choose()), [1, 2, 3], "what ended takes no place from the living");
    book.begin(Duration::from_secs(400));
    assert_eq!(pids(book.choose()), [1, 3]);
    book.book(&name(4, &comm, None), Component::Cpu, Microjoules::new(1));
    assert_eq!(pids(book.choose()).len(), 2);
    assert!(pids(book.choose()).contains(&4), "what works now counts more than what worked long ago");
}

#[test]
fn gpu_clients_are_shown_beside_the_hungriest() {
    let mut book = ProcessBook::new(RETENTION, 2, 1);
    let comm: Arc<str> = "x".into();
    let pids = |chosen: Vec<ProcessAccount>| chosen.iter().map(|account| account.pid).collect::<Vec<_>>();
    book.begin(Duration::from_secs(1));
    for (pid, energy) in [(1, 10), (2, 30), (3, 20)] {
        book.book(&name(pid, &comm, None), Component::Cpu, Microjoules::new(energy));
    }
    book.book_gpu(&name(4, &comm, None), State::Parked, Microjoules::ZERO, Microjoules::ZERO);
    let chosen = book.choose();
    assert!(chosen.iter().all(|account| account.is_gpu_client() == (account.pid == 4)));
    assert_eq!(pids(chosen), [2, 3, 4]);
    // One more client than the cap allows: it has no energy, so it isn't among the hungriest, either.
    book.book_gpu(&name(4, &comm, None), State::Active, Microjoules::new(5), Microjoules::new(5));
    book.book_gpu(&name(5, &comm, None), State::Parked, Microjoules::ZERO, Microjoules::ZERO);
    assert_eq!(pids(book.choose()), [2, 3, 4]);
    // It gives its context back and is shown no more; one that ends with it is.
    book.begin(Duration::from_secs(2));
    book.end(&[(4, 0)]);
    assert_eq!(pids(book.choose()), [2, 3, 4]);
}

#[test]
fn a_gpu_has_a_book_of_its_own() {
    let (mut ledger, mut owners) = (ledger(), OwnerTable::new(10));
    let id = owners.acquire(unit("a.service"));
    begin(&mut ledger, &mut owners, 1);
    let (first, second) =
        (ledger.open_device(&"GPU-a".into()).unwrap(), ledger.open_device(&"GPU-b".into()).unwrap());
    assert_eq!(ledger.open_device(&"GPU-a".into()), Some(first));
    let joules = |count: u64| Microjoules::new(count * 1_000_000);
    ledger.book_gpu(first, (id, OwnerKind::Unit), State::Active, joules(30), joules(3));
    ledger.book_gpu(second, (id, OwnerKind::Unit), State::Parked, joules(5), joules(5));
    ledger.book_gpu_idle(first, joules(7));
    ledger.book_gpu_unattributed(first, Reason::UnknownProcess, joules(1));
    let book = ledger.device(first).unwrap();
    assert_eq!(book.energy, joules(38));
    assert_eq!(book.by_beneficiary.iter().copied().sum::<Microjoules>(), joules(38));
    assert_eq!(ledger.component(Component::Gpu).unwrap().energy, joules(43));
    let account = &ledger.accounts[id.index()];
    assert_eq!(account.totals.gpus(), [(first, joules(30)), (second, joules(5))]);
    assert_eq!(account.in_tick(Component::Gpu), joules(8), "power is told from this tick's part");
    assert_eq!(account.totals.energy(Component::Gpu, State::Parked), joules(5));
}

#[test]
fn a_process_that_moves_to_another_owner_starts_anew() {
    let mut book = ProcessBook::new(RETENTION, 2, 1);
    let (comm, owner) = (Arc::from("x"), Arc::new(unit("a.service")));
    book.begin(Duration::from_secs(1));
    book.book(&name(1, &comm, None), Component::Cpu, Microjoules::new(10));
    book.book(&name(1, &comm, Some(&owner)), Component::Cpu, Microjoules::new(3));
    assert_eq!(book.choose()[0].totals.energy(Component::Cpu, State::Active), Microjoules::new(3));
    book.book(&name(1, &comm, None), Component::Cpu, Microjoules::new(1));
    assert_eq!(
        book.choose()[0].totals.energy(Component::Cpu, State::Active),
        Microjoules::new(11),
        "it is back"
    );
    // The same container, of which more is known now, is no other owner; nor is a job another label than none.
    let container = |pod_uid: &str| {
        let runtime = crate::workloads::owner::Runtime::Crio;
        Arc::new(Owner::Container { runtime, id: "abc".into(), name: "".into(), pod_uid: pod_uid.into() })
    };
    for owner in [container(""), container("uid")] {
        book.book(&name(2, &comm, Some(&owner)), Component::Cpu, Microjoules::new(4));
    }
    let chosen = book.choose();
    assert_eq!(chosen[1].totals.energy(Component::Cpu, State::Active), Microjoules::new(8));
}

proptest! {
    #[test]
    fn components_equal_their_beneficiaries_and_nothing_falls(
        bookings in proptest::collection::vec((0..4_usize, 0..6_u8, any::<u32>(), any::<bool>()), 1..80),
    ) {
        let (mut ledger, mut owners) = (ledger(), OwnerTable::new(3));
        let mut last = 0;
        for (n, (component, to, energy, leaves)) in bookings.into_iter().enumerate() {
            let owner = unit(&format!("{to}.service"));
            let id = owners.acquire(owner);
            begin(&mut ledger, &mut owners, n as u64 * 100);
            let (component, energy) = (Component::ALL[component], Microjoules::new(u64::from(energy)));
            match to {
                0 => ledger.book_idle(component, energy),
                1 => ledger.book_unattributed(component, Reason::NoEvidence, energy),
                _ => ledger.book(id, OwnerKind::Unit, component, State::Active, energy),
            }
            if leaves {
                owners.leave(id);
            }
            let mut all = 0;
            for component in Component::ALL {
                let book = ledger.component(component).unwrap();
                let sum: Microjoules = book.by_beneficiary.iter().copied().sum();
                prop_assert_eq!(sum, book.energy);
                let no_owner: Microjoules = book.unattributed.values().copied().sum();
                prop_assert_eq!(no_owner, book.by_beneficiary[Beneficiary::Unattributed.index()]);
                all += book.energy.get();
            }
            prop_assert!(all >= last);
            last = all;
        }
    }
}
