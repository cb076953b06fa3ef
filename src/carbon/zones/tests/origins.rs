//! Whether the tables can be trusted: codes that exist, years and licences, bounds of physics, and a second source.

use std::collections::{BTreeMap, HashSet};

use super::super::{CLOUD, CloudRow, GRID, GridRow, WORLD, by_zone};
use super::strict;
use crate::config::Basis;

/// The 249 officially assigned codes of ISO 3166-1 alpha-2, as of 2026.
const COUNTRIES: &str = include_str!("iso3166.txt");

/// ISO 3166-2: the 50 states of the US and the District of Columbia.
const STATES: &str = "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ \
                      NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY";

/// ISO 3166-2: the provinces and territories of Canada.
const CANADA: &str = "AB BC MB NB NL NS NT NU ON PE QC SK YT";

/// ISO 3166-2: the provinces, municipalities and autonomous regions of China. Tibet has no row.
const CHINA: &str =
    "AH BJ CQ FJ GD GS GX GZ HA HB HE HI HL HN JL JS JX LN NM NX QH SC SD SH SN SX TJ XJ XZ YN ZJ";

/// Bidding zones of the Nordic market; ISO has no codes for them.
const NORDIC: &str = "NO-NO1 NO-NO2 NO-NO3 NO-NO4 NO-NO5 SE-SE1 SE-SE2 SE-SE3 SE-SE4";

/// Grid averages of Google's regions in 2024, for zones that lie within one grid.
const SECOND: &str = include_str!("second_source.csv");

fn words(list: &'static str) -> HashSet<&'static str> {
    list.split_whitespace().collect()
}

#[test]
fn every_zone_has_a_code_that_exists() {
    let countries = words(COUNTRIES);
    assert_eq!(countries.len(), 249);
    let subdivisions = BTreeMap::from([("US", words(STATES)), ("CA", words(CANADA)), ("CN", words(CHINA))]);
    let nordic = words(NORDIC);
    for zone in strict::<GridRow>(GRID).into_iter().map(|row| row.zone) {
        let known = match zone.split_once('-') {
            Some((country, part)) => {
                countries.contains(country)
                    && subdivisions
                        .get(country)
                        .map_or_else(|| nordic.contains(zone.as_str()), |parts| parts.contains(part))
            }
            None => zone == WORLD || countries.contains(zone.as_str()),
        };
        assert!(known, "{zone}");
    }
}

#[test]
fn every_figure_is_recent_and_within_the_bounds_of_physics() {
    for row in strict::<GridRow>(GRID) {
        let oldest = if row.zone == "EH" { 2009 } else { 2022 };
        assert!((oldest..=2025).contains(&row.year), "{row:?}");
        // From hydropower alone to oil and old coal plants alone (IPCC AR5 WG3 annex III: medians of 24 and 820, at most
        // 910 for coal). The publisher's own figures for two countries that burn mostly gas lie above.
        let highest = if ["TM", "UZ"].contains(&row.zone.as_str()) { 1_310.0 } else { 1_000.0 };
        assert!((20.0..=highest).contains(&row.g_per_kwh), "{row:?}");
        let licence = match row.source.split_once(" via ").map(|(publisher, _)| publisher) {
            Some("Our World in Data (Ember; Energy Institute)") => "CC-BY-4.0",
            Some("US EPA eGRID2023 STC2ERTA") => "US public domain",
            Some(_) => "MIT",
            None => "a source and the package that it came through",
        };
        assert_eq!(row.licence, licence, "{row:?}");
    }
}

#[test]
fn a_cloud_region_has_a_figure_with_its_year_or_only_a_place() {
    let mut own = 0;
    for row in strict::<CloudRow>(CLOUD) {
        match (row.g_per_kwh, row.basis, row.year) {
            (Some(grams), Some(Basis::Direct), Some(2023)) => {
                own += 1;
                assert!(row.provider == "gcp" && row.licence == "Apache-2.0", "{row:?}");
                assert!((1.0..=800.0).contains(&grams), "{row:?}");
            }
            (None, None, None) => {
                assert!(["MIT", "public fact"].contains(&row.licence.as_str()), "{row:?}");
            }
            other => panic!("{other:?}: {row:?}"),
        }
    }
    assert_eq!(own, 40);
}

/// A row of the second source.
#[derive(Debug, serde::Deserialize)]
struct Second {
    zone: String,
    region: String,
    g_per_kwh: f64,
    year: u16,
    source: String,
    licence: String,
}

/// Zones whose figures the two sources don't agree on, and why.
const OUTLIERS: [(&str, &str); 3] = [
    ("GB", "more than a tenth of the generation is biomass: 230 g/kWh over its life, 0 at the stack"),
    (
        "QA",
        "Google's is that of a modern gas plant (370), ours that of all plants; which is right isn't known here",
    ),
    ("SA", "the same; a third or more of the generation is oil"),
];

/// Compares yearly averages with a source that shares none of their inputs: what Google publishes for the grids of its
/// regions, from hourly data of grid operators. It counts direct emissions of what is consumed, with imports.
///
/// Where ours is direct as well, they must agree within a fifth: years differ by one, and a state isn't its grid.
///
/// Where ours is of the life cycle, it must be above the direct one, and no further than fuel supply and plants explain
/// (IPCC AR5 WG3 annex III, medians): gas is 490 over its life and 370 at the stack, a factor of 1.32, the largest
/// of the fossil fuels; plants that burn nothing add at most the 48 of solar. A tenth on both sides is for other years,
/// imports and factors of plants.
#[test]
fn a_second_public_source_agrees() {
    const BURNT: f64 = 490.0 / 370.0;
    const NOT_BURNT: f64 = 48.0;
    let mut grids: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in strict::<Second>(SECOND) {
        assert!(
            row.source.starts_with("Google region-carbon-info") && row.licence == "Apache-2.0",
            "{row:?}"
        );
        assert!(row.year == 2024 && !row.region.is_empty(), "{row:?}");
        grids.entry(row.zone).or_default().push(row.g_per_kwh);
    }
    assert!(grids.len() >= 25, "{}", grids.len());
    let mut apart = Vec::new();
    for (zone, figures) in grids {
        let theirs = figures.iter().sum::<f64>() / f64::from(u32::try_from(figures.len()).unwrap());
        let ours = by_zone(&zone, None).unwrap_or_else(|| panic!("{zone}"));
        let expected = match ours.basis {
            Basis::Direct => 0.8 * theirs..=1.2 * theirs,
            Basis::Lifecycle => 0.9 * theirs..=1.1 * (BURNT * theirs + NOT_BURNT),
        };
        if !expected.contains(&ours.intensity.0) {
            apart.push((zone, ours.intensity.0, expected));
        }
    }
    let found: Vec<&str> = apart.iter().map(|(zone, _, _)| zone.as_str()).collect();
    // One that agrees again leaves the list.
    assert_eq!(found, OUTLIERS.map(|(zone, _)| zone), "{apart:?}");
}
