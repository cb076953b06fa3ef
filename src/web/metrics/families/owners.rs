//! Families of the node, and of those who used its energy.

use super::{CONTAINER, Family, counter, gauge, with};
use crate::snapshot::Beneficiary;
use crate::web::metrics::workloads::{
    cpu_time, process_energy, process_power, workload_emissions, workload_energy, workload_power,
};
use crate::workloads::owner::OwnerKind;

const JOB: [&str; 4] = ["manager", "job_id", "job_name", "user"];
const PROCESS: [&str; 4] = ["pid", "comm", "container_id", "unit"];

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

/// The node first, then its workloads by kind, then processes.
pub(super) const FAMILIES: &[Family] = &[
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
];
