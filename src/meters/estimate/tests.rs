use proptest::prelude::{any, prop_assert, proptest};

use super::*;
use crate::meters::fixture::Node;

fn tick(seconds: u64) -> Tick {
    let time = Duration::from_secs(seconds);
    Tick { monotonic: time, boottime: time }
}

fn table(name: &str) -> Option<TabulatedCpu> {
    let cpu = |threads| TabulatedCpu { name: "Known 6430".to_owned(), tdp: Watts(270.0), threads };
    match name {
        "Known 6430 @ 2.1GHz" => Some(cpu(Some(64))),
        "Known 6430 of unknown size" => Some(cpu(None)),
        _ => None,
    }
}

fn basis(model: &str, sockets: u32, threads: u32, flags: &str) -> EstimateBasis {
    let node = Node::new();
    node.cpus(model, sockets, threads, flags);
    let settings = ModelSettings { lookup: table, ..ModelSettings::default() };
    EstimateBasis::new(CpuFacts::read(&node.procfs(), node.sysfs()), &settings)
}

#[test]
fn the_maximum_is_scaled_to_the_cpus_that_are_there() {
    let rows = [
        ("Known 6430 @ 2.1GHz", 2, 128, "", 540.0),
        ("Known 6430 @ 2.1GHz", 1, 16, "hypervisor", 67.5),
        ("Known 6430 of unknown size", 1, 16, "hypervisor", 64.0),
        ("Known 6430 of unknown size", 1, 16, "", 270.0),
        ("Intel(R) Xeon(R) Processor", 1, 2, "hypervisor", 8.0),
    ];
    for (model, sockets, threads, flags, watts) in rows {
        let basis = basis(model, sockets, threads, flags);
        assert_eq!(basis.cpu_max, Some(Watts(watts)), "{model}: {}", basis.cpu_max_from);
        assert_eq!(basis.cpu_idle, Some(Watts(watts * 0.2)), "{model}");
        assert_eq!(basis.explain().len(), 3);
    }
}

#[test]
fn configured_numbers_win() {
    let facts =
        CpuFacts { online: Some(4), sockets: 1, memory: Some(Bytes(2_000_000_000)), ..CpuFacts::default() };
    let mut settings = ModelSettings {
        cpu_max: Some(Watts(100.0)),
        cpu_idle: Some(Watts(30.0)),
        dram_per_gb: Some(Watts(0.5)),
        lookup: table,
    };
    let basis = EstimateBasis::new(facts.clone(), &settings);
    assert_eq!((basis.cpu_max, basis.cpu_idle), (Some(Watts(100.0)), Some(Watts(30.0))));
    assert_eq!(basis.dram, Some(Watts(1.0)));
    settings.cpu_idle = Some(Watts(130.0));
    assert_eq!(EstimateBasis::new(facts, &settings).cpu_idle, Some(Watts(100.0)), "idle is no more than max");
}

#[test]
fn memory_counts_decimal_gigabytes() {
    let basis = basis("any", 1, 2, "");
    assert_eq!(basis.facts.memory, Some(Bytes(10_000_000_000)));
    assert!((basis.dram.unwrap().0 - 3.725).abs() < 1e-12);
}

#[test]
fn arm_has_no_model_name() {
    let node = Node::new();
    node.write(
        "proc/cpuinfo",
        b"processor\t: 0\nBogoMIPS\t: 2000.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd4f\n\nprocessor\t: 1\n",
    );
    let facts = CpuFacts::read(&node.procfs(), node.sysfs());
    assert_eq!((facts.model.as_deref(), facts.online, facts.sockets), (None, Some(2), 1));
    let basis = EstimateBasis::new(facts, &ModelSettings::default());
    assert_eq!((basis.cpu_max, basis.dram), (Some(Watts(8.0)), None));
}

#[test]
fn nothing_to_read_is_nothing_to_model() {
    let node = Node::new();
    let mut estimator = Estimator::new(&node.procfs(), node.sysfs(), ModelSettings::default());
    estimator.tick(tick(0), None);
    assert_eq!(estimator.tick(tick(1), Some(Duration::from_secs(1))), [None, None]);
    assert!(estimator.basis().explain()[0].contains("unknown"));
}

#[test]
fn cpu_lists() {
    for (list, count) in
        [("0", Some(1)), ("0-3\n", Some(4)), ("0-3,8,10-11", Some(7)), ("", None), ("3-1", None), ("a", None)]
    {
        assert_eq!(parse_cpu_list(list), count, "{list}");
    }
    assert_eq!(parse_cpu_list("0-4294967295"), None);
}

#[test]
fn utilisation_moves_power_between_idle_and_max() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    let mut estimator = Estimator::new(&node.procfs(), node.sysfs(), ModelSettings::default());
    assert_eq!(estimator.tick(tick(0), None), [None, None]);
    // 8 W at most, 1.6 W idle, two CPUs.
    for (second, busy_ms, joules) in [(1u64, 0, 1.6), (2, 1_000, 4.8), (3, 2_000, 8.0), (4, 9_000, 8.0)] {
        let [cpu, dram] = estimator.tick(tick(second), Some(Duration::from_millis(busy_ms)));
        let cpu = cpu.unwrap();
        assert!((cpu.energy.as_joules() - joules).abs() < 2e-6, "{busy_ms}");
        assert_eq!((cpu.elapsed, cpu.idle), (Duration::from_secs(1), Watts(1.6)));
        let dram = dram.unwrap();
        assert!((dram.energy.as_joules() - 3.725).abs() < 2e-6);
        assert!((dram.idle.0 - 3.725).abs() < 1e-12, "all of it is baseline");
    }
    let [cpu, dram] = estimator.tick(tick(5), None);
    assert!(cpu.is_none() && dram.is_some(), "no evidence, no CPU figure");
}

#[test]
fn hotplug_is_noticed_within_a_minute() {
    let node = Node::new();
    node.cpus("any", 1, 4, "");
    let mut estimator = Estimator::new(&node.procfs(), node.sysfs(), ModelSettings::default());
    estimator.tick(tick(0), None);
    node.cpus("any", 1, 2, "");
    estimator.tick(tick(59), None);
    assert_eq!(estimator.basis().cpu_max, Some(Watts(16.0)));
    estimator.tick(tick(60), None);
    assert_eq!(estimator.basis().cpu_max, Some(Watts(8.0)));
    // Files that vanish take no facts with them.
    node.remove("devices/system/cpu/online");
    node.remove("proc/meminfo");
    estimator.tick(tick(120), None);
    assert_eq!(estimator.basis().cpu_max, Some(Watts(8.0)));
    assert!(estimator.basis().dram.is_some());
}

proptest! {
    #[test]
    fn any_text_is_parsed(text in any::<String>()) {
        let facts = parse_cpuinfo(&text);
        prop_assert!(facts.sockets >= 1);
        let _ = (parse_cpu_list(&text), parse_memory(&text));
    }
}
