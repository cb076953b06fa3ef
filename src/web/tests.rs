//! The server as clients see it, through raw sockets: what each path answers.

mod limits;

use std::future::Future;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Limits, WebError, WebSettings, bind, fixture, parse_listen, serve};
use crate::carbon::grid::{GridState, SourceState};
use crate::snapshot::{Snapshot, SnapshotCell};

/// More than any test takes, less than a person waits.
const DEADLINE: Duration = Duration::from_secs(20);

struct Node {
    address: SocketAddr,
    snapshots: Arc<SnapshotCell>,
    /// The monotonic clock, in milliseconds.
    clock: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    served: JoinHandle<Result<(), WebError>>,
}

impl Node {
    fn start(snapshot: Option<Snapshot>, limits: Limits) -> Self {
        let settings = WebSettings { limits, ..WebSettings::default() };
        let listeners = bind(&[parse_listen("127.0.0.1:0").unwrap()]).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let snapshots = Arc::new(SnapshotCell::new());
        if let Some(snapshot) = snapshot {
            snapshots.publish(Arc::new(snapshot));
        }
        let clock = Arc::new(AtomicU64::new(100_000));
        let now = {
            let clock = Arc::clone(&clock);
            Arc::new(move || Duration::from_millis(clock.load(Ordering::Relaxed)))
        };
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn(serve(listeners, settings, Arc::clone(&snapshots), now, stopped));
        Self { address, snapshots, clock, stop, served }
    }

    async fn connect(&self) -> TcpStream {
        in_time(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Sends bytes on a fresh connection.
    async fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    /// The answer to a request that closes its connection.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n{headers}\r\n");
        Answer::parse(&to_end(self.send(&request).await).await)
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// Asks until the status is the expected one.
    async fn until(&self, path: &str, status: u16) {
        in_time(async {
            while self.get(path).await.status != status {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no header in {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("takes too long")
}

/// All that comes until the connection ends, in whichever way.
async fn to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = in_time(stream.read_to_end(&mut bytes)).await;
    bytes
}

#[tokio::test]
async fn metrics_are_text_and_gzip_is_the_same_text() {
    let node = Node::start(Some(fixture::large(5_000)), Limits::default());
    let plain = node.get("/metrics").await;
    assert_eq!(plain.status, 200);
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(plain.header("content-length"), Some(plain.body.len().to_string().as_str()));
    assert!(plain.text().contains("# TYPE wattprint_node_energy_joules_total counter\n"));

    let gzip = node.ask("GET", "/metrics", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(gzip.header("content-type"), plain.header("content-type"));
    assert_eq!(gzip.header("content-encoding"), Some("gzip"));
    assert_eq!(gzip.header("vary"), Some("Accept-Encoding"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*gzip.body).read_to_string(&mut text).unwrap();
    assert!(text == plain.text(), "gzip holds another text");

    let refused = node.ask("GET", "/metrics", "Accept-Encoding: gzip;q=0\r\n").await;
    assert_eq!(refused.header("content-encoding"), None);
}

#[tokio::test]
async fn head_has_the_length_and_no_body() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    for path in ["/metrics", "/", "/api/v1/snapshot", "/api/v1/grid", "/-/healthy", "/-/ready"] {
        let (get, head) = (node.get(path).await, node.ask("HEAD", path, "").await);
        assert_eq!((get.status, head.status), (200, 200), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    let missing = node.get("/metrics/").await;
    assert_eq!((missing.status, missing.text()), (404, "not found\n"));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
        let refused = node.ask(method, "/metrics", "").await;
        assert_eq!(refused.status, 405, "{method}");
        assert_eq!(refused.header("allow"), Some("GET,HEAD"), "{method}");
    }
    assert_eq!(node.get("/metrics?collect[]=rapl").await.status, 200);
}

#[tokio::test]
async fn before_the_first_snapshot_only_health_is_well() {
    let node = Node::start(None, Limits::default());
    for path in ["/metrics", "/api/v1/snapshot", "/api/v1/grid", "/-/ready", "/readyz"] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
    }
    assert_eq!(node.get("/").await.status, 200);
    assert_eq!(node.get("/-/healthy").await.status, 200);
    node.clock.fetch_add(11_000, Ordering::Relaxed);
    assert_eq!(node.get("/-/healthy").await.status, 503);

    let mut snapshot = fixture::snapshot();
    snapshot.monotonic = Duration::from_secs(111);
    node.snapshots.publish(Arc::new(snapshot));
    for path in
        ["/metrics", "/api/v1/snapshot", "/api/v1/grid", "/-/ready", "/readyz", "/-/healthy", "/healthz"]
    {
        assert_eq!(node.get(path).await.status, 200, "{path}");
    }
    node.clock.fetch_add(6_000, Ordering::Relaxed);
    let stale = node.get("/healthz").await;
    assert_eq!((stale.status, stale.text()), (503, "last snapshot is 6.0 s ago\n"));
}

#[tokio::test]
async fn a_new_snapshot_is_served_at_once() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    assert!(node.get("/metrics").await.text().contains("\nwattprint_pue_ratio 1.2\n"));
    let mut snapshot = fixture::snapshot();
    snapshot.pue.0 = 1.5;
    node.snapshots.publish(Arc::new(snapshot));
    assert!(node.get("/metrics").await.text().contains("\nwattprint_pue_ratio 1.5\n"));
}

#[tokio::test]
async fn json_has_units_in_its_names() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    let answer = node.get("/api/v1/snapshot").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    for (pointer, expected) in [
        ("/unix_time_seconds", serde_json::json!(1_800_000_000.25)),
        ("/interval_seconds", serde_json::json!(1.0)),
        ("/sample_duration_seconds", serde_json::json!(0.0015)),
        ("/elapsed_seconds", serde_json::json!(1.001)),
        ("/components/0/component", serde_json::json!("cpu")),
        ("/components/0/power_watts", serde_json::json!(42.0)),
        ("/components/1/power_watts", serde_json::json!(null)),
        ("/components/0/energy_by_beneficiary_uj/system", serde_json::json!(333_333)),
        ("/workloads/0/owner/kind", serde_json::json!("container")),
        ("/workloads/0/cpu_time_ns", serde_json::json!(9_000_001_000_u64)),
        ("/workloads/0/energy/0/energy_uj", serde_json::json!(9_000_001)),
        ("/workloads/0/components/0/emissions_grams", serde_json::json!(0.5)),
        ("/processes/2/comm", serde_json::json!(fixture::NASTY)),
        ("/processes/0/start_time_ticks", serde_json::json!(77)),
        ("/processes/0/power_watts/cpu", serde_json::json!(0.75)),
        ("/meters/0/device", serde_json::json!("intel-rapl:0")),
        ("/meters/0/baseline_watts", serde_json::json!(11.5)),
        ("/grid/intensity_grams_per_kwh", serde_json::json!(44.2)),
        ("/pue_ratio", serde_json::json!(1.2)),
        ("/pue_configured", serde_json::json!(true)),
        ("/wue_liters_per_kwh", serde_json::json!(1.8)),
        ("/grid_age_seconds", serde_json::json!(420.0)),
        ("/grid_sources/0/provider", serde_json::json!("electricity_maps")),
        ("/grid_sources/0/fetches/success", serde_json::json!(3)),
        ("/grid_sources/0/last_success_unix_ms", serde_json::json!(1_799_999_580_250_u64)),
        ("/grid_outlook/windows/0/mean_grams_per_kwh", serde_json::json!(30.5)),
        ("/market/intensity_grams_per_kwh", serde_json::json!(11.05)),
        ("/components/0/market_emissions_grams", serde_json::json!(6.25)),
        ("/workloads/0/components/0/water_liters", serde_json::json!(0.125)),
        ("/workloads/0/embodied/0/emissions_grams", serde_json::json!(0.75)),
        ("/embodied/0/emissions_by_holder_grams/unallocated", serde_json::json!(6.0)),
        ("/embodied_parts/0/kilograms", serde_json::json!(164.0)),
        ("/collectors/0/duration_seconds", serde_json::json!(0.000_12)),
        ("/unattributed/0/energy_uj", serde_json::json!(7)),
        ("/series_dropped/0/dropped", serde_json::json!(12)),
    ] {
        assert_eq!(json.pointer(pointer), Some(&expected), "{pointer}");
    }
    assert_eq!(json.get("monotonic"), None);
}

#[tokio::test]
async fn live_series_are_served_to_other_nodes() {
    let mut snapshot = fixture::snapshot();
    let source = SourceState {
        series: vec![Arc::new(fixture::grid_series(44.2))],
        ..SourceState::new("rte", "FR".into())
    };
    snapshot.grid_state = Arc::new(GridState { sources: vec![source], ..GridState::default() });
    let node = Node::start(Some(snapshot), Limits::default());
    let plain = node.get("/api/v1/grid").await;
    assert_eq!(plain.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&plain.body).unwrap();
    let expected = serde_json::json!({
        "version": 1,
        "series": [{
            "provider": "rte",
            "zone": "FR",
            "signal": "average_direct",
            "accounting": "production",
            "fetched_unix_ms": 1_800_000_100_000_u64,
            "slots": [
                {
                    "start_unix_ms": 1_800_000_000_000_u64,
                    "end_unix_ms": 1_800_003_600_000_u64,
                    "grams_per_kwh": 44.2,
                    "quality": "measured"
                },
                {
                    "start_unix_ms": 1_800_003_600_000_u64,
                    "end_unix_ms": 1_800_007_200_000_u64,
                    "grams_per_kwh": 44.2,
                    "quality": "forecast"
                }
            ]
        }]
    });
    assert_eq!(json, expected);
    let gzip = node.ask("GET", "/api/v1/grid", "Accept-Encoding: gzip\r\n").await;
    assert_eq!(
        (gzip.header("content-encoding"), gzip.header("vary")),
        (Some("gzip"), Some("Accept-Encoding"))
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*gzip.body).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text());

    let mut snapshot = fixture::snapshot();
    snapshot.grid_state = Arc::default();
    node.snapshots.publish(Arc::new(snapshot));
    assert_eq!(node.get("/api/v1/grid").await.text(), r#"{"version":1,"series":[]}"#);
}

#[tokio::test]
async fn the_page_is_html() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    let page = node.get("/").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(page.text().starts_with("<!DOCTYPE html>") && page.text().ends_with("</html>\n"));
}

#[tokio::test]
async fn the_path_of_the_metrics_can_be_chosen() {
    for (path, ok) in [
        ("/metrics", true),
        ("/", true),
        ("/a/b-c_d.txt", true),
        ("metrics", false),
        ("", false),
        ("/{all}", false),
        ("/*rest", false),
        ("/a b", false),
        ("/-/healthy", false),
        ("/api/v1/snapshot", false),
        ("/api/v1/grid", false),
    ] {
        let settings = WebSettings { telemetry_path: path.to_owned(), ..WebSettings::default() };
        let (stop, stopped) = watch::channel(false);
        drop(stop);
        let cell = Arc::new(SnapshotCell::new());
        let served = in_time(serve(Vec::new(), settings, cell, Arc::new(|| Duration::ZERO), stopped)).await;
        assert_eq!(served.is_ok(), ok, "{path}");
    }
}
