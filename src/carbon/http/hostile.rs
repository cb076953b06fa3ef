//! Servers that answer in ways nobody should, over TCP or TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A server that reads a request's head and then does as it likes; it ends with the test's process.
#[derive(Debug)]
pub(super) struct Hostile {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Hostile {
    /// Calls `answer` on each connection, once the request has been read.
    pub(super) fn new(
        answer: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::raw(move |mut stream| {
            read_head(&mut stream)?;
            answer(&mut stream)
        })
    }

    /// Calls `answer` on each connection, in a thread of its own.
    pub(super) fn raw(answer: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                // A client that goes away early has seen enough.
                thread::spawn(move || drop(answer(stream)));
            }
        });
        Self { port, connections }
    }

    /// Answers every request over TLS with `{}`, with a certificate for `name` by the authority whose certificate goes
    /// to `ca_file`; without one it signs for itself.
    pub(super) fn tls(name: &str, ca_file: Option<&Path>) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = match ca_file {
            Some(path) => {
                let mut authority = CertificateParams::default();
                authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                let authority_key = KeyPair::generate().unwrap();
                let own = authority.self_signed(&authority_key).unwrap();
                std::fs::write(path, own.pem()).unwrap();
                params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap()
            }
            None => params.self_signed(&key).unwrap(),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        Self::raw(move |stream| {
            let connection =
                rustls::ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
            let mut stream = rustls::StreamOwned::new(connection, stream);
            read_head(&mut stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
            stream.conn.send_close_notify();
            stream.flush()
        })
    }

    /// How many connections it has had.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Its address with this scheme.
    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/x", self.port)
    }
}

fn read_head(stream: &mut impl Read) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 && !line.trim().is_empty() {
        line.clear();
    }
    Ok(())
}
