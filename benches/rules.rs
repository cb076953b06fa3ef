//! What the recording rules and alerts cost Prometheus, over simulated nodes.
//!
//! `cargo bench --bench rules -- [--scrape SECONDS] [--json PATH] [NODES [MINUTES]]`
//!
//! Runs the `prometheus` in PATH with deploy/prometheus/rules over that many nodes (100), each with 8 GPUs and 30 containers,
//! for that many minutes (12), and prints a table and then JSON, the JSON into a file if one is named. A scrape interval under
//! the usual 30 s speeds up the nodes by as much, so that look-backs of an hour hold an hour's samples and containers after
//! 6 minutes at 3 s. Fails where a scrape or a rule failed.

#![allow(clippy::disallowed_methods, reason = "a benchmark is there to read clocks")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulated time and figures for people, all small and positive"
)]

#[path = "rules/node.rs"]
mod node;
#[path = "rules/report.rs"]
mod report;
#[path = "rules/server.rs"]
mod server;

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What the nodes' time is true to.
const USUAL_SCRAPE: f64 = 30.0;

struct Arguments {
    nodes: u64,
    minutes: u64,
    scrape: u64,
    json: Option<PathBuf>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut arguments = Self { nodes: 100, minutes: 12, scrape: USUAL_SCRAPE as u64, json: None };
        let mut numbers = 0;
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--scrape" => arguments.scrape = value()?.parse()?,
                "--json" => arguments.json = Some(PathBuf::from(value()?)),
                number => {
                    let number = number.parse().map_err(|_| {
                        format!("{number}: not --scrape, --json or a number of nodes and of minutes")
                    })?;
                    match numbers {
                        0 => arguments.nodes = number,
                        1 => arguments.minutes = number,
                        _ => return Err("one number of nodes and one of minutes".into()),
                    }
                    numbers += 1;
                }
            }
        }
        if arguments.minutes < 7 {
            return Err("at least 7 minutes, for five runs of the rules".into());
        }
        if arguments.scrape == 0 {
            return Err("--scrape must be at least 1".into());
        }
        Ok(arguments)
    }
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs this too, without that flag.
    if !std::env::args().any(|argument| argument == "--bench") {
        say("measures under `cargo bench --bench rules` only");
        return ExitCode::SUCCESS;
    }
    let done = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    if let Err(error) = done {
        say(&error.to_string());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Ends Prometheus and takes its data away, however the run ends.
struct Prometheus {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.folder).ok();
    }
}

impl Prometheus {
    fn start(arguments: &Arguments, nodes: std::net::SocketAddr) -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("wattprint-rules-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules/*.yml");
        let targets: Vec<Value> = (0..arguments.nodes)
            .map(|node| {
                let labels = json!({
                    "__metrics_path__": format!("/{node}/metrics"),
                    "instance": format!("node-{node}"),
                    "cluster": "main",
                });
                json!({ "targets": [nodes.to_string()], "labels": labels })
            })
            .collect();
        // JSON is YAML.
        let configuration = json!({
            "global": {
                "scrape_interval": format!("{}s", arguments.scrape),
                "scrape_timeout": format!("{}s", arguments.scrape.min(10)),
                "evaluation_interval": "1m",
            },
            "rule_files": [rules],
            "scrape_configs": [{ "job_name": "wattprint", "honor_labels": true, "static_configs": targets }],
        });
        fs::write(folder.join("prometheus.yml"), configuration.to_string())?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--storage.tsdb.retention.time=32d")
            .stderr(File::create(folder.join("log"))?)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("prometheus: {error}"))?;
        Ok(Self { child, port, folder })
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let nodes = server::serve(USUAL_SCRAPE / arguments.scrape as f64)?;
    let mut prometheus = Prometheus::start(arguments, nodes)?;
    say(&format!("{} nodes for {} minutes", arguments.nodes, arguments.minutes));
    let end = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let (mut before, mut runs, mut look) = (None, report::Runs::default(), Instant::now());
    while Instant::now() < end {
        thread::sleep(Duration::from_secs(1));
        if let Some(status) = prometheus.child.try_wait()? {
            let log = fs::read_to_string(prometheus.folder.join("log"))?;
            return Err(format!("prometheus ended with {status}: {log}").into());
        }
        // CPU time and the groups' longest runs are of the last five minutes.
        if end.saturating_duration_since(Instant::now()) < Duration::from_secs(300) {
            if before.is_none() {
                before = Some(report::Effort::read(prometheus.child.id())?);
            }
            if look.elapsed() > Duration::from_secs(10) {
                look = Instant::now();
                runs.look(prometheus.port)?;
            }
        }
    }
    let report = report::measure(
        prometheus.port,
        prometheus.child.id(),
        &before.ok_or("no measurement at the start")?,
        &runs,
        json!({ "nodes": arguments.nodes, "minutes": arguments.minutes, "scrape_seconds": arguments.scrape }),
    )?;
    let mut output = io::stdout().lock();
    report::write_table(&report, &mut output)?;
    match &arguments.json {
        Some(path) => serde_json::to_writer_pretty(File::create(path)?, &report)?,
        None => {
            serde_json::to_writer_pretty(&mut output, &report)?;
            writeln!(output)?;
        }
    }
    match report["failed"].as_array() {
        Some(failed) if failed.is_empty() => Ok(()),
        _ => Err(format!("failed: {}", report["failed"]).into()),
    }
}

/// Tells the reader; what can't be told is no reason to fail.
fn say(what: &str) {
    writeln!(io::stderr(), "rules: {what}").ok();
}
