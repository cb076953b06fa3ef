//! Bodies: what is read of a request, and how an answer goes out.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::places::Client;

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

/// The body of an answer, whose end the connection's place is told.
#[derive(Debug)]
pub(super) struct Guarded {
    body: Body,
    client: Arc<Client>,
}

impl Guarded {
    pub(super) const fn new(body: Body, client: Arc<Client>) -> Self {
        Self { body, client }
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
        self.client.answered();
    }
}

/// Throws away what has come of a request's body, without waiting for more; whether that was all of it.
pub(super) async fn read_over<B>(body: &mut B) -> bool
where
    B: HttpBody + Unpin,
{
    std::future::poll_fn(|context| {
        while !body.is_end_stream() {
            match Pin::new(&mut *body).poll_frame(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(None) => break,
                Poll::Ready(Some(Err(_))) | Poll::Pending => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    })
    .await
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
    async fn a_body_is_read_as_far_as_it_has_come() {
        struct Unfinished(Chunks);
        impl HttpBody for Unfinished {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
                let frame = Pin::new(&mut self.0).poll_frame(context);
                if matches!(frame, Poll::Ready(None)) { Poll::Pending } else { frame }
            }
        }
        let chunks = |size: usize| Chunks::new(Bytes::from(vec![0; size]));
        assert!(read_over(&mut chunks(0)).await);
        assert!(read_over(&mut chunks(200_000)).await);
        assert!(!read_over(&mut Unfinished(chunks(0))).await);
        assert!(!read_over(&mut Unfinished(chunks(10))).await);
    }
}
