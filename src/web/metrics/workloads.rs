//! Samples of workloads and processes: their labels, and which of two wins where labels clash.

use super::{ContainerIds, Samples, Source};
use crate::snapshot::{ComponentCell, Details, EnergyCell, Facts, ProcessTotals, Title, WorkloadTotals};
use crate::workloads::owner::{Owner, OwnerKind};

/// The workloads of one kind whose series have begun. Live ones come first, so that they win where an ended one has the
/// same labels.
pub(super) fn workloads(source: Source<'_>, kind: OwnerKind) -> impl Iterator<Item = &WorkloadTotals> {
    let of_kind = move |totals: &&WorkloadTotals| totals.owner.kind() == kind && !totals.held;
    let all = source.snapshot.workloads.iter().filter(of_kind);
    all.clone().filter(|totals| !totals.ended).chain(all.filter(|totals| totals.ended))
}

/// Processes, live ones first: a live process wins over an ended one whose pid and name it inherited.
fn processes(source: Source<'_>) -> impl Iterator<Item = &ProcessTotals> {
    let all = source.snapshot.processes.iter();
    all.clone().filter(|totals| !totals.ended).chain(all.filter(|totals| totals.ended))
}

fn process_labels<'a>(pid: &'a str, totals: &'a ProcessTotals, ids: &ContainerIds<'_>) -> [&'a str; 4] {
    let [_, unit] = totals.owner.process_labels();
    [pid, &totals.comm, ids.label(&totals.owner), unit]
}

fn push_energy(labels: &[&str], energy: &[EnergyCell], out: &mut Samples) {
    for cell in energy {
        let rest = [cell.component.as_str(), cell.state.as_str()];
        out.push(labels, &rest, cell.energy.as_joules());
    }
}

pub(super) fn workload_energy(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    for totals in workloads(source, kind) {
        push_energy(OwnerLabels::of(totals).as_slice(), &totals.energy, out);
    }
}

/// A figure of each component of each workload that has it.
pub(super) fn workload_cells(
    source: Source<'_>,
    kind: OwnerKind,
    out: &mut Samples,
    value: fn(&ComponentCell) -> Option<f64>,
) {
    for totals in workloads(source, kind) {
        let labels = OwnerLabels::of(totals);
        for cell in &totals.components {
            if let Some(value) = value(cell) {
                out.push(labels.as_slice(), &[cell.component.as_str()], value);
            }
        }
    }
}

pub(super) fn workload_embodied(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    for totals in workloads(source, kind) {
        let labels = OwnerLabels::of(totals);
        for cell in &totals.embodied {
            out.push(labels.as_slice(), &[cell.component.as_str()], cell.emissions.0);
        }
    }
}

pub(super) fn cpu_time(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    for totals in workloads(source, kind) {
        let labels = OwnerLabels::of(totals);
        out.push(labels.as_slice(), &[], totals.cpu_time.as_seconds());
    }
}

/// What is known of each workload now: its names, and what stands nowhere else.
pub(super) fn info(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    for totals in workloads(source, kind) {
        let title = Title::of(&totals.owner, totals.facts.as_ref(), &totals.title.container_id);
        let labels = OwnerLabels::new(&totals.owner, &title);
        let details = totals.facts.as_ref().map(Facts::details).cloned().unwrap_or_default();
        let Details { image, owner_kind, owner_name, node, phase, model, variant, extra } = &details;
        let rest = [image, owner_kind, owner_name, node, phase, model, variant].map(|value| &**value);
        out.push_more(labels.as_slice(), &rest, extra, 1.0);
    }
}

pub(super) fn process_energy(source: Source<'_>, out: &mut Samples) {
    for totals in processes(source) {
        let pid = totals.pid.to_string();
        push_energy(&process_labels(&pid, totals, source.ids), &totals.energy, out);
    }
}

pub(super) fn process_power(source: Source<'_>, out: &mut Samples) {
    for totals in processes(source) {
        let pid = totals.pid.to_string();
        let labels = process_labels(&pid, totals, source.ids);
        for (component, power) in &totals.power {
            out.push(&labels, &[component.as_str()], power.0);
        }
    }
}

/// Values of the labels that name a workload, in the order of its family's label names.
pub(super) struct OwnerLabels<'a> {
    values: [&'a str; 5],
    len: usize,
}

impl<'a> OwnerLabels<'a> {
    /// The labels of the owner of these totals.
    pub(super) fn of(totals: &'a WorkloadTotals) -> Self {
        Self::new(&totals.owner, &totals.title)
    }

    /// The labels of an owner that is called so.
    pub(super) fn new(owner: &'a Owner, title: &'a Title) -> Self {
        let Title { namespace, pod, container, container_id, runtime, job_name, user } = title;
        let (values, len) = match owner {
            Owner::Container { .. } | Owner::Pod { .. } => {
                ([&**namespace, &**pod, &**container, &**container_id, &**runtime], 5)
            }
            Owner::Unit { unit } => ([&**unit, "", "", "", ""], 1),
            Owner::Job { manager, id, .. } => ([manager.as_str(), &**id, &**job_name, &**user, ""], 4),
            Owner::Vm { name } => ([&**name, "", "", "", ""], 1),
            Owner::System => ([""; 5], 0),
        };
        Self { values, len }
    }

    pub(super) fn as_slice(&self) -> &[&'a str] {
        self.values.get(..self.len).unwrap_or_default()
    }
}
