use super::*;
use crate::carbon::market::Market;
use crate::meters::Component;
use crate::snapshot::{Beneficiary, ComponentTotals, State};
use crate::workloads::owner::{Owner, OwnerKind};
use proptest::prelude::*;
use std::fs;
use std::path::Path;

pub(super) const CONTAINER: &str = "docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A node made of files: one socket with memory, cgroup v2, two owners.
pub(super) struct Node {
    pub(super) dir: tempfile::TempDir,
    pub(super) sampler: Sampler,
    pub(super) seconds: u64,
    package: u64,
    dram: u64,
}

impl Node {
    pub(super) fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.path.procfs = dir.path().join("proc");
        settings.path.sysfs = dir.path().join("sys");
        settings.carbon.intensity = Some(360.0);
        change(&mut settings);
        let root = dir.path();
        write(root, "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n");
        write(root, "proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0\ncpu1 0\n");
        write(root, "sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
        for (zone, name) in [("intel-rapl:0", "package-0"), ("intel-rapl:0/intel-rapl:0:0", "dram")] {
            let zone = format!("sys/class/powercap/{zone}");
            write(root, &format!("{zone}/name"), name);
            write(root, &format!("{zone}/max_energy_range_uj"), "262143328850");
        }
        let factors = crate::carbon::factors::resolve(&crate::carbon::factors::FactorSettings {
            intensity: settings.carbon.intensity,
            ..Default::default()
        });
        let pricer = Pricer::new(factors.unwrap(), None, Duration::ZERO, Market::default(), None);
        let board = Arc::new(GridBoard::default());
        let sampler = Sampler::new(&settings, pricer, (board, Arc::default()), Clock::new().unwrap(), 100);
        let mut node = Self { dir, sampler, seconds: 100, package: 5_000_000, dram: 1_000_000 };
        node.cpu("", 0);
        node.energy(0, 0);
        node.cpu(CONTAINER, 0);
        node.cpu("system.slice/a.service", 0);
        node.memory(CONTAINER, 102_400);
        node.memory("system.slice/a.service", 51_200);
        node
    }

    /// Sets the CPU time of a group in microseconds.
    pub(super) fn cpu(&self, group: &str, micros: u64) {
        let text = format!("usage_usec {micros}\nuser_usec {micros}\nsystem_usec 0\n");
        write(self.dir.path(), &format!("sys/fs/cgroup/{group}/cpu.stat"), &text);
        let slice = Path::new(group).parent().filter(|slice| !slice.as_os_str().is_empty());
        if let Some(slice) = slice {
            write(self.dir.path(), &format!("sys/fs/cgroup/{}/cpu.stat", slice.display()), &text);
        }
    }

    fn memory(&self, group: &str, bytes: u64) {
        write(self.dir.path(), &format!("sys/fs/cgroup/{group}/memory.current"), &bytes.to_string());
    }

    /// Adds to the counters of the socket.
    pub(super) fn energy(&mut self, package: u64, dram: u64) {
        self.package += package;
        self.dram += dram;
        let zone = "sys/class/powercap/intel-rapl:0";
        write(self.dir.path(), &format!("{zone}/energy_uj"), &self.package.to_string());
        write(self.dir.path(), &format!("{zone}/intel-rapl:0:0/energy_uj"), &self.dram.to_string());
    }

    pub(super) fn tick(&mut self, seconds: u64) -> Snapshot {
        let wall = self.wall() + Duration::from_secs(seconds);
        self.tick_at(seconds, wall)
    }

    /// The wall clock, where nobody sets it.
    pub(super) fn wall(&self) -> Duration {
        Duration::from_secs(1_800_000_000 + self.seconds)
    }

    /// One tick after so many seconds, at a time of the wall clock.
    pub(super) fn tick_at(&mut self, seconds: u64, wall: Duration) -> Snapshot {
        self.seconds += seconds;
        let now = Duration::from_secs(self.seconds);
        self.sampler.tick_at(Tick { monotonic: now, boottime: now }, wall)
    }
}

pub(super) fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub(super) fn component(snapshot: &Snapshot, component: Component) -> &ComponentTotals {
    snapshot.components.iter().find(|totals| totals.component == component).unwrap()
}

fn gained(snapshot: &Snapshot, part: Component, to: Beneficiary) -> u64 {
    component(snapshot, part).by_beneficiary[to.index()].get()
}

fn assert_conserved(snapshot: &Snapshot) {
    for totals in &snapshot.components {
        let sum: u64 = totals.by_beneficiary.iter().map(|energy| energy.get()).sum();
        assert_eq!(sum, totals.energy.get(), "{:?}", totals.component);
    }
}

const CONTAINERS: Beneficiary = Beneficiary::Owner(OwnerKind::Container);
const UNITS: Beneficiary = Beneficiary::Owner(OwnerKind::Unit);
const SYSTEM: Beneficiary = Beneficiary::Owner(OwnerKind::System);

#[test]
fn energy_goes_by_cpu_time_and_grams_follow() {
    let mut node = Node::new(|_| {});
    node.tick(1);
    node.cpu("", 1_000);
    node.cpu(CONTAINER, 600);
    node.cpu("system.slice/a.service", 300);
    node.energy(100_000_001, 0);
    let snapshot = node.tick(1);
    assert_conserved(&snapshot);
    assert_eq!(gained(&snapshot, Component::Cpu, CONTAINERS), 60_000_001);
    assert_eq!(gained(&snapshot, Component::Cpu, UNITS), 30_000_000);
    assert_eq!(gained(&snapshot, Component::Cpu, SYSTEM), 10_000_000);
    let container = snapshot.workloads.iter().find(|row| row.owner.kind() == OwnerKind::Container).unwrap();
    assert_eq!(container.cpu_time.as_nanos(), 600_000);
    let cell = container.components.iter().find(|cell| cell.component == Component::Cpu).unwrap();
    assert!((cell.power.unwrap().0 - 60.0).abs() < 0.001);
    // 60 J at 360 g/kWh.
    assert!((cell.emissions.0 - 0.006).abs() < 1e-6);
}

#[test]
fn idle_memory_energy_goes_by_memory_held() {
    let mut node = Node::new(|settings| {
        settings.baseline.insert("dram".to_owned(), 2.0);
        settings.baseline.insert("package".to_owned(), 30.0);
    });
    node.tick(1);
    node.cpu("", 100);
    node.cpu(CONTAINER, 100);
    node.energy(50_000_000, 3_000_000);
    let snapshot = node.tick(1);
    assert_conserved(&snapshot);
    assert_eq!(gained(&snapshot, Component::Cpu, Beneficiary::Idle), 30_000_000);
    assert_eq!(gained(&snapshot, Component::Cpu, CONTAINERS), 20_000_000);
    // 1,000 kB: 100 kB in the container, 50 kB in the unit, 400 kB in use in all.
    assert_eq!(gained(&snapshot, Component::Dram, CONTAINERS), 200_000 + 1_000_000);
    assert_eq!(gained(&snapshot, Component::Dram, UNITS), 100_000);
    assert_eq!(gained(&snapshot, Component::Dram, SYSTEM), 500_000);
    assert_eq!(gained(&snapshot, Component::Dram, Beneficiary::Idle), 1_200_000);
    let row = snapshot.workloads.iter().find(|row| row.owner.kind() == OwnerKind::Container).unwrap();
    let idle = row.energy.iter().find(|cell| cell.component == Component::Dram && cell.state == State::Idle);
    assert_eq!(idle.unwrap().energy.get(), 200_000);
}

#[test]
fn energy_without_any_cpu_time_is_unattributed() {
    let mut node = Node::new(|_| {});
    node.tick(1);
    node.energy(7, 0);
    let snapshot = node.tick(1);
    assert_eq!(gained(&snapshot, Component::Cpu, Beneficiary::Unattributed), 7);
    assert_eq!(snapshot.unattributed[0].reason, "no_evidence");
}

#[test]
fn a_container_that_vanished_gets_its_last_interval_and_stays_for_a_while() {
    let mut node = Node::new(|_| {});
    node.tick(1);
    node.cpu("", 500);
    node.cpu(CONTAINER, 500);
    node.energy(10_000_000, 0);
    node.tick(1);
    fs::remove_dir_all(node.dir.path().join("sys/fs/cgroup").join(CONTAINER)).unwrap();
    write(node.dir.path(), "sys/fs/cgroup/docker/cpu.stat", "usage_usec 900\nuser_usec 900\nsystem_usec 0\n");
    node.cpu("", 900);
    node.energy(8_000_000, 0);
    let snapshot = node.tick(1);
    assert_eq!(gained(&snapshot, Component::Cpu, CONTAINERS), 18_000_000);
    assert!(snapshot.workloads.iter().any(|row| row.ended && matches!(*row.owner, Owner::Container { .. })));
    let snapshot = node.tick(400);
    assert!(!snapshot.workloads.iter().any(|row| matches!(*row.owner, Owner::Container { .. })));
    assert_eq!(gained(&snapshot, Component::Cpu, CONTAINERS), 18_000_000);
}

#[test]
fn a_gap_is_booked_once_and_whole() {
    let mut node = Node::new(|_| {});
    node.tick(1);
    node.cpu("", 60_000_000);
    node.cpu(CONTAINER, 60_000_000);
    node.energy(6_000_000_000, 0);
    let snapshot = node.tick(60);
    assert_eq!(gained(&snapshot, Component::Cpu, CONTAINERS), 6_000_000_000);
    assert!((component(&snapshot, Component::Cpu).power.unwrap().0 - 100.0).abs() < 1e-9);
    let snapshot = node.tick(1);
    assert_eq!(component(&snapshot, Component::Cpu).energy.get(), 6_000_000_000);
}

#[test]
fn missed_ticks_are_left_out() {
    let second = Duration::from_secs(1);
    let at = Duration::from_millis;
    assert_eq!(next_tick(at(1000), at(1001), second), at(2000));
    assert_eq!(next_tick(at(1000), at(1999), second), at(2000));
    assert_eq!(next_tick(at(1000), at(61_200), second), at(62_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_energy_is_conserved_and_nothing_falls(
        steps in proptest::collection::vec((0_u64..100_000_000, 0_u64..9_000_000, 0_u64..900_000, 0_u64..900_000, 0..8_u8), 1..15),
    ) {
        let mut node = Node::new(|settings| {
            settings.baseline.insert("package".to_owned(), 20.0);
            settings.baseline.insert("dram".to_owned(), 1.0);
        });
        node.tick(1);
        let (mut container, mut unit, mut root) = (0, 0, 0);
        let mut last: Vec<u64> = Vec::new();
        for (package, dram, a, b, accident) in steps {
            container += a;
            unit += b;
            root += a + b / 2;
            node.cpu("", root);
            node.cpu("system.slice/a.service", unit);
            let group = node.dir.path().join("sys/fs/cgroup").join(CONTAINER);
            match accident {
                0 => drop(fs::remove_dir_all(&group)),
                1 => fs::write(group.parent().unwrap().join("cpu.stat"), b"\xff").unwrap(),
                2 => node.cpu(CONTAINER, 3),
                _ => node.cpu(CONTAINER, container),
            }
            node.energy(package, dram);
            let snapshot = node.tick(1);
            assert_conserved(&snapshot);
            let now: Vec<u64> = snapshot.components.iter().flat_map(|totals| {
                totals.by_beneficiary.iter().map(|energy| energy.get())
            }).collect();
            prop_assert!(last.iter().zip(&now).all(|(before, after)| before <= after));
            let workloads: u64 = snapshot.workloads.iter().flat_map(|row| &row.energy).map(|cell| cell.energy.get()).sum();
            let kinds: u64 = [CONTAINERS, UNITS].iter().flat_map(|to| {
                [Component::Cpu, Component::Dram].map(|part| gained(&snapshot, part, *to))
            }).sum();
            prop_assert_eq!(workloads, kinds, "the rows of owners add up to their families");
            last = now;
        }
    }
}
