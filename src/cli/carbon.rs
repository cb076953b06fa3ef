//! What the settings ask for of emission factors: live sources, what stands in for them, overhead and contracts.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::http::Uri;
use tracing::warn;

use crate::carbon::embodied;
use crate::carbon::factors::{self, FactorSettings, Factors};
use crate::carbon::grid::FetchError;
use crate::carbon::http::HttpClient;
use crate::carbon::market::{Market, WindowsFile};
use crate::carbon::pricing::Pricer;
use crate::carbon::providers::{self, GridProvider, Surroundings};
use crate::carbon::pue::PueSource;
use crate::carbon::zones;
use crate::cli::CliError;
use crate::config::{Basis, Collectors, Loaded, ProviderKind, Source};
use crate::journal::SourceKey;
use crate::units::LitresPerKwh;

/// Where systemd puts the credentials of a service (systemd.exec(5)).
pub(super) const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Whether energy is priced, or figures are only passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// All sources must count the same emissions.
    Account,
    /// Sources may be of any zone and basis.
    Relay,
}

/// One live source, ready to be asked.
#[derive(Debug)]
pub(super) struct LiveSource {
    /// Who is asked.
    pub(super) kind: ProviderKind,
    /// Sources of the same lane aren't asked at the same time, since some providers refuse calls that overlap.
    pub(super) lane: String,
    /// What names it in the journal.
    pub(super) key: SourceKey,
    /// What asks.
    pub(super) provider: Box<dyn GridProvider>,
    /// Its connection.
    pub(super) http: HttpClient,
}

/// Everything that prices energy.
#[derive(Debug)]
pub(super) struct Carbon {
    /// What prices energy.
    pub(super) pricer: Pricer,
    /// What is to be fetched.
    pub(super) work: Work,
}

/// What is to be fetched.
#[derive(Debug)]
pub(super) struct Work {
    /// Live sources, the preferred one first.
    pub(super) sources: Vec<LiveSource>,
    /// Where the overhead is read from, if it isn't a constant, and by what.
    pub(super) pue: Option<(PueSource, HttpClient)>,
    /// The contracts' windows, if they are matched hour by hour.
    pub(super) windows: Option<WindowsFile>,
}

/// Makes it from the settings.
///
/// # Errors
/// A setting that can't be used, or sources that count different emissions.
pub(super) fn carbon(loaded: &Loaded, purpose: Purpose) -> Result<Carbon, CliError> {
    let settings = &loaded.settings.carbon;
    // The sampler takes them as sound.
    embodied::parts(&loaded.settings.embodied)
        .map_err(|error| CliError::setting(&loaded.origins, error.key(), error.to_string()))?;
    let (sources, basis) = sources(loaded, purpose)?;
    let fallback = match purpose {
        Purpose::Account => fallback(loaded, basis.filter(|_| !sources.is_empty()))?,
        // It prices nothing.
        Purpose::Relay => factors::resolve(&FactorSettings::default())
            .map_err(|error| CliError::factor(&loaded.origins, &error))?,
    };
    let market = Market::from_settings(&loaded.settings.market)
        .map_err(|error| CliError::setting(&loaded.origins, error.key(), error.to_string()))?;
    let pue = pue(loaded)?;
    let windows = loaded.settings.market.windows_file.as_ref().map(WindowsFile::new);
    let wue = settings.wue.map(LitresPerKwh);
    let pricer = Pricer::new(fallback, basis, settings.max_age, market, wue);
    Ok(Carbon { pricer, work: Work { sources, pue, windows } })
}

/// Where the overhead is read from, if it isn't a constant, and by what.
///
/// # Errors
/// A setting that can't be used.
pub(super) fn pue(loaded: &Loaded) -> Result<Option<(PueSource, HttpClient)>, CliError> {
    let source = PueSource::from_settings(&loaded.settings.carbon)
        .map_err(|error| CliError::setting(&loaded.origins, error.key, error.to_string()))?;
    let with_client = source.map(|source| Ok((source, HttpClient::new(None)?))).transpose();
    with_client
        .map_err(|error: FetchError| CliError::setting(&loaded.origins, "carbon.pue_url", error.to_string()))
}

/// What a relay makes of the settings: it measures nothing.
///
/// # Errors
/// It has nothing to pass on.
pub(super) fn relay(mut loaded: Loaded) -> Result<Loaded, CliError> {
    let settings = &mut loaded.settings;
    if settings.carbon.source.is_empty() {
        let text = "carbon.source: a relay has nothing to pass on without one".to_owned();
        return Err(CliError::setting(&loaded.origins, "carbon.source", text));
    }
    settings.collector = Collectors::NONE;
    settings.simulate = false;
    Ok(loaded)
}

/// The live sources, and what the counters count.
fn sources(loaded: &Loaded, purpose: Purpose) -> Result<(Vec<LiveSource>, Option<Basis>), CliError> {
    let settings = &loaded.settings.carbon;
    let mut basis = settings.basis;
    let mut sources: Vec<LiveSource> = Vec::with_capacity(settings.source.len());
    for (number, entry) in settings.source.iter().enumerate() {
        let source = source(loaded, (number, entry), basis.filter(|_| purpose == Purpose::Account))?;
        match (source.provider.signal().basis(), basis) {
            (Some(own), Some(wanted)) if own != wanted && purpose == Purpose::Account => {
                let problem = format!(
                    "{} has {} figures, but the counters count {} emissions (carbon.basis, else the first source): one \
                     counter can't mix them; leave it out, or set carbon.basis",
                    entry.provider.as_str(),
                    own.as_str(),
                    wanted.as_str(),
                );
                return Err(wrong(loaded, number, "provider", &problem));
            }
            (own, wanted) => basis = wanted.or(own),
        }
        if purpose == Purpose::Account {
            check_place(loaded, &sources, &source)
                .map_err(|problem| wrong(loaded, number, "zone", &problem))?;
        }
        sources.push(source);
    }
    Ok((sources, basis))
}

/// What to say where the figure that stands in for live ones is of another place than the node.
pub(super) fn poor_stand_in(loaded: &Loaded, pricer: &Pricer) -> Option<String> {
    let grid = &pricer.fallback().grid;
    let settings = &loaded.settings.carbon;
    let is_own = settings.intensity.is_some()
        || settings.cloud.is_some() && &*grid.zone != zones::WORLD
        || settings.zone.as_deref().is_some_and(|zone| zone.eq_ignore_ascii_case(&grid.zone));
    (!is_own).then(|| {
        format!(
            "while no live source knows, {} g/kWh stands in, the {} yearly average of {}: set carbon.intensity and \
             carbon.basis to a figure of your grid, if that is far from it",
            grid.intensity.0, grid.basis, grid.zone
        )
    })
}

/// What is wrong with the place of a source whose figures enter the counters: they are of this node's place.
fn check_place(loaded: &Loaded, before: &[LiveSource], source: &LiveSource) -> Result<(), String> {
    let counts = |source: &&LiveSource| source.provider.signal().basis().is_some();
    if !counts(&source) {
        return Ok(());
    }
    let zone = source.provider.zone();
    if zone.is_empty() && loaded.settings.carbon.source.len() > 1 {
        return Err(
            "needed for a relay beside other sources: nothing else tells which place to take".to_owned()
        );
    }
    let others = before.iter().filter(counts).map(|other| other.provider.zone());
    let own = loaded.settings.carbon.zone.as_deref().map(Arc::from);
    match own.into_iter().chain(others).find(|other| is_elsewhere(other, &zone)) {
        Some(other) => Err(format!(
            "{zone} is another country than {other} (carbon.zone, or a source before it), but the counters are of this \
             node's place: leave one out, or run `wattprint relay` to pass on several"
        )),
        None => Ok(()),
    }
}

/// The country of a zone, where its code begins with one that the table of zones has.
pub(super) fn country(zone: &str) -> Option<Arc<str>> {
    let code = zone.split('-').next().unwrap_or_default();
    zones::by_zone(code, None).map(|known| known.zone)
}

/// Whether two zones are of different countries, where those of both are known.
pub(super) fn is_elsewhere(zone: &str, other: &str) -> bool {
    country(zone).zip(country(other)).is_some_and(|(zone, other)| zone != other)
}

/// The source's own address, where it has one.
fn own_address(source: &Source) -> Option<Uri> {
    source.url.as_deref()?.trim().parse().ok()
}

/// Whether others can read the source's credential on its way.
fn sends_in_the_clear(source: &Source) -> bool {
    let has_credential = source.token_file.is_some() || source.password_file.is_some();
    let is_local = |host: &str| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
    };
    has_credential
        && own_address(source).is_some_and(|uri| {
            uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("http"))
                && !uri.host().is_some_and(is_local)
        })
}

/// The source that an entry of `carbon.source`, with its place there, asks for. `basis` is what it should count, where
/// it has a choice.
///
/// # Errors
/// An entry that can't be used.
pub(super) fn source(
    loaded: &Loaded,
    (number, entry): (usize, &Source),
    basis: Option<Basis>,
) -> Result<LiveSource, CliError> {
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    let zone = loaded.settings.carbon.zone.as_deref();
    let around = Surroundings { zone, basis, credentials: credentials.as_deref() };
    let provider =
        providers::build(entry, around).map_err(|error| wrong(loaded, number, error.key, &error.problem))?;
    let http = HttpClient::new(entry.ca_file.as_deref())
        .map_err(|error| wrong(loaded, number, "ca_file", &error.text))?;
    if sends_in_the_clear(entry) {
        warn!(provider = entry.provider.as_str(), "its credential goes over the network without TLS (url)");
    }
    let key = SourceKey::new(entry, &provider.zone());
    let address = own_address(entry);
    let host = address.as_ref().and_then(Uri::host).unwrap_or_default();
    let lane = format!("{} {host}", entry.provider.as_str());
    Ok(LiveSource { kind: entry.provider, lane, key, provider, http })
}

pub(super) fn wrong(loaded: &Loaded, number: usize, key: &str, problem: &str) -> CliError {
    let entry = format!("carbon.source[{number}]");
    let key = format!("{entry}.{key}");
    let known = [&key, &entry].into_iter().find(|key| loaded.origins.of(key).is_some());
    let place = known.map_or("carbon.source", String::as_str);
    CliError::setting(&loaded.origins, place, format!("{key}: {problem}"))
}

/// What holds while no live source knows; `beside` is what the live sources count.
fn fallback(loaded: &Loaded, beside: Option<Basis>) -> Result<Factors, CliError> {
    let settings = loaded.settings.carbon.clone();
    let settings = FactorSettings {
        intensity: settings.intensity,
        zone: settings.zone,
        cloud: settings.cloud,
        basis: settings.basis,
        pue: settings.pue,
    };
    let resolved = match beside {
        Some(basis) => factors::resolve_beside_live(&settings, basis),
        None => factors::resolve(&settings),
    };
    resolved.map_err(|error| CliError::factor(&loaded.origins, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_one_country_is_enough() {
        for kind in [ProviderKind::Neso, ProviderKind::Rte] {
            let mut loaded = Loaded::default();
            loaded.settings.carbon.source = vec![Source::new(kind)];
            let carbon = carbon(&loaded, Purpose::Account).unwrap();
            assert_eq!(carbon.work.sources.len(), 1);
            loaded.settings.carbon.zone = Some("DE".to_owned());
            let error = super::carbon(&loaded, Purpose::Account).unwrap_err().to_string();
            assert!(error.contains("carbon.source[0].zone: "), "{error}");
        }
    }

    fn entry(kind: ProviderKind, zone: &str) -> Source {
        Source { zone: (!zone.is_empty()).then(|| zone.to_owned()), ..Source::new(kind) }
    }

    /// What is wrong with these sources of a node in a zone; none if nothing is.
    fn complaint(zone: Option<&str>, sources: Vec<Source>) -> Option<String> {
        let mut loaded = Loaded::default();
        loaded.settings.carbon.zone = zone.map(str::to_owned);
        loaded.settings.carbon.source = sources;
        carbon(&loaded, Purpose::Account).err().map(|error| error.to_string())
    }

    #[test]
    fn counters_are_of_one_place() {
        use ProviderKind::{EnergyCharts, Neso, Relay, Rte, Watttime};
        let relay = |zone| Source { url: Some("http://relay:10125".to_owned()), ..entry(Relay, zone) };
        let direct = |source: Source| Source { basis: Some(Basis::Direct), ..source };
        let marginal = Source {
            user: Some("name".to_owned()),
            password_file: Some("password".into()),
            ..entry(Watttime, "FR")
        };
        // A code that isn't a country's, and marginal figures, which no counter is made of.
        assert_eq!(complaint(None, vec![entry(Neso, "13"), marginal]), None);
        assert_eq!(complaint(Some("DE"), vec![entry(EnergyCharts, "de")]), None);
        assert_eq!(complaint(None, vec![relay("")]), None);
        assert_eq!(complaint(None, vec![entry(Neso, "GB"), direct(relay("GB"))]), None);
        for (zone, sources, part) in [
            (
                None,
                vec![entry(EnergyCharts, "DE"), entry(EnergyCharts, "FR")],
                "FR is another country than DE",
            ),
            (Some("DE"), vec![entry(Rte, "FR")], "FR is another country than DE"),
            (None, vec![entry(Neso, "GB"), direct(relay(""))], "a relay beside other sources"),
        ] {
            let complaint = complaint(zone, sources).unwrap();
            assert!(complaint.contains(part), "{complaint}");
        }
    }

    #[test]
    fn a_credential_in_the_clear_is_noticed() {
        for (url, expected) in [
            ("http://grid.example.org/x", true),
            ("HTTP://localhost.example.org/x", true),
            ("https://grid.example.org/x", false),
            ("http://localhost:9090", false),
            ("http://127.0.0.1:9090", false),
            ("http://[::1]:9090", false),
        ] {
            let source = Source {
                url: Some(url.to_owned()),
                token_file: Some("token".into()),
                ..Source::new(ProviderKind::Http)
            };
            assert_eq!(sends_in_the_clear(&source), expected, "{url}");
        }
    }
}
