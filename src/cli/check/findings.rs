//! What was found of readers, cgroups, processes and rights, and what would mend it.

use std::fs;
use std::path::Path;

use crate::cli::check::{CgroupReport, Finding};
use crate::config::{Collectors, Settings};
use crate::meters::Survey;
use crate::sampler::Sampler;
use crate::snapshot::{SetupProblem, Snapshot};
use crate::workloads::hierarchy::{Layout, Version};
use crate::workloads::process::ClockSource;

pub(super) fn switched_off(collector: &str) -> Finding {
    Finding::good(collector, format!("switched off (collector.{collector})"))
}

/// What to switch on where no component has a meter or a model.
pub(super) fn advice(collectors: &Collectors) -> String {
    let sources = [("rapl", collectors.rapl), ("hwmon", collectors.hwmon), ("estimate", collectors.estimate)];
    let off: Vec<_> =
        sources.iter().filter(|(_, on)| !on).map(|(name, _)| format!("--collector.{name}")).collect();
    if off.is_empty() {
        "see what is wrong with the readers below; with model.cpu_tdp_watts set, the CPU can be modelled"
            .to_owned()
    } else {
        format!(
            "switch on what is switched off: {}; the model (estimate) needs no hardware meter",
            off.join(", ")
        )
    }
}

/// The readers of meters that are off, find nothing or fail.
pub(super) fn readers(settings: &Settings, survey: &Survey) -> Vec<Finding> {
    let sysfs = &settings.path.sysfs;
    let mut findings = Vec::new();
    if !sysfs.is_dir() {
        findings.push(no_directory("sysfs", sysfs, "/sys"));
    } else {
        findings.extend(survey.readers.iter().map(|reader| Finding {
            what: reader.name.to_owned(),
            ok: false,
            text: reader.error.clone(),
            remedy: reader.remedy.map(str::to_owned),
        }));
    }
    let collectors = &settings.collector;
    for (name, on) in
        [("rapl", collectors.rapl), ("hwmon", collectors.hwmon), ("estimate", collectors.estimate)]
    {
        if !on {
            findings.push(switched_off(name));
        }
    }
    findings
}

pub(super) fn no_directory(name: &str, path: &Path, usual: &str) -> Finding {
    Finding::bad(
        name,
        format!("{} doesn't exist or is no directory", path.display()),
        format!("correct path.{name} (--path.{name}); outside containers it is {usual}"),
    )
}

/// Cgroups: which there are, and what is wrong with them.
pub(super) fn cgroups(
    settings: &Settings,
    layout: &Layout,
    problems: &[SetupProblem],
    error: Option<String>,
) -> CgroupReport {
    if !settings.collector.cgroup {
        let findings = vec![switched_off("cgroup")];
        return CgroupReport { layout: "off".to_owned(), hierarchies: Layout::default(), findings };
    }
    let procfs = &settings.path.procfs;
    let mut findings = Vec::new();
    if let Some(text) = error {
        let remedy = match (&layout.cpu, procfs.is_dir()) {
            (Some(_), _) => None,
            (None, false) => Some("correct path.procfs (--path.procfs); outside containers it is /proc"),
            (None, true) => Some(
                "mount cgroup2 (`mount -t cgroup2 cgroup2 /sys/fs/cgroup`), or in a container mount the host's /sys \
                 and point --path.sysfs at it; until then all energy is `system`",
            ),
        };
        let remedy = remedy.map(str::to_owned);
        findings.push(Finding { what: "cpu".to_owned(), ok: false, text, remedy });
    }
    if problems.contains(&SetupProblem::CgroupScope) {
        findings.push(Finding::bad(
            "scope",
            "only a part of the machine's cgroups can be seen",
            "in a container: share the host's cgroup namespace (`--cgroupns=host`) or mount the host's /sys and \
             point --path.sysfs at it",
        ));
    }
    findings.extend(memory(procfs, &settings.path.sysfs, layout));
    CgroupReport { layout: layout.to_string(), hierarchies: layout.clone(), findings }
}

/// What is wrong with the memory controller, by /proc/cgroups (cgroups(7)): name, the number of its v1 hierarchy
/// (0 for none), how many cgroups, and whether it is enabled.
fn memory(procfs: &Path, sysfs: &Path, layout: &Layout) -> Option<Finding> {
    let told = "memory is told from processes";
    if let Some(hierarchy) = &layout.memory {
        let control = hierarchy.mount.join("cgroup.subtree_control");
        let passed_on = || {
            let text = fs::read_to_string(&control).ok();
            text.is_none_or(|text| text.split_whitespace().any(|name| name == "memory"))
        };
        return (hierarchy.version == Version::V2 && !passed_on()).then(|| {
            Finding::bad(
                "memory",
                format!("{} doesn't pass the memory controller on: {told}", control.display()),
                format!("`echo +memory > {}`", control.display()),
            )
        });
    }
    let listing = procfs.join("cgroups");
    let text = fs::read_to_string(&listing).ok()?;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().collect())
        .collect();
    let row = rows.iter().find(|row| row.first() == Some(&"memory"));
    let Some([_, number, _, enabled, ..]) = row.map(Vec::as_slice) else {
        return Some(Finding::bad(
            "memory",
            format!("{} has no memory controller: {told}", listing.display()),
            "boot without `cgroup_disable=memory` a kernel that has CONFIG_MEMCG",
        ));
    };
    if *enabled == "0" {
        return Some(Finding::bad(
            "memory",
            format!("the memory controller is disabled since boot: {told}"),
            "boot without `cgroup_disable=memory`, and with `cgroup_enable=memory` where the kernel's default is off",
        ));
    }
    let unified = [&layout.second_cpu, &layout.cpu]
        .into_iter()
        .flatten()
        .find(|hierarchy| hierarchy.version == Version::V2);
    let base = sysfs.join("fs/cgroup");
    // A directory that is made inside a v2 hierarchy is a cgroup, no place to mount anything.
    let place = match unified {
        Some(unified) if unified.mount == base => Path::new("/run/cgroup-memory").to_path_buf(),
        _ => base.join("memory"),
    };
    // Controllers that share a hierarchy can be mounted only together.
    let together: Vec<&str> = rows
        .iter()
        .filter(|row| *number != "0" && row.get(1) == Some(number))
        .filter_map(|row| row.first().copied())
        .collect();
    let together = if together.is_empty() { "memory".to_owned() } else { together.join(",") };
    let mount = format!(
        "mount it: `mkdir -p {place} && mount -t cgroup -o {together} cgroup {place}`",
        place = place.display()
    );
    Some(match unified {
        _ if *number != "0" => Finding::bad(
            "memory",
            format!(
                "the memory controller is held by v1 hierarchy {number}, which isn't mounted here: {told}"
            ),
            mount,
        ),
        None => Finding::bad(
            "memory",
            format!("the memory controller is enabled, but no hierarchy that has it is mounted: {told}"),
            mount,
        ),
        Some(unified) if unified.is_whole() => Finding::bad(
            "memory",
            format!("{} doesn't have the memory controller on: {told}", unified.mount.display()),
            format!("`echo +memory > {}`", unified.mount.join("cgroup.subtree_control").display()),
        ),
        Some(unified) => Finding::bad(
            "memory",
            format!("{} isn't given the memory controller from above: {told}", unified.mount.display()),
            "on the host, `echo +memory > DIR/cgroup.subtree_control` in each cgroup DIR above this one, or mount \
             the host's /sys and point --path.sysfs at it",
        ),
    })
}

/// Processes: how they are read, and what is wrong.
pub(super) fn processes(
    settings: &Settings,
    sampler: &Sampler,
    snapshot: &Snapshot,
    error: Option<String>,
) -> Vec<Finding> {
    let procfs = &settings.path.procfs;
    if !settings.collector.process {
        return vec![switched_off("process")];
    }
    if !procfs.is_dir() {
        return vec![no_directory("procfs", procfs, "/proc")];
    }
    let mut findings = Vec::new();
    if let Some(text) = error {
        findings.push(Finding { what: "list".to_owned(), ok: false, text, remedy: None });
    }
    if !procfs.join("stat").exists() {
        findings.push(Finding::bad(
            "procfs",
            format!("{} isn't a procfs: it has no file `stat`", procfs.display()),
            "correct path.procfs (--path.procfs); outside containers it is /proc",
        ));
        return findings;
    }
    findings.push(match sampler.workloads().clock_source() {
        ClockSource::CpuClock => {
            Finding::good("CPU time", "by each process's CPU clock, in nanoseconds")
        }
        ClockSource::Stat => Finding::bad(
            "CPU time",
            format!(
                "{} isn't this process's own pid namespace: CPU time comes from PID/stat in clock ticks, at more cost",
                procfs.display()
            ),
            "run in the host's pid namespace (`hostPID: true`, `--pid=host`)",
        ),
    });
    if snapshot.setup_problems.contains(&SetupProblem::HiddenProcesses) {
        findings.push(Finding::bad(
            "visibility",
            format!("{} hides processes of other users (hidepid)", procfs.display()),
            "remount it with `hidepid=0`, or `gid=` a group of the daemon's",
        ));
    }
    if snapshot.processes.is_empty() && settings.limits.processes > 0 {
        findings.push(Finding::good("activity", "no process used CPU time while this check looked"));
    }
    findings
}

/// Whether this process may read files that only root may (capabilities(7)), as far as that matters here.
pub(super) fn permissions(settings: &Settings, survey: &Survey) -> Vec<Finding> {
    const CAP_DAC_READ_SEARCH: u32 = 2;
    let status = procfs::process::Process::myself().and_then(|myself| myself.status());
    let effective = status.map_or(0, |status| status.capeff);
    let binary = std::env::current_exe().map_or("wattprint".to_owned(), |path| path.display().to_string());
    vec![reading(effective & (1 << CAP_DAC_READ_SEARCH) != 0, settings, survey, &binary)]
}

fn reading(held: bool, settings: &Settings, survey: &Survey, binary: &str) -> Finding {
    const WHAT: &str = "CAP_DAC_READ_SEARCH";
    let denied = survey.meters.iter().filter(|meter| meter.denied).count()
        + survey.readers.iter().filter(|reader| reader.denied).count();
    let has_rapl = survey.meters.iter().any(|meter| meter.id.meter == "rapl");
    match (held, denied) {
        (true, 0) => Finding::good(WHAT, "held: energy_uj can be read wherever it exists"),
        (true, denied) => Finding::bad(
            WHAT,
            format!("held, but {denied} of the files above are denied all the same"),
            "look into the audit log: a security module (SELinux, AppArmor) or the container's profile denies them",
        ),
        (false, 0) if !settings.collector.rapl => {
            Finding::good(WHAT, "not held, and not needed while collector.rapl is off")
        }
        (false, 0) if !has_rapl => {
            let files = settings.path.sysfs.join("class/powercap/*/energy_uj");
            Finding::good(WHAT, format!("not held, and not needed here: there is no {}", files.display()))
        }
        (false, 0) => Finding::good(WHAT, "not held, and not needed here: energy_uj can be read without it"),
        (false, denied) => Finding::bad(
            WHAT,
            format!("not held: {denied} of the files above can be read by root only"),
            format!(
                "`sudo setcap cap_dac_read_search+ep {}`, or AmbientCapabilities=CAP_DAC_READ_SEARCH in the unit, or \
                 capabilities.add: [DAC_READ_SEARCH] in the pod",
                quoted(binary)
            ),
        ),
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    if path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c)) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
