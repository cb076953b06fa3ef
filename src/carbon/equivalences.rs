//! What an amount of CO2 equivalent is like: kilometres by car, tree-months, hours of video.
//!
//! The figures are rough and their sources differ in what they count, so each is quoted with its own. The table is
//! `data/equivalences.csv`, whose README has origins and caveats.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::zones::rows;
use crate::units::Grams;

const TABLE: &str = include_str!("../../data/equivalences.csv");

/// So much of something everyday emits as much, or, for trees, takes up as much.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Equivalent {
    /// The row of the table: `car_eu_km`, `tree_month`, ...
    pub name: Arc<str>,
    /// The words after the unit: `by an average car in the EU`.
    pub label: Arc<str>,
    /// The unit: `km`, `hours`, `months`, ...
    pub unit: Arc<str>,
    /// How many of it.
    pub amount: f64,
    /// Who gives the figure.
    pub source: Arc<str>,
}

/// What `grams` are like, in the table's order; nothing for an amount that isn't above 0.
pub fn equivalents(grams: Grams) -> Vec<Equivalent> {
    if !(grams.0 > 0.0 && grams.0.is_finite()) {
        return Vec::new();
    }
    rows::<Row>(TABLE)
        .map(|row| Equivalent {
            name: row.name.into(),
            label: row.label.into(),
            unit: row.unit.into(),
            amount: grams.0 / row.grams_per_unit,
            source: row.source.into(),
        })
        .collect()
}

/// A row of `equivalences.csv`.
#[derive(Debug, Deserialize)]
struct Row {
    name: String,
    label: String,
    unit: String,
    grams_per_unit: f64,
    source: String,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// What only the table's quality needs.
    #[derive(Debug, Deserialize)]
    struct Origin {
        year: u16,
        licence: String,
    }

    #[test]
    fn every_row_is_complete_and_plausible() {
        let mut names = HashSet::new();
        let mut reader = csv::Reader::from_reader(TABLE.as_bytes());
        let headers = reader.headers().unwrap().clone();
        let records: Vec<csv::StringRecord> = reader.records().map(|record| record.unwrap()).collect();
        assert_eq!(records.len(), 14);
        for record in records {
            let row: Row = record.deserialize(Some(&headers)).unwrap();
            let origin: Origin = record.deserialize(Some(&headers)).unwrap();
            assert!(names.insert(row.name.clone()), "{row:?} stands twice");
            // From an hour of video to a flight around the world.
            assert!((10.0..5e6).contains(&row.grams_per_unit), "{row:?}");
            assert!((2000..=2026).contains(&origin.year), "{row:?} {origin:?}");
            assert!(["CC-BY-4.0", "MIT"].contains(&origin.licence.as_str()), "{row:?} {origin:?}");
            for text in [&row.label, &row.unit, &row.source] {
                assert!(!text.trim().is_empty(), "{row:?}");
            }
        }
    }

    #[test]
    fn a_tonne_is_like() {
        let all = equivalents(Grams(1e6));
        let amount = |name: &str| {
            all.iter().find(|one| &*one.name == name).map(|one| (one.amount * 10.0).round() / 10.0)
        };
        assert_eq!(amount("car_eu_km"), Some(5714.3));
        assert_eq!(amount("tree_month"), Some(1090.5));
        assert_eq!(amount("flight_paris_london"), Some(20.0));
        assert_eq!(all.len(), 14);
    }

    #[test]
    fn nothing_is_like_nothing() {
        for grams in [0.0, -5.0, f64::NAN, f64::INFINITY] {
            assert_eq!(equivalents(Grams(grams)), []);
        }
    }
}
