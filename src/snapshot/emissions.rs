//! The parts of the picture that say what energy and hardware cause.

use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::carbon::embodied::EmbodiedPart;
use crate::carbon::grid::GridState;
use crate::ledger::Holder;
use crate::meters::Component;
use crate::units::{Grams, GramsPerKwh};

/// Market-based factor, as applied in a tick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MarketFactor {
    /// The factor, without the facility's overhead.
    #[serde(rename = "intensity_grams_per_kwh")]
    pub intensity: GramsPerKwh,
    /// What counts for electricity without a contract: `configured` (a residual mix) or `location` (the grid's factor).
    pub residual: &'static str,
}

/// Emissions of making the hardware of one component of the node, as far as its life passed since the daemon started.
#[derive(Clone, Debug, Serialize)]
pub struct EmbodiedTotals {
    /// The component: `gpu`, or `other` for the server without its GPUs.
    pub component: Component,
    /// All of them.
    #[serde(rename = "emissions_grams")]
    pub emissions: Grams,
    /// The same by who had the hardware, in the order of [`Holder::ALL`].
    #[serde(rename = "emissions_by_holder_grams", serialize_with = "by_holder")]
    pub by_holder: [Grams; Holder::ALL.len()],
}

/// Emissions of making the hardware that one owner had.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EmbodiedCell {
    /// The component: `gpu`, or `other` for the server without its GPUs.
    pub component: Component,
    /// Those since the owner was first seen.
    #[serde(rename = "emissions_grams")]
    pub emissions: Grams,
}

/// One part of the hardware.
#[derive(Clone, Debug, Serialize)]
pub struct HardwarePart {
    /// `server` or `gpu`.
    pub part: &'static str,
    /// The GPU's UUID; empty for the server.
    pub device: Arc<str>,
    /// What making it caused.
    #[serde(flatten)]
    pub figures: Arc<EmbodiedPart>,
}

pub(super) fn optional_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

pub(super) fn sources<S: Serializer>(state: &Arc<GridState>, serializer: S) -> Result<S::Ok, S::Error> {
    state.sources.serialize(serializer)
}

fn by_holder<S: Serializer>(grams: &[Grams; Holder::ALL.len()], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Holder::ALL.iter().map(|to| to.as_str()).zip(grams))
}
