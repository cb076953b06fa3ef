mod holders;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::gpu::{Client, GpuIdentity, Vendor};
use crate::ledger::Beneficiary;
use crate::meters::{MeterId, MeterReport};
use crate::sampler::tests::{CONTAINER, Node, write};
use crate::units::Bytes;
use crate::workloads::owner::OwnerKind;

const UUID: &str = "GPU-0000";
const CONTAINERS: Beneficiary = Beneficiary::Owner(OwnerKind::Container);
const UNITS: Beneficiary = Beneficiary::Owner(OwnerKind::Unit);

/// A node with one GPU and three processes: 10 in the container, 11 in the unit, 12 the MPS server in the unit.
pub(in crate::sampler) struct Card {
    pub(in crate::sampler) node: Node,
}

impl Card {
    pub(in crate::sampler) fn new(change: impl FnOnce(&mut crate::config::Settings)) -> Self {
        let node = Node::new(change);
        write(node.dir.path(), "proc/2/comm", "kthreadd\n");
        let mut card = Self { node };
        card.process(10, "train", CONTAINER);
        card.process(11, "serve", "system.slice/a.service");
        card.process(12, "nvidia-cuda-mps", "system.slice/a.service");
        // The look at the pid namespace is made at the start.
        let procfs = card.node.dir.path().join("proc");
        card.node.sampler.gpu_books = GpuBooks::new(&procfs);
        card.node.tick(1);
        card
    }

    fn process(&mut self, pid: u32, comm: &str, group: &str) {
        let stat = format!(
            "{pid} ({comm}) S 1 {pid} {pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 0 0 18446744073709551615\n"
        );
        let root = self.node.dir.path();
        write(root, &format!("proc/{pid}/stat"), &stat);
        write(root, &format!("proc/{pid}/cgroup"), &format!("0::/{group}\n"));
        write(root, "proc/self/mountinfo", &mountinfo(root));
    }

    fn kill(&mut self, pid: u32) {
        std::fs::remove_dir_all(self.node.dir.path().join(format!("proc/{pid}"))).unwrap();
    }

    /// One tick in which the GPU used this much.
    fn tick(&mut self, reading: DeviceReading, joules: u64) {
        self.tick_with(reading, joules, false, Domain::Gpu, Microjoules::ZERO);
    }

    fn tick_with(
        &mut self,
        reading: DeviceReading,
        joules: u64,
        after_gap: bool,
        domain: Domain,
        others: Microjoules,
    ) {
        self.tick_of(Some(reading), joules, after_gap, domain, others);
    }

    /// One tick in which the GPU, whose meter is a module's, tells no energy.
    fn pass(&mut self, others: Microjoules) {
        self.node.tick(1);
        let (mut device, usage) = (device(Domain::Module, None), WorkloadTick::default());
        device.delta = None;
        let gpus = GpuTick { devices: vec![device], collectors: Vec::new() };
        let second = Duration::from_secs(1);
        self.node.sampler.attribute_gpus(&gpus, &usage, self.now(), second, others);
    }

    fn now(&self) -> Tick {
        let now = Duration::from_secs(self.node.seconds);
        Tick { monotonic: now, boottime: now }
    }

    pub(in crate::sampler) fn tick_of(
        &mut self,
        reading: Option<DeviceReading>,
        joules: u64,
        after_gap: bool,
        domain: Domain,
        others: Microjoules,
    ) {
        self.node.tick(1);
        let usage = WorkloadTick::default();
        let energy = Microjoules::new(joules * 1_000_000);
        let elapsed = Duration::from_secs(if after_gap { 20 } else { 1 });
        let mut device = device(domain, reading);
        device.delta = Some(GpuDelta { energy, elapsed, quality: Quality::Measured, domain, after_gap });
        let gpus = GpuTick { devices: vec![device], collectors: Vec::new() };
        let now = self.now();
        let second = Duration::from_secs(1);
        let booked = self.node.sampler.attribute_gpus(&gpus, &usage, now, second, others);
        let state = self.state();
        let book = self.node.sampler.ledger.device(state.index().unwrap()).unwrap();
        let sum: Microjoules = book.by_beneficiary.iter().copied().sum();
        assert_eq!(sum, book.energy);
        assert!(booked <= energy);
        assert_eq!(self.node.sampler.ledger.component(Component::Gpu).unwrap().energy, book.energy);
    }

    fn state(&self) -> &DeviceState {
        self.node.sampler.gpu_books.device(UUID).unwrap()
    }

    fn method(&self) -> &'static str {
        self.state().method.unwrap().as_str()
    }

    /// Joules that went to them so far.
    fn got(&self, to: Beneficiary) -> u64 {
        let book = self.node.sampler.ledger.device(self.state().index().unwrap()).unwrap();
        book.by_beneficiary[to.index()].get() / 1_000_000
    }

    fn unattributed(&self, reason: Reason) -> u64 {
        let book = self.node.sampler.ledger.component(Component::Gpu).unwrap();
        book.unattributed.get(&reason).copied().unwrap_or_default().get() / 1_000_000
    }

    fn state_of(&self, kind: OwnerKind, state: State) -> u64 {
        let mut accounts = self.node.sampler.ledger.accounts();
        let account = accounts.find(|account| account.owner.as_ref().unwrap().kind() == kind).unwrap();
        account.totals.energy(Component::Gpu, state).get() / 1_000_000
    }
}

/// A device that is up if there is a reading of it.
pub(in crate::sampler) fn device(domain: Domain, reading: Option<DeviceReading>) -> DeviceTick {
    let up = reading.is_some() || domain == Domain::Module;
    DeviceTick {
        identity: Arc::new(GpuIdentity {
            uuid: UUID.into(),
            gpu: "0".into(),
            model: "test".into(),
            vendor: Vendor::Nvidia,
            pci_bus_id: "".into(),
            driver: "".into(),
        }),
        backend: "nvml",
        up,
        reason: "".into(),
        stuck: Duration::ZERO,
        errors: 0,
        delta: None,
        reading,
        report: MeterReport {
            id: MeterId { meter: "nvml", domain, device: UUID.into() },
            quality: Quality::Measured,
            up,
            feeds: Some(Component::Gpu),
            reason: "".into(),
            energy: None,
            wraps: 0,
            resets: 0,
        },
    }
}

fn mountinfo(root: &Path) -> String {
    format!("30 23 0:26 / {}/sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", root.display())
}

pub(in crate::sampler) fn reading(clients: &[u32], work: Option<&[(u32, u64)]>) -> DeviceReading {
    let client = |&pid: &u32| Client { pid, memory: Some(Bytes(1 << 30)), instance: None };
    DeviceReading {
        utilization: Some(if work.is_some_and(<[_]>::is_empty) { 0.0 } else { 0.5 }),
        clients: Some(clients.iter().map(client).collect()),
        work: work.map(<[_]>::to_vec),
        ..DeviceReading::blank(Tick::default())
    }
}

#[test]
fn one_owner_takes_all_and_its_process_is_shown() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[10], Some(&[(10, 50)])), 300);
    assert_eq!((card.method(), card.got(CONTAINERS)), ("exclusive", 300));
    assert_eq!(card.state().power, Some(Watts(300.0)));
    let chosen = card.node.sampler.ledger.processes_mut().choose();
    let process = chosen.iter().find(|process| process.pid == 10).unwrap();
    assert_eq!(process.totals.energy(Component::Gpu, State::Active).as_joules(), 300.0);
    assert!(process.is_gpu_client() && *process.comm == *"train");
}

#[test]
fn two_owners_share_by_their_work() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[10, 11], Some(&[(10, 75), (11, 25)])), 200);
    assert_eq!((card.method(), card.got(CONTAINERS), card.got(UNITS)), ("sm_util", 150, 50));
    assert_eq!(card.state().contexts(), Some(2));
    // The driver's samples are late: the device works, so what was seen last goes on.
    let mut late = reading(&[10, 11], Some(&[]));
    late.utilization = Some(0.9);
    card.tick(late, 200);
    assert_eq!((card.method(), card.got(CONTAINERS), card.got(UNITS)), ("sm_util", 300, 100));
}

#[test]
fn contexts_that_do_nothing_are_parked_and_idle_power_is_nobodys() {
    let mut card = Card::new(|settings| {
        settings.baseline.insert("gpu".to_owned(), 60.0);
    });
    card.tick(reading(&[10, 11], Some(&[])), 100);
    assert_eq!(card.got(Beneficiary::Idle), 60);
    assert_eq!((card.got(CONTAINERS), card.got(UNITS)), (20, 20));
    assert_eq!(card.state_of(OwnerKind::Container, State::Parked), 20);
    assert_eq!(card.state_of(OwnerKind::Container, State::Active), 0);
}

#[test]
fn idle_power_is_learned_while_no_context_is_held() {
    let mut card = Card::new(|_| {});
    for _ in 0..31 {
        card.tick(reading(&[], Some(&[])), 50);
    }
    assert_eq!(card.got(Beneficiary::Idle), 31 * 50);
    card.tick(reading(&[10], Some(&[(10, 1)])), 250);
    assert_eq!((card.got(Beneficiary::Idle), card.got(CONTAINERS)), (32 * 50, 200));
}

#[test]
fn who_died_is_remembered_and_who_was_never_seen_is_unknown() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[10, 11], Some(&[(10, 50), (11, 50)])), 100);
    card.kill(10);
    card.tick(reading(&[10, 11], Some(&[(10, 50), (11, 50)])), 100);
    assert_eq!((card.got(CONTAINERS), card.got(UNITS)), (100, 100));
    card.tick(reading(&[11, 99], Some(&[(11, 30), (99, 70)])), 100);
    assert_eq!((card.got(UNITS), card.unattributed(Reason::UnknownProcess)), (130, 70));
    assert_eq!(card.node.sampler.gpu_books.pid_namespace_ok(), Some(true));
    let shown = card.node.sampler.ledger.processes_mut().choose();
    assert!(!shown.iter().any(|process| process.pid == 99));
}

#[test]
fn pids_of_another_namespace_are_told_and_not_believed() {
    let mut card = Card::new(|_| {});
    std::fs::remove_file(card.node.dir.path().join("proc/2/comm")).unwrap();
    let procfs = card.node.dir.path().join("proc");
    card.node.sampler.gpu_books = GpuBooks::new(&procfs);
    card.tick(reading(&[10], Some(&[(10, 1)])), 100);
    assert_eq!(card.node.sampler.gpu_books.pid_namespace_ok(), Some(true), "the driver translates them");
    // 10 is there by chance; most are not.
    for _ in 0..3 {
        card.tick(reading(&[10, 4_711, 4_712], Some(&[(10, 1)])), 100);
    }
    assert_eq!(card.node.sampler.gpu_books.pid_namespace_ok(), Some(false));
    assert_eq!(card.got(CONTAINERS), 200, "one reading alone proves nothing");
    assert_eq!(card.unattributed(Reason::PidNamespace), 200);
}

#[test]
fn the_mps_server_is_never_billed() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[10, 12], Some(&[(10, 10), (12, 90)])), 100);
    assert_eq!((card.method(), card.got(CONTAINERS)), ("exclusive", 100));
    // All work is the server's: nothing tells which client's it is.
    card.process(13, "other", "system.slice/a.service");
    card.tick(reading(&[10, 13, 12], Some(&[(12, 90)])), 100);
    assert_eq!((card.method(), card.got(CONTAINERS), card.got(UNITS)), ("memory", 150, 50));
    assert_eq!(card.state().contexts(), Some(2));
}

#[test]
fn a_gpu_that_works_for_nobody_has_no_evidence() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[], None), 100);
    assert_eq!((card.method(), card.unattributed(Reason::NoEvidence)), ("none", 100));
    let mut unreadable = reading(&[], Some(&[]));
    unreadable.clients = None;
    card.tick(unreadable, 100);
    assert_eq!(card.unattributed(Reason::NoEvidence), 200);
}

#[test]
fn energy_of_an_outage_goes_to_those_who_held_the_gpu_before_and_after() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[10], Some(&[(10, 50)])), 100);
    let none = Microjoules::ZERO;
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 2_000, true, Domain::Gpu, none);
    assert_eq!(card.got(CONTAINERS), 2_100);
    assert_eq!(card.state().power, None, "the mean over an outage is no power of this tick");
    card.tick_with(reading(&[11], Some(&[(11, 50)])), 2_000, true, Domain::Gpu, none);
    assert_eq!((card.got(UNITS), card.unattributed(Reason::Outage)), (0, 2_000));
}

#[test]
fn energy_of_a_device_that_answers_too_late_is_nobodys() {
    let mut card = Card::new(|_| {});
    card.tick(reading(&[10], Some(&[(10, 50)])), 100);
    card.tick_of(None, 2_000, true, Domain::Gpu, Microjoules::ZERO);
    assert_eq!((card.got(CONTAINERS), card.unattributed(Reason::Outage)), (100, 2_000));
    assert_eq!(card.state().method, None, "no evidence is claimed for a card that is down");
}

#[test]
fn a_module_that_was_away_owes_only_what_was_used_in_its_own_time() {
    let mut card = Card::new(|_| {});
    let (none, cpu) = (Microjoules::ZERO, Microjoules::new(50_000_000));
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 70, false, Domain::Module, cpu);
    assert_eq!(card.got(CONTAINERS), 20);
    for _ in 0..600 {
        card.pass(cpu);
    }
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 70, false, Domain::Module, cpu);
    assert_eq!(card.got(CONTAINERS), 40, "600 s of CPU energy aren't taken off one second");
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 70, false, Domain::Module, none);
    assert_eq!(card.got(CONTAINERS), 110);
}

#[test]
fn a_module_is_booked_without_its_cpu_and_memory() {
    let mut card = Card::new(|_| {});
    let cpu = Microjoules::new(120_000_000);
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 500, false, Domain::Module, cpu);
    assert_eq!(card.got(CONTAINERS), 380);
    // Readings of different instants may differ; what is too much is taken off later.
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 100, false, Domain::Module, cpu);
    card.tick_with(reading(&[10], Some(&[(10, 50)])), 500, false, Domain::Module, Microjoules::ZERO);
    assert_eq!(card.got(CONTAINERS), 380 + 480);
}
