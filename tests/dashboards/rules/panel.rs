//! Rules for single panels.

use serde_json::Value;

use super::Rule;
use crate::board::{Board, Fleet, kind, list, text, walk};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "panel-datasource-rule", check: datasource },
    Rule { name: "panel-title-description-rule", check: title_and_description },
    Rule { name: "panel-units-rule", check: units },
    Rule { name: "panel-no-targets-rule", check: no_targets },
    Rule { name: "panel-empty-rule", check: empty },
    Rule { name: "panel-core-rule", check: core },
    Rule { name: "panel-colours-rule", check: colours },
];

/// Units that the dashboards use, by Grafana's ids; the model test compares them with Grafana's whole list. `suffix:` is
/// Grafana's way to name a unit that it has none for.
const UNITS: &[&str] = &[
    "none",
    "short",
    "percentunit",
    "watt",
    "kwatth",
    "watth",
    "joule",
    "massg",
    "masskg",
    "masst",
    "s",
    "ms",
    "m",
    "h",
    "d",
    "dateTimeFromNow",
    "dateTimeAsIso",
    "bytes",
    "litre",
    "litreh",
    "string",
    "celsius",
    "lengthkm",
];

/// Types of panels that Grafana 10, 11 and 12 come with, as far as they make sense here.
const CORE: &[&str] = &[
    "barchart",
    "bargauge",
    "gauge",
    "heatmap",
    "histogram",
    "piechart",
    "row",
    "stat",
    "state-timeline",
    "status-history",
    "table",
    "text",
    "timeseries",
    "trend",
    "xychart",
];

/// Okabe and Ito's colours, as in dashboards/source/parts.py, and a grey.
const COLOURS: &[&str] =
    &["#0072B2", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#F0E442", "#999999"];

/// Colours by themes or by palettes that hide no red beside green.
const COLOUR_WORDS: &[&str] = &["text", "transparent"];

/// Schemes that run from green to red.
const RED_AND_GREEN: &[&str] = &["continuous-GrYlRd", "continuous-RdYlGr"];

pub(super) fn name(panel: &Value) -> String {
    format!("panel {} {:?}", panel["id"], text(&panel["title"]))
}

/// Text has no figures, so that what is said of figures doesn't fit.
fn shown(board: &Board) -> impl Iterator<Item = &Value> {
    board.panels().into_iter().filter(|panel| kind(panel) != "text")
}

fn is_templated(source: &Value) -> bool {
    text(&source["type"]) == "prometheus" && text(&source["uid"]) == "${datasource}"
}

/// Wider than the linter's: all types of panels, each target, each variable and each annotation.
fn datasource(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in shown(board) {
        let sources = std::iter::once(panel).chain(list(&panel["targets"])).map(|has| &has["datasource"]);
        if !sources.into_iter().all(is_templated) {
            found.push(format!("{} isn't for ${{datasource}}", name(panel)));
        }
    }
    walk("", &board.json, &mut |key, value| {
        if key == "datasource" && !is_templated(value) {
            found.push(format!("has the fixed datasource {value}"));
        }
    });
}

fn title_and_description(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in board.panels() {
        if text(&panel["title"]).is_empty() || text(&panel["description"]).is_empty() {
            found.push(format!("{} has no title or no description", name(panel)));
        }
    }
}

/// All types of panels, and the columns of tables; the linter looks at fewer.
fn units(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let known = |unit: &str| {
        UNITS.contains(&unit) || unit.strip_prefix("suffix:").is_some_and(|suffix| !suffix.trim().is_empty())
    };
    for panel in shown(board) {
        let fields = &panel["fieldConfig"];
        let overridden = list(&fields["overrides"])
            .iter()
            .flat_map(|each| list(&each["properties"]))
            .filter(|property| text(&property["id"]) == "unit")
            .map(|property| text(&property["value"]));
        for unit in std::iter::once(text(&fields["defaults"]["unit"])).chain(overridden) {
            if !known(unit) {
                found.push(format!("{} has no unit, or an unknown one: {unit:?}", name(panel)));
            }
        }
    }
}

fn no_targets(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in shown(board) {
        let targets = list(&panel["targets"]);
        if targets.is_empty() || targets.iter().any(|target| text(&target["expr"]).trim().is_empty()) {
            found.push(format!("{} asks for nothing", name(panel)));
        }
    }
}

/// A panel without data must say why. "No data" is Grafana's own words, and says nothing.
fn empty(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in shown(board) {
        let says = text(&panel["fieldConfig"]["defaults"]["noValue"]).trim();
        if says.is_empty() || says.eq_ignore_ascii_case("no data") {
            found.push(format!("{} doesn't say what it means when it is empty", name(panel)));
        }
    }
    for panel in board.panels().into_iter().filter(|panel| kind(panel) == "text") {
        if text(&panel["options"]["content"]).trim().is_empty() {
            found.push(format!("{} has no text", name(panel)));
        }
    }
}

fn core(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in board.all_panels() {
        if !CORE.contains(&kind(panel)) {
            found.push(format!("{} is a {}, which is a plugin or not known here", name(panel), kind(panel)));
        }
    }
}

/// Fixed colours are of the list, by their figures: names such as red are not, as themes have them.
fn colours(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    walk("", &board.json, &mut |key, value| {
        let Some(value) = value.as_str() else { return };
        let fixed = matches!(key, "color" | "fixedColor" | "iconColor") || key.ends_with("Color");
        let allowed = COLOURS.contains(&value) || COLOUR_WORDS.contains(&value) || value.is_empty();
        if fixed && !allowed || RED_AND_GREEN.contains(&value) {
            found.push(format!("colour {value} isn't one that all people tell apart"));
        }
    });
}
