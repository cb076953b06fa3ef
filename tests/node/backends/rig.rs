//! Real servers: Prometheus and Alertmanager from Debian's packages, and a small one for what they scrape and call.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{PATIENCE, free_port};
use crate::wait_for;

/// A program that serves; it is killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    name: &'static str,
    child: Child,
    pub(super) port: u16,
    files: TempDir,
}

impl Server {
    /// Starts it and waits until it is ready. Both servers have the same way to say so.
    fn start(name: &'static str, files: TempDir, port: u16, arguments: &[String]) -> Self {
        let log = File::create(files.path().join("log")).expect("create the log");
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{name}: {error}; `make tools` installs it"));
        let mut server = Self { name, child, port, files };
        wait_for(name, PATIENCE, || {
            let ended = server.child.try_wait().expect("wait");
            assert!(ended.is_none(), "{name} ended: {}", server.log());
            let answer = agent().get(server.url("/-/ready")).call();
            answer.is_ok_and(|answer| answer.status() == 200).then_some(())
        });
        server
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.files.path().join("log")).unwrap_or_default()
    }

    /// What its API says, whatever the status.
    pub(super) fn get(&self, path: &str) -> Value {
        let answer = agent().get(self.url(path)).call();
        self.json(path, answer)
    }

    /// The same for a form, which may be longer than an address.
    fn post(&self, path: &str, form: &[(&str, &str)]) -> Value {
        let answer = agent().post(self.url(path)).send_form(form.iter().copied());
        self.json(path, answer)
    }

    fn json(&self, path: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
        let what = |error: &dyn std::fmt::Display| format!("{} {path}: {error}", self.name);
        let mut answer = answer.unwrap_or_else(|error| panic!("{}", what(&error)));
        let text = answer.body_mut().with_config().limit(1 << 28).read_to_string();
        let text = text.unwrap_or_else(|error| panic!("{}", what(&error)));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {text}", what(&error)))
    }
}

impl Drop for Server {
    #[allow(clippy::print_stderr, reason = "the log tells why a test failed")]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the log of {}:\n{}", self.name, self.log());
        }
    }
}

/// A client that goes straight to this machine's servers, and that takes any status for an answer.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(PATIENCE)).build().new_agent()
}

/// One series of an answer: its labels, and its values by time.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) labels: Value,
    pub(super) points: Vec<(f64, f64)>,
}

impl Series {
    fn parse(row: &Value) -> Self {
        let point = |pair: &Value| {
            let value = pair[1].as_str().expect("a value").replace("Inf", "inf");
            (pair[0].as_f64().expect("a time"), value.parse().expect("a number"))
        };
        let many = row["values"].as_array().into_iter().flatten();
        let one = row.get("value").into_iter();
        Self { labels: row["metric"].clone(), points: many.chain(one).map(point).collect() }
    }

    pub(super) fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }

    /// The last value.
    pub(super) fn value(&self) -> f64 {
        self.points.last().expect("a series has a value").1
    }
}

/// A running Prometheus.
#[derive(Debug)]
pub(super) struct Prometheus(pub(super) Server);

impl Prometheus {
    /// Starts it with these scrape configurations and this Alertmanager, on the port that they know of.
    pub(super) fn start(port: u16, rules: &[(String, String)], scrapes: &Value, alertmanager: u16) -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let directory = files.path().join("rules");
        fs::create_dir(&directory).expect("make the directory of rules");
        for (name, text) in rules {
            fs::write(directory.join(name), text).expect(name);
        }
        // JSON is YAML. What doesn't say otherwise is evaluated often.
        let config = serde_json::json!({
            "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": QUICK},
            "rule_files": [format!("{}/*.yml", directory.display())],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [format!("127.0.0.1:{alertmanager}")]}]}]},
            "scrape_configs": scrapes,
        });
        let path = files.path().join("prometheus.yml");
        fs::write(&path, config.to_string()).expect("write the configuration");
        let arguments = [
            format!("--config.file={}", path.display()),
            format!("--storage.tsdb.path={}", files.path().join("data").display()),
            "--storage.tsdb.retention.time=32d".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--log.level=warn".to_owned(),
        ];
        Self(Server::start("prometheus", files, port, &arguments))
    }

    /// The series that an expression gives now, or the server's complaint.
    pub(super) fn try_query(&self, expr: &str) -> Result<Vec<Series>, String> {
        rows(&self.0.post("/api/v1/query", &[("query", expr)]))
    }

    pub(super) fn query(&self, expr: &str) -> Vec<Series> {
        self.try_query(expr).unwrap_or_else(|error| panic!("{expr}: {error}"))
    }

    /// The same at a time.
    pub(super) fn query_at(&self, expr: &str, time: f64) -> Vec<Series> {
        let answer = self.0.post("/api/v1/query", &[("query", expr), ("time", &time.to_string())]);
        rows(&answer).unwrap_or_else(|error| panic!("{expr}: {error}"))
    }

    /// The series of the last minutes, in steps of 15 s.
    pub(super) fn try_range(&self, expr: &str, minutes: f64) -> Result<Vec<Series>, String> {
        let end = crate::gpu::unix_seconds();
        let (start, end) = ((end - minutes * 60.0).to_string(), end.to_string());
        let form = [("query", expr), ("start", &start), ("end", &end), ("step", "15")];
        rows(&self.0.post("/api/v1/query_range", &form))
    }

    /// The values that a label has on series that match.
    pub(super) fn label_values(&self, label: &str, selector: &str) -> Result<Vec<String>, String> {
        let selector: String = form_urlencoded::byte_serialize(selector.as_bytes()).collect();
        let answer = self.0.get(&format!("/api/v1/label/{label}/values?match[]={selector}"));
        let values = data(&answer)?.as_array().into_iter().flatten();
        Ok(values.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// All groups of rules as the server sees them.
    pub(super) fn groups(&self) -> Vec<Value> {
        self.0.get("/api/v1/rules")["data"]["groups"].as_array().cloned().unwrap_or_default()
    }
}

fn data(answer: &Value) -> Result<&Value, String> {
    if answer["status"] == "success" { Ok(&answer["data"]) } else { Err(answer["error"].to_string()) }
}

fn rows(answer: &Value) -> Result<Vec<Series>, String> {
    let data = data(answer)?;
    if data["resultType"] == "scalar" {
        return Ok(vec![Series::parse(&serde_json::json!({"metric": {}, "value": data["result"]}))]);
    }
    Ok(data["result"].as_array().into_iter().flatten().map(Series::parse).collect())
}

/// A running Alertmanager.
#[derive(Debug)]
pub(super) struct Alertmanager(pub(super) Server);

impl Alertmanager {
    pub(super) fn start(config: &str) -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let (path, port) = (files.path().join("alertmanager.yml"), free_port());
        fs::write(&path, config).expect("write the configuration");
        let arguments = [
            format!("--config.file={}", path.display()),
            format!("--storage.path={}", files.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
            // It has no peers.
            "--cluster.listen-address=".to_owned(),
            "--log.level=warn".to_owned(),
        ];
        Self(Server::start("prometheus-alertmanager", files, port, &arguments))
    }

    /// The alerts that it holds, those that are held back too.
    pub(super) fn alerts(&self) -> Vec<Value> {
        self.0.get("/api/v2/alerts").as_array().cloned().unwrap_or_default()
    }
}

/// How often rules run whose arithmetic doesn't depend on it.
const QUICK: &str = "5s";

/// The text of a file of rules at the pace of a test. Base minutes stay: their groups must run once a minute. Tens of minutes
/// become minutes, in the interval and in the window alike, so that each minute counts once.
pub(super) fn hastened(text: &str) -> String {
    let mut groups: Vec<Vec<&str>> = vec![Vec::new()];
    for line in text.lines() {
        if line.starts_with("  - name:") {
            groups.push(Vec::new());
        }
        groups.last_mut().expect("a group").push(line);
    }
    let mut hastened = String::new();
    for group in groups {
        let records = |level: &str| {
            group
                .iter()
                .any(|line| line.trim_start().starts_with("- record:") && line.trim_end().ends_with(level))
        };
        let (is_base, is_ten) = (records(":increase1m"), records(":increase10m"));
        for line in &group {
            let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
            let line = match rest.split_once(": ").map(|(key, _)| key) {
                Some("interval") => {
                    format!("{indent}interval: {}", if is_base || is_ten { "1m" } else { QUICK })
                }
                Some(key @ ("for" | "keep_firing_for")) => format!("{indent}{key}: 2s"),
                _ if is_ten => line.replace("[9m59s999ms]", "[59s999ms]"),
                _ => (*line).to_owned(),
            };
            hastened.push_str(&line);
            hastened.push('\n');
        }
    }
    hastened
}

/// All files of a directory with this extension: their names and contents.
pub(super) fn files_of(directory: &str, extension: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<(String, String)> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("UTF-8");
            (name, text)
        })
        .collect();
    files.sort();
    files
}

/// Answers requests until the tests' process ends; what it is asked for and its body go to a function, which gives what is
/// said, or nothing for a 404.
pub(super) fn serve(answer: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A client that goes away has seen enough.
            thread::spawn(move || drop(exchange(stream, &*answer)));
        }
    });
    port
}

fn exchange(stream: TcpStream, answer: &dyn Fn(&str, &str) -> Option<String>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().ok())?
    });
    let mut body = String::new();
    reader.by_ref().take(length.unwrap_or(0)).read_to_string(&mut body)?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, said) = answer(path, &body).map_or((404, String::new()), |said| (200, said));
    let length = said.len();
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{said}"
    )
}

#[test]
fn only_the_tempo_of_rules_is_changed() {
    let text = "groups:\n  - name: a\n    interval: 1m\n    rules:\n      - record: x:y:increase1m\n        expr: sum(z[9m59s999ms])\n\
                \x20 - name: b\n    interval: 10m\n    rules:\n      - record: x:y:increase10m\n        expr: sum(z[9m59s999ms])\n\
                \x20 - name: c\n    interval: 1m\n    rules:\n      - alert: A\n        expr: up == 0\n        for: 10m\n";
    let expected = "groups:\n  - name: a\n    interval: 1m\n    rules:\n      - record: x:y:increase1m\n        expr: sum(z[9m59s999ms])\n\
                    \x20 - name: b\n    interval: 1m\n    rules:\n      - record: x:y:increase10m\n        expr: sum(z[59s999ms])\n\
                    \x20 - name: c\n    interval: 5s\n    rules:\n      - alert: A\n        expr: up == 0\n        for: 2s\n";
    assert_eq!(hastened(text), expected);
}
