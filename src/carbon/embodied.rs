//! What making the hardware emitted: the operator's own figures, else those of an embedded table.
//!
//! The table is `data/embodied.csv`, whose README has origins and caveats. Published figures for one and the same
//! part differ by two to five times, since their boundaries do, so each comes with its boundary and source and, where
//! somebody else gives another figure, with that as a bound. The value itself is what is published for that very
//! product (a maker's or a study's figure), not a middle that nobody stands for.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::zones::rows;
use crate::config::Embodied;
use crate::units::Kilograms;

const TABLE: &str = include_str!("../../data/embodied.csv");

/// Newer drivers put it before the names of all cards, older ones don't.
const MAKER: &str = "NVIDIA ";

/// The boundary of a figure that was configured.
const CONFIGURED: &str = "as configured";

/// What making one part emitted, with all that is needed to quote it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EmbodiedPart {
    /// The model, or `server` and `gpu` for figures of the operator's own.
    pub name: Arc<str>,
    /// The figure that is used.
    pub kilograms: Kilograms,
    /// The low end of what it may be; absent where nobody gives one.
    pub low: Option<Kilograms>,
    /// The high end.
    pub high: Option<Kilograms>,
    /// What it covers: cradle to gate, the whole life without use, ...
    pub boundary: Arc<str>,
    /// Who says so.
    pub source: Arc<str>,
    /// The year of publication; absent for the operator's own.
    pub year: Option<u16>,
    /// The licence of the figure; empty for the operator's own.
    pub licence: Arc<str>,
}

/// The hardware of this node.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// The server without its GPUs.
    pub server: Option<EmbodiedPart>,
    own_gpu: Option<EmbodiedPart>,
}

impl Parts {
    /// One GPU of this name, as its driver gives it: the operator's own figure, else that of the model in the table.
    ///
    /// `None` where there is neither. The operator's own figure holds for every GPU of the node.
    pub fn gpu(&self, name: &str) -> Option<EmbodiedPart> {
        self.own_gpu.clone().or_else(|| gpu(name))
    }
}

/// Figures that can't all hold; names the keys and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EmbodiedError {
    /// Nothing is made of nothing.
    #[error("{key} = {value}: must be more than 0 kg; leave it out for the figure of the embedded table")]
    NotPositive {
        /// The key.
        key: &'static str,
        /// What was configured.
        value: f64,
    },
    /// A bound without the figure that it bounds.
    #[error("{key} is set without {figure}: a bound needs the figure that it bounds")]
    BoundAlone {
        /// The bound's key.
        key: &'static str,
        /// The key of the figure.
        figure: &'static str,
    },
    /// Bounds that don't hold the figure.
    #[error("{key} = {value}: must be at {side} {figure} = {kilograms} (kg)")]
    BoundsOrder {
        /// The bound's key.
        key: &'static str,
        /// What was configured.
        value: f64,
        /// `most` or `least`.
        side: &'static str,
        /// The key of the figure.
        figure: &'static str,
        /// The figure.
        kilograms: f64,
    },
}

impl EmbodiedError {
    /// The key of the configuration that is wrong.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::NotPositive { key, .. } | Self::BoundAlone { key, .. } | Self::BoundsOrder { key, .. } => {
                key
            }
        }
    }
}

/// The parts for these settings, whether or not `enabled` is set.
///
/// # Errors
/// A figure of 0 or less, a bound without a figure, or one on the wrong side of it.
pub fn parts(settings: &Embodied) -> Result<Parts, EmbodiedError> {
    let own_server = own(
        "server",
        ["embodied.server_kg", "embodied.server_low_kg", "embodied.server_high_kg"],
        [settings.server_kg, settings.server_low_kg, settings.server_high_kg],
        settings.source.as_deref(),
    )?;
    let own_gpu = own(
        "gpu",
        ["embodied.gpu_kg", "embodied.gpu_low_kg", "embodied.gpu_high_kg"],
        [settings.gpu_kg, settings.gpu_low_kg, settings.gpu_high_kg],
        settings.source.as_deref(),
    )?;
    Ok(Parts { server: own_server.or_else(server), own_gpu })
}

/// A rack server without GPUs.
pub fn server() -> Option<EmbodiedPart> {
    rows::<Row>(TABLE).find(|row| row.kind == PartKind::Server).map(EmbodiedPart::from)
}

/// The GPU of exactly this name, as the driver gives it (`NVIDIA H100 80GB HBM3`), whatever its case and with or without
/// the maker's name before it.
///
/// `None` for every other name: cards of one family (SXM, PCIe, NVL) are made differently.
pub fn gpu(name: &str) -> Option<EmbodiedPart> {
    let wanted = bare(name);
    rows::<Row>(TABLE)
        .find(|row| row.kind == PartKind::Gpu && bare(&row.model).eq_ignore_ascii_case(wanted))
        .map(EmbodiedPart::from)
}

/// The name without the maker's before it.
fn bare(name: &str) -> &str {
    let name = name.trim();
    match name.split_at_checked(MAKER.len()) {
        Some((maker, rest)) if maker.eq_ignore_ascii_case(MAKER) => rest.trim_start(),
        _ => name,
    }
}

/// The operator's own figure and its bounds, from the values of these keys: figure, low, high.
fn own(
    name: &str,
    keys: [&'static str; 3],
    values: [Option<f64>; 3],
    source: Option<&str>,
) -> Result<Option<EmbodiedPart>, EmbodiedError> {
    let [figure, low_key, high_key] = keys;
    let [kilograms, low, high] = values;
    let Some(kilograms) = kilograms else {
        let bounds = [(low_key, low), (high_key, high)];
        return match bounds.into_iter().find(|(_, bound)| bound.is_some()) {
            Some((key, _)) => Err(EmbodiedError::BoundAlone { key, figure }),
            None => Ok(None),
        };
    };
    if kilograms.is_nan() || kilograms <= 0.0 {
        return Err(EmbodiedError::NotPositive { key: figure, value: kilograms });
    }
    let outside = |key, value, side| EmbodiedError::BoundsOrder { key, value, side, figure, kilograms };
    if let Some(low) = low.filter(|low| low.is_nan() || *low > kilograms) {
        return Err(outside(low_key, low, "most"));
    }
    if let Some(high) = high.filter(|high| high.is_nan() || *high < kilograms) {
        return Err(outside(high_key, high, "least"));
    }
    Ok(Some(EmbodiedPart {
        name: name.into(),
        kilograms: Kilograms(kilograms),
        low: low.map(Kilograms),
        high: high.map(Kilograms),
        boundary: CONFIGURED.into(),
        source: source.unwrap_or("configuration").into(),
        year: None,
        licence: "".into(),
    }))
}

/// What a row of the table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PartKind {
    Server,
    Gpu,
}

/// A row of `embodied.csv`.
#[derive(Debug, Deserialize)]
struct Row {
    kind: PartKind,
    model: String,
    kg: f64,
    low_kg: Option<f64>,
    high_kg: Option<f64>,
    boundary: String,
    source: String,
    year: u16,
    licence: String,
}

impl From<Row> for EmbodiedPart {
    fn from(row: Row) -> Self {
        Self {
            name: row.model.into(),
            kilograms: Kilograms(row.kg),
            low: row.low_kg.map(Kilograms),
            high: row.high_kg.map(Kilograms),
            boundary: row.boundary.into(),
            source: row.source.into(),
            year: Some(row.year),
            licence: row.licence.into(),
        }
    }
}

#[cfg(test)]
mod tests;
