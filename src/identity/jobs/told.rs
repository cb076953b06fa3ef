//! What one source says of a job.

use crate::identity::{Details, DeviceName};

use super::devices;

/// Longest text kept, in bytes: it stands in labels.
const MOST_BYTES: usize = 253;

/// What one source says of a job; empty where it is silent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) job_name: Box<str>,
    pub(super) user: Box<str>,
    pub(super) account: Box<str>,
    pub(super) partition: Box<str>,
    pub(super) array_job_id: Box<str>,
    pub(super) array_task_id: Box<str>,
    pub(super) phase: Box<str>,
    pub(super) model: Box<str>,
    pub(super) variant: Box<str>,
    /// The job's GPUs, perhaps none; nothing where the source doesn't say.
    pub(super) gpus: Option<Vec<DeviceName>>,
    /// Those that are known to be given to single steps of it.
    pub(super) step_gpus: Vec<DeviceName>,
}

impl Told {
    /// These words, and where they are silent those of another source. What different steps have adds up.
    pub(super) fn or(&self, other: &Self) -> Self {
        let first = |one: &str, other: &str| if one.is_empty() { other.into() } else { one.into() };
        Self {
            job_name: first(&self.job_name, &other.job_name),
            user: first(&self.user, &other.user),
            account: first(&self.account, &other.account),
            partition: first(&self.partition, &other.partition),
            array_job_id: first(&self.array_job_id, &other.array_job_id),
            array_task_id: first(&self.array_task_id, &other.array_task_id),
            phase: first(&self.phase, &other.phase),
            model: first(&self.model, &other.model),
            variant: first(&self.variant, &other.variant),
            gpus: self.gpus.clone().or_else(|| other.gpus.clone()),
            step_gpus: devices::union(&self.step_gpus, &other.step_gpus),
        }
    }

    /// What only the info family shows.
    pub(super) fn details(&self) -> Details {
        let extra = [
            ("account", &self.account),
            ("partition", &self.partition),
            ("array_job_id", &self.array_job_id),
            ("array_task_id", &self.array_task_id),
        ];
        let told = extra.into_iter().filter(|(_, value)| !value.is_empty());
        Details {
            phase: self.phase.clone(),
            model: self.model.clone(),
            variant: self.variant.clone(),
            extra: told.map(|(name, value)| (name.into(), value.clone())).collect(),
            ..Details::default()
        }
    }
}

/// A text fit for a label: without control characters and spaces around it, and not too long.
pub(super) fn clean(text: &str) -> Box<str> {
    let kept: String = text.chars().filter(|c| !c.is_control()).take(MOST_BYTES).collect();
    let kept = kept.trim();
    let end = (0..=MOST_BYTES).rev().find(|&end| kept.is_char_boundary(end)).unwrap_or_default();
    kept.get(..end).unwrap_or(kept).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_what_can_be_printed() {
        assert_eq!(&*clean(" a\n\u{0}b\u{7f}\u{85} "), "ab");
        assert_eq!(&*clean("\u{1}"), "");
        assert_eq!(clean(&"x".repeat(300)).len(), 253);
        // 126 characters of two bytes are as many as fit.
        assert_eq!(clean(&"ä".repeat(300)).len(), 252);
    }

    #[test]
    fn only_what_is_known_stands_in_the_details() {
        let told = Told { partition: "gpu".into(), phase: "training".into(), ..Told::default() };
        let details = told.details();
        assert_eq!(details.extra, [("partition".into(), "gpu".into())]);
        assert_eq!(&*details.phase, "training");
        assert_eq!(Told::default().details(), Details::default());
    }
}
