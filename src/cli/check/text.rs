//! The check's report for a person.

use std::io::{self, Write};

use crate::cli::check::gpus::GpuReport;
use crate::cli::check::{CarbonReport, Finding, MeterReport, Report, Verdict};

/// Writes the whole report.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let answer = match report.verdict {
        Verdict::Measured => "measured: at least one hardware meter is in use",
        Verdict::Simulated => "simulated: every meter is made up, no figure is real",
        Verdict::Modelled => "modelled: no hardware meter is in use, figures are estimates",
        Verdict::Nothing => "nothing: no component has a meter or a model",
    };
    writeln!(out, "wattprint {} check\n\n{answer}\n", env!("CARGO_PKG_VERSION"))?;
    if let Some(advice) = &report.advice {
        writeln!(out, "  fix: {advice}\n")?;
    }
    writeln!(out, "Components")?;
    for part in &report.components {
        let power = part.power_watts.map_or("no figure yet".to_owned(), |watts| format!("{watts:.1} W"));
        writeln!(out, "  {:<8} {:<11} {power}", part.component.as_str(), part.quality.as_str())?;
    }
    writeln!(out, "\nMeters")?;
    for meter in &report.meters {
        write_meter(meter, out)?;
    }
    write_findings(&report.readers, out)?;
    writeln!(out, "\nGPUs")?;
    for gpu in &report.gpus.devices {
        write_gpu(gpu, out)?;
    }
    write_findings(&report.gpus.findings, out)?;
    if !report.model.is_empty() {
        let note = if report.verdict == Verdict::Measured { " (used where a meter is missing)" } else { "" };
        writeln!(out, "\nModel{note}")?;
        for line in &report.model {
            writeln!(out, "  {line}")?;
        }
        writeln!(out, "  change: cpu_tdp_watts, cpu_idle_watts, memory_watts_per_gb in [model]")?;
    }
    writeln!(out, "\nCgroups: {}", report.cgroups.layout)?;
    let hierarchies = &report.cgroups.hierarchies;
    for (use_, hierarchy) in [
        ("CPU time", &hierarchies.cpu),
        ("CPU time, beside it", &hierarchies.second_cpu),
        ("memory", &hierarchies.memory),
    ] {
        if let Some(hierarchy) = hierarchy {
            writeln!(out, "  ok   {use_}: {} ({:?})", hierarchy.mount.display(), hierarchy.version)?;
        }
    }
    write_findings(&report.cgroups.findings, out)?;
    writeln!(out, "\nProcesses")?;
    write_findings(&report.processes, out)?;
    writeln!(out, "\nNames")?;
    write_findings(&report.names, out)?;
    writeln!(out, "\nPermissions")?;
    write_findings(&report.permissions, out)?;
    write_carbon(&report.carbon, out)
}

fn write_meter(meter: &MeterReport, out: &mut dyn Write) -> io::Result<()> {
    let mark = match (meter.up, meter.feeds) {
        (true, Some(_)) => "use ",
        (true, None) => "raw ",
        (false, _) => "FAIL",
    };
    let name = format!("{}/{}/{}", meter.meter, meter.domain, meter.device);
    let feeds = meter.feeds.map_or(String::new(), |component| format!(" -> {}", component.as_str()));
    writeln!(out, "  {mark} {name}{feeds} [{}] {}", meter.quality.as_str(), meter.reason)?;
    if let Some(error) = &meter.error {
        writeln!(out, "       {error}")?;
    }
    write_remedy(meter.remedy.as_deref(), out)
}

fn write_gpu(gpu: &GpuReport, out: &mut dyn Write) -> io::Result<()> {
    let mark = if gpu.up { "ok  " } else { "FAIL" };
    let mig = if gpu.mig { ", MIG" } else { "" };
    writeln!(
        out,
        "  {mark} {} {}: {} ({}, {}, driver {}{mig})",
        gpu.gpu, gpu.uuid, gpu.model, gpu.vendor, gpu.pci_bus_id, gpu.driver
    )?;
    if let Some(error) = &gpu.error {
        writeln!(out, "       {error}")?;
        write_remedy(gpu.remedy, out)?;
    }
    let power = gpu.power_watts.map_or(String::new(), |watts| format!(", {watts:.1} W"));
    let quality = gpu.quality.map_or("no figure yet", |quality| quality.as_str());
    writeln!(out, "       energy: {} [{quality}, {}{power}]", gpu.energy, gpu.domain.as_str())?;
    writeln!(out, "       evidence: {}", gpu.evidence)?;
    for limit in &gpu.limitations {
        writeln!(out, "       no better: {}: {}", limit.what, limit.text)?;
        write_remedy(limit.remedy.as_deref(), out)?;
    }
    Ok(())
}

fn write_findings(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        let mark = if finding.ok { "ok  " } else { "FAIL" };
        writeln!(out, "  {mark} {}: {}", finding.what, finding.text)?;
        write_remedy(finding.remedy.as_deref(), out)?;
    }
    Ok(())
}

fn write_remedy(remedy: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    match remedy {
        Some(remedy) => writeln!(out, "       fix: {remedy}"),
        None => Ok(()),
    }
}

fn write_carbon(carbon: &CarbonReport, out: &mut dyn Write) -> io::Result<()> {
    let zone = if carbon.zone.is_empty() { "a constant" } else { &carbon.zone };
    let basis = if carbon.basis.is_empty() { "basis not given" } else { carbon.basis };
    writeln!(out, "\nCarbon")?;
    let when = if carbon.sources.is_empty() { "" } else { "while no source knows: " };
    writeln!(
        out,
        "  {when}grid {zone}: {} g/kWh, {basis}, {} from {}",
        carbon.intensity_grams_per_kwh, carbon.quality, carbon.provider
    )?;
    if let (Some(source), Some(year)) = (&carbon.source, carbon.year) {
        writeln!(out, "  source: {source}, year {year}")?;
    }
    if let Some(notice) = &carbon.notice {
        writeln!(out, "  {notice}")?;
    }
    write_findings(&carbon.sources, out)?;
    write_findings(&carbon.hardware, out)?;
    match carbon.pue_configured {
        true => writeln!(out, "  PUE {} as configured", carbon.pue_ratio),
        false => writeln!(
            out,
            "  PUE: none configured, 1.0 is used (IT energy only); set carbon.pue to the facility's"
        ),
    }
}
