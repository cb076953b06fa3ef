//! A made-up provider of carbon intensity, which can be told to misbehave.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// Answers with this status and body.
    Says(u16, String),
    /// Takes the request and never answers.
    Hangs,
    /// A byte now and then, and no end.
    Drips,
}

/// The server; it ends with the tests' process.
#[derive(Debug)]
pub(crate) struct Provider {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    pub(crate) fn new(mood: Mood) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mood, asked) = (Arc::new(Mutex::new(mood)), Arc::<Mutex<Vec<String>>>::default());
        let (now, noted) = (Arc::clone(&mood), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mood = now.lock().unwrap().clone();
                let noted = Arc::clone(&noted);
                // A client that goes away has seen enough.
                thread::spawn(move || drop(answer(stream, &mood, &noted)));
            }
        });
        Self { port, mood, asked }
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The heads of all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, mood: &Mood, noted: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    noted.lock().unwrap().push(head);
    let mut stream = reader.into_inner();
    match mood {
        Mood::Says(status, body) => {
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        }
        Mood::Hangs => stream.read_to_end(&mut Vec::new()).map(drop),
        Mood::Drips => {
            write!(stream, "HTTP/1.1 200 Said\r\nconnection: close\r\n\r\n")?;
            loop {
                stream.write_all(b" ")?;
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An answer in the shape of Energy-Charts, hour by hour: what was measured up to and with the hour after the present one, so
/// that a test may run over the end of an hour, and the forecast from there.
pub(crate) fn chart(measured: &[f64], forecast: &[f64]) -> String {
    let past = u64::try_from(measured.len()).unwrap();
    let first = (now() / 3_600 + 2 - past) * 3_600;
    let hours = past + u64::try_from(forecast.len()).unwrap();
    let starts: Vec<u64> = (0..hours).map(|hour| first + hour * 3_600).collect();
    let nulls = |count: usize| vec![serde_json::Value::Null; count];
    let numbers = |values: &[f64]| values.iter().map(|value| serde_json::json!(value)).collect::<Vec<_>>();
    let both = |first: Vec<serde_json::Value>, then: Vec<serde_json::Value>| [first, then].concat();
    serde_json::json!({
        "unix_seconds": starts,
        "co2eq": both(numbers(measured), nulls(forecast.len())),
        "co2eq_forecast": both(nulls(measured.len()), numbers(forecast)),
        "deprecated": false,
    })
    .to_string()
}
