use serde_json::json;

use super::*;
use crate::carbon::grid::SourceState;
use crate::carbon::providers::harness::own::{NOW, check_answers, entry, failure, fetch, problem, slots};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::carbon::series::{Series, SlotQuality};
use crate::config::ProviderKind;
use crate::units::GramsPerKwh;

const HOUR: Duration = Duration::from_secs(3600);

/// A series that was fetched 20 minutes ago.
fn made(provider: &str, zone: &str, signal: Signal) -> Arc<GridSeries> {
    let slot = |start: UnixTime, grams, quality| Slot {
        start,
        end: start.after(HOUR),
        intensity: GramsPerKwh(grams),
        quality,
    };
    let slots = [slot(NOW, 50.0, SlotQuality::Measured), slot(NOW.after(HOUR), 60.0, SlotQuality::Forecast)];
    Arc::new(GridSeries {
        provider: provider.into(),
        zone: zone.into(),
        signal,
        accounting: "consumption".into(),
        fetched_at: NOW.before(HOUR / 3),
        slots: Series::new(slots),
    })
}

fn serving(series: &[Arc<GridSeries>]) -> Replay {
    replies(&serde_json::to_value(Document::new(series, NOW)).unwrap())
}

fn replies(body: &Value) -> Replay {
    let body = body.to_string();
    Replay::new(move |_| Some(Reply::ok(body.clone())))
}

fn source(server: &Replay) -> Source {
    let mut source = entry(ProviderKind::Relay);
    source.url = Some(server.url());
    source
}

/// A document with one good series, to be spoilt.
fn document() -> Value {
    serde_json::to_value(Document::new(&[made("rte", "FR", Signal::AverageDirect)], NOW)).unwrap()
}

#[test]
fn what_is_served_comes_out_as_it_went_in() {
    let served = made("rte", "FR", Signal::AverageDirect);
    let server = serving(&[Arc::clone(&served)]);
    let fetched = fetch(&source(&server)).unwrap();
    assert_eq!(fetched, Fetched { series: vec![GridSeries::clone(&served)], warnings: Vec::new() });
    assert_eq!(server.asked()[0].target, "/api/v1/grid");
}

#[test]
fn only_its_zone_and_kind_of_figure_are_taken() {
    let all = [
        made("rte", "FR", Signal::AverageDirect),
        made("electricity_maps", "FR", Signal::AverageLifecycle),
        made("watttime", "FR", Signal::Marginal),
        made("neso", "GB", Signal::AverageDirect),
    ];
    let server = serving(&all);
    let taken = |source: &Source| {
        let fetched = fetch(source).unwrap();
        fetched.series.iter().map(|series| series.provider.to_string()).collect::<Vec<_>>()
    };
    let mut source = source(&server);
    assert_eq!(taken(&source), ["rte", "watttime"]);
    source.zone = Some("fr".to_owned());
    assert_eq!(taken(&source), ["rte", "watttime"]);
    source.basis = None;
    assert_eq!(taken(&source), ["electricity_maps", "watttime"], "life-cycle figures unless told");
    // The only zone on this basis needs no naming.
    source.zone = None;
    assert_eq!(taken(&source), ["electricity_maps", "watttime"]);
    source.basis = Some(Basis::Direct);
    let (kind, text) = failure(&source);
    assert_eq!(kind, FetchResult::ZoneMismatch);
    assert!(text.ends_with("several zones (FR, GB): set zone to one of them"), "{text}");
}

#[test]
fn the_nodes_own_zone_and_basis_are_asked_for() {
    let all = [made("rte", "FR", Signal::AverageDirect), made("neso", "GB", Signal::AverageDirect)];
    let server = serving(&all);
    let mut source = Source::new(ProviderKind::Relay);
    source.url = Some(server.url());
    let around = Surroundings { zone: Some("GB"), basis: Some(Basis::Direct), credentials: None };
    let mut relay = Relay::new(&source, around).unwrap();
    assert_eq!((&*relay.zone(), relay.signal()), ("GB", Signal::AverageDirect));
    let fetched = relay.fetch(&HttpClient::new(None).unwrap(), NOW).unwrap();
    assert_eq!(fetched.series, [GridSeries::clone(&all[1])]);
}

#[test]
fn a_relay_without_what_is_wanted_says_what_it_has() {
    let zones: Vec<_> = (10..40).map(|n| made("x", &format!("Z{n}"), Signal::AverageDirect)).collect();
    let (kind, text) = failure(&source(&serving(&zones)));
    assert_eq!(kind, FetchResult::ZoneMismatch);
    assert!(text.contains("nothing for FR; it has Z10, Z11, ") && text.ends_with("Z19, ..."), "{text}");

    let other = [made("electricity_maps", "FR", Signal::AverageLifecycle)];
    let mut wanted = source(&serving(&other));
    let (kind, text) = failure(&wanted);
    assert_eq!(kind, FetchResult::Empty);
    assert!(text.ends_with("no direct figures for FR, only lifecycle"), "{text}");
    wanted.zone = None;
    assert_eq!(failure(&wanted), (kind, text));

    let (kind, text) = failure(&source(&serving(&[])));
    assert!(kind == FetchResult::Empty && text.ends_with("has no live series with values"), "{text}");
}

#[test]
fn data_keeps_its_age_over_any_number_of_hops() {
    let origin = made("rte", "FR", Signal::AverageDirect);
    let mut held = SourceState::new("relay", "FR".into());
    held.series = vec![Arc::clone(&origin)];
    // A relay that asks itself, directly or through others, gets back what it serves.
    for hop in 1..=3 {
        let now = NOW.after(HOUR * hop);
        let server = serving(&held.series);
        let mut relay = Relay::new(&source(&server), Surroundings::default()).unwrap();
        for series in relay.fetch(&HttpClient::new(None).unwrap(), now).unwrap().series {
            held.take(series, now);
        }
        assert_eq!(held.series, [Arc::clone(&origin)], "after {hop} h");
    }
}

#[test]
fn of_two_relays_the_one_that_is_behind_takes_nothing_back() {
    let newer = made("rte", "FR", Signal::AverageDirect);
    let mut older = GridSeries::clone(&newer);
    older.fetched_at = newer.fetched_at.before(HOUR);
    let stale = |slot: &Slot| Slot { intensity: GramsPerKwh(1.0), ..*slot };
    older.slots = Series::new(newer.slots.slots().iter().map(stale));
    // Asked in turn.
    let mut held = SourceState::new("relay", "FR".into());
    for series in [&*newer, &older, &*newer, &older] {
        held.take(series.clone(), NOW);
        assert_eq!(held.series, [Arc::clone(&newer)]);
    }
    // Both behind a third one, in either order.
    for both in [[Arc::clone(&newer), Arc::new(older.clone())], [Arc::new(older.clone()), Arc::clone(&newer)]]
    {
        let served = serde_json::to_value(Document::new(&both, NOW)).unwrap();
        assert_eq!(served, serde_json::to_value(Document::new(&[Arc::clone(&newer)], NOW)).unwrap());
    }
}

#[test]
fn the_far_past_is_not_passed_on() {
    let series = made("rte", "FR", Signal::AverageDirect);
    let of = |now| {
        let document = Document::new(std::slice::from_ref(&series), now);
        document.series.iter().map(|series| series.slots.slots().len()).collect::<Vec<_>>()
    };
    assert_eq!([of(NOW), of(NOW.after(HOUR * 7)), of(NOW.after(HOUR * 8))], [vec![2], vec![1], vec![]]);
}

#[test]
fn a_clock_that_is_ahead_makes_nothing_newer_than_now() {
    let mut document = document();
    document["series"][0]["fetched_unix_ms"] = json!(1_800_000_500_000_u64);
    assert_eq!(fetch(&source(&replies(&document))).unwrap().series[0].fetched_at, NOW);
}

#[test]
fn a_newer_relay_is_understood_or_says_so() {
    let mut document = document();
    document["origin"] = json!("other");
    document["series"][0]["licence"] = json!("open");
    document["series"][0]["slots"][0]["low"] = json!(1);
    assert_eq!(fetch(&source(&replies(&document))).unwrap().series.len(), 1);
    document["version"] = json!(2);
    document["series"] = json!({ "by": "zone" });
    let (kind, text) = failure(&source(&replies(&document)));
    assert_eq!(kind, FetchResult::Decode);
    assert!(text.contains("version 2 of /api/v1/grid, this wattprint version 1: upgrade"), "{text}");
}

#[test]
fn every_slot_is_checked_again() {
    for (key, value, told) in [
        ("grams_per_kwh", json!(-5), "-5 g/kWh isn't believable"),
        ("grams_per_kwh", json!(1e9), "isn't believable"),
        ("end_unix_ms", json!(1_800_000_000_000_u64), "it ends before it starts"),
        ("end_unix_ms", json!(-1), "invalid value"),
        ("quality", json!("sworn"), "unknown variant"),
    ] {
        let mut document = document();
        document["series"][0]["slots"][0][key] = value.clone();
        let fetched = fetch(&source(&replies(&document))).unwrap();
        assert_eq!(slots(&fetched), [(3600, 7200, 60.0, "forecast")], "{key} = {value}");
        let [warning] = &fetched.warnings[..] else { panic!("{:?}", fetched.warnings) };
        assert!(warning.starts_with("rte for FR: ") && warning.contains(told), "{warning}");
    }
    let mut unknown = document();
    unknown["series"][0]["slots"][0]["grams_per_kwh"] = json!(null);
    let fetched = fetch(&source(&replies(&unknown))).unwrap();
    assert_eq!(slots(&fetched), [(3600, 7200, 60.0, "forecast")]);
    assert_eq!(fetched.warnings, [""; 0], "not to know is no fault");
    let slot = |start: u64, end: u64, grams: u64| {
        json!({ "start_unix_ms": NOW.as_millis() + start * 1000, "end_unix_ms": NOW.as_millis() + end * 1000,
            "grams_per_kwh": grams, "quality": "measured" })
    };
    let mut document = document();
    document["series"][0]["slots"] = json!([slot(200, 300, 3), slot(0, 300, 1), slot(200, 300, 2)]);
    let expected = [(0, 200, 1.0, "measured"), (200, 300, 2.0, "measured")];
    assert_eq!(slots(&fetch(&source(&replies(&document))).unwrap()), expected);
}

#[test]
fn a_bad_series_does_not_spoil_the_others() {
    for (key, value) in [
        ("provider", json!("")),
        ("zone", json!("x".repeat(101))),
        ("zone", json!("F\nR")),
        ("accounting", json!("\u{1b}[31m")),
        ("signal", json!("guess")),
        ("fetched_unix_ms", json!(null)),
        ("slots", json!({})),
        ("slots", json!([])),
        ("slots", json!(null)),
    ] {
        let mut document = document();
        let mut bad = document["series"][0].clone();
        bad[key] = value.clone();
        document["series"].as_array_mut().unwrap().insert(0, bad);
        document["series"].as_array_mut().unwrap().push(json!(7));
        let fetched = fetch(&source(&replies(&document))).unwrap();
        assert_eq!(fetched.series.len(), 1, "{key} = {value}");
        assert_eq!(fetched.warnings.len(), 2, "{key} = {value}: {:?}", fetched.warnings);
        let lines = fetched.warnings.iter();
        assert!(lines.clone().all(|line| line.len() < 300 && !line.contains(char::is_control)), "{lines:?}");
    }
}

#[test]
fn no_answer_is_taken_for_another() {
    check_answers(&source(&Replay::in_turn([])), &[&document().to_string()]);
    let (kind, _) = failure(&source(&replies(&json!({ "version": 1 }))));
    assert_eq!(kind, FetchResult::Decode);
}

#[test]
fn an_entry_is_checked() {
    let server = serving(&[]);
    let changed = |change: fn(&mut Source)| {
        let mut source = source(&server);
        change(&mut source);
        problem(&source).0
    };
    assert_eq!(changed(|source| source.url = None), "url");
    assert_eq!(changed(|source| source.url = Some("relay:10125".to_owned())), "url");
    assert_eq!(changed(|source| source.zone = Some("F R".to_owned())), "zone");
    assert_eq!(changed(|source| source.query = Some("up".to_owned())), "query");
    assert_eq!(changed(|source| source.interval = Some(Duration::from_secs(59))), "interval");
}
