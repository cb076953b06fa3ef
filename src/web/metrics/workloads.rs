//! Samples of workloads and processes: their labels, and which of two wins where labels clash.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::{Samples, Source};
use crate::snapshot::{EnergyCell, ProcessTotals, WorkloadTotals};
use crate::workloads::owner::{Owner, OwnerKind};

/// Container ids whose short forms are another container's, too: those are shown whole, or one would hide the
/// other.
struct Ambiguous<'a>(HashSet<&'a str>);

impl<'a> Ambiguous<'a> {
    fn new(source: Source<'a>) -> Self {
        let mut first: HashMap<&str, &str> = HashMap::new();
        let mut ambiguous = HashSet::new();
        for owner in source.snapshot.workloads.iter().map(|totals| &*totals.owner) {
            let Owner::Container { id, .. } = owner else { continue };
            let short = owner.container_id_short();
            if **first.entry(short).or_insert(id) != **id {
                ambiguous.insert(short);
            }
        }
        Self(ambiguous)
    }

    /// The value of the `container_id` label.
    fn container_id<'b>(&self, owner: &'b Owner) -> &'b str {
        let short = owner.container_id_short();
        match owner {
            Owner::Container { id, .. } if self.0.contains(short) => id,
            _ => short,
        }
    }
}

/// The workloads of one kind. Live ones come first, so that they win where an ended one has the same labels.
fn workloads(source: Source<'_>, kind: OwnerKind) -> impl Iterator<Item = &WorkloadTotals> {
    let of_kind = move |totals: &&WorkloadTotals| totals.owner.kind() == kind;
    let all = source.snapshot.workloads.iter().filter(of_kind);
    all.clone().filter(|totals| !totals.ended).chain(all.filter(|totals| totals.ended))
}

/// Processes, live ones first: a live process wins over an ended one whose pid and name it inherited.
fn processes(source: Source<'_>) -> impl Iterator<Item = &ProcessTotals> {
    let all = source.snapshot.processes.iter();
    all.clone().filter(|totals| !totals.ended).chain(all.filter(|totals| totals.ended))
}

fn process_labels<'a>(pid: &'a str, totals: &'a ProcessTotals, ids: &Ambiguous<'_>) -> [&'a str; 4] {
    let [_, unit] = totals.owner.process_labels();
    [pid, &totals.comm, ids.container_id(&totals.owner), unit]
}

fn push_energy(labels: &[&str], energy: &[EnergyCell], out: &mut Samples) {
    for cell in energy {
        let rest = [cell.component.as_str(), cell.state.as_str()];
        out.push(labels, &rest, cell.energy.as_joules());
    }
}

pub(super) fn workload_energy(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    let ids = Ambiguous::new(source);
    for totals in workloads(source, kind) {
        let user = user(&totals.owner);
        push_energy(OwnerLabels::new(&totals.owner, &user, &ids).as_slice(), &totals.energy, out);
    }
}

pub(super) fn workload_power(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    let ids = Ambiguous::new(source);
    for totals in workloads(source, kind) {
        let user = user(&totals.owner);
        let labels = OwnerLabels::new(&totals.owner, &user, &ids);
        for cell in &totals.components {
            if let Some(power) = cell.power {
                out.push(labels.as_slice(), &[cell.component.as_str()], power.0);
            }
        }
    }
}

pub(super) fn workload_emissions(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    let ids = Ambiguous::new(source);
    for totals in workloads(source, kind) {
        let user = user(&totals.owner);
        let labels = OwnerLabels::new(&totals.owner, &user, &ids);
        for cell in &totals.components {
            out.push(labels.as_slice(), &[cell.component.as_str()], cell.emissions.0);
        }
    }
}

pub(super) fn cpu_time(source: Source<'_>, kind: OwnerKind, out: &mut Samples) {
    let ids = Ambiguous::new(source);
    for totals in workloads(source, kind) {
        let user = user(&totals.owner);
        let labels = OwnerLabels::new(&totals.owner, &user, &ids);
        out.push(labels.as_slice(), &[], totals.cpu_time.as_seconds());
    }
}

pub(super) fn process_energy(source: Source<'_>, out: &mut Samples) {
    let ids = Ambiguous::new(source);
    for totals in processes(source) {
        let pid = totals.pid.to_string();
        push_energy(&process_labels(&pid, totals, &ids), &totals.energy, out);
    }
}

pub(super) fn process_power(source: Source<'_>, out: &mut Samples) {
    let ids = Ambiguous::new(source);
    for totals in processes(source) {
        let pid = totals.pid.to_string();
        let labels = process_labels(&pid, totals, &ids);
        for (component, power) in &totals.power {
            out.push(&labels, &[component.as_str()], power.0);
        }
    }
}

/// Values of the labels that name a workload, in the order of its family's label names.
struct OwnerLabels<'a> {
    values: [&'a str; 5],
    len: usize,
}

impl<'a> OwnerLabels<'a> {
    /// The labels of `owner`; `user` is its uid in digits, for jobs.
    fn new(owner: &'a Owner, user: &'a str, ids: &Ambiguous<'_>) -> Self {
        let (values, len) = match owner {
            Owner::Container { runtime, name, pod_uid, .. } => {
                (["", pod_uid, name, ids.container_id(owner), runtime.as_str()], 5)
            }
            Owner::Pod { pod_uid } => (["", pod_uid, "", "", ""], 5),
            Owner::Unit { unit } => ([unit, "", "", "", ""], 1),
            Owner::Job { manager, id, .. } => ([manager.as_str(), id, "", user, ""], 4),
            Owner::Vm { name } => ([name, "", "", "", ""], 1),
            Owner::System => ([""; 5], 0),
        };
        Self { values, len }
    }

    fn as_slice(&self) -> &[&'a str] {
        self.values.get(..self.len).unwrap_or_default()
    }
}

/// The value of the `user` label: the uid, where the owner has one.
fn user(owner: &Owner) -> Cow<'static, str> {
    match owner {
        Owner::Job { uid: Some(uid), .. } => Cow::Owned(uid.to_string()),
        _ => Cow::Borrowed(""),
    }
}
