use std::time::UNIX_EPOCH;

use proptest::prelude::{any, prop, proptest};
use tempfile::TempDir;

use super::*;
use crate::carbon::providers::harness::own::{NOW, entry, failure, fetch, problem, slots};

fn source(directory: &TempDir) -> Source {
    let mut source = entry(ProviderKind::File);
    source.path = Some(directory.path().join("intensity"));
    source
}

/// Writes the file, so many seconds after [`NOW`].
fn write(source: &Source, content: &str, after: i64) {
    let path = source.path.as_ref().unwrap();
    std::fs::write(path, content).unwrap();
    let seconds = i64::try_from(NOW.as_millis() / 1000).unwrap() + after;
    let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap());
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_number_holds_from_the_files_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = source(&directory);
    write(&source, " 310.5\n", -600);
    let fetched = fetch(&source).unwrap();
    assert_eq!(slots(&fetched), [(-600, 3000, 310.5, "measured")]);
    let series = &fetched.series[0];
    assert_eq!((&*series.provider, &*series.zone), ("file", "FR"));
    assert_eq!(series.fetched_at, NOW.before(Duration::from_secs(600)));

    (source.step, source.unit) = (Some(Duration::from_secs(120)), IntensityUnit::TonnesPerMwh);
    write(&source, "0.25", -600);
    assert_eq!(slots(&fetch(&source).unwrap()), [(-600, -480, 250.0, "measured")]);
    write(&source, "0.25", 5000);
    assert_eq!(slots(&fetch(&source).unwrap()), [(0, 120, 250.0, "measured")], "the writer's clock is ahead");
    write(&source, "0.25", -200_000);
    assert_eq!(failure(&source).0, FetchResult::Empty);
}

#[test]
fn the_own_format_has_slots_with_their_quality() {
    let directory = tempfile::tempdir().unwrap();
    let source = source(&directory);
    let body = r#"[
        {"start": "2027-01-15T09:00:00Z", "end": "2027-01-15T10:00:00Z", "grams_per_kwh": 90, "quality": "measured"},
        {"start": "2027-01-15T07:00:00Z", "end": "2027-01-15T08:00:00Z", "grams_per_kwh": 70, "quality": "estimated"},
        {"start": 1800000000, "end": 1800003600, "grams_per_kwh": 80},
        {"start": 1799992800, "end": 1799996400, "grams_per_kwh": 60, "quality": "forecast"},
        {"start": 1799989200, "end": 1799992800, "grams_per_kwh": 50, "quality": "guessed"}
    ]"#;
    write(&source, body, 0);
    let fetched = fetch(&source).unwrap();
    let expected = [
        (-7200, -3600, 60.0, "forecast"),
        (-3600, 0, 70.0, "estimated"),
        (0, 3600, 80.0, "measured"),
        (3600, 7200, 90.0, "forecast"),
    ];
    assert_eq!(slots(&fetched), expected);
    let warning = "1 of 5 values are left out: \"guessed\" isn't measured, estimated or forecast";
    assert_eq!(fetched.warnings, [warning]);
}

#[test]
fn pointers_find_values_in_other_json() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = source(&directory);
    (source.value, source.unit) = (Some("/now/co2".to_owned()), IntensityUnit::PoundsPerMwh);
    write(&source, r#"{"now":{"co2":"100"}}"#, -60);
    assert_eq!(slots(&fetch(&source).unwrap()), [(-60, 3540, 45.359_237, "measured")]);
    // With a pointer, a bare number is a document like any other.
    write(&source, "100", -60);
    assert_eq!(failure(&source).0, FetchResult::Decode);
    source.value = Some(String::new());
    assert_eq!(slots(&fetch(&source).unwrap()), [(-60, 3540, 45.359_237, "measured")]);
}

#[test]
fn what_cannot_be_used_is_told_with_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let mut source = source(&directory);
    for (content, result, told) in [
        ("", FetchResult::Decode, "not JSON, or not all of it yet"),
        ("[{\"start\": 18000", FetchResult::Decode, "not all of it yet"),
        ("<html>", FetchResult::Decode, "not JSON"),
        ("{}", FetchResult::Decode, "must be one number, or a list"),
        ("null", FetchResult::Decode, "must be one number, or a list"),
        ("[]", FetchResult::Empty, "has no values"),
        ("-3", FetchResult::Decode, "-3 g/kWh isn't believable"),
        ("NaN", FetchResult::Decode, "NaN g/kWh isn't believable"),
    ] {
        write(&source, content, 0);
        let (kind, text) = failure(&source);
        assert_eq!(kind, result, "{content:?}");
        assert!(text.contains("/intensity: ") && text.contains(told), "{content:?}: {text}");
    }
    source.unit = IntensityUnit::KilogramsPerKwh;
    write(&source, r#"[{"start":1800000000,"end":1800003600,"grams_per_kwh":80}]"#, 0);
    assert!(failure(&source).1.ends_with("leave unit out"));

    source.path = Some(directory.path().to_owned());
    assert_eq!(failure(&source).0, FetchResult::File);
    source.path = Some(directory.path().join("pipe"));
    nix::unistd::mkfifo(source.path.as_ref().unwrap(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(failure(&source).0, FetchResult::File);
    source.path = Some(directory.path().join("none"));
    assert_eq!(failure(&source).0, FetchResult::File);
    source.path = Some(directory.path().join("huge"));
    std::fs::File::create(source.path.as_ref().unwrap()).unwrap().set_len(MAX_FILE + 1).unwrap();
    assert_eq!(failure(&source).0, FetchResult::TooLarge);
}

#[test]
fn an_entry_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let changed = |change: fn(&mut Source)| {
        let mut source = source(&directory);
        change(&mut source);
        problem(&source).0
    };
    assert_eq!(changed(|source| source.basis = None), "basis");
    assert_eq!(changed(|source| source.zone = None), "zone");
    assert_eq!(changed(|source| source.path = None), "path");
    assert_eq!(changed(|source| source.url = Some("http://host".to_owned())), "url");
    assert_eq!(changed(|source| source.ca_file = Some("/ca".into())), "ca_file");
    assert_eq!(changed(|source| source.token_file = Some("/token".into())), "token_file");
    assert_eq!(changed(|source| source.step = Some(Duration::ZERO)), "step");
    assert_eq!(changed(|source| source.interval = Some(Duration::from_millis(999))), "interval");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut source = entry(ProviderKind::File);
        source.path = Some("/nowhere".into());
        let plain = ValueFile::new(&source, Surroundings::default()).unwrap();
        let _ = plain.slots(&bytes, NOW, NOW);
        let list = [b"[{\"grams_per_kwh\":".as_slice(), &bytes, b"}]"].concat();
        let _ = plain.slots(&list, NOW, NOW);
    }
}
