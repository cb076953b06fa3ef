//! The kubelet's own list of pods, for clusters that let nobody watch pods.

use std::fs::File;
use std::io::{BufReader, Read};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::pod::PodList;
use super::sighting::{Selection, Sighting};
use crate::config::Kubernetes;
use crate::identity::IdentityError;
use crate::pem;

/// The reason of a failure that needs more rights.
pub(super) const REFUSED: &str = "the kubelet refuses this account";
/// Where every pod finds its token and the cluster's authority.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MOST_ANSWER: u64 = 64 * 1024 * 1024;
/// Bytes of a token or of a file of certificates.
const MOST_FILE: u64 = 1024 * 1024;

/// The kubelet of this node.
#[derive(Debug)]
pub(super) struct Kubelet {
    url: String,
    ca_file: PathBuf,
    token_file: PathBuf,
    /// Whether the operator named the token's file.
    needs_token: bool,
}

/// The address of a kubelet with an IPv6 address in brackets: `status.hostIP`, of which pods make theirs, has none.
fn bracketed(url: &str) -> String {
    let with_brackets = || {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = authority.rsplit_once(':')?;
        host.parse::<Ipv6Addr>().ok()?;
        Some(format!("{scheme}://[{host}]:{port}{path}"))
    };
    with_brackets().unwrap_or_else(|| url.to_owned())
}

impl Kubelet {
    pub(super) fn new(settings: &Kubernetes) -> Self {
        let own = |name: &str| Path::new(ACCOUNT).join(name);
        Self {
            url: format!("{}/pods", bracketed(&settings.kubelet_url).trim_end_matches('/')),
            ca_file: settings.kubelet_ca_file.clone().unwrap_or_else(|| own("ca.crt")),
            token_file: settings.kubelet_token_file.clone().unwrap_or_else(|| own("token")),
            needs_token: settings.kubelet_token_file.is_some(),
        }
    }

    /// All pods of the node. Token and certificates are read each time, as they are replaced now and then.
    pub(super) fn read(&self, selection: &Selection) -> Result<Vec<Sighting>, IdentityError> {
        // The port for reading alone has neither.
        let is_secure = self.url.starts_with("https://");
        let mut tls = TlsConfig::builder();
        if is_secure {
            tls = tls.root_certs(RootCerts::from(certificates(&self.ca_file)?));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .user_agent(concat!("wattprint/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        let mut request = config.build().new_agent().get(&self.url);
        if is_secure || self.needs_token {
            let token = read(&self.token_file)?;
            let token = String::from_utf8_lossy(&token);
            request = request.header("Authorization", format!("Bearer {}", token.trim()));
        }
        let failed = |reason, detail: &dyn std::fmt::Display| {
            IdentityError::new(reason, format!("{}: {detail}", self.url))
        };
        let answer = request.call().map_err(|error| {
            failed("the kubelet can't be reached", &error)
                .remedy("set kubernetes.kubelet_url, and kubernetes.kubelet_ca_file to the authority of its certificate")
        })?;
        let status = answer.status().as_u16();
        match status {
            200 => {}
            401 | 403 => {
                return Err(failed(REFUSED, &status)
                    .remedy("let the account get nodes/proxy, or set kubernetes.kubelet_token_file"));
            }
            _ => return Err(failed("the kubelet answers with an error", &status)),
        }
        let body = answer.into_body().into_with_config().limit(MOST_ANSWER).reader();
        let list: PodList = serde_json::from_reader(BufReader::new(body))
            .map_err(|error| failed("the kubelet's answer can't be read", &error))?;
        Ok(list.items.iter().filter_map(|pod| Sighting::of(pod, selection)).collect())
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, IdentityError> {
    let pem = read(path)?;
    let found = pem::certificates(&pem);
    if found.is_empty() {
        return Err(unreadable(path, &"no PEM certificate in it"));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(MOST_FILE).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::new("the credentials for the kubelet can't be read", format!("{}: {why}", path.display()))
        .remedy("set kubernetes.kubelet_token_file and kubernetes.kubelet_ca_file")
}

#[cfg(test)]
mod tests;
