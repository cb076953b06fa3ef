//! Answers scrapes of all nodes on one port, and asks Prometheus.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::Outcome;
use crate::node::{Clock, metrics};

/// Serves /N/metrics for each node N until the process ends. Time of the nodes goes `speed` times as fast.
pub(crate) fn serve(speed: f64) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let begun = Instant::now();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Prometheus keeps a connection for each target.
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || answer(&stream, begun, speed).ok())
                .ok();
        }
    });
    Ok(address)
}

fn answer(stream: &TcpStream, begun: Instant, speed: f64) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if lines.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while lines.read_line(&mut header)? > 2 {
            header.clear();
        }
        let node = request.split('/').nth(1).ok_or("no node in the path")?.parse()?;
        let clock = Clock {
            seconds: begun.elapsed().as_secs_f64() * speed,
            now: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64(),
        };
        let body = metrics(node, clock);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut out = stream;
        out.write_all(head.as_bytes())?;
        out.write_all(body.as_bytes())?;
    }
}

/// The "data" of what Prometheus answers.
pub(crate) fn get(port: u16, path: &str) -> Outcome<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no header from Prometheus")?;
    if !head.contains(" 200 ") {
        return Err(format!("{path}: {}: {body}", head.lines().next().unwrap_or_default()).into());
    }
    match serde_json::from_str::<Value>(body) {
        Ok(mut answer) => Ok(answer["data"].take()),
        // Not every page is JSON.
        Err(_) => Ok(Value::Null),
    }
}

/// The result of an instant query.
pub(crate) fn query(port: u16, expression: &str) -> Outcome<Vec<Value>> {
    let mut escaped = String::new();
    for byte in expression.bytes() {
        if byte.is_ascii_alphanumeric() {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    let answer = get(port, &format!("/api/v1/query?timeout=100s&query={escaped}"))?;
    Ok(answer["result"].as_array().cloned().unwrap_or_default())
}

/// One number; 0 where there is no series, as sums and counts of nothing have none.
pub(crate) fn number(port: u16, expression: &str) -> Outcome<f64> {
    match query(port, expression)?.first() {
        Some(series) => Ok(series["value"][1].as_str().ok_or("a sample without a value")?.parse()?),
        None => Ok(0.0),
    }
}
