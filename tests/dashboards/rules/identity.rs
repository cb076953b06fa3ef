//! Rules for a dashboard as a whole.

use super::Rule;
use crate::board::{Board, Fleet, list, text};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "uneditable-dashboard-rule", check: uneditable },
    Rule { name: "identity-uid-rule", check: uid },
    Rule { name: "identity-tags-rule", check: tags },
    Rule { name: "identity-annotations-rule", check: annotations },
];

/// Bookmarks, links and alerts of users go by these: one that is given up is never given to another dashboard.
const UIDS: &[&str] = &[
    "wattprint-fleet",
    "wattprint-node",
    "wattprint-workloads",
    "wattprint-gpu",
    "wattprint-jobs",
    "wattprint-carbon",
    "wattprint-models",
    "wattprint-self",
];

/// The source is the place to change a dashboard; what was changed in the browser would be lost with the next version.
fn uneditable(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    if board.json["editable"] != false {
        found.push("can be edited in the browser".to_owned());
    }
}

fn uid(board: &Board, fleet: &Fleet, found: &mut Vec<String>) {
    if !UIDS.contains(&board.uid()) {
        found.push(format!("{:?} isn't one of the uids", board.uid()));
    }
    if fleet.boards.iter().filter(|other| other.uid() == board.uid()).count() != 1 {
        found.push(format!("shares its uid {:?}", board.uid()));
    }
    // Numbers that Grafana gives; one in a file would overwrite whatever dashboard has it.
    if !board.json["id"].is_null() {
        found.push("has an id of some Grafana".to_owned());
    }
}

fn tags(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    if !list(&board.json["tags"]).iter().any(|tag| tag == "wattprint") {
        found.push("has no tag wattprint, by which dashboards link to each other".to_owned());
    }
    if text(&board.json["title"]).is_empty() || text(&board.json["description"]).is_empty() {
        found.push("has no title or no description".to_owned());
    }
}

fn annotations(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for (what, metric) in [("alerts", "ALERTS{"), ("intensity", "grid_carbon_intensity_grams_per_kwh")] {
        let shown = board
            .annotations()
            .iter()
            .any(|annotation| text(&annotation["expr"]).contains(metric) && annotation["enable"] == true);
        if !shown {
            found.push(format!("has no annotation for {what}"));
        }
    }
}
