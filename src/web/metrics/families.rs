//! The declarations: name, meaning, labels and source of every exported figure.

use super::workloads::{
    cpu_time, process_energy, process_power, workload_emissions, workload_energy, workload_power,
};
use super::{Family, Kind, Samples, Source};
use crate::snapshot::{Beneficiary, MeterStatus};
use crate::workloads::owner::OwnerKind;

const CONTAINER: [&str; 5] = ["namespace", "pod", "container", "container_id", "runtime"];
const JOB: [&str; 4] = ["manager", "job_id", "job_name", "user"];
const PROCESS: [&str; 4] = ["pid", "comm", "container_id", "unit"];
const METER: &[&str] = &["meter", "domain", "device"];

/// The owner's labels, then those of the family.
const fn with<const A: usize, const B: usize, const N: usize>(
    owner: [&'static str; A],
    own: [&'static str; B],
) -> [&'static str; N] {
    assert!(N == A + B);
    let mut all = [""; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < A { owner[at] } else { own[at - A] };
        at += 1;
    }
    all
}

const CONTAINER_STATE: &[&str] = &with::<5, 2, 7>(CONTAINER, ["component", "state"]);
const CONTAINER_COMPONENT: &[&str] = &with::<5, 1, 6>(CONTAINER, ["component"]);
const UNIT_STATE: &[&str] = &["unit", "component", "state"];
const UNIT_COMPONENT: &[&str] = &["unit", "component"];
const JOB_STATE: &[&str] = &with::<4, 2, 6>(JOB, ["component", "state"]);
const JOB_COMPONENT: &[&str] = &with::<4, 1, 5>(JOB, ["component"]);
const VM_STATE: &[&str] = &["vm", "component", "state"];
const VM_COMPONENT: &[&str] = &["vm", "component"];
const PROCESS_STATE: &[&str] = &with::<4, 2, 6>(PROCESS, ["component", "state"]);
const PROCESS_COMPONENT: &[&str] = &with::<4, 1, 5>(PROCESS, ["component"]);

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(Source<'_>, &mut Samples),
) -> Family {
    Family { name, help, kind: Kind::Counter, labels, samples }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(Source<'_>, &mut Samples),
) -> Family {
    Family { name, help, kind: Kind::Gauge, labels, samples }
}

/// All families, in the order of the text.
pub const FAMILIES: &[Family] = &[
    // The node.
    counter(
        "wattprint_node_energy_joules_total",
        &["component"],
        "Energy of the node by component since the daemon started.",
        |source, out| {
            for totals in &source.snapshot.components {
                out.push(&[totals.component.as_str()], &[], totals.energy.as_joules());
            }
        },
    ),
    gauge(
        "wattprint_node_power_watts",
        &["component"],
        "Mean power of the node by component over the last tick.",
        |source, out| {
            for totals in &source.snapshot.components {
                if let Some(power) = totals.power {
                    out.push(&[totals.component.as_str()], &[], power.0);
                }
            }
        },
    ),
    counter(
        "wattprint_node_owner_energy_joules_total",
        &["component", "kind"],
        "Energy of the node by component and by the kind of owner that it went to; adds up to \
         wattprint_node_energy_joules_total.",
        |source, out| {
            for totals in &source.snapshot.components {
                for (kind, energy) in Beneficiary::ALL.iter().zip(totals.by_beneficiary) {
                    out.push(&[totals.component.as_str(), kind.as_str()], &[], energy.as_joules());
                }
            }
        },
    ),
    counter(
        "wattprint_node_emissions_grams_total",
        &["component"],
        "Location-based emissions of the node in grams of CO2 equivalent by component since the daemon \
         started, PUE included.",
        |source, out| {
            for totals in &source.snapshot.components {
                out.push(&[totals.component.as_str()], &[], totals.emissions.0);
            }
        },
    ),
    // Containers.
    counter(
        "wattprint_container_energy_joules_total",
        CONTAINER_STATE,
        "Energy of a container by component and state since it was first seen.",
        |source, out| workload_energy(source, OwnerKind::Container, out),
    ),
    gauge(
        "wattprint_container_power_watts",
        CONTAINER_COMPONENT,
        "Mean power of a container by component over the last tick.",
        |source, out| workload_power(source, OwnerKind::Container, out),
    ),
    counter(
        "wattprint_container_emissions_grams_total",
        CONTAINER_COMPONENT,
        "Location-based emissions of a container in grams of CO2 equivalent by component since it was first \
         seen, PUE included.",
        |source, out| workload_emissions(source, OwnerKind::Container, out),
    ),
    counter(
        "wattprint_container_cpu_seconds_total",
        &CONTAINER,
        "CPU time of a container since it was first seen: the evidence for its share of the energy.",
        |source, out| cpu_time(source, OwnerKind::Container, out),
    ),
    // Units.
    counter(
        "wattprint_unit_energy_joules_total",
        UNIT_STATE,
        "Energy of a systemd unit by component and state since it was first seen.",
        |source, out| workload_energy(source, OwnerKind::Unit, out),
    ),
    gauge(
        "wattprint_unit_power_watts",
        UNIT_COMPONENT,
        "Mean power of a systemd unit by component over the last tick.",
        |source, out| workload_power(source, OwnerKind::Unit, out),
    ),
    counter(
        "wattprint_unit_emissions_grams_total",
        UNIT_COMPONENT,
        "Location-based emissions of a systemd unit in grams of CO2 equivalent by component since it was first \
         seen, PUE included.",
        |source, out| workload_emissions(source, OwnerKind::Unit, out),
    ),
    // Batch jobs.
    counter(
        "wattprint_job_energy_joules_total",
        JOB_STATE,
        "Energy of a batch job on this node by component and state since it was first seen.",
        |source, out| workload_energy(source, OwnerKind::Job, out),
    ),
    gauge(
        "wattprint_job_power_watts",
        JOB_COMPONENT,
        "Mean power of a batch job on this node by component over the last tick.",
        |source, out| workload_power(source, OwnerKind::Job, out),
    ),
    counter(
        "wattprint_job_emissions_grams_total",
        JOB_COMPONENT,
        "Location-based emissions of a batch job on this node in grams of CO2 equivalent by component since it \
         was first seen, PUE included.",
        |source, out| workload_emissions(source, OwnerKind::Job, out),
    ),
    // Virtual machines.
    counter(
        "wattprint_vm_energy_joules_total",
        VM_STATE,
        "Energy of a virtual machine by component and state since it was first seen.",
        |source, out| workload_energy(source, OwnerKind::Vm, out),
    ),
    gauge(
        "wattprint_vm_power_watts",
        VM_COMPONENT,
        "Mean power of a virtual machine by component over the last tick.",
        |source, out| workload_power(source, OwnerKind::Vm, out),
    ),
    counter(
        "wattprint_vm_emissions_grams_total",
        VM_COMPONENT,
        "Location-based emissions of a virtual machine in grams of CO2 equivalent by component since it was \
         first seen, PUE included.",
        |source, out| workload_emissions(source, OwnerKind::Vm, out),
    ),
    // Processes: a part of their owner's energy, not to be added to it.
    counter(
        "wattprint_process_energy_joules_total",
        PROCESS_STATE,
        "Energy of a process by component and state since it was first seen; a part of its owner's energy. \
         Only the processes that use most are here.",
        process_energy,
    ),
    gauge(
        "wattprint_process_power_watts",
        PROCESS_COMPONENT,
        "Mean power of a process by component over the last tick; a part of its owner's power.",
        process_power,
    ),
    // Meters.
    counter(
        "wattprint_meter_energy_joules_total",
        METER,
        "Energy that a meter counted since the daemon started, unwrapped. Meters overlap: don't add them up.",
        |source, out| {
            meters(source, out, |meter| meter.energy.map(crate::units::Microjoules::as_joules));
        },
    ),
    gauge(
        "wattprint_meter_info",
        &["meter", "domain", "device", "quality", "reason"],
        "How good a meter's figures are, and why it was chosen or not; always 1.",
        |source, out| {
            for meter in &source.snapshot.meters {
                let rest = [meter.quality.as_str(), &*meter.reason];
                out.push(&meter_labels(meter), &rest, 1.0);
            }
        },
    ),
    gauge(
        "wattprint_meter_up",
        METER,
        "1 where the meter gave a believable value in the last tick, else 0.",
        |source, out| meters(source, out, |meter| Some(f64::from(u8::from(meter.up)))),
    ),
    gauge(
        "wattprint_meter_baseline_watts",
        METER,
        "Idle power of what the meter covers, learned or configured.",
        |source, out| {
            meters(source, out, |meter| meter.baseline.map(|baseline| baseline.0));
        },
    ),
    counter(
        "wattprint_meter_resets_total",
        METER,
        "Times that a meter's counter jumped, so that an interval had to be left out.",
        |source, out| meters(source, out, |meter| Some(count(meter.resets))),
    ),
    counter(
        "wattprint_meter_wraps_total",
        METER,
        "Times that a meter's counter passed its end.",
        |source, out| meters(source, out, |meter| Some(count(meter.wraps))),
    ),
    // Factors.
    gauge(
        "wattprint_grid_carbon_intensity_grams_per_kwh",
        &["grid_zone", "provider", "basis", "quality"],
        "Emission factor of the grid in force, in grams of CO2 equivalent per kilowatt-hour.",
        |source, out| {
            let grid = &source.snapshot.grid;
            let labels = [&*grid.zone, grid.provider, grid.basis, grid.quality];
            out.push(&labels, &[], grid.intensity.0);
        },
    ),
    gauge(
        "wattprint_pue_ratio",
        &[],
        "Power usage effectiveness in force: facility energy over IT energy.",
        |source, out| out.push(&[], &[], source.snapshot.pue.0),
    ),
    // The daemon's own work.
    gauge(
        "wattprint_collector_success",
        &["collector"],
        "1 where the collector got all that it looked for in the last tick, else 0.",
        |source, out| {
            for status in &source.snapshot.collectors {
                out.push(&[status.collector], &[], f64::from(u8::from(status.success)));
            }
        },
    ),
    gauge(
        "wattprint_collector_duration_seconds",
        &["collector"],
        "What the collector took in the last tick.",
        |source, out| {
            for status in &source.snapshot.collectors {
                out.push(&[status.collector], &[], status.duration.as_secs_f64());
            }
        },
    ),
    gauge(
        "wattprint_collector_last_error_info",
        &["collector", "reason"],
        "What went wrong in a collector in the last tick; always 1, absent on success.",
        |source, out| {
            for status in &source.snapshot.collectors {
                if let Some(reason) = &status.last_error {
                    out.push(&[status.collector, reason], &[], 1.0);
                }
            }
        },
    ),
    gauge(
        "wattprint_sample_timestamp_seconds",
        &[],
        "End of the last tick, in seconds since the Unix epoch.",
        |source, out| out.push(&[], &[], source.snapshot.unix_time.as_secs_f64()),
    ),
    gauge(
        "wattprint_sample_duration_seconds",
        &[],
        "What sampling, attribution and booking took in the last tick.",
        |source, out| out.push(&[], &[], source.snapshot.sample_duration.as_secs_f64()),
    ),
    counter(
        "wattprint_series_dropped_total",
        &["family"],
        "Series that a cap kept out, by group of families.",
        |source, out| {
            for dropped in &source.snapshot.series_dropped {
                out.push(&[dropped.family], &[], count(dropped.dropped));
            }
        },
    ),
    counter(
        "wattprint_unattributed_energy_joules_total",
        &["component", "reason"],
        "Energy that no owner could be found for, by reason.",
        |source, out| {
            for entry in &source.snapshot.unattributed {
                let labels = [entry.component.as_str(), entry.reason];
                out.push(&labels, &[], entry.energy.as_joules());
            }
        },
    ),
    gauge(
        "wattprint_build_info",
        &["version", "arch", "os"],
        "Version of wattprint and what it was built for; always 1.",
        |_, out| {
            let labels = [super::super::VERSION, std::env::consts::ARCH, std::env::consts::OS];
            out.push(&labels, &[], 1.0);
        },
    ),
    counter(
        "process_cpu_seconds_total",
        &[],
        "User and system CPU time of the daemon itself.",
        |source, out| own(source, out, |own| Some(own.cpu_seconds)),
    ),
    gauge("process_resident_memory_bytes", &[], "Resident memory of the daemon itself.", |source, out| {
        own(source, out, |own| Some(count(own.resident_bytes)))
    }),
    gauge("process_virtual_memory_bytes", &[], "Virtual memory of the daemon itself.", |source, out| {
        own(source, out, |own| Some(count(own.virtual_bytes)))
    }),
    gauge(
        "process_start_time_seconds",
        &[],
        "Start of the daemon itself, in seconds since the Unix epoch.",
        |source, out| own(source, out, |own| Some(own.start_time_seconds)),
    ),
    gauge("process_threads", &[], "Threads of the daemon itself.", |source, out| {
        own(source, out, |own| u64::try_from(own.threads).ok().map(count))
    }),
    gauge("process_open_fds", &[], "Open file descriptors of the daemon itself.", |source, out| {
        own(source, out, |own| u64::try_from(own.open_fds).ok().map(count))
    }),
    gauge("process_max_fds", &[], "Limit of open file descriptors of the daemon itself.", |source, out| {
        own(source, out, |own| own.max_fds.map(count))
    }),
];

fn meter_labels(meter: &MeterStatus) -> [&str; 3] {
    [meter.id.meter, meter.id.domain.as_str(), &meter.id.device]
}

fn meters(source: Source<'_>, out: &mut Samples, value: fn(&MeterStatus) -> Option<f64>) {
    for meter in &source.snapshot.meters {
        if let Some(value) = value(meter) {
            out.push(&meter_labels(meter), &[], value);
        }
    }
}

fn own(source: Source<'_>, out: &mut Samples, value: fn(&super::OwnProcess) -> Option<f64>) {
    if let Some(value) = source.own.and_then(value) {
        out.push(&[], &[], value);
    }
}

/// A count as a float: Prometheus has no other numbers, and is exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn count(number: u64) -> f64 {
    number as f64
}
