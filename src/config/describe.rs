//! What the keys of the configuration are, for the manual and for the default file. Defaults are those of the
//! settings, and ranges are those that values are checked against, so that neither can go stale.

mod words;

use serde_json::Value;

use super::Settings;
use super::keys::{BASELINE, Given, KEYS, Kind, SOURCE_KEYS, WATTS};
use words::{NUMBERS, SOURCE_WORDS, TABLES, WORDS};

/// The widest line of the default file.
const WIDTH: usize = 100;

/// A table of the configuration.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name; empty for what stands at the file's top.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its keys.
    pub keys: Vec<Key>,
}

/// A key of the configuration.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name within the table.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What it may be.
    pub allowed: String,
    /// The default as TOML; absent where it has none.
    pub default: Option<String>,
    /// What holds where it has no default.
    pub otherwise: &'static str,
    /// A value as TOML.
    pub example: String,
}

/// Every table with its keys, that without a name first.
pub fn tables() -> Vec<Table> {
    let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
    let top = Table { name: "", about: "", keys: keys_of("", &defaults) };
    let named = TABLES.iter().map(|(name, about)| Table { name, about, keys: keys_of(name, &defaults) });
    std::iter::once(top).chain(named).collect()
}

/// The keys of an entry of `[[carbon.source]]`.
pub fn source() -> Table {
    let keys = SOURCE_WORDS.iter().filter_map(|(name, about, otherwise)| {
        let (_, kind) = SOURCE_KEYS.iter().find(|(known, _)| known == name)?;
        Some(Key {
            name,
            about,
            allowed: kind.allowed(&Given::Table),
            default: None,
            otherwise,
            example: example(name, *kind),
        })
    });
    Table { name: "carbon.source", about: "One live source of carbon intensity.", keys: keys.collect() }
}

fn keys_of(table: &str, defaults: &Value) -> Vec<Key> {
    if table == BASELINE {
        return vec![Key {
            name: "DEVICE",
            about: "Idle power of a device, such as \"intel-rapl:0\" or a GPU's UUID, or of a domain.",
            allowed: WATTS.allowed(&Given::Table),
            default: None,
            otherwise: "that of the model, else what is learned while nothing runs",
            example: "40".to_owned(),
        }];
    }
    let described = WORDS.iter().filter_map(|(key, about, otherwise)| {
        let (of, name) = key.split_once('.').unwrap_or(("", key));
        let (_, kind) = KEYS.iter().find(|(known, _)| known == key).filter(|_| of == table)?;
        let default = defaults.pointer(&format!("/{}", key.replace('.', "/"))).and_then(toml);
        let example = default.clone().unwrap_or_else(|| example(key, *kind));
        Some(Key { name, about, allowed: kind.allowed(&Given::Table), default, otherwise, example })
    });
    described.collect()
}

/// A value as TOML, whose texts, numbers and lists are written as those of JSON.
fn toml(value: &Value) -> Option<String> {
    (!value.is_null()).then(|| value.to_string())
}

fn example(key: &str, kind: Kind) -> String {
    match kind {
        Kind::Switch => "true".to_owned(),
        Kind::Text(text) => format!("\"{text}\""),
        Kind::Texts(text) => format!("[\"{text}\"]"),
        Kind::OneOf(words) => format!("\"{}\"", words.first().unwrap_or(&"")),
        Kind::Span(_, most) => format!("\"{}\"", super::human_duration(most)),
        Kind::Count(low, _) => low.to_string(),
        Kind::Addresses => "\":10125\"".to_owned(),
        Kind::Sources => "\"neso\"".to_owned(),
        Kind::Number(..) | Kind::Positive(..) => {
            NUMBERS.iter().find(|(known, _)| *known == key).map_or("1", |(_, number)| number).to_owned()
        }
    }
}

/// The default configuration, with every key commented out.
pub fn default_file() -> String {
    let mut text = "\
# The configuration of wattprint. Every key is here with its default; wattprint.toml(5) says more.
#
# Check what stands here:     wattprint check
# Apply it without a restart: systemctl reload wattprint
#
# A line that begins with # and a key holds the default. Remove the # to change it. Durations are texts
# with a unit (\"500ms\", \"2h\") or a number of seconds.
"
    .to_owned();
    for table in tables() {
        if !table.name.is_empty() {
            text.push('\n');
            comment(&mut text, table.about);
            text.push_str(&format!("[{}]\n", table.name));
        }
        for key in &table.keys {
            text.push('\n');
            let about = format!("{} {}.", key.about, first_upper(&key.allowed));
            match &key.default {
                Some(default) => {
                    comment(&mut text, &about);
                    text.push_str(&format!("#{} = {default}\n", key.name));
                }
                None => {
                    comment(&mut text, &format!("{about} Without it: {}.", key.otherwise));
                    let name = if table.name == BASELINE { "package" } else { key.name };
                    text.push_str(&format!("# Example: {name} = {}\n", key.example));
                }
            }
        }
    }
    text
}

fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Adds a comment in lines that aren't too wide.
fn comment(text: &mut String, words: &str) {
    let mut width = 0;
    for word in words.split_whitespace() {
        if width > 0 && width + word.len() + 1 > WIDTH {
            text.push('\n');
            width = 0;
        }
        text.push_str(if width == 0 { "# " } else { " " });
        width += word.len() + if width == 0 { 2 } else { 1 };
        text.push_str(word);
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
