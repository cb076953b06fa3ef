//! What the operator's own sources have in common: checks of their keys, and their token.

use super::{SourceError, Surroundings};
use crate::carbon::grid::{FetchError, Signal};
use crate::carbon::http::Request;
use crate::carbon::secret::{Secret, SecretFile};
use crate::config::Source;

/// What the source's values count. It isn't guessed: nothing in a bare number tells life-cycle emissions from direct ones,
/// and the two may differ tenfold.
///
/// # Errors
/// It isn't configured.
pub(super) fn signal(source: &Source) -> Result<Signal, SourceError> {
    let problem = "must be \"lifecycle\" or \"direct\": a bare number doesn't tell which emissions it counts, and a guess \
                   could be wrong tenfold; whoever makes the values knows";
    source.basis.map(Signal::average).ok_or_else(|| SourceError::new("basis", problem))
}

/// The address, which has no default.
///
/// # Errors
/// It isn't configured.
pub(super) fn needs_url(source: &Source) -> Result<&str, SourceError> {
    let problem = || format!("{} needs one, such as https://host:9090", source.provider.as_str());
    source.url.as_deref().ok_or_else(|| SourceError::new("url", problem()))
}

/// The file with the token, where there is one.
pub(super) fn token(source: &Source, around: Surroundings<'_>) -> Option<SecretFile> {
    source.token_file.as_deref().map(|path| SecretFile::new(path, around.credentials))
}

/// The request with the token as `Authorization: Bearer` (RFC 6750), where there is one.
///
/// # Errors
/// The token can't be read.
pub(super) fn with_bearer(request: Request, token: Option<&SecretFile>) -> Result<Request, FetchError> {
    Ok(match token {
        Some(file) => {
            let token = Secret::new(format!("Bearer {}", file.read()?.expose()));
            request.header("authorization", token)
        }
        None => request,
    })
}
