//! Accepting connections, holding the limits, and ending in time.

use std::convert::Infallible;
use std::io::Write;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, EXPECT, HOST, HeaderValue, RETRY_AFTER};
use axum::http::{Request, Response, StatusCode, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;

use super::api::{self, PROBES, Shared};
use super::body::{Guarded, read_over};
use super::connection::Paced;
use super::places::{Client, Places};
use super::rendered::Renderer;
use super::{Limits, Monotonic, WebError, WebSettings};
use crate::snapshot::SnapshotCell;

/// What one connection may hold in memory of its own, beside the bytes that all answers share.
const BUFFER: usize = 16 * 1024;

/// Wait after an accept that failed: without free file descriptors the next one would fail at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection beyond the cap gets if no other gives way.
const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

/// Serves the snapshots in `snapshots` on `listeners` (from [`super::bind`]) until `shutdown` turns true or
/// its sender is gone; then stops accepting, gives open requests the grace of the limits and returns.
/// `now` reads the clock that the snapshots' `monotonic` was taken from.
///
/// # Errors
/// [`WebError`] where the path of the metrics or a listener can't be used; never because of a client.
pub async fn serve(
    listeners: Vec<StdListener>,
    settings: WebSettings,
    snapshots: Arc<SnapshotCell>,
    now: Monotonic,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), WebError> {
    let limits = settings.limits;
    let server = Arc::new(Server {
        limits,
        places: Places::new(limits),
        router: api::router(Arc::new(Shared {
            renderer: Renderer::new(snapshots),
            started: now(),
            now,
            telemetry_path: settings.telemetry_path,
        }))?,
        shutdown: shutdown.clone(),
    });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        accepting.spawn(Arc::clone(&server).accept(listener));
    }
    // An error means that the sender is gone, and with it whoever would stop this.
    let _ = shutdown.wait_for(|stop| *stop).await;
    let ended = async { while accepting.join_next().await.is_some() {} };
    // Leaving drops the tasks that are still at it, and with them their connections.
    let _ = tokio::time::timeout(limits.shutdown_grace, ended).await;
    Ok(())
}

struct Server {
    limits: Limits,
    places: Arc<Places>,
    router: Router,
    shutdown: watch::Receiver<bool>,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        let mut shutdown = self.shutdown.clone();
        let mut tasks = JoinSet::new();
        let mut failing = false;
        loop {
            let accepted = tokio::select! {
                _ = shutdown.wait_for(|stop| *stop) => break,
                Some(_) = tasks.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    failing = false;
                    if let Some(client) = self.places.connect() {
                        let task = tasks.spawn(Arc::clone(&self).converse(stream, Arc::clone(&client)));
                        client.runs_as(task);
                    } else {
                        turn_away(stream);
                    }
                }
                Err(error) => {
                    // One line for a run of failures.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "can't accept connections");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        while tasks.join_next().await.is_some() {}
    }

    /// Serves one connection to its end.
    async fn converse(self: Arc<Self>, stream: TcpStream, client: Arc<Client>) {
        let limits = self.limits;
        // Answers are written whole; waiting to fill a packet would only delay their last part.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write_timeout));
        let stream = Box::pin(stream);
        let paced = Paced::new(stream, Arc::clone(&client), limits.read_timeout, limits.answer_timeout);

        let mut shutdown = self.shutdown.clone();
        let service = service_fn(move |request| Arc::clone(&self).answer(request, Arc::clone(&client)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_timeout)
            .max_header_size(limits.max_header_bytes)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(paced), service);
        tokio::pin!(connection);
        // An error is the client's: it left, broke the protocol or was too slow.
        let stop = tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection");
                }
                false
            }
            _ = shutdown.wait_for(|stop| *stop) => true,
        };
        if stop {
            connection.as_mut().graceful_shutdown();
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection");
            }
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Arc<Client>,
    ) -> Result<Response<Guarded>, Infallible> {
        client.answer();
        let response = self.respond(request, &client).await;
        Ok(response.map(|body| Guarded::new(body, client)))
    }

    async fn respond(&self, request: Request<Incoming>, client: &Client) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let too_large = body.size_hint().lower() > self.limits.max_body_bytes;
        // No endpoint takes a body, but the next request comes after it. Where it isn't there yet, the
        // connection ends with this answer; asking for what the client holds back would tell it to go on.
        let held_back = head.headers.contains_key(EXPECT) && !body.is_end_stream();
        let last = too_large || held_back || !read_over(&mut body).await;
        let mut response = if too_large {
            api::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large\n")
        } else if !names_its_host(&head) {
            api::text(StatusCode::BAD_REQUEST, "HTTP/1.1 wants one Host header\n")
        } else if PROBES.contains(&head.uri.path()) || client.count() {
            let mut router = self.router.clone();
            match router.call(Request::from_parts(head, Body::empty())).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        } else {
            let mut response = api::text(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        };
        if last {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// RFC 9112, section 3.2: a request of HTTP/1.1 without exactly one Host header is refused.
fn names_its_host(head: &request::Parts) -> bool {
    head.version != Version::HTTP_11 || head.headers.get_all(HOST).iter().count() == 1
}

/// Tells a client beyond the cap to come back, without waiting for it.
fn turn_away(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // A fresh socket's buffer takes this at once, or the client is gone.
        let _ = stream.write_all(TOO_MANY_CONNECTIONS);
    }
}
