mod origins;

use std::collections::HashSet;

use proptest::prelude::{ProptestConfig, proptest};

use super::*;

/// All rows, failing on one that can't be read.
fn strict<T: DeserializeOwned>(table: &'static str) -> Vec<T> {
    csv::Reader::from_reader(table.as_bytes()).into_deserialize().map(|row| row.expect("readable")).collect()
}

#[test]
fn every_grid_row_is_complete_and_plausible() {
    let rows = strict::<GridRow>(GRID);
    assert!(rows.len() > 300, "{}", rows.len());
    let mut keys = HashSet::new();
    for row in rows {
        assert!(keys.insert((row.zone.to_lowercase(), row.basis)), "{row:?} stands twice");
        assert!(row.g_per_kwh > 0.0 && row.g_per_kwh <= 2000.0, "{row:?}");
        assert!((2005..=2026).contains(&row.year), "{row:?}");
        for text in [&row.zone_name, &row.accounting, &row.source, &row.licence] {
            assert!(!text.trim().is_empty(), "{row:?}");
        }
        let code = row.zone.as_bytes();
        let shape = row.zone == WORLD
            || (matches!(code.len(), 2 | 5 | 6)
                && code.iter().take(2).all(u8::is_ascii_uppercase)
                && code.get(2).is_none_or(|dash| *dash == b'-')
                && code.iter().skip(3).all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()));
        assert!(shape, "{row:?}");
    }
}

#[test]
fn every_cloud_row_is_complete_and_its_zone_known() {
    let zones: HashSet<String> = strict::<GridRow>(GRID).into_iter().map(|row| row.zone).collect();
    let rows = strict::<CloudRow>(CLOUD);
    assert!(rows.len() > 150, "{}", rows.len());
    let mut keys = HashSet::new();
    for row in rows {
        assert!(keys.insert((row.provider.clone(), row.region.clone())), "{row:?} stands twice");
        assert_eq!(row.provider, row.provider.to_lowercase());
        assert_eq!(row.region, row.region.to_lowercase());
        assert!(zones.contains(&row.zone), "{row:?}");
        assert_eq!(row.g_per_kwh.is_some(), row.basis.is_some(), "{row:?}");
        assert_eq!(row.g_per_kwh.is_some(), row.year.is_some(), "{row:?}");
        assert!(row.g_per_kwh.is_none_or(|grams| grams > 0.0 && grams <= 2000.0), "{row:?}");
        assert!(row.year.is_none_or(|year| (2005..=2026).contains(&year)), "{row:?}");
        for text in [&row.city, &row.source, &row.licence] {
            assert!(!text.trim().is_empty(), "{row:?}");
        }
        assert!(by_cloud_region(&row.provider, &row.region, None).is_some(), "{row:?}");
    }
}

#[test]
fn well_known_zones_are_there() {
    for (code, low, high, basis) in [
        ("FR", 20.0, 90.0, Basis::Lifecycle),
        ("DE", 250.0, 450.0, Basis::Lifecycle),
        ("US", 330.0, 430.0, Basis::Lifecycle),
        ("GB", 150.0, 300.0, Basis::Lifecycle),
        ("IN", 600.0, 800.0, Basis::Lifecycle),
        ("NA", 20.0, 200.0, Basis::Lifecycle),
        ("US-CA", 120.0, 260.0, Basis::Direct),
        ("CA-QC", 1.0, 60.0, Basis::Lifecycle),
        ("SE-SE3", 10.0, 60.0, Basis::Lifecycle),
        ("CN-BJ", 400.0, 700.0, Basis::Direct),
    ] {
        let factor = by_zone(code, None).unwrap_or_else(|| panic!("{code}"));
        assert_eq!(&*factor.zone, code);
        assert_eq!(factor.basis, basis, "{code}");
        assert!((low..high).contains(&factor.intensity.0), "{factor:?}");
    }
    assert_eq!(by_zone(" fr ", None), by_zone("FR", None));
}

#[test]
fn what_is_not_known_is_absent() {
    // The published figure for CF is 0, which no country's grid is.
    for code in ["", "XX", "CF", "France", "FRANCE-1", "zone"] {
        assert_eq!(by_zone(code, None), None, "{code}");
    }
    assert_eq!(by_cloud_region("aws", "eu-west-99", None), None);
    assert_eq!(by_cloud_region("hetzner", "eu-west-3", None), None);
}

#[test]
fn a_basis_can_be_asked_for_and_is_never_swapped() {
    let lifecycle = world(None).expect("world");
    assert_eq!(lifecycle.basis, Basis::Lifecycle);
    assert!((400.0..520.0).contains(&lifecycle.intensity.0), "{lifecycle:?}");
    let direct = world(Some(Basis::Direct)).expect("world");
    assert_eq!(direct.basis, Basis::Direct);
    assert!((400.0..520.0).contains(&direct.intensity.0), "{direct:?}");
    assert_eq!(by_zone("FR", Some(Basis::Direct)), None);
    assert_eq!(by_zone("US", Some(Basis::Direct)).map(|us| us.basis), Some(Basis::Direct));
    assert_eq!(by_zone("US-CA", Some(Basis::Lifecycle)), None);
    assert_eq!(by_zone("US-CA", Some(Basis::Direct)), by_zone("US-CA", None));
}

#[test]
fn cloud_regions_resolve_to_their_own_figure_or_their_zone() {
    let paris = by_cloud_region("aws", "eu-west-3", None).expect("aws:eu-west-3");
    assert_eq!(Some(paris), by_zone("FR", None));
    let virginia = by_cloud_region("AWS", "US-East-1", None).expect("aws:us-east-1");
    assert_eq!(&*virginia.zone, "US-VA");

    let own = by_cloud_region("gcp", "europe-west9", None).expect("gcp:europe-west9");
    assert_eq!(&*own.zone, "gcp:europe-west9");
    assert_eq!((own.basis, own.year), (Basis::Direct, 2023));
    assert!((10.0..90.0).contains(&own.intensity.0), "{own:?}");
    let zone = by_cloud_region("gcp", "europe-west9", Some(Basis::Lifecycle)).expect("gcp:europe-west9");
    assert_eq!(&*zone.zone, "FR");
}

#[test]
fn near_misses_are_named() {
    for (wrong, meant) in [
        ("UK", "GB"),
        ("france", "FR"),
        ("FRA", "FR"),
        ("germny", "DE"),
        ("US-ZZ", "US"),
        ("california", "US-CA"),
        ("SE3", "SE-SE3"),
        ("US_CA", "US-CA"),
        ("quebec", "CA-QC"),
    ] {
        let found = suggestions(wrong);
        assert!(found.iter().any(|code| code == meant), "{wrong}: {found:?}");
        assert!(found.len() <= SUGGESTIONS, "{wrong}: {found:?}");
    }
    assert_eq!(suggestions(""), Vec::<String>::new());
    assert_eq!(suggestions("QQ"), Vec::<String>::new());

    assert_eq!(cloud_suggestions("aws", "eu-west3").first().map(String::as_str), Some("aws:eu-west-3"));
    assert_eq!(cloud_suggestions("google", "europe-west9"), ["gcp:europe-west9"]);
    assert_eq!(cloud_suggestions("azure", "paris"), Vec::<String>::new());
}

#[test]
fn distances_count_edits() {
    for (a, b, edits) in
        [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("fr", "fr", 0)]
    {
        assert_eq!(distance(a, b), edits, "{a} {b}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_text_gets_an_answer(provider in ".{0,12}", code in ".{0,24}") {
        let _ = by_zone(&code, None);
        let _ = by_cloud_region(&provider, &code, Some(Basis::Direct));
        assert!(suggestions(&code).len() <= SUGGESTIONS);
        assert!(cloud_suggestions(&provider, &code).len() <= SUGGESTIONS);
    }
}
