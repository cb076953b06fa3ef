//! Rules for the ways between dashboards.

use super::Rule;
use crate::board::{Board, Fleet, list, text, walk};
use crate::promql;

pub(crate) const RULES: &[Rule] =
    &[Rule { name: "links-others-rule", check: others }, Rule { name: "links-targets-rule", check: targets }];

/// From every dashboard to all others, with the time and the variables.
fn others(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let leads = list(&board.json["links"]).iter().any(|link| {
        text(&link["type"]) == "dashboards"
            && list(&link["tags"]).iter().any(|tag| tag == "wattprint")
            && link["includeVars"] == true
            && link["keepTime"] == true
    });
    if !leads {
        found.push("has no link to the other dashboards that keeps time and variables".to_owned());
    }
}

/// Links to a dashboard that is there, with variables that it has.
fn targets(board: &Board, fleet: &Fleet, found: &mut Vec<String>) {
    walk("", &board.json, &mut |_, value| {
        let Some(url) = value.as_str().filter(|value| value.contains("/d/")) else { return };
        for link in url.split("/d/").skip(1) {
            let end = link.find([' ', ')', '"', '\n']).unwrap_or(link.len());
            let (path, query) = link[..end].split_once('?').unwrap_or((&link[..end], ""));
            let uid = path.split('/').next().unwrap_or_default();
            let Some(target) = fleet.by_uid(uid) else {
                found.push(format!("links to a dashboard {uid:?} that isn't there"));
                continue;
            };
            for parameter in query.split('&') {
                let given = parameter.strip_prefix("var-").and_then(|rest| rest.split('=').next());
                // `${name:queryparam}` becomes `var-name=value`.
                let carried = promql::references(parameter)
                    .into_iter()
                    .find(|_| parameter.starts_with("${") && parameter.ends_with(":queryparam}"))
                    .map(|(name, ..)| name);
                for name in given.map(str::to_owned).into_iter().chain(carried) {
                    if target.variable(&name).is_none() {
                        found.push(format!("links to {uid} with a variable {name} that it hasn't"));
                    }
                }
            }
        }
    });
}
