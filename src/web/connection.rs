//! One client's connection: its deadlines.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

const HEADER: u64 = 0;
const ANSWER: u64 = 1;
const IDLE: u64 = 2;
const PHASES: u64 = 4;

/// What a connection is at: a count of the changes so far, times [`PHASES`], plus the phase. The count tells
/// two answers in a row from one long one.
#[derive(Clone, Debug, Default)]
pub(super) struct Phase(Arc<AtomicU64>);

impl Phase {
    /// The header is complete; the answer is on its way.
    pub(super) fn answer(&self) {
        self.enter(ANSWER);
    }

    /// The answer has gone out; the next header hasn't begun.
    pub(super) fn idle(&self) {
        self.enter(IDLE);
    }

    // Only ever called from the connection's own task, so nothing needs ordering.
    fn enter(&self, phase: u64) {
        let changes = self.0.load(Ordering::Relaxed) / PHASES;
        self.0.store(changes.wrapping_add(1) * PHASES + phase, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream that fails once a header or an answer takes too long as a whole. The server's own timer for
/// headers can't tell an idle connection from one with half a header; it serves as the limit for idling.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    phase: Phase,
    /// The phase that `deadline` is for.
    armed: Option<u64>,
    deadline: Pin<Box<Sleep>>,
    read_timeout: Duration,
    answer_timeout: Duration,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, phase: Phase, read_timeout: Duration, answer_timeout: Duration) -> Self {
        Self {
            stream,
            phase,
            armed: None,
            deadline: Box::pin(tokio::time::sleep(read_timeout)),
            read_timeout,
            answer_timeout,
        }
    }

    /// To be asked whenever the stream has to wait for the client.
    fn overdue(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        let phase = self.phase.get();
        let timeout = match phase % PHASES {
            HEADER => self.read_timeout,
            ANSWER => self.answer_timeout,
            _ => return None,
        };
        if self.armed != Some(phase) {
            self.armed = Some(phase);
            self.deadline.as_mut().reset(Instant::now() + timeout);
        }
        let overdue = self.deadline.as_mut().poll(context).is_ready();
        overdue.then(|| io::Error::from(io::ErrorKind::TimedOut))
    }

    fn paced<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match poll {
            Poll::Pending => self.overdue(context).map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            ready => ready,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && self.phase.get() % PHASES == IDLE {
            self.phase.enter(HEADER);
        }
        self.paced(context, poll)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.paced(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.paced(context, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.paced(context, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const READ: Duration = Duration::from_millis(40);
    const ANSWERING: Duration = Duration::from_millis(80);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn half_a_header_is_cut_however_often_a_byte_comes() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Paced::new(server, Phase::default(), READ, LONG);
        let trickle = async {
            while client.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let read = async {
            let mut buffer = [0; 8];
            while server.read(&mut buffer).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        let error = tokio::select! {
            () = trickle => None,
            result = tokio::time::timeout(LONG, read) => result.unwrap().err(),
        };
        assert_eq!(error.unwrap().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_idle_connection_stays_until_a_header_begins() {
        let (mut client, server) = tokio::io::duplex(64);
        let phase = Phase::default();
        let mut server = Paced::new(server, phase.clone(), READ, LONG);
        phase.answer();
        phase.idle();
        let mut buffer = [0; 8];
        let idle = tokio::time::timeout(READ * 3, server.read(&mut buffer)).await;
        assert!(idle.is_err(), "an idle connection was cut: {idle:?}");
        client.write_all(b"GET").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 3);
        let cut = tokio::time::timeout(LONG, server.read(&mut buffer)).await.unwrap();
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn each_answer_has_its_own_deadline() {
        let (_client, server) = tokio::io::duplex(1);
        let phase = Phase::default();
        let mut server = Paced::new(server, phase.clone(), READ, ANSWERING);
        phase.answer();
        let first = tokio::time::timeout(ANSWERING / 2, server.write_all(b"ab")).await;
        assert!(first.is_err());
        phase.idle();
        phase.answer();
        let started = Instant::now();
        let cut = tokio::time::timeout(LONG, server.write_all(b"b")).await.unwrap();
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= ANSWERING * 9 / 10);
    }
}
