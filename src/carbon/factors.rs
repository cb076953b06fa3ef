//! Which emission factor and which overhead apply to this node.
//!
//! The configured constant wins over the configured zone, that over the configured cloud region; with none of
//! them it is the world average, and [`Factors::notice`] says how to do better.

use std::sync::Arc;

use serde::Serialize;

use super::zones::{self, Basis, TableError, ZoneFactor};
use crate::units::{GramsPerKwh, Pue};

/// The largest intensity that is believed, in g/kWh: lignite in an old plant is about 1,200.
pub const MAX_INTENSITY: f64 = 2000.0;

/// The largest PUE that is believed; 1.0 is the smallest by definition.
pub const MAX_PUE: f64 = 10.0;

/// What the operator said; all of it is optional.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FactorSettings {
    /// `carbon.intensity`: a constant in g/kWh.
    pub intensity: Option<f64>,
    /// `carbon.zone`: a grid zone such as `FR`, `US-CA` or `SE-SE3`. Beside a constant, its name only.
    pub zone: Option<String>,
    /// `carbon.cloud`: a cloud region such as `aws:eu-west-3`.
    pub cloud: Option<String>,
    /// `carbon.basis`: which emissions the factor should count.
    pub basis: Option<Basis>,
    /// `carbon.pue`: energy of the facility over that of its IT.
    pub pue: Option<f64>,
}

/// Emission factor of the grid, as applied in a tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GridFactor {
    /// The grid zone (`FR`, `US-CA`, `world`), the cloud region (`gcp:europe-west9`) where the figure is that
    /// region's own, or empty for a configured constant without one.
    pub zone: Arc<str>,
    /// Who says so: `embedded`, `config`, or a live provider.
    pub provider: Arc<str>,
    /// What the factor covers: `lifecycle` or `direct`; empty where the operator did not say.
    pub basis: &'static str,
    /// `measured`, `estimated`, `forecast`, `stale` or `static`.
    pub quality: &'static str,
    /// The factor.
    #[serde(rename = "intensity_grams_per_kwh")]
    pub intensity: GramsPerKwh,
}

/// What turns this node's energy into grams.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Factors {
    /// The grid's factor.
    pub grid: GridFactor,
    /// The row of the embedded table that it comes from, with year, source and licence; absent for a
    /// configured constant.
    pub origin: Option<ZoneFactor>,
    /// The facility's overhead; 1.0 where none is configured.
    pub pue: Pue,
    /// Whether the operator gave the overhead.
    pub pue_configured: bool,
}

impl Factors {
    /// One line for the log on how to set the zone, where none was given and the world average stands in.
    pub fn notice(&self) -> Option<String> {
        let origin = self.origin.as_ref().filter(|origin| &*origin.zone == zones::WORLD)?;
        Some(format!(
            "no grid zone is configured: emissions use the world average of {} ({} g/kWh, {}); set carbon.zone \
             (such as \"FR\" or \"US-CA\"), carbon.cloud (such as \"aws:eu-west-3\") or carbon.intensity (g/kWh)",
            origin.year,
            origin.intensity.0,
            origin.basis.as_str(),
        ))
    }
}

/// A carbon setting that can't be used; names the key, the value and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FactorError {
    /// Not a believable intensity.
    #[error("carbon.intensity = {0}: must be a number above 0 and at most {MAX_INTENSITY} (g/kWh)")]
    Intensity(f64),
    /// Not a believable overhead.
    #[error("carbon.pue = {0}: must be a number from 1.0 to {MAX_PUE}")]
    Pue(f64),
    /// A zone that isn't in the table.
    #[error(
        "carbon.zone = {zone:?}: not in the table of grid zones{near}; give an ISO 3166 country (FR), a US state, \
         Canadian or Chinese province (US-CA), a Nordic bidding zone (SE-SE3) or \"world\", or set \
         carbon.intensity to a constant in g/kWh"
    )]
    UnknownZone {
        /// What was configured.
        zone: String,
        /// Near misses as `; did you mean ...?`, or empty.
        near: String,
    },
    /// Not of the form `provider:region`.
    #[error("carbon.cloud = {0:?}: must be provider:region, such as \"aws:eu-west-3\"")]
    CloudSyntax(String),
    /// A region that isn't in the table.
    #[error(
        "carbon.cloud = {cloud:?}: not in the table of cloud regions{near}; give provider:region, such as \
         \"aws:eu-west-3\" (providers: alibaba, aws, azure, gcp, oci), or set carbon.zone to the grid's zone \
         (FR), or carbon.intensity to a constant in g/kWh"
    )]
    UnknownRegion {
        /// What was configured.
        cloud: String,
        /// Near misses as `; did you mean ...?`, or empty.
        near: String,
    },
    /// The place is known, but not on the basis that was asked for.
    #[error(
        "carbon.basis = {:?}: {place} is known only as {:?}; leave carbon.basis out, choose another place, or \
         set carbon.intensity",
        .wanted.as_str(),
        .known.as_str()
    )]
    NotOnThisBasis {
        /// The zone or cloud region.
        place: String,
        /// What was configured.
        wanted: Basis,
        /// What there is.
        known: Basis,
    },
    /// A constant of which it isn't said whether it counts what live sources count.
    #[error(
        "carbon.basis: needed, since carbon.intensity stands in for live sources while they know nothing: say which \
         emissions it counts, \"lifecycle\" or \"direct\""
    )]
    NoBasis,
    /// The embedded table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The factors for these settings; their quality is always `static`.
///
/// # Errors
/// A value out of range, a zone or cloud region that isn't in the table or not on the basis asked for.
pub fn resolve(settings: &FactorSettings) -> Result<Factors, FactorError> {
    let pue = match settings.pue {
        Some(pue) if !(1.0..=MAX_PUE).contains(&pue) => return Err(FactorError::Pue(pue)),
        pue => pue,
    };
    let (grid, origin) = match settings.intensity {
        Some(intensity) => (configured(intensity, settings)?, None),
        None => {
            let origin = tabulated(settings)?;
            (embedded(&origin), Some(origin))
        }
    };
    Ok(Factors { grid, origin, pue: Pue(pue.unwrap_or(1.0)), pue_configured: pue.is_some() })
}

/// The factors that hold while no live source knows. They count what the live sources count, so the zone's own figure is left
/// for that of its country, and that for the world's, where only those are known on this basis.
///
/// # Errors
/// A value out of range, a constant without a basis, or a place of which not even the country is known.
pub fn resolve_beside_live(settings: &FactorSettings, basis: Basis) -> Result<Factors, FactorError> {
    if settings.intensity.is_some() && settings.basis.is_none() {
        return Err(FactorError::NoBasis);
    }
    let settings = FactorSettings { basis: Some(basis), ..settings.clone() };
    let mut place = settings.clone();
    loop {
        let wider = match (resolve(&place), &place.zone) {
            (Err(FactorError::UnknownZone { .. }), Some(zone)) => match zone.rsplit_once('-') {
                Some((wider, _)) => wider.to_owned(),
                None => return resolve(&settings),
            },
            (Err(FactorError::NotOnThisBasis { .. }), Some(zone)) => {
                zone.rsplit_once('-').map_or(zones::WORLD, |(wider, _)| wider).to_owned()
            }
            (Err(FactorError::NotOnThisBasis { .. }), None) => {
                let region = settings.cloud.as_deref().and_then(|cloud| cloud.split_once(':'));
                region
                    .and_then(|(provider, region)| zones::zone_of_cloud_region(provider, region))
                    .unwrap_or_else(|| zones::WORLD.to_owned())
            }
            (resolved, _) => return resolved,
        };
        place.zone = Some(wider);
    }
}

fn configured(intensity: f64, settings: &FactorSettings) -> Result<GridFactor, FactorError> {
    if !(intensity > 0.0 && intensity <= MAX_INTENSITY) {
        return Err(FactorError::Intensity(intensity));
    }
    let place = settings.zone.as_deref().or(settings.cloud.as_deref()).unwrap_or_default();
    Ok(GridFactor {
        zone: place.trim().into(),
        provider: "config".into(),
        basis: settings.basis.map_or("", Basis::as_str),
        quality: "static",
        intensity: GramsPerKwh(intensity),
    })
}

fn embedded(origin: &ZoneFactor) -> GridFactor {
    GridFactor {
        zone: Arc::clone(&origin.zone),
        provider: "embedded".into(),
        basis: origin.basis.as_str(),
        quality: "static",
        intensity: origin.intensity,
    }
}

fn tabulated(settings: &FactorSettings) -> Result<ZoneFactor, FactorError> {
    let basis = settings.basis;
    if let Some(zone) = &settings.zone {
        on_basis(zone, basis, |basis| zones::by_zone(zone, basis))?.ok_or_else(|| FactorError::UnknownZone {
            zone: zone.clone(),
            near: zones::did_you_mean(&zones::suggestions(zone)),
        })
    } else if let Some(cloud) = &settings.cloud {
        let (provider, region) = match cloud.split_once(':') {
            Some((provider, region)) if !provider.trim().is_empty() && !region.trim().is_empty() => {
                (provider, region)
            }
            _ => return Err(FactorError::CloudSyntax(cloud.clone())),
        };
        on_basis(cloud, basis, |basis| zones::by_cloud_region(provider, region, basis))?.ok_or_else(|| {
            FactorError::UnknownRegion {
                cloud: cloud.clone(),
                near: zones::did_you_mean(&zones::cloud_suggestions(provider, region)),
            }
        })
    } else {
        Ok(zones::world(basis)?)
    }
}

/// Looks a place up on the basis asked for, and tells a place that isn't known (`None`) from one that is
/// known on the other basis only.
fn on_basis(
    place: &str,
    basis: Option<Basis>,
    find: impl Fn(Option<Basis>) -> Option<ZoneFactor>,
) -> Result<Option<ZoneFactor>, FactorError> {
    match (find(basis), basis) {
        (None, Some(wanted)) => match find(None) {
            Some(factor) => Err(FactorError::NotOnThisBasis {
                place: place.trim().to_owned(),
                wanted,
                known: factor.basis,
            }),
            None => Ok(None),
        },
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests;
