//! Where a rule doesn't fit, and why.

use crate::rules::Finding;

/// One panel, variable or other place that one rule is not for.
#[derive(Debug)]
pub(crate) struct Exception {
    rule: &'static str,
    file: &'static str,
    /// Must be in what the rule says, such as the title of the panel.
    part: &'static str,
    #[allow(dead_code, reason = "for whoever reads it, here or when nothing is left to except")]
    reason: &'static str,
}

pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "target-counter-agg-rule",
        file: "wattprint.json",
        part: "Owners less node",
        reason: "the difference of both counters at one moment is what is shown",
    },
    Exception {
        rule: "target-rate-interval-rule",
        file: "wattprint.json",
        part: "Fetches of the grid's factors",
        reason: FEW_AN_HOUR,
    },
    Exception {
        rule: "target-rate-interval-rule",
        file: "carbon.json",
        part: "Live sources",
        reason: FEW_AN_HOUR,
    },
];

const FEW_AN_HOUR: &str =
    "sources are asked a few times an hour, so that most intervals between scrapes have none";

impl Exception {
    pub(crate) fn covers(&self, finding: &Finding) -> bool {
        finding.rule == self.rule && finding.file == self.file && finding.what.contains(self.part)
    }
}

pub(crate) fn covers(finding: &Finding) -> bool {
    EXCEPTIONS.iter().any(|exception| exception.covers(finding))
}
