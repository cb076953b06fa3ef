//! Samples of GPUs.

use super::workloads::{OwnerLabels, workloads};
use super::{Samples, Source};
use crate::snapshot::{Beneficiary, GpuTotals};
use crate::workloads::owner::{Owner, OwnerKind};

/// A figure of each GPU that has it.
pub(super) fn gauges(source: Source<'_>, out: &mut Samples, value: fn(&GpuTotals) -> Option<f64>) {
    for gpu in &source.snapshot.gpus {
        if let Some(value) = value(gpu) {
            out.push(&labels(gpu), &[], value);
        }
    }
}

/// The names of each GPU.
pub(super) fn info(source: Source<'_>, out: &mut Samples) {
    for gpu in &source.snapshot.gpus {
        let identity = &gpu.identity;
        let mig = if gpu.mig { "on" } else { "off" };
        let names = [&*identity.model, identity.vendor.as_str(), &identity.pci_bus_id, &identity.driver, mig];
        out.push(&labels(gpu), &names, 1.0);
    }
}

/// The rung of evidence in use on each GPU.
pub(super) fn method(source: Source<'_>, out: &mut Samples) {
    for gpu in &source.snapshot.gpus {
        if let Some(method) = gpu.method {
            out.push(&labels(gpu), &[method], 1.0);
        }
    }
}

/// What keeps each GPU from better figures.
pub(super) fn limitations(source: Source<'_>, out: &mut Samples) {
    for gpu in &source.snapshot.gpus {
        for limit in &gpu.limitations {
            out.push(&labels(gpu), &[limit.what, &limit.reason], 1.0);
        }
    }
}

/// The energy of each GPU by the kind of owner that it went to.
pub(super) fn by_kind(source: Source<'_>, out: &mut Samples) {
    for gpu in source.snapshot.gpus.iter().filter(|gpu| gpu.energy.is_some()) {
        for (kind, energy) in Beneficiary::ALL.iter().zip(gpu.by_beneficiary) {
            out.push(&labels(gpu), &[kind.as_str()], energy.as_joules());
        }
    }
}

/// The energy that each container used of each GPU.
pub(super) fn by_container(source: Source<'_>, out: &mut Samples) {
    for totals in workloads(source, OwnerKind::Container) {
        let owner = OwnerLabels::of(totals);
        for cell in &totals.gpus {
            out.push(&[&*cell.gpu, &*cell.uuid], owner.as_slice(), cell.energy.as_joules());
        }
    }
}

/// The owners that were given each GPU, or a part of it.
pub(super) fn allocated(source: Source<'_>, out: &mut Samples) {
    for totals in workloads(source, OwnerKind::Container).chain(workloads(source, OwnerKind::Job)) {
        let owner = OwnerLabels::of(totals);
        let (container, job) = match &*totals.owner {
            Owner::Job { manager, id, .. } => (&[""; 5][..], [manager.as_str(), &**id]),
            _ => (owner.as_slice(), [""; 2]),
        };
        for card in &totals.allocated {
            let first: Vec<&str> =
                [&*card.gpu, &*card.uuid].into_iter().chain(container.iter().copied()).collect();
            out.push(&first, &job, 1.0);
        }
    }
}

fn labels(gpu: &GpuTotals) -> [&str; 2] {
    [&gpu.identity.gpu, &gpu.identity.uuid]
}
