//! A local server that replays answers, and tells what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// One answer to be given.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    /// 200 with this body.
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body)
    }

    /// Any status with this body.
    pub(crate) fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A request as it came: the target with its query, and the headers with names in lower case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Asked {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The server; it ends with the test's process.
#[derive(Debug)]
pub(crate) struct Replay {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Replay {
    /// Gives the answer that `reply` has for each request; a 500 where it has none.
    pub(crate) fn new(reply: impl Fn(&Asked) -> Option<Reply> + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away early has seen enough.
                let _ = answer(stream, &reply, &noted);
            }
        });
        Self { port, asked }
    }

    /// Gives these answers, one after the other, whatever is asked; then 500s.
    pub(crate) fn in_turn(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Mutex::new(replies.into_iter().collect::<std::collections::VecDeque<_>>());
        Self::new(move |_| replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front())
    }

    /// Its address, as for the key `url`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn answer(
    stream: TcpStream,
    reply: &impl Fn(&Asked) -> Option<Reply>,
    noted: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut asked = Asked { target, headers: Vec::new() };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            asked.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    let reply = reply(&asked).unwrap_or_else(|| Reply::status(500, "nothing to replay"));
    noted.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let mut head = format!(
        "HTTP/1.1 {} Replayed\r\ncontent-length: {}\r\nconnection: close\r\n",
        reply.status,
        reply.body.len()
    );
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = reader.into_inner();
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    stream.write_all(&reply.body)
}
