//! Who uses the cards, and how much.

use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::Duration;

use proptest::prelude::{prop, prop_assert, proptest};

use super::fixture::{Machine, PCI, amd, amdgpu, client, limits};
use crate::gpu::Found;

#[test]
fn work_is_engine_time_since_the_last_reading() {
    let (machine, _) = amd();
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 1_000)]));
    machine.open(200, 5, &amdgpu(PCI, 2, 2048, &[("gfx", 9_000)]));
    machine.open(300, 5, &amdgpu("0000:04:00.0", 1, 4096, &[("gfx", 1)]));
    machine.open_other(400, 3);
    machine.process(500);
    let mut card = machine.only();
    let first = machine.read(&mut card);
    assert_eq!(first.clients, Some(vec![client(100, Some(1 << 20)), client(200, Some(2 << 20))]));
    assert_eq!(first.work, None);
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 4_000), ("compute", 500)]));
    let second = machine.tick(&mut card);
    assert_eq!(second.work, Some(vec![(100, 3_500)]));
    assert_eq!(machine.tick(&mut card).work, Some(Vec::new()));
    assert_eq!(limits(&second), []);
}

#[test]
fn two_readings_in_one_scan_know_no_work() {
    let (machine, _) = amd();
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 1_000)]));
    let mut card = machine.only();
    machine.read(&mut card);
    machine.tick(&mut card);
    machine.wait(10);
    assert_eq!(machine.read(&mut card).work, None);
}

#[test]
fn values_that_fall_back_are_waited_for() {
    let (machine, _) = amd();
    let mut card = machine.only();
    let mut work = Vec::new();
    for busy in [1_000, 5_000, 3_000, 4_000, 6_000] {
        machine.open(100, 5, &amdgpu(PCI, 1, 1, &[("gfx", busy)]));
        work.push(machine.tick(&mut card).work.map(|work| work.iter().map(|(_, work)| work).sum::<u64>()));
    }
    assert_eq!(work, [None, Some(4_000), Some(0), Some(0), Some(1_000)]);
}

#[test]
fn a_shared_client_counts_once_for_the_lowest_pid() {
    let (machine, _) = amd();
    for (pid, file) in [(200, 7), (100, 3), (100, 9)] {
        machine.open(pid, file, &amdgpu(PCI, 1, 1024, &[("gfx", 1_000)]));
    }
    // A second client of the same process adds to the first.
    machine.open(100, 10, &amdgpu(PCI, 2, 1024, &[("gfx", 0)]));
    let mut card = machine.only();
    assert_eq!(machine.read(&mut card).clients, Some(vec![client(100, Some(2 << 20))]));
    for (pid, file) in [(200, 7), (100, 3), (100, 9)] {
        machine.open(pid, file, &amdgpu(PCI, 1, 1024, &[("gfx", 3_000)]));
    }
    assert_eq!(machine.tick(&mut card).work, Some(vec![(100, 2_000)]));
    // The lowest ends: the client lives on in the other, and its time isn't counted anew.
    machine.remove("proc/100");
    machine.open(200, 7, &amdgpu(PCI, 1, 1024, &[("gfx", 3_700)]));
    let reading = machine.tick(&mut card);
    assert_eq!(
        (reading.clients, reading.work),
        (Some(vec![client(200, Some(1 << 20))]), Some(vec![(200, 700)]))
    );
}

#[test]
fn a_file_that_was_only_opened_is_no_context() {
    let (machine, _) = amd();
    machine.open(100, 5, &amdgpu(PCI, 1, 0, &[("gfx", 0)]));
    machine.open(101, 5, &amdgpu(PCI, 2, 0, &[("gfx", 1)]));
    machine.open(102, 5, &amdgpu(PCI, 3, 4, &[]));
    let clients = machine.read(&mut machine.only()).clients;
    assert_eq!(clients, Some(vec![client(101, Some(0)), client(102, Some(4096))]));
}

#[test]
fn new_processes_count_from_their_start_but_not_beyond_the_time_that_passed() {
    let (machine, _) = amd();
    let mut card = machine.only();
    machine.read(&mut card);
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 700_000)]));
    machine.open(101, 5, &amdgpu(PCI, 2, 1024, &[("gfx", 60_000_000_000)]));
    assert_eq!(machine.tick(&mut card).work, Some(vec![(100, 700_000), (101, 1_000_000_000)]));
}

#[test]
fn a_file_that_is_opened_late_is_found_within_ten_seconds() {
    let (machine, _) = amd();
    machine.process(100);
    let mut card = machine.only();
    machine.read(&mut card);
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 5)]));
    let seconds = (1..30).find(|_| machine.tick(&mut card).clients != Some(Vec::new()));
    assert!(seconds.is_some_and(|seconds| seconds <= 10), "{seconds:?}");
}

#[test]
fn without_a_new_pid_procfs_is_not_listed() {
    let (machine, _) = amd();
    machine.write("proc/loadavg", "0.00 0.00 0.00 1/100 99\n");
    let mut card = machine.only();
    machine.read(&mut card);
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 5)]));
    assert_eq!(machine.tick(&mut card).clients, Some(Vec::new()));
    machine.write("proc/loadavg", "0.00 0.00 0.00 1/101 100\n");
    assert_eq!(machine.tick(&mut card).clients, Some(vec![client(100, Some(1 << 20))]));
}

#[test]
fn classes_of_several_engines_count_as_one() {
    let machine = Machine::new();
    machine.card(0, "i915", PCI);
    let fdinfo = |busy: u64| {
        format!(
            "drm-driver: i915\ndrm-pdev: {PCI}\ndrm-client-id: 3\ndrm-engine-video: {busy} ns\n\
             drm-engine-capacity-video: 2\ndrm-engine-render: 10 ns\ndrm-resident-local0: 1 MiB\n"
        )
    };
    machine.open(100, 5, &fdinfo(1_000));
    let mut card = machine.only();
    machine.read(&mut card);
    machine.open(100, 5, &fdinfo(5_000));
    let reading = machine.tick(&mut card);
    assert_eq!(reading.work, Some(vec![(100, 2_000)]));
    assert_eq!(reading.clients, Some(vec![client(100, Some(1 << 20))]));
}

#[test]
fn cycles_are_turned_into_time() {
    let machine = Machine::new();
    machine.card(0, "xe", PCI);
    let fdinfo = |cycles: u64, total: u64| {
        format!(
            "drm-driver: xe\ndrm-pdev: {PCI}\ndrm-client-id: 3\ndrm-cycles-ccs: {cycles}\n\
             drm-total-cycles-ccs: {total}\ndrm-engine-capacity-ccs: 4\ndrm-resident-vram0: 8 KiB\n"
        )
    };
    let mut card = machine.only();
    let mut work = Vec::new();
    // Half of one engine of four; the cycles that passed begin anew, and go on.
    for (cycles, total) in [(100, 1_000), (600, 2_000), (700, 500), (800, 900)] {
        machine.open(100, 5, &fdinfo(cycles, total));
        work.push(machine.tick(&mut card).work.map(|work| work.iter().map(|(_, work)| work).sum::<u64>()));
    }
    assert_eq!(work, [None, Some(125_000_000), Some(0), Some(62_500_000)]);
}

#[test]
fn other_drivers_and_garbage_are_left_out() {
    let (machine, _) = amd();
    machine.open(
        100,
        5,
        &format!("drm-driver: nouveau\ndrm-pdev: {PCI}\ndrm-client-id: 1\ndrm-engine-gr: 5 ns\n"),
    );
    machine.open(101, 5, "\u{fffd}\0drm-driver:\ndrm-pdev");
    std::fs::write(machine.path("proc/101/fdinfo/5"), b"\xff\xfe\x00drm-client-id: \xff").unwrap();
    machine.write("proc/not-a-pid/fd/3", "");
    let reading = machine.read(&mut machine.only());
    assert_eq!((reading.clients, reading.limitations), (Some(Vec::new()), Vec::new()));
}

/// A machine with two cards and a compute process on the first.
fn rocm() -> (Machine, Vec<Found>) {
    let machine = Machine::new();
    machine.card(0, "amdgpu", PCI);
    machine.card(1, "amdgpu", "0000:04:00.0");
    machine.kfd_node(0, 0, 0, 64);
    // Two partitions of the first device, told apart where the function stands.
    machine.kfd_node(1, 1001, 0x300, 0);
    machine.kfd_node(2, 1002, 0x301, 0);
    machine.kfd_node(3, 2001, 0x400, 0);
    for (id, bytes) in [(1001, 4096), (1002, 1024), (2001, 0)] {
        machine.write(&format!("class/kfd/kfd/proc/100/vram_{id}"), format!("{bytes}\n"));
    }
    machine.write("class/kfd/kfd/proc/100/queues/0/gpuid", "1002");
    let found = machine.find();
    (machine, found)
}

#[test]
fn compute_processes_are_clients_whose_work_is_not_known() {
    let (machine, mut found) = rocm();
    machine.open(100, 5, &amdgpu(PCI, 1, 1, &[("gfx", 5)]));
    machine.tick(&mut found[0]);
    let reading = machine.tick(&mut found[0]);
    assert_eq!(reading.clients, Some(vec![client(100, Some(5120))]));
    assert_eq!(reading.work, None);
    assert!(limits(&reading).contains(&("sm_util", "compute queues of ROCm show no engine time")));
    // It holds nothing on the other card.
    machine.tick(&mut found[1]);
    let other = machine.tick(&mut found[1]);
    assert_eq!((other.clients, other.work), (Some(Vec::new()), Some(Vec::new())));
}

#[test]
fn a_compute_process_without_queues_does_nothing() {
    let (machine, mut found) = rocm();
    machine.remove("class/kfd/kfd/proc/100/queues/0");
    machine.tick(&mut found[0]);
    let reading = machine.tick(&mut found[0]);
    assert_eq!((reading.clients, reading.work), (Some(vec![client(100, Some(5120))]), Some(Vec::new())));
    // Where queues aren't listed at all, nobody knows.
    machine.remove("class/kfd/kfd/proc/100/queues");
    assert_eq!(machine.tick(&mut found[0]).work, None);
}

#[test]
fn compute_time_in_fdinfo_counts() {
    let (machine, mut found) = rocm();
    machine.open(100, 5, &amdgpu(PCI, 1, 1, &[("compute", 5)]));
    machine.tick(&mut found[0]);
    machine.open(100, 5, &amdgpu(PCI, 1, 1, &[("compute", 50)]));
    assert_eq!(machine.tick(&mut found[0]).work, Some(vec![(100, 45)]));
}

#[test]
fn a_scan_reads_so_many_files_and_no_more() {
    let (machine, _) = amd();
    for client in 0..4_100_u32 {
        machine.open(100 + client % 2, client, &amdgpu(PCI, u64::from(client), 1, &[("gfx", 5)]));
    }
    let reading = machine.read(&mut machine.only());
    assert_eq!(reading.clients, Some(vec![client(100, Some(2050 << 10)), client(101, Some(2046 << 10))]));
    assert_eq!(limits(&reading), [("clients", "too many DRM files to read")]);
}

#[test]
fn what_may_not_be_looked_at_is_said() {
    let (machine, _) = amd();
    machine.process(7);
    let directory = machine.path("proc/7/fd");
    let set = |mode| std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).unwrap();
    set(0o000);
    if std::fs::read_dir(&directory).is_ok() {
        // Root reads everything here; the errors' kinds are tested apart.
        return;
    }
    let mut card = machine.only();
    let reading = machine.read(&mut card);
    assert_eq!((&reading.clients, &reading.work), (&None, &None), "nobody in sight means nothing");
    assert_eq!(limits(&reading), [("clients", "no right to see all processes: nobody is known")]);
    assert!(reading.limitations[0].remedy.unwrap().contains("CAP_SYS_PTRACE"));
    machine.open(100, 5, &amdgpu(PCI, 1, 1, &[("gfx", 5)]));
    assert_eq!(machine.tick(&mut card).clients, Some(vec![client(100, Some(1024))]));
    set(0o700);
    machine.wait(10_000);
    assert_eq!(limits(&machine.read(&mut card)), []);
}

#[test]
fn without_procfs_nobody_is_known() {
    let (machine, _) = amd();
    machine.remove("proc");
    let reading = machine.read(&mut machine.only());
    assert_eq!((reading.clients.as_ref(), reading.work.as_ref()), (None, None));
    assert_eq!(limits(&reading), [("clients", "procfs can't be listed")]);
    assert!(reading.energy.is_some());
}

#[test]
fn a_scan_that_hangs_holds_up_its_own_card_only() {
    let (machine, _) = amd();
    machine.card(2, "amdgpu", "0000:04:00.0");
    // A pipe without a writer blocks whoever opens it.
    machine.open(100, 5, &amdgpu(PCI, 1, 1024, &[("gfx", 5)]));
    let mut found = machine.find();
    machine.read(&mut found[1]);
    machine.remove("proc/100/fdinfo/5");
    let pipe = machine.path("proc/100/fdinfo/5");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    machine.wait(1_000);
    let (mut stuck, now) = (found.remove(0), machine.now());
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let reading = (stuck.reader)(&now);
        sender.send(reading.is_ok()).unwrap();
    });
    assert!(receiver.recv_timeout(Duration::from_millis(300)).is_err(), "it should hang");
    // The other one answers with what it knows, and says so when that is old.
    let reading = machine.read(&mut found[0]);
    assert_eq!((reading.clients, reading.work), (Some(Vec::new()), None));
    machine.wait(6_000);
    let reading = machine.read(&mut found[0]);
    assert_eq!(
        (reading.clients.as_ref(), limits(&reading)),
        (None, vec![("counter", "no energy or power input"), ("clients", "reading fdinfo hangs")])
    );
    std::fs::write(&pipe, amdgpu(PCI, 1, 1024, &[("gfx", 9)])).unwrap();
    assert!(receiver.recv_timeout(Duration::from_secs(10)).unwrap());
    thread.join().unwrap();
    std::fs::remove_file(&pipe).unwrap();
    assert_eq!(limits(&machine.read(&mut found[0])), [("counter", "no energy or power input")]);
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn work_never_exceeds_what_the_engines_counted(values in prop::collection::vec(0..1_000_000u64, 2..12)) {
        let (machine, _) = amd();
        let mut card = machine.only();
        let mut sum = 0;
        for busy in &values {
            machine.open(100, 5, &amdgpu(PCI, 1, 1, &[("gfx", *busy)]));
            let work = machine.tick(&mut card).work;
            sum += work.iter().flatten().map(|(_, work)| work).sum::<u64>();
        }
        let most = values.iter().max().unwrap();
        prop_assert!(sum == most - values[0], "{sum} of {values:?}");
    }
}
