//! Rules for variables and where they are used.

use std::collections::BTreeSet;

use super::Rule;
use crate::board::{Board, Fleet, text, walk};
use crate::promql;

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "names-defined-rule", check: defined },
    Rule { name: "names-used-rule", check: used },
    Rule { name: "names-unique-rule", check: unique },
];

/// Every name that stands anywhere behind a dollar sign. A variable's own definition doesn't count as a use of it, but may use
/// others.
fn uses(board: &Board) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    walk("", &board.json, &mut |_, value| {
        if let Some(value) = value.as_str() {
            seen.extend(promql::references(value).into_iter().map(|(name, ..)| name));
        }
    });
    seen
}

/// Names that Grafana itself fills in begin with two underscores.
fn defined(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    for name in uses(board) {
        if !name.starts_with("__") && board.variable(&name).is_none() {
            found.push(format!("variable {name} is used, but not defined"));
        }
    }
}

fn used(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let seen = uses(board);
    for variable in board.variables() {
        if !seen.contains(text(&variable["name"])) {
            found.push(format!("variable {} is never used", text(&variable["name"])));
        }
    }
}

fn unique(board: &Board, _: &Fleet, found: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for variable in board.variables() {
        if !seen.insert(text(&variable["name"])) {
            found.push(format!("two variables are called {}", text(&variable["name"])));
        }
    }
}
