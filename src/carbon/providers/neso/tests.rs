use super::*;
use crate::carbon::providers::harness::{Rig, lines};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::config::{Basis, ProviderKind};

const PAST_DAY: &str = r#"{"data":[
    {"from":"2026-10-01T06:00Z","to":"2026-10-01T06:30Z","intensity":{"forecast":140,"actual":138,"index":"moderate"}},
    {"from":"2026-10-01T06:30Z","to":"2026-10-01T07:00Z","intensity":{"forecast":150,"actual":null,"index":"moderate"}},
    {"from":"2026-10-01T07:00Z","to":"2026-10-01T07:30Z","intensity":{"forecast":160,"actual":null,"index":"moderate"}}]}"#;
/// Its first one is the last one of the other.
const AHEAD: &str = r#"{"data":[
    {"from":"2026-10-01T06:30Z","to":"2026-10-01T07:00Z","intensity":{"forecast":150,"actual":149,"index":"moderate"}},
    {"from":"2026-10-01T07:00Z","to":"2026-10-01T07:30Z","intensity":{"forecast":161,"actual":null,"index":"moderate"}},
    {"from":"2026-10-01T07:30Z","to":"2026-10-01T08:00Z","intensity":{"forecast":170,"actual":null,"index":"high"}}]}"#;
const REGION: &str = r#"{"data":{"regionid":13,"dnoregion":"UKPN London","shortname":"London","postcode":"RG10","data":[
    {"from":"2026-10-01T07:00Z","to":"2026-10-01T07:30Z","intensity":{"forecast":111,"index":"low"},"generationmix":[]},
    {"from":"2026-10-01T07:30Z","to":"2026-10-01T08:00Z","intensity":{"forecast":112,"index":"low"},"generationmix":[]}
    ]}}"#;

fn at(zone: &str) -> Rig {
    Rig::new(ProviderKind::Neso, zone, "2026-10-01T07:02:33Z")
}

fn day(items: &[(&str, &str, &str)]) -> String {
    let items: Vec<_> = items
        .iter()
        .map(|(from, to, values)| format!(r#"{{"from":"{from}","to":"{to}","intensity":{{{values}}}}}"#))
        .collect();
    format!(r#"{{"data":[{}]}}"#, items.join(","))
}

fn asked(zone: &str, replies: Vec<Reply>) -> (Fetched, Vec<String>) {
    let server = Replay::in_turn(replies);
    let rig = at(zone);
    let fetched = rig.provider(&server).fetch(&HttpClient::new(None).unwrap(), rig.now).unwrap();
    (fetched, server.asked().into_iter().map(|asked| asked.target).collect())
}

#[test]
fn the_nation_has_a_measured_past_and_a_forecast() {
    let (fetched, targets) = asked("GB", vec![Reply::ok(PAST_DAY), Reply::ok(AHEAD)]);
    assert_eq!(
        lines(&fetched),
        [
            "2026-10-01T06:00 30 138 measured",
            "2026-10-01T06:30 30 149 measured",
            "2026-10-01T07:00 30 161 forecast",
            "2026-10-01T07:30 30 170 forecast"
        ]
    );
    assert_eq!(fetched.warnings, [""; 0]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, &*series.accounting), ("neso", "GB", "consumption"));
    assert_eq!((series.signal, series.fetched_at), (Signal::AverageDirect, at("GB").now));
    let expected =
        ["/base/intensity/2026-09-30T07:02Z/2026-10-01T07:02Z", "/base/intensity/2026-10-01T07:02Z/fw48h"];
    assert_eq!(targets, expected);
}

#[test]
fn one_half_without_values_leaves_the_other() {
    for nothing in ["{}", r#"{"data":[]}"#, r#"{"data":null}"#, "<html>"] {
        let (fetched, _) = asked("GB", vec![Reply::ok(nothing), Reply::ok(AHEAD)]);
        assert_eq!((lines(&fetched).len(), fetched.warnings.len()), (3, 1), "{nothing}");
        let (fetched, _) = asked("GB", vec![Reply::ok(PAST_DAY), Reply::ok(nothing)]);
        assert_eq!((lines(&fetched).len(), fetched.warnings.len()), (3, 1), "{nothing}");
    }
    let (fetched, _) = asked("GB", vec![Reply::ok(PAST_DAY), Reply::status(500, "{}")]);
    assert_eq!((lines(&fetched).len(), fetched.warnings.len()), (3, 1));
    let nothing = at("GB").fetch([Reply::ok("{}"), Reply::ok("{}")]).unwrap_err();
    assert_eq!(nothing.result, FetchResult::Empty);
}

#[test]
fn a_provider_in_trouble_is_not_asked_twice() {
    let server = Replay::in_turn([Reply::status(429, "")]);
    let rig = at("GB");
    let error = rig.provider(&server).fetch(&HttpClient::new(None).unwrap(), rig.now).unwrap_err();
    assert_eq!((error.result, server.asked().len()), (FetchResult::RateLimited, 1));
}

#[test]
fn regions_come_as_an_object_or_a_list_and_have_no_measurement() {
    let expected = ["2026-10-01T07:00 30 111 forecast", "2026-10-01T07:30 30 112 forecast"];
    let list =
        REGION.replacen("\"data\":{", "\"data\":[{", 1).trim_end().strip_suffix('}').unwrap().to_owned();
    for body in [REGION.to_owned(), list + "]}"] {
        let (fetched, targets) = asked("13", vec![Reply::ok(body.clone())]);
        assert_eq!(lines(&fetched), expected);
        assert_eq!(&*fetched.series[0].zone, "GB-neso-13");
        assert_eq!(targets, ["/base/regional/intensity/2026-10-01T05:02Z/fw48h/regionid/13"]);
        let (fetched, targets) = asked("rg10", vec![Reply::ok(body)]);
        assert_eq!(lines(&fetched), expected);
        assert_eq!(&*fetched.series[0].zone, "GB-neso-RG10");
        assert_eq!(targets, ["/base/regional/intensity/2026-10-01T05:02Z/fw48h/postcode/RG10"]);
    }
}

#[test]
fn another_region_than_the_one_asked_for_is_refused() {
    assert_eq!(at("12").failure(REGION), FetchResult::ZoneMismatch);
    assert_eq!(at("SW1A").failure(REGION), FetchResult::ZoneMismatch);
    assert_eq!(at("13").failure(r#"{"data":{"data":[]}}"#), FetchResult::ZoneMismatch);
    assert_eq!(at("13").failure(r#"{"data":{"regionid":13,"data":[]}}"#), FetchResult::Empty);
    assert_eq!(at("13").failure("{}"), FetchResult::Empty);
    assert_eq!(at("13").failure(r#"{"data":{"regionid":"London"}}"#), FetchResult::Decode);
    assert_eq!(at("13").failure(PAST_DAY), FetchResult::ZoneMismatch);
    assert_eq!(at("13").failure(r#"{"data":"none"}"#), FetchResult::Decode);
}

#[test]
fn a_national_answer_of_another_shape_is_refused() {
    let rig = at("GB");
    let failure = |body: &str| rig.fetch([Reply::ok(body), Reply::ok(body)]).unwrap_err().result;
    assert_eq!(failure(REGION), FetchResult::Decode);
    assert_eq!(failure(r#"{"data":[1]}"#), FetchResult::Decode);
    assert_eq!(failure(r#"{"data":[{"from":"2026-10-01T07:00Z"}]}"#), FetchResult::Decode);
    let unknown = day(&[("2026-10-01T07:00Z", "2026-10-01T07:30Z", r#""forecast":null,"actual":null"#)]);
    assert_eq!(failure(&unknown), FetchResult::Empty);
    let naive = day(&[("2026-10-01T07:00", "2026-10-01T07:30", r#""forecast":1"#)]);
    assert_eq!(failure(&naive), FetchResult::Decode);
}

#[test]
fn bad_half_hours_spoil_only_themselves_and_overlaps_are_resolved() {
    let items = day(&[
        ("2026-12-31T23:30Z", "2027-01-01T00:00Z", r#""forecast":100,"actual":90"#),
        ("2027-01-01T00:30Z", "2027-01-01T01:00Z", r#""forecast":120"#),
        ("2027-01-01T00:00Z", "2027-01-01T00:30Z", r#""forecast":110,"actual":0"#),
        ("2027-01-01T00:00Z", "2027-01-01T00:30Z", r#""forecast":110,"actual":0"#),
        ("2027-01-01T00:15Z", "2027-01-01T00:45Z", r#""forecast":500"#),
        ("2027-01-01T01:30Z", "2027-01-01T01:00Z", r#""forecast":130"#),
        ("2027-01-01T01:00Z", "2027-01-01T01:30Z", r#""forecast":"low""#),
        ("2027-01-01T01:30Z", "2027-01-01T02:00Z", r#""forecast":5,"actual":-1"#),
        ("2027-01-01T02:00Z", "2027-01-01T02:30Z", r#""forecast":null"#),
    ]);
    let fetched = at("GB").fetch([Reply::ok(items), Reply::ok(AHEAD)]).unwrap();
    let of_the_day: Vec<_> = lines(&fetched).into_iter().filter(|line| !line.contains("-10-")).collect();
    let expected = [
        "2026-12-31T23:30 30 90 measured",
        // Great Britain is never without emissions: 0 isn't known.
        "2027-01-01T00:15 30 500 forecast",
        "2027-01-01T00:45 15 120 forecast",
    ];
    assert_eq!(of_the_day, expected);
    let warning = "5 of 9 values are left out: 0 g/kWh isn't possible there";
    assert_eq!(fetched.warnings, [warning]);
}

#[test]
fn statuses_are_told_apart() {
    at("13").check_statuses();
    let refused = r#"{"error":{"code":"400 Bad Request","message":"Please enter a valid date"}}"#;
    for zone in ["GB", "RG10"] {
        let error = at(zone).fetch([Reply::status(400, refused)]).unwrap_err();
        assert_eq!(error.result, FetchResult::Rejected);
        assert!(error.text.contains("Please enter a valid date"), "{error}");
    }
}

#[test]
fn zones_are_the_nation_regions_and_postcodes() {
    for (zone, label) in [
        ("GB", Some("GB")),
        ("gb", Some("GB")),
        ("1", Some("GB-neso-1")),
        ("17", Some("GB-neso-17")),
        ("E1", Some("GB-neso-E1")),
        ("M15", Some("GB-neso-M15")),
        ("sw1a", Some("GB-neso-SW1A")),
        ("0", None),
        ("18", None),
        ("300", None),
        ("-1", None),
        ("UK", None),
        ("FR", None),
        ("RG100", None),
        ("RG10/..", None),
        ("É1", None),
        ("ABC1", None),
        ("GB-neso-13", None),
    ] {
        assert_eq!(Area::new(zone).map(|area| area.to_string()).as_deref(), label, "{zone}");
    }
}

#[test]
fn entries_that_do_not_fit_are_refused() {
    let refusal = |change: &dyn Fn(&mut Source)| {
        let mut source = at("GB").source;
        change(&mut source);
        Neso::new(&source, Surroundings::default()).unwrap_err().key
    };
    assert_eq!(refusal(&|source| source.zone = Some("DE".into())), "zone");
    assert_eq!(refusal(&|source| source.token_file = Some("key".into())), "token_file");
    assert_eq!(refusal(&|source| source.basis = Some(Basis::Lifecycle)), "basis");
    assert_eq!(refusal(&|source| source.interval = Some(Duration::from_secs(60))), "interval");
    let around = Surroundings { zone: Some("GB"), ..Surroundings::default() };
    let source = Neso::new(&Source::new(ProviderKind::Neso), around).unwrap();
    assert_eq!(source.pace().period, PERIOD);
    assert_eq!(source.address, "https://api.carbonintensity.org.uk");
}

#[test]
fn any_body_is_borne() {
    at("GB").check_any_body(&[PAST_DAY, AHEAD]);
    at("13").check_any_body(&[REGION]);
    at("RG10").check_any_body(&[REGION]);
}
