//! What a kilowatt-hour from each kind of plant emits, for sources that tell the mix of generation and no intensity.
//!
//! The table is a CSV file in `data/`, whose README has its origins and caveats. Only figures that can be cited are in
//! it: a fuel without one has no factor, and whoever uses the table has to say how much of a mix that leaves open.

use serde::Deserialize;

use crate::carbon::zones::rows;
use crate::config::Basis;
use crate::units::GramsPerKwh;

const FUELS: &str = include_str!("../../data/fuel_factors.csv");

/// What a type of ENTSO-E's code list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FuelKind {
    /// It turns something else into electricity.
    Fuel,
    /// It gives back electricity that was generated before, by other plants.
    Storage,
    /// Lines and transformers, which generate nothing.
    Network,
}

/// One type of plant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Fuel {
    /// Its code in ENTSO-E's list of power system resource types: `B01` to `B25`.
    pub psr_type: String,
    /// The name in that list.
    #[serde(rename = "fuel")]
    pub name: String,
    /// What it is.
    pub kind: FuelKind,
    /// Emissions of a kilowatt-hour; absent where no source gives them.
    #[serde(rename = "g_per_kwh")]
    pub factor: Option<GramsPerKwh>,
    /// What the factor counts; absent without one.
    pub basis: Option<Basis>,
    /// Who published the factor.
    pub source: String,
    /// When.
    pub year: u16,
    /// The licence of the figure.
    pub licence: String,
}

/// The type with this code; none for a code that the table doesn't have.
pub fn by_psr_type(code: &str) -> Option<Fuel> {
    rows::<Fuel>(FUELS).find(|fuel| fuel.psr_type == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<Fuel> {
        csv::Reader::from_reader(FUELS.as_bytes())
            .into_deserialize()
            .map(|row| row.expect("readable"))
            .collect()
    }

    #[test]
    fn each_code_of_the_list_is_there_once_and_its_row_is_complete() {
        let codes: Vec<String> = table().into_iter().map(|fuel| fuel.psr_type).collect();
        assert_eq!(codes, (1..=25).map(|number| format!("B{number:02}")).collect::<Vec<_>>());
        for fuel in table() {
            for text in [&fuel.name, &fuel.source, &fuel.licence] {
                assert!(!text.trim().is_empty(), "{fuel:?}");
            }
            assert!((2014..=2026).contains(&fuel.year), "{fuel:?}");
            assert_eq!(fuel.factor.is_some(), fuel.basis.is_some(), "{fuel:?}");
            assert!(fuel.factor.is_none_or(|factor| (10.0..=1100.0).contains(&factor.0)), "{fuel:?}");
            assert!(fuel.kind == FuelKind::Fuel || fuel.factor.is_none(), "{fuel:?}");
        }
    }

    #[test]
    fn factors_are_those_that_are_cited() {
        let factor = |code: &str| by_psr_type(code).and_then(|fuel| fuel.factor).map(|factor| factor.0);
        for (code, grams) in [("B05", 820.0), ("B04", 490.0), ("B12", 24.0), ("B14", 12.0), ("B19", 11.0)] {
            assert_eq!(factor(code), Some(grams), "{code}");
        }
        for code in ["B03", "B06", "B10", "B20", "B25", "B26", "", "b05"] {
            assert_eq!(factor(code), None, "{code}");
        }
        let stored: Vec<String> = table()
            .into_iter()
            .filter(|fuel| fuel.kind == FuelKind::Storage)
            .map(|fuel| fuel.psr_type)
            .collect();
        assert_eq!(stored, ["B10", "B25"]);
    }

    #[test]
    fn every_factor_counts_the_life_cycle() {
        for fuel in table() {
            assert!(fuel.basis.is_none_or(|basis| basis == Basis::Lifecycle), "{fuel:?}");
        }
    }
}
