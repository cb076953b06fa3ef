//! Samples of workloads and processes: their labels, and which of two wins where labels clash.

use std::borrow::Cow;

use super::{ContainerIds, Samples, Source};
use crate::snapshot::{ComponentCell, EnergyCell, ProcessTotals, WorkloadTotals};
use crate::workloads::owner::{Owner, OwnerKind};

/// The workloads of one kind. Live ones come first, so that they win where an ended one has the same labels.
pub(super) fn workloads(source: Source<'_>, kind: OwnerKind) -> impl Iterator<Item = &WorkloadTotals> {
    let of_kind = move |totals: &&WorkloadTotals| totals.owner.kind() == kind;
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
        let user = user(&totals.owner);
        push_energy(OwnerLabels::new(&totals.owner, &user, source.ids).as_slice(), &totals.energy, out);
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
        let user = user(&totals.owner);
        let labels = OwnerLabels::new(&totals.owner, &user, source.ids);
        for cell in &totals.components {
            if let Some(value) = value(cell) {
                out.push(labels.as_slice(), &[cell.component.as_str()], value);
            }
        }
    }
}

pub(super) fn workload_embodied(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    for totals in workloads(source, kind) {
        let user = user(&totals.owner);
        let labels = OwnerLabels::new(&totals.owner, &user, source.ids);
        for cell in &totals.embodied {
            out.push(labels.as_slice(), &[cell.component.as_str()], cell.emissions.0);
        }
    }
}

pub(super) fn cpu_time(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    for totals in workloads(source, kind) {
        let user = user(&totals.owner);
        let labels = OwnerLabels::new(&totals.owner, &user, source.ids);
        out.push(labels.as_slice(), &[], totals.cpu_time.as_seconds());
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
    /// The labels of `owner`; `user` is its uid in digits, for jobs.
    pub(super) fn new(owner: &'a Owner, user: &'a str, ids: &ContainerIds<'_>) -> Self {
        let (values, len) = match owner {
            Owner::Container { runtime, name, pod_uid, .. } => {
                (["", pod_uid, name, ids.label(owner), runtime.as_str()], 5)
            }
            Owner::Pod { pod_uid } => (["", pod_uid, "", "", ""], 5),
            Owner::Unit { unit } => ([unit, "", "", "", ""], 1),
            Owner::Job { manager, id, .. } => ([manager.as_str(), id, "", user, ""], 4),
            Owner::Vm { name } => ([name, "", "", "", ""], 1),
            Owner::System => ([""; 5], 0),
        };
        Self { values, len }
    }

    pub(super) fn as_slice(&self) -> &[&'a str] {
        self.values.get(..self.len).unwrap_or_default()
    }
}

/// The value of the `user` label: the uid, where the owner has one.
pub(super) fn user(owner: &Owner) -> Cow<'static, str> {
    match owner {
        Owner::Job { uid: Some(uid), .. } => Cow::Owned(uid.to_string()),
        _ => Cow::Borrowed(""),
    }
}
