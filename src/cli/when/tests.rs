use std::ffi::OsString;

use serde_json::{Value, json};

use super::ask::Place;
use super::*;
use crate::carbon::grid::{GridSeries, Signal};
use crate::carbon::providers::replay::{Replay, Reply};
use crate::carbon::series::{Series, Slot, SlotQuality};
use crate::config::{Basis, ProviderKind, Settings, Source};
use crate::units::GramsPerKwh;

/// 2026-11-22 20:48 UTC.
const NOW: u64 = 1_795_380_480;
/// The hour before.
const EIGHT: u64 = NOW - 48 * 60;

fn series(first: u64, grams: &[f64]) -> GridSeries {
    let slot = |(hour, grams): (u64, &f64)| Slot {
        start: UnixTime::from_seconds(first + 3_600 * hour),
        end: UnixTime::from_seconds(first + 3_600 * (hour + 1)),
        intensity: GramsPerKwh(*grams),
        quality: SlotQuality::Forecast,
    };
    GridSeries {
        provider: "energy_charts".into(),
        zone: "DE".into(),
        signal: Signal::AverageLifecycle,
        accounting: "production".into(),
        fetched_at: UnixTime::from_seconds(NOW - 12 * 60),
        slots: Series::new((0..).zip(grams).map(slot)),
    }
}

fn question(hours: f64, work: Option<Work>) -> Question {
    let length = Duration::from_secs_f64(hours * 3_600.0);
    Question { now: UnixTime::from_seconds(NOW), length, basis: None, work }
}

fn solved(question: &Question, known: &[GridSeries]) -> Result<answer::Answer, String> {
    answer::first(question, &["here"], |_| Ok(known.to_vec()))
}

fn text(question: &Question, known: &[GridSeries]) -> String {
    let mut out = Vec::new();
    text::write(&solved(question, known).unwrap(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn lengths_are_hours_or_have_units() {
    for (text, minutes) in [
        ("4", 240),
        ("0.25", 15),
        ("72", 4_320),
        ("1.5 h", 90),
        ("90min", 90),
        ("1h 30m", 90),
        ("1day", 1_440),
    ] {
        assert_eq!(length(text), Ok(Duration::from_secs(60 * minutes)), "{text}");
    }
    for text in ["", "0", "0.2", "72.1", "-4", "4 kWh", "14min", "4days", "nan"] {
        assert_eq!(length(text), Err("must be 0.25 to 72 hours, such as 4 or 90min"), "{text}");
    }
}

#[test]
fn the_best_start_is_told_with_what_it_saves() {
    let known = series(
        EIGHT,
        &[70.0, 66.0, 60.0, 50.0, 40.0, 31.0, 31.0, 31.0, 31.0, 52.0, 45.0, 45.0, 45.0, 45.0, 80.0],
    );
    let expected = "\
start 2026-11-23 01:00 UTC (in 4 h 12 min): 4 h at 31.0 g/kWh, 44 % less than starting now (55.5 g/kWh)
  or 2026-11-23 06:00 UTC (in 9 h 12 min): 45.0 g/kWh, 19 % less than now
  or 2026-11-22 21:00 UTC (in 12 min): 54.0 g/kWh, 2.7 % less than now
forecast of energy_charts for DE, lifecycle average of production, up to 2026-11-23 11:00 UTC; fetched 12 min ago
";
    assert_eq!(text(&question(4.0, None), &[known]), expected);
}

#[test]
fn grams_come_with_the_energy() {
    let known = series(EIGHT, &[60.0, 60.0, 30.0]);
    let work = |pue| Some(Work { energy: quantity::energy("120kWh").unwrap(), pue: Pue(pue) });
    let told = text(&question(1.0, work(1.0)), std::slice::from_ref(&known));
    assert!(told.contains("\n120 kWh: 3.60 kg of CO2e instead of 7.20 kg, 3.60 kg less\n"), "{told}");
    let told = text(&question(1.0, work(1.5)), std::slice::from_ref(&known));
    assert!(
        told.contains("\n120 kWh: 5.40 kg of CO2e instead of 10.8 kg, 5.40 kg less (PUE 1.5 counted)\n"),
        "{told}"
    );
    let best_now = series(EIGHT, &[30.0, 30.0, 60.0]);
    let told = text(&question(0.25, work(1.0)), &[best_now]);
    assert!(told.contains("\n120 kWh: 3.60 kg of CO2e\n"), "{told}");
}

#[test]
fn now_may_be_the_best_start() {
    let told = text(&question(1.0, None), &[series(EIGHT, &[30.0, 30.0, 90.0, 33.0])]);
    let first =
        "start now (2026-11-22 20:48 UTC): 1 h at 30.0 g/kWh, no later start in the forecast is better\n";
    assert!(told.starts_with(first), "{told}");
    assert!(!told.contains("  or "), "no other start is better than now: {told}");
}

#[test]
fn without_a_value_for_now_nothing_is_compared() {
    let told = text(&question(1.0, None), &[series(EIGHT + 3_600, &[50.0, 40.0, 60.0])]);
    let first = "start 2026-11-22 22:00 UTC (in 1 h 12 min): 1 h at 40.0 g/kWh; what starting now would cause isn't known\n";
    assert!(told.starts_with(first), "{told}");
    assert!(told.contains("  or 2026-11-22 21:00 UTC (in 12 min): 50.0 g/kWh\n"), "{told}");
}

#[test]
fn a_grid_without_emissions_cannot_be_better() {
    let direct = GridSeries {
        signal: Signal::AverageDirect,
        accounting: "".into(),
        ..series(EIGHT, &[0.0, 0.0, 5.0])
    };
    let told = text(&question(1.0, None), &[direct]);
    assert!(told.starts_with("start now"), "{told}");
    assert!(told.contains("for DE, direct average, up to"), "{told}");
    assert!(!told.contains('%'), "{told}");
}

#[test]
fn alternatives_do_not_overlap() {
    let grams: Vec<f64> = (0..60).map(|hour| f64::from((hour * 7) % 13)).collect();
    let asked = question(5.5, None);
    let answer = solved(&asked, &[series(EIGHT, &grams)]).unwrap();
    assert_eq!(answer.alternatives.len(), 3);
    let mut starts: Vec<UnixTime> = answer.alternatives.iter().map(|start| start.window.start).collect();
    let means: Vec<f64> = answer.alternatives.iter().map(|start| start.window.mean.0).collect();
    assert!(means.is_sorted() && means[0] >= answer.best.window.mean.0, "{means:?}");
    starts.push(answer.best.window.start);
    starts.sort();
    assert!(starts.windows(2).all(|pair| pair[1].since(pair[0]) >= asked.length), "{starts:?}");
}

#[test]
fn averages_are_preferred_and_bases_not_mixed() {
    let lifecycle = series(EIGHT, &[50.0; 5]);
    let direct = GridSeries { signal: Signal::AverageDirect, ..series(EIGHT, &[20.0; 5]) };
    let marginal = GridSeries { signal: Signal::Marginal, ..series(EIGHT, &[700.0; 5]) };
    let all = [marginal.clone(), lifecycle.clone(), direct];
    let basis = |wanted, known: &[GridSeries]| {
        let asked = Question { basis: wanted, ..question(1.0, None) };
        solved(&asked, known).map(|answer| answer.basis)
    };
    assert_eq!(basis(None, &all), Ok("lifecycle"));
    assert_eq!(basis(Some(Basis::Direct), &all), Ok("direct"));
    let told = text(&question(1.0, None), &[marginal]);
    assert!(told.contains("forecast of energy_charts for DE, marginal emissions of production"), "{told}");
    let error = basis(Some(Basis::Direct), &[lifecycle]).unwrap_err();
    assert!(error.contains("here: no live series of direct figures"), "{error}");
}

#[test]
fn a_series_that_is_too_short_gives_way() {
    let short = series(EIGHT, &[10.0, 10.0]);
    let long = GridSeries { zone: "FR".into(), ..series(EIGHT, &[50.0; 9]) };
    assert_eq!(&*solved(&question(4.0, None), &[short.clone(), long]).unwrap().zone, "FR");
    let past = GridSeries { zone: "FR".into(), ..series(EIGHT - 7_200, &[50.0; 2]) };
    let error = solved(&question(4.0, None), &[short, past]).unwrap_err();
    let expected = "no forecast for 4 h: here: energy_charts for DE knows no stretch as long as that without a gap before its \
                    end at 2026-11-22 22:00 UTC, energy_charts for FR knows nothing of the time ahead; configure a source that \
                    has a forecast (carbon.source, such as [\"energy_charts\"] or, for Great Britain, [\"neso\"], which need \
                    no key), or name a wattprint that has one with --daemon";
    assert_eq!(error, expected);
}

#[test]
fn addresses_of_daemons_need_no_scheme() {
    assert_eq!(daemon("https://relay/wattprint/"), Ok("https://relay/wattprint".to_owned()));
    assert_eq!(daemon("relay:80"), Ok("http://relay:80".to_owned()));
    assert!(daemon("ftp://relay").unwrap_err().contains("must begin with http://"));
}

#[test]
fn places_are_asked_in_turn() {
    let mut settings = Settings::default();
    settings.web.listen_address =
        [":10125", "0.0.0.0:1", "[::]:2", "10.1.2.3:3", "node:4"].map(str::to_owned).into();
    settings.carbon.source = vec![Source::new(ProviderKind::Neso)];
    let all: Vec<String> = ask::places(&settings, None).iter().map(Place::to_string).collect();
    let daemons = ["127.0.0.1:10125", "127.0.0.1:1", "[::1]:2", "10.1.2.3:3", "node:4"];
    let expected = daemons.iter().map(|daemon| format!("http://{daemon}")).chain(["neso".to_owned()]);
    assert_eq!(all, expected.collect::<Vec<_>>());
    let named = Place::Daemon("http://relay:80".into());
    assert_eq!(ask::places(&settings, Some("http://relay:80")), [named]);
    let mut asked = Vec::new();
    let answer = answer::first(&question(1.0, None), &["down", "empty", "good", "late"], |place| {
        asked.push(*place);
        match *place {
            "down" => Err("down: no answer".to_owned()),
            "empty" => Ok(Vec::new()),
            _ => Ok(vec![series(EIGHT, &[1.0; 3])]),
        }
    });
    assert!(answer.is_ok());
    assert_eq!(asked, ["down", "empty", "good"]);
}

#[test]
fn a_source_that_cannot_be_asked_is_named() {
    let source = Source::new(ProviderKind::File);
    let place = Place::Source(2, &source);
    let error = ask(&place, &Loaded::default(), UnixTime::from_seconds(NOW)).unwrap_err();
    assert!(error.starts_with("file: carbon.source[2].path: "), "{error}");
}

/// Runs the program, and gives its exit code and what it wrote on both streams.
fn wattprint(arguments: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = ["wattprint", "when", "--config.file", "/dev/null"].iter().chain(arguments);
    let code = crate::cli::run(arguments.map(OsString::from), [], &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A daemon with hourly values from the present hour on.
fn serving(grams: &[f64]) -> Replay {
    let now = Clock::new().unwrap().unix().as_secs();
    let unknown = json!({"provider": "x", "zone": "DE", "signal": "from_the_future", "slots": []});
    let known = serde_json::to_value(series(now - now % 3_600, grams)).unwrap();
    Replay::new(move |asked| {
        (asked.target == "/api/v1/grid")
            .then(|| Reply::ok(json!({"version": 1, "series": [unknown, known]}).to_string()))
    })
}

#[test]
fn a_daemon_is_asked() {
    // A value that no grid has is left out, though it would be the best.
    let daemon = serving(&[90.0, 90.0, 90.0, 40.0, 90.0, -500.0, 90.0]);
    let (code, out, err) =
        wattprint(&["--hours", "1", "--power", "8kW", "--daemon", &daemon.url(), "--json"]);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    let answer: Value = serde_json::from_str(&out).unwrap();
    // By the second of the hour, sums are rounded here or there.
    for (place, wanted) in [
        ("/best/mean_grams_per_kwh", 40.0),
        ("/best/emissions_grams", 320.0),
        ("/starting_now/emissions_grams", 720.0),
        ("/best/saving_ratio", 5.0 / 9.0),
    ] {
        let got = answer.pointer(place).and_then(Value::as_f64).unwrap();
        assert!((got - wanted).abs() < 1e-9, "{place}: {got}: {out}");
    }
    assert_eq!((&answer["length_seconds"], &answer["energy_joules"]), (&json!(3_600.0), &json!(28.8e6)));
    let (code, out, _) = wattprint(&["--hours=1", "--daemon", &daemon.url()]);
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(out.contains("1 h at 40.0 g/kWh, 56 % less than starting now (90.0 g/kWh)"), "{out}");
}

#[test]
fn no_forecast_is_exit_code_1_and_says_what_to_do() {
    let failing = |reply: Reply| {
        let daemon = Replay::in_turn([reply]);
        let (code, out, err) = wattprint(&["--hours", "4", "--daemon", &daemon.url()]);
        assert_eq!((code, out.as_str()), (ExitCode::from(1), ""), "{err}");
        assert!(err.starts_with("wattprint: no forecast for 4 h: http://127.0.0.1:"), "{err}");
        assert!(err.contains("configure a source that has a forecast"), "{err}");
        err
    };
    assert!(failing(Reply::status(404, "not found")).contains("/api/v1/grid: HTTP 404"));
    assert!(failing(Reply::ok("<html>")).contains("not the JSON that was expected"));
    assert!(failing(Reply::ok(r#"{"version": 1, "series": []}"#)).contains("no live series of figures"));
    let unknown = failing(Reply::ok(r#"{"version": 1, "series": [{"slots": [], "signal": "new"}]}"#));
    assert!(unknown.contains("a series is left out: "), "{unknown}");
    assert!(failing(Reply::ok(r#"{"version": 2, "series": []}"#)).contains("upgrade the older one"));
    let gone = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let (code, _, err) = wattprint(&["--hours=4", &format!("--web.listen-address={gone}")]);
    assert_eq!(code, ExitCode::from(1));
    assert!(err.contains(&format!("http://{gone}/api/v1/grid: ")), "{err}");
}

#[test]
fn bad_usage_is_exit_code_2() {
    for (arguments, wrong) in [
        (&[][..], "--hours"),
        (&["--hours", "100"], "must be 0.25 to 72 hours"),
        (&["--hours", "4", "--daemon", "no address"], "white space"),
        (&["--hours", "4", "--energy", "4"], "must be a number above 0 and a unit"),
        (&["--hours", "4", "--energy", "4kWh", "--power", "4kW"], "cannot be used with"),
    ] {
        let (code, out, err) = wattprint(arguments);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{err}");
        assert!(err.contains(wrong), "{err}");
    }
    let (code, _, err) = wattprint(&["--hours", "72", "--power", "1GW"]);
    assert_eq!(code, ExitCode::from(2), "{err}");
    assert!(err.contains("--power x --hours: is more than 5.1 GWh"), "{err}");
}
