//! Where forecasts come from: a daemon that has them already, else the configured sources.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::carbon::fetch::fetch_once;
use crate::carbon::grid::{FetchError, FetchResult, GridSeries, Signal};
use crate::carbon::http::{HttpClient, Request, check_address};
use crate::carbon::providers::{Fetched, relay};
use crate::cli::carbon;
use crate::config::{Loaded, Settings, Source};
use crate::units::UnixTime;

/// So many zones are named where the wanted one isn't there.
const NAMED: usize = 10;

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
        Place::Daemon(address) => {
            let series = ask_daemon(address, now).map_err(|error| error.to_string())?;
            of_place(series, loaded.settings.carbon.zone.as_deref())
                .map_err(|problem| format!("{place}: {problem}"))
        }
        Place::Source(number, entry) => {
            let error = |error: &dyn fmt::Display| format!("{place}: {error}");
            let mut source = carbon::source(loaded, (*number, entry), loaded.settings.carbon.basis)
                .map_err(|wrong| error(&wrong))?;
            fetch_once(source.provider.as_mut(), &source.http, now).map_err(|failure| error(&failure))
        }
    }
}

/// The series of the place that is meant: a relay has those of several.
fn of_place(series: Vec<GridSeries>, zone: Option<&str>) -> Result<Vec<GridSeries>, String> {
    let zones: BTreeSet<Arc<str>> = series.iter().map(|series| Arc::clone(&series.zone)).collect();
    let named = || zones.iter().map(|zone| &**zone).take(NAMED).collect::<Vec<_>>().join(", ");
    let Some(zone) = zone else {
        let countries: BTreeSet<Arc<str>> = zones.iter().filter_map(|zone| carbon::country(zone)).collect();
        return match countries.len() {
            0 | 1 => Ok(series),
            _ => Err(format!("has several zones ({}): name one with --carbon.zone", named())),
        };
    };
    let is_named = zones.iter().any(|known| known.eq_ignore_ascii_case(zone));
    // Marginal figures have zones of their own.
    let fits = |series: &GridSeries| match is_named && series.signal != Signal::Marginal {
        true => series.zone.eq_ignore_ascii_case(zone),
        false => !carbon::is_elsewhere(&series.zone, zone),
    };
    let fitting: Vec<GridSeries> = series.into_iter().filter(fits).collect();
    if fitting.is_empty() && !zones.is_empty() {
        return Err(format!("has nothing for {zone}, only for {}", named()));
    }
    Ok(fitting)
}

fn ask_daemon(address: &str, now: UnixTime) -> Result<Vec<GridSeries>, FetchError> {
    let answer = HttpClient::new(None)?.get(&Request::new(format!("{address}{}", relay::PATH)))?.ok()?;
    let Fetched { series, warnings } = relay::received(&answer, now)?;
    match warnings.first() {
        Some(why) if series.is_empty() => Err(answer.fault(FetchResult::Empty, why)),
        _ => Ok(series),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carbon::series::Series;

    #[test]
    fn only_the_place_that_is_meant_answers() {
        let series = |zone: &str| GridSeries {
            provider: "relay".into(),
            zone: zone.into(),
            signal: Signal::AverageLifecycle,
            accounting: "".into(),
            fetched_at: UnixTime::default(),
            slots: Series::default(),
        };
        let of = |zones: &[&str], zone| {
            let chosen = of_place(zones.iter().map(|zone| series(zone)).collect(), zone)?;
            Ok::<_, String>(chosen.iter().map(|series| series.zone.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["DE"], None).unwrap(), ["DE"]);
        assert_eq!(of(&["DE", "FR"], Some("fr")).unwrap(), ["FR"]);
        // The zones of one provider within a country have names of their own.
        assert_eq!(of(&["US-CAL-CISO", "FR"], Some("US-CA")).unwrap(), ["US-CAL-CISO"]);
        assert_eq!(of(&[], Some("FR")).unwrap(), Vec::<String>::new());
        assert!(of(&["DE", "FR"], None).unwrap_err().contains("several zones (DE, FR)"));
        assert!(of(&["DE"], Some("FR")).unwrap_err().contains("nothing for FR, only for DE"));
    }
}
