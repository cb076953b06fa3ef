//! Answers whose lines are of bounded length.
//!
//! An answer to a list is one line, and each event of a watch is one. The client keeps a line until it is whole.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use http_body::Frame;
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use tower_service::Service;

/// Bytes of a line; a node's pods are a few MB.
const MOST: usize = 64 * 1024 * 1024;

/// Makes a client end each answer that has too long a line.
pub(super) fn bounded(client: Client) -> Client {
    Client::new(Asks(client), "default")
}

struct Asks(Client);

impl Service<Request<Body>> for Asks {
    type Response = Response<Bounded>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let answer = client.send(request).await?;
            Ok(answer.map(|body| Bounded { body, line: 0, most: MOST }))
        })
    }
}

/// A body.
struct Bounded {
    body: Body,
    /// Bytes since the last line ended.
    line: usize,
    most: usize,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = frame else { return frame.map_err(Into::into) };
        if let Some(data) = frame.data_ref() {
            self.line = match data.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => data.len().saturating_sub(end),
                None => self.line.saturating_add(data.len()),
            };
        }
        if self.line > self.most {
            return Poll::Ready(Some(Err("the answer is larger than it can be".into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str, most: usize) -> bool {
        let mut body = Bounded { body: Body::from(text.as_bytes().to_vec()), line: 0, most };
        let mut context = Context::from_waker(std::task::Waker::noop());
        match http_body::Body::poll_frame(Pin::new(&mut body), &mut context) {
            Poll::Ready(Some(frame)) => frame.is_ok(),
            _ => panic!("no frame"),
        }
    }

    #[test]
    fn only_lines_are_bounded() {
        assert!(passes("12345", 5));
        assert!(!passes("123456", 5));
        assert!(passes("1234567\n1234", 5));
        assert!(!passes("1\n123456", 5));
    }
}
