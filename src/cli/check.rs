//! `wattprint check`: what can be measured here, what can't, and what would fix it.

mod text;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::cli::serve::web_settings;
use crate::cli::{CliError, factors, raise_open_files};
use crate::config::{Loaded, Settings};
use crate::meters::{Component, MeterSurvey, Quality};
use crate::sampler::{Clock, Sampler};
use crate::snapshot::{MeterStatus, Snapshot};
use crate::workloads::hierarchy::Layout;
use crate::workloads::process::ClockSource;

/// Counters are looked at twice, this long apart, to see them move.
const LOOK: Duration = Duration::from_millis(500);

/// Everything that the check found.
#[derive(Debug, Serialize)]
struct Report {
    /// `measured`, `modelled` or `nothing`.
    verdict: Verdict,
    /// What feeds each component.
    components: Vec<ComponentReport>,
    /// Every meter, in use or not.
    meters: Vec<MeterReport>,
    /// Readers that found nothing.
    readers: Vec<Finding>,
    /// The numbers of the model, one line each; empty if it is switched off.
    model: Vec<String>,
    /// Cgroups: what is there and what is wrong.
    cgroups: CgroupReport,
    /// Processes: how they are read and what is wrong.
    processes: Vec<Finding>,
    /// Emission factors.
    carbon: CarbonReport,
    /// Rights that the daemon has or lacks.
    permissions: Vec<Finding>,
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Measured,
    Modelled,
    Nothing,
}

impl Verdict {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Measured => ExitCode::SUCCESS,
            Self::Modelled => ExitCode::from(1),
            Self::Nothing => ExitCode::from(2),
        }
    }
}

#[derive(Debug, Serialize)]
struct ComponentReport {
    component: Component,
    quality: Quality,
    power_watts: Option<f64>,
}

#[derive(Debug, Serialize)]
struct MeterReport {
    meter: &'static str,
    domain: &'static str,
    device: String,
    quality: Quality,
    up: bool,
    feeds: Option<Component>,
    reason: String,
    path: Option<String>,
    error: Option<String>,
    remedy: Option<String>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    ok: bool,
    /// What was found.
    text: String,
    /// What to do about it.
    remedy: Option<String>,
}

#[derive(Debug, Serialize)]
struct CgroupReport {
    layout: String,
    hierarchies: Layout,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct CarbonReport {
    zone: String,
    intensity_grams_per_kwh: f64,
    basis: &'static str,
    provider: &'static str,
    quality: &'static str,
    source: Option<String>,
    year: Option<u16>,
    pue_ratio: f64,
    pue_configured: bool,
    notice: Option<String>,
}

/// Looks at everything, prints what was found, and gives the exit code that tells it.
pub(super) fn run(loaded: &Loaded, json: bool, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let settings = &loaded.settings;
    // What `serve` would refuse is refused here, too.
    web_settings(loaded)?;
    let clock = Clock::new()?;
    let mut sampler = Sampler::new(settings, factors(loaded)?, clock, raise_open_files());
    sampler.tick(clock.now());
    thread::sleep(LOOK);
    let snapshot = sampler.tick(clock.now());
    let report = report(settings, &sampler, &snapshot);
    if json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        text::write(&report, out)?;
    }
    out.flush()?;
    Ok(report.verdict.exit_code())
}

fn report(settings: &Settings, sampler: &Sampler, snapshot: &Snapshot) -> Report {
    let survey = sampler.meters().survey();
    let meters: Vec<MeterReport> = snapshot
        .meters
        .iter()
        .map(|status| meter_report(status, survey.meters.iter().find(|meter| meter.id == status.id)))
        .collect();
    let unused = sampler.unused_baselines(snapshot).into_iter().map(|key| Finding {
        what: format!("baseline.{key}"),
        ok: false,
        text: "no meter has this device or domain".to_owned(),
        remedy: Some("use a device or a domain of the list above".to_owned()),
    });
    let readers = survey.readers.iter().map(|reader| Finding {
        what: reader.name.to_owned(),
        ok: false,
        text: reader.error.clone(),
        remedy: reader.remedy.map(str::to_owned),
    });
    let components = snapshot.components.iter().map(|totals| ComponentReport {
        component: totals.component,
        quality: totals.quality,
        power_watts: totals.power.map(|power| power.0),
    });
    let components: Vec<ComponentReport> = components.collect();
    let collector = |name: &str| snapshot.collectors.iter().find(|status| status.collector == name);
    let error = |name: &str| collector(name).and_then(|status| status.detail.as_deref().map(str::to_owned));
    Report {
        verdict: verdict(&components),
        components,
        meters,
        readers: readers.chain(unused).collect(),
        model: survey.estimate.map(|basis| basis.explain()).unwrap_or_default(),
        cgroups: cgroups(sampler, error("cgroup")),
        processes: processes(settings, sampler, snapshot, error("process")),
        carbon: carbon(sampler),
        permissions: permissions(settings),
    }
}

fn verdict(components: &[ComponentReport]) -> Verdict {
    let is_real = |part: &&ComponentReport| matches!(part.quality, Quality::Measured | Quality::Integrated);
    if components.iter().any(|part| is_real(&part)) {
        Verdict::Measured
    } else if components.is_empty() {
        Verdict::Nothing
    } else {
        Verdict::Modelled
    }
}

fn meter_report(status: &MeterStatus, survey: Option<&MeterSurvey>) -> MeterReport {
    MeterReport {
        meter: status.id.meter,
        domain: status.id.domain.as_str(),
        device: status.id.device.to_string(),
        quality: status.quality,
        up: status.up,
        feeds: status.feeds,
        reason: status.reason.to_string(),
        path: survey.and_then(|meter| meter.path.as_ref()).map(|path| path.display().to_string()),
        error: survey.and_then(|meter| meter.error.clone()),
        remedy: survey.and_then(|meter| meter.remedy).map(str::to_owned),
    }
}

fn cgroups(sampler: &Sampler, error: Option<String>) -> CgroupReport {
    let layout = sampler.workloads().layout();
    let mut findings = Vec::new();
    if let Some(text) = error {
        findings.push(Finding {
            what: "cpu".to_owned(),
            ok: false,
            text,
            remedy: layout.cpu.is_none().then(|| {
                "mount cgroup2 (`mount -t cgroup2 cgroup2 /sys/fs/cgroup`), or in a container mount the host's /sys \
                 and point --path.sysfs at it; until then all energy is `system`"
                    .to_owned()
            }),
        });
    }
    if layout.cpu.as_ref().is_some_and(|hierarchy| !hierarchy.is_whole()) {
        findings.push(Finding {
            what: "scope".to_owned(),
            ok: false,
            text: "only a part of the machine's cgroups can be seen".to_owned(),
            remedy: Some(
                "in a container: share the host's cgroup namespace (`--cgroupns=host`) or mount the host's /sys and \
                 point --path.sysfs at it"
                    .to_owned(),
            ),
        });
    }
    if layout.memory.is_none() {
        findings.push(Finding {
            what: "memory".to_owned(),
            ok: false,
            text: "no memory controller: memory is told from processes".to_owned(),
            remedy: Some(
                "boot with the memory controller enabled (without `cgroup_disable=memory`)".to_owned(),
            ),
        });
    }
    CgroupReport { layout: layout.to_string(), hierarchies: layout.clone(), findings }
}

fn processes(
    settings: &Settings,
    sampler: &Sampler,
    snapshot: &Snapshot,
    error: Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(text) = error {
        findings.push(Finding { what: "list".to_owned(), ok: false, text, remedy: None });
    }
    findings.push(match sampler.workloads().clock_source() {
        ClockSource::CpuClock => Finding {
            what: "CPU time".to_owned(),
            ok: true,
            text: "by each process's CPU clock, in nanoseconds".to_owned(),
            remedy: None,
        },
        ClockSource::Stat => Finding {
            what: "CPU time".to_owned(),
            ok: false,
            text: format!(
                "{} isn't this process's own pid namespace: CPU time comes from PID/stat in clock ticks, at more cost",
                settings.path.procfs.display()
            ),
            remedy: Some("run in the host's pid namespace (`hostPID: true`, `--pid=host`)".to_owned()),
        },
    });
    if !settings.path.procfs.join("1/stat").exists() {
        findings.push(Finding {
            what: "visibility".to_owned(),
            ok: false,
            text: format!("{} hides processes of other users (hidepid)", settings.path.procfs.display()),
            remedy: Some("remount it with `hidepid=0`, or `gid=` a group of the daemon's".to_owned()),
        });
    }
    if settings.collector.process && snapshot.processes.is_empty() && settings.limits.processes > 0 {
        findings.push(Finding {
            what: "activity".to_owned(),
            ok: true,
            text: "no process used CPU time while this check looked".to_owned(),
            remedy: None,
        });
    }
    findings
}

fn carbon(sampler: &Sampler) -> CarbonReport {
    let factors = sampler.factors();
    CarbonReport {
        zone: factors.grid.zone.to_string(),
        intensity_grams_per_kwh: factors.grid.intensity.0,
        basis: factors.grid.basis,
        provider: factors.grid.provider,
        quality: factors.grid.quality,
        source: factors.origin.as_ref().map(|origin| origin.source.to_string()),
        year: factors.origin.as_ref().map(|origin| origin.year),
        pue_ratio: factors.pue.0,
        pue_configured: factors.pue_configured,
        notice: factors.notice(),
    }
}

/// Whether this process may read files that only root may (capabilities(7)).
fn permissions(settings: &Settings) -> Vec<Finding> {
    const CAP_DAC_READ_SEARCH: u32 = 2;
    let status = fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has_it = effective & (1 << CAP_DAC_READ_SEARCH) != 0;
    let binary = std::env::current_exe().map_or("wattprint".to_owned(), |path| path.display().to_string());
    vec![Finding {
        what: "CAP_DAC_READ_SEARCH".to_owned(),
        ok: has_it,
        text: if has_it {
            "held: energy_uj can be read".to_owned()
        } else {
            format!("not held: {} can be read by root only", settings.path.sysfs.join("class/powercap/*/energy_uj").display())
        },
        remedy: (!has_it).then(|| {
            format!(
                "`sudo setcap cap_dac_read_search+ep {binary}`, or AmbientCapabilities=CAP_DAC_READ_SEARCH in the \
                 unit, or capabilities.add: [DAC_READ_SEARCH] in the pod"
            )
        }),
    }]
}
