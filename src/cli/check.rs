//! `wattprint check`: what can be measured here, what can't, and what would fix it.

mod findings;
mod gpus;
mod grid;
mod hardware;
mod names;
mod text;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::cli::carbon::{self, Carbon, Purpose};
use crate::cli::serve::web_settings;
use crate::cli::{CliError, names as name_sources, raise_open_files};
use crate::config::{Loaded, Settings};
use crate::meters::{Component, MeterSurvey, Quality};
use crate::sampler::{Clock, Sampler};
use crate::snapshot::{MeterStatus, Snapshot};
use crate::units::UnixTime;
use crate::workloads::hierarchy::Layout;

/// Counters are looked at twice, this long apart, to see them move.
const LOOK: Duration = Duration::from_millis(500);

/// So many more looks are taken while GPUs haven't answered.
const MORE_LOOKS: u32 = 20;

/// Everything that the check found.
#[derive(Debug, Serialize)]
struct Report {
    /// `measured`, `modelled`, `simulated` or `nothing`.
    verdict: Verdict,
    /// What to do where nothing works.
    advice: Option<String>,
    /// What feeds each component.
    components: Vec<ComponentReport>,
    /// Every meter, in use or not.
    meters: Vec<MeterReport>,
    /// GPUs: which there are, and what is wrong with them.
    gpus: gpus::GpusReport,
    /// Readers that found nothing.
    readers: Vec<Finding>,
    /// The numbers of the model, one line each; empty if it is switched off.
    model: Vec<String>,
    /// Cgroups: what is there and what is wrong.
    cgroups: CgroupReport,
    /// Processes: how they are read and what is wrong.
    processes: Vec<Finding>,
    /// Names: who tells them, and who has none.
    names: Vec<Finding>,
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
    Simulated,
    Nothing,
}

impl Verdict {
    fn exit_code(self) -> ExitCode {
        match self {
            Self::Measured => ExitCode::SUCCESS,
            Self::Modelled | Self::Simulated => ExitCode::from(1),
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

impl Finding {
    fn good(what: &str, text: impl Into<String>) -> Self {
        Self { what: what.to_owned(), ok: true, text: text.into(), remedy: None }
    }

    fn bad(what: &str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.to_owned(), ok: false, text: text.into(), remedy: Some(remedy.into()) }
    }
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
    provider: String,
    quality: &'static str,
    source: Option<String>,
    year: Option<u16>,
    pue_ratio: f64,
    pue_configured: bool,
    notice: Option<String>,
    /// How live sources answered, and where else figures are read from.
    sources: Vec<Finding>,
    /// Embodied emissions, where they are counted: which parts have a figure.
    hardware: Vec<Finding>,
}

/// Looks at everything, prints what was found, and gives the exit code that tells it.
pub(super) fn run(loaded: &Loaded, json: bool, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let settings = &loaded.settings;
    // What `serve` would refuse is refused here, too.
    web_settings(loaded)?;
    let clock = Clock::new()?;
    let Carbon { pricer, work } = carbon::carbon(loaded, Purpose::Account)?;
    let now = UnixTime::since_epoch(clock.unix());
    let sources = thread::spawn(move || grid::ask(work, now));
    // What live sources say is reported as what they say.
    let board = Arc::default();
    let names = std::sync::Arc::new(crate::identity::NameBoard::new());
    let name_workers = name_sources::begin(settings, &names);
    let mut sampler = Sampler::new(settings, pricer, (board, names), clock, raise_open_files());
    sampler.tick(clock.now());
    let mut snapshot = look(&mut sampler, clock);
    // Drivers may take their time to begin.
    for _ in 0..MORE_LOOKS {
        if sampler.gpus().is_settled() {
            break;
        }
        snapshot = look(&mut sampler, clock);
    }
    // Those that look for names answer in their own time, and what they said is seen a look later.
    for _ in 0..MORE_LOOKS {
        let has_answered = names::have_answered(&name_workers, &snapshot);
        snapshot = look(&mut sampler, clock);
        if has_answered {
            break;
        }
    }
    let broken =
        |_| vec![Finding::bad("sources", "asking them failed inside wattprint", "report it as a bug")];
    let sources = sources.join().unwrap_or_else(broken);
    let names = names::names(settings, name_workers.names(), &snapshot);
    name_workers.stop();
    let report = report(settings, &sampler, &snapshot, names, sources);
    if json {
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
    } else {
        text::write(&report, out)?;
    }
    out.flush()?;
    Ok(report.verdict.exit_code())
}

fn look(sampler: &mut Sampler, clock: Clock) -> Snapshot {
    thread::sleep(LOOK);
    sampler.tick(clock.now())
}

fn report(
    settings: &Settings,
    sampler: &Sampler,
    snapshot: &Snapshot,
    names: Vec<Finding>,
    sources: Vec<Finding>,
) -> Report {
    let survey = sampler.meters().survey();
    let meters: Vec<MeterReport> = snapshot
        .meters
        .iter()
        .map(|status| meter_report(status, survey.meters.iter().find(|meter| meter.id == status.id)))
        .collect();
    let unused = sampler.unused_baselines(snapshot).into_iter().map(|key| {
        Finding::bad(
            &format!("baseline.{key}"),
            "no meter has this device or domain".to_owned(),
            "use a device or a domain of the list above",
        )
    });
    let readers = findings::readers(settings, &survey).into_iter();
    let components = snapshot.components.iter().map(|totals| ComponentReport {
        component: totals.component,
        quality: totals.quality,
        power_watts: totals.power.map(|power| power.0),
    });
    let components: Vec<ComponentReport> = components.collect();
    let collector = |name: &str| snapshot.collectors.iter().find(|status| status.collector == name);
    let error = |name: &str| collector(name).and_then(|status| status.detail.as_deref().map(str::to_owned));
    let verdict = verdict(&components);
    Report {
        verdict,
        advice: (verdict == Verdict::Nothing).then(|| findings::advice(&settings.collector)),
        components,
        meters,
        gpus: gpus::gpus(settings, snapshot),
        readers: readers.chain(unused).collect(),
        permissions: findings::permissions(settings, &survey),
        model: survey.estimate.map(|basis| basis.explain()).unwrap_or_default(),
        cgroups: findings::cgroups(
            settings,
            sampler.workloads().layout(),
            &snapshot.setup_problems,
            error("cgroup"),
        ),
        processes: findings::processes(settings, sampler, snapshot, error("process")),
        names,
        carbon: carbon_report(sampler, snapshot, sources),
    }
}

fn verdict(components: &[ComponentReport]) -> Verdict {
    let is_real = |part: &&ComponentReport| matches!(part.quality, Quality::Measured | Quality::Integrated);
    if components.iter().any(|part| is_real(&part)) {
        Verdict::Measured
    } else if components.iter().any(|part| part.quality == Quality::Simulated) {
        Verdict::Simulated
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

fn carbon_report(sampler: &Sampler, snapshot: &Snapshot, sources: Vec<Finding>) -> CarbonReport {
    let factors = sampler.pricer().fallback();
    CarbonReport {
        zone: factors.grid.zone.to_string(),
        intensity_grams_per_kwh: factors.grid.intensity.0,
        basis: factors.grid.basis,
        provider: factors.grid.provider.to_string(),
        quality: factors.grid.quality,
        source: factors.origin.as_ref().map(|origin| origin.source.to_string()),
        year: factors.origin.as_ref().map(|origin| origin.year),
        pue_ratio: factors.pue.0,
        pue_configured: factors.pue_configured,
        notice: factors.notice().filter(|_| sources.is_empty()),
        sources,
        hardware: hardware::parts(snapshot),
    }
}
