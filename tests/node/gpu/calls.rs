//! How many calls a tick costs: `src/gpu/nvml/reader.rs` has the table, and more is a fault.

use std::collections::BTreeMap;

use nvidia_ml::scenario::{Device, Instance, Process, Scenario};

use crate::gpu::witness::Witness;
use crate::gpu::{HASTY, Stage, at_once};

const DEVICES: u8 = 8;
const CLIENTS: u32 = 8;
/// Ticks that are counted.
const TICKS: u64 = 25;
/// Made in each tick, once on each device.
const ENERGY: &str = "nvmlDeviceGetTotalEnergyConsumption";

/// A device whose counter moves in each tick.
fn drawing(number: u8) -> Device {
    Device::hopper(number).power(0, 200.0)
}

/// A pid that nobody has.
fn pid(device: u8, client: u32) -> u32 {
    4_190_000 + u32::from(device) * 100 + client
}

fn busy(number: u8) -> Device {
    let process = |client| Process::compute(pid(number, client)).sm(5).memory(1 << 30);
    (0..CLIENTS).map(process).fold(Device { gpu_utilization: 40, ..drawing(number) }, Device::process)
}

fn cut(number: u8, clients: u32) -> Device {
    let slices = (0..4).map(|place| Instance::slice(number, place));
    let instance = |client: u32| Instance::slice(number, client % 4).gpu_instance;
    let process =
        |client| Process::compute(pid(number, client)).memory(1 << 30).instance(instance(client), 0);
    (0..clients).map(process).fold(drawing(number).mig(slices), Device::process)
}

/// What a kind of device may cost in a tick, and how many calls of each function.
struct Cost {
    what: &'static str,
    device: fn(u8) -> Device,
    clients: u32,
    all: f64,
    each: &'static [(&'static str, f64)],
}

/// Lists that were empty are looked at in every fifth tick.
const RARE: f64 = 0.2;
/// A list is asked for its size, and then for what is in it.
const LIST: f64 = 2.0;

const COSTS: [Cost; 5] = [
    Cost {
        what: "idle",
        device: drawing,
        clients: 0,
        all: 4.0 + 2.0 * RARE,
        each: &[
            ("nvmlDeviceGetUtilizationRates", 1.0),
            ("nvmlDeviceGetMemoryInfo_v2", 1.0),
            ("nvmlDeviceGetComputeRunningProcesses_v3", 1.0),
            ("nvmlDeviceGetGraphicsRunningProcesses_v3", RARE),
            ("nvmlDeviceGetMPSComputeRunningProcesses_v3", RARE),
        ],
    },
    Cost {
        what: "busy",
        device: busy,
        clients: CLIENTS,
        all: 6.0 + 2.0 * RARE,
        each: &[
            ("nvmlDeviceGetUtilizationRates", 1.0),
            ("nvmlDeviceGetMemoryInfo_v2", 1.0),
            ("nvmlDeviceGetComputeRunningProcesses_v3", LIST),
            ("nvmlDeviceGetProcessUtilization", 1.0),
            ("nvmlDeviceGetGraphicsRunningProcesses_v3", RARE),
            ("nvmlDeviceGetMPSComputeRunningProcesses_v3", RARE),
        ],
    },
    Cost {
        what: "MIG, idle",
        device: |number| cut(number, 0),
        clients: 0,
        // The list of each of the four instances, since the device's own says nothing.
        all: 3.0 + 4.0 + 2.0 * RARE,
        each: &[
            ("nvmlDeviceGetMemoryInfo_v2", 1.0),
            ("nvmlDeviceGetComputeRunningProcesses_v3", 5.0),
            ("nvmlDeviceGetGraphicsRunningProcesses_v3", RARE),
            ("nvmlDeviceGetMPSComputeRunningProcesses_v3", RARE),
        ],
    },
    Cost {
        what: "MIG, busy, no profiling",
        device: |number| cut(number, CLIENTS),
        clients: CLIENTS,
        all: 4.0 + 2.0 * RARE,
        each: &[
            ("nvmlDeviceGetMemoryInfo_v2", 1.0),
            ("nvmlDeviceGetComputeRunningProcesses_v3", LIST),
            ("nvmlDeviceGetGraphicsRunningProcesses_v3", RARE),
            ("nvmlDeviceGetMPSComputeRunningProcesses_v3", RARE),
        ],
    },
    Cost {
        what: "MIG, busy",
        device: |number| cut(number, CLIENTS).gpm(50.0, 50.0),
        clients: CLIENTS,
        // One sample of each of the four instances, and one look at it.
        all: 4.0 + 2.0 * RARE + 2.0 * 4.0,
        each: &[
            ("nvmlDeviceGetMemoryInfo_v2", 1.0),
            ("nvmlDeviceGetComputeRunningProcesses_v3", LIST),
            ("nvmlGpmMigSampleGet", 4.0),
            ("nvmlGpmMetricsGet", 4.0),
            ("nvmlDeviceGetGraphicsRunningProcesses_v3", RARE),
            ("nvmlDeviceGetMPSComputeRunningProcesses_v3", RARE),
        ],
    },
];

/// What is looked at every ten seconds or more: the limit, the modes, and the instances of each device.
fn is_seldom(symbol: &str) -> bool {
    let own = ["nvmlDeviceGetEnforcedPowerLimit", "nvmlDeviceGetMigMode", "nvmlDeviceGetAccountingMode"];
    let instances = [
        "nvmlDeviceGetMigDeviceHandleByIndex",
        "nvmlDeviceGetMaxMigDeviceCount",
        "nvmlDeviceGetGpuInstanceId",
        "nvmlDeviceGetComputeInstanceId",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetAttributes_v2",
    ];
    own.contains(&symbol) || instances.contains(&symbol)
}

#[test]
fn eight_devices_cost_no_more_calls_than_the_table_says() {
    at_once(COSTS, |cost| {
        let stage = Stage::new(Scenario::of((0..DEVICES).map(cost.device)));
        let daemon = stage.start(HASTY, &[]);
        let witness = Witness::of(&daemon);
        let all: Vec<String> = (0..DEVICES).map(Device::uuid_of).collect();
        let uuids: Vec<&str> = all.iter().map(String::as_str).collect();
        witness.until_up(&uuids);
        // What is seldom looked at has been, and lists that are empty are known to be.
        let snapshot = witness.ticks(6);
        for uuid in &uuids {
            assert_eq!(snapshot.gpu(uuid)["clients"], cost.clients, "{}: {}", cost.what, snapshot.gpu(uuid));
        }
        let before = stage.calls();
        witness.ticks(TICKS);
        let calls: BTreeMap<String, u64> = stage
            .calls()
            .into_iter()
            .map(|(symbol, count)| {
                let earlier = before.get(&symbol).copied().unwrap_or(0);
                (symbol, count - earlier)
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        let devices = f64::from(DEVICES);
        let ticks = calls[ENERGY] as f64 / devices;
        assert!(ticks >= TICKS as f64, "{}: {ticks} ticks", cost.what);
        // Ticks that were under way at the beginning and at the end, and the fifth tick of a rare list.
        let most = |per_tick: f64| (ticks + 2.0) * per_tick * devices + devices;
        let mut sum = 0;
        for (symbol, &count) in calls.iter().filter(|(symbol, _)| !is_seldom(symbol)) {
            let known = cost.each.iter().find(|(name, _)| name == symbol).map(|(_, per_tick)| *per_tick);
            let per_tick = if symbol == ENERGY { Some(1.0) } else { known };
            let per_tick = per_tick.unwrap_or_else(|| panic!("{}: {count} calls of {symbol}", cost.what));
            assert!(count as f64 <= most(per_tick), "{}: {count} of {symbol} in {ticks} ticks", cost.what);
            sum += count;
        }
        assert!(sum as f64 <= most(cost.all), "{}: {sum} in {ticks} ticks: {calls:?}", cost.what);
        // Five seconds hold one look at what is looked at every ten.
        let seldom: u64 = calls.iter().filter(|(symbol, _)| is_seldom(symbol)).map(|(_, count)| count).sum();
        assert!(seldom <= u64::from(DEVICES) * (3 + 7 + 1 + 4 * 4), "{}: {calls:?}", cost.what);
        assert!(!calls.contains_key("nvmlInit_v2") && !calls.contains_key("nvmlDeviceGetCount_v2"));
        daemon.finish();
    });
}
