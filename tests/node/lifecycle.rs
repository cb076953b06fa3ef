//! Starting, stopping, and what a client sees meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;

use crate::daemon::{Daemon, PATIENCE, binary, free_port, run, signal};
use crate::exposition::Exposition;
use crate::http::{self, connect};
use crate::{assert_close, wait_for};

#[test]
fn it_is_ready_in_two_seconds_and_a_signal_ends_it_in_two() {
    for name in ["TERM", "INT"] {
        let mut daemon = Daemon::start(&[]);
        assert!(daemon.ready_after < Duration::from_secs(2), "{:?}", daemon.ready_after);
        let mut held = Vec::new();
        for sent in ["", "GET /metr", "GET /metrics HTTP/1.1\r\nHost: node\r\nContent-Length: 9\r\n\r\n"] {
            for _ in 0..5 {
                let mut stream = connect(daemon.port).unwrap();
                stream.write_all(sent.as_bytes()).unwrap();
                held.push(stream);
            }
        }
        let mut idle = connect(daemon.port).unwrap();
        idle.write_all(b"GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n").unwrap();
        assert!(idle.read(&mut [0; 4096]).unwrap() > 0);
        let (status, took) = daemon.end(name);
        assert_eq!(status.code(), Some(0), "SIG{name}: {}", daemon.log());
        assert!(took < Duration::from_secs(2), "SIG{name}: {took:?}");
        assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    }
}

/// A line of a status file of procfs.
fn status_line(path: &str, key: &str) -> String {
    let status = fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {path}")).trim().to_owned()
}

#[test]
fn every_thread_gives_up_system_calls_where_there_are_rights_to_steal() {
    let filters = |path: &str| status_line(path, "Seccomp_filters").parse::<u32>().unwrap();
    let before = filters("/proc/self/status");
    let is_root = status_line("/proc/self/status", "Uid").starts_with('0');
    // Root is root without capabilities, too.
    let without_capabilities: &[&str] = &["setpriv", "--bounding-set=-all"];
    let wrappers = if is_root { vec![&[], without_capabilities] } else { vec![&[][..]] };
    for wrapper in wrappers {
        let daemon = Daemon::wrapped(wrapper, &[], "", &[]);
        let process = format!("/proc/{}", daemon.pid());
        let has_capabilities = status_line(&format!("{process}/status"), "CapPrm") != "0000000000000000";
        let own = if is_root || has_capabilities { 2 } else { 0 };
        let threads = fs::read_dir(format!("{process}/task")).unwrap();
        let found: Vec<u32> =
            threads.map(|thread| filters(&format!("{}/status", thread.unwrap().path().display()))).collect();
        assert!(found.len() > 1, "{found:?}");
        assert!(found.iter().all(|&now| now == before + own), "{found:?}");
        daemon.finish();
    }
}

#[test]
fn a_signal_ends_it_before_the_first_snapshot() {
    let port = free_port();
    let mut child = binary()
        .args([&format!("--web.listen-address=127.0.0.1:{port}"), "--sample.interval=60s"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("the port", PATIENCE, || connect(port).ok());
    let begun = Instant::now();
    signal(child.id(), "TERM");
    let status = wait_for("the end", PATIENCE, || child.try_wait().unwrap());
    assert!(status.success() || status.code().is_none(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--config.file=/dev/null", "--web.listen-address", &address], &[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(&address) && text.contains("in use"), "{text}");
}

#[test]
fn a_bad_configuration_is_one_line_that_names_it_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let bad = |arguments: &[&str], environment: &[(&str, &str)], named: &[&str]| {
        let output = run(arguments, environment);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {environment:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{arguments:?} {environment:?}: {text}");
        for part in named {
            assert!(text.contains(part), "{arguments:?} {environment:?}: {part} isn't in {text}");
        }
    };
    let files = [
        ("unknown key", "[web]\nlisten = \":1\"\n", &["web.listen", "listen_address"][..]),
        ("unknown table", "[wbe]\n", &["wbe", "web"]),
        ("wrong type", "[limits]\nworkloads = \"many\"\n", &["workloads"]),
        ("wrong word", "[log]\nlevel = \"loud\"\n", &["loud", "debug"]),
        ("out of range", "[sample]\ninterval = \"1ms\"\n", &["sample.interval", "100ms"]),
        ("syntax", "[web\n", &[]),
        ("zone", "[carbon]\nzone = \"Atlantis\"\n", &["zone.toml: line 2: carbon.zone = \"Atlantis\""]),
        (
            "region",
            "[carbon]\ncloud = \"aws:eu-west3\"\n",
            &["region.toml: line 2: carbon.cloud = \"aws:eu-west3\"", "aws:eu-west-3"],
        ),
        (
            "basis",
            "[carbon]\nzone = \"US-CA\"\nbasis = \"lifecycle\"\n",
            &["basis.toml: line 3: carbon.basis"],
        ),
        (
            "address",
            "[web]\nlisten_address = [\"nowhere\"]\n",
            &["address.toml: line 2: web.listen_address = \"nowhere\": expected HOST:PORT"],
        ),
        (
            "one address",
            "[web]\nlisten_address = \"nowhere\"\n",
            &["web.listen_address = \"nowhere\": expected"],
        ),
        ("path", "[web]\ntelemetry_path = \"x\"\n", &["path.toml: line 2: web.telemetry_path = \"x\""]),
        ("not text", "\u{0}", &[]),
    ];
    for (name, text, named) in files {
        let path = dir.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap();
        bad(&["--config.file", path], &[], named);
        bad(&["check", "--config.file", path], &[], named);
    }
    let missing = dir.path().join("missing.toml");
    bad(&["--config.file", missing.to_str().unwrap()], &[], &["missing.toml"]);
    bad(&["--config.file", dir.path().to_str().unwrap()], &[], &[dir.path().to_str().unwrap()]);
    let none = "--config.file=/dev/null";
    bad(&[none], &[("WATTPRINT_SAMPLE__INTERVALL", "1s")], &["intervall"]);
    bad(&[none], &[("WATTPRINT_WEB__MAX_REQUESTS", "lots")], &["max_requests"]);
    bad(
        &[none],
        &[("WATTPRINT_WEB__MAX_REQUESTS", "0")],
        &["environment WATTPRINT_WEB__MAX_REQUESTS: web.max_requests = 0"],
    );
    bad(&[none], &[("WATTPRINT_WEB_LISTEN_ADDRESS", ":1")], &["WATTPRINT_WEB__LISTEN_ADDRESS"]);
    bad(&[none, "--carbon.pue=0.5"], &[], &["flag --carbon.pue: carbon.pue = 0.5"]);
    for command in ["serve", "check"] {
        let address = ["--web.listen-address=:1", "--web.listen-address=nope"];
        let expected = "flag --web.listen-address: web.listen_address = \"nope\": expected";
        bad(&[&[command, none][..], &address].concat(), &[], &[expected]);
    }
}

#[test]
fn bad_usage_is_one_line_and_exit_code_2_and_help_and_version_are_answers() {
    for (arguments, part) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["--sample.interval"], "--sample.interval"),
        (&["frobnicate"], "frobnicate"),
        (&["check", "--jso"], "--json"),
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part) && said.lines().count() == 1, "{said}");
    }
    let output = run(&["--version"], &[]);
    assert_eq!(output.status.code(), Some(0));
    let version = concat!("wattprint ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), version);
    for arguments in [&["--help"][..], &["check", "--help"], &["serve", "--help"]] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("--config.file"));
        assert!(output.stderr.is_empty());
    }
}

#[test]
fn a_stopped_daemon_books_the_whole_gap_once() {
    let config = "[model]\ncpu_tdp_watts = 1000\ncpu_idle_watts = 1000\nmemory_watts_per_gb = 1\n";
    let daemon = Daemon::modelled(config, &["--sample.interval=500ms"]);
    let before = daemon.ticks(1);
    signal(daemon.pid(), "STOP");
    let stopped = Instant::now();
    wait_for("the gap", PATIENCE, || (stopped.elapsed() > Duration::from_secs(7)).then_some(()));
    signal(daemon.pid(), "CONT");
    let first = daemon.until("a tick", |snapshot| snapshot.sequence() > before.sequence());
    let after = daemon.ticks(2);
    // The one tick covers the gap; the missed ones are left out.
    let longest = first.0["elapsed_seconds"].as_f64().unwrap();
    let ticks = after.sequence() - before.sequence();
    assert!(longest > 6.5 || ticks < 12, "{longest} {ticks}");
    let elapsed = after.unix_time() - before.unix_time();
    assert!(elapsed > 7.0);
    for component in ["cpu", "dram"] {
        let booked = (after.energy_uj(component) - before.energy_uj(component)) as f64 / 1e6;
        let watts = match component {
            "cpu" => 1000.0,
            _ => after.component("dram").unwrap()["power_watts"].as_f64().unwrap(),
        };
        assert_close(component, booked, watts * elapsed, 0.02);
    }
    assert_eq!(after.quality("cpu"), "modelled");
    assert_eq!(daemon.get("/-/healthy").status, 200);
    daemon.finish();
}

#[test]
fn clients_that_never_finish_keep_nobody_out() {
    let mut daemon = Daemon::start(&[]);
    let unfinished = "GET /metrics HTTP/1.1\r\nHost: node\r\nContent-Length: 1000\r\n\r\nxy";
    let mut held = Vec::new();
    // More than the connections that it keeps open.
    for n in 0..700 {
        let mut stream = connect(daemon.port).unwrap();
        let sent = ["", "GET /metr", "GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n", unfinished][n % 4];
        // It may have been cut already.
        let _ = stream.write_all(sent.as_bytes());
        held.push(stream);
        if n % 20 == 0 {
            for path in ["/metrics", "/-/healthy", "/-/ready"] {
                assert_eq!(daemon.get(path).status, 200, "{path} beside {n}");
            }
        }
    }
    let (status, took) = daemon.end("TERM");
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn what_a_connection_sends_costs_little_memory() {
    const CONNECTIONS: usize = 200;
    const REQUESTS: usize = 40;
    let daemon = Daemon::start(&[]);
    let resident_kb = || -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    let before = resident_kb();
    let padding = "x".repeat(4096);
    let requests = format!("HEAD /-/ready HTTP/1.1\r\nHost: node\r\nX: {padding}\r\n\r\n").repeat(REQUESTS);
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connect(daemon.port).unwrap();
        stream.write_all(requests.as_bytes()).unwrap();
        held.push(stream);
    }
    for stream in &mut held {
        let mut answers = Vec::new();
        while answers.windows(4).filter(|window| window == b"\r\n\r\n").count() < REQUESTS {
            let mut buffer = [0; 16 * 1024];
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "cut");
            answers.extend_from_slice(&buffer[..read]);
        }
    }
    let each = resident_kb().saturating_sub(before) / CONNECTIONS;
    assert!(each < 48, "{each} kB for each connection");
    drop(held);
    daemon.finish();
}

#[test]
fn metrics_come_plain_or_compressed_and_only_rise() {
    let daemon = Daemon::start(&["--sample.interval=200ms"]);
    let plain = daemon.get("/metrics");
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.header("content-encoding"), None);
    let first = Exposition::parse(&plain.text());
    let packed = http::get(daemon.port, "/metrics", "Accept-Encoding: gzip\r\n").unwrap();
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(packed.body.as_slice()).read_to_string(&mut text).unwrap();
    let mut last = Exposition::parse(&text);
    first.assert_never_falls(&last);
    for _ in 0..10 {
        daemon.ticks(1);
        let next = daemon.scrape();
        last.assert_never_falls(&next);
        last = next;
    }
    let energy =
        |scrape: &Exposition| scrape.value("wattprint_node_energy_joules_total", &[("component", "cpu")]);
    assert!(energy(&last) > energy(&first));
    let stamp = |scrape: &Exposition| scrape.value("wattprint_sample_timestamp_seconds", &[]);
    assert!(stamp(&last) > stamp(&first));
    daemon.finish();
}

#[test]
fn pages_answer_and_unknown_ones_do_not() {
    let mut daemon = Daemon::start(&["--web.telemetry-path=/m"]);
    for path in ["/", "/m", "/-/healthy", "/healthz", "/-/ready", "/readyz", "/api/v1/snapshot"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
    assert!(daemon.get("/").text().contains("/m"));
    for path in ["/metrics", "/nowhere", "/api/v2/snapshot"] {
        assert_eq!(daemon.get(path).status, 404, "{path}");
    }
    assert_eq!(daemon.end("TERM").0.code(), Some(0));
}

/// Lets promtool read a scrape, and panics if it has anything to say.
pub(crate) fn assert_clean(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; run `make tools`"));
    let mut input = promtool.stdin.take().unwrap();
    let body = text.to_owned();
    let writer = thread::spawn(move || input.write_all(body.as_bytes()));
    let output = promtool.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(said.is_empty() && output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_has_nothing_to_say_and_each_family_is_in_the_docs() {
    let daemon = Daemon::start(&[]);
    daemon.ticks(1);
    let text = daemon.get("/metrics").text();
    assert_clean(&text);

    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    for (family, kind) in &Exposition::parse(&text).types {
        let section = docs.split("### ").find(|part| part.starts_with(&format!("`{family}`\n")));
        let section = section.unwrap_or_else(|| panic!("docs/metrics.md lacks {family}"));
        assert!(section.contains(&format!("Type: {kind}.")), "{family} is a {kind}");
    }
    daemon.finish();
}
