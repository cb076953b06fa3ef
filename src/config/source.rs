//! One live source of carbon intensity: an entry of `[[carbon.source]]`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::types::{self, Basis, one_of};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum ProviderKind {
    /// Electricity Maps; needs a key.
    ElectricityMaps,
    /// Great Britain's National Energy System Operator; needs no key.
    Neso,
    /// Energy-Charts of Fraunhofer ISE; needs no key.
    EnergyCharts,
    /// RTE's eCO2mix for France, through ODRE; needs no key.
    Rte,
    /// Energinet for Denmark; needs no key.
    Energinet,
    /// WattTime; marginal figures only; needs an account.
    Watttime,
    /// The generation mix from ENTSO-E's transparency platform, with a factor for each fuel; needs a token.
    Entsoe,
    /// Any JSON over HTTP.
    Http,
    /// A query to a Prometheus server.
    Prometheus,
    /// A file that another process writes.
    File,
    /// Another wattprint.
    Relay,
}

impl ProviderKind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ElectricityMaps,
        Self::Neso,
        Self::EnergyCharts,
        Self::Rte,
        Self::Energinet,
        Self::Watttime,
        Self::Entsoe,
        Self::Http,
        Self::Prometheus,
        Self::File,
        Self::Relay,
    ];

    /// The name in the configuration, and the value of the `provider` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ElectricityMaps => "electricity_maps",
            Self::Neso => "neso",
            Self::EnergyCharts => "energy_charts",
            Self::Rte => "rte",
            Self::Energinet => "energinet",
            Self::Watttime => "watttime",
            Self::Entsoe => "entsoe",
            Self::Http => "http",
            Self::Prometheus => "prometheus",
            Self::File => "file",
            Self::Relay => "relay",
        }
    }
}

impl TryFrom<String> for ProviderKind {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        one_of(&text, &Self::ALL, Self::as_str)
    }
}

/// The unit in which a source of the operator's own gives its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IntensityUnit {
    /// Grams per kilowatt-hour.
    #[default]
    GramsPerKwh,
    /// Kilograms per megawatt-hour, the same number.
    KilogramsPerMwh,
    /// Kilograms per kilowatt-hour.
    KilogramsPerKwh,
    /// Tonnes per megawatt-hour, the same number.
    TonnesPerMwh,
    /// Pounds per megawatt-hour.
    PoundsPerMwh,
}

impl IntensityUnit {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::GramsPerKwh,
        Self::KilogramsPerMwh,
        Self::KilogramsPerKwh,
        Self::TonnesPerMwh,
        Self::PoundsPerMwh,
    ];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GramsPerKwh => "g/kWh",
            Self::KilogramsPerMwh => "kg/MWh",
            Self::KilogramsPerKwh => "kg/kWh",
            Self::TonnesPerMwh => "t/MWh",
            Self::PoundsPerMwh => "lb/MWh",
        }
    }

    /// How many grams per kilowatt-hour one of it is; a pound is 453.59237 g by definition.
    pub const fn in_grams_per_kwh(self) -> f64 {
        match self {
            Self::GramsPerKwh | Self::KilogramsPerMwh => 1.0,
            Self::KilogramsPerKwh | Self::TonnesPerMwh => 1000.0,
            Self::PoundsPerMwh => 0.453_592_37,
        }
    }
}

impl TryFrom<String> for IntensityUnit {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        one_of(&text, &Self::ALL, Self::as_str)
    }
}

impl From<IntensityUnit> for String {
    fn from(unit: IntensityUnit) -> Self {
        unit.as_str().to_owned()
    }
}

/// One source. Which keys a provider needs, and which mean nothing to it, is checked where the source is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Who is asked.
    pub provider: ProviderKind,
    /// The zone, in the provider's own terms; otherwise `carbon.zone`.
    #[serde(default)]
    pub zone: Option<String>,
    /// Which emissions its values count, where it has both or doesn't say.
    #[serde(default)]
    pub basis: Option<Basis>,
    /// The address: in place of the provider's own, or, for `http`, with `{zone}` for the zone.
    #[serde(default)]
    pub url: Option<String>,
    /// A file with the key or token.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The user name.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A PEM file with the only authorities that are trusted for this source.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Time between two requests, where the provider's own isn't fit; never less than what the provider bears.
    #[serde(default, with = "types::optional_duration")]
    pub interval: Option<Duration>,
    /// The header that carries the token, for `http`; otherwise `Authorization: Bearer`.
    #[serde(default)]
    pub header: Option<String>,
    /// The query, for `prometheus`.
    #[serde(default)]
    pub query: Option<String>,
    /// The file, for `file`.
    #[serde(default)]
    pub path: Option<PathBuf>,
    /// JSON pointer (RFC 6901) to the list of values, for `http` and `file`; otherwise the whole answer is one value.
    #[serde(default)]
    pub items: Option<String>,
    /// JSON pointer to the value, within an item.
    #[serde(default)]
    pub value: Option<String>,
    /// JSON pointer to the slot's start, within an item.
    #[serde(default)]
    pub start: Option<String>,
    /// JSON pointer to the slot's end, within an item; otherwise the slot is as long as `step`.
    #[serde(default)]
    pub end: Option<String>,
    /// JSON pointer to whether the value is estimated, within an item.
    #[serde(default)]
    pub estimated: Option<String>,
    /// The length of a slot.
    #[serde(default, with = "types::optional_duration")]
    pub step: Option<Duration>,
    /// The unit of the values.
    #[serde(default)]
    pub unit: IntensityUnit,
}

impl Source {
    /// A source with nothing but its provider.
    pub fn new(provider: ProviderKind) -> Self {
        Self {
            provider,
            zone: None,
            basis: None,
            url: None,
            token_file: None,
            user: None,
            password_file: None,
            ca_file: None,
            interval: None,
            header: None,
            query: None,
            path: None,
            items: None,
            value: None,
            start: None,
            end: None,
            estimated: None,
            step: None,
            unit: IntensityUnit::default(),
        }
    }
}
