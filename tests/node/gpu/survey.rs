//! What `check` says of GPUs, and GPUs that are made up.

use std::process::Output;

use nvidia_ml::code;
use nvidia_ml::scenario::{Device, Fault, Instance, Scenario};
use serde_json::Value;

use crate::cgroups::sandbox;
use crate::daemon::{Daemon, binary};
use crate::gpu::burst::{QUICK, User};
use crate::gpu::{Stage, assert_sound};

fn check(stage: &Stage, arguments: &[&str]) -> Output {
    let flag = stage.flag();
    let own = ["check", "--config.file=/dev/null", "--no-collector.rapl", &flag];
    binary().envs(stage.environment()).args(own).args(arguments).output().unwrap()
}

#[test]
fn check_tells_each_cards_energy_evidence_and_what_would_be_better() {
    let Some(sandbox) = sandbox("check_tells_each_cards_energy_evidence_and_what_would_be_better") else {
        return;
    };
    let (a, b) = (User::start(&sandbox), User::start(&sandbox));
    let used = |device: Device| {
        let device = Device { gpu_utilization: 80, ..device };
        device.power(0, 300.0).process(a.on_gpu(60, 1)).process(b.on_gpu(20, 3))
    };
    let cut = Device::hopper(2).power(0, 300.0).mig([Instance::slice(2, 0), Instance::slice(2, 1)]);
    let cut = cut.process(a.on_gpu(0, 1).instance(7, 0)).process(b.on_gpu(0, 1).instance(8, 0));
    let devices = [used(Device::hopper(0)), used(Device::pascal(1)), cut, Device::hopper(3).power(0, 60.0)];
    let uuids = [0, 1, 2, 3].map(Device::uuid_of);
    let denied = Fault::of("nvmlDeviceGetProcess*", code::NO_PERMISSION).on(&uuids[1]);
    let stage = Stage::new(Scenario::of(devices).fault(denied));
    let output = check(&stage, &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "a card is measured: {report}");
    let cards = report["gpus"]["devices"].as_array().unwrap();
    assert_eq!(cards.len(), 4, "{report}");
    let expected = [
        ("chosen: hardware counter", "measured", "sm_util", 2, &[][..]),
        ("chosen: power reading, integrated", "integrated", "memory", 2, &["counter", "sm_util"]),
        ("chosen: hardware counter", "measured", "mig_slice", 2, &["gpm", "sm_util"]),
        ("chosen: hardware counter", "measured", "none", 0, &[]),
    ];
    for ((card, uuid), (energy, quality, method, clients, limits)) in cards.iter().zip(&uuids).zip(expected) {
        assert_eq!(card["uuid"], **uuid, "{card}");
        assert_eq!((&card["energy"], &card["quality"]), (&energy.into(), &quality.into()), "{card}");
        assert_eq!((&card["method"], &card["clients"]), (&method.into(), &clients.into()), "{card}");
        let mut seen: Vec<&str> =
            card["limitations"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, limits, "{card}");
        assert!(card["power_watts"].as_f64().is_some_and(|watts| watts > 50.0), "{card}");
    }
    let remedy = |card: usize, what: &str| {
        let limits = cards[card]["limitations"].as_array().unwrap();
        let limit = limits.iter().find(|limit| limit["what"] == what).unwrap();
        limit["remedy"].as_str().unwrap_or_default().to_owned()
    };
    assert!(remedy(1, "sm_util").contains("run as root"), "{}", remedy(1, "sm_util"));
    assert!(remedy(2, "gpm").contains("CAP_SYS_ADMIN"), "{}", remedy(2, "gpm"));

    let output = check(&stage, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut parts = vec!["4 found"];
    parts.extend([
        "NVIDIA H100 80GB HBM3",
        "Tesla P100-PCIE-16GB",
        "570.124.06",
        "2 processes",
        "CAP_SYS_ADMIN",
    ]);
    parts.extend(["by the time that each process kept it working", "nobody uses it now", "run as root"]);
    parts.extend(uuids.iter().map(String::as_str));
    for part in parts {
        assert!(text.contains(part), "{part} isn't in {text}");
    }
}

#[test]
fn made_up_cards_say_so_and_add_up() {
    let daemon = Daemon::configured("", &["--simulate", QUICK]);
    let uuids = ["SIM-GPU-0", "SIM-GPU-1"];
    let first = daemon.until("energy of both", |snapshot| {
        uuids.iter().all(|uuid| {
            let rows = snapshot.0["gpus"].as_array().unwrap();
            rows.iter().any(|row| row["uuid"] == **uuid && row["energy_uj"].as_u64() > Some(0))
        })
    });
    let before = daemon.scrape();
    let last = daemon.ticks(4);
    let after = daemon.scrape();
    assert_sound(&before, &after);
    for uuid in uuids {
        assert_eq!(last.gpu(uuid)["quality"], "simulated");
        assert!(last.gpu_joules(uuid) > first.gpu_joules(uuid));
        let labels = [("device", uuid), ("domain", "gpu"), ("quality", "simulated")];
        assert_eq!(after.select("wattprint_meter_info", &labels).len(), 1);
        let labels = [("uuid", uuid), ("vendor", "simulated")];
        assert_eq!(after.select("wattprint_gpu_info", &labels).len(), 1);
    }
    assert_eq!(after.select("wattprint_gpu_info", &[]).len(), 2);
    assert_eq!(last.quality("gpu"), "simulated");
    daemon.finish();
}
