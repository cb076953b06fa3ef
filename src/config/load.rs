//! Puts the settings together from file, environment and flags, and keeps where each value came from.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use config::{Config, Map};
use serde_json::Value;
use toml::de::{DeArray, DeTable, DeValue};

use super::keys::{self, Given, Kind};
use crate::config::Settings;

/// Read where no file is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/wattprint/config.toml";

/// What begins the names of environment variables. Two underscores follow each level of a key, so that the
/// variables which Kubernetes makes for a service called `wattprint` aren't taken for settings.
const PREFIX: &str = "WATTPRINT_";
const LEVEL: &str = "__";

/// Where systemd puts a service's credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// One flag of the command line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// As it is typed: `--web.max-requests`.
    pub name: String,
    /// The key that it sets: `web.max_requests`.
    pub key: String,
    /// Its values; more than one for a flag that can be repeated.
    pub values: Vec<String>,
}

/// Settings, and where they came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Where each value that isn't a default came from.
    pub origins: Origins,
}

/// Where each value that isn't a default came from, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, String>);

impl Origins {
    /// The file and line, the variable or the flag that set this key; absent where it has its default.
    pub fn of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

/// A configuration that can't be used. The text is one line that names where it stands, the key and what is
/// allowed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A named file isn't there or can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file isn't TOML.
    #[error("{origin}: not TOML: {problem}")]
    Syntax {
        /// The file and line.
        origin: String,
        /// What the parser says.
        problem: String,
    },
    /// A key that means nothing.
    #[error("{origin}: unknown key \"{key}\"; allowed here: {allowed}")]
    UnknownKey {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The keys that are known at this level.
        allowed: String,
    },
    /// A value of the wrong type or outside its range.
    #[error("{origin}: {key} = {value}: allowed is {allowed}")]
    NotAllowed {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A file of systemd's credentials, where there are none.
    #[error(
        "{origin}: {key} = {value:?}: CREDENTIALS_DIRECTORY isn't set; the unit needs LoadCredential=NAME:FILE"
    )]
    NoCredentials {
        /// Where it stands.
        origin: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// A variable that looks like a setting, but isn't written like one.
    #[error("environment {name}: write {meant}: two underscores follow the table's name")]
    Underscore {
        /// The variable.
        name: String,
        /// How it is spelled rightly.
        meant: String,
    },
    /// A variable that isn't text.
    #[error("environment {name}: not UTF-8 text")]
    NotText {
        /// The variable, with what can't be shown replaced.
        name: String,
    },
    /// Values that are allowed but don't make settings: the table of keys and the settings disagree.
    #[error("configuration: {0}")]
    Mismatch(#[from] config::ConfigError),
    /// A value that the configuration can't hold.
    #[error("configuration: {0}")]
    Value(#[from] serde_json::Error),
}

/// Checked values by key, each with its origin; and the origins of what stands in lists of tables.
#[derive(Default)]
struct Layers(BTreeMap<String, (Value, String)>, BTreeMap<String, String>);

/// Loads the settings: the environment beats the file, flags beat both. `file` must be there if it is named;
/// otherwise [`DEFAULT_FILE`] is read if it is there.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &[Flag],
) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    let default = Path::new(DEFAULT_FILE);
    if let Some(path) = file.or_else(|| default.exists().then_some(default)) {
        layers.add_file(path)?;
    }
    let mut variables: Vec<_> = environment.into_iter().collect();
    // The same error each time, whatever order the environment has.
    variables.sort();
    for (name, value) in &variables {
        layers.add_variable(name, value)?;
    }
    for flag in flags {
        layers.add_flag(flag)?;
    }
    let credentials =
        variables.iter().find(|(name, _)| name == CREDENTIALS).and_then(|(_, path)| path.to_str());
    layers.place_credentials(credentials.filter(|path| !path.is_empty()))?;
    layers.merge()
}

impl Layers {
    fn add(&mut self, origin: String, key: &str, given: &Given) -> Result<(), ConfigError> {
        let Some(kind) = keys::kind(key) else {
            return Err(unknown(origin, key));
        };
        let Some(value) = kind.read(given) else {
            return Err(ConfigError::NotAllowed {
                origin,
                key: key.to_owned(),
                value: given.shown(),
                allowed: kind.allowed(given),
            });
        };
        if matches!(kind, Kind::Sources) {
            // Those of a layer below don't count any more.
            self.1.clear();
        }
        self.0.insert(key.to_owned(), (value, origin));
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let line = |at: usize| {
            let before = text.get(..at).unwrap_or(&text);
            format!("{}: line {}", path.display(), before.matches('\n').count() + 1)
        };
        let document = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
            origin: line(error.span().map_or(0, |span| span.start)),
            problem: error.message().split_whitespace().collect::<Vec<_>>().join(" "),
        })?;
        let mut entries: Vec<_> = document.get_ref().iter().collect();
        // The first error of the file is told, not that of the first letter.
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let table = name.get_ref();
            let origin = line(name.span().start);
            let DeValue::Table(fields) = value.get_ref() else {
                if keys::is_table(table) {
                    return Err(ConfigError::NotAllowed {
                        origin,
                        key: table.to_string(),
                        value: given(value.get_ref()).shown(),
                        allowed: format!("a table, [{table}], with the keys {}", keys::keys_of(Some(table))),
                    });
                }
                self.add(origin, table, &given(value.get_ref()))?;
                continue;
            };
            if !keys::is_table(table) {
                self.add(origin, table, &Given::Table)?;
                continue;
            }
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(field, _)| field.span().start);
            for (field, value) in fields {
                let key = format!("{table}.{}", field.get_ref());
                if let (Some(Kind::Sources), DeValue::Array(entries)) = (keys::kind(&key), value.get_ref()) {
                    let entries = sources(&key, entries, &line, &mut self.1)?;
                    self.0.insert(key, (Value::from(entries), line(field.span().start)));
                    continue;
                }
                self.add(line(field.span().start), &key, &given(value.get_ref()))?;
            }
        }
        Ok(())
    }

    fn add_variable(&mut self, name: &OsStr, value: &OsStr) -> Result<(), ConfigError> {
        let shown = name.to_string_lossy();
        let Some(rest) = shown.strip_prefix(PREFIX) else {
            return Ok(());
        };
        let key = rest.to_lowercase().replace(LEVEL, ".");
        if !rest.contains(LEVEL) && keys::kind(&key).is_none() {
            return match with_one_underscore(&key) {
                Some(meant) => Err(ConfigError::Underscore { name: shown.to_string(), meant }),
                None => Ok(()),
            };
        }
        let (Some(_), Some(value)) = (name.to_str(), value.to_str()) else {
            return Err(ConfigError::NotText { name: shown.to_string() });
        };
        self.add(format!("environment {shown}"), &key, &Given::Word(value.to_owned()))
    }

    fn add_flag(&mut self, flag: &Flag) -> Result<(), ConfigError> {
        let given = match (keys::kind(&flag.key), flag.values.as_slice()) {
            (Some(Kind::Addresses), values) => Given::List(values.iter().cloned().map(Given::Text).collect()),
            (_, values) => Given::Word(values.last().cloned().unwrap_or_default()),
        };
        self.add(format!("flag {}", flag.name), &flag.key, &given)
    }

    /// Puts the directory of credentials in place of its name, which values of keys that name files may begin with.
    fn place_credentials(&mut self, directory: Option<&str>) -> Result<(), ConfigError> {
        for (key, (value, origin)) in &mut self.0 {
            if let Value::Array(entries) = value {
                let fields =
                    entries.iter_mut().enumerate().filter_map(|(n, entry)| Some((n, entry.as_object_mut()?)));
                for (number, (field, value)) in
                    fields.flat_map(|(number, fields)| fields.iter_mut().map(move |field| (number, field)))
                {
                    let key = format!("{key}[{number}].{field}");
                    let origin = self.1.get(&key).unwrap_or(origin);
                    place_credential(&key, value, origin, directory)?;
                }
            } else {
                place_credential(key, value, origin, directory)?;
            }
        }
        Ok(())
    }

    fn merge(self) -> Result<Loaded, ConfigError> {
        let mut builder = Config::builder();
        // Devices may be called what can't stand in a key.
        let mut baseline: Map<String, config::Value> = Map::new();
        let mut origins = self.1;
        for (key, (value, origin)) in self.0 {
            let value: config::Value = serde_json::from_value(value)?;
            match key.strip_prefix("baseline.") {
                Some(device) => drop(baseline.insert(device.to_owned(), value)),
                None => builder = builder.set_override(&key, value)?,
            }
            origins.insert(key, origin);
        }
        let merged = builder.set_override("baseline", baseline)?.build()?;
        let loaded = Loaded { settings: merged.try_deserialize()?, origins: Origins(origins) };
        let model = &loaded.settings.model;
        if let (Some(idle), Some(max)) = (model.cpu_idle_watts, model.cpu_tdp_watts)
            && idle > max
        {
            let key = "model.cpu_idle_watts";
            return Err(ConfigError::NotAllowed {
                origin: loaded.origins.of(key).unwrap_or_default().to_owned(),
                key: key.to_owned(),
                value: idle.to_string(),
                allowed: format!("at most model.cpu_tdp_watts, {max}"),
            });
        }
        Ok(loaded)
    }
}

fn place_credential(
    key: &str,
    value: &mut Value,
    origin: &str,
    directory: Option<&str>,
) -> Result<(), ConfigError> {
    let last = key.rsplit('.').next().unwrap_or(key);
    let names_a_file = last.ends_with("_file") || ["kubeconfig", "path"].contains(&last);
    let Some(text) = value.as_str().filter(|_| names_a_file) else {
        return Ok(());
    };
    let name = text.strip_prefix('$').and_then(|rest| rest.strip_prefix(CREDENTIALS));
    let Some(name) = name.and_then(|rest| rest.strip_prefix('/')) else {
        return Ok(());
    };
    let Some(directory) = directory else {
        let (origin, key, value) = (origin.to_owned(), key.to_owned(), text.to_owned());
        return Err(ConfigError::NoCredentials { origin, key, value });
    };
    *value = Value::from(format!("{}/{name}", directory.trim_end_matches('/')));
    Ok(())
}

/// The entries of an array of tables with a source each.
fn sources(
    key: &str,
    entries: &DeArray<'_>,
    line: &impl Fn(usize) -> String,
    origins: &mut BTreeMap<String, String>,
) -> Result<Vec<Value>, ConfigError> {
    let mut sources = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        let wrong = |origin: String, key: String, value: &Given, allowed: String| ConfigError::NotAllowed {
            origin,
            key,
            value: value.shown(),
            allowed,
        };
        let name = format!("{key}[{number}]");
        let origin = line(entry.span().start);
        origins.insert(name.clone(), origin.clone());
        let DeValue::Table(fields) = entry.get_ref() else {
            let given = given(entry.get_ref());
            return Err(wrong(origin, name, &given, Kind::Sources.allowed(&given)));
        };
        let mut fields: Vec<_> = fields.iter().collect();
        fields.sort_by_key(|(field, _)| field.span().start);
        let mut source = serde_json::Map::new();
        for (field, value) in fields {
            let origin = line(field.span().start);
            let key = format!("{name}.{}", field.get_ref());
            let Some(kind) = keys::source_kind(field.get_ref()) else {
                return Err(ConfigError::UnknownKey { origin, key, allowed: keys::source_keys() });
            };
            let given = given(value.get_ref());
            let Some(value) = kind.read(&given) else {
                return Err(wrong(origin, key, &given, kind.allowed(&given)));
            };
            origins.insert(key, origin);
            source.insert(field.get_ref().to_string(), value);
        }
        if !source.contains_key("provider") {
            return Err(wrong(origin, name, &Given::Table, "a table with at least a provider".to_owned()));
        }
        sources.push(Value::from(source));
    }
    Ok(sources)
}

fn unknown(origin: String, key: &str) -> ConfigError {
    let table = key.split_once('.').map(|(table, _)| table);
    ConfigError::UnknownKey { origin, key: key.to_owned(), allowed: keys::keys_of(table) }
}

/// The variable that was meant by one whose name, as a key, has one underscore where two belong.
fn with_one_underscore(name: &str) -> Option<String> {
    let known = keys::KEYS.iter().map(|(key, _)| *key).chain(["baseline.package", "baseline.dram"]);
    let mut meant = known.filter(|key| key.replace('.', "_") == name);
    meant.next().map(|key| format!("{PREFIX}{}", key.replace('.', LEVEL).to_uppercase()))
}

fn given(value: &DeValue<'_>) -> Given {
    match value {
        DeValue::String(text) => Given::Text(text.to_string()),
        DeValue::Integer(number) => {
            let value = i64::from_str_radix(number.as_str(), number.radix()).ok();
            // In decimal where it fits, so that it can be told as a number.
            Given::Integer(value.map_or_else(|| number.to_string(), |value| value.to_string()), value)
        }
        // The grammar of TOML is narrower than that of the parser here; only huge exponents become infinite.
        DeValue::Float(number) => Given::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(on) => Given::Switch(*on),
        DeValue::Datetime(date) => Given::Date(date.to_string()),
        DeValue::Array(items) => Given::List(items.iter().map(|item| given(item.get_ref())).collect()),
        DeValue::Table(_) => Given::Table,
    }
}

#[cfg(test)]
mod tests;
