//! Expressions with Grafana's variables in them: what they are once Grafana has filled them in, and the series they select.

use std::collections::BTreeMap;
use std::time::Duration;

use promql_parser::parser::{self, Expr, VectorSelector};

/// Stands for `$__rate_interval`: a range that nobody writes by hand, so that it is known again after parsing.
const RATE_INTERVAL: &str = "4271113ms";
/// Stands for the other times that Grafana fills in.
const BUILTINS: [(&str, &str); 9] = [
    ("__rate_interval", RATE_INTERVAL),
    ("__interval_ms", "60000"),
    ("__interval", "1m"),
    ("__range_ms", "21600000"),
    ("__range_s", "21600"),
    ("__range", "6h"),
    ("__from", "1700000000000"),
    ("__to", "1700021600000"),
    ("timezone", "utc"),
];

/// An expression that parses.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) selectors: Vec<Selector>,
}

/// A selector of series in it.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Name and value of its matchers, before any value is filled in.
    pub(crate) matchers: Vec<(String, String)>,
    /// The range behind it, if there is one.
    range: Option<Duration>,
    /// The function that it is the argument of.
    pub(crate) function: Option<&'static str>,
}

impl Selector {
    pub(crate) fn has_rate_interval(&self) -> bool {
        self.range == Some(Duration::from_millis(4_271_113))
    }

    pub(crate) fn is_rate(&self) -> bool {
        self.range.is_some() && matches!(self.function, Some("rate" | "irate" | "increase"))
    }

    pub(crate) fn matches_by(&self, label: &str, value: &str) -> bool {
        self.matchers.iter().any(|(name, is)| name == label && is == value)
    }
}

/// The variables that a text refers to, as `$name`, `${name}`, `${name:format}`, `${name.field}` or `[[name]]`: name, where
/// it begins and where it ends.
pub(crate) fn references(text: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let (opening, closing) = if rest.starts_with("${") {
            (2, "}")
        } else if rest.starts_with("[[") {
            (2, "]]")
        } else if rest.starts_with('$') {
            (1, "")
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        let name: String =
            rest[opening..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let end = match closing {
            "" => at + opening + name.len(),
            _ => rest.find(closing).map_or(at + opening, |length| at + length + closing.len()),
        };
        // `$1` stands for a group of a regular expression.
        if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            found.push((name, at, end));
        }
        at = end.max(at + 1);
    }
    found
}

/// The text with its variables filled in. A variable that nobody knows stays, so that parsing fails.
fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut done = String::new();
    let mut at = 0;
    for (name, begin, end) in references(text) {
        let builtin = BUILTINS.iter().find(|(builtin, _)| *builtin == name).map(|(_, value)| *value);
        if let Some(value) = builtin.or_else(|| values.get(&name).map(String::as_str)) {
            done.push_str(&text[at..begin]);
            done.push_str(value);
            at = end;
        }
    }
    done + &text[at..]
}

/// Parses an expression of a dashboard whose variables have these values.
pub(crate) fn parse(text: &str, values: &BTreeMap<String, String>) -> Result<Query, String> {
    parser::parse(&filled(text, values))?;
    // The second time with variables as they are in quotes: matchers tell then which variable they take.
    let kept: BTreeMap<String, String> = values
        .iter()
        .map(|(name, value)| (name.clone(), if value == ".*" { format!("${name}") } else { value.clone() }))
        .collect();
    let mut selectors = Vec::new();
    collect(&parser::parse(&filled(text, &kept))?, None, &mut selectors);
    Ok(Query { selectors })
}

fn collect(expr: &Expr, function: Option<&'static str>, found: &mut Vec<Selector>) {
    match expr {
        Expr::Aggregate(aggregate) => {
            collect(&aggregate.expr, None, found);
            if let Some(param) = &aggregate.param {
                collect(param, None, found);
            }
        }
        Expr::Unary(unary) => collect(&unary.expr, None, found),
        Expr::Binary(binary) => {
            collect(&binary.lhs, None, found);
            collect(&binary.rhs, None, found);
        }
        Expr::Paren(paren) => collect(&paren.expr, function, found),
        Expr::Subquery(subquery) => collect(&subquery.expr, None, found),
        Expr::VectorSelector(selector) => found.push(selected(selector, None, function)),
        Expr::MatrixSelector(selector) => found.push(selected(&selector.vs, Some(selector.range), function)),
        Expr::Call(call) => {
            for argument in &call.args.args {
                collect(argument, Some(call.func.name), found);
            }
        }
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn selected(selector: &VectorSelector, range: Option<Duration>, function: Option<&'static str>) -> Selector {
    let matchers: Vec<(String, String)> = selector
        .matchers
        .matchers
        .iter()
        .chain(selector.matchers.or_matchers.iter().flatten())
        .map(|matcher| (matcher.name.clone(), matcher.value.clone()))
        .collect();
    let named = matchers.iter().find(|(name, _)| name == "__name__").map(|(_, value)| value.clone());
    Selector { metric: selector.name.clone().or(named).unwrap_or_default(), matchers, range, function }
}

/// What a query of a variable asks for: the selector in `label_values(selector, label)`, or the expression in
/// `query_result(expression)`. Nothing for `label_values(label)`, which has no selector.
pub(crate) fn of_variable(query: &str) -> Option<&str> {
    let inside = |function: &str| query.trim().strip_prefix(function)?.trim().strip_suffix(')');
    if let Some(arguments) = inside("label_values(") {
        return arguments.rsplit_once(',').map(|(selector, _)| selector.trim());
    }
    inside("query_result(")
}

#[test]
fn variables_are_found_however_they_are_written() {
    let names = |text| references(text).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(
        names(r#"a{b=~"$one", c="${two:regex}", d="[[three]]"} > $__range_s"#),
        ["one", "two", "three", "__range_s"]
    );
    assert_eq!(names("$1 costs 5$ and ${__field.labels.gpu}"), ["__field"]);
}

#[test]
fn selectors_know_their_function_and_their_matchers() {
    let values = [("node".to_owned(), ".*".to_owned()), ("top".to_owned(), "5".to_owned())].into();
    let query =
        parse(r#"topk($top, sum(rate(a_total{instance=~"$node"}[$__rate_interval])) / b)"#, &values).unwrap();
    let [a, b] = &query.selectors[..] else { panic!("{query:?}") };
    assert!(a.is_rate() && a.has_rate_interval() && a.matches_by("instance", "$node"));
    assert!(b.metric == "b" && !b.is_rate() && !b.matches_by("instance", "$node"));
    assert!(parse("sum(rate(a_total[$undefined]))", &values).is_err());
}

#[test]
fn queries_of_variables_are_taken_apart() {
    assert_eq!(of_variable(r#"label_values(a{b=~"x,y"}, c)"#), Some(r#"a{b=~"x,y"}"#));
    assert_eq!(of_variable("query_result(topk(3, a))"), Some("topk(3, a)"));
    assert_eq!(of_variable("label_values(c)"), None);
}
