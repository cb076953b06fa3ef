//! Embedded yearly carbon intensities by grid zone, and the zones of cloud regions.
//!
//! The tables are CSV files in `data/`, whose README has their origins, licences and caveats. A lookup reads
//! through the embedded text once and keeps one row; nothing stays parsed.

use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crate::config::Basis;
use crate::units::GramsPerKwh;

const GRID: &str = include_str!("../../data/grid_intensity.csv");
const CLOUD: &str = include_str!("../../data/cloud_regions.csv");

/// The code of the row that stands for the whole world.
pub const WORLD: &str = "world";

/// At most this many near misses are offered for a code that isn't known.
const SUGGESTIONS: usize = 6;

/// One yearly average with all that is needed to quote it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ZoneFactor {
    /// The grid zone (`FR`, `US-CA`, `SE-SE3`, `world`), or `provider:region` where the figure is a cloud
    /// region's own.
    pub zone: Arc<str>,
    /// The zone's English name, or the region's place.
    pub name: Arc<str>,
    /// The intensity.
    pub intensity: GramsPerKwh,
    /// Which emissions it counts.
    pub basis: Basis,
    /// The calendar year that it is the average of.
    pub year: u16,
    /// How it was accounted for: average, production, ...
    pub accounting: Arc<str>,
    /// Who published it, and through which package it came here.
    pub source: Arc<str>,
    /// The licence of the figure.
    pub licence: Arc<str>,
}

/// The embedded table is broken; a test of this crate reads all of it, so a released build can't return this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the embedded table of grid intensities has no readable row for the world: rebuild wattprint")]
pub struct TableError;

/// The factor of a grid zone, whatever the case of `code`. Without a `basis`, life-cycle figures come first.
///
/// `None` where the zone isn't known, or not on that basis.
pub fn by_zone(code: &str, basis: Option<Basis>) -> Option<ZoneFactor> {
    let mut other = None;
    for row in rows::<GridRow>(GRID).filter(|row| row.zone.eq_ignore_ascii_case(code.trim())) {
        match basis {
            Some(wanted) if row.basis != wanted => {}
            None if row.basis == Basis::Direct => other = Some(row),
            _ => return Some(row.into()),
        }
    }
    other.map(ZoneFactor::from)
}

/// The factor of a cloud region: the provider's own figure where it publishes one on that basis, else that of
/// the grid zone that the region is in.
///
/// `None` where the region isn't known, or not on that basis.
pub(super) fn by_cloud_region(provider: &str, region: &str, basis: Option<Basis>) -> Option<ZoneFactor> {
    let row = cloud_row(provider, region)?;
    row.own_factor(basis).or_else(|| by_zone(&row.zone, basis))
}

/// The grid zone that a cloud region is in; `None` where the region isn't known.
pub fn zone_of_cloud_region(provider: &str, region: &str) -> Option<String> {
    cloud_row(provider, region).map(|row| row.zone)
}

/// The world average; without a `basis`, over the life cycle.
///
/// # Errors
/// Only if the embedded table lacks it.
pub fn world(basis: Option<Basis>) -> Result<ZoneFactor, TableError> {
    by_zone(WORLD, basis).ok_or(TableError)
}

/// A cloud region with the factor that holds in it.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudRegion {
    /// The provider: `alibaba`, `aws`, `azure`, `gcp` or `oci`.
    pub provider: String,
    /// The provider's code of the region.
    pub region: String,
    /// Where it is.
    pub city: String,
    /// The provider's own figure, else that of the grid zone.
    pub factor: ZoneFactor,
}

/// The factors of all grid zones that are known on this basis, with the world, in the table's order.
pub fn all(basis: Basis) -> impl Iterator<Item = ZoneFactor> {
    rows::<GridRow>(GRID).filter(move |row| row.basis == basis).map(ZoneFactor::from)
}

/// All cloud regions whose factor is known on this basis, in the table's order.
pub(super) fn all_cloud_regions(basis: Basis) -> impl Iterator<Item = CloudRegion> {
    let zones: HashMap<Arc<str>, ZoneFactor> =
        all(basis).map(|zone| (Arc::clone(&zone.zone), zone)).collect();
    rows::<CloudRow>(CLOUD).filter_map(move |row| {
        let factor = row.own_factor(Some(basis)).or_else(|| zones.get(row.zone.as_str()).cloned())?;
        Some(CloudRegion { provider: row.provider, region: row.region, city: row.city, factor })
    })
}

/// Zone codes that somebody who wrote `code` may have meant, best first: the zone of that name or with those
/// initials, the country of an unknown subdivision, a part of a known one, a typing slip.
pub(super) fn suggestions(code: &str) -> Vec<String> {
    let wanted = code.trim().to_lowercase();
    if wanted.is_empty() {
        return Vec::new();
    }
    let rank = |row: &GridRow| {
        let zone = row.zone.to_lowercase();
        let name = row.zone_name.to_lowercase();
        let parent = wanted.split('-').next().unwrap_or_default();
        if name == wanted || initials(&row.zone_name) == wanted || zone.split('-').nth(1) == Some(&wanted) {
            Some(0)
        } else if zone == parent || (wanted.len() == 3 && !zone.contains('-') && wanted.starts_with(&zone)) {
            Some(1)
        } else if wanted.len() >= 4 && name.contains(&wanted) {
            Some(2)
        } else if wanted.len() >= 4 && distance(&zone, &wanted) <= 1 {
            Some(3)
        } else if wanted.len() >= 4 && distance(&name, &wanted) <= 2 {
            Some(4)
        } else {
            None
        }
    };
    let found = rows::<GridRow>(GRID).filter_map(|row| Some((rank(&row)?, row.zone))).collect();
    best(found)
}

/// Cloud regions as `provider:region` that somebody who wrote these may have meant: typing slips within the
/// provider, or the same region at another one.
pub(super) fn cloud_suggestions(provider: &str, region: &str) -> Vec<String> {
    let (provider, region) = (provider.trim().to_lowercase(), region.trim().to_lowercase());
    let rank = |row: &CloudRow| {
        let same_provider = row.provider == provider;
        match distance(&row.region, &region) {
            slips @ 0..=2 if same_provider => Some(slips),
            0 => Some(3),
            _ if same_provider && region.len() >= 4 && row.city.to_lowercase().contains(&region) => Some(4),
            _ => None,
        }
    };
    let found = rows::<CloudRow>(CLOUD)
        .filter_map(|row| Some((rank(&row)?, format!("{}:{}", row.provider, row.region))))
        .collect();
    best(found)
}

/// Near misses as the end of an error: `; did you mean ...?`, or nothing.
pub(super) fn did_you_mean(candidates: &[String]) -> String {
    if candidates.is_empty() { String::new() } else { format!("; did you mean {}?", candidates.join(", ")) }
}

fn cloud_row(provider: &str, region: &str) -> Option<CloudRow> {
    rows::<CloudRow>(CLOUD).find(|row| {
        row.provider.eq_ignore_ascii_case(provider.trim()) && row.region.eq_ignore_ascii_case(region.trim())
    })
}

/// A row of `grid_intensity.csv`.
#[derive(Debug, Deserialize)]
struct GridRow {
    zone: String,
    zone_name: String,
    year: u16,
    g_per_kwh: f64,
    basis: Basis,
    accounting: String,
    source: String,
    licence: String,
}

impl From<GridRow> for ZoneFactor {
    fn from(row: GridRow) -> Self {
        Self {
            zone: row.zone.into(),
            name: row.zone_name.into(),
            intensity: GramsPerKwh(row.g_per_kwh),
            basis: row.basis,
            year: row.year,
            accounting: row.accounting.into(),
            source: row.source.into(),
            licence: row.licence.into(),
        }
    }
}

/// A row of `cloud_regions.csv`; the figure's columns are filled together or not at all.
#[derive(Debug, Deserialize)]
struct CloudRow {
    provider: String,
    region: String,
    city: String,
    zone: String,
    g_per_kwh: Option<f64>,
    basis: Option<Basis>,
    year: Option<u16>,
    source: String,
    licence: String,
}

impl CloudRow {
    fn own_factor(&self, basis: Option<Basis>) -> Option<ZoneFactor> {
        let own = self.basis?;
        if basis.is_some_and(|wanted| wanted != own) {
            return None;
        }
        Some(ZoneFactor {
            zone: format!("{}:{}", self.provider, self.region).into(),
            name: self.city.as_str().into(),
            intensity: GramsPerKwh(self.g_per_kwh?),
            basis: own,
            year: self.year?,
            accounting: "average of the region's grid, location-based".into(),
            source: self.source.as_str().into(),
            licence: self.licence.as_str().into(),
        })
    }
}

/// The rows of an embedded table, in its order; a row that can't be read is left out, and fails a test here.
pub(super) fn rows<T: DeserializeOwned>(table: &'static str) -> impl Iterator<Item = T> {
    csv::Reader::from_reader(table.as_bytes()).into_deserialize().filter_map(Result::ok)
}

/// The best of the ranked candidates, each once.
fn best(mut found: Vec<(usize, String)>) -> Vec<String> {
    found.sort();
    let mut codes: Vec<String> = found.into_iter().map(|(_, code)| code).collect();
    codes.dedup();
    codes.truncate(SUGGESTIONS);
    codes
}

/// The first letters of a name's words, in lower case.
fn initials(name: &str) -> String {
    name.split_whitespace().filter_map(|word| word.chars().next()).collect::<String>().to_lowercase()
}

/// Levenshtein distance: insertions, deletions and substitutions that make `a` out of `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut previous: Vec<usize> = (0..=b.chars().count()).collect();
    for (row, x) in a.chars().enumerate() {
        let mut left = row + 1;
        let mut current = vec![left];
        for ((y, above_left), above) in b.chars().zip(&previous).zip(previous.iter().skip(1)) {
            left = (above_left + usize::from(x != y)).min(above + 1).min(left + 1);
            current.push(left);
        }
        previous = current;
    }
    previous.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
