//! Asks the kubelet, over its Unix socket.

use std::future::{Ready, ready};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::Uri;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::identity::IdentityError;
use crate::identity::files::HostRoot;
use crate::identity::podresources::messages::{
    AllocatableRequest, AllocatableResponse, ListRequest, ListResponse,
};

/// How long connecting, and each call, may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// The longest answer, in bytes: what the kubelet's own clients allow.
const LONGEST: usize = 16 * 1024 * 1024;

/// The reason of an answer that doesn't come.
pub(super) const LATE: &str = "doesn't answer in time";
const OFF: &str = "start the kubelet, or turn this off with --no-collector.podresources";
const DENIED: &str =
    "run as root, to whom alone the kubelet lets its socket, or use --no-collector.podresources";

/// What the kubelet says: who holds what, and what there is where it tells.
pub(super) struct Answer {
    pub(super) list: ListResponse,
    pub(super) allocatable: Option<AllocatableResponse>,
}

/// Asks once, over a connection of its own: the socket is another one after the kubelet's restart.
pub(super) async fn ask(root: &HostRoot, socket: &Path) -> Result<Answer, IdentityError> {
    let shown = root.shown(socket).display().to_string();
    let late = || IdentityError::new(LATE, format!("{shown}: after {LIMIT:?}")).remedy(OFF);
    let mut client = timeout(LIMIT, connect(root, socket, &shown)).await.map_err(|_| late())??;
    let list = call(&mut client, "/v1.PodResourcesLister/List", ListRequest {});
    let list = timeout(LIMIT, list).await.map_err(|_| late())?.map_err(|status| refused(&shown, &status))?;
    // Kubelets before 1.23 don't tell that unasked. It says only in how many parts a card is shared.
    let path = "/v1.PodResourcesLister/GetAllocatableResources";
    let allocatable = timeout(LIMIT, call(&mut client, path, AllocatableRequest {})).await;
    Ok(Answer { list, allocatable: allocatable.ok().and_then(Result::ok) })
}

async fn connect(root: &HostRoot, socket: &Path, shown: &str) -> Result<Grpc<Channel>, IdentityError> {
    let failed = |error: io::Error| unreachable(shown, &error);
    let found = root.find(socket).map_err(failed)?;
    // In this way links lead nowhere else, and the path is never too long for a socket's address (108 bytes).
    let stream = UnixStream::connect(format!("/proc/self/fd/{}", found.as_raw_fd())).await.map_err(failed)?;
    // The authority is of no use on a Unix socket, but servers want one that is valid.
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(Once(Some(stream))).await;
    let channel = channel.map_err(|error| failed(io::Error::other(error)))?;
    Ok(Grpc::new(channel).max_decoding_message_size(LONGEST))
}

async fn call<Q, A>(client: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A, Status>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = client.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}

fn unreachable(shown: &str, error: &io::Error) -> IdentityError {
    let detail = format!("{shown}: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied => IdentityError::new("permission denied", detail).remedy(DENIED),
        io::ErrorKind::NotFound => IdentityError::new("there is no socket", detail).remedy(OFF),
        io::ErrorKind::ConnectionRefused => IdentityError::new("nobody listens", detail).remedy(OFF),
        _ => IdentityError::new("can't be reached", detail),
    }
}

fn refused(shown: &str, status: &Status) -> IdentityError {
    // What comes from the other side is of any length.
    let said: String = status.message().chars().take(200).collect();
    let detail = format!("{shown}: {:?}: {said}", status.code());
    match status.code() {
        Code::OutOfRange => IdentityError::new("the answer is longer than 16 MiB", detail),
        Code::Internal => IdentityError::new("the answer can't be understood", detail),
        Code::Unimplemented => IdentityError::new("the kubelet doesn't know the call", detail)
            .remedy("Kubernetes 1.20 is the first that does; update it, or use --no-collector.podresources"),
        _ => IdentityError::new("the call failed", detail),
    }
}

/// Hands over the one connection that there is.
struct Once(Option<UnixStream>);

impl Service<Uri> for Once {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
