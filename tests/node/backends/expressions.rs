//! What dashboards ask, as Grafana would ask it, and whether the answers are plausible.

use std::collections::BTreeMap;

use serde_json::Value;

use super::rig::{Prometheus, Series, files_of};

/// How far back time series are looked at, in minutes.
const SPAN: f64 = 3.0;

type Excuse = (&'static str, &'static str, &'static str, &'static str);

/// What may be empty here: the dashboard's uid, the panel's title (that of the annotation), its query (empty: any), and why. Such
/// a panel must say what its emptiness means.
const MAY_BE_EMPTY: &[Excuse] = &[
    (
        "*",
        "Intensity changes by a quarter",
        "",
        "compares with a quarter of an hour ago, and the test is younger",
    ),
    ("wattprint-self", "Where collectors fail", "", "it leaves out nvml, and none of the others fails here"),
    ("wattprint-gpu", "Cards with MIG", "B", "drivers don't tell the utilization of a card with MIG"),
    ("wattprint-models", "Power of models without work", "", "every model that has work counted did some"),
    (
        "wattprint-models",
        "Left out by stopping early, 1 day",
        "",
        "a run has ended once it is gone for a quarter of an hour",
    ),
];

/// Ratios that may be more than 1: the dashboard's uid and the panel's title.
const MAY_EXCEED_ONE: &[(&str, &str)] = &[
    ("wattprint-carbon", "Now against the mean of the last day"),
    ("wattprint-carbon", "Other regions"),
    // A card's power goes above its limit for moments.
    ("wattprint-gpu", "Power, of its limit, highest ten"),
    ("wattprint-workloads", "Namespaces"),
    ("wattprint-workloads", "Budget used, 30 days"),
];

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    board: String,
    panel: String,
    letter: String,
    unit: String,
    /// Whether it is drawn over time.
    is_drawn: bool,
    no_value: String,
    /// Whether single values are chosen, which need not meet: the query must be understood, and may be empty.
    is_narrow: bool,
    expr: String,
}

impl Ask {
    /// What is wrong with the answer, if anything.
    fn fault(&self, prometheus: &Prometheus) -> Option<String> {
        let told = |what: String| {
            Some(format!("{} / {} / {}: {what}\n    {}", self.board, self.panel, self.letter, self.expr))
        };
        if self.is_narrow {
            return prometheus.try_query(&self.expr).err().and_then(told);
        }
        let mut answers = vec![("now", prometheus.try_query(&self.expr))];
        if self.is_drawn {
            answers.push(("over time", prometheus.try_range(&self.expr, SPAN)));
        }
        for (when, answer) in answers {
            match answer {
                Err(error) => return told(error),
                Ok(rows) if rows.is_empty() => match self.excuse() {
                    None => return told(format!("nothing {when}")),
                    Some(_) if self.no_value.is_empty() && self.letter != ANNOTATION => {
                        return told("may be empty, but doesn't say what that means (noValue)".to_owned());
                    }
                    Some(_) => {}
                },
                Ok(rows) => {
                    if let Some((series, value)) = implausible(&rows, &self.unit, self.may_exceed_one()) {
                        return told(format!("{value} {} {when} for {}", self.unit, series.labels));
                    }
                }
            }
        }
        None
    }

    /// Why it may be empty.
    fn excuse(&self) -> Option<&'static str> {
        MAY_BE_EMPTY.iter().find(|excuse| self.is_meant_by(excuse)).map(|(.., why)| *why)
    }

    fn is_meant_by(&self, (board, panel, letter, _): &Excuse) -> bool {
        (*board == "*" || *board == self.board)
            && *panel == self.panel
            && (letter.is_empty() || *letter == self.letter)
    }

    fn may_exceed_one(&self) -> bool {
        MAY_EXCEED_ONE.iter().any(|(board, panel)| *board == self.board && *panel == self.panel)
    }
}

/// The letter of what is no panel's query.
const ANNOTATION: &str = "annotation";

/// A value that can't be.
fn implausible<'a>(rows: &'a [Series], unit: &str, may_exceed_one: bool) -> Option<(&'a Series, f64)> {
    let (low, high) = match unit {
        "percentunit" => (0.0, if may_exceed_one { f64::MAX } else { 1.0 + 1e-6 }),
        "watt" => (0.0, 20_000.0),
        "kwatth" => (0.0, 10.0),
        "joule" => (0.0, 1e8),
        "litre" | "litreh" | "bytes" | "decbytes" | "hertz" => (0.0, f64::MAX),
        _ => (f64::MIN, f64::MAX),
    };
    let wrong = |value: f64| !value.is_finite() || value < low || value > high;
    let points = rows.iter().flat_map(|series| series.points.iter().map(move |(_, value)| (series, *value)));
    points.into_iter().find(|(_, value)| wrong(*value))
}

/// Asks everything again and again until all is well or `is_over`; what is wrong then.
pub(super) fn faults(prometheus: &Prometheus, mut is_over: impl FnMut() -> bool) -> Vec<String> {
    let (mut asks, mut faults) = (Vec::new(), Vec::new());
    let boards = files_of("dashboards", "json");
    assert!(!boards.is_empty());
    super::paced("all answers", super::LIMIT, || {
        (asks, faults) = gather(prometheus, &boards);
        (faults.is_empty() || is_over()).then_some(())
    });
    let unsettled = faults;
    let mut left = asks;
    super::paced("all answers", super::LIMIT, || {
        left.retain(|ask| ask.fault(prometheus).is_some());
        (left.is_empty() || is_over()).then_some(())
    });
    unsettled.into_iter().chain(left.iter().filter_map(|ask| ask.fault(prometheus))).collect()
}

/// All that the dashboards ask, with their variables filled in; and the variables that stay empty.
fn gather(prometheus: &Prometheus, boards: &[(String, String)]) -> (Vec<Ask>, Vec<String>) {
    let (mut asks, mut faults) = (Vec::new(), Vec::new());
    for (file, text) in boards {
        let board: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let uid = text_of(&board["uid"]);
        let (mut values, mut narrow) = (known(), known());
        for variable in items(&board["templating"]["list"]) {
            let name = text_of(&variable["name"]);
            match value_of(prometheus, variable, &values) {
                Ok((value, first)) => {
                    narrow.insert(name.clone(), first);
                    values.insert(name, value);
                }
                Err(error) => faults.push(format!("{uid} / variable {name}: {error}")),
            }
        }
        for ask in annotations(&board, &uid).into_iter().chain(panels(&board["panels"], &uid)) {
            for (values, is_narrow) in [(&values, false), (&narrow, true)] {
                match filled(&ask.expr, values) {
                    Ok(expr) => asks.push(Ask { expr, is_narrow, ..ask.clone() }),
                    Err(error) => faults.push(format!("{uid} / {} / {}: {error}", ask.panel, ask.letter)),
                }
            }
        }
    }
    for excuse in MAY_BE_EMPTY.iter().filter(|excuse| !asks.iter().any(|ask| ask.is_meant_by(excuse))) {
        faults.push(format!("{} / {} may be empty, but isn't there", excuse.0, excuse.1));
    }
    (asks, faults)
}

fn annotations(board: &Value, uid: &str) -> Vec<Ask> {
    let made = |annotation: &Value| {
        let expr = annotation["expr"].as_str().or_else(|| annotation["target"]["expr"].as_str())?;
        Some(Ask {
            board: uid.to_owned(),
            panel: text_of(&annotation["name"]),
            letter: ANNOTATION.to_owned(),
            unit: String::new(),
            is_drawn: true,
            no_value: String::new(),
            is_narrow: false,
            expr: expr.to_owned(),
        })
    };
    items(&board["annotations"]["list"]).iter().filter_map(made).collect()
}

/// The queries of all panels, those in rows that are folded too.
fn panels(list: &Value, uid: &str) -> Vec<Ask> {
    let mut asks = Vec::new();
    for panel in items(list) {
        let defaults = &panel["fieldConfig"]["defaults"];
        for target in items(&panel["targets"]) {
            let Some(expr) = target["expr"].as_str().filter(|expr| !expr.is_empty()) else { continue };
            let letter = text_of(&target["refId"]);
            asks.push(Ask {
                board: uid.to_owned(),
                panel: text_of(&panel["title"]),
                unit: unit_of(panel, target, &letter).unwrap_or_else(|| text_of(&defaults["unit"])),
                is_drawn: target["instant"] != true && panel["type"] == "timeseries",
                no_value: text_of(&defaults["noValue"]),
                is_narrow: false,
                expr: expr.to_owned(),
                letter,
            });
        }
        asks.extend(panels(&panel["panels"], uid));
    }
    asks
}

/// The unit of one query, where an override gives it one: by its letter, its legend, or the name of its column.
fn unit_of(panel: &Value, target: &Value, letter: &str) -> Option<String> {
    let renamed = items(&panel["transformations"]).iter().find_map(|transformation| {
        let names = &transformation["options"]["renameByName"];
        names[format!("Value #{letter}")].as_str().or_else(|| names["Value"].as_str())
    });
    let legend = target["legendFormat"].as_str();
    let fits = |name: &str| Some(name) == renamed || Some(name) == legend || name == letter;
    let overrides = items(&panel["fieldConfig"]["overrides"]).iter();
    let mut own = overrides.filter(|each| each["matcher"]["options"].as_str().is_some_and(fits));
    own.find_map(|each| {
        items(&each["properties"]).iter().find(|property| property["id"] == "unit")?["value"]
            .as_str()
            .map(str::to_owned)
    })
}

/// What Grafana fills in by itself.
fn known() -> BTreeMap<String, String> {
    let values = [
        ("__rate_interval", "1m"),
        ("__interval", "15s"),
        ("__interval_ms", "15000"),
        ("__range", "1h"),
        ("__range_s", "3600"),
        ("__range_ms", "3600000"),
        ("datasource", "prometheus"),
    ];
    values.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// What a variable stands for when as much as it takes was chosen: "all" where there is that, else each of its values where it
/// takes several, else the first of them. And that value.
fn value_of(
    prometheus: &Prometheus,
    variable: &Value,
    values: &BTreeMap<String, String>,
) -> Result<(String, String), String> {
    let query =
        variable["query"].as_str().or_else(|| variable["query"]["query"].as_str()).unwrap_or_default();
    let found: Vec<String> = match variable["type"].as_str() {
        Some("datasource") => return Ok(("prometheus".to_owned(), "prometheus".to_owned())),
        Some("query") => found(prometheus, &filled(query, values)?)?,
        // Written as "text : value", with commas between.
        Some("custom" | "interval") => query
            .split(',')
            .map(|option| option.split_once(" : ").map_or(option, |(_, value)| value).trim().to_owned())
            .collect(),
        Some("constant" | "textbox") => vec![query.to_owned()],
        other => return Err(format!("type {other:?} isn't known here")),
    };
    let found: Vec<String> = found.into_iter().filter(|value| !value.is_empty()).collect();
    let first = found.first().ok_or_else(|| format!("nothing fits {query}"))?;
    let chosen = variable["current"]["value"].as_str().filter(|value| found.iter().any(|each| each == value));
    let all = match variable["allValue"].as_str() {
        Some(all) if variable["includeAll"] == true => all.to_owned(),
        _ if variable["includeAll"] == true || variable["multi"] == true => format!("({})", found.join("|")),
        _ => chosen.unwrap_or(first).to_owned(),
    };
    Ok((all, first.clone()))
}

/// The values of a query of a variable.
fn found(prometheus: &Prometheus, query: &str) -> Result<Vec<String>, String> {
    let inner = |function: &str| query.strip_prefix(function)?.trim().strip_prefix('(')?.strip_suffix(')');
    if let Some(arguments) = inner("label_values") {
        let (selector, label) = arguments.rsplit_once(',').unwrap_or((r#"{__name__=~".+"}"#, arguments));
        return prometheus.label_values(label.trim(), selector.trim());
    }
    let expr = inner("query_result").ok_or_else(|| format!("{query} isn't known here"))?;
    Ok(prometheus.try_query(expr)?.iter().map(|series| series.labels.to_string()).collect())
}

/// An expression with values in the place of variables: `$name`, `${name}`, `${name:format}`.
fn filled(expr: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), expr);
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let (name, behind) = match after.strip_prefix('{') {
            Some(inner) => inner.split_once('}').ok_or("a brace isn't closed")?,
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        let name = name.split(':').next().unwrap_or_default();
        // `$1` belongs to label_replace, and a dollar alone to a regular expression.
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            text.push('$');
            text.push_str(name);
        } else {
            text.push_str(values.get(name).ok_or_else(|| format!("nobody knows ${name}"))?);
        }
        rest = behind;
    }
    Ok(text + rest)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn variables_are_filled_in() {
    let mut values = known();
    values.insert("node".to_owned(), ".*".to_owned());
    let expr = r#"label_replace(rate(a{i=~"${node:regex}", j=~"$node$"}[$__rate_interval]), "x", "$1", "y", "(.+)")"#;
    let expected = r#"label_replace(rate(a{i=~".*", j=~".*$"}[1m]), "x", "$1", "y", "(.+)")"#;
    assert_eq!(filled(expr, &values), Ok(expected.to_owned()));
    assert!(filled("$nobody", &values).is_err());
}
