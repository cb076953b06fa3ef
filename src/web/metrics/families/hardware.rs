//! Families of GPUs and meters.

use super::{CONTAINER, Family, Samples, Source, count, counter, gauge, with};
use crate::snapshot::MeterStatus;
use crate::units::Microjoules;
use crate::web::metrics::gpus;

const METER: &[&str] = &["meter", "domain", "device"];
const GPU: &[&str] = &["gpu", "uuid"];
const GPU_CONTAINER: [&str; 7] = with(["gpu", "uuid"], CONTAINER);
const ALLOCATED: &[&str] = &with::<7, 2, 9>(GPU_CONTAINER, ["manager", "job_id"]);

/// GPUs first, then every meter.
pub(super) const FAMILIES: &[Family] = &[
    // GPUs.
    counter(
        "wattprint_gpu_energy_joules_total",
        GPU,
        "Energy of a GPU since it was first read. Where its meter covers CPU and memory too (domain module), their \
         part is taken off.",
        |source, out| gpus::gauges(source, out, |gpu| gpu.energy.map(Microjoules::as_joules)),
    ),
    counter(
        "wattprint_gpu_owner_energy_joules_total",
        &["gpu", "uuid", "kind"],
        "Energy of a GPU by the kind of owner that it went to; adds up to wattprint_gpu_energy_joules_total.",
        gpus::by_kind,
    ),
    counter(
        "wattprint_gpu_container_energy_joules_total",
        &GPU_CONTAINER,
        "Energy of a GPU that went to a container since it was first seen, all states together. Only cards that it used \
         or was given are here.",
        gpus::by_container,
    ),
    gauge(
        "wattprint_gpu_allocated",
        ALLOCATED,
        "A GPU, or a part of it, that was given to a container or a batch job, whether it is used or not; always 1. A job has \
         no container's labels, a container no manager and job_id.",
        gpus::allocated,
    ),
    gauge("wattprint_gpu_power_watts", GPU, "Mean power of a GPU over the last tick.", |source, out| {
        gpus::gauges(source, out, |gpu| gpu.power.map(|power| power.0));
    }),
    gauge(
        "wattprint_gpu_utilization_ratio",
        GPU,
        "Share of time that a GPU worked lately, as its driver says; 0 to 1.",
        |source, out| gpus::gauges(source, out, |gpu| gpu.utilization),
    ),
    gauge("wattprint_gpu_memory_used_bytes", GPU, "Memory of a GPU in use.", |source, out| {
        gpus::gauges(source, out, |gpu| gpu.memory_used.map(|bytes| count(bytes.0)));
    }),
    gauge("wattprint_gpu_power_limit_watts", GPU, "Power limit of a GPU in force.", |source, out| {
        gpus::gauges(source, out, |gpu| gpu.power_limit.map(|power| power.0));
    }),
    gauge("wattprint_gpu_up", GPU, "1 where the GPU answered in the last tick, else 0.", |source, out| {
        gpus::gauges(source, out, |gpu| Some(f64::from(u8::from(gpu.up))))
    }),
    gauge(
        "wattprint_gpu_call_stuck_seconds",
        GPU,
        "For how long a call to the GPU's driver hasn't returned; 0 where none is under way.",
        |source, out| gpus::gauges(source, out, |gpu| Some(gpu.stuck.as_secs_f64())),
    ),
    counter(
        "wattprint_gpu_errors_total",
        GPU,
        "Readings of a GPU that failed, and calls that hung, since the daemon started.",
        |source, out| gpus::gauges(source, out, |gpu| Some(count(gpu.errors))),
    ),
    gauge(
        "wattprint_gpu_clients",
        GPU,
        "Processes that hold a context on a GPU, the MPS server left out.",
        |source, out| gpus::gauges(source, out, |gpu| gpu.clients.map(count)),
    ),
    gauge(
        "wattprint_gpu_info",
        &["gpu", "uuid", "model", "vendor", "pci_bus_id", "driver", "mig"],
        "Names of a GPU, and whether MIG is on or off; always 1.",
        gpus::info,
    ),
    gauge(
        "wattprint_gpu_attribution_info",
        &["gpu", "uuid", "method"],
        "Evidence by which a GPU's energy was split in the last tick; always 1.",
        gpus::method,
    ),
    gauge(
        "wattprint_gpu_limitation_info",
        &["gpu", "uuid", "what", "reason"],
        "What keeps a GPU from better figures (counter, scope, clients, sm_util, gpm, memory), and why; always 1.",
        gpus::limitations,
    ),
    gauge(
        "wattprint_gpu_pid_namespace_ok",
        &[],
        "1 where the pids that GPU drivers give are those of the daemon's procfs, else 0: nobody can be told then.",
        |source, out| {
            if let Some(ok) = source.snapshot.gpu_pid_namespace_ok {
                out.push(&[], &[], f64::from(u8::from(ok)));
            }
        },
    ),
    // Meters.
    counter(
        "wattprint_meter_energy_joules_total",
        METER,
        "Energy that a meter counted since the daemon started, unwrapped. Meters overlap: don't add them up.",
        |source, out| {
            meters(source, out, |meter| meter.energy.map(Microjoules::as_joules));
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
