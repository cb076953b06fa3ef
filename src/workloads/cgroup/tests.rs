use super::*;
use crate::workloads::owner::OwnerKind;

struct Fixture {
    dir: tempfile::TempDir,
    owners: OwnerTable,
    reader: CgroupReader,
}

impl Fixture {
    fn new(version: Version) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hierarchy = Hierarchy {
            version,
            mount: dir.path().to_owned(),
            root: "/".to_owned(),
            controllers: Vec::new(),
        };
        let reader = CgroupReader::new(hierarchy.clone(), Some(hierarchy), 100, 1000, 0);
        let fixture = Self { dir, owners: OwnerTable::new(100), reader };
        fixture.set("", 0);
        fixture
    }

    fn set(&self, group: &str, micros: u64) {
        let directory = self.dir.path().join(group);
        fs::create_dir_all(&directory).unwrap();
        match self.reader.hierarchy().version {
            Version::V1 => fs::write(directory.join("cpuacct.usage"), format!("{}\n", micros * 1000)),
            Version::V2 => fs::write(
                directory.join("cpu.stat"),
                format!("usage_usec {micros}\nuser_usec {micros}\nsystem_usec 0\n"),
            ),
        }
        .unwrap();
    }

    fn tick(&mut self) {
        self.reader.tick(&mut self.owners, CpuTime::from_micros(10_000_000)).unwrap();
    }

    fn delta(&self, group: &str) -> Option<CpuTime> {
        let node = self.reader.tree().find(group)?;
        self.reader.delta(node)
    }
}

#[test]
fn deltas_of_both_versions() {
    for version in [Version::V1, Version::V2] {
        let mut fixture = Fixture::new(version);
        fixture.set("a.service", 500);
        fixture.tick();
        assert_eq!(fixture.delta("a.service"), None, "what was used before isn't ours");
        fixture.set("a.service", 700);
        fixture.set("b.service", 40);
        fixture.set("", 900);
        fixture.tick();
        assert_eq!(fixture.delta("a.service"), Some(CpuTime::from_micros(200)));
        assert_eq!(fixture.delta("b.service"), Some(CpuTime::from_micros(40)), "a new group began at 0");
        assert_eq!(fixture.delta(""), Some(CpuTime::from_micros(900)));
    }
}

#[test]
fn a_counter_that_falls_gives_nothing_until_it_passes_its_old_value() {
    let mut fixture = Fixture::new(Version::V1);
    fixture.set("a.service", 500);
    fixture.tick();
    fixture.set("a.service", 100);
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), Some(CpuTime::ZERO));
    fixture.set("a.service", 600);
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), Some(CpuTime::from_micros(100)));
}

#[test]
fn a_group_that_used_more_than_possible_was_renamed() {
    let mut fixture = Fixture::new(Version::V1);
    fixture.tick();
    fixture.set("a.service", 60_000_000);
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), None);
    fixture.set("a.service", 60_000_050);
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), Some(CpuTime::from_micros(50)));
}

#[test]
fn garbage_is_told_and_costs_one_tick_only() {
    let mut fixture = Fixture::new(Version::V2);
    fixture.set("a.service", 500);
    fixture.tick();
    fs::write(fixture.dir.path().join("a.service/cpu.stat"), b"\xff\xff").unwrap();
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), None);
    assert!(fixture.reader.failure().is_some_and(|text| text.contains("a.service/cpu.stat")));
    fixture.set("a.service", 800);
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), Some(CpuTime::from_micros(300)), "the missed tick isn't lost");
    assert_eq!(fixture.reader.failure(), None);
}

#[test]
fn a_removed_group_is_marked_and_its_last_rate_kept() {
    let mut fixture = Fixture::new(Version::V1);
    fixture.set("a.service", 500);
    fixture.tick();
    fixture.set("a.service", 900);
    fixture.tick();
    fs::remove_dir_all(fixture.dir.path().join("a.service")).unwrap();
    fixture.tick();
    let node = fixture.reader.tree().iter().find(|node| node.is_border).unwrap();
    assert!(node.vanished);
    assert_eq!(fixture.reader.rate(node), CpuTime::from_micros(400));
    assert_eq!(fixture.owners.kind(node.owner), OwnerKind::Unit);
    assert!(!fixture.owners.is_live(node.owner));
}

#[test]
fn memory_is_read_for_owners() {
    let mut fixture = Fixture::new(Version::V2);
    fixture.set("a.service", 1);
    fs::write(fixture.dir.path().join("a.service/memory.current"), "4096\n").unwrap();
    fixture.tick();
    let node = fixture.reader.tree().find("a.service").unwrap();
    assert_eq!(fixture.reader.memory(node), Some(Bytes(4096)));
}

#[test]
fn a_group_that_gets_its_first_container_late_or_again_hides_nothing_of_it() {
    let id = "0123456789abcdef".repeat(4);
    let container = format!("docker/{id}");
    let mut fixture = Fixture::new(Version::V1);
    fixture.set("docker", 500);
    fixture.tick();
    for total in [900, 5_000] {
        fixture.set("docker", total);
        fixture.set(&container, 400);
        fixture.tick();
        assert_eq!(fixture.delta(&container), Some(CpuTime::from_micros(400)));
        assert_eq!(fixture.delta("docker"), None, "nobody looked at it before");
        fs::remove_dir_all(fixture.dir.path().join(&container)).unwrap();
        fixture.tick();
        fixture.tick();
    }
}

#[test]
fn a_group_made_anew_under_its_name_between_two_ticks_is_a_new_one() {
    let mut fixture = Fixture::new(Version::V1);
    fixture.set("a.service", 500);
    fixture.tick();
    fixture.set("b.service", 1);
    fs::remove_dir_all(fixture.dir.path().join("a.service")).unwrap();
    fs::create_dir(fixture.dir.path().join("takes.the.inode")).unwrap();
    fs::remove_dir_all(fixture.dir.path().join("b.service")).unwrap();
    fixture.set("a.service", 40);
    fixture.tick();
    assert_eq!(fixture.delta("a.service"), Some(CpuTime::from_micros(40)));
}
