//! Rules for ids and places.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Rule;
use super::panel::name;
use crate::board::{Board, Fleet, kind, list, text};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "layout-ids-rule", check: ids },
    Rule { name: "layout-ref-ids-rule", check: ref_ids },
    Rule { name: "layout-grid-rule", check: grid },
    Rule { name: "layout-rows-rule", check: rows },
];

/// Grafana's grid has that many columns.
const COLUMNS: u64 = 24;

fn ids(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for panel in board.all_panels() {
        if !panel["id"].as_u64().is_some_and(|id| id > 0 && seen.insert(id)) {
            found.push(format!("{} has no id, or that of another", name(panel)));
        }
    }
}

fn ref_ids(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for panel in board.panels() {
        let mut seen = BTreeSet::new();
        for target in list(&panel["targets"]) {
            let id = text(&target["refId"]);
            if id.is_empty() || !seen.insert(id) {
                found.push(format!("{} has two queries {id:?}, or one without a letter", name(panel)));
            }
        }
    }
}

/// Columns and lines that a panel covers: from, to.
fn area(panel: &Value) -> Option<[(u64, u64); 2]> {
    let side = |key: &str| panel["gridPos"][key].as_u64();
    let (x, y, w, h) = (side("x")?, side("y")?, side("w")?, side("h")?);
    (w > 0 && h > 0 && x + w <= COLUMNS).then_some([(x, x + w), (y, y + h)])
}

fn grid(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    // Panels in a collapsed row are seen when it is opened, which moves the others down.
    let mut groups = vec![list(&board.json["panels"]).iter().collect::<Vec<_>>()];
    groups.extend(list(&board.json["panels"]).iter().map(|row| list(&row["panels"]).iter().collect()));
    for group in groups {
        for (at, panel) in group.iter().enumerate() {
            let Some(mine) = area(panel) else {
                found.push(format!("{} has no place within {COLUMNS} columns", name(panel)));
                continue;
            };
            for other in &group[at + 1..] {
                let over = area(other).is_some_and(|its| {
                    mine.iter().zip(its).all(|(mine, its)| mine.0 < its.1 && its.0 < mine.1)
                });
                if over {
                    found.push(format!("{} lies over {}", name(panel), name(other)));
                }
            }
        }
    }
}

/// A row without a title or without panels helps nobody.
fn rows(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let panels = list(&board.json["panels"]);
    for (at, row) in panels.iter().enumerate().filter(|(_, panel)| kind(panel) == "row") {
        let has =
            !list(&row["panels"]).is_empty() || panels.get(at + 1).is_some_and(|next| kind(next) != "row");
        if text(&row["title"]).is_empty() || !has {
            found.push(format!("row {} has no title or no panels", name(row)));
        }
    }
}
