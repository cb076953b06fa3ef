//! The power usage effectiveness that is published for cloud providers.
//!
//! It is one figure for all of a provider's data centres; none is published for each region under a clear licence.
//! Where two collections differ, the higher one is used, so that a move to a cloud doesn't look better than it is.
//! The table is `data/provider_pue.csv`, whose README has origins and caveats.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::zones::rows;
use crate::units::Pue;

const TABLE: &str = include_str!("../../data/provider_pue.csv");

/// A power usage effectiveness, and who says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourcedPue {
    /// The ratio that is used.
    pub ratio: Pue,
    /// The lower one of two published figures; absent where there is only one.
    pub low: Option<Pue>,
    /// Who says so.
    pub source: Arc<str>,
}

/// The figure for a provider, as the table of cloud regions names it; `None` where none is published.
pub fn of(provider: &str) -> Option<SourcedPue> {
    rows::<Row>(TABLE).find(|row| row.provider.eq_ignore_ascii_case(provider.trim())).map(|row| SourcedPue {
        ratio: Pue(row.pue),
        low: row.low.map(Pue),
        source: row.source.into(),
    })
}

/// A row of `provider_pue.csv`.
#[derive(Debug, Deserialize)]
struct Row {
    provider: String,
    pue: f64,
    low: Option<f64>,
    source: String,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::Basis;

    /// What only the table's quality needs.
    #[derive(Debug, Deserialize)]
    struct Origin {
        year: u16,
        licence: String,
    }

    #[test]
    fn every_row_is_complete_and_its_provider_known() {
        let known: HashSet<String> = [Basis::Lifecycle, Basis::Direct]
            .into_iter()
            .flat_map(crate::carbon::zones::all_cloud_regions)
            .map(|region| region.provider)
            .collect();
        let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
        let headers = reader.headers().unwrap().clone();
        let mut providers = HashSet::new();
        for record in reader.records() {
            let record = record.unwrap();
            let row: Row = record.deserialize(Some(&headers)).unwrap();
            let origin: Origin = record.deserialize(Some(&headers)).unwrap();
            assert!(known.contains(&row.provider), "{row:?}");
            assert!(providers.insert(row.provider.clone()), "{row:?} stands twice");
            // No facility is at 1.0; the industry's average of 2024 is 1.56 (Uptime Institute).
            assert!((1.02..1.6).contains(&row.pue), "{row:?}");
            assert!(row.low.is_none_or(|low| (1.02..row.pue).contains(&low)), "{row:?}");
            assert!((2020..=2026).contains(&origin.year), "{row:?} {origin:?}");
            assert!(!row.source.trim().is_empty() && !origin.licence.trim().is_empty(), "{row:?} {origin:?}");
        }
        assert_eq!(providers.len(), 4);
    }

    #[test]
    fn a_provider_without_a_published_figure_has_none() {
        assert_eq!(of("aws").map(|pue| pue.ratio), Some(Pue(1.2)));
        assert_eq!(of("GCP").map(|pue| (pue.ratio, pue.low)), Some((Pue(1.12), Some(Pue(1.1)))));
        assert_eq!(of("alibaba"), None);
        assert_eq!(of(""), None);
    }
}
