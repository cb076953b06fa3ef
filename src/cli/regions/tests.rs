use std::ffi::OsString;

use serde_json::Value;

use crate::cli;

/// Exit code, standard output and standard error.
fn regions(arguments: &[&str]) -> (String, String, String) {
    let line = ["wattprint", "--config.file", "/dev/null", "regions"];
    let line = line.iter().chain(arguments).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(line, [], &mut out, &mut err);
    (format!("{code:?}"), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn answered(arguments: &[&str]) -> String {
    let (code, out, err) = regions(arguments);
    assert_eq!((code, err.as_str()), (format!("{:?}", std::process::ExitCode::SUCCESS), ""), "{arguments:?}");
    out
}

fn refused(arguments: &[&str]) -> String {
    let (code, out, err) = regions(arguments);
    assert_eq!((code, out.as_str()), (format!("{:?}", std::process::ExitCode::from(2)), ""), "{arguments:?}");
    assert_eq!(err.lines().count(), 1, "{err}");
    err
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&answered(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn two_lists_are_printed_with_their_caveats() {
    let text = answered(&["--energy", "120kWh", "--from", "FR", "--limit", "4"]);
    let (lifecycle, direct) = text.split_once("Direct emissions").unwrap();
    assert!(text.starts_with("120 kWh of IT energy\n"), "{text}");
    let here = lifecycle.lines().find(|line| line.contains("France")).unwrap();
    assert!(here.ends_with("from here") && here.contains("  -  5.30 kg"), "{here}");
    assert!(lifecycle.contains("From FR to "), "{lifecycle}");
    assert!(lifecycle.contains("km by an average car in the EU"), "{lifecycle}");
    assert!(direct.contains("no comparison with FR: it is known by lifecycle emissions only"), "{direct}");
    assert!(direct.contains(", the median place, to "), "{direct}");
    for caveat in super::CAVEATS {
        assert!(direct.contains(caveat), "{direct}");
    }
    // A header, four places, the own one and the last one.
    assert_eq!(lifecycle.lines().filter(|line| line.starts_with("  ")).count(), 7, "{lifecycle}");
}

#[test]
fn power_and_hours_are_energy() {
    let by_energy = answered(&["--energy=120kWh", "--basis=lifecycle"]);
    assert_eq!(answered(&["--power=8kW", "--hours=15", "--basis=lifecycle"]), by_energy);
    assert!(!by_energy.contains("Direct emissions ("), "{by_energy}");
}

#[test]
fn json_has_every_figure_with_its_source() {
    let report =
        json(&["--energy=1MWh", "--from=aws:eu-west-3", "--carbon.pue=1.5", "--only=clouds", "--limit=0"]);
    assert_eq!(report["energy_kwh"], 1000.0);
    let lists = report["lists"].as_array().unwrap();
    assert_eq!(lists.len(), 2);
    assert_eq!(lists[0]["basis"], "lifecycle");
    assert_eq!(lists[0]["from"]["place"]["pue"]["ratio"], 1.5);
    assert_eq!(lists[0]["from"]["place"]["pue"]["source"], "carbon.pue");
    assert!(lists[1]["from"].is_null() && lists[1]["no_comparison"].is_string());
    for list in lists {
        let ranking = list["ranking"].as_array().unwrap();
        assert_eq!(list["places"], ranking.len());
        for one in ranking {
            assert_eq!(one["place"]["kind"], "cloud_region");
            assert_eq!(one["place"]["factor"]["basis"], list["basis"]);
            assert!(one["grams"].as_f64().unwrap() > 0.0, "{one}");
            for key in ["source", "licence", "accounting"] {
                assert!(!one["place"]["factor"][key].as_str().unwrap().is_empty(), "{one}");
            }
        }
    }
    assert_eq!(lists[0]["saving"]["from"], "aws:eu-west-3");
    assert!(!lists[0]["saving"]["equivalents"].as_array().unwrap().is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    for (arguments, said) in [
        (&[][..], "--energy"),
        (&["--energy=120"][..], "must be a number above 0 and a unit"),
        (&["--energy=6GWh"][..], "more than 5.1 GWh"),
        (&["--power=8kW"][..], "--hours"),
        (&["--hours=8"][..], "--power"),
        (&["--energy=1kWh", "--power=8kW", "--hours=1"][..], "cannot be used with"),
        (&["--power=2GW", "--hours=100"][..], "more than 5.1 GWh"),
        (&["--energy=1kWh", "--from=UK"][..], "did you mean GB"),
        (&["--energy=1kWh", "--from=aws:"][..], "--from = \"aws:\""),
        (&["--energy=1kWh", "--basis=marginal"][..], "lifecycle"),
        (&["--energy=1kWh", "--limit=-1"][..], "--limit"),
        (&["--energy=1kWh", "--carbon.pue=0.5"][..], "carbon.pue"),
    ] {
        let error = refused(arguments);
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
