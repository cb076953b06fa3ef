//! The rules. Those with the names of grafana/dashboard-linter's rules check what its documentation says; where ours differ,
//! the rule says why.
//!
//! Three rules of the linter have no counterpart: the two for LogQL and the one for histograms, since wattprint has neither logs
//! nor histograms. `panel-datasource-rule` lets no other source in.

mod identity;
mod layout;
mod links;
mod names;
mod panel;
mod target;
mod template;

use std::fmt;

use crate::board::{Board, Fleet};

pub(crate) struct Rule {
    pub(crate) name: &'static str,
    check: fn(&Board, &Fleet, &mut Vec<String>),
}

/// What is wrong, and where.
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) file: String,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}: {}: {}", self.file, self.rule, self.what)
    }
}

pub(crate) fn all() -> impl Iterator<Item = &'static Rule> {
    [template::RULES, panel::RULES, target::RULES, layout::RULES, links::RULES, names::RULES, identity::RULES]
        .into_iter()
        .flatten()
}

pub(crate) fn findings(fleet: &Fleet) -> Vec<Finding> {
    let mut found = Vec::new();
    for board in &fleet.boards {
        for rule in all() {
            let mut said = Vec::new();
            (rule.check)(board, fleet, &mut said);
            found.extend(said.into_iter().map(|what| Finding {
                rule: rule.name,
                file: board.file.clone(),
                what,
            }));
        }
    }
    found
}
