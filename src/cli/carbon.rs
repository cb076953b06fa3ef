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
    let pue = PueSource::from_settings(settings)
        .map_err(|error| CliError::setting(&loaded.origins, error.key, error.to_string()))?;
    let pue = pue.map(|source| Ok((source, HttpClient::new(None)?))).transpose();
    let pue = pue.map_err(|error: FetchError| {
        CliError::setting(&loaded.origins, "carbon.pue_url", error.to_string())
    })?;
    let windows = loaded.settings.market.windows_file.as_ref().map(WindowsFile::new);
    let wue = settings.wue.map(LitresPerKwh);
    let pricer = Pricer::new(fallback, basis, settings.max_age, market, wue);
    Ok(Carbon { pricer, work: Work { sources, pue, windows } })
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
    let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
    let mut basis = settings.basis;
    let mut sources: Vec<LiveSource> = Vec::with_capacity(settings.source.len());
    for (number, source) in settings.source.iter().enumerate() {
        let wrong = |key: &str, problem: &str| {
            let text = format!("carbon.source[{number}].{key}: {problem}");
            CliError::setting(&loaded.origins, "carbon.source", text)
        };
        let zone = settings.zone.as_deref();
        let wanted = basis.filter(|_| purpose == Purpose::Account);
        let around = Surroundings { zone, basis: wanted, credentials: credentials.as_deref() };
        let provider = providers::build(source, around).map_err(|error| wrong(error.key, &error.problem))?;
        let http =
            HttpClient::new(source.ca_file.as_deref()).map_err(|error| wrong("ca_file", &error.text))?;
        match (provider.signal().basis(), basis) {
            (Some(own), Some(wanted)) if own != wanted && purpose == Purpose::Account => {
                let (own, wanted) = (own.as_str(), wanted.as_str());
                return Err(wrong(
                    "provider",
                    &format!(
                        "{} has {own} figures, but the counters count {wanted} emissions (carbon.basis, else the first \
                         source): one counter can't mix them; leave it out, or set carbon.basis",
                        source.provider.as_str(),
                    ),
                ));
            }
            (own, wanted) => basis = wanted.or(own),
        }
        let zone = provider.zone();
        let elsewhere =
            sources.iter().map(|other| other.provider.zone()).find(|other| is_elsewhere(other, &zone));
        if let Some(other) = elsewhere.filter(|_| purpose == Purpose::Account) {
            return Err(wrong(
                "zone",
                &format!(
                    "{zone} is another country than {other} of a source before it, but the counters are of this node's \
                     place: leave one out, or run `wattprint relay` to pass on several"
                ),
            ));
        }
        if sends_in_the_clear(source) {
            warn!(
                provider = source.provider.as_str(),
                "its credential goes over the network without TLS (url)"
            );
        }
        let key = SourceKey::new(source, &provider.zone());
        let lane = format!("{} {}", source.provider.as_str(), source.url.as_deref().unwrap_or_default());
        sources.push(LiveSource { kind: source.provider, lane, key, provider, http });
    }
    Ok((sources, basis))
}

/// Whether two zones are of different countries, where both begin with a country's code.
fn is_elsewhere(zone: &str, other: &str) -> bool {
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
