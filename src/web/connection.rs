//! One client's connection: its deadlines.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::places::{Client, Phase};

/// A stream that fails once a header or an answer takes too long as a whole. The server's own timer for
/// headers can't tell an idle connection from one with half a header; it serves as the limit for idling.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    client: Arc<Client>,
    /// The phase that `deadline` is for.
    armed: Option<(Phase, u64)>,
    deadline: Pin<Box<Sleep>>,
    read_timeout: Duration,
    answer_timeout: Duration,
}

impl<S> Paced<S> {
    pub(super) fn new(
        stream: S,
        client: Arc<Client>,
        read_timeout: Duration,
        answer_timeout: Duration,
    ) -> Self {
        Self {
            stream,
            client,
            armed: None,
            deadline: Box::pin(tokio::time::sleep(read_timeout)),
            read_timeout,
            answer_timeout,
        }
    }

    /// To be asked whenever the stream has to wait for the client.
    fn overdue(&mut self, context: &mut Context<'_>) -> Option<io::Error> {
        let phase = self.client.phase();
        let timeout = match phase.0 {
            Phase::Header => self.read_timeout,
            Phase::Answer => self.answer_timeout,
            Phase::Idle => return None,
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
        if buffer.filled().len() > before {
            self.client.received();
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
        // Asked for once nothing is left to write.
        if matches!(poll, Poll::Ready(Ok(()))) {
            self.client.flushed();
        }
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

    use super::super::Limits;
    use super::super::places::Places;
    use super::*;

    fn client() -> Arc<Client> {
        Places::new(Limits::default()).connect().unwrap()
    }

    const READ: Duration = Duration::from_millis(40);
    const ANSWERING: Duration = Duration::from_millis(80);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn half_a_header_is_cut_however_often_a_byte_comes() {
        let (mut peer, server) = tokio::io::duplex(64);
        let mut server = Paced::new(server, client(), READ, LONG);
        let trickle = async {
            while peer.write_all(b"x").await.is_ok() {
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
        let (mut peer, server) = tokio::io::duplex(64);
        let client = client();
        let mut server = Paced::new(server, Arc::clone(&client), READ, LONG);
        client.answer();
        client.answered();
        server.flush().await.unwrap();
        let mut buffer = [0; 8];
        let idle = tokio::time::timeout(READ * 3, server.read(&mut buffer)).await;
        assert!(idle.is_err(), "an idle connection was cut: {idle:?}");
        peer.write_all(b"GET").await.unwrap();
        assert_eq!(server.read(&mut buffer).await.unwrap(), 3);
        let cut = tokio::time::timeout(LONG, server.read(&mut buffer)).await.unwrap();
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn each_answer_has_its_own_deadline() {
        let (_peer, server) = tokio::io::duplex(1);
        let client = client();
        let mut server = Paced::new(server, Arc::clone(&client), READ, ANSWERING);
        client.answer();
        let first = tokio::time::timeout(ANSWERING / 2, server.write_all(b"ab")).await;
        assert!(first.is_err());
        client.answer();
        let started = Instant::now();
        let cut = tokio::time::timeout(LONG, server.write_all(b"b")).await.unwrap();
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(started.elapsed() >= ANSWERING * 9 / 10);
    }
}
