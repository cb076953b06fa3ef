use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::*;
use crate::config::{Basis, LogFormat, ProviderKind, Source};

fn from_text(text: &str) -> Result<Settings, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    load(Some(&path), [], &[]).map(|loaded| loaded.settings)
}

fn message(text: &str) -> String {
    let message = from_text(text).unwrap_err().to_string();
    assert!(!message.contains('\n'), "one line: {message}");
    message
}

/// The message for these variables.
fn complaint(variables: &[(&str, &str)]) -> String {
    from_variables(variables).unwrap_err().to_string()
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    load(Some(Path::new("/dev/null")), variables, &[])
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let settings = from_text("").unwrap();
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.web.listen_address, [":10125"]);
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
    let environment = environment.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let flag = Flag {
        name: "--carbon.zone".to_owned(),
        key: "carbon.zone".to_owned(),
        values: vec!["SE".to_owned()],
    };
    let Loaded { settings, origins } = load(Some(&path), environment, &[flag]).unwrap();
    assert_eq!(origins.of("carbon.zone"), Some("flag --carbon.zone"));
    assert_eq!(origins.of("carbon.pue"), Some("environment WATTPRINT_CARBON__PUE"));
    assert_eq!(origins.of("sample.interval"), Some(&*format!("{}: line 5", path.display())));
    assert_eq!(origins.of("path.procfs"), None);
    assert_eq!(settings.carbon.zone.as_deref(), Some("SE"));
    assert_eq!(settings.carbon.pue, Some(1.3));
    assert_eq!(settings.sample.interval, Duration::from_secs(2));
    assert_eq!(settings.web.listen_address, [":1", ":2"]);
}

#[test]
fn unknown_keys_name_the_place_and_what_is_allowed() {
    let text = message("[sample]\nintervall = 1");
    assert!(
        text.ends_with("config.toml: line 2: unknown key \"sample.intervall\"; allowed here: interval"),
        "{text}"
    );
    let text = message("colour = 1");
    assert!(text.contains("\"colour\"") && text.contains("baseline, carbon"), "{text}");
    assert!(message("[colours]\nred = 1").contains("unknown key \"colours\""));
    let text = complaint(&[("WATTPRINT_CARBON__ZOON", "DE")]);
    assert!(
        text.starts_with(
            "environment WATTPRINT_CARBON__ZOON: unknown key \"carbon.zoon\"; allowed here: basis"
        ),
        "{text}"
    );
}

#[test]
fn what_a_file_may_not_say_is_one_line_with_file_line_key_and_what_is_allowed() {
    for (text, expected) in [
        (
            "\nweb = 3",
            "line 2: web = 3: allowed is a table, [web], with the keys listen_address, max_requests, ",
        ),
        ("[[web]]\n", "line 1: web = [a table]: allowed is a table, [web], with"),
        ("baseline = true", "line 1: baseline = true: allowed is a table, [baseline], with"),
        ("[simulate]\n", "line 1: simulate = a table: allowed is true or false"),
        (
            "[collector]\nrapl = \"yes\"",
            "line 2: collector.rapl = \"yes\": allowed is true or false, without",
        ),
        ("[collector]\nrapl = 1", "line 2: collector.rapl = 1: allowed is true or false"),
        (
            "[limits]\nworkloads = 99999999999999999999",
            "workloads = 99999999999999999999: allowed is 1 to 1000000",
        ),
        ("[limits]\nworkloads = -1", "line 2: limits.workloads = -1: allowed is 1 to 1000000"),
        ("[limits]\nworkloads = 2.5", "limits.workloads = 2.5: allowed is 1 to 1000000, a whole number"),
        ("[limits]\nworkloads = \"5\"", "limits.workloads = \"5\": allowed is 1 to 1000000, without quotes"),
        ("[limits]\nretention = \"2days\"", "limits.retention = \"2days\": allowed is 0s to 1day, as a text"),
        ("[web]\nmax_requests = 0", "line 2: web.max_requests = 0: allowed is 1 to 10000"),
        ("web.max_requests = 0", "line 1: web.max_requests = 0: allowed is 1 to 10000"),
        ("[web]\nlisten_address = []", "web.listen_address = []: allowed is at least one address"),
        ("[web]\nlisten_address = [1]", "web.listen_address = [1]: allowed is at least one address"),
        ("[path]\nprocfs = 1", "path.procfs = 1: allowed is a text, such as \"/proc\""),
        ("[sample]\ninterval = 0.05", "sample.interval = 0.05: allowed is 100ms to 1m"),
        ("[sample]\ninterval = 61", "sample.interval = 61: allowed is 100ms to 1m"),
        ("[sample]\ninterval = \"soon\"", "sample.interval = \"soon\": allowed is 100ms to 1m, as a text"),
        ("[model]\ncpu_idle_watts = -1", "model.cpu_idle_watts = -1: allowed is 0 to 100000 (watts)"),
        (
            "[model]\ncpu_tdp_watts = 0",
            "model.cpu_tdp_watts = 0: allowed is a number above 0, at most 100000 (watts)",
        ),
        (
            "[model]\ncpu_tdp_watts = 10\ncpu_idle_watts = 11",
            "line 3: model.cpu_idle_watts = 11: allowed is at most model.cpu_tdp_watts, 10",
        ),
        ("[baseline]\npackage = nan", "baseline.package = NaN: allowed is 0 to 100000 (watts)"),
        ("[carbon]\npue = \"nan\"", "line 2: carbon.pue = \"nan\": allowed is 1 to 10, without quotes"),
        ("[carbon]\npue = 0.5", "carbon.pue = 0.5: allowed is 1 to 10"),
        (
            "[carbon]\nintensity = 0",
            "carbon.intensity = 0: allowed is a number above 0, at most 2000 (g/kWh)",
        ),
        ("[carbon]\nzone = 33", "carbon.zone = 33: allowed is a text, such as \"FR\""),
        ("[carbon]\nbasis = \"marginal\"", "carbon.basis = \"marginal\": allowed is lifecycle, direct"),
        ("[log]\nlevel = 1", "log.level = 1: allowed is error, warn, info, debug, trace"),
        ("\n[web\n", "line 2: not TOML: "),
        ("[web]\nmax_requests = 1\nmax_requests = 2", "line 3: not TOML: duplicate key"),
    ] {
        let message = message(text);
        assert!(message.contains("/config.toml: line ") && message.contains(expected), "{text:?}: {message}");
        for word in ["struct", "usize", "u64", "i64", "f64", "enum", "sequence"] {
            assert!(!message.contains(word), "{message}");
        }
    }
}

#[test]
fn one_address_may_stand_alone() {
    let settings = from_text("[web]\nlisten_address = \":1\"").unwrap();
    assert_eq!(settings.web.listen_address, [":1"]);
}

#[test]
fn a_bad_variable_is_named() {
    for (name, value, expected) in [
        (
            "WATTPRINT_WEB__MAX_REQUESTS",
            "0",
            "environment WATTPRINT_WEB__MAX_REQUESTS: web.max_requests = 0: allowed is 1 to 10000",
        ),
        (
            "WATTPRINT_COLLECTOR__RAPL",
            "maybe",
            "environment WATTPRINT_COLLECTOR__RAPL: collector.rapl = \"maybe\": allowed is true or false",
        ),
        ("WATTPRINT_CARBON__PUE", "nan", "carbon.pue = \"nan\": allowed is 1 to 10"),
        (
            "WATTPRINT_WEB_LISTEN_ADDRESS",
            ":1",
            "environment WATTPRINT_WEB_LISTEN_ADDRESS: write WATTPRINT_WEB__LISTEN_ADDRESS",
        ),
        ("WATTPRINT_BASELINE_PACKAGE", "1", "write WATTPRINT_BASELINE__PACKAGE"),
        ("WATTPRINT_WEB__", "1", "unknown key \"web.\""),
        ("WATTPRINT_SIMULATE", "perhaps", "environment WATTPRINT_SIMULATE: simulate = \"perhaps\""),
    ] {
        let text = complaint(&[(name, value)]);
        assert!(text.contains(expected), "{name}: {text}");
    }
    let kubernetes = [
        ("WATTPRINT_SERVICE_HOST", "10.0.0.1"),
        ("WATTPRINT_SERVICE_PORT_METRICS", "10125"),
        ("WATTPRINT_PORT", "tcp://10.0.0.1:10125"),
        ("WATTPRINT_WEB_PORT_10125_TCP_ADDR", "10.0.0.1"),
        ("WATTPRINTER__X", "1"),
    ];
    assert_eq!(from_variables(&kubernetes).unwrap(), Loaded::default());
    assert!(from_variables(&[("WATTPRINT_SIMULATE", "true")]).unwrap().settings.simulate);
}

#[test]
fn a_variable_that_is_no_text_is_an_error_where_it_is_a_setting() {
    let odd = OsString::from_vec(vec![0xff]);
    let of = |name: &str| load(Some(Path::new("/dev/null")), [(OsString::from(name), odd.clone())], &[]);
    let text = of("WATTPRINT_CARBON__ZONE").unwrap_err().to_string();
    assert_eq!(text, "environment WATTPRINT_CARBON__ZONE: not UTF-8 text");
    assert!(of("WATTPRINT_SERVICE_HOST").is_ok() && of("PATH").is_ok());
}

#[test]
fn a_named_file_must_be_there() {
    let error = load(Some(Path::new("/nonexistent/wattprint.toml")), [], &[]).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/wattprint.toml: No such file"), "{error}");
}

#[test]
fn sources_are_tables_in_a_file_and_names_elsewhere() {
    let file = "[carbon]\nzone = \"FR\"\n[[carbon.source]]\nprovider = \"rte\"\n[[carbon.source]]\n\
                provider = \"electricity_maps\"\ntoken_file = \"em\"\ninterval = \"10m\"\n";
    let settings = from_text(file).unwrap();
    let [rte, maps] = &settings.carbon.source[..] else { panic!("{:?}", settings.carbon.source) };
    assert_eq!(*rte, Source::new(ProviderKind::Rte));
    assert_eq!(maps.interval, Some(Duration::from_secs(600)));
    assert_eq!(maps.token_file.as_deref(), Some(Path::new("em")));
    let names = Flag {
        name: "--carbon.source".to_owned(),
        key: "carbon.source".to_owned(),
        values: vec!["neso, energy_charts".to_owned()],
    };
    let settings = load(Some(Path::new("/dev/null")), [], &[names]).unwrap().settings;
    let kinds: Vec<_> = settings.carbon.source.iter().map(|source| source.provider).collect();
    assert_eq!(kinds, [ProviderKind::Neso, ProviderKind::EnergyCharts]);
}

#[test]
fn a_bad_source_is_named_by_its_line_and_key() {
    for (file, expected) in [
        (
            "[[carbon.source]]\nprovider = \"nesso\"\n",
            ": line 2: carbon.source[0].provider = \"nesso\": allowed is ",
        ),
        (
            "[[carbon.source]]\nprovider = \"rte\"\ntoken = \"x\"\n",
            ": line 3: unknown key \"carbon.source[0].token\"",
        ),
        (
            "[[carbon.source]]\nzone = \"FR\"\n",
            ": line 1: carbon.source[0] = a table: allowed is a table with at least",
        ),
        (
            "[carbon]\nsource = [\"rte\"]\n",
            ": line 2: carbon.source[0] = \"rte\": allowed is names with commas",
        ),
    ] {
        let error = from_text(file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn files_may_be_among_the_credentials_of_systemd() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    let text = "[market]\nwindows_file = \"$CREDENTIALS_DIRECTORY/windows\"\n[kubernetes]\nkubeconfig = \"/k\"\n\
                [[carbon.source]]\nprovider = \"entsoe\"\ntoken_file = \"$CREDENTIALS_DIRECTORY/token\"\n";
    std::fs::write(&path, text).unwrap();
    let given = [(OsString::from("CREDENTIALS_DIRECTORY"), OsString::from("/run/credentials/w"))];
    let settings = load(Some(&path), given, &[]).unwrap().settings;
    assert_eq!(settings.market.windows_file.unwrap(), Path::new("/run/credentials/w/windows"));
    assert_eq!(settings.kubernetes.kubeconfig.unwrap(), Path::new("/k"));
    assert_eq!(settings.carbon.source[0].token_file.as_deref(), Some(Path::new("/run/credentials/w/token")));
    let error = load(Some(&path), [], &[]).unwrap_err().to_string();
    assert!(
        error.contains("line 7: carbon.source[0].token_file") && error.contains("LoadCredential="),
        "{error}"
    );
}
