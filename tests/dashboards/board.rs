//! A dashboard as the rules see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::promql;

/// One dashboard: the JSON that Grafana reads.
pub(crate) struct Board {
    pub(crate) file: String,
    pub(crate) json: Value,
}

/// All dashboards, and what exists outside of them that they may speak of.
pub(crate) struct Fleet {
    pub(crate) boards: Vec<Board>,
    pub(crate) metrics: BTreeSet<String>,
}

pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(repository().join(directory))
        .unwrap_or_else(|why| panic!("{directory}: {why}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect();
    found.sort();
    found
}

impl Fleet {
    /// The dashboards of this repository, with its metrics and its recording rules.
    pub(crate) fn committed() -> Self {
        let boards = files("dashboards", "json")
            .into_iter()
            .map(|path| Board {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                json: serde_json::from_str(&fs::read_to_string(&path).unwrap())
                    .unwrap_or_else(|why| panic!("{}: {why}", path.display())),
            })
            .collect();
        let documented = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
        let mut metrics: BTreeSet<String> = documented
            .lines()
            .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
            .map(str::to_owned)
            .collect();
        for path in files("deploy/prometheus/rules", "yml") {
            let text = fs::read_to_string(path).unwrap();
            metrics.extend(text.lines().filter_map(recorded).map(str::to_owned));
        }
        Self { boards, metrics }
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Board> {
        self.boards.iter().find(|board| board.uid() == uid)
    }
}

/// The name in a `record:` line. The rule files have one such line for each rule, which promtool checks.
fn recorded(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let name = line.strip_prefix("- ").unwrap_or(line).trim_start().strip_prefix("record:")?;
    Some(name.trim().trim_matches(['"', '\'']))
}

impl Board {
    pub(crate) fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap_or_default()
    }

    /// All panels but rows, those inside of collapsed rows too.
    pub(crate) fn panels(&self) -> Vec<&Value> {
        self.all_panels().into_iter().filter(|panel| kind(panel) != "row").collect()
    }

    /// Rows as well.
    pub(crate) fn all_panels(&self) -> Vec<&Value> {
        let mut found = Vec::new();
        for panel in list(&self.json["panels"]) {
            found.push(panel);
            found.extend(list(&panel["panels"]));
        }
        found
    }

    pub(crate) fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables().iter().find(|variable| text(&variable["name"]) == name)
    }

    pub(crate) fn annotations(&self) -> &[Value] {
        list(&self.json["annotations"]["list"])
    }

    /// What stands for each variable when an expression is parsed: a value where the variable has one of its own, else a
    /// pattern that matches all.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let value = |variable: &Value| match text(&variable["type"]) {
            "query" | "datasource" => ".*".to_owned(),
            _ => variable["current"]["value"]
                .as_str()
                .filter(|value| !value.is_empty() && *value != "$__all")
                .unwrap_or_else(|| text(&variable["query"]).split(',').next().unwrap_or_default())
                .to_owned(),
        };
        self.variables()
            .iter()
            .map(|variable| (text(&variable["name"]).to_owned(), value(variable)))
            .collect()
    }

    /// The expressions of all panels: the panel, and what was parsed.
    pub(crate) fn queries(&self) -> Vec<(&Value, Result<promql::Query, String>)> {
        let values = self.values();
        let mut found = Vec::new();
        for panel in self.panels() {
            for target in list(&panel["targets"]) {
                found.push((panel, promql::parse(text(&target["expr"]), &values)));
            }
        }
        found
    }
}

/// A list's items; none where it isn't one.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A string's characters; none where it isn't one.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(crate) fn kind(panel: &Value) -> &str {
    text(&panel["type"])
}

/// Calls `see` with every value in `value`, and the key that it stands under.
pub(crate) fn walk<'a>(key: &'a str, value: &'a Value, see: &mut dyn FnMut(&'a str, &'a Value)) {
    see(key, value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(key, item, see)),
        Value::Object(fields) => fields.iter().for_each(|(key, field)| walk(key, field, see)),
        _ => {}
    }
}
