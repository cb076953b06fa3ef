//! Families of the daemon's own work.

use super::{Family, Samples, Source, count, counter, gauge};
use crate::web::VERSION;
use crate::web::metrics::OwnProcess;

/// How sampling fares, then what the daemon uses.
pub(super) const FAMILIES: &[Family] = &[
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
        "What the collector took in the last tick; absent for those of names, which work beside the ticks.",
        |source, out| {
            for status in &source.snapshot.collectors {
                if let Some(duration) = status.duration {
                    out.push(&[status.collector], &[], duration.as_secs_f64());
                }
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
        "wattprint_setup_problem",
        &["problem"],
        "What the daemon lacks of its surroundings, as a mount or a right; always 1, absent for what is there.",
        |source, out| {
            for problem in &source.snapshot.setup_problems {
                out.push(&[problem.as_str()], &[], 1.0);
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
        "Owners (containers, units, jobs, VMs) and processes that a cap kept from having series of their own.",
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
        "wattprint_config_last_reload_successful",
        &[],
        "1 where the configuration that was read last is in use, 0 where it was refused and the one before stays.",
        |source, out| out.push(&[], &[], f64::from(u8::from(source.snapshot.config.is_accepted))),
    ),
    gauge(
        "wattprint_config_last_reload_success_timestamp_seconds",
        &[],
        "When the configuration in use was taken, in seconds since the Unix epoch: at the start, or on SIGHUP.",
        |source, out| out.push(&[], &[], source.snapshot.config.accepted_at.as_seconds()),
    ),
    gauge(
        "wattprint_config_awaiting_restart_info",
        &["key"],
        "Keys whose new values in the configuration are heeded at the next start only; always 1, absent where there are none.",
        |source, out| {
            for key in source.snapshot.config.awaiting_restart.iter() {
                out.push(&[key], &[], 1.0);
            }
        },
    ),
    gauge(
        "wattprint_build_info",
        &["version", "arch", "os"],
        "Version of wattprint and what it was built for; always 1.",
        |_, out| {
            let labels = [VERSION, std::env::consts::ARCH, std::env::consts::OS];
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

fn own(source: Source<'_>, out: &mut Samples, value: fn(&OwnProcess) -> Option<f64>) {
    if let Some(value) = source.own.and_then(value) {
        out.push(&[], &[], value);
    }
}
