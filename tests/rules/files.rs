//! Reads rule files, as far as these tests look into them: names, labels and expressions, by their indentation. promtool
//! reads them as YAML.

use std::fs;
use std::path::PathBuf;

use crate::repository;

/// A rule of a rule file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rule {
    /// The file's name, without its folder.
    pub(crate) file: String,
    pub(crate) group: String,
    /// The series that it records; empty for an alert.
    pub(crate) record: String,
    /// The alert's name; empty for a recording rule.
    pub(crate) alert: String,
    pub(crate) expr: String,
    /// Names and values of `labels`, as they stand there, without quotes.
    pub(crate) labels: Vec<(String, String)>,
}

impl Rule {
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| &**value)
    }
}

/// The files of a folder of the repository whose names end so, in order.
pub(crate) fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(repository(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {ending} in {folder}");
    found
}

/// All rules of deploy/prometheus/rules.
pub(crate) fn rules() -> Vec<Rule> {
    let mut all = Vec::new();
    for path in files("deploy/prometheus/rules", ".yml") {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        all.extend(parse(&file, &fs::read_to_string(&path).unwrap()));
    }
    all
}

/// The rules of a file of this name that has this text.
pub(crate) fn parse(file: &str, text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut group = String::new();
    // The key whose block the lines belong to, and how far it is indented.
    let mut block = (String::new(), 0);
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if bare.is_empty() || (bare.starts_with('#') && block.0 != "expr") {
            continue;
        }
        if indent > block.1 && !block.0.is_empty() {
            let Some(rule) = rules.last_mut() else { continue };
            match &*block.0 {
                "expr" if !bare.starts_with('#') => {
                    rule.expr.push_str(bare);
                    rule.expr.push('\n');
                }
                "labels" => {
                    let (name, value) = bare.split_once(':').unwrap();
                    rule.labels.push((name.to_owned(), unquoted(value)));
                }
                _ => {}
            }
            continue;
        }
        let item = bare.strip_prefix("- ").unwrap_or(bare);
        let indent = indent + bare.len() - item.len();
        let Some((key, value)) = item.split_once(':') else { continue };
        if key == "name" {
            group = unquoted(value);
        }
        if (key == "record" || key == "alert") && bare.starts_with("- ") {
            rules.push(Rule { file: file.to_owned(), group: group.clone(), ..Rule::default() });
        }
        block = (String::new(), 0);
        let Some(rule) = rules.last_mut() else { continue };
        match key {
            "record" => rule.record = unquoted(value),
            "alert" => rule.alert = unquoted(value),
            "expr" if !matches!(value.trim(), "|" | ">" | "|-" | ">-") => rule.expr = unquoted(value),
            "expr" | "labels" | "annotations" => block = (key.to_owned(), indent),
            _ => {}
        }
    }
    rules
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let quoted = |mark| value.strip_prefix(mark).and_then(|rest: &str| rest.strip_suffix(mark));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value).to_owned()
}

#[test]
fn rules_are_read_as_they_stand() {
    let text = r#"
# A comment.
groups:
  - name: first
    interval: 1m
    rules:
      # Why.
      - record: level:one:sum
        expr: sum(one)
        labels:
          zone: "FR"
      - alert: Two
        expr: |
          two
            # Why.
            > 1
        for: 5m
        annotations:
          summary: "a: b"
  - name: second
    rules:
      - record: level:three:sum
        expr: vector(1)
"#;
    let rule = |group: &str, record: &str, alert: &str, expr: &str| Rule {
        file: "f.yml".to_owned(),
        group: group.to_owned(),
        record: record.to_owned(),
        alert: alert.to_owned(),
        expr: expr.to_owned(),
        labels: Vec::new(),
    };
    let mut first = rule("first", "level:one:sum", "", "sum(one)");
    first.labels.push(("zone".to_owned(), "FR".to_owned()));
    let expected =
        [first, rule("first", "", "Two", "two\n> 1\n"), rule("second", "level:three:sum", "", "vector(1)")];
    assert_eq!(parse("f.yml", text), expected);
}

#[test]
fn no_rule_is_overlooked() {
    // promtool counts them as well.
    let said = crate::promtool::check_rules();
    let counted: usize = said
        .lines()
        .filter_map(|line| line.trim().strip_prefix("SUCCESS: ")?.strip_suffix(" rules found"))
        .map(|count| count.parse::<usize>().unwrap())
        .sum();
    let rules = rules();
    assert_eq!(rules.len(), counted);
    for rule in rules {
        assert!(!rule.expr.is_empty(), "{rule:?}");
        assert!(rule.record.is_empty() != rule.alert.is_empty(), "{rule:?}");
    }
}
