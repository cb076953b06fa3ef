//! The client of the API server, and what its failures mean.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config, Error};

use super::bounded::bounded;
use crate::identity::IdentityError;

/// Reasons of failures that need another account, or more rights for it.
pub(super) const REFUSED: &str = "the API server refuses this account";
pub(super) const UNKNOWN_ACCOUNT: &str = "the API server doesn't accept the credentials";
pub(super) const NO_CREDENTIALS: &str = "the pod has no credentials for the API server";
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of what the server says that are passed on.
const MOST_WORDS: usize = 300;

/// Whether a failure only means that the list must be read anew.
pub(super) enum Gone {
    /// The version that was asked for is too old.
    Yes,
    /// It is another failure.
    No(IdentityError),
}

/// A client with the credentials as they are now.
pub(super) async fn connect(kubeconfig: Option<&Path>) -> Result<Client, IdentityError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let failed = |error: &dyn std::fmt::Display| {
                IdentityError::new("the kubeconfig can't be used", format!("{}: {error}", path.display()))
                    .remedy("give kubernetes.kubeconfig a file with a current context")
            };
            let kubeconfig = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
            let loaded = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
            loaded.map_err(|error| failed(&error))?
        }
        None => Config::incluster().map_err(|error| {
            IdentityError::new(NO_CREDENTIALS, error.to_string())
                .remedy("give the pod a service account whose token is mounted, or set kubernetes.kubeconfig")
        })?,
    };
    config.connect_timeout = Some(CONNECT);
    // Failures are told, and tried again later, by whoever asks.
    config.default_retry = false;
    Client::try_from(config).map(bounded).map_err(|error| {
        IdentityError::new("the credentials for the API server can't be used", words(&error.to_string()))
            .remedy("look at its authority, certificate and token")
    })
}

/// What a failed request means.
pub(super) fn failure(error: Error) -> Gone {
    Gone::No(match error {
        Error::Api(status) if status.code == 410 => return Gone::Yes,
        Error::Api(status) => refusal(&status),
        Error::SerdeError(error) => garbage(&error.to_string()),
        Error::FromUtf8(error) => garbage(&error.to_string()),
        error => {
            let error: &dyn std::error::Error = &error;
            IdentityError::new("the API server can't be reached", words(&chain(error)))
                .remedy("see whether this node reaches the API server, and by which name and authority")
        }
    })
}

/// The server takes too long.
pub(super) fn silent() -> IdentityError {
    IdentityError::new("the API server doesn't answer", "no answer within 30 s")
}

/// The server says what can't be.
pub(super) fn garbage(what: &str) -> IdentityError {
    IdentityError::new("the API server's answer can't be read", words(what))
}

/// A request that can't even be made.
pub(super) fn invalid(error: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::new("the API server can't be asked", words(&error.to_string()))
        .remedy("see whether kubernetes.node is a node's name")
}

fn refusal(status: &Status) -> IdentityError {
    let detail = format!("{} {}", status.code, words(&status.message));
    match status.code {
        401 => IdentityError::new(UNKNOWN_ACCOUNT, detail)
            .remedy("see whether the token or certificate has expired; they are read again with each try"),
        403 => IdentityError::new(REFUSED, detail)
            .remedy("let the account list and watch pods (ClusterRole and ClusterRoleBinding)"),
        _ => IdentityError::new("the API server answers with an error", detail),
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn words(text: &str) -> String {
    let kept: String = text.chars().take(MOST_WORDS).collect();
    kept.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Error {
        Error::Api(Box::new(Status { code, message: "pods is\nforbidden".into(), ..Status::default() }))
    }

    #[test]
    fn failures_say_what_would_mend_them() {
        assert!(matches!(failure(status(410)), Gone::Yes));
        for (code, reason, remedy) in [
            (401, "the API server doesn't accept the credentials", Some("expired")),
            (403, "the API server refuses this account", Some("list and watch pods")),
            (500, "the API server answers with an error", None),
        ] {
            let Gone::No(error) = failure(status(code)) else { panic!("{code}") };
            assert_eq!(error.reason, reason);
            assert_eq!(error.detail, format!("{code} pods is forbidden"));
            assert_eq!(error.remedy.is_some(), remedy.is_some());
            assert!(remedy.is_none_or(|part| error.remedy.unwrap().contains(part)), "{error:?}");
        }
    }

    #[test]
    fn a_kubeconfig_that_makes_no_sense_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for text in [None, Some(""), Some("a: [b"), Some("clusters: 7"), Some("current-context: none\n")] {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = runtime.block_on(connect(Some(&path))).map(drop).unwrap_err();
            assert_eq!(error.reason, "the kubeconfig can't be used", "{text:?}");
            assert!(error.detail.contains(path.to_str().unwrap()), "{text:?}: {error}");
        }
    }
}
