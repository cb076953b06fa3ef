use super::*;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

fn table(root: &Path) -> ProcessTable<String> {
    ProcessTable::new(root, 100_000)
}

fn tick_at(table: &mut ProcessTable<String>, now: Duration) -> ProcessChanges<String> {
    table
        .tick(Round {
            now,
            possible: CpuTime::from_nanos(60_000_000_000),
            judge: &|_| Judgement { is_valid: true, is_unowned: false, wants_memory: false },
            resolve: &mut |cgroups| Some(cgroups.to_owned()),
        })
        .unwrap()
}

fn tick(table: &mut ProcessTable<String>) -> ProcessChanges<String> {
    tick_at(table, Duration::from_secs(1))
}

fn ended(changes: &ProcessChanges<String>) -> Vec<(u32, u64)> {
    changes.ended.iter().map(|process| (process.pid, process.start_time)).collect()
}

fn write_stat(root: &Path, pid: u32, comm: &str, flags: u64, ticks: u64, start: u64) {
    let dir = root.join(pid.to_string());
    fs::create_dir_all(&dir).unwrap();
    let line =
        format!("{pid} ({comm}) S 1 {pid} {pid} 0 -1 {flags} 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 0 0\n");
    fs::write(dir.join("stat"), line).unwrap();
    fs::write(dir.join("cgroup"), "0::/a.service\n").unwrap();
}

fn find(table: &ProcessTable<String>, pid: u32) -> Option<&Process<String>> {
    table.iter().find(|process| process.pid == pid)
}

#[test]
fn a_fixture_tree_is_read_by_stat() {
    let dir = tempfile::tempdir().unwrap();
    write_stat(dir.path(), 10, "old", 0, 500, 7);
    write_stat(dir.path(), 2, "kthreadd", PF_KTHREAD_FOR_TEST, 9, 1);
    fs::create_dir(dir.path().join("notapid")).unwrap();
    let mut table = table(dir.path());
    assert_eq!(table.source(), ClockSource::Stat);
    tick(&mut table);
    assert_eq!(table.iter().count(), 1, "kernel threads aren't processes");
    assert_eq!(find(&table, 10).unwrap().delta, CpuTime::ZERO, "time before the start isn't ours");
    write_stat(dir.path(), 10, "old", 0, 600, 7);
    write_stat(dir.path(), 11, "new", 0, 50, 9);
    tick(&mut table);
    let hundred_ticks = from_ticks(100, procfs::ticks_per_second());
    assert_eq!(find(&table, 10).unwrap().delta, hundred_ticks);
    assert_eq!(find(&table, 11).unwrap().delta, from_ticks(50, procfs::ticks_per_second()));
    fs::remove_dir_all(dir.path().join("10")).unwrap();
    assert_eq!(ended(&tick(&mut table)), [(10, 7)]);
}

const PF_KTHREAD_FOR_TEST: u64 = 0x0020_0000;

#[test]
fn a_reused_pid_never_inherits() {
    let dir = tempfile::tempdir().unwrap();
    write_stat(dir.path(), 10, "first", 0, 500, 7);
    let mut table = table(dir.path());
    tick(&mut table);
    // While the old directory is still there, the new one gets another inode, as in procfs.
    fs::rename(dir.path().join("10"), dir.path().join("gone")).unwrap();
    write_stat(dir.path(), 10, "second", 0, 900, 8);
    let changes = tick(&mut table);
    let process = find(&table, 10).unwrap();
    assert_eq!((&*process.comm, process.start_time), ("second", 8));
    assert_eq!(process.delta, from_ticks(900, procfs::ticks_per_second()));
    assert_eq!(ended(&changes), [(10, 7)]);
}

#[test]
fn unreadable_processes_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for (pid, text) in [(20, ""), (21, "21 (x"), (22, "\u{0}\u{1}")] {
        fs::create_dir_all(dir.path().join(pid.to_string())).unwrap();
        fs::write(dir.path().join(pid.to_string()).join("stat"), text).unwrap();
    }
    fs::create_dir_all(dir.path().join("99999999999")).unwrap();
    let mut table = table(dir.path());
    tick(&mut table);
    assert_eq!(table.iter().count(), 0);
}

#[test]
fn the_number_of_processes_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    for pid in 1..=30 {
        write_stat(dir.path(), pid, "x", 0, 1, 1);
    }
    let mut table: ProcessTable<String> = ProcessTable::new(dir.path(), 10);
    assert_eq!(tick(&mut table).left_out, 20);
    assert_eq!(table.iter().count(), 10);
}

#[test]
fn checks_get_rarer_with_age() {
    let start = Duration::from_secs(10);
    let mut now = start;
    let mut gaps = Vec::new();
    for _ in 0..7 {
        let next = next_check(7, start, now);
        gaps.push((next - now).as_secs());
        now = next;
    }
    assert_eq!(gaps, [1, 1, 2, 4, 22, SETTLED_RECHECK + 7, SETTLED_RECHECK + 7]);
}

#[test]
fn a_process_that_was_there_unseen_does_not_bring_its_lifetime() {
    let dir = tempfile::tempdir().unwrap();
    write_stat(dir.path(), 10, "x", 0, 1, 1);
    let mut table = table(dir.path());
    tick(&mut table);
    // An hour of CPU time can't have been used since the last tick.
    write_stat(dir.path(), 11, "old", 0, 3600 * procfs::ticks_per_second(), 1);
    tick(&mut table);
    assert_eq!(find(&table, 11).unwrap().delta, CpuTime::ZERO);
    write_stat(dir.path(), 11, "old", 0, 3601 * procfs::ticks_per_second(), 1);
    tick(&mut table);
    assert_eq!(find(&table, 11).unwrap().delta, CpuTime::from_nanos(1_000_000_000));
}

#[test]
fn a_process_that_moves_is_followed_while_it_is_young() {
    let dir = tempfile::tempdir().unwrap();
    write_stat(dir.path(), 9, "x", 0, 1, 1);
    let mut table = table(dir.path());
    tick(&mut table);
    write_stat(dir.path(), 10, "sh", 0, 1, 1);
    tick_at(&mut table, Duration::from_secs(5));
    write_stat(dir.path(), 10, "server", 0, 2, 1);
    fs::write(dir.path().join("10/cgroup"), "0::/b.service\n").unwrap();
    tick_at(&mut table, Duration::from_secs(6));
    let process = find(&table, 10).unwrap();
    assert_eq!((&*process.comm, process.place.as_deref()), ("server", Some("0::/b.service\n")));
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[allow(clippy::disallowed_methods)]
fn real_processes_are_read_by_their_cpu_clock() {
    let mut table = table(Path::new("/proc"));
    assert_eq!(table.source(), ClockSource::CpuClock);
    tick(&mut table);
    let own = std::process::id();
    assert!(find(&table, own).is_some());
    let busy = KillOnDrop(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap());
    let pid = busy.0.id();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut used = CpuTime::ZERO;
    while used < CpuTime::from_nanos(50_000_000) {
        assert!(Instant::now() < deadline, "a busy process showed {used:?}");
        thread::yield_now();
        tick(&mut table);
        used += find(&table, pid).map_or(CpuTime::ZERO, |process| process.delta);
    }
    drop(busy);
    let changes = tick(&mut table);
    assert!(changes.ended.iter().any(|gone| gone.pid == pid));
    assert!(find(&table, pid).is_none());
}
