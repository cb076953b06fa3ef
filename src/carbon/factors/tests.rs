use super::*;

fn zone(code: &str) -> FactorSettings {
    FactorSettings { zone: Some(code.to_owned()), ..FactorSettings::default() }
}

fn cloud(region: &str) -> FactorSettings {
    FactorSettings { cloud: Some(region.to_owned()), ..FactorSettings::default() }
}

#[test]
fn nothing_configured_is_the_world_average_and_says_so() {
    let factors = resolve(&FactorSettings::default()).unwrap();
    assert_eq!(&*factors.grid.zone, "world");
    assert_eq!((&*factors.grid.provider, factors.grid.quality), ("embedded", "static"));
    assert_eq!(factors.grid.basis, "lifecycle");
    assert!((400.0..520.0).contains(&factors.grid.intensity.0));
    assert_eq!((factors.pue, factors.pue_configured), (Pue(1.0), false));
    let notice = factors.notice().unwrap();
    for part in ["carbon.zone", "carbon.cloud", "carbon.intensity", "world average"] {
        assert!(notice.contains(part), "{notice}");
    }
    assert_eq!(notice.lines().count(), 1);
    assert_eq!(resolve(&zone("FR")).unwrap().notice(), None);
}

#[test]
fn constant_beats_zone_beats_cloud() {
    let all = FactorSettings {
        intensity: Some(12.5),
        zone: Some("DE".to_owned()),
        cloud: Some("aws:eu-west-3".to_owned()),
        basis: None,
        pue: Some(1.3),
    };
    let factors = resolve(&all).unwrap();
    assert_eq!(
        factors.grid,
        GridFactor {
            zone: "DE".into(),
            provider: "config".into(),
            basis: "",
            quality: "static",
            intensity: GramsPerKwh(12.5),
        }
    );
    assert_eq!((factors.origin, factors.pue, factors.pue_configured), (None, Pue(1.3), true));

    let factors = resolve(&FactorSettings { intensity: None, ..all.clone() }).unwrap();
    assert_eq!((&*factors.grid.zone, &*factors.grid.provider), ("DE", "embedded"));
    let factors = resolve(&FactorSettings { intensity: None, zone: None, ..all }).unwrap();
    assert_eq!((&*factors.grid.zone, &*factors.grid.provider), ("FR", "embedded"));
    assert!(factors.origin.is_some_and(|origin| origin.year >= 2020));
}

#[test]
fn a_constant_takes_the_basis_it_is_given() {
    let settings =
        FactorSettings { intensity: Some(2000.0), basis: Some(Basis::Direct), ..FactorSettings::default() };
    let grid = resolve(&settings).unwrap().grid;
    assert_eq!((&*grid.zone, grid.basis), ("", "direct"));
}

#[test]
fn values_out_of_range_name_their_key() {
    for value in [0.0, -1.0, 2000.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let settings = FactorSettings { intensity: Some(value), ..FactorSettings::default() };
        let message = resolve(&settings).unwrap_err().to_string();
        assert!(message.starts_with("carbon.intensity = "), "{message}");
    }
    for value in [0.99, 0.0, -2.0, 10.01, f64::NAN, f64::INFINITY] {
        let settings = FactorSettings { pue: Some(value), ..FactorSettings::default() };
        let message = resolve(&settings).unwrap_err().to_string();
        assert!(message.starts_with("carbon.pue = "), "{message}");
    }
    for value in [1.0, 10.0] {
        let settings = FactorSettings { pue: Some(value), ..FactorSettings::default() };
        assert_eq!(resolve(&settings).unwrap().pue, Pue(value));
    }
}

#[test]
fn an_unknown_place_names_its_key_and_near_misses() {
    let message = resolve(&zone("UK")).unwrap_err().to_string();
    for part in ["carbon.zone = \"UK\"", "did you mean GB?", "SE-SE3", "carbon.intensity to a constant"] {
        assert!(message.contains(part), "{message}");
    }
    let message = resolve(&zone("")).unwrap_err().to_string();
    assert!(message.contains("carbon.zone = \"\"") && !message.contains("did you mean"), "{message}");

    let message = resolve(&cloud("aws:eu-west3")).unwrap_err().to_string();
    for part in
        ["carbon.cloud = \"aws:eu-west3\"", "did you mean aws:eu-west-3", "carbon.zone", "carbon.intensity"]
    {
        assert!(message.contains(part), "{message}");
    }
    // An installed binary comes without the tables' files.
    for message in
        [resolve(&zone("UK")), resolve(&cloud("aws:eu-west3"))].map(|it| it.unwrap_err().to_string())
    {
        assert!(!message.contains(".csv"), "{message}");
    }
    for wrong in ["eu-west-3", ":eu-west-3", "aws:", ""] {
        assert_eq!(resolve(&cloud(wrong)), Err(FactorError::CloudSyntax(wrong.to_owned())));
    }
}

#[test]
fn a_basis_that_a_place_lacks_is_an_error_not_a_swap() {
    let settings = FactorSettings { basis: Some(Basis::Lifecycle), ..zone("US-CA") };
    let message = resolve(&settings).unwrap_err().to_string();
    assert!(
        message.starts_with("carbon.basis = \"lifecycle\": US-CA is known only as \"direct\""),
        "{message}"
    );
    let settings = FactorSettings { basis: Some(Basis::Direct), ..FactorSettings::default() };
    assert_eq!(resolve(&settings).unwrap().grid.basis, "direct");
    let settings = FactorSettings { basis: Some(Basis::Direct), ..zone("XX") };
    assert!(matches!(resolve(&settings), Err(FactorError::UnknownZone { .. })));
}

#[test]
fn a_cloud_regions_own_figure_keeps_its_name() {
    let factors = resolve(&cloud("gcp:europe-west9")).unwrap();
    assert_eq!((&*factors.grid.zone, factors.grid.basis), ("gcp:europe-west9", "direct"));
    let settings = FactorSettings { basis: Some(Basis::Lifecycle), ..cloud("gcp:europe-west9") };
    assert_eq!(&*resolve(&settings).unwrap().grid.zone, "FR");
}

#[test]
fn beside_live_sources_a_place_that_is_known_otherwise_falls_back_to_a_wider_one() {
    let place = |zone: Option<&str>, cloud: Option<&str>, basis| {
        let settings = FactorSettings {
            zone: zone.map(str::to_owned),
            cloud: cloud.map(str::to_owned),
            ..FactorSettings::default()
        };
        let factors = resolve_beside_live(&settings, basis).unwrap();
        assert_eq!(factors.grid.basis, basis.as_str());
        factors.grid.zone.to_string()
    };
    assert_eq!(place(Some("FR"), None, Basis::Lifecycle), "FR");
    // Countries have life-cycle figures only, states direct ones.
    assert_eq!(place(Some("GB"), None, Basis::Direct), "world");
    assert_eq!(place(Some("US-CA"), None, Basis::Direct), "US-CA");
    assert_eq!(place(Some("US-CA"), None, Basis::Lifecycle), "US");
    // Zones that only a provider knows.
    assert_eq!(place(Some("DK-DK1"), None, Basis::Lifecycle), "DK");
    assert_eq!(place(Some("US-CAL-CISO"), None, Basis::Direct), "US");
    assert_eq!(place(None, None, Basis::Direct), "world");
    assert_eq!(place(None, Some("aws:eu-west-2"), Basis::Direct), "world");
    // Virginia has a direct figure only, the country has both.
    assert_eq!(place(None, Some("aws:us-east-1"), Basis::Lifecycle), "US");
    let constant = FactorSettings { intensity: Some(56.0), ..FactorSettings::default() };
    assert_eq!(resolve_beside_live(&constant, Basis::Direct), Err(FactorError::NoBasis));
    let said = FactorSettings { basis: Some(Basis::Direct), ..constant };
    assert_eq!(resolve_beside_live(&said, Basis::Direct).unwrap().grid.basis, "direct");
    let typo = FactorSettings { zone: Some("Frnace".to_owned()), ..FactorSettings::default() };
    let error = resolve_beside_live(&typo, Basis::Lifecycle).unwrap_err();
    assert!(matches!(error, FactorError::UnknownZone { ref zone, .. } if zone == "Frnace"), "{error}");
}
