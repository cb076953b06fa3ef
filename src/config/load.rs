//! Puts the settings together from file, environment and flags.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat, Value, ValueKind};

use crate::config::Settings;

/// Read where no file is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/wattprint/config.toml";

/// What begins the names of environment variables. Two underscores follow each level of a key, so that the
/// variables which Kubernetes makes for a service called `wattprint` aren't taken for settings.
const PREFIX: &str = "WATTPRINT_";
const LEVEL: &str = "__";

/// Settings from flags: key and value.
pub type Overrides = Vec<(String, Value)>;

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
    /// A value outside its range.
    #[error("{key} = {value}: allowed is {allowed}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// Bad syntax or a value of the wrong type.
    #[error("{0}")]
    Invalid(String),
}

/// Loads the settings. `file` must be there if it is named; otherwise [`DEFAULT_FILE`] is read if it is there.
///
/// # Errors
/// See [`ConfigError`].
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Settings, ConfigError> {
    let mut builder = Config::builder();
    let default = Path::new(DEFAULT_FILE);
    let path = file.or_else(|| default.exists().then_some(default));
    if let Some(path) = path {
        // Read here, so that the name is kept as it was given and nothing is guessed from its ending.
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let parsed = Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .build()
            .map_err(|error| invalid(path, &error))?;
        check_keys(&parsed, &path.display().to_string())?;
        parsed.clone().try_deserialize::<Settings>().map_err(|error| invalid(path, &error))?;
        builder = builder.add_source(parsed);
    }
    let variables: HashMap<String, String> = environment
        .into_iter()
        .filter(|(name, _)| name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains(LEVEL)))
        .collect();
    let variables = Environment::with_prefix(PREFIX.trim_end_matches('_'))
        .prefix_separator("_")
        .separator(LEVEL)
        .list_separator(",")
        .with_list_parse_key("web.listen_address")
        .try_parsing(true)
        .source(Some(variables));
    let from_environment = Config::builder().add_source(variables.clone()).build().map_err(plain)?;
    check_keys(&from_environment, "environment")?;
    from_environment
        .try_deserialize::<Settings>()
        .map_err(|error| ConfigError::Invalid(format!("environment: {error}")))?;
    builder = builder.add_source(variables);
    for (key, value) in overrides {
        builder = builder.set_override(key, value.clone()).map_err(plain)?;
    }
    let settings: Settings = builder.build().map_err(plain)?.try_deserialize().map_err(plain)?;
    settings.validate()?;
    Ok(settings)
}

fn plain(error: config::ConfigError) -> ConfigError {
    ConfigError::Invalid(one_line(&error.to_string()))
}

fn invalid(path: &Path, error: &config::ConfigError) -> ConfigError {
    ConfigError::Invalid(format!("{}: {}", path.display(), one_line(&error.to_string())))
}

/// Syntax errors of TOML draw the line with a marker below; one line is enough to find it.
fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Looks for keys that the default settings don't have.
fn check_keys(parsed: &Config, origin: &str) -> Result<(), ConfigError> {
    let known =
        serde_json::to_value(Settings::default()).map_err(|error| ConfigError::Invalid(error.to_string()))?;
    check_level(&parsed.cache, &known, "", origin)
}

fn check_level(
    value: &Value,
    known: &serde_json::Value,
    prefix: &str,
    origin: &str,
) -> Result<(), ConfigError> {
    let (ValueKind::Table(table), serde_json::Value::Object(fields)) = (&value.kind, known) else {
        return Ok(());
    };
    // A table that is empty by default takes any key.
    if fields.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<&String> = table.keys().collect();
    keys.sort();
    for key in keys {
        let full = format!("{prefix}{key}");
        let Some(field) = fields.get(key) else {
            let mut allowed: Vec<&str> = fields.keys().map(String::as_str).collect();
            allowed.sort_unstable();
            return Err(ConfigError::UnknownKey {
                origin: origin.to_owned(),
                key: full,
                allowed: allowed.join(", "),
            });
        };
        if let Some(inner) = table.get(key) {
            check_level(inner, field, &format!("{full}."), origin)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
