use super::*;
use crate::workloads::owner::Owner;
use std::path::Path;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A hybrid machine made of files: v1 cpuacct and memory, and a v2 tree beside them.
struct Machine {
    dir: tempfile::TempDir,
    reader: WorkloadReader,
    seconds: u64,
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

impl Machine {
    fn hybrid() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cgroup = dir.path().join("sys/fs/cgroup");
        let mounts: String = [
            ("cpuacct", "cgroup", "rw,cpuacct"),
            ("memory", "cgroup", "rw,memory"),
            ("unified", "cgroup2", "rw"),
        ]
        .iter()
        .map(|(name, kind, options)| {
            format!("1 1 0:1 / {}/{name} rw - {kind} c {options}\n", cgroup.display())
        })
        .collect();
        write(dir.path(), "proc/self/mountinfo", &mounts);
        write(dir.path(), "proc/stat", "cpu  0 0 0 0\ncpu0 0\ncpu1 0\n");
        write(dir.path(), "proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
        for tree in ["cpuacct", "memory", "unified"] {
            fs::create_dir_all(cgroup.join(tree)).unwrap();
        }
        let settings = ReaderSettings {
            procfs: dir.path().join("proc"),
            sysfs: dir.path().join("sys"),
            processes: true,
            cgroups: true,
            open_files: 100,
            max_cgroups: 100,
            max_processes: 100,
        };
        let machine = Self { reader: WorkloadReader::new(settings, 100), dir, seconds: 100 };
        machine.first("", 0);
        machine.second("", 0);
        machine
    }

    /// Sets the CPU time of a group of cpuacct, in milliseconds.
    fn first(&self, group: &str, millis: u64) {
        self.group("cpuacct", group, "cpuacct.usage", &format!("{}\n", millis * 1_000_000));
    }

    /// Sets the CPU time of a group of the v2 tree, in milliseconds.
    fn second(&self, group: &str, millis: u64) {
        let micros = millis * 1_000;
        let text = format!("usage_usec {micros}\nuser_usec {micros}\nsystem_usec 0\n");
        self.group("unified", group, "cpu.stat", &text);
    }

    /// Writes the file of a group; groups above it that have none yet get the same.
    fn group(&self, tree: &str, group: &str, file: &str, text: &str) {
        let root = format!("sys/fs/cgroup/{tree}");
        for above in Path::new(group).ancestors().skip(1) {
            let path = format!("{root}/{}/{file}", above.display());
            if !self.dir.path().join(&path).exists() {
                write(self.dir.path(), &path, text);
            }
        }
        write(self.dir.path(), &format!("{root}/{group}/{file}"), text);
    }

    fn memory(&self, group: &str, bytes: u64) {
        let path = format!("sys/fs/cgroup/memory/{group}/memory.usage_in_bytes");
        write(self.dir.path(), &path, &bytes.to_string());
    }

    fn process(&self, pid: u32, first: &str, second: &str) {
        let stat = format!("{pid} (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0\n");
        write(self.dir.path(), &format!("proc/{pid}/stat"), &stat);
        let cgroups = format!("2:cpuacct:{first}\n1:memory:{first}\n0::{second}\n");
        write(self.dir.path(), &format!("proc/{pid}/cgroup"), &cgroups);
        write(self.dir.path(), &format!("proc/{pid}/statm"), "100 2 0 0 0 0 0\n");
    }

    fn tick(&mut self) -> WorkloadTick {
        self.seconds += 1;
        self.reader.read_cgroups(Duration::from_secs(self.seconds), Duration::from_secs(1)).unwrap();
        self.reader.read_processes().unwrap();
        self.reader.collect()
    }

    fn owner(&self, id: OwnerId) -> Option<&Owner> {
        self.reader.owners().get(id).map(|owner| &**owner)
    }

    /// The usage of an owner in milliseconds: what its nodes count less what stands elsewhere.
    fn used(&self, tick: &WorkloadTick, wanted: impl Fn(&Owner) -> bool) -> u64 {
        let of_owner = tick.nodes.iter().filter(|node| self.owner(node.owner).is_some_and(&wanted));
        of_owner.map(|node| node.delta.unwrap().saturating_sub(node.elsewhere).as_nanos() / 1_000_000).sum()
    }
}

fn is_unit(owner: &Owner) -> bool {
    matches!(owner, Owner::Unit { .. })
}

fn is_container(owner: &Owner) -> bool {
    matches!(owner, Owner::Container { .. })
}

#[test]
fn units_of_the_second_tree_are_seen_and_containers_of_the_first_taken_off_them() {
    let mut machine = Machine::hybrid();
    let container = format!("docker/{ID}");
    machine.first(&container, 0);
    machine.second("system.slice/docker.service", 0);
    // dockerd itself is in the root of cpuacct; its container has a group there but none in the v2 tree.
    machine.process(10, "/", "/system.slice/docker.service");
    machine.process(11, &format!("/{container}"), "/system.slice/docker.service");
    machine.tick();
    machine.first("", 100);
    machine.first("docker", 70);
    machine.first(&container, 70);
    machine.second("system.slice/docker.service", 90);
    let tick = machine.tick();
    assert_eq!(machine.used(&tick, is_container), 70);
    assert_eq!(machine.used(&tick, is_unit), 20, "90 less the container's 70");
    let unit = tick.nodes.iter().find(|node| machine.owner(node.owner).is_some_and(is_unit)).unwrap();
    let slice = &tick.nodes[unit.parent.unwrap()];
    assert_eq!(slice.parent, Some(0), "its processes are in the root of the first tree");
}

#[test]
fn a_container_in_both_trees_counts_once() {
    let mut machine = Machine::hybrid();
    let container = format!("docker/{ID}");
    machine.first(&container, 0);
    machine.second(&container, 0);
    machine.memory(&container, 4096);
    machine.process(11, &format!("/{container}"), &format!("/{container}"));
    machine.tick();
    machine.first(&container, 70);
    machine.second(&container, 70);
    let tick = machine.tick();
    assert_eq!(machine.used(&tick, is_container), 70);
    let memory: Vec<u64> = tick.memory.iter().map(|(_, bytes)| bytes.0).collect();
    assert_eq!(memory, [4096]);
}

#[test]
fn a_container_that_only_the_second_tree_knows_hangs_below_the_unit_of_its_processes() {
    let mut machine = Machine::hybrid();
    let scope = format!("user.slice/libpod-{ID}.scope");
    machine.first("system.slice/a.service", 0);
    machine.second(&scope, 0);
    machine.process(11, "/system.slice/a.service", &format!("/{scope}"));
    machine.tick();
    machine.first("", 60);
    machine.first("system.slice", 60);
    machine.first("system.slice/a.service", 50);
    machine.second(&scope, 40);
    let tick = machine.tick();
    let at = tick.nodes.iter().position(|node| machine.owner(node.owner).is_some_and(is_container)).unwrap();
    let parent = tick.nodes[at].parent.unwrap();
    assert!(machine.owner(tick.nodes[parent].owner).is_some_and(is_unit));
    assert_eq!(tick.nodes[at].delta.unwrap().as_nanos(), 40_000_000);
    assert_eq!(tick.nodes[parent].elsewhere, CpuTime::ZERO, "a child is taken off anyway");
}

#[test]
fn without_a_memory_group_resident_memory_counts() {
    let mut machine = Machine::hybrid();
    let container = format!("docker/{ID}");
    machine.first(&container, 0);
    machine.process(11, &format!("/{container}"), "/");
    for _ in 0..40 {
        machine.tick();
    }
    let tick = machine.tick();
    let memory: Vec<u64> = tick.memory.iter().map(|(_, bytes)| bytes.0).collect();
    assert_eq!(memory, [2 * procfs::page_size()]);
    assert_eq!(tick.machine_memory, Some((Bytes(1_024_000), Bytes(614_400))));
}

#[test]
fn a_hierarchy_that_appears_at_run_time_is_read_and_names_no_node_twice() {
    let mut machine = Machine::hybrid();
    let mounts = machine.dir.path().join("proc/self/mountinfo");
    let all = fs::read_to_string(&mounts).unwrap();
    machine.second("system.slice/a.service", 0);
    fs::write(
        &mounts,
        all.lines()
            .filter(|line| line.contains("cgroup2"))
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
    .unwrap();
    machine.reader.survey();
    assert_eq!(machine.reader.layout().to_string(), "v2");
    let before = machine.tick();
    fs::write(&mounts, all).unwrap();
    machine.first("system.slice/a.service", 0);
    machine.reader.survey();
    assert_eq!(machine.reader.layout().to_string(), "hybrid");
    let after = machine.tick();
    let unit = after.nodes.iter().filter(|node| machine.owner(node.owner).is_some_and(is_unit));
    assert_eq!(unit.count(), 1);
    assert!(before.nodes.iter().all(|old| after.nodes.iter().all(|new| new.key != old.key)));
}

#[test]
fn inner_groups_of_the_second_tree_tell_what_vanished_below_them() {
    let mut machine = Machine::hybrid();
    let container = format!("docker/{ID}");
    machine.second(&container, 0);
    machine.process(11, "/", &format!("/{container}"));
    machine.tick();
    machine.first("", 100);
    machine.second("docker", 30);
    machine.second(&container, 30);
    machine.tick();
    machine.first("", 900);
    machine.second("docker", 50);
    fs::remove_dir_all(machine.dir.path().join("sys/fs/cgroup/unified").join(&container)).unwrap();
    let tick = machine.tick();
    let gone = tick.nodes.iter().find(|node| node.vanished).unwrap();
    let parent = &tick.nodes[gone.parent.unwrap()];
    assert_eq!((parent.delta.unwrap().as_nanos(), parent.parent), (20_000_000, Some(0)));
}

#[test]
fn an_inner_group_shows_nothing_that_the_first_tree_shows() {
    let mut machine = Machine::hybrid();
    let container = format!("docker/{ID}");
    let other = format!("docker/{}", "fedcba9876543210".repeat(4));
    machine.first(&container, 0);
    machine.second(&container, 0);
    machine.second(&other, 0);
    machine.process(11, &format!("/{container}"), &format!("/{container}"));
    machine.process(12, "/", &format!("/{other}"));
    machine.tick();
    machine.first("", 100);
    machine.first("docker", 70);
    machine.first(&container, 70);
    machine.second("docker", 75);
    machine.second(&container, 70);
    machine.second(&other, 5);
    let tick = machine.tick();
    // Each node's own count less its children's adds up to the root's.
    let own = |at: usize| {
        let node = &tick.nodes[at];
        node.delta.unwrap().saturating_sub(node.elsewhere).as_nanos() / 1_000_000
    };
    let leaves: u64 = (0..tick.nodes.len())
        .filter(|at| tick.nodes.iter().all(|node| node.parent != Some(*at)))
        .map(own)
        .sum();
    assert_eq!(leaves, 75, "70 in the first tree and 5 in the second, none of it twice");
    let inner = tick.nodes.iter().position(|node| node.key & (1 << 63) != 0 && node.owner == OwnerId::SYSTEM);
    assert_eq!(own(inner.unwrap()), 5);
}
