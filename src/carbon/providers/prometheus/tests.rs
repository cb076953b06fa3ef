use super::*;
use crate::carbon::providers::harness::own::{NOW, check_answers, entry, failure, fetch, problem, slots};
use crate::carbon::providers::replay::{Replay, Reply};

const QUERY: &str = r#"grid_intensity{zone="FR"}"#;
/// 10 s before now.
const EVALUATED: &str = "1799999990.5";

fn source(server: &Replay) -> Source {
    let mut source = entry(ProviderKind::Prometheus);
    source.url = Some(format!("{}/prometheus/", server.url()));
    source.query = Some(QUERY.to_owned());
    source
}

fn success(data: &str) -> Reply {
    Reply::ok(format!(r#"{{"status":"success","data":{data}}}"#))
}

fn vector(values: &[&str]) -> Reply {
    let series = values.iter().map(|value| {
        format!(r#"{{"metric":{{"__name__":"grid_intensity","zone":"FR"}},"value":[{EVALUATED},"{value}"]}}"#)
    });
    let series = series.collect::<Vec<_>>().join(",");
    success(&format!(r#"{{"resultType":"vector","result":[{series}]}}"#))
}

#[test]
fn a_sample_holds_from_its_own_time() {
    let server = Replay::in_turn([vector(&["310"]), vector(&["1799999940"])]);
    let fetched = fetch(&source(&server)).unwrap();
    assert_eq!(slots(&fetched), [(-60, 240, 310.0, "measured")]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone, series.fetched_at), ("prometheus", "FR", NOW));
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.target).collect();
    let expected = [
        "/prometheus/api/v1/query?query=grid_intensity%7Bzone%3D%22FR%22%7D",
        "/prometheus/api/v1/query?query=timestamp%28grid_intensity%7Bzone%3D%22FR%22%7D%29",
    ];
    assert_eq!(asked, expected);
}

#[test]
fn an_old_sample_is_simply_in_the_past() {
    let server = Replay::in_turn([vector(&["310"]), vector(&["1799989200"])]);
    assert_eq!(slots(&fetch(&source(&server)).unwrap()), [(-10_800, -10_500, 310.0, "measured")]);
    let server = Replay::in_turn([vector(&["310"]), vector(&["1000"])]);
    assert_eq!(failure(&source(&server)).0, FetchResult::Empty);
}

#[test]
fn without_a_time_of_its_own_it_holds_from_the_evaluation() {
    let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    let server = Replay::in_turn([vector(&["310"]), Reply::status(400, error)]);
    let fetched = fetch(&source(&server)).unwrap();
    assert_eq!(slots(&fetched), [(-10, 290, 310.0, "measured")]);
    let [warning] = &fetched.warnings[..] else { panic!("{:?}", fetched.warnings) };
    assert!(warning.contains("own time isn't known") && warning.contains("parse error"), "{warning}");

    let scalar = format!(r#"{{"resultType":"scalar","result":[{EVALUATED},"0.31"]}}"#);
    let server = Replay::in_turn([success(&scalar)]);
    let mut source = source(&server);
    (source.unit, source.step) = (IntensityUnit::KilogramsPerKwh, Some(Duration::from_secs(60)));
    assert_eq!(slots(&fetch(&source).unwrap()), [(-10, 50, 310.0, "measured")]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_clock_that_is_ahead_gives_no_value_of_the_future() {
    let server = Replay::in_turn([vector(&["310"]), vector(&["1800000300"])]);
    assert_eq!(slots(&fetch(&source(&server)).unwrap()), [(0, 300, 310.0, "measured")]);
    let server = Replay::in_turn([vector(&["310"]), vector(&["1800000301"])]);
    assert_eq!(fetch(&source(&server)).unwrap_err().result, FetchResult::Decode);
}

#[test]
fn anything_but_one_finite_number_is_refused() {
    let histogram = r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}"#;
    let matrix = r#"{"resultType":"matrix","result":[{"metric":{},"values":[]}]}"#;
    for (reply, result, told) in [
        (vector(&[]), FetchResult::Empty, "no result"),
        (vector(&["NaN"]), FetchResult::Empty, "the value is NaN"),
        (vector(&["+Inf"]), FetchResult::Empty, "the value is inf"),
        (vector(&["-Inf"]), FetchResult::Empty, "the value is -inf"),
        (vector(&["1", "2", "3"]), FetchResult::Decode, "gives 3 series, but it must give one"),
        (vector(&["many"]), FetchResult::Decode, "\"many\" isn't a number"),
        (vector(&["-4"]), FetchResult::Decode, "-4 g/kWh isn't believable"),
        (success(histogram), FetchResult::Decode, "histogram"),
        (success(matrix), FetchResult::Decode, "no instant vector and no scalar"),
        (success(r#"{"resultType":"string","result":[1,"x"]}"#), FetchResult::Decode, "no instant vector"),
        (success("null"), FetchResult::Decode, "no data"),
        (success(r#"{"resultType":"vector","result":[{"value":[null,null]}]}"#), FetchResult::Decode, "JSON"),
    ] {
        let server = Replay::in_turn([reply, vector(&["1799999990"])]);
        let (kind, text) = failure(&source(&server));
        assert_eq!(kind, result, "{text}");
        assert!(text.starts_with("http://127.0.0.1:") && text.contains(told), "{text}");
    }
}

#[test]
fn the_servers_own_words_are_told() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\":\n1:5: parse error"}"#;
    for (status, result) in [
        (200, FetchResult::Rejected),
        (400, FetchResult::Rejected),
        (422, FetchResult::Rejected),
        (503, FetchResult::Server),
    ] {
        let server = Replay::in_turn([Reply::status(status, body)]);
        let (kind, text) = failure(&source(&server));
        assert_eq!(kind, result, "{status}");
        assert!(text.ends_with(r#"/query: bad_data: invalid parameter "query": 1:5: parse error"#), "{text}");
    }
}

#[test]
fn warnings_are_passed_on() {
    let body = format!(
        r#"{{"status":"success","warnings":["partial response"],"data":{{"resultType":"scalar","result":[{EVALUATED},"3"]}}}}"#
    );
    let server = Replay::in_turn([Reply::ok(body)]);
    assert_eq!(fetch(&source(&server)).unwrap().warnings, ["partial response"]);
}

#[test]
fn no_answer_is_taken_for_another() {
    let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1799999990.5,"31"]}}"#;
    let vector = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1799999990,"31"]}]}}"#;
    check_answers(&source(&Replay::in_turn([])), &[scalar, vector]);
}

#[test]
fn an_entry_is_checked() {
    let server = Replay::in_turn([]);
    let changed = |change: fn(&mut Source)| {
        let mut source = source(&server);
        change(&mut source);
        problem(&source).0
    };
    assert_eq!(changed(|source| source.basis = None), "basis");
    assert_eq!(changed(|source| source.zone = None), "zone");
    assert_eq!(changed(|source| source.url = None), "url");
    assert_eq!(changed(|source| source.url = Some("http://host/?a=b".to_owned())), "url");
    assert_eq!(changed(|source| source.query = None), "query");
    assert_eq!(changed(|source| source.query = Some(" ".to_owned())), "query");
    assert_eq!(changed(|source| source.value = Some("/v".to_owned())), "value");
    assert_eq!(changed(|source| source.step = Some(Duration::ZERO)), "step");
    assert_eq!(changed(|source| source.interval = Some(Duration::from_secs(14))), "interval");
}
