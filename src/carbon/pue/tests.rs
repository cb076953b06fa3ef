use super::*;
use crate::carbon::providers::replay::{Replay, Reply};

const NOW: UnixTime = UnixTime::from_seconds(1_800_000_000);

fn settings(file: Option<&str>, url: Option<&str>, query: Option<&str>) -> Carbon {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    Carbon {
        pue_file: file.map(PathBuf::from),
        pue_url: owned(url),
        pue_query: owned(query),
        ..Carbon::default()
    }
}

fn read(settings: &Carbon) -> Result<Pue, FetchError> {
    let source = PueSource::from_settings(settings).unwrap().unwrap();
    source.read(&HttpClient::new(None).unwrap())
}

#[test]
fn file_and_query_exclude_each_other() {
    let url = "http://prometheus:9090";
    assert!(PueSource::from_settings(&Carbon::default()).unwrap().is_none());
    for (file, address, query, key) in [
        (Some("/pue"), Some(url), Some("pue"), "carbon.pue_url"),
        (Some("/pue"), Some(url), None, "carbon.pue_url"),
        (Some("/pue"), None, Some("pue"), "carbon.pue_query"),
        (None, None, Some("pue"), "carbon.pue_query"),
        (None, Some(url), None, "carbon.pue_url"),
        (None, Some(url), Some(" "), "carbon.pue_query"),
        (None, Some("prometheus"), Some("pue"), "carbon.pue_url"),
        (None, Some("http://me:hunter2@prometheus"), Some("pue"), "carbon.pue_url"),
        (None, Some("http://prometheus?x"), Some("pue"), "carbon.pue_url"),
    ] {
        let error = PueSource::from_settings(&settings(file, address, query)).unwrap_err();
        assert_eq!(error.key, key, "{file:?} {address:?} {query:?}");
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn a_file_holds_one_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pue");
    let settings = settings(path.to_str(), None, None);
    assert_eq!(read(&settings).unwrap_err().result, FetchResult::File);
    for (content, expected) in [
        ("1.25\n", Some(1.25)),
        (" 1 ", Some(1.0)),
        ("10", Some(10.0)),
        ("0.99", None),
        ("10.1", None),
        ("NaN", None),
        ("", None),
        ("1.2 1.3", None),
        ("pue 1.2", None),
    ] {
        std::fs::write(&path, content).unwrap();
        let read = read(&settings);
        assert_eq!(read.as_ref().ok().map(|pue| pue.0), expected, "{content:?}");
        if let Err(error) = read {
            assert_eq!(error.result, FetchResult::Decode, "{content:?}");
            assert!(error.text.contains(path.to_str().unwrap()), "{error}");
        }
    }
    std::fs::write(&path, "1.2".to_owned() + &" ".repeat(5000)).unwrap();
    assert_eq!(read(&settings).unwrap_err().result, FetchResult::TooLarge);
}

#[test]
fn a_query_gives_one_number() {
    let body = |value: &str| {
        let data = format!(
            r#"{{"resultType":"vector","result":[{{"metric":{{}},"value":[1800000000,"{value}"]}}]}}"#
        );
        Reply::ok(format!(r#"{{"status":"success","data":{data}}}"#))
    };
    let replies = [body("1.32"), body("0.5"), body("NaN"), Reply::status(503, "")];
    let server = Replay::in_turn(replies);
    let settings = settings(None, Some(&format!("{}/", server.url())), Some("avg(pue)"));
    assert_eq!(read(&settings), Ok(Pue(1.32)));
    let results = [(); 3].map(|()| read(&settings).unwrap_err().result);
    assert_eq!(results, [FetchResult::Decode, FetchResult::Empty, FetchResult::Server]);
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(asked, ["/api/v1/query?query=avg%28pue%29"; 4]);
}

#[test]
fn only_changes_are_noted_and_the_last_of_the_past_stays() {
    let hour = |n: u64| UnixTime::from_seconds(NOW.as_millis() / 1000 + 3600 * n);
    let mut state = GridState { pue_error: Some(FetchResult::File), ..GridState::default() };
    let mut noted = |at: u64, pue: f64| {
        note(&mut state, hour(at), Pue(pue));
        assert_eq!(state.pue_error, None);
        state.pue.iter().map(|step| (step.from.since(NOW).as_secs() / 3600, step.value.0)).collect::<Vec<_>>()
    };
    assert_eq!(noted(0, 1.2), [(0, 1.2)]);
    assert_eq!(noted(1, 1.2), [(0, 1.2)]);
    assert_eq!(noted(10, 1.3), [(0, 1.2), (10, 1.3)]);
    assert_eq!(noted(20, 1.2), [(0, 1.2), (10, 1.3), (20, 1.2)]);
    // 48 hours before hour 58 is hour 10: from there on all is known, with or without the first step.
    assert_eq!(noted(58, 1.2), [(0, 1.2), (10, 1.3), (20, 1.2)]);
    assert_eq!(noted(59, 1.2), [(10, 1.3), (20, 1.2)]);
    assert_eq!(noted(500, 1.2), [(20, 1.2)]);
    assert_eq!(noted(600, 1.4), [(20, 1.2), (600, 1.4)]);
    // The clock was set back: what was noted after that is forgotten.
    assert_eq!(noted(590, 1.2), [(20, 1.2)]);
    assert_eq!(noted(10, 1.5), [(10, 1.5)]);
}
