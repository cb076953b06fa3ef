//! Where forecasts come from: a daemon that has them already, else the configured sources.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::carbon::fetch::fetch_once;
use crate::carbon::grid::{FetchError, FetchResult, GridSeries};
use crate::carbon::http::{HttpClient, Request, check_address};
use crate::carbon::providers::{self, Surroundings, believable};
use crate::carbon::series::{Series, Slot};
use crate::config::{Settings, Source};
use crate::units::UnixTime;

/// Where a daemon serves its series.
const PATH: &str = "/api/v1/grid";
/// The version of that document that is understood.
const VERSION: u64 = 1;

/// Someone to be asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place<'a> {
    /// The daemon at this address.
    Daemon(String),
    /// A configured source.
    Source(&'a Source),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(address) => f.write_str(address),
            Self::Source(source) => f.write_str(source.provider.as_str()),
        }
    }
}

/// Whom to ask, one after the other: the daemon that is named, else this machine's own and then the sources.
pub(super) fn places<'a>(settings: &'a Settings, daemon: Option<&str>) -> Vec<Place<'a>> {
    if let Some(daemon) = daemon {
        return vec![Place::Daemon(daemon.to_owned())];
    }
    let daemons = settings.web.listen_address.iter().map(|listen| Place::Daemon(reachable(listen)));
    daemons.chain(settings.carbon.source.iter().map(Place::Source)).collect()
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
pub(super) fn ask(place: &Place<'_>, settings: &Settings, now: UnixTime) -> Result<Vec<GridSeries>, String> {
    match place {
        Place::Daemon(address) => ask_daemon(address).map_err(|error| error.to_string()),
        Place::Source(source) => {
            ask_source(source, settings, now).map_err(|error| format!("{place}: {error}"))
        }
    }
}

/// What a daemon serves; it may be newer than this program.
#[derive(Deserialize)]
struct Document {
    version: u64,
    series: Vec<Value>,
}

fn ask_daemon(address: &str) -> Result<Vec<GridSeries>, FetchError> {
    let answer = HttpClient::new(None)?.get(&Request::new(format!("{address}{PATH}")))?.ok()?;
    let document: Document = answer.json()?;
    if document.version != VERSION {
        let text = format!(
            "it speaks version {} of {PATH}, this wattprint version {VERSION}: upgrade the older one",
            document.version
        );
        return Err(answer.fault(FetchResult::Decode, &text));
    }
    // A kind of series that isn't known here can't be meant.
    let series = document.series.into_iter().filter_map(|series| serde_json::from_value(series).ok());
    Ok(series.map(sound).collect())
}

/// The same series with only the values that a source would be believed.
fn sound(mut series: GridSeries) -> GridSeries {
    let slot = |slot: &Slot| believable(slot.start, slot.end, slot.intensity.0, slot.quality, series.signal);
    series.slots = Series::new(series.slots.slots().iter().filter_map(slot));
    series
}

fn ask_source(source: &Source, settings: &Settings, now: UnixTime) -> Result<Vec<GridSeries>, String> {
    let around = Surroundings {
        zone: settings.carbon.zone.as_deref(),
        basis: settings.carbon.basis,
        credentials: None,
    };
    let mut provider = providers::build(source, around).map_err(|error| error.to_string())?;
    let http = HttpClient::new(source.ca_file.as_deref()).map_err(|error| error.to_string())?;
    fetch_once(provider.as_mut(), &http, now).map_err(|error| error.to_string())
}
