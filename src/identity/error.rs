//! What kept a source from names.

use std::sync::Arc;

use crate::meters::CollectorOutcome;

/// A source that failed. What it said before stays on the board.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}: {reason}")]
pub struct IdentityError {
    /// What is wrong; one of a few texts without paths or names, as it stands in a label.
    pub reason: &'static str,
    /// Where, and what the system says.
    pub detail: String,
    /// What would mend it, where that is known.
    pub remedy: Option<&'static str>,
}

impl IdentityError {
    /// A failure without a remedy.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), remedy: None }
    }

    /// The same failure with what would mend it.
    #[must_use]
    pub fn remedy(self, remedy: &'static str) -> Self {
        Self { remedy: Some(remedy), ..self }
    }

    /// As the outcome of the collector of this name.
    pub(crate) fn outcome(&self, name: &'static str) -> CollectorOutcome {
        CollectorOutcome {
            name,
            success: false,
            error: Some(Arc::from(self.reason)),
            detail: Some(self.to_string().into()),
            remedy: self.remedy,
        }
    }
}
