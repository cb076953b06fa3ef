//! A made-up API server, which knows pods and can be told to misbehave.
//!
//! It speaks the list and watch protocol of Kubernetes (kubernetes.io, "Kubernetes API Concepts") as far as one client needs
//! it: field selector, pages, bookmarks, `410 Gone`, chunked streams.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// The node whose pods these are.
pub(crate) const NODE: &str = "n1";

/// How a watch learns that the server has forgotten where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgetting {
    /// By the status of the answer.
    Status,
    /// By an event in a stream that has begun.
    Event,
}

#[derive(Debug)]
struct State {
    /// By UID.
    pods: BTreeMap<String, Value>,
    version: u64,
    /// What happened at which version, as lines of a stream.
    events: Vec<(u64, String)>,
    /// Watches from before this version are too old.
    oldest: u64,
    forgetting: Forgetting,
    /// Rises when all streams are cut.
    cuts: u64,
    /// What a stream ends with when it is cut.
    last_words: String,
    is_down: bool,
    /// Only this token is taken, if any.
    token: Option<String>,
    is_forbidden: bool,
    /// Pods of one page.
    page: usize,
    asked: Vec<String>,
}

/// The server; it ends with the tests' process.
#[derive(Clone, Debug)]
pub(crate) struct ApiServer {
    port: u16,
    scheme: &'static str,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl ApiServer {
    pub(crate) fn new() -> Self {
        Self::start("http", serve)
    }

    /// The same over TLS; the certificate of its authority goes to `ca_file`.
    pub(crate) fn tls(ca_file: &Path) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(ca_file, authority.self_signed(&authority_key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config =
            config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let config = Arc::new(config);
        Self::start("https", move |stream, shared| {
            let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            serve(StreamOwned::new(connection, stream), shared)
        })
    }

    fn start(
        scheme: &'static str,
        serve: impl Fn(TcpStream, &(Mutex<State>, Condvar)) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            pods: BTreeMap::new(),
            version: 100,
            events: Vec::new(),
            oldest: 0,
            forgetting: Forgetting::Status,
            cuts: 0,
            last_words: String::new(),
            is_down: false,
            token: None,
            is_forbidden: false,
            page: usize::MAX,
            asked: Vec::new(),
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let (serve, served) = (Arc::new(serve), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, served) = (Arc::clone(&serve), Arc::clone(&served));
                // A client that goes away has seen enough.
                thread::spawn(move || drop(serve(stream, &served)));
            }
        });
        Self { port, scheme, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Makes a pod, or changes the one with its UID.
    pub(crate) fn put(&self, mut pod: Value) {
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        self.change(|state| {
            pod["metadata"]["resourceVersion"] = json!(state.version.to_string());
            let kind = if state.pods.insert(uid, pod.clone()).is_some() { "MODIFIED" } else { "ADDED" };
            Some(json!({"type": kind, "object": pod}))
        });
    }

    pub(crate) fn delete(&self, uid: &str) {
        self.change(|state| {
            let mut pod = state.pods.remove(uid).unwrap();
            pod["metadata"]["resourceVersion"] = json!(state.version.to_string());
            Some(json!({"type": "DELETED", "object": pod}))
        });
    }

    /// Lets time pass without any pod having changed, and says so.
    pub(crate) fn bookmark(&self) {
        self.change(|state| {
            let metadata = json!({"resourceVersion": state.version.to_string(), "creationTimestamp": null});
            let object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": {"containers": null}, "status": {}});
            Some(json!({"type": "BOOKMARK", "object": object}))
        });
    }

    /// Sends a line as it is.
    pub(crate) fn send(&self, line: &str) {
        let (mutex, changed) = &*self.shared;
        let mut state = mutex.lock().unwrap();
        state.version += 1;
        let version = state.version;
        state.events.push((version, line.to_owned()));
        drop(state);
        changed.notify_all();
    }

    /// Forgets everything that happened, and cuts all watches, so that the next ones learn of that.
    pub(crate) fn forget(&self, forgetting: Forgetting) {
        let (mutex, changed) = &*self.shared;
        let mut state = mutex.lock().unwrap();
        state.version += 1;
        state.oldest = state.version;
        state.events.clear();
        state.forgetting = forgetting;
        state.cuts += 1;
        drop(state);
        changed.notify_all();
    }

    /// Cuts all watches; what each ends with may be half an event.
    pub(crate) fn cut(&self, last_words: &str) {
        let (mutex, changed) = &*self.shared;
        let mut state = mutex.lock().unwrap();
        state.cuts += 1;
        state.last_words = last_words.to_owned();
        drop(state);
        changed.notify_all();
    }

    pub(crate) fn is_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
        self.cut("");
    }

    pub(crate) fn takes_only(&self, token: &str) {
        self.lock().token = Some(token.to_owned());
    }

    pub(crate) fn forbids(&self, is_forbidden: bool) {
        self.lock().is_forbidden = is_forbidden;
    }

    pub(crate) fn pages(&self, page: usize) {
        self.lock().page = page;
    }

    /// The request lines so far that have all of these parts.
    pub(crate) fn asked(&self, parts: &[&str]) -> usize {
        self.lock().asked.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    fn change(&self, make: impl FnOnce(&mut State) -> Option<Value>) {
        let (mutex, changed) = &*self.shared;
        let mut state = mutex.lock().unwrap();
        state.version += 1;
        let version = state.version;
        if let Some(event) = make(&mut state) {
            state.events.push((version, event.to_string()));
        }
        drop(state);
        changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }
}

fn serve(stream: impl Read + Write, shared: &(Mutex<State>, Condvar)) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut stream = reader.into_inner();
    let (mutex, _) = shared;
    let line = head.lines().next().unwrap_or_default().to_owned();
    let query: BTreeMap<String, String> = line
        .split(' ')
        .nth(1)
        .and_then(|target| target.strip_prefix("/api/v1/pods?"))
        .map(|query| form_urlencoded::parse(query.as_bytes()).into_owned().collect())
        .unwrap_or_default();
    let mut state = mutex.lock().unwrap();
    if state.is_down {
        return Ok(());
    }
    state.asked.push(line);
    let authorization =
        state.token.as_ref().map(|token| format!("authorization: bearer {}\r\n", token.to_lowercase()));
    if authorization.is_some_and(|header| !head.to_lowercase().contains(&header)) {
        return refuse(&mut stream, 401, "Unauthorized");
    }
    if state.is_forbidden {
        return refuse(&mut stream, 403, "pods is forbidden: User \"x\" cannot list resource \"pods\"");
    }
    if query.get("fieldSelector").map(String::as_str) != Some("spec.nodeName=n1") {
        return refuse(&mut stream, 400, "only the pods of one node may be asked for");
    }
    if query.contains_key("watch") {
        drop(state);
        return watch(&mut stream, shared, &query);
    }
    let begin: usize = query.get("continue").map_or(0, |text| text.parse().unwrap());
    let most = state.page.min(query.get("limit").map_or(usize::MAX, |text| text.parse().unwrap()));
    let items: Vec<&Value> = state.pods.values().skip(begin).take(most).collect();
    let end = begin + items.len();
    let next = if end < state.pods.len() { end.to_string() } else { String::new() };
    let metadata = json!({"resourceVersion": state.version.to_string(), "continue": next});
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items});
    drop(state);
    answer(&mut stream, 200, &list)
}

fn refuse(stream: &mut impl Write, code: u16, message: &str) -> io::Result<()> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Refused", "code": code
    });
    answer(stream, code, &status)
}

fn answer(stream: &mut impl Write, code: u16, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {code} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    stream.flush()
}

fn watch(
    stream: &mut impl Write,
    (mutex, changed): &(Mutex<State>, Condvar),
    query: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut at: u64 = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut state = mutex.lock().unwrap();
    let is_gone = at < state.oldest;
    if is_gone && state.forgetting == Forgetting::Status {
        return refuse(stream, 410, "too old resource version");
    }
    let cuts = state.cuts;
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )?;
    stream.flush()?;
    if is_gone {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
            "message": "too old resource version", "code": 410});
        return chunk(stream, &format!("{}\n", json!({"type": "ERROR", "object": status})));
    }
    loop {
        if state.cuts != cuts {
            let last_words = state.last_words.clone();
            drop(state);
            // No last chunk: the connection is cut.
            return if last_words.is_empty() { Ok(()) } else { chunk(stream, &last_words) };
        }
        let news: String = state
            .events
            .iter()
            .filter(|(version, _)| *version > at)
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        at = state.version;
        drop(state);
        if !news.is_empty() {
            chunk(stream, &news)?;
        }
        state = mutex.lock().unwrap();
        if state.version == at && state.cuts == cuts {
            state = changed.wait_timeout(state, Duration::from_secs(120)).unwrap().0;
        }
    }
}

fn chunk(stream: &mut impl Write, text: &str) -> io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())?;
    stream.flush()
}
