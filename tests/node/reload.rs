//! SIGHUP: another configuration for a daemon that goes on counting.

use std::fs;

use crate::daemon::{Daemon, PATIENCE, signal};
use crate::exposition::Exposition;
use crate::grid::provider::{Mood, Provider, chart};
use crate::{assert_close, wait_for};

const ACCEPTED: &str = "wattprint_config_last_reload_successful";
const ACCEPTED_AT: &str = "wattprint_config_last_reload_success_timestamp_seconds";
const INTENSITY: &str = "wattprint_grid_carbon_intensity_grams_per_kwh";
const FAST: &str = "[sample]\ninterval = \"100ms\"\n";
const DONE: &str = "the configuration was read again";

fn constant(intensity: u32) -> String {
    format!("{FAST}[carbon]\nintensity = {intensity}\n")
}

/// Sends SIGHUP, waits until the log has one more of these lines and the sampler has heard of it.
fn reload(daemon: &Daemon, said: &str) {
    let count = |daemon: &Daemon| daemon.log().matches(said).count();
    let before = count(daemon);
    signal(daemon.pid(), "HUP");
    wait_for(said, PATIENCE, || (count(daemon) > before).then_some(()));
    daemon.ticks(2);
}

/// Grams per kWh between two scrapes.
fn rate(before: &Exposition, after: &Exposition) -> f64 {
    let more = |name: &str| {
        let of = |scrape: &Exposition| scrape.value(name, &[("component", "cpu")]);
        of(after) - of(before)
    };
    let joules = more("wattprint_node_energy_joules_total");
    assert!(joules > 0.0);
    more("wattprint_node_emissions_grams_total") / joules * 3.6e6
}

#[test]
fn another_intensity_holds_from_then_on_and_a_bad_file_changes_nothing() {
    let daemon = Daemon::modelled(&constant(100), &[]);
    let first = daemon.scrape();
    assert_close("at the start", first.value(ACCEPTED, &[]), 1.0, 0.0);
    daemon.configure(&constant(700));
    reload(&daemon, DONE);
    let one = daemon.scrape();
    assert!(one.value(ACCEPTED_AT, &[]) > first.value(ACCEPTED_AT, &[]));
    let over = rate(&first, &one);
    assert!(over > 100.0 && over < 700.0, "{over}: what was drawn before costs what it cost then");
    daemon.ticks(3);
    let two = daemon.scrape();
    assert_close("afterwards", rate(&one, &two), 700.0, 1e-6);
    let bad = [
        ("[carbon]\nintensity = 0\n", "line 2: carbon.intensity"),
        ("[carbon]\nzone = \"Atlantis\"\n", "carbon.zone"),
        ("[market]\nwindows_file = \"/nowhere.csv\"\n", "/nowhere.csv"),
        ("[carbon]\npue_file = \"/nowhere\"\n", "/nowhere"),
        ("[web]\ntelemetry_path = \"x\"\n", "web.telemetry_path"),
        ("[[carbon.source]]\nprovider = \"energy_charts\"\n", "carbon.source[0].zone"),
        ("[carbon\n", "not TOML"),
    ];
    for (text, named) in bad {
        daemon.configure(text);
        reload(&daemon, "the old one stays");
        assert!(daemon.log().lines().last().unwrap().contains(named), "{named}: {}", daemon.log());
        assert!(daemon.log().lines().last().unwrap().contains("ERROR"), "{}", daemon.log());
        assert_close("refused", daemon.scrape().value(ACCEPTED, &[]), 0.0, 0.0);
    }
    fs::remove_file(daemon.config_file()).unwrap();
    reload(&daemon, "the old one stays");
    let three = daemon.scrape();
    assert_close("all the time", rate(&two, &three), 700.0, 1e-6);
    assert_close("since", three.value(ACCEPTED_AT, &[]), one.value(ACCEPTED_AT, &[]), 0.0);
    daemon.configure(&constant(700));
    reload(&daemon, DONE);
    assert_close("accepted", daemon.scrape().value(ACCEPTED, &[]), 1.0, 0.0);
    daemon.finish();
}

#[test]
fn nothing_falls_and_no_thread_stays_over_fifty_reloads() {
    let provider = Provider::new(Mood::Hangs);
    let hanging = format!(
        "{FAST}[carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\n[[carbon.source]]\nprovider = \"energy_charts\"\n\
         url = \"{}\"\n[names]\nlabels = [\"team\"]\n",
        provider.url()
    );
    let files = [
        hanging,
        format!("{FAST}[carbon]\nzone = \"FR\"\n[market]\nshare = 0.5\n[embodied]\nenabled = true\n"),
    ];
    let daemon = Daemon::modelled(&files[1], &[]);
    let threads = daemon.scrape().value("process_threads", &[]);
    let mut before = daemon.scrape();
    for file in files.iter().cycle().take(50) {
        daemon.configure(file);
        reload(&daemon, DONE);
        let after = daemon.scrape();
        before.assert_never_falls(&after);
        before = after;
    }
    daemon.configure(&files[1]);
    reload(&daemon, DONE);
    wait_for("the end of old threads", PATIENCE, || {
        (daemon.scrape().value("process_threads", &[]) <= threads + 1.0).then_some(())
    });
    daemon.finish();
}

#[test]
fn another_source_is_asked_and_the_old_one_is_left_alone() {
    let [one, two] = [50.0, 90.0].map(|g| Provider::new(Mood::Says(200, chart(&[g; 3], &[g; 6]))));
    let file = |provider: &Provider| {
        format!(
            "{FAST}[carbon]\nzone = \"DE\"\nstartup_spread = \"0s\"\n[[carbon.source]]\nprovider = \"energy_charts\"\n\
             url = \"{}\"\n",
            provider.url()
        )
    };
    let daemon = Daemon::modelled(&file(&one), &[]);
    let live = [("provider", "energy_charts")];
    let until = |grams: f64| {
        wait_for("the intensity", PATIENCE, || {
            let scrape = daemon.scrape();
            let is_there = !scrape.select(INTENSITY, &live).is_empty();
            (is_there && (scrape.value(INTENSITY, &live) - grams).abs() < 1e-9).then_some(scrape)
        })
    };
    let before = until(50.0);
    reload(&daemon, DONE);
    daemon.configure(&file(&two));
    reload(&daemon, DONE);
    before.assert_never_falls(&until(90.0));
    assert_eq!((one.asked().len(), two.asked().len()), (1, 1));
    daemon.finish();
}

#[test]
fn interval_and_log_level_change_and_other_keys_take_a_restart() {
    let daemon = Daemon::modelled("[sample]\ninterval = \"60s\"\n[log]\nlevel = \"warn\"\n", &[]);
    daemon.configure(&format!(
        "{FAST}[log]\nlevel = \"info\"\n[limits]\nworkloads = 7\n[web]\nmax_requests = 3\n"
    ));
    reload(&daemon, DONE);
    let log = daemon.log();
    assert!(log.contains("takes a restart: web.max_requests, limits.workloads"), "{log}");
    let scrape = daemon.scrape();
    assert_close("accepted", scrape.value(ACCEPTED, &[]), 1.0, 0.0);
    let waiting = |scrape: &Exposition| scrape.select("wattprint_config_awaiting_restart_info", &[]).len();
    for key in ["web.max_requests", "limits.workloads"] {
        let of = scrape.value("wattprint_config_awaiting_restart_info", &[("key", key)]);
        assert_close(key, of, 1.0, 0.0);
    }
    assert_eq!(waiting(&scrape), 2);
    daemon.ticks(5);
    // What is as it was at the start waits for nothing.
    daemon.configure(FAST);
    reload(&daemon, DONE);
    assert_eq!(waiting(&daemon.scrape()), 0);
    // One counter can't mix what two factors count.
    daemon.configure(&format!("{FAST}[carbon]\nzone = \"US-CA\"\n"));
    signal(daemon.pid(), "HUP");
    wait_for("the warning", PATIENCE, || daemon.log().contains("takes a restart: carbon.zone").then_some(()));
    daemon.finish();
}

#[test]
fn a_credential_that_is_missing_as_at_the_start_keeps_nothing_else_from_changing() {
    let source = "[[carbon.source]]\nprovider = \"entsoe\"\nzone = \"FR\"\ntoken_file = \"/nowhere\"\n";
    let file = |more: &str| format!("{FAST}[carbon]\nstartup_spread = \"1h\"\n{more}{source}");
    let daemon = Daemon::modelled(&file(""), &[]);
    daemon.configure(&file("pue = 1.5\n"));
    reload(&daemon, DONE);
    assert_close("taken", daemon.scrape().value("wattprint_pue_ratio", &[]), 1.5, 0.0);
    // Another one must be there.
    daemon.configure(&file("pue = 1.7\n").replace("/nowhere", "/nowhere-else"));
    reload(&daemon, "the old one stays");
    assert_close("refused", daemon.scrape().value("wattprint_pue_ratio", &[]), 1.5, 0.0);
    assert!(daemon.log().contains("/nowhere-else"), "{}", daemon.log());
    daemon.finish();
}
