//! What the settings ask for of emission factors: live sources, what stands in for them, overhead and contracts.

use std::path::PathBuf;

use tracing::warn;

use crate::carbon::embodied;
use crate::carbon::factors::{self, FactorSettings, Factors};
use crate::carbon::grid::FetchError;
use crate::carbon::http::HttpClient;
use crate::carbon::market::{Market, WindowsFile};
use crate::carbon::pricing::Pricer;
use crate::carbon::providers::{self, GridProvider, Surroundings};
use crate::carbon::pue::PueSource;
use crate::cli::CliError;
use crate::config::{Basis, Collectors, Loaded, ProviderKind, Source};
use crate::journal::SourceKey;
use crate::units::LitresPerKwh;

/// Where systemd puts the credentials of a service (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

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
    let fallback = fallback(loaded, basis.filter(|_| !sources.is_empty()))?;
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
        let zone = source.provider.zone();
        let elsewhere =
            sources.iter().map(|other| other.provider.zone()).find(|other| is_elsewhere(other, &zone));
        if let Some(other) = elsewhere.filter(|_| purpose == Purpose::Account) {
            let problem = format!(
                "{zone} is another country than {other} of a source before it, but the counters are of this node's \
                 place: leave one out, or run `wattprint relay` to pass on several"
            );
            return Err(wrong(loaded, number, "zone", &problem));
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
        || settings.zone.as_deref().is_some_and(|zone| zone.eq_ignore_ascii_case(&grid.zone));
    (!is_own).then(|| {
        format!(
            "while no live source knows, {} g/kWh stands in, the {} yearly average of {}: set carbon.intensity and \
             carbon.basis to a figure of your grid, if that is far from it",
            grid.intensity.0, grid.basis, grid.zone
        )
    })
}

/// Whether two zones are of different countries, where both begin with a country's code.
pub(super) fn is_elsewhere(zone: &str, other: &str) -> bool {
    let country = |zone: &str| {
        let code = zone.split('-').next().unwrap_or_default();
        (code.len() == 2 && code.chars().all(|c| c.is_ascii_uppercase())).then(|| code.to_owned())
    };
    country(zone).zip(country(other)).is_some_and(|(zone, other)| zone != other)
}

/// Whether others can read the source's credential on its way.
fn sends_in_the_clear(source: &Source) -> bool {
    let has_credential = source.token_file.is_some() || source.password_file.is_some();
    let host = source.url.as_deref().and_then(|url| url.strip_prefix("http://"));
    let is_local = |host: &str| ["127.", "localhost", "[::1]"].iter().any(|local| host.starts_with(local));
    has_credential && host.is_some_and(|host| !is_local(host))
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
    let lane = format!("{} {}", entry.provider.as_str(), entry.url.as_deref().unwrap_or_default());
    Ok(LiveSource { kind: entry.provider, lane, key, provider, http })
}

fn wrong(loaded: &Loaded, number: usize, key: &str, problem: &str) -> CliError {
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
}
