//! What the cards are and what they count.

use proptest::prelude::{any, prop, prop_assert, proptest};

use super::DrmBackend;
use super::fixture::{Machine, PCI, amd, amdgpu, limits};
use crate::gpu::{Consequence, GpuBackend, Vendor};
use crate::meters::{Domain, Quality};
use crate::units::{Bytes, Microjoules, Watts};

fn total(reading: &crate::gpu::DeviceReading) -> u64 {
    reading.energy.unwrap().total.get()
}

#[test]
fn a_machine_without_such_cards_is_no_failure() {
    let machine = Machine::new();
    assert_eq!(machine.find().len(), 0);
    machine.card(0, "nvidia", PCI);
    machine.write("class/drm/version", "drm 1.1.0 20060810\n");
    assert_eq!(machine.find().len(), 0);
    let backend = DrmBackend::new(&machine.settings());
    assert_eq!((backend.name(), backend.absent()), ("drm", None));
}

#[test]
fn cards_are_found_in_order_and_named() {
    let (machine, device) = amd();
    machine.write(&format!("{device}/unique_id"), "7f3ac0ffee000001\n");
    machine.write(&format!("{device}/product_name"), "AMD Instinct MI210\n");
    machine.write("module/amdgpu/version", "6.8.5\n");
    machine.card(10, "xe", "0000:0A:00.0");
    machine.card(2, "i915", "0000:00:02.0");
    let found = machine.find();
    let names: Vec<&str> = found.iter().map(|found| &*found.identity.gpu).collect();
    assert_eq!(names, ["card1", "card2", "card10"]);
    let amd = &found[0].identity;
    assert_eq!((&*amd.uuid, &*amd.model), ("AMD-7f3ac0ffee000001", "AMD Instinct MI210"));
    assert_eq!((&*amd.driver, amd.vendor, &*amd.pci_bus_id), ("amdgpu 6.8.5", Vendor::Amd, PCI));
    let xe = &found[2].identity;
    assert_eq!((&*xe.uuid, &*xe.pci_bus_id), ("xe-0000:0a:00.0", "0000:0a:00.0"));
    assert_eq!((&*xe.driver, xe.vendor, &*xe.model), ("xe", Vendor::Intel, "Intel 744c"));
}

#[test]
fn a_card_without_an_address_is_reported() {
    let (machine, device) = amd();
    machine.write(&format!("{device}/uevent"), "DRIVER=amdgpu\n");
    let search = DrmBackend::new(&machine.settings()).find().unwrap();
    assert_eq!(search.found.len(), 0);
    assert_eq!(search.failed, [("card1".into(), "no PCI address".into())]);
}

#[test]
fn the_driver_may_stand_in_uevent_only() {
    let (machine, device) = amd();
    machine.remove(&format!("{device}/driver"));
    assert_eq!(&*machine.only().identity.driver, "amdgpu");
}

#[test]
fn the_power_of_an_amd_card_is_integrated() {
    let (machine, device) = amd();
    machine.write(&format!("{device}/gpu_busy_percent"), "42\n");
    machine.write(&format!("{device}/mem_info_vram_used"), "1048576\n");
    machine.write(&format!("{device}/hwmon/hwmon1/power1_cap"), "300000000\n");
    let mut card = machine.only();
    let first = machine.read(&mut card);
    machine.write(&format!("{device}/hwmon/hwmon1/power1_average"), "200000000\n");
    let second = machine.tick(&mut card);
    assert_eq!(total(&second) - total(&first), 150_000_000);
    let energy = second.energy.unwrap();
    assert_eq!((energy.quality, energy.domain, energy.range), (Quality::Integrated, Domain::Gpu, None));
    assert_eq!(second.utilization, Some(0.42));
    assert_eq!(second.memory_used, Some(Bytes(1 << 20)));
    assert_eq!(second.power_limit, Some(Watts(300.0)));
    assert_eq!(limits(&second), []);
    assert!(!second.mig && second.instances.is_empty());
}

#[test]
fn newer_amd_cards_have_an_input_only() {
    let (machine, device) = amd();
    machine.remove(&format!("{device}/hwmon/hwmon1/power1_average"));
    machine.write(&format!("{device}/hwmon/hwmon1/power1_input"), "50000000\n");
    let mut card = machine.only();
    machine.read(&mut card);
    assert_eq!(total(&machine.tick(&mut card)), 50_000_000);
}

#[test]
fn an_apu_is_told_by_its_north_bridge_its_cores_or_its_number() {
    let signs: [fn(&Machine, &str); 3] = [
        |machine, device| machine.write(&format!("{device}/hwmon/hwmon1/in1_label"), "vddnb\n"),
        |machine, _| machine.kfd_node(0, 77, 0x300, 8),
        |machine, device| machine.write(&format!("{device}/device"), "0x74a0\n"),
    ];
    for sign in signs {
        let (machine, device) = amd();
        sign(&machine, &device);
        let reading = machine.read(&mut machine.only());
        assert_eq!(reading.energy.unwrap().domain, Domain::Module);
        assert_eq!(limits(&reading), [("scope", "power of the whole package, CPU included")]);
    }
    // The CPU's own node, and another device's.
    let (machine, _) = amd();
    machine.kfd_node(0, 0, 0, 64);
    machine.kfd_node(1, 77, 0x300, 0);
    machine.kfd_node(2, 78, 0x400, 8);
    assert_eq!(machine.read(&mut machine.only()).energy.unwrap().domain, Domain::Gpu);
}

#[test]
fn intel_cards_have_counters() {
    for (driver, file) in [("i915", "energy1_input"), ("xe", "energy1_input"), ("xe", "energy2_input")] {
        let machine = Machine::new();
        let device = machine.card(0, driver, PCI);
        machine.write(&format!("{device}/hwmon/hwmon0/{file}"), "123456789\n");
        machine.write(&format!("{device}/hwmon/hwmon0/power1_max"), "190000000\n");
        // A chip of a part of the device.
        machine.write(&format!("{device}/hwmon/hwmon/name"), "i915_gt0\n");
        machine.write(&format!("{device}/hwmon/hwmon/energy1_input"), "1\n");
        let reading = machine.read(&mut machine.only());
        let energy = reading.energy.unwrap();
        assert_eq!(
            (energy.total, energy.quality),
            (Microjoules::new(123_456_789), Quality::Measured),
            "{driver}"
        );
        assert_eq!((energy.range, energy.domain), (None, Domain::Gpu));
        assert_eq!(reading.power_limit, Some(Watts(190.0)));
        assert_eq!((reading.utilization, reading.memory_used), (None, None));
    }
}

#[test]
fn a_card_of_xe_stays_with_its_first_counter() {
    let machine = Machine::new();
    let device = machine.card(0, "xe", PCI);
    machine.write(&format!("{device}/hwmon/hwmon0/energy2_input"), "500\n");
    let mut card = machine.only();
    assert_eq!(total(&machine.read(&mut card)), 500);
    machine.write(&format!("{device}/hwmon/hwmon0/energy1_input"), "900\n");
    assert_eq!(total(&machine.tick(&mut card)), 500);
}

#[test]
fn without_an_input_there_is_no_energy_until_one_appears() {
    let machine = Machine::new();
    let device = machine.card(0, "i915", "0000:00:02.0");
    machine.remove(&format!("{device}/hwmon"));
    let mut card = machine.only();
    let reading = machine.read(&mut card);
    assert_eq!((reading.energy, reading.power_limit), (None, None));
    assert_eq!(limits(&reading), [("counter", "no energy or power input")]);
    assert!(reading.limitations[0].remedy.unwrap().contains("6.2"));
    machine.write(&format!("{device}/hwmon/hwmon7/name"), "i915\n");
    machine.write(&format!("{device}/hwmon/hwmon7/energy1_input"), "5\n");
    machine.write(&format!("{device}/hwmon/hwmon7/power1_max"), "0\n");
    let reading = machine.tick(&mut card);
    assert_eq!((total(&reading), reading.power_limit), (5, None));
}

#[test]
fn failures_are_told_by_what_follows() {
    let (machine, device) = amd();
    let input = format!("{device}/hwmon/hwmon1/power1_average");
    let mut card = machine.only();
    machine.read(&mut card);
    for (content, reason) in
        [("", "garbage: not a number"), ("99999999999999\n", "garbage: no believable value")]
    {
        machine.write(&input, content);
        let failure = machine.try_read(&mut card).unwrap_err();
        assert_eq!((failure.consequence, &*failure.reason), (Consequence::Transient, reason));
    }
    machine.remove(&input);
    std::fs::create_dir(machine.path(&input)).unwrap();
    let failure = machine.try_read(&mut card).unwrap_err();
    assert_eq!((failure.consequence, &*failure.reason), (Consequence::Transient, "read error"));
    // Another device takes the number.
    machine.remove("class/drm/card1");
    let lost = machine.try_read(&mut card).unwrap_err();
    assert_eq!((lost.consequence, &*lost.reason), (Consequence::Lost, "device is gone"));
    machine.card(1, "amdgpu", "0000:04:00.0");
    assert_eq!(machine.try_read(&mut card).unwrap_err().consequence, Consequence::Lost);
    assert_eq!(&*machine.only().identity.pci_bus_id, "0000:04:00.0");
}

#[test]
fn a_suspended_card_is_left_alone() {
    let (machine, device) = amd();
    machine.write(&format!("{device}/gpu_busy_percent"), "42\n");
    let status = format!("{device}/power/runtime_status");
    machine.write(&status, "suspended\n");
    let mut card = machine.only();
    let asleep = machine.read(&mut card);
    assert_eq!(asleep.energy, None, "nothing was ever read");
    assert_eq!(limits(&asleep), [("counter", "suspended, not woken")]);
    machine.write(&status, "active\n");
    machine.tick(&mut card);
    let awake = machine.tick(&mut card);
    assert_eq!(total(&awake), 100_000_000);
    machine.write(&status, "suspended\n");
    for _ in 0..10 {
        let asleep = machine.tick(&mut card);
        assert_eq!((asleep.energy, asleep.utilization), (awake.energy, None));
        assert_eq!(limits(&asleep), [("counter", "suspended, not woken")]);
    }
    machine.write(&status, "active\n");
    assert_eq!(total(&machine.tick(&mut card)), total(&awake), "no line is drawn across");
    assert_eq!(total(&machine.tick(&mut card)), total(&awake) + 100_000_000);
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_do_no_harm(content in prop::collection::vec(any::<u8>(), 0..300), busy in any::<u64>()) {
        let (machine, device) = amd();
        let mut card = machine.only();
        machine.open(100, 5, &amdgpu(PCI, 1, busy, &[("gfx", busy)]));
        machine.read(&mut card);
        for path in [
            "proc/100/fdinfo/5",
            &format!("{device}/power/runtime_status"),
            &format!("{device}/gpu_busy_percent"),
            "proc/loadavg",
            "class/kfd/kfd/topology/nodes/0/properties",
        ] {
            machine.write(path, &content);
            machine.wait(11_000);
            let _ = machine.try_read(&mut card);
        }
        prop_assert!(machine.find().len() <= 1);
    }
}
