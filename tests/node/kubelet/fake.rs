//! A kubelet that has nothing but its pod-resources socket, and moods.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use wattprint::identity::podresources::messages::{
    AllocatableResponse, ContainerDevices, ContainerResources, ListResponse, PodResources,
};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    Answers,
    /// As kubelets before 1.23 do: it lists, and knows no other call.
    OnlyLists,
    /// With bytes that are no message.
    Garbage,
    /// With a message of so many bytes more than it needs.
    Padded(usize),
    /// Not at all, on connections that it takes.
    Silent,
    /// With an error.
    Refuses,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    list: ListResponse,
    allocatable: AllocatableResponse,
    /// Lists that were asked for.
    asked: u64,
}

/// The kubelet; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Kubelet {
    socket: PathBuf,
    state: Arc<Mutex<State>>,
    running: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Kubelet {
    /// Listens at `kubelet.sock` in this directory, which is made.
    pub(crate) fn start(directory: &Path) -> Self {
        fs::create_dir_all(directory).unwrap();
        let state = State {
            mood: Mood::Answers,
            list: ListResponse::default(),
            allocatable: AllocatableResponse::default(),
            asked: 0,
        };
        let socket = directory.join("kubelet.sock");
        let mut kubelet = Self { socket, state: Arc::new(Mutex::new(state)), running: None };
        kubelet.restart();
        kubelet
    }

    pub(crate) fn set(&self, pods: Vec<PodResources>) {
        self.state.lock().unwrap().list.pod_resources = pods;
    }

    /// What may be given away, with all replicas.
    pub(crate) fn set_allocatable(&self, devices: Vec<ContainerDevices>) {
        self.state.lock().unwrap().allocatable.devices = devices;
    }

    pub(crate) fn behave(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    /// How often it was asked for its list.
    pub(crate) fn asked(&self) -> u64 {
        self.state.lock().unwrap().asked
    }

    /// Ends all connections and takes the socket away.
    pub(crate) fn stop(&mut self) {
        if let Some((end, thread)) = self.running.take() {
            drop(end);
            thread.join().unwrap();
            // A kubelet leaves its socket behind; the next one replaces it.
            fs::remove_file(&self.socket).unwrap();
        }
    }

    /// Listens at a new socket in the same place.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let (listener, state) = (UnixListener::bind(&self.socket).unwrap(), Arc::clone(&self.state));
        let (end, ended) = oneshot::channel::<()>();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                ready.send(()).unwrap();
                let accept = async {
                    loop {
                        let (stream, _) = listener.accept().await.unwrap();
                        tokio::spawn(serve(stream, Arc::clone(&state)));
                    }
                };
                tokio::select! {
                    () = accept => {}
                    _ = ended => {}
                }
            });
        });
        is_ready.recv().unwrap();
        self.running = Some((end, thread));
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Devices of a resource.
pub(crate) fn devices(resource: &str, ids: &[&str]) -> ContainerDevices {
    let device_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    ContainerDevices { resource_name: resource.to_owned(), device_ids }
}

/// A pod of one container that holds these devices.
pub(crate) fn pod(
    namespace: &str,
    name: &str,
    container: &str,
    resource: &str,
    ids: &[&str],
) -> PodResources {
    let container = ContainerResources {
        name: container.to_owned(),
        devices: vec![devices(resource, ids)],
        dynamic_resources: vec![],
    };
    PodResources { name: name.to_owned(), namespace: namespace.to_owned(), containers: vec![container] }
}

async fn serve(stream: UnixStream, state: Arc<Mutex<State>>) {
    if state.lock().unwrap().mood == Mood::Silent {
        // The stream stays open until the kubelet ends.
        std::future::pending::<()>().await;
    }
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let (body, status) = answer(request.uri().path(), &state);
        let head = http::Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        // The client may be gone.
        let Ok(mut stream) = respond.send_response(head, false) else { continue };
        let _ = stream.send_data(body, false);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", status.into());
        let _ = stream.send_trailers(trailers);
    }
}

/// The bytes and the gRPC status of an answer.
fn answer(path: &str, state: &Mutex<State>) -> (Bytes, u16) {
    let mut state = state.lock().unwrap();
    let is_list = path == "/v1.PodResourcesLister/List";
    state.asked += u64::from(is_list);
    let mut message = match path {
        "/v1.PodResourcesLister/List" => state.list.encode_to_vec(),
        "/v1.PodResourcesLister/GetAllocatableResources" => state.allocatable.encode_to_vec(),
        _ => return (Bytes::new(), 12),
    };
    match state.mood {
        Mood::OnlyLists if !is_list => return (Bytes::new(), 12),
        Mood::Refuses => return (Bytes::new(), 8),
        Mood::Garbage => message = vec![0xff; 64],
        Mood::Padded(length) => {
            // A field of bytes with a number that nobody knows.
            prost::encoding::bytes::encode(1000, &vec![0; length], &mut message);
        }
        _ => {}
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(&message);
    (framed.freeze(), 0)
}
