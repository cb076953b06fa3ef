//! Live carbon intensity: from a provider's answer to grams.

pub(crate) mod provider;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, PATIENCE, free_port, run};
use crate::exposition::Exposition;
use crate::http;
use crate::lifecycle::assert_clean;
use crate::{assert_close, wait_for};

use provider::{Mood, Provider, chart, now};

const INTENSITY: &str = "wattprint_grid_carbon_intensity_grams_per_kwh";
const FETCHES: &str = "wattprint_grid_fetches_total";
const GRAMS: &str = "wattprint_node_emissions_grams_total";
const JOULES: &str = "wattprint_node_energy_joules_total";

/// The configuration of one source in the shape of Energy-Charts, asked at once.
fn charts(provider: &Provider) -> String {
    format!(
        "[carbon]\nzone = \"DE\"\npue = 1.5\nstartup_spread = \"0s\"\n[[carbon.source]]\n\
         provider = \"energy_charts\"\nurl = \"{}\"\n",
        provider.url()
    )
}

/// The first scrape in which the factor in force is of this quality.
fn until(daemon: &Daemon, quality: &str) -> Exposition {
    wait_for(quality, PATIENCE, || {
        Some(daemon.scrape()).filter(|scrape| !scrape.select(INTENSITY, &[("quality", quality)]).is_empty())
    })
}

/// Grams per kWh between two scrapes.
fn rate(before: &Exposition, after: &Exposition, family: &str) -> f64 {
    let of = |scrape: &Exposition, name: &str| scrape.value(name, &[("component", "cpu")]);
    let joules = of(after, JOULES) - of(before, JOULES);
    assert!(joules > 0.0);
    (of(after, family) - of(before, family)) / joules * 3.6e6
}

#[test]
fn energy_is_priced_by_what_the_provider_says_and_the_forecast_is_on_show() {
    let forecast: Vec<f64> = (0..48).map(|hour| if (5..9).contains(&hour) { 40.0 } else { 300.0 }).collect();
    let hour = u32::try_from(now() / 3_600).unwrap();
    let provider = Provider::new(Mood::Says(200, chart(&[250.0, 123.0, 123.0], &forecast)));
    let daemon = Daemon::modelled(&charts(&provider), &[]);
    let before = until(&daemon, "measured");
    let labels = [("grid_zone", "DE"), ("provider", "energy_charts"), ("basis", "lifecycle")];
    assert_close("intensity", before.value(INTENSITY, &labels), 123.0, 0.0);
    daemon.ticks(2);
    let after = daemon.scrape();
    assert_close("grams", rate(&before, &after, GRAMS), 123.0 * 1.5, 1e-6);
    let four = [("hours", "4")];
    assert_close("best 4 h", after.value("wattprint_grid_best_window_grams_per_kwh", &four), 40.0, 1e-9);
    let start = after.value("wattprint_grid_best_window_start_timestamp_seconds", &four);
    assert_close("its start", start, f64::from(hour + 7) * 3_600.0, 0.0);
    let ahead = ((start - after.value("wattprint_sample_timestamp_seconds", &[])) / 3_600.0).ceil();
    let of = |hours: f64| {
        let hours = format!("{hours:.0}");
        after.value("wattprint_grid_forecast_grams_per_kwh", &[("hours_ahead", hours.as_str())])
    };
    assert_close("the hour before it", of(ahead - 1.0), 300.0, 0.0);
    assert_close("its first hour", of(ahead), 40.0, 0.0);
    let fetched = [("provider", "energy_charts"), ("grid_zone", "DE"), ("result", "success")];
    assert_close("fetches", before.value(FETCHES, &fetched), 1.0, 0.0);
    assert!(before.value("wattprint_grid_carbon_intensity_age_seconds", &[]) < 60.0);
    daemon.finish();
}

#[test]
fn a_provider_that_misbehaves_costs_nothing_but_freshness() {
    for (mood, result) in [
        (Mood::Says(500, "<html>".to_owned()), Some("server")),
        (Mood::Says(200, "<html>maintenance</html>".to_owned()), Some("decode")),
        (Mood::Says(404, "no".to_owned()), Some("not_found")),
        (Mood::Hangs, None),
        (Mood::Drips, None),
    ] {
        let provider = Provider::new(mood.clone());
        let daemon = Daemon::modelled(&charts(&provider), &[]);
        wait_for("a request", PATIENCE, || (!provider.asked().is_empty()).then_some(()));
        let before = daemon.scrape();
        daemon.ticks(3);
        let begun = Instant::now();
        let after = daemon.scrape();
        // One that waited for the provider would take 10 s.
        assert!(begun.elapsed() < Duration::from_secs(5), "{mood:?}: {:?}", begun.elapsed());
        // Germany's yearly average, over the life cycle as the source's figures.
        let labels =
            [("provider", "embedded"), ("grid_zone", "DE"), ("basis", "lifecycle"), ("quality", "static")];
        let factor = after.value(INTENSITY, &labels);
        assert!(factor > 0.0);
        assert_close("grams", rate(&before, &after, GRAMS), factor * 1.5, 1e-6);
        if let Some(result) = result {
            wait_for(result, PATIENCE, || {
                let counted = daemon.scrape();
                (!counted.select(FETCHES, &[("result", result)]).is_empty()).then_some(())
            });
        }
        daemon.finish();
    }
}

#[test]
fn what_was_fetched_survives_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let provider = Provider::new(Mood::Says(200, chart(&[77.0; 3], &[77.0; 6])));
    let directory = format!("--state.dir={}", state.path().display());
    let daemon = Daemon::modelled(&charts(&provider), &[&directory]);
    until(&daemon, "measured");
    daemon.finish();
    provider.becomes(Mood::Says(503, String::new()));
    let daemon = Daemon::modelled(&charts(&provider), &[&directory]);
    // From the first tick on.
    let first = daemon.scrape();
    assert_close("intensity", first.value(INTENSITY, &[("provider", "energy_charts")]), 77.0, 0.0);
    assert_close(
        "grams",
        first.value(GRAMS, &[("component", "cpu")]) / first.value(JOULES, &[("component", "cpu")]) * 3.6e6,
        77.0 * 1.5,
        1e-6,
    );
    daemon.finish();
}

#[test]
fn a_corrupt_state_is_set_aside_and_said() {
    let state = tempfile::tempdir().unwrap();
    let database = state.path().join("wattprint.sqlite");
    fs::write(&database, "this is no database, whatever its name says".repeat(100)).unwrap();
    let provider = Provider::new(Mood::Says(200, chart(&[77.0; 3], &[77.0; 6])));
    let directory = format!("--state.dir={}", state.path().display());
    let daemon = Daemon::modelled(&charts(&provider), &[&directory]);
    until(&daemon, "measured");
    assert!(daemon.log().contains("wattprint.sqlite.corrupt"), "{}", daemon.log());
    let names: Vec<String> = fs::read_dir(state.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let aside = names.iter().find(|name| name.contains("corrupt")).unwrap();
    assert!(fs::read_to_string(state.path().join(aside)).unwrap().starts_with("this is no database"));
    daemon.finish();
    let daemon = Daemon::modelled(&charts(&provider), &[&directory]);
    assert_close("kept", daemon.scrape().value(INTENSITY, &[("provider", "energy_charts")]), 77.0, 0.0);
    daemon.finish();
}

#[test]
fn a_state_directory_that_can_not_be_used_stops_nothing() {
    let provider = Provider::new(Mood::Says(200, chart(&[77.0; 3], &[77.0; 6])));
    let daemon = Daemon::modelled(&charts(&provider), &["--state.dir=/dev/null/nowhere"]);
    until(&daemon, "measured");
    assert!(daemon.log().contains("/dev/null/nowhere"), "{}", daemon.log());
    daemon.finish();
}

#[test]
fn others_read_from_a_relay_and_name_the_origin() {
    let provider = Provider::new(Mood::Says(200, chart(&[88.0; 3], &[88.0; 6])));
    let relay = Daemon::configured(&charts(&provider), &["relay"]);
    wait_for("the relay's series", PATIENCE, || {
        relay.get("/api/v1/grid").text().contains("energy_charts").then_some(())
    });
    let config = format!(
        "[carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\n[[carbon.source]]\nprovider = \"relay\"\n\
         url = \"http://127.0.0.1:{}\"\n",
        relay.port
    );
    let node = Daemon::modelled(&config, &[]);
    let scrape = until(&node, "measured");
    assert_close(
        "intensity",
        scrape.value(INTENSITY, &[("provider", "energy_charts"), ("grid_zone", "DE")]),
        88.0,
        0.0,
    );
    assert_eq!(provider.asked().len(), 1);
    node.finish();
    // It measures nothing, so there is no energy to add up.
    assert!(relay.get("/metrics").text().contains(INTENSITY));
    assert!(!relay.get("/metrics").text().contains(JOULES));
}

#[test]
fn a_credential_is_sent_to_its_provider_and_shown_nowhere() {
    let secret = "s3cr3t-t0ken-of-mine";
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("grid-token"), format!("{secret}\n")).unwrap();
    let body = serde_json::json!({ "data": [{ "from": now() - 60, "to": now() + 7_200, "g": 66.0 }] });
    for answer in [Mood::Says(200, body.to_string()), Mood::Says(401, "no".to_owned())] {
        let provider = Provider::new(answer);
        let config = format!(
            "[carbon]\nzone = \"XY\"\nbasis = \"direct\"\nintensity = 400\nstartup_spread = \"0s\"\n[[carbon.source]]\n\
             provider = \"http\"\nurl = \"{}/v1/{{zone}}\"\nbasis = \"direct\"\ntoken_file = \"grid-token\"\n\
             items = \"/data\"\nvalue = \"/g\"\nstart = \"/from\"\nend = \"/to\"\n",
            provider.url()
        );
        let environment = [("CREDENTIALS_DIRECTORY".to_owned(), files.path().display().to_string())];
        let daemon = Daemon::in_environment(&environment, &config, &["--log.level=trace", "--simulate"]);
        wait_for("the outcome", PATIENCE, || {
            let scrape = daemon.scrape();
            (!scrape.select(FETCHES, &[]).is_empty()).then_some(())
        });
        daemon.ticks(1);
        let heads = provider.asked();
        assert!(heads.iter().all(|head| head.starts_with("GET /v1/XY ")), "{heads:?}");
        assert!(heads.iter().any(|head| head.contains(&format!("Bearer {secret}"))), "{heads:?}");
        for path in ["/metrics", "/", "/api/v1/snapshot", "/api/v1/grid"] {
            assert!(!daemon.get(path).text().contains(secret), "{path}");
        }
        assert!(!daemon.log().contains(secret), "{}", daemon.log());
        daemon.finish();
    }
}

#[test]
fn a_file_that_another_process_writes_is_followed() {
    let files = tempfile::tempdir().unwrap();
    let (grid, pue) = (files.path().join("intensity"), files.path().join("pue"));
    fs::write(&grid, "100\n").unwrap();
    fs::write(&pue, "1.25\n").unwrap();
    let config = format!(
        "[carbon]\nzone = \"FR\"\nstartup_spread = \"0s\"\npue_file = \"{}\"\nwue = 1.8\n[[carbon.source]]\n\
         provider = \"file\"\npath = \"{}\"\nbasis = \"lifecycle\"\ninterval = \"1s\"\n\
         [market]\nshare = 0.5\nresidual = 300\n[embodied]\nenabled = true\n",
        pue.display(),
        grid.display()
    );
    let daemon = Daemon::modelled(&config, &[]);
    wait_for("the PUE", PATIENCE, || {
        (daemon.scrape().value("wattprint_pue_ratio", &[]) == 1.25).then_some(())
    });
    let seen = |value: f64| {
        wait_for("the value", PATIENCE, || {
            let scrape = daemon.scrape();
            let found = scrape.select(INTENSITY, &[("provider", "file")]);
            (found.first()?.value == value).then_some(scrape)
        })
    };
    for value in [100.0, 420.0] {
        // Written beside and moved into place, as such a process should.
        fs::write(files.path().join("new"), format!("{value}\n")).unwrap();
        fs::rename(files.path().join("new"), &grid).unwrap();
        seen(value);
        daemon.ticks(2);
        let before = daemon.scrape();
        daemon.ticks(2);
        let after = daemon.scrape();
        assert_close("grams", rate(&before, &after, GRAMS), value * 1.25, 1e-6);
        let market = rate(&before, &after, "wattprint_node_market_emissions_grams_total");
        assert_close("market", market, 0.5 * 300.0 * 1.25, 1e-6);
        assert_close("water", rate(&before, &after, "wattprint_node_water_liters_total"), 1.8, 1e-6);
        before.assert_never_falls(&after);
    }
    // With every family of emissions there.
    assert_clean(&daemon.get("/metrics").text());
    // A server of the table, spread over four years, and all of it accounted for.
    let scrape = daemon.scrape();
    let node = scrape.value("wattprint_node_embodied_emissions_grams_total", &[("component", "other")]);
    let kinds =
        scrape.select("wattprint_node_owner_embodied_emissions_grams_total", &[("component", "other")]);
    assert_close("embodied", kinds.iter().map(|sample| sample.value).sum(), node, 1e-9);
    assert!(node > 0.0);
    daemon.finish();
}

#[test]
fn sources_that_do_not_fit_are_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    for (config, parts) in [
        (
            "[[carbon.source]]\nprovider = \"neso\"\n[[carbon.source]]\nprovider = \"energy_charts\"\nzone = \"GB\"\n",
            &["line 4: carbon.source[1].provider", "energy_charts", "direct"][..],
        ),
        (
            "[[carbon.source]]\nprovider = \"energy_charts\"\nzone = \"DE\"\n[[carbon.source]]\n\
             provider = \"energy_charts\"\nzone = \"FR\"\n",
            &["line 6: carbon.source[1].zone", "FR is another country than DE"][..],
        ),
        (
            "[carbon]\nintensity = 56\n[[carbon.source]]\nprovider = \"neso\"\n",
            &["carbon.basis", "carbon.intensity"][..],
        ),
        (
            "[[carbon.source]]\nprovider = \"electricity_maps\"\nzone = \"DE\"\n",
            &["carbon.source[0].token_file"][..],
        ),
        ("[[carbon.source]]\nprovider = \"energy_charts\"\n", &["carbon.source[0].zone"][..]),
        ("[[carbon.source]]\nprovider = \"rte\"\nquery = \"up\"\n", &["carbon.source[0].query"][..]),
        ("[carbon]\npue_url = \"http://localhost:9090\"\n", &["carbon.pue_query"][..]),
        ("[market]\nresidual = 400\n", &["market.residual", "market.share"][..]),
        ("[market]\nwindows_file = \"/nowhere.csv\"\n", &["/nowhere.csv"][..]),
        ("[embodied]\nenabled = true\nserver_kg = 10\nserver_low_kg = 20\n", &["embodied.server_low_kg"][..]),
    ] {
        let output = with_file(
            directory.path(),
            config,
            &["serve", "--web.listen-address", &format!("127.0.0.1:{}", free_port())],
        );
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{config}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        for part in parts.iter().chain([&"config.toml"]) {
            assert!(text.contains(part), "{part} isn't in {text}");
        }
    }
}

fn with_file(directory: &Path, config: &str, arguments: &[&str]) -> std::process::Output {
    let file = directory.join("config.toml");
    fs::write(&file, config).unwrap();
    let file = file.display().to_string();
    run(&[arguments, &["--config.file", &file]].concat(), &[])
}

#[test]
fn the_same_work_is_ranked_by_place_and_by_time() {
    let output = run(&["regions", "--energy", "120kWh", "--from", "FR", "--config.file=/dev/null"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("lifecycle") && text.contains("direct"), "{text}");
    let forecast: Vec<f64> = (0..48).map(|hour| if (5..9).contains(&hour) { 40.0 } else { 300.0 }).collect();
    let provider = Provider::new(Mood::Says(200, chart(&[250.0, 200.0, 200.0], &forecast)));
    let directory = tempfile::tempdir().unwrap();
    let output = with_file(
        directory.path(),
        &charts(&provider),
        &["when", "--hours", "4", "--web.listen-address=127.0.0.1:1"],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("4 h at 40.0 g/kWh"), "{text}");
    let output =
        run(&["when", "--hours", "4", "--config.file=/dev/null", "--web.listen-address=127.0.0.1:1"], &[]);
    assert_eq!(output.status.code(), Some(1));
}

/// A Prometheus server; it is killed when dropped.
struct Prometheus {
    child: std::process::Child,
    port: u16,
    _files: tempfile::TempDir,
}

impl Prometheus {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let config = files.path().join("prometheus.yml");
        fs::write(&config, "global: {}\n").unwrap();
        let port = free_port();
        let child = std::process::Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", files.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("prometheus, which `make tools` installs");
        wait_for("Prometheus", PATIENCE, || {
            http::get(port, "/-/ready", "").is_ok_and(|answer| answer.status == 200).then_some(())
        });
        Self { child, port, _files: files }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_gives_intensity_and_overhead() {
    let prometheus = Prometheus::start();
    let url = format!("http://127.0.0.1:{}", prometheus.port);
    let config = format!(
        "[carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\npue_url = \"{url}\"\npue_query = \"vector(1.2)\"\n\
         [[carbon.source]]\nprovider = \"prometheus\"\nurl = \"{url}\"\nquery = \"vector(0.21)\"\nunit = \"kg/kWh\"\n\
         basis = \"lifecycle\"\n"
    );
    let daemon = Daemon::modelled(&config, &[]);
    let labels =
        [("provider", "prometheus"), ("grid_zone", "DE"), ("basis", "lifecycle"), ("quality", "measured")];
    let scrape = wait_for("both figures", PATIENCE, || {
        let scrape = daemon.scrape();
        let there = !scrape.select(INTENSITY, &labels).is_empty();
        (there && scrape.value("wattprint_pue_ratio", &[]) > 1.0).then_some(scrape)
    });
    assert_close("intensity", scrape.value(INTENSITY, &labels), 210.0, 1e-9);
    assert_close("PUE", scrape.value("wattprint_pue_ratio", &[]), 1.2, 0.0);
    assert_close("configured", scrape.value("wattprint_pue_configured", &[]), 1.0, 0.0);
    daemon.finish();
}
