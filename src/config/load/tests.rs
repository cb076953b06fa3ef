use super::*;
use crate::config::{Basis, LogFormat};
use std::time::Duration;

fn from_text(text: &str) -> Result<Settings, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    load(Some(&path), [], &Vec::new())
}

fn message(text: &str) -> String {
    let message = from_text(text).unwrap_err().to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let settings = from_text("").unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.web.listen_address, [":10125"]);
    settings.validate().unwrap();
}

#[test]
fn every_kind_of_value_is_read() {
    let settings = from_text(
        r#"
        simulate = true
        [web]
        listen_address = ["127.0.0.1:1", ":2"]
        [sample]
        interval = "500ms"
        [limits]
        retention = 60
        [baseline]
        "intel-rapl:0" = 31.5
        package = 20
        [carbon]
        zone = "FR"
        basis = "direct"
        pue = 1.2
        [log]
        format = "json"
        "#,
    )
    .unwrap();
    assert!(settings.simulate);
    assert_eq!(settings.web.listen_address, ["127.0.0.1:1", ":2"]);
    assert_eq!(settings.sample.interval, Duration::from_millis(500));
    assert_eq!(settings.limits.retention, Duration::from_secs(60));
    assert_eq!(settings.baseline.get("intel-rapl:0"), Some(&31.5));
    assert_eq!(settings.baseline.get("package"), Some(&20.0));
    assert_eq!(settings.carbon.basis, Some(Basis::Direct));
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn the_environment_beats_the_file_and_flags_beat_both() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, "[carbon]\nzone = \"FR\"\npue = 1.1\n[sample]\ninterval = 2").unwrap();
    let environment = [
        ("WATTPRINT_CARBON__ZONE", "DE"),
        ("WATTPRINT_CARBON__PUE", "1.3"),
        ("WATTPRINT_WEB__LISTEN_ADDRESS", ":1,:2"),
        ("WATTPRINT_PORT_10125_TCP", "tcp://10.0.0.1:10125"),
        ("WATTPRINT_SERVICE_HOST", "10.0.0.1"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let flags = vec![("carbon.zone".to_owned(), Value::from("SE"))];
    let settings = load(Some(&path), environment, &flags).unwrap();
    assert_eq!(settings.carbon.zone.as_deref(), Some("SE"));
    assert_eq!(settings.carbon.pue, Some(1.3));
    assert_eq!(settings.sample.interval, Duration::from_secs(2));
    assert_eq!(settings.web.listen_address, [":1", ":2"]);
}

#[test]
fn unknown_keys_name_the_place_and_what_is_allowed() {
    let text = message("[sample]\nintervall = 1");
    assert!(text.contains("config.toml: unknown key \"sample.intervall\"; allowed here: interval"), "{text}");
    let text = message("colour = 1");
    assert!(text.contains("\"colour\"") && text.contains("carbon"), "{text}");
    let environment = [("WATTPRINT_CARBON__ZOON".to_owned(), "DE".to_owned())];
    let text = load(None, environment, &Vec::new()).unwrap_err().to_string();
    assert!(text.contains("environment: unknown key \"carbon.zoon\""), "{text}");
}

#[test]
fn wrong_types_and_syntax_name_the_file_and_the_key() {
    for (text, parts) in [
        ("[carbon]\npue = \"high\"", vec!["config.toml", "carbon.pue", "high"]),
        ("[sample]\ninterval = \"soon\"", vec!["config.toml", "sample.interval", "soon"]),
        ("[carbon]\nbasis = \"marginal\"", vec!["config.toml", "carbon.basis", "lifecycle"]),
        ("[web]\nmax_requests = -1", vec!["config.toml", "web.max_requests"]),
        ("[web\n", vec!["config.toml", "line 1"]),
    ] {
        let message = message(text);
        for part in parts {
            assert!(message.contains(part), "{part:?} is missing in {message:?}");
        }
    }
}

#[test]
fn values_out_of_range_name_the_key_and_the_range() {
    for (text, key) in [
        ("[sample]\ninterval = 0.05", "sample.interval"),
        ("[sample]\ninterval = 61", "sample.interval"),
        ("[web]\nmax_requests = 0", "web.max_requests"),
        ("[web]\nlisten_address = []", "web.listen_address"),
        ("[model]\ncpu_tdp_watts = -1", "model.cpu_tdp_watts"),
        ("[model]\ncpu_tdp_watts = 10\ncpu_idle_watts = 11", "model.cpu_idle_watts"),
        ("[baseline]\npackage = nan", "baseline.package"),
        ("[limits]\nretention = \"2days\"", "limits.retention"),
    ] {
        let message = message(text);
        assert!(message.starts_with(key) && message.contains("allowed is"), "{message}");
    }
}

#[test]
fn a_named_file_must_be_there() {
    let error = load(Some(Path::new("/nonexistent/wattprint.toml")), [], &Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/wattprint.toml: No such file"), "{error}");
}
