use proptest::prelude::{prop, prop_assert, proptest};

use super::*;
use crate::meters::ModelSettings;
use crate::meters::fixture::{Node, RANGE};

const JOULE: u64 = 1_000_000;

fn at(seconds: u64) -> Tick {
    let time = Duration::from_secs(seconds);
    Tick { monotonic: time, boottime: time }
}

/// A model of 100 W without any dependence on load, so that its energy is easy to tell.
fn settings(node: &Node) -> MeterSettings {
    MeterSettings {
        sysfs: node.sysfs().to_path_buf(),
        procfs: node.procfs(),
        model: ModelSettings {
            cpu_max: Some(Watts(100.0)),
            cpu_idle: Some(Watts(100.0)),
            dram_per_gb: Some(Watts(1.0)),
            ..ModelSettings::default()
        },
        ..MeterSettings::default()
    }
}

fn bank(node: &Node) -> MeterBank {
    MeterBank::new(&settings(node))
}

fn busy() -> Option<Duration> {
    Some(Duration::ZERO)
}

/// What was booked for a component: device and joules, in order.
fn booked(tick: &MeterTick, component: Component) -> Vec<(String, f64)> {
    let found = tick.components.iter().find(|delta| delta.component == component);
    found.map_or(Vec::new(), |delta| {
        delta.domains.iter().map(|domain| (domain.id.device.to_string(), domain.energy.as_joules())).collect()
    })
}

fn reason(tick: &MeterTick, device: &str) -> String {
    let report = tick.reports.iter().find(|report| &*report.id.device == device).unwrap();
    format!("{} {}", if report.up { "up" } else { "down" }, report.reason)
}

fn pair(device: &str, joules: f64) -> (String, f64) {
    (device.to_owned(), joules)
}

#[test]
fn two_sockets_with_all_zones_feed_cpu_and_dram_once() {
    let node = Node::new();
    node.cpus("any", 2, 4, "");
    for socket in 0..2 {
        let package = format!("intel-rapl:{socket}");
        node.zone(&package, &format!("package-{socket}"), 0);
        node.zone(&format!("{package}/{package}:0"), "core", 0);
        node.zone(&format!("{package}/{package}:1"), "dram", 0);
    }
    node.zone("intel-rapl:2", "psys", 0);
    node.zone("intel-rapl-mmio:0", "package-0", 0);
    let mut bank = bank(&node);
    let first = bank.tick(at(0), busy());
    assert_eq!(booked(&first, Component::Cpu), []);
    assert_eq!(reason(&first, "intel-rapl:0"), "up waiting for a second reading");
    assert_eq!(reason(&first, "cpu"), "up a better meter is in use");
    for (zone, joules) in [
        ("intel-rapl:0", 150),
        ("intel-rapl:1", 100),
        ("intel-rapl:0/intel-rapl:0:0", 90),
        ("intel-rapl:0/intel-rapl:0:1", 20),
        ("intel-rapl:1/intel-rapl:1:1", 10),
        ("intel-rapl:2", 500),
        ("intel-rapl-mmio:0", 151),
    ] {
        node.set(zone, joules * JOULE);
    }
    let tick = bank.tick(at(1), busy());
    assert_eq!(booked(&tick, Component::Cpu), [pair("intel-rapl:0", 150.0), pair("intel-rapl:1", 100.0)]);
    assert_eq!(booked(&tick, Component::Dram), [pair("intel-rapl:0:1", 20.0), pair("intel-rapl:1:1", 10.0)]);
    for (device, expected) in [
        ("intel-rapl:0", "up chosen: hardware counter"),
        ("intel-rapl:0:0", "up inside package"),
        ("intel-rapl:2", "up overlaps package"),
        ("intel-rapl-mmio:0", "up same package as intel-rapl:0"),
        ("cpu", "up a better meter is in use"),
    ] {
        assert_eq!(reason(&tick, device), expected, "{device}");
    }
    let mmio = tick.reports.iter().find(|report| &*report.id.device == "intel-rapl-mmio:0").unwrap();
    assert_eq!((mmio.energy, mmio.feeds), (Some(Microjoules::new(151 * JOULE)), None));
    assert!(tick.collectors.iter().all(|collector| collector.success), "{:?}", tick.collectors);
    let mut names: Vec<_> = tick.reports.iter().map(|report| report.id.clone()).collect();
    names.dedup();
    assert_eq!(names.len(), 10);
}

#[test]
fn a_node_without_meters_is_modelled_whole() {
    let node = Node::new();
    node.cpus("any", 2, 4, "");
    let mut bank = bank(&node);
    assert_eq!(booked(&bank.tick(at(0), busy()), Component::Cpu), []);
    let tick = bank.tick(at(2), busy());
    assert_eq!(booked(&tick, Component::Cpu), [pair("cpu", 200.0)]);
    assert_eq!(booked(&tick, Component::Dram), [pair("dram", 20.0)]);
    let dram = &tick.components[1].domains[0];
    assert_eq!((dram.modelled_idle, dram.quality), (Some(Watts(10.0)), Quality::Modelled));
    assert_eq!(reason(&tick, "cpu"), "up chosen: nothing better can be read");
    let rapl = &tick.collectors[0];
    assert_eq!((rapl.success, rapl.error.as_deref()), (false, Some("no powercap zones: not there")));
    assert!(tick.collectors[1].success, "most machines have no hwmon meter");
    let survey = bank.survey();
    assert!(survey.readers[0].remedy.unwrap().contains("modprobe"));
    assert_eq!(survey.estimate.unwrap().cpu_max, Some(Watts(100.0)));
}

#[test]
fn amd_without_dram_zones_models_only_the_memory() {
    let node = Node::new();
    node.cpus("any", 1, 4, "");
    node.zone("intel-rapl:0", "package-0", 0);
    node.zone("intel-rapl:0/intel-rapl:0:0", "core", 0);
    node.amd_energy("hwmon0", &["Ecore000", "Esocket0"]);
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    node.set("intel-rapl:0", 80 * JOULE);
    node.write("class/hwmon/hwmon0/energy2_input", b"81000000\n");
    let tick = bank.tick(at(1), busy());
    assert_eq!(booked(&tick, Component::Cpu), [pair("intel-rapl:0", 80.0)]);
    assert_eq!(booked(&tick, Component::Dram), [pair("dram", 10.0)]);
    assert_eq!(reason(&tick, "Esocket0"), "up same package as intel-rapl:0");
    // The driver's zones fail for good: the other counter of the same package takes over.
    node.make_unreadable("class/powercap/intel-rapl:0/energy_uj");
    let mut total = 0.0;
    for second in 2..=8 {
        let shown = (second + 80) * JOULE;
        node.write("class/hwmon/hwmon0/energy2_input", format!("{shown}\n").as_bytes());
        let tick = bank.tick(at(second), busy());
        let parts = booked(&tick, Component::Cpu);
        assert!(parts.iter().all(|(device, _)| device == "Esocket0"), "{parts:?}");
        total += parts.iter().map(|(_, joules)| joules).sum::<f64>();
        assert_eq!(reason(&tick, "intel-rapl:0"), "down read error (errno 21)");
    }
    assert!((total - 7.0).abs() < 1e-9, "{total}");
}

#[test]
fn grace_is_fed_by_the_cpu_rail() {
    let node = Node::new();
    node.cpus("", 1, 4, "");
    for (number, (rail, watts)) in
        [("Module", 500), ("Grace", 200), ("CPU", 100), ("SysIO", 30)].into_iter().enumerate()
    {
        node.power_meter(&format!("hwmon{number}"), Some(&format!("{rail} Power Socket 0")), watts * JOULE);
    }
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    let tick = bank.tick(at(2), busy());
    assert_eq!(booked(&tick, Component::Cpu), [pair("CPU Power Socket 0", 200.0)]);
    assert_eq!(tick.components[0].domains[0].quality, Quality::Integrated);
    assert_eq!(reason(&tick, "CPU Power Socket 0"), "up chosen: power reading, integrated");
    assert_eq!(reason(&tick, "Module Power Socket 0"), "up includes CPU and GPU");
    assert_eq!(tick.node, None);
}

#[test]
fn a_whole_node_meter_stands_apart() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    node.power_meter("hwmon0", None, 250 * JOULE);
    node.power_meter("hwmon1", None, 250 * JOULE);
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    let tick = bank.tick(at(1), busy());
    assert_eq!(tick.node.as_ref().unwrap().energy, Microjoules::new(250 * JOULE));
    assert_eq!(booked(&tick, Component::Cpu), [pair("cpu", 100.0)]);
    assert_eq!(reason(&tick, "hwmon0"), "up chosen: whole-node meter");
    assert_eq!(reason(&tick, "hwmon1"), "up same node as hwmon0");
    node.write("class/hwmon/hwmon0/power1_average", b"4294967295000\n");
    let tick = bank.tick(at(2), busy());
    assert_eq!(
        (tick.node.clone(), reason(&tick, "hwmon0")),
        (None, "down garbage: no believable value".into())
    );
}

#[test]
fn dies_are_not_counted_a_second_time_by_their_package() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    node.zone("intel-rapl:0", "package-0-die-0", 0);
    node.zone("intel-rapl:1", "package-0-die-1", 0);
    node.zone("intel-rapl-mmio:0", "package-0", 0);
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    node.set("intel-rapl:0", 10 * JOULE);
    node.set("intel-rapl:1", 20 * JOULE);
    node.set("intel-rapl-mmio:0", 30 * JOULE);
    let tick = bank.tick(at(1), busy());
    assert_eq!(booked(&tick, Component::Cpu), [pair("intel-rapl:0", 10.0), pair("intel-rapl:1", 20.0)]);
    assert_eq!(reason(&tick, "intel-rapl-mmio:0"), "up the dies of the same package are in use");
}

#[test]
fn a_lost_socket_is_modelled_by_its_fraction_and_comes_back() {
    let node = Node::new();
    node.cpus("any", 2, 4, "");
    node.zone("intel-rapl:0", "package-0", 0);
    node.zone("intel-rapl:1", "package-1", 0);
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    let mut sums = [0.0; 3];
    for second in 1..=20 {
        node.set("intel-rapl:0", second * 200 * JOULE);
        match second {
            5 => node.remove("class/powercap/intel-rapl:1"),
            15 => node.zone("intel-rapl:1", "package-1", second * 70 * JOULE),
            1..5 | 16.. => node.set("intel-rapl:1", second * 70 * JOULE),
            _ => {}
        }
        let tick = bank.tick(at(second), busy());
        for (device, joules) in booked(&tick, Component::Cpu) {
            let index = ["intel-rapl:0", "intel-rapl:1", "cpu"].iter().position(|d| *d == device).unwrap();
            sums[index] += joules;
        }
        if second == 12 {
            assert_eq!(reason(&tick, "intel-rapl:1"), "down no longer there");
            assert_eq!(reason(&tick, "cpu"), "up chosen: nothing better can be read");
        }
    }
    // Gone from 5 s on. The scan at 16 s finds it again; its delta then overlaps what the model was booked for, and
    // proves 240 J more.
    assert_eq!(sums, [4_000.0, 560.0 + 240.0, 600.0]);
    node.set("intel-rapl:0", 21 * 200 * JOULE);
    node.set("intel-rapl:1", 21 * 70 * JOULE);
    assert_eq!(booked(&bank.tick(at(21), busy()), Component::Cpu)[1], pair("intel-rapl:1", 70.0));
}

#[test]
fn counters_that_stand_at_zero_are_modelled_and_say_so() {
    let node = Node::new();
    node.cpus("any", 1, 2, "hypervisor");
    node.zone("intel-rapl:0", "package-0", 0);
    node.zone("intel-rapl:0/intel-rapl:0:0", "uncore", 0);
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    let mut total = 0.0;
    let mut last = MeterTick::default();
    for second in 1..=12 {
        last = bank.tick(at(second), busy());
        total += booked(&last, Component::Cpu).iter().map(|(_, joules)| joules).sum::<f64>();
    }
    assert!((total - 1_200.0).abs() < 1e-9, "{total}");
    assert_eq!(reason(&last, "intel-rapl:0"), "down counter stands still");
    assert_eq!(reason(&last, "intel-rapl:0:0"), "up inside package");
    assert_eq!(last.reports.iter().find(|r| &*r.id.device == "intel-rapl:0").unwrap().energy, None);
}

#[test]
fn zones_that_appear_later_take_over_from_the_model_without_a_gap() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    let mut seconds = Duration::ZERO;
    for second in 1..=14 {
        if second == 5 {
            node.zone("intel-rapl:0", "package-0", 0);
            node.zone("intel-rapl:1", "package-1", 0);
        } else if second > 5 {
            node.set("intel-rapl:0", second * JOULE);
            node.set("intel-rapl:1", second * JOULE);
        }
        let tick = bank.tick(at(second), busy());
        let cpu = &tick.components[0];
        assert_eq!(cpu.domains.len(), if second > 10 { 2 } else { 1 }, "at {second}");
        seconds += cpu.domains[0].elapsed;
        let expected = if second > 10 { 2.0 } else { 100.0 };
        let sum: f64 = cpu.domains.iter().map(|domain| domain.energy.as_joules()).sum();
        assert!((sum - expected).abs() < 1e-9, "{sum} at {second}");
    }
    assert_eq!(seconds, Duration::from_secs(14));
}

#[test]
fn the_simulated_node_reads_nothing_else() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    node.zone("intel-rapl:0", "package-0", 0);
    let mut bank = MeterBank::new(&MeterSettings { simulate: true, ..settings(&node) });
    bank.tick(at(0), busy());
    let tick = bank.tick(at(1), busy());
    assert_eq!(tick.reports.len(), 4);
    assert!(tick.reports.iter().all(|report| report.quality == Quality::Simulated && report.up));
    assert_eq!(booked(&tick, Component::Cpu).len(), 2);
    assert_eq!(booked(&tick, Component::Dram).len(), 2);
    let idle: f64 = booked(&tick, Component::Cpu).iter().map(|(_, joules)| joules).sum();
    bank.tick(at(2), Some(Duration::from_secs(2)));
    let tick = bank.tick(at(3), Some(Duration::from_secs(2)));
    let loaded: f64 = booked(&tick, Component::Cpu).iter().map(|(_, joules)| joules).sum();
    assert!(loaded > idle + 300.0, "{idle} W idle, {loaded} W loaded");
    assert_eq!(reason(&tick, "package-0"), "up chosen: simulated node");
}

#[test]
fn readers_that_are_switched_off_read_nothing() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    node.zone("intel-rapl:0", "package-0", 0);
    node.power_meter("hwmon0", None, 250 * JOULE);
    let off = MeterSettings { rapl: false, hwmon: false, estimate: false, ..settings(&node) };
    let mut bank = MeterBank::new(&off);
    bank.tick(at(0), busy());
    assert_eq!(bank.tick(at(1), busy()), MeterTick::default());
}

#[test]
fn a_suspended_machine_draws_nothing_by_the_model() {
    let node = Node::new();
    node.cpus("any", 1, 2, "");
    let mut bank = bank(&node);
    bank.tick(at(0), busy());
    let woken = Tick { monotonic: Duration::from_secs(1), boottime: Duration::from_secs(3_600) };
    let tick = bank.tick(woken, busy());
    assert_eq!(booked(&tick, Component::Cpu), [pair("cpu", 100.0)]);
    assert_eq!(tick.components[0].domains[0].elapsed, Duration::from_secs(1));
}

/// What a zone shows in one tick.
#[derive(Clone, Copy, Debug)]
enum Show {
    Truth,
    Unreadable,
    Text,
    AboveRange,
    Empty,
    /// Half a range away: no believable power leads there and back.
    Glitch,
    Standing,
}

const SHOWS: [Show; 12] = [
    Show::Truth,
    Show::Truth,
    Show::Truth,
    Show::Truth,
    Show::Truth,
    Show::Truth,
    Show::Unreadable,
    Show::Text,
    Show::AboveRange,
    Show::Empty,
    Show::Glitch,
    Show::Standing,
];

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    /// Two sockets whose files do what they like: each meter books no more than it drew, the model no more than
    /// its share of the time that is left, and nothing falls.
    #[test]
    fn nothing_is_booked_twice_and_nothing_falls(
        starts in (0..RANGE, 0..RANGE),
        ticks in prop::collection::vec(((0usize..12, 1u64..400), (0usize..12, 1u64..400), 1u64..8), 1..40),
    ) {
        let node = Node::new();
        node.cpus("any", 2, 4, "");
        let mut truth = [u128::from(starts.0), u128::from(starts.1)];
        let shown = |truth: u128| u64::try_from(truth % u128::from(RANGE)).unwrap();
        for (socket, start) in [starts.0, starts.1].into_iter().enumerate() {
            node.zone(&format!("intel-rapl:{socket}"), &format!("package-{socket}"), start);
        }
        let begin = truth;
        let mut bank = bank(&node);
        bank.tick(at(0), busy());
        let mut now = 0;
        let mut measured = [0u128; 2];
        let mut modelled = 0u128;
        let mut covered = Duration::ZERO;
        let mut raw: BTreeMap<MeterId, Microjoules> = BTreeMap::new();
        for (first, second, repeat) in ticks {
            for _ in 0..repeat {
                now += 1;
                for (socket, (show, watts)) in [first, second].into_iter().enumerate() {
                    truth[socket] += u128::from(watts * JOULE);
                    let file = format!("class/powercap/intel-rapl:{socket}/energy_uj");
                    match SHOWS[show] {
                        Show::Truth => node.write(&file, shown(truth[socket]).to_string().as_bytes()),
                        Show::Unreadable => node.make_unreadable(&file),
                        Show::Text => node.write(&file, b"\xffwatt"),
                        Show::AboveRange => node.write(&file, (RANGE + 1).to_string().as_bytes()),
                        Show::Empty => node.write(&file, b""),
                        Show::Glitch => {
                            let far = shown(truth[socket] + u128::from(RANGE / 2));
                            node.write(&file, far.to_string().as_bytes());
                        }
                        Show::Standing => {}
                    }
                }
                let tick = bank.tick(at(now), busy());
                let cpu = &tick.components[0];
                prop_assert!(cpu.component == Component::Cpu);
                for domain in &cpu.domains {
                    let energy = u128::from(domain.energy.get());
                    match &*domain.id.device {
                        "intel-rapl:0" => measured[0] += energy,
                        "intel-rapl:1" => measured[1] += energy,
                        _ => {
                            modelled += energy;
                            let idle = domain.modelled_idle.unwrap();
                            prop_assert!((idle.0 - 50.0).abs() < 1e-6 || (idle.0 - 100.0).abs() < 1e-6);
                            if idle.0 > 75.0 {
                                covered += domain.elapsed;
                            }
                        }
                    }
                    if !domain.is_late {
                        covered += domain.elapsed;
                    }
                }
                for report in tick.reports {
                    let energy = report.energy.unwrap_or_default();
                    let before = raw.insert(report.id, energy).unwrap_or_default();
                    prop_assert!(energy >= before);
                }
            }
        }
        for socket in 0..2 {
            prop_assert!(measured[socket] <= truth[socket] - begin[socket]);
        }
        // Slot seconds: no second of a socket is booked twice, by whomever.
        prop_assert!(covered <= Duration::from_secs(2 * now), "{covered:?} of 2 x {now} s");
        prop_assert!(modelled <= u128::from(100 * JOULE * now));
    }
}
