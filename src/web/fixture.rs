//! A node made by hand, with every kind of owner and the names that are hardest to print.

use std::sync::Arc;
use std::time::Duration;

use crate::carbon::forecast::BestWindow;
use crate::carbon::grid::{FetchResult, GridSeries, Signal, SourceState};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::gpu::{GpuIdentity, Limitation, Vendor};
use crate::meters::{Component, Domain, MeterId, Quality};
use crate::snapshot::{
    Beneficiary, CollectorStatus, ComponentCell, ComponentTotals, ConfigStatus, DroppedSeries, EmbodiedCell,
    EmbodiedPart, EmbodiedTotals, EnergyCell, GpuCell, GpuRef, GpuTotals, GridFactor, GridState,
    HardwarePart, MarketFactor, MeterStatus, Outlook, ProcessTotals, SetupProblem, Snapshot, State, Title,
    Unattributed, WorkloadTotals,
};
use crate::units::{
    Bytes, CpuTime, Grams, GramsPerKwh, Kilograms, Litres, LitresPerKwh, Microjoules, Pue, UnixTime, Watts,
};
use crate::workloads::owner::{JobManager, Owner, OwnerKind, Runtime};

/// A name with all that text formats and HTML must escape.
pub(super) const NASTY: &str = "<script>\"&'\n\\";

pub(super) fn container(id: &str, pod_uid: &str) -> Owner {
    Owner::Container { runtime: Runtime::Containerd, id: id.into(), name: "".into(), pod_uid: pod_uid.into() }
}

pub(super) fn unit(unit: &str) -> Owner {
    Owner::Unit { unit: unit.into() }
}

pub(super) fn workload(owner: Owner, active: u64, idle: u64, ended: bool) -> WorkloadTotals {
    let cell = |component, state, energy| EnergyCell { component, state, energy: Microjoules::new(energy) };
    WorkloadTotals {
        title: Arc::new(Title::of(&owner, None, owner.container_id_short())),
        owner: Arc::new(owner),
        facts: None,
        held: false,
        cpu_time: CpuTime::from_nanos(active * 1000),
        energy: vec![
            cell(Component::Cpu, State::Active, active),
            cell(Component::Dram, State::Active, active / 10),
            cell(Component::Dram, State::Idle, idle),
        ],
        components: [Component::Cpu, Component::Dram]
            .map(|component| ComponentCell {
                component,
                power: Some(Watts(if ended { 0.0 } else { 1.25 })),
                emissions: Grams(0.5),
                market_emissions: Some(Grams(0.25)),
                water: Some(Litres(0.125)),
            })
            .into(),
        embodied: vec![EmbodiedCell { component: Component::Other, emissions: Grams(0.75) }],
        gpus: if ended { Vec::new() } else { vec![gpu_cell(active)] },
        allocated: if ended { Vec::new() } else { vec![gpu_ref()] },
        ended,
    }
}

fn gpu_ref() -> GpuRef {
    let GpuCell { gpu, uuid, .. } = gpu_cell(0);
    GpuRef { gpu, uuid }
}

fn gpu_cell(energy: u64) -> GpuCell {
    GpuCell { gpu: "0".into(), uuid: "GPU-0000".into(), energy: Microjoules::new(energy) }
}

fn gpu(up: bool) -> GpuTotals {
    let by_beneficiary = Beneficiary::ALL.map(|beneficiary| match beneficiary {
        Beneficiary::Owner(OwnerKind::Container) => Microjoules::new(40_000_001),
        Beneficiary::Idle => Microjoules::new(7),
        _ => Microjoules::ZERO,
    });
    let number = if up { "0" } else { "1" };
    GpuTotals {
        identity: Arc::new(GpuIdentity {
            uuid: format!("GPU-000{number}").into(),
            gpu: number.into(),
            model: NASTY.into(),
            vendor: Vendor::Nvidia,
            pci_bus_id: "0000:01:00.0".into(),
            driver: "580.82.07".into(),
        }),
        backend: "nvml",
        mig: !up,
        up,
        reason: if up { "" } else { "call hangs" }.into(),
        stuck: if up { Duration::ZERO } else { Duration::from_secs(3) },
        errors: 2,
        energy: up.then(|| by_beneficiary.into_iter().sum()),
        quality: Quality::Measured,
        domain: Domain::Gpu,
        power: up.then_some(Watts(312.5)),
        utilization: up.then_some(0.83),
        memory_used: up.then_some(Bytes(4 << 30)),
        power_limit: up.then_some(Watts(700.0)),
        clients: up.then_some(3),
        method: up.then_some("sm_util"),
        limitations: vec![Limitation { what: "gpm", reason: "not before Hopper".into(), remedy: None }],
        by_beneficiary,
    }
}

pub(super) fn process(pid: u32, comm: &str, owner: Owner, energy: u64, ended: bool) -> ProcessTotals {
    ProcessTotals {
        pid,
        start_time: 77,
        comm: comm.into(),
        owner: Arc::new(owner),
        energy: vec![EnergyCell {
            component: Component::Cpu,
            state: State::Active,
            energy: Microjoules::new(energy),
        }],
        power: vec![(Component::Cpu, Watts(0.75))],
        ended,
    }
}

fn component(component: Component, power: Option<Watts>, workloads: &[WorkloadTotals]) -> ComponentTotals {
    let by_beneficiary = Beneficiary::ALL.map(|beneficiary| match beneficiary {
        Beneficiary::Owner(OwnerKind::System) => Microjoules::new(333_333),
        Beneficiary::Owner(kind) => workloads
            .iter()
            .filter(|totals| totals.owner.kind() == kind)
            .flat_map(|totals| &totals.energy)
            .filter(|cell| cell.component == component)
            .map(|cell| cell.energy)
            .sum(),
        Beneficiary::Idle => Microjoules::new(5_000_001),
        Beneficiary::Unattributed => Microjoules::new(7),
    });
    ComponentTotals {
        component,
        quality: Quality::Measured,
        energy: by_beneficiary.into_iter().sum(),
        power,
        emissions: Grams(12.5),
        market_emissions: Some(Grams(6.25)),
        water: Some(Litres(3.125)),
        by_beneficiary,
    }
}

fn meter(domain: Domain, device: &str, up: bool, reason: &str) -> MeterStatus {
    MeterStatus {
        id: MeterId { meter: "rapl", domain, device: device.into() },
        quality: Quality::Measured,
        up,
        feeds: up.then_some(Component::Cpu),
        reason: reason.into(),
        energy: up.then_some(Microjoules::new(123_456_789)),
        baseline: up.then_some(Watts(11.5)),
        wraps: 2,
        resets: 1,
    }
}

/// Two sources: one that has brought values and fails now, and one that has yet to bring any.
fn grid_state() -> GridState {
    let now = UnixTime::from_millis(1_800_000_000_250);
    let heard = now.before(Duration::from_secs(420));
    let mut works = SourceState::new("electricity_maps", "FR".into());
    works.fetches = [(FetchResult::Success, 3), (FetchResult::Timeout, 1)].into();
    works.last_success = Some(heard);
    works.last_error = Some(FetchResult::Timeout);
    let hour = |signal, intensity: f64| {
        Arc::new(GridSeries {
            provider: "electricity_maps".into(),
            zone: "FR".into(),
            signal,
            accounting: "consumption".into(),
            fetched_at: heard,
            slots: Series::new([Slot {
                start: UnixTime::from_seconds(1_800_000_000),
                end: UnixTime::from_seconds(1_800_003_600),
                intensity: GramsPerKwh(intensity),
                quality: SlotQuality::Measured,
            }]),
        })
    };
    works.series = vec![hour(Signal::AverageLifecycle, 44.2), hour(Signal::Marginal, 390.0)];
    let sources = vec![works, SourceState::new("watttime", "FR".into())];
    GridState { sources, pue_read: Some(heard), ..GridState::default() }
}

/// A series of two hours with this value.
pub(super) fn grid_series(grams: f64) -> GridSeries {
    let slot = |hour: u64, quality| Slot {
        start: UnixTime::from_seconds(1_800_000_000 + 3600 * hour),
        end: UnixTime::from_seconds(1_800_003_600 + 3600 * hour),
        intensity: GramsPerKwh(grams),
        quality,
    };
    GridSeries {
        provider: "rte".into(),
        zone: "FR".into(),
        signal: Signal::AverageDirect,
        accounting: "production".into(),
        fetched_at: UnixTime::from_seconds(1_800_000_100),
        slots: Series::new([slot(0, SlotQuality::Measured), slot(1, SlotQuality::Forecast)]),
    }
}

/// The node with these workloads and processes.
pub(super) fn with(workloads: Vec<WorkloadTotals>, processes: Vec<ProcessTotals>) -> Snapshot {
    Snapshot {
        sequence: 3,
        unix_time: Duration::from_millis(1_800_000_000_250),
        monotonic: Duration::from_secs(100),
        interval: Duration::from_secs(1),
        config: ConfigStatus {
            is_accepted: true,
            accepted_at: UnixTime::from_seconds(1_700_000_000),
            awaiting_restart: ["web.listen_address".to_owned()].into(),
        },
        sample_duration: Duration::from_micros(1500),
        elapsed: Duration::from_millis(1001),
        components: vec![
            component(Component::Cpu, Some(Watts(42.0)), &workloads),
            component(Component::Dram, None, &workloads),
        ],
        workloads,
        gpus: vec![gpu(true), gpu(false)],
        gpu_pid_namespace_ok: Some(true),
        processes,
        meters: vec![
            meter(Domain::Package, "intel-rapl:0", true, "chosen: hardware counter"),
            meter(Domain::Dram, "intel-rapl:0:1", false, "no permission to read energy_uj"),
        ],
        grid: GridFactor {
            zone: "FR".into(),
            provider: "electricity_maps".into(),
            basis: "lifecycle",
            quality: "measured",
            intensity: GramsPerKwh(44.2),
        },
        grid_age: Some(Duration::from_secs(420)),
        grid_state: Arc::new(grid_state()),
        grid_outlook: Some(Arc::new(Outlook {
            hourly: vec![(0, GramsPerKwh(44.2)), (1, GramsPerKwh(40.0))],
            windows: vec![BestWindow {
                hours: 4,
                start: UnixTime::from_seconds(1_800_003_600),
                mean: GramsPerKwh(30.5),
                starting_now: Some(GramsPerKwh(44.2)),
            }],
        })),
        market: Some(MarketFactor { intensity: GramsPerKwh(11.05), residual: "location" }),
        pue: Pue(1.2),
        pue_configured: true,
        wue: Some(LitresPerKwh(1.8)),
        embodied: vec![EmbodiedTotals {
            component: Component::Other,
            emissions: Grams(21.0),
            by_holder: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(Grams),
        }],
        embodied_parts: vec![HardwarePart {
            part: "gpu",
            device: "GPU-0000".into(),
            figures: Arc::new(EmbodiedPart {
                name: NASTY.into(),
                kilograms: Kilograms(164.0),
                low: None,
                high: Some(Kilograms(575.0)),
                boundary: "cradle to gate".into(),
                source: "a maker".into(),
                year: Some(2025),
                licence: "".into(),
            }),
        }],
        collectors: vec![
            CollectorStatus {
                collector: "rapl",
                success: true,
                duration: Some(Duration::from_micros(120)),
                last_error: None,
                detail: None,
                remedy: None,
            },
            CollectorStatus {
                collector: "process",
                success: false,
                duration: Some(Duration::from_micros(900)),
                last_error: Some("/proc isn't readable".into()),
                detail: Some("/proc: Permission denied".into()),
                remedy: None,
            },
        ],
        setup_problems: vec![SetupProblem::PidNamespace],
        unattributed: vec![Unattributed {
            component: Component::Cpu,
            reason: "no_evidence",
            energy: Microjoules::new(7),
        }],
        series_dropped: vec![DroppedSeries { family: "process", dropped: 12 }],
    }
}

/// A small node with a bit of everything.
pub(super) fn snapshot() -> Snapshot {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let pod = "6f1d2c3b-0000-4000-8000-00000000beef";
    let job = Owner::Job { manager: JobManager::Slurm, id: "4711".into(), uid: Some(1000) };
    let lxc =
        Owner::Container { runtime: Runtime::Lxc, id: "".into(), name: "web".into(), pod_uid: "".into() };
    let workloads = vec![
        workload(container(id, pod), 9_000_001, 400_000, false),
        workload(Owner::Pod { pod_uid: pod.into() }, 1_000, 20, false),
        workload(lxc, 2_000_000, 30, false),
        workload(unit("gone.service"), 50, 1, true),
        workload(unit("ssh.service"), 7_000, 3, false),
        workload(job.clone(), 8_000_003, 11, false),
        workload(Owner::Vm { name: NASTY.into() }, 6_000_000, 9, false),
    ];
    let processes = vec![
        process(42, "sh", unit("ssh.service"), 999, true),
        process(42, "sh", unit("ssh.service"), 111, false),
        process(4242, NASTY, container(id, pod), 8_000_000, false),
        process(7, "solver", job, 8_000_003, false),
    ];
    with(workloads, processes)
}

/// A node whose metrics have at least `series` lines, for sizes and times.
pub(super) fn large(series: usize) -> Snapshot {
    // Each container has 3 + 2 + 2 + 1 + 1 series, each process 2.
    let containers = series / 10 + 1;
    let id = |n: usize| format!("{n:064x}").chars().rev().collect::<String>();
    let workloads = (0..containers)
        .map(|n| {
            workload(container(&id(n), &format!("6f1d2c3b-0000-4000-8000-{n:012x}")), 1_000_000, 7, false)
        })
        .collect();
    let processes = (0..containers)
        .map(|n| {
            let pid = u32::try_from(n + 2).unwrap();
            process(pid, "worker", container(&id(n), ""), 1_000, false)
        })
        .collect();
    with(workloads, processes)
}
