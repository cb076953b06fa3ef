//! Where forecasts come from: a daemon that has them already, else the configured sources.

use std::fmt;

use crate::carbon::fetch::fetch_once;
use crate::carbon::grid::{FetchError, FetchResult, GridSeries};
use crate::carbon::http::{HttpClient, Request, check_address};
use crate::carbon::providers::{Fetched, relay};
use crate::cli::carbon;
use crate::config::{Loaded, Settings, Source};
use crate::units::UnixTime;

/// Someone to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place<'a> {
    /// The daemon at this address.
    Daemon(String),
    /// A configured source, and its place among them.
    Source(usize, &'a Source),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(address) => f.write_str(address),
            Self::Source(_, source) => f.write_str(source.provider.as_str()),
        }
    }
}

/// Whom to ask, one after the other: the daemon that is named, else this machine's own and then the sources.
pub(super) fn places<'a>(settings: &'a Settings, daemon: Option<&str>) -> Vec<Place<'a>> {
    if let Some(daemon) = daemon {
        return vec![Place::Daemon(daemon.to_owned())];
    }
    let daemons = settings.web.listen_address.iter().map(|listen| Place::Daemon(reachable(listen)));
    let sources = settings.carbon.source.iter().enumerate();
    daemons.chain(sources.map(|(number, source)| Place::Source(number, source))).collect()
}

/// The address of a daemon as it is given, with `http` where it has no scheme.
///
/// # Errors
/// It is no address; says why.
pub(crate) fn daemon(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let address = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    check_address(&address)?;
    Ok(address)
}

/// Where this machine reaches a daemon that listens like this.
fn reachable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("" | "0.0.0.0", port)) => format!("http://127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("http://[::1]:{port}"),
        _ => format!("http://{listen}"),
    }
}

/// What someone knows. The error names who it is.
pub(super) fn ask(place: &Place<'_>, loaded: &Loaded, now: UnixTime) -> Result<Vec<GridSeries>, String> {
    match place {
        Place::Daemon(address) => ask_daemon(address, now).map_err(|error| error.to_string()),
        Place::Source(number, entry) => {
            let error = |error: &dyn fmt::Display| format!("{place}: {error}");
            let mut source = carbon::source(loaded, (*number, entry), loaded.settings.carbon.basis)
                .map_err(|wrong| error(&wrong))?;
            fetch_once(source.provider.as_mut(), &source.http, now).map_err(|failure| error(&failure))
        }
    }
}

fn ask_daemon(address: &str, now: UnixTime) -> Result<Vec<GridSeries>, FetchError> {
    let answer = HttpClient::new(None)?.get(&Request::new(format!("{address}{}", relay::PATH)))?.ok()?;
    let Fetched { series, warnings } = relay::received(&answer, now)?;
    match warnings.first() {
        Some(why) if series.is_empty() => Err(answer.fault(FetchResult::Empty, why)),
        _ => Ok(series),
    }
}
