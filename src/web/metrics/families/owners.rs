//! Families of the node, and of those who used its energy.

use super::{CONTAINER, Family, counter, gauge, with};
use crate::snapshot::Beneficiary;
use crate::web::metrics::workloads::{
    cpu_time, info, process_energy, process_power, workload_cells, workload_embodied, workload_energy,
};
use crate::workloads::owner::OwnerKind;

const JOB: [&str; 4] = ["manager", "job_id", "job_name", "user"];
/// What stands on the `_info` families beside the owner's labels.
const DETAILS: [&str; 7] = ["image", "owner_kind", "owner_name", "node", "phase", "model", "variant"];
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

/// What each kind of owner has, by its name in the families, what it is called, and its labels.
macro_rules! owners {
    ($name:literal, $kind:expr, $noun:literal, $state:expr, $component:expr) => {
        [
            counter(
                concat!("wattprint_", $name, "_energy_joules_total"),
                $state,
                concat!("Energy of ", $noun, " by component and state since it was first seen."),
                |source, out| workload_energy(source, $kind, out),
            ),
            gauge(
                concat!("wattprint_", $name, "_power_watts"),
                $component,
                concat!("Mean power of ", $noun, " by component over the last tick."),
                |source, out| workload_cells(source, $kind, out, |cell| cell.power.map(|power| power.0)),
            ),
            counter(
                concat!("wattprint_", $name, "_emissions_grams_total"),
                $component,
                concat!(
                    "Location-based emissions of ", $noun,
                    " in grams of CO2 equivalent by component since it was first seen, PUE included."
                ),
                |source, out| workload_cells(source, $kind, out, |cell| Some(cell.emissions.0)),
            ),
            counter(
                concat!("wattprint_", $name, "_market_emissions_grams_total"),
                $component,
                concat!(
                    "Market-based emissions of ", $noun,
                    " in grams of CO2 equivalent by component since it was first seen, PUE included; another view of the \
                     same energy, not to be added to the location-based ones. Absent unless market.* is configured."
                ),
                |source, out| {
                    workload_cells(source, $kind, out, |cell| cell.market_emissions.map(|grams| grams.0));
                },
            ),
            counter(
                concat!("wattprint_", $name, "_embodied_emissions_grams_total"),
                $component,
                concat!(
                    "Emissions of making the hardware that ", $noun,
                    " had, in grams of CO2 equivalent since it was first seen. Component other is the server without its \
                     GPUs, by CPU time; gpu goes to those whom cards were given to, else to those who hold contexts. Absent unless \
                     embodied.enabled is set."
                ),
                |source, out| workload_embodied(source, $kind, out),
            ),
            counter(
                concat!("wattprint_", $name, "_water_liters_total"),
                $component,
                concat!(
                    "Water that the site used for ", $noun,
                    " by component since it was first seen. Absent unless carbon.wue is configured."
                ),
                |source, out| workload_cells(source, $kind, out, |cell| cell.water.map(|water| water.0)),
            ),
        ]
    };
}

/// The node first, then its workloads by kind, then processes.
pub(super) const FAMILIES: [&[Family]; 9] = [
    NODE,
    &owners!("container", OwnerKind::Container, "a container", CONTAINER_STATE, CONTAINER_COMPONENT),
    &[
        counter(
            "wattprint_container_cpu_seconds_total",
            &CONTAINER,
            "CPU time of a container since it was first seen: the evidence for its share of the energy.",
            |source, out| cpu_time(source, OwnerKind::Container, out),
        ),
        gauge(
            "wattprint_container_info",
            &with::<5, 7, 12>(CONTAINER, DETAILS),
            "What is known of a container now; always 1. Names that were learned or changed after its series began are \
             here only: join by container_id. With more labels where they are known: compose_project, compose_service, \
             and label_* and annotation_* as configured.",
            |source, out| info(source, OwnerKind::Container, out),
        ),
    ],
    &owners!("unit", OwnerKind::Unit, "a systemd unit", UNIT_STATE, UNIT_COMPONENT),
    &owners!("job", OwnerKind::Job, "a batch job on this node", JOB_STATE, JOB_COMPONENT),
    &[gauge(
        "wattprint_job_info",
        &with::<4, 7, 11>(JOB, DETAILS),
        "What is known of a batch job now; always 1. With more labels where they are known: account, partition, \
         array_job_id, array_task_id, claimed_user.",
        |source, out| info(source, OwnerKind::Job, out),
    )],
    &owners!("vm", OwnerKind::Vm, "a virtual machine", VM_STATE, VM_COMPONENT),
    &[gauge(
        "wattprint_vm_info",
        &with::<1, 7, 8>(["vm"], DETAILS),
        "What is known of a virtual machine now; always 1. With more labels where they are known: uuid, domain, title, \
         project, flavor.",
        |source, out| info(source, OwnerKind::Vm, out),
    )],
    PROCESSES,
];

const NODE: &[Family] = &[
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
    counter(
        "wattprint_node_market_emissions_grams_total",
        &["component"],
        "Market-based emissions of the node in grams of CO2 equivalent by component since the daemon started, PUE \
         included; another view of the same energy, not to be added to the location-based ones. Absent unless market.* \
         is configured.",
        |source, out| {
            for totals in &source.snapshot.components {
                if let Some(grams) = totals.market_emissions {
                    out.push(&[totals.component.as_str()], &[], grams.0);
                }
            }
        },
    ),
    counter(
        "wattprint_node_water_liters_total",
        &["component"],
        "Water that the site used for the node by component since the daemon started. Absent unless carbon.wue is \
         configured.",
        |source, out| {
            for totals in &source.snapshot.components {
                if let Some(water) = totals.water {
                    out.push(&[totals.component.as_str()], &[], water.0);
                }
            }
        },
    ),
];

const PROCESSES: &[Family] = &[
    // Processes: a part of their owner's energy, not to be added to it.
    counter(
        "wattprint_process_energy_joules_total",
        PROCESS_STATE,
        "Energy of a process by component and state since it was first seen; a part of its owner's energy. \
         Only the processes that use most are here; one may leave and come back, and its counter goes on.",
        process_energy,
    ),
    gauge(
        "wattprint_process_power_watts",
        PROCESS_COMPONENT,
        "Mean power of a process by component over the last tick; a part of its owner's power.",
        process_power,
    ),
];
