//! The names of metrics in an expression of PromQL.

use std::collections::BTreeSet;

/// Words that stand where a name could.
const WORDS: [&str; 16] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "offset",
    "bool",
    "atan2",
    "inf",
    "nan",
    "start",
    "end",
];

/// Words after which a list of labels stands in parentheses.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Names of metrics, those in `__name__="..."` too. Panics where they can't be told, as in `__name__=~"..."`.
pub(crate) fn metric_names(expr: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = expr;
    while let Some(first) = rest.chars().next() {
        if first == '{' {
            let (matchers, after) = rest[1..].split_at(end_of_matchers(&rest[1..]));
            if let Some((_, name)) = matchers.split_once("__name__=") {
                let name = name.strip_prefix('"').unwrap_or_else(|| panic!("no single name: {matchers}"));
                names.insert(name.split_once('"').unwrap().0.to_owned());
            }
            rest = &after[1..];
        } else if first == '[' {
            rest = rest.split_once(']').unwrap().1;
        } else if first == '"' || first == '\'' {
            rest = rest[1..].split_once(first).unwrap().1;
        } else if first.is_ascii_digit() {
            // Numbers and durations: 1e3, 5m, 0x1f.
            let end = |c: char| !(c.is_ascii_alphanumeric() || c == '.');
            rest = &rest[rest.find(end).unwrap_or(rest.len())..];
        } else if first.is_ascii_alphabetic() || first == '_' || first == ':' {
            let end = |c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':');
            let (word, after) = rest.split_at(rest.find(end).unwrap_or(rest.len()));
            rest = after;
            let lower = word.to_ascii_lowercase();
            if LISTS.contains(&&*lower) {
                if let Some(list) = rest.trim_start().strip_prefix('(') {
                    rest = list.split_once(')').unwrap().1;
                }
            } else if !WORDS.contains(&&*lower)
                && !rest.trim_start().starts_with('(')
                && !is_aggregation(&lower, rest)
            {
                names.insert(word.to_owned());
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

/// Where the brace is that ends them, which isn't one within a value.
fn end_of_matchers(matchers: &str) -> usize {
    let mut is_value = false;
    let is_end = |c: char| {
        is_value ^= c == '"';
        c == '}' && !is_value
    };
    matchers.find(is_end).unwrap_or_else(|| panic!("no end: {matchers}"))
}

/// Whether this is `sum` in `sum by (a) (b)`.
fn is_aggregation(word: &str, rest: &str) -> bool {
    const ALL: [&str; 12] = [
        "sum",
        "min",
        "max",
        "avg",
        "count",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "quantile",
        "count_values",
    ];
    let rest = rest.trim_start();
    ALL.contains(&word) && (rest.starts_with("by") || rest.starts_with("without"))
}

#[test]
fn names_are_told_from_labels_functions_and_numbers() {
    let expr = r#"
        sum by (cluster, instance) (rate(a_total{b="c}d", e=~"f{2}"}[5m] offset 1m)) > bool 1e3
          * on (cluster) group_left () level:g:sum
        or topk (1, {__name__="h", i="j"}) and label_replace(k, "l", "$1", "m", "(.*)") unless on (n) o
    "#;
    let names: Vec<String> = metric_names(expr).into_iter().collect();
    assert_eq!(names, ["a_total", "h", "k", "level:g:sum", "o"]);
}
