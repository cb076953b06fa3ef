//! The values that settings are made of.

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which emissions a factor counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Basis {
    /// Everything from the fuel's extraction and the plant's construction on.
    Lifecycle,
    /// What leaves the stack of the plant.
    Direct,
}

impl Basis {
    const ALL: [Self; 2] = [Self::Lifecycle, Self::Direct];

    /// The value of the `basis` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Direct => "direct",
        }
    }
}

/// The least level that is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum LogLevel {
    /// Only what stops a part from working.
    Error,
    /// What makes figures worse, too.
    Warn,
    /// What an operator wants to see once, too.
    #[default]
    Info,
    /// Details of every tick, too.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum LogFormat {
    /// One line of text an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

impl LogFormat {
    const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// The format's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl TryFrom<String> for Basis {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        one_of(&text, &Self::ALL, Self::as_str)
    }
}

impl TryFrom<String> for LogLevel {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        one_of(&text, &Self::ALL, Self::as_str)
    }
}

impl TryFrom<String> for LogFormat {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        one_of(&text, &Self::ALL, Self::as_str)
    }
}

/// The value with this name; the error lists the names that there are.
pub(super) fn one_of<T: Copy>(text: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<T, String> {
    all.iter().copied().find(|value| name(*value) == text).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|value| name(*value)).collect();
        format!("\"{text}\" is not allowed; allowed is {}", names.join(", "))
    })
}

/// A duration as people write it: `1s`, `500ms`, `5m`.
pub fn human_duration(duration: Duration) -> String {
    let mut text = String::new();
    // Writing into a string can't fail.
    let _ = write!(text, "{}", humantime::format_duration(duration));
    text
}

/// The duration that a text means: one with units, or a number of seconds.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}

/// Durations in settings, as texts.
pub(super) mod duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::human_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse_duration(&text).ok_or_else(|| D::Error::custom(format!("\"{text}\" is no duration")))
    }
}

/// Durations in settings that may be left out, as texts.
pub(super) mod optional_duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&super::human_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let duration = super::parse_duration(&text);
        duration.map(Some).ok_or_else(|| D::Error::custom(format!("\"{text}\" is no duration")))
    }
}
