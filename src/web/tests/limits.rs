//! What slow, greedy and broken clients get, and how the server ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Answer, Node, in_time, to_end};
use crate::web::{Limits, fixture};

/// A request whose body never comes.
const UNFINISHED: &str = "GET /metrics HTTP/1.1\r\nHost: node\r\nContent-Length: 1000\r\n\r\nxy";

/// A request for an answer that takes more than the buffers of both sockets, if nobody reads it.
const DEAF: &str = "GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";

const LONG: Duration = Duration::from_secs(3600);

/// Serves metrics that take more than the buffers of both sockets.
fn huge(limits: Limits) -> Node {
    Node::start(Some(fixture::large(80_000)), limits)
}

/// Sends a request whose answer isn't read, and waits for the answer to begin.
async fn deaf(node: &Node) -> TcpStream {
    let stream = node.send(DEAF).await;
    in_time(stream.peek(&mut [0])).await.unwrap();
    stream
}

#[tokio::test]
async fn the_request_after_the_cap_gets_503_and_probes_do_not() {
    let limits = Limits { max_requests: 3, yield_after: LONG, ..Limits::default() };
    let node = huge(limits);
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(deaf(&node).await);
    }
    let refused = node.get("/").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.text(), "too many requests at once\n");
    assert_eq!(node.get("/-/healthy").await.status, 200);

    // One of them ends: there is a place again.
    drop(slow.pop());
    node.until("/", 200).await;
}

#[tokio::test]
async fn slow_readers_give_their_places_to_others_and_still_get_all() {
    let limits = Limits { max_requests: 2, write_timeout: LONG, answer_timeout: LONG, ..Limits::default() };
    let node = huge(limits);
    let whole = node.get("/metrics").await.body.len();
    let mut slow = Vec::new();
    for _ in 0..6 {
        slow.push(deaf(&node).await);
        node.until("/", 200).await;
    }
    for stream in slow {
        let answer = Answer::parse(&to_end(stream).await);
        assert_eq!((answer.status, answer.body.len()), (200, whole));
    }
}

#[tokio::test]
async fn requests_on_one_connection_take_one_place() {
    let limits = Limits { max_requests: 2, yield_after: LONG, ..Limits::default() };
    let node = huge(limits);
    let pipelined = node.send(&"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n".repeat(20)).await;
    in_time(pipelined.peek(&mut [0])).await.unwrap();
    for _ in 0..5 {
        assert_eq!(node.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn unfinished_bodies_hold_no_place() {
    let limits = Limits { max_requests: 1, yield_after: LONG, ..Limits::default() };
    let node = Node::start(Some(fixture::snapshot()), limits);
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(node.send(UNFINISHED).await);
        assert_eq!(node.get("/metrics").await.status, 200);
    }
    for stream in held {
        let answer = Answer::parse(&to_end(stream).await);
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    }
}

#[tokio::test]
async fn forty_requests_at_once_are_served() {
    let node = Arc::new(Node::start(Some(fixture::large(2_000)), Limits::default()));
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.get("/metrics").await.status })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn half_a_header_is_cut_and_an_idle_connection_is_not() {
    let limits = Limits { read_timeout: Duration::from_millis(200), ..Limits::default() };
    let node = Node::start(Some(fixture::snapshot()), limits);
    let mut idle = node.send("GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n").await;
    let mut buffer = [0; 4096];
    assert!(in_time(idle.read(&mut buffer)).await.unwrap() > 0);

    for begun in ["", "GET /metrics HTTP/1.1\r\nHost: no"] {
        assert!(to_end(node.send(begun).await).await.is_empty(), "{begun:?}");
    }

    // By now the idle one has been idle for longer than a header may take.
    idle.write_all(b"GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n").await.unwrap();
    assert!(in_time(idle.read(&mut buffer)).await.unwrap() > 0);
    // Half a header on it is cut too.
    idle.write_all(b"GET /-/re").await.unwrap();
    assert!(to_end(idle).await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_ends_at_last() {
    let limits = Limits { idle_timeout: Duration::from_millis(100), ..Limits::default() };
    let node = Node::start(Some(fixture::snapshot()), limits);
    let stream = node.send("GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n").await;
    assert_eq!(Answer::parse(&to_end(stream).await).status, 200);
}

#[tokio::test]
async fn a_body_beyond_the_limit_gets_413() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    let promised = node.ask("POST", "/metrics", "Content-Length: 65537\r\n").await;
    assert_eq!((promised.status, promised.header("connection")), (413, Some("close")));
    // A length that isn't announced is no reason to wait for it.
    let chunked = "GET /metrics HTTP/1.1\r\nHost: node\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\nx";
    let answer = Answer::parse(&to_end(node.send(chunked).await).await);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let asked = node.ask("POST", "/metrics", "Expect: 100-continue\r\nContent-Length: 5\r\n").await;
    assert_eq!(asked.status, 405, "{}", asked.head);
}

#[tokio::test]
async fn a_small_body_is_read_over() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    let posted = "GET /-/ready HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\n\r\nhello";
    let last = "GET /nowhere HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    let answers = to_end(node.send(&format!("{posted}{last}")).await).await;
    let answers = String::from_utf8(answers).unwrap();
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("HTTP/1.1 404"), "{answers}");
}

#[tokio::test]
async fn http_1_1_needs_one_host() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    for (version, headers, status) in [
        ("1.1", "Host: node\r\n", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "", 400),
        ("1.1", "Host: node\r\nHost: other\r\n", 400),
    ] {
        for path in ["/metrics", "/-/ready"] {
            let request = format!("GET {path} HTTP/{version}\r\nConnection: close\r\n{headers}\r\n");
            let answer = Answer::parse(&to_end(node.send(&request).await).await);
            assert_eq!(answer.status, status, "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_header_beyond_the_limit_gets_431() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    let answer = node.ask("GET", "/metrics", &format!("X-Long: {}\r\n", "x".repeat(16 * 1024))).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody_and_is_cut() {
    let write_timeout = Duration::from_millis(500);
    let node = huge(Limits { max_requests: 1, yield_after: LONG, write_timeout, ..Limits::default() });
    let deaf = deaf(&node).await;
    // There is no place left, until the deaf one has lost its own.
    assert_eq!(node.get("/").await.status, 503);
    node.until("/", 200).await;
    let cut = Answer::parse(&to_end(deaf).await);
    let promised: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert!(cut.status == 200 && cut.body.len() < promised, "{promised} bytes fit into the buffers");
}

#[tokio::test]
async fn a_client_that_trickles_is_cut() {
    let limits = Limits { answer_timeout: Duration::from_millis(200), ..Limits::default() };
    let node = huge(limits);
    let mut stream = node.send(DEAF).await;
    let mut bytes = Vec::new();
    let trickle = async {
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..read]);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    in_time(trickle).await;
    let cut = Answer::parse(&bytes);
    let promised: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert!(cut.status == 200 && cut.body.len() < promised, "all {promised} bytes came");
}

#[tokio::test]
async fn at_the_cap_who_asks_nothing_is_cut_and_a_scrape_is_not() {
    let limits = Limits { max_connections: 4, ..Limits::default() };
    let node = Arc::new(Node::start(Some(fixture::snapshot()), limits));
    let mut kept = Vec::new();
    for n in 0..40 {
        let sent = ["", "GET /metr", "GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n"][n % 3];
        kept.push(node.send(sent).await);
        for path in ["/metrics", "/-/healthy"] {
            assert_eq!(node.get(path).await.status, 200, "{path} after {n}");
        }
    }
    // The first ones were cut long before any timeout.
    let begun = tokio::time::Instant::now();
    to_end(kept.swap_remove(0)).await;
    assert!(begun.elapsed() < limits.read_timeout / 2);
}

#[tokio::test]
async fn connections_are_refused_where_all_are_being_answered() {
    let limits = Limits { max_connections: 2, yield_after: LONG, ..Limits::default() };
    let node = huge(limits);
    let held = [deaf(&node).await, deaf(&node).await];
    let refused = Answer::parse(&to_end(node.connect().await).await);
    assert_eq!((refused.status, refused.header("connection")), (503, Some("close")));
    drop(held);
    let again = async {
        loop {
            let bytes = to_end(node.send("GET /-/ready HTTP/1.0\r\n\r\n").await).await;
            if bytes.starts_with(b"HTTP/1.0 200") {
                break;
            }
        }
    };
    in_time(again).await;
}

#[tokio::test]
async fn slow_readers_of_all_connections_make_room() {
    let limits = Limits { max_connections: 2, yield_after: Duration::ZERO, ..Limits::default() };
    let node = huge(limits);
    let _held = [deaf(&node).await, deaf(&node).await];
    assert_eq!(node.get("/-/ready").await.status, 200);
}

#[tokio::test]
async fn garbage_is_answered_or_cut() {
    let node = Node::start(Some(fixture::snapshot()), Limits::default());
    for garbage in [
        "\r\n\r\n\r\n\r\nX\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /%zz%00 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET //../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET http://other/metrics HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n",
        "CONNECT node:1 HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "GET /metrics HTTP/1.1\r\nAccept-Encoding: \u{ff};q=\u{1}\r\nConnection: close\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}",
    ] {
        let mut stream = node.send(garbage).await;
        stream.shutdown().await.unwrap();
        to_end(stream).await;
    }
    let pipelined = "GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n".repeat(50);
    let last = "GET /nowhere HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    let answers = to_end(node.send(&format!("{pipelined}{last}")).await).await;
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 50);
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 1);
    assert_eq!(node.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn shutdown_ends_idle_busy_and_half_open_connections() {
    let node = huge(Limits::default());
    let mut idle = node.send("GET /-/ready HTTP/1.1\r\nHost: node\r\n\r\n").await;
    let mut buffer = [0; 4096];
    assert!(in_time(idle.read(&mut buffer)).await.unwrap() > 0);
    let _fresh = node.connect().await;
    let _half = node.send("GET /metr").await;
    let _unfinished = node.send(UNFINISHED).await;
    let _deaf = deaf(&node).await;
    // Served after those were accepted.
    assert_eq!(node.get("/-/ready").await.status, 200);

    let started = tokio::time::Instant::now();
    node.stop.send(true).unwrap();
    let mut rest = Vec::new();
    in_time(idle.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    in_time(node.served).await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(TcpStream::connect(node.address).await.is_err(), "still listening");
}

#[tokio::test]
async fn shutdown_lets_an_open_answer_finish() {
    let node = huge(Limits { shutdown_grace: Duration::from_secs(20), ..Limits::default() });
    let open = deaf(&node).await;
    node.stop.send(true).unwrap();
    in_time(async { while TcpStream::connect(node.address).await.is_ok() {} }).await;
    let answer = Answer::parse(&to_end(open).await);
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    in_time(node.served).await.unwrap().unwrap();
}
