//! As much of an HTTP client as it takes to scrape like Prometheus does, over a connection that is kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Outcome;

/// A server that takes longer than this for one answer has failed.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How the body may be encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Identity,
    /// What Prometheus asks for.
    Gzip,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
        }
    }
}

/// An answer, its body as it came over the wire (chunks put together).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) gzip: bool,
    pub(crate) body: Vec<u8>,
}

/// One connection to the daemon.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> Outcome<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::with_capacity(1 << 16, stream) })
    }

    pub(crate) fn get(&mut self, path: &str, encoding: Encoding) -> Outcome<Answer> {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: {}\r\n\r\n", encoding.name());
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?.split(' ').nth(1).ok_or("an answer without a status")?.parse()?;
        let (mut length, mut chunked, mut gzip) = (None, false, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            match (name, value.trim()) {
                ("content-length", value) => length = Some(value.parse::<usize>()?),
                ("transfer-encoding", value) => chunked = value == "chunked",
                ("content-encoding", value) => gzip = value == "gzip",
                _ => {}
            }
        }
        let mut body = Vec::new();
        if chunked {
            while self.chunk(&mut body)? > 0 {}
        } else if let Some(length) = length {
            self.take(length, &mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(Answer { status, gzip, body })
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the daemon closed the connection".into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> Outcome<usize> {
        let line = self.line()?;
        let length = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16)?;
        self.take(length, body)?;
        self.line()?;
        Ok(length)
    }

    fn take(&mut self, length: usize, body: &mut Vec<u8>) -> Outcome<()> {
        let start = body.len();
        body.resize(start + length, 0);
        let room = body.get_mut(start..).unwrap_or_default();
        Ok(self.stream.read_exact(room)?)
    }
}

/// The value of the first sample of `family`, which has no labels.
pub(crate) fn value(text: &[u8], family: &str) -> Option<f64> {
    std::str::from_utf8(text).ok()?.lines().find_map(|line| {
        let value = line.strip_prefix(family)?.strip_prefix(' ')?;
        value.split(' ').next()?.parse().ok()
    })
}

/// The number of series in an exposition.
pub(crate) fn series(text: &[u8]) -> usize {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")).count()
}
