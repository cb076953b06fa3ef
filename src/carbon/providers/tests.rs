use super::*;
use crate::config::ProviderKind;

#[test]
fn times_with_an_offset_are_read_and_all_others_refused() {
    for (text, seconds) in [
        ("2018-01-20T12:00Z", 1_516_449_600_000),
        ("2018-01-20T12:00:00Z", 1_516_449_600_000),
        ("2018-01-20T14:00:00+02:00", 1_516_449_600_000),
        ("2018-01-20T14:00+02:00", 1_516_449_600_000),
        ("2018-01-20T05:30:00-06:30", 1_516_449_600_000),
        ("2018-01-20T12:00:00.250Z", 1_516_449_600_250),
        ("2018-01-20T12:00:00.123456789Z", 1_516_449_600_123),
        ("2018-01-20T12:00:00.000+00:00", 1_516_449_600_000),
        // The leap second at the end of 2016 is the second before it.
        ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ("2017-01-01T00:00Z", 1_483_228_800_000),
        ("2016-12-31T23:30:00-01:00", 1_483_230_600_000),
        ("2024-02-29T00:00Z", 1_709_164_800_000),
        ("1970-01-01T00:00Z", 0),
    ] {
        assert_eq!(time(text), Some(UnixTime::from_millis(seconds)), "{text}");
    }
    for text in [
        "",
        "now",
        "2018-01-20",
        "2018-01-20T12:00",
        "2018-01-20T12:00:00",
        "2018-01-20T25:00Z",
        "2018-02-30T12:00Z",
        "2023-02-29T00:00Z",
        "2018-01-20T12:00Zebra",
        "1969-12-31T23:59:59Z",
        "1516449600",
        "2018-01-20T12:00+99:00",
        "\u{0}",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn times_are_written_in_utc() {
    let minutes = "%Y-%m-%dT%H:%MZ";
    assert_eq!(utc(UnixTime::from_seconds(1_483_228_799), minutes), "2016-12-31T23:59Z");
    assert_eq!(time(&utc(UnixTime::from_seconds(1_483_228_800), minutes)), time("2017-01-01T00:00Z"));
    assert_eq!(utc(UnixTime::MAX, "%Y"), "9999");
}

#[test]
fn keys_that_would_be_ignored_are_refused() {
    let mut source = Source::new(ProviderKind::Rte);
    source.zone = Some("FR".into());
    source.url = Some("http://127.0.0.1/".into());
    source.ca_file = Some("ca.pem".into());
    source.interval = Some(Duration::from_secs(3_600));
    assert_eq!(refuse(&source, &[]), Ok(()));
    source.token_file = Some("token".into());
    source.unit = IntensityUnit::PoundsPerMwh;
    let key = |used: &[&str]| refuse(&source, used).map_err(|error| error.key);
    assert_eq!(key(&[]), Err("token_file"));
    assert_eq!(key(&["token_file"]), Err("unit"));
    assert_eq!(key(&["token_file", "unit"]), Ok(()));
    let text = refuse(&source, &[]).unwrap_err().to_string();
    assert_eq!(text, "token_file: the provider rte has no use for it: remove it");
}

#[test]
fn every_optional_key_is_looked_at() {
    let all = serde_json::to_value(Source {
        zone: None,
        basis: Some(Basis::Direct),
        token_file: Some("a".into()),
        user: Some("a".into()),
        password_file: Some("a".into()),
        header: Some("a".into()),
        query: Some("a".into()),
        path: Some("a".into()),
        items: Some("a".into()),
        value: Some("a".into()),
        start: Some("a".into()),
        end: Some("a".into()),
        estimated: Some("a".into()),
        step: Some(Duration::from_secs(1)),
        unit: IntensityUnit::PoundsPerMwh,
        ..Source::new(ProviderKind::Rte)
    })
    .unwrap();
    let mut looked_at = 0;
    for (key, value) in all.as_object().unwrap() {
        if key == "provider" || value.is_null() {
            continue;
        }
        let alone = serde_json::json!({"provider": "rte", key: value});
        let source: Source = serde_json::from_value(alone).unwrap();
        assert_eq!(refuse(&source, &[]).unwrap_err().key, key);
        looked_at += 1;
    }
    assert_eq!(looked_at, 14);
}

#[test]
fn the_zone_is_the_sources_own_or_the_nodes() {
    let mut source = Source::new(ProviderKind::Neso);
    let around = Surroundings { zone: Some("GB"), ..Surroundings::default() };
    assert_eq!(zone(&source, around), Ok("GB"));
    assert_eq!(zone(&source, Surroundings::default()).unwrap_err().key, "zone");
    source.zone = Some(" 13 ".into());
    assert_eq!(zone(&source, around), Ok("13"));
    for bad in ["", " ", "a b", "a\nb"] {
        source.zone = Some(bad.into());
        assert_eq!(zone(&source, around).unwrap_err().key, "zone", "{bad:?}");
    }
}

#[test]
fn sources_of_one_country_need_no_zone() {
    let at = |kind, zone| {
        let around = Surroundings { zone, ..Surroundings::default() };
        build(&Source::new(kind), around).map(|provider| provider.zone()).map_err(|error| error.key)
    };
    for (kind, zone) in [(ProviderKind::Neso, "GB"), (ProviderKind::Rte, "FR")] {
        assert_eq!(at(kind, None), Ok(zone.into()));
        assert_eq!(at(kind, Some(zone)), Ok(zone.into()));
        for other in ["DE", ""] {
            assert_eq!(at(kind, Some(other)), Err("zone"), "{other:?}");
        }
    }
    assert_eq!(at(ProviderKind::EnergyCharts, None), Err("zone"));
}

#[test]
fn addresses_are_plain_web_addresses() {
    let mut source = Source::new(ProviderKind::Neso);
    let at = |source: &Source| address(source, "https://example.org/v4");
    assert_eq!(at(&source).as_deref(), Ok("https://example.org/v4"));
    for (url, expected) in [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        (" https://relay.example.org/a/b// ", "https://relay.example.org/a/b"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ] {
        source.url = Some(url.into());
        assert_eq!(at(&source).as_deref(), Ok(expected), "{url}");
    }
    for url in [
        "",
        "example.org",
        "/path",
        "ftp://example.org",
        "file:///etc/passwd",
        "https://",
        "https://me:hunter2@example.org",
        "https://hunter2@example.org/",
        "https://example.org/?key=hunter2",
        "https://example.org/#hunter2",
        "https://exa mple.org/hunter2",
        "https://example.org:port/hunter2",
    ] {
        source.url = Some(url.into());
        let error = at(&source).unwrap_err();
        assert_eq!(error.key, "url", "{url}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    assert_eq!(web_address("https://example.org/{zone}?q=1"), Ok("https://example.org/{zone}?q=1"));
}

#[test]
fn an_interval_below_the_shortest_is_refused() {
    let (period, shortest) = (Duration::from_secs(1_800), Duration::from_secs(300));
    let mut source = Source::new(ProviderKind::Neso);
    let floor = Duration::from_secs(60);
    assert_eq!(pace(&source, period, shortest), Ok(Pace { period, floor }));
    source.interval = Some(shortest);
    assert_eq!(pace(&source, period, shortest), Ok(Pace { period: shortest, floor }));
    let second = Duration::from_secs(1);
    assert_eq!(pace(&source, period, second), Ok(Pace { period: shortest, floor: second }));
    source.interval = Some(Duration::from_secs(299));
    let error = pace(&source, period, shortest).unwrap_err();
    assert_eq!(error.to_string(), "interval: neso bears 5m or more");
}
