//! The endpoints and what they answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::body::Chunks;
use super::negotiate::accepts_gzip;
use super::rendered::Renderer;
use super::{Monotonic, WebError, health, metrics, page};

/// Paths that answer even when the cap on requests is reached.
pub(super) const PROBES: [&str; 4] = ["/-/healthy", "/healthz", "/-/ready", "/readyz"];

/// Where the snapshot is served as JSON.
pub(super) const SNAPSHOT: &str = "/api/v1/snapshot";

const JSON: &str = "application/json";

/// Where live series are served to other nodes.
const GRID: &str = crate::carbon::providers::relay::PATH;

/// What the handlers know.
pub(super) struct Shared {
    pub(super) renderer: Renderer,
    pub(super) now: Monotonic,
    /// When serving began, on the same clock.
    pub(super) started: Duration,
    pub(super) telemetry_path: String,
}

/// Whether the metrics can be served at a path.
///
/// # Errors
/// The path isn't plain, or another page is there.
pub fn check_telemetry_path(path: &str) -> Result<(), WebError> {
    let wrong = |problem| Err(WebError::TelemetryPath { path: path.to_owned(), problem });
    // The router would panic on its own pattern characters and on a path that it has already.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
    if !path.starts_with('/') || !path.chars().all(plain) {
        return wrong("must begin with / and hold only letters, digits and /._~-");
    }
    if [SNAPSHOT, GRID].contains(&path) || PROBES.contains(&path) {
        return wrong("is taken by another page");
    }
    Ok(())
}

/// The routes.
///
/// # Errors
/// Where the path of the metrics can't be a route.
pub(super) fn router(shared: Arc<Shared>) -> Result<Router, WebError> {
    let telemetry = shared.telemetry_path.clone();
    check_telemetry_path(&telemetry)?;
    let mut router = Router::new()
        .route(&telemetry, get(serve_metrics))
        .route(SNAPSHOT, get(serve_snapshot))
        .route(GRID, get(serve_grid))
        .route("/-/healthy", get(serve_healthy))
        .route("/healthz", get(serve_healthy))
        .route("/-/ready", get(serve_ready))
        .route("/readyz", get(serve_ready));
    if telemetry != "/" {
        router = router.route("/", get(serve_page));
    }
    Ok(router
        .fallback(|| async { text(StatusCode::NOT_FOUND, "not found\n") })
        .method_not_allowed_fallback(|method: Method| async move {
            text(StatusCode::METHOD_NOT_ALLOWED, format!("{method} isn't allowed here, GET and HEAD are\n"))
        })
        .with_state(shared))
}

/// A short answer in plain text.
pub(super) fn text(status: StatusCode, said: impl Into<Bytes>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, Body::from(said.into())).into_response()
}

fn no_snapshot_yet() -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "the first sample isn't there yet\n");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A form of the snapshot, or why it couldn't be made.
fn rendered(body: Result<Bytes, String>, headers: &[(HeaderName, &'static str)]) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "the snapshot can't be encoded");
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("can't encode the snapshot: {error}\n"));
        }
    };
    let mut response = Response::new(Body::new(Chunks::new(body)));
    response
        .headers_mut()
        .extend(headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
    response
}

async fn serve_metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(latest) = shared.renderer.latest() else {
        return no_snapshot_yet();
    };
    coded(&headers, metrics::CONTENT_TYPE, || latest.text(), || latest.gzip())
}

/// The plain form or the compressed one, as the client likes it.
fn coded(
    request: &HeaderMap,
    kind: &'static str,
    plain: impl FnOnce() -> Result<Bytes, String>,
    gzip: impl FnOnce() -> Result<Bytes, String>,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::VARY, "Accept-Encoding"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    if !accepts_gzip(request) {
        return rendered(plain(), &headers);
    }
    let mut response = rendered(gzip(), &headers);
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

async fn serve_grid(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let Some(latest) = shared.renderer.latest() else {
        return no_snapshot_yet();
    };
    let grid = latest.grid();
    coded(&headers, JSON, || grid.json(), || grid.gzip())
}

async fn serve_snapshot(State(shared): State<Arc<Shared>>) -> Response {
    let Some(latest) = shared.renderer.latest() else {
        return no_snapshot_yet();
    };
    let headers = [
        (header::CONTENT_TYPE, JSON),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    rendered(latest.json(), &headers)
}

async fn serve_page(State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = shared.renderer.snapshot();
    let html = page::render(snapshot.as_deref(), &shared.telemetry_path, (shared.now)());
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, page::SECURITY_POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    rendered(Ok(Bytes::from(html)), &headers)
}

async fn serve_healthy(State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = shared.renderer.snapshot();
    match health::healthy((shared.now)(), shared.started, snapshot.as_deref()) {
        Ok(said) => text(StatusCode::OK, said),
        Err(said) => text(StatusCode::SERVICE_UNAVAILABLE, said),
    }
}

async fn serve_ready(State(shared): State<Arc<Shared>>) -> Response {
    match shared.renderer.snapshot() {
        Some(_) => text(StatusCode::OK, "ready\n"),
        None => no_snapshot_yet(),
    }
}
