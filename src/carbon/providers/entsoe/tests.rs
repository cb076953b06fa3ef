use tempfile::TempDir;

use super::*;
use crate::carbon::providers::replay::{Replay, Reply};
use crate::carbon::providers::{harness, time};
use crate::carbon::series::SlotQuality;
use crate::config::ProviderKind;

const TOKEN: &str = "11111111-2222-3333-4444-5555+6666";

fn at(text: &str) -> UnixTime {
    time(text).unwrap()
}

/// A source of a zone, and the folder of its token.
fn made(server: &Replay, zone: &str) -> (Entsoe, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), TOKEN).unwrap();
    let around = Surroundings { credentials: Some(folder.path()), ..Surroundings::default() };
    (Entsoe::new(&source(&server.url(), zone), around).unwrap(), folder)
}

fn source(url: &str, zone: &str) -> Source {
    Source {
        zone: Some(zone.to_owned()),
        url: Some(url.to_owned()),
        token_file: Some("token".into()),
        ..Source::new(ProviderKind::Entsoe)
    }
}

fn fetch(server: &Replay) -> Result<Fetched, FetchError> {
    made(server, "FR").0.fetch(&HttpClient::new(None)?, at("2026-10-01T07:12:34Z"))
}

fn series(psr_type: &str, eic: &str, points: &[(u32, &str)]) -> String {
    let points: String = points
        .iter()
        .map(|(position, quantity)| {
            format!("<Point><position>{position}</position><quantity>{quantity}</quantity></Point>")
        })
        .collect();
    format!(
        "<TimeSeries><inBiddingZone_Domain.mRID codingScheme='A01'>{eic}</inBiddingZone_Domain.mRID>\
         <curveType>A01</curveType><MktPSRType><psrType>{psr_type}</psrType></MktPSRType><Period><timeInterval>\
         <start>2026-10-01T06:00Z</start><end>2026-10-01T07:00Z</end></timeInterval>\
         <resolution>PT15M</resolution>{points}</Period></TimeSeries>"
    )
}

fn document(series: &[String]) -> String {
    let series = series.concat();
    format!(
        "<?xml version='1.0' encoding='UTF-8'?><GL_MarketDocument xmlns='urn:x'>{series}</GL_MarketDocument>"
    )
}

fn acknowledgement(text: &str) -> String {
    let reason = format!("<Reason><code>999</code><text>{text}</text></Reason>");
    format!("<Acknowledgement_MarketDocument xmlns='urn:y'>{reason}</Acknowledgement_MarketDocument>")
}

const FR: &str = "10YFR-RTE------C";
const NO_DATA: &str = "No matching data found for Data item ACTUAL_GENERATION";

#[test]
fn a_mix_becomes_an_estimated_intensity_over_the_life_cycle() {
    let nuclear = series("B14", FR, &[(2, "300"), (1, "300"), (3, "400")]);
    let gas = series("B04", FR, &[(1, "100"), (2, "0")]);
    let body = document(&[nuclear, gas]);
    let server = Replay::in_turn([Reply::ok(body)]);
    let fetched = fetch(&server).unwrap();
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, &*series.accounting), ("entsoe", "FR", "production"));
    assert_eq!(series.signal, Signal::AverageLifecycle);
    let found: Vec<_> = series
        .slots
        .slots()
        .iter()
        .map(|slot| (slot.start, slot.end, slot.intensity.0, slot.quality))
        .collect();
    let quarter = |minute| at(&format!("2026-10-01T06:{minute:02}Z"));
    let estimated = SlotQuality::Estimated;
    // (300 x 12 + 100 x 490) / 400
    assert_eq!(
        found,
        [(quarter(0), quarter(15), 131.5, estimated), (quarter(15), quarter(30), 12.0, estimated)]
    );
    assert_eq!(fetched.warnings, ["left out 1 times for which there is no value yet of Fossil Gas"]);

    let target = &server.asked()[0].target;
    assert!(target.starts_with("/api?securityToken=11111111-2222-3333-4444-5555%2B6666&"), "{target}");
    let rest = "&documentType=A75&processType=A16&in_Domain=10YFR-RTE------C\
                &periodStart=202609300700&periodEnd=202610010800";
    assert!(target.ends_with(rest), "{target}");
}

#[test]
fn requests_are_in_utc_over_the_year_and_on_the_days_when_the_clocks_change() {
    let body = document(&[series("B14", FR, &[(1, "1")])]);
    let server = Replay::new(move |_| Some(Reply::ok(body.clone())));
    let (mut source, _folder) = made(&server, "FR");
    let http = HttpClient::new(None).unwrap();
    for (now, period) in [
        ("2026-12-31T23:59:59Z", "&periodStart=202612302300&periodEnd=202701010000"),
        ("2027-01-01T00:00:00Z", "&periodStart=202612310000&periodEnd=202701010100"),
        ("2026-10-25T01:30:00Z", "&periodStart=202610240100&periodEnd=202610250200"),
    ] {
        // What the platform says holds whatever the node's clock says.
        let fetched = source.fetch(&http, at(now)).unwrap();
        assert_eq!(fetched.series[0].slots.slots()[0].start, at("2026-10-01T06:00Z"));
        assert!(server.asked().last().unwrap().target.ends_with(period), "{now}");
    }
}

#[test]
fn an_answer_about_another_zone_is_refused() {
    let body = document(&[series("B14", FR, &[(1, "1")]), series("B04", "10YES-REE------0", &[(1, "1")])]);
    let error = fetch(&Replay::in_turn([Reply::ok(body)])).unwrap_err();
    assert_eq!(error.result, FetchResult::ZoneMismatch);
    assert!(error.text.contains("10YES-REE------0") && error.text.contains("/api: "), "{error}");
}

#[test]
fn no_values_are_empty_and_rubbish_is_not_understood() {
    for (reply, result, part) in [
        (Reply::ok(document(&[])), FetchResult::Empty, "no values"),
        (Reply::ok(document(&[series("B14", FR, &[])])), FetchResult::Empty, "no values"),
        (Reply::ok(document(&[series("B14", FR, &[(1, "x")])])), FetchResult::Decode, "left out 1 outputs"),
        (Reply::ok(document(&[series("B14", FR, &[(1, "0")])])), FetchResult::Empty, "believable generation"),
        (Reply::ok(document(&[series("B20", FR, &[(1, "9")])])), FetchResult::Empty, "factor: Other"),
        (Reply::ok(acknowledgement(NO_DATA)), FetchResult::Empty, "No matching data"),
        (Reply::status(400, acknowledgement(NO_DATA)), FetchResult::Empty, "HTTP 400: No matching data"),
        (Reply::ok(acknowledgement("Area is not valid")), FetchResult::Rejected, "Area is not valid"),
        (Reply::status(400, acknowledgement("Area is not valid")), FetchResult::Rejected, "not valid"),
        (Reply::status(503, acknowledgement("Later")), FetchResult::Server, "HTTP 503: Later"),
        (Reply::ok("<html><body>Maintenance</body></html>"), FetchResult::Decode, "it is a html"),
    ] {
        let error = fetch(&Replay::in_turn([reply.clone()])).unwrap_err();
        assert_eq!(error.result, result, "{reply:?}: {error}");
        assert!(error.text.contains(part), "{error}");
    }
}

#[test]
fn failures_are_told_apart() {
    harness::check_statuses(fetch, &harness::STATUSES, Some(BAN));
    harness::check_not_data(fetch, &harness::NOT_DATA);
    harness::check_not_data(fetch, &["null", "[]", "{}"]);
    // A ban lasts 10 minutes, whatever shorter time the answer names.
    let short = Replay::in_turn([Reply::status(429, "").header("retry-after", "5")]);
    assert_eq!(fetch(&short).unwrap_err().retry_after, Some(BAN));
}

#[test]
fn the_token_is_never_shown() {
    let encoded = "11111111-2222-3333-4444-5555%2B6666";
    // The last body is cut off in the middle of the token.
    let bodies = [
        format!("Unauthorized. Invalid security token {TOKEN}"),
        format!("<a>GET /api?securityToken={encoded}&amp;x</a>"),
        acknowledgement(&format!("Invalid token {TOKEN}")),
        format!("{}{TOKEN}", "x".repeat(110)),
        format!("{}{encoded}", "x".repeat(90)),
    ];
    for body in bodies {
        for status in [200, 400, 401, 403, 500] {
            let server = Replay::in_turn([Reply::status(status, body.clone())]);
            let error = fetch(&server).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("1111") && !shown.contains("2222"), "{shown}");
        }
    }
    // Nobody answers there.
    let (mut source, _folder) = made(&Replay::in_turn([]), "FR");
    source.address = "http://127.0.0.1:1".to_owned();
    let error = source.fetch(&HttpClient::new(None).unwrap(), at("2026-10-01T07:00Z")).unwrap_err();
    assert_eq!(error.result, FetchResult::Network);
    assert!(!format!("{error:?} {source:?}").contains("1111"));
    let request = Request::new("http://a/api").query("securityToken", TOKEN);
    assert!(!format!("{request:?}").contains("1111"));
}

#[test]
fn the_token_is_read_anew_each_time() {
    let server = Replay::new(|_| Some(Reply::status(401, "")));
    let (mut source, folder) = made(&server, "FR");
    let http = HttpClient::new(None).unwrap();
    for (token, count) in [("first", 1), ("second", 2)] {
        std::fs::write(folder.path().join("token"), token).unwrap();
        source.fetch(&http, at("2026-10-01T07:00Z")).unwrap_err();
        let target = server.asked()[count - 1].target.clone();
        assert!(target.contains(&format!("securityToken={token}&")), "{target}");
    }
    std::fs::remove_file(folder.path().join("token")).unwrap();
    let error = source.fetch(&http, at("2026-10-01T07:00Z")).unwrap_err();
    assert_eq!((error.result, server.asked().len()), (FetchResult::File, 2));
}

#[test]
fn what_it_needs_must_be_there() {
    let url = "http://127.0.0.1:1";
    let around = Surroundings { zone: Some("SE-SE3"), ..Surroundings::default() };
    let made = Entsoe::new(&Source { zone: None, ..source(url, "") }, around).unwrap();
    assert_eq!((&*made.zone(), made.signal()), ("SE-SE3", Signal::AverageLifecycle));
    assert_eq!(made.pace().period, PERIOD);
    let raw = Entsoe::new(&source(url, "10YDE-ENBW-----N"), around).unwrap();
    assert_eq!(&*raw.zone(), "10YDE-ENBW-----N");
    for (source, key) in [
        (source(url, "US-CA"), "zone"),
        (Source { token_file: None, ..source(url, "FR") }, "token_file"),
        (Source { basis: Some(Basis::Direct), ..source(url, "FR") }, "basis"),
        (Source { user: Some("x".into()), ..source(url, "FR") }, "user"),
        (Source { interval: Some(Duration::from_secs(60)), ..source(url, "FR") }, "interval"),
    ] {
        assert_eq!(Entsoe::new(&source, around).unwrap_err().key, key);
    }
}
