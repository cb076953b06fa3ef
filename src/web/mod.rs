//! Readers of the snapshot: an HTTP server that never touches hardware and can't be held up by its clients.
//!
//! | path | what it serves |
//! |---|---|
//! | `/metrics` (configurable) | the text format of Prometheus, gzip where the client takes it |
//! | `/` | a status page for people |
//! | `/-/healthy`, `/healthz` | 200 while the sampler makes progress |
//! | `/-/ready`, `/readyz` | 200 once there is a snapshot |
//! | `/api/v1/snapshot` | the snapshot as JSON |

mod api;
mod body;
mod connection;
mod grid;
mod health;
mod listen;
pub mod metrics;
mod negotiate;
mod page;
mod places;
mod rendered;
mod server;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use api::check_telemetry_path;
pub use health::is_fresh;
pub use listen::{ListenAddress, bind, inherited, parse_listen};
pub use server::serve;

/// The version that pages and metrics show.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Reads the monotonic clock that [`crate::snapshot::Snapshot::monotonic`] was taken from.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Where to listen, what to call the metrics, and how much clients may ask for.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// Addresses to listen on; for [`bind`].
    pub listen: Vec<ListenAddress>,
    /// The path of the metrics: `/` first, then letters, digits and `/._~-`. With `/` the status page gives
    /// way.
    pub telemetry_path: String,
    /// Caps and timeouts.
    pub limits: Limits,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddress::any(10125)],
            telemetry_path: "/metrics".to_owned(),
            limits: Limits::default(),
        }
    }
}

/// Caps and timeouts of the server. With them, what slow clients can hold is bounded in number and in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests answered at once, from the end of the header until the answer is handed to the socket; more
    /// get a 503. The health and readiness paths don't count, so that a probe isn't failed by scrapers.
    pub max_requests: usize,
    /// Open connections. One more cuts the one that has been without a request for longest; if each has one,
    /// the one whose answer takes longest; else it gets a 503.
    pub max_connections: usize,
    /// How long an answer may be under way before it gives way where there are too many: its place among the
    /// requests goes to the next one, its connection is cut for a new one.
    pub yield_after: Duration,
    /// Size of a request's header in bytes; more gets a 431.
    pub max_header_bytes: usize,
    /// Length in bytes that a request may announce for its body; more gets a 413.
    pub max_body_bytes: u64,
    /// Time for a request's header from its first byte (for a new connection from the accept). Nothing waits
    /// for a body: after one that hasn't come with its header, the connection ends.
    pub read_timeout: Duration,
    /// Time that a connection may stay open between two requests.
    pub idle_timeout: Duration,
    /// Time that a write may stand still before the connection is cut.
    pub write_timeout: Duration,
    /// Time for a whole answer, so that a client that trickles is cut too.
    pub answer_timeout: Duration,
    /// Time that open requests get at shutdown.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_requests: 40,
            max_connections: 256,
            yield_after: Duration::from_millis(100),
            max_header_bytes: 16 * 1024,
            max_body_bytes: 64 * 1024,
            read_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(1),
        }
    }
}

/// Why the server can't start. Each message is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A listen address that can't be understood.
    #[error("listen address {value:?}: {problem}")]
    Address {
        /// As it was given.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An address that can't be bound.
    #[error("can't listen on {address}: {problem}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        problem: String,
    },
    /// No socket came from systemd.
    #[error(
        "web.systemd_socket is on, but systemd handed over no socket: enable wattprint.socket, or switch it off"
    )]
    NoSockets,
    /// A socket from systemd that can't be served on.
    #[error("socket {number} of those that systemd handed over can't be used: {problem}")]
    Inherited {
        /// Its place, from 1.
        number: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A path for the metrics that can't be served.
    #[error("web.telemetry_path = {path:?}: {problem}")]
    TelemetryPath {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A bound socket that the runtime refuses.
    #[error("can't use a listening socket: {0}")]
    Socket(#[from] std::io::Error),
}
