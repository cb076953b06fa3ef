//! Bodies: what is read of a request, and how an answer goes out.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Phase;

/// Size of the pieces of an answer: what a client that doesn't read leaves unsent stays in the body, and
/// with it the request's place among those in flight.
const CHUNK: usize = 64 * 1024;

/// Bytes that go out piece by piece, shared and not copied.
#[derive(Debug)]
pub(super) struct Chunks(Bytes);

impl Chunks {
    pub(super) const fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.0.len().min(CHUNK);
        Poll::Ready(Some(Ok(Frame::data(self.0.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }
}

/// The body of an answer with what it holds until it has gone out: a place among the requests in flight, and
/// the connection's phase.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Body,
    _place: Option<OwnedSemaphorePermit>,
    phase: Phase,
}

impl Guarded {
    pub(super) const fn new(body: Body, place: Option<OwnedSemaphorePermit>, phase: Phase) -> Self {
        Self { body, _place: place, phase }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.phase.idle();
    }
}

/// Why a request's body wasn't read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than allowed.
    TooLarge,
    /// It broke off or isn't well-formed.
    Broken,
}

/// Reads a body to its end and throws it away: no endpoint takes one, but the next request comes after it.
pub(super) async fn discard<B>(mut body: B, limit: u64) -> Result<(), Unread>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    // What Content-Length promises needs no reading to be refused.
    if body.size_hint().lower() > limit {
        return Err(Unread::TooLarge);
    }
    let mut read: u64 = 0;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| Unread::Broken)?;
        let size = frame.data_ref().map_or(0, Bytes::len);
        read = read.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        if read > limit {
            return Err(Unread::TooLarge);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn chunks_are_the_whole_and_small() {
        let whole: Vec<u8> = (0..200_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
        let mut body = Chunks::new(Bytes::from(whole.clone()));
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut joined = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let data = frame.unwrap().into_data().unwrap();
            assert!(!data.is_empty() && data.len() <= CHUNK);
            joined.extend_from_slice(&data);
        }
        assert!(joined == whole && body.is_end_stream());
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_the_limit() {
        let body = |size: usize| Chunks::new(Bytes::from(vec![0; size]));
        assert_eq!(discard(body(0), 10).await, Ok(()));
        assert_eq!(discard(body(10), 10).await, Ok(()));
        assert_eq!(discard(body(11), 10).await, Err(Unread::TooLarge));
    }
}
