//! Which parts of the hardware have a figure for making them.

use crate::cli::check::Finding;
use crate::snapshot::{HardwarePart, Snapshot};
use crate::units::Kilograms;

/// The parts with their figures, and GPUs that have none; nothing where embodied emissions aren't counted.
pub(super) fn parts(snapshot: &Snapshot) -> Vec<Finding> {
    let known = &snapshot.embodied_parts;
    if known.is_empty() {
        return Vec::new();
    }
    let with_figures = known.iter().map(|HardwarePart { part, figures, .. }| {
        let bound = |kilograms: Option<Kilograms>| {
            kilograms.map_or("unknown".to_owned(), |kilograms| kilograms.0.to_string())
        };
        let (low, high) = (bound(figures.low), bound(figures.high));
        let text = format!(
            "{}: {} kg (low {low}, high {high}), {}",
            figures.name, figures.kilograms.0, figures.source
        );
        Finding::good(&format!("embodied, {part}"), text)
    });
    let is_known = |uuid: &str| known.iter().any(|part| *part.device == *uuid);
    let without = snapshot.gpus.iter().filter(|gpu| !is_known(&gpu.identity.uuid)).map(|gpu| {
        Finding::bad(
            "embodied, gpu",
            format!("{}: no figure is known, so it isn't counted", gpu.identity.model),
            "set embodied.gpu_kg, embodied.gpu_low_kg, embodied.gpu_high_kg and embodied.source",
        )
    });
    with_figures.chain(without).collect()
}
