//! `reference.yml`: what a kilowatt-hour emits in zones of the world, from the table that wattprint has built in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use crate::files::parse;
use crate::repository;

/// The countries of the European Union and around it, large countries, and zones that many cloud regions are in.
const ZONES: &str = "\
    AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK \
    CH GB IS NO TR UA NO-NO1 SE-SE3 \
    US CA CA-AB CA-ON CA-QC MX AR BR CL CO \
    CN HK TW JP KR IN ID MY PH SG TH VN AU NZ \
    AE BH EG IL KE NG QA SA ZA world";

/// Zones of the cloud table that have figures of another basis only, which can't be compared: states and provinces.
const DIRECT_ONLY: [&str; 2] = ["US-", "CN-"];

const HEAD: &str = "\
# What a kilowatt-hour emits in zones of the world, over the life cycle and on average over a year, in grams of CO2 equivalent:
# for comparisons (\"the same energy elsewhere\"), never for accounts. Zones that only have figures of what leaves the stacks
# aren't here, as those can't be compared with these.
#
# Generated from data/grid_intensity.csv; rewrite it with WATTPRINT_BLESS=1 cargo test --test rules. data/README.md has the
# origins, licences and caveats. Our World in Data / Ember / Energy Institute (CC BY 4.0); CodeCarbon (MIT).
groups:
  - name: wattprint-reference
    interval: 1m
    rules:
";

struct Row {
    name: String,
    year: String,
    grams: String,
}

/// The rows of the table that count the life cycle, by zone.
fn table() -> BTreeMap<String, Row> {
    let mut reader = csv::Reader::from_path(repository("data/grid_intensity.csv")).unwrap();
    let head = reader.headers().unwrap().clone();
    let at = |name: &str| head.iter().position(|column| column == name).unwrap();
    let [zone, name, year, grams, basis] = ["zone", "zone_name", "year", "g_per_kwh", "basis"].map(at);
    let mut found = BTreeMap::new();
    for row in reader.records().map(Result::unwrap).filter(|row| &row[basis] == "lifecycle") {
        let [name, year, grams] = [name, year, grams].map(|column| row[column].to_owned());
        assert!(found.insert(row[zone].to_owned(), Row { name, year, grams }).is_none(), "{row:?}");
    }
    found
}

fn zones() -> Vec<&'static str> {
    ZONES.split_whitespace().collect()
}

fn generated() -> String {
    let table = table();
    let mut out = HEAD.to_owned();
    for zone in zones() {
        let Row { name, year, grams } =
            table.get(zone).unwrap_or_else(|| panic!("{zone} has no life-cycle figure"));
        // What stands in parentheses says how the zone is bounded, which is more than a legend can take.
        let name = name.split(" (").next().unwrap();
        assert!(!name.contains(['"', '\\']), "{name}");
        writeln!(
            out,
            "      - record: zone:wattprint_grid_yearly_grams_per_kwh:reference\n        expr: vector({grams})\n        \
             labels:\n          grid_zone: \"{zone}\"\n          zone_name: \"{name}\"\n          basis: lifecycle\n          \
             year: \"{year}\""
        )
        .unwrap();
    }
    out
}

#[test]
fn constants_are_those_of_the_table() {
    let path = repository("deploy/prometheus/rules/reference.yml");
    let expected = generated();
    if std::env::var_os("WATTPRINT_BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == expected,
        "deploy/prometheus/rules/reference.yml is stale; rewrite it with WATTPRINT_BLESS=1 cargo test --test rules"
    );
}

#[test]
fn constants_are_plausible_and_of_one_basis() {
    let rules = parse("reference.yml", &generated());
    assert_eq!(rules.len(), zones().len());
    for rule in rules {
        let grams: f64 =
            rule.expr.strip_prefix("vector(").unwrap().strip_suffix(')').unwrap().parse().unwrap();
        assert!((5.0..1000.0).contains(&grams), "{rule:?}");
        assert_eq!(rule.label("basis"), Some("lifecycle"));
    }
}

#[test]
fn zones_of_cloud_regions_are_there() {
    let zones: BTreeSet<&str> = zones().into_iter().collect();
    let mut reader = csv::Reader::from_path(repository("data/cloud_regions.csv")).unwrap();
    let at = reader.headers().unwrap().iter().position(|column| column == "zone").unwrap();
    for row in reader.records().map(Result::unwrap) {
        let zone = &row[at];
        let left_out = DIRECT_ONLY.iter().any(|beginning| zone.starts_with(beginning));
        assert!(left_out || zones.contains(zone), "{zone} has cloud regions, and isn't among the references");
    }
}
