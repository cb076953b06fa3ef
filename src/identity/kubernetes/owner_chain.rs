//! What made a pod, at the top.
//!
//! A pod names only what made it directly, and nothing else may be asked for: the daemon may read pods, nothing more. But
//! the names of two kinds tell what made these in turn. A Deployment calls its ReplicaSets by its own name and the hash that
//! their pods have in the label `pod-template-hash`; a CronJob calls its Jobs by its own name and the minute for which they
//! were due (kubernetes/kubernetes, pkg/controller/deployment/sync.go and pkg/controller/cronjob/utils.go, since 1.21).

use jiff::Timestamp;

use super::pod::Metadata;

const TEMPLATE_HASH: &str = "pod-template-hash";
/// How much later than it was due a pod of a CronJob may be made: Jobs may be queued, and their pods are made anew after
/// they failed. In seconds.
const LATEST: i64 = 7 * 24 * 3600;
/// How far clocks may be apart, in seconds.
const SKEW: i64 = 300;

/// The kind and name of what controls a pod, as far up as can be told; empty where nothing does.
pub(super) fn top_owner(pod: &Metadata) -> (&str, &str) {
    let Some(owner) = pod.owner_references.iter().find(|owner| owner.controller && !owner.name.is_empty())
    else {
        return ("", "");
    };
    let (kind, name) = (owner.kind.as_str(), owner.name.as_str());
    match kind {
        "ReplicaSet" => deployment(pod, name).map_or((kind, name), |name| ("Deployment", name)),
        "Job" => cron_job(pod, name).map_or((kind, name), |name| ("CronJob", name)),
        _ => (kind, name),
    }
}

fn deployment<'a>(pod: &Metadata, replica_set: &'a str) -> Option<&'a str> {
    let hash = pod.labels.get(TEMPLATE_HASH).filter(|hash| !hash.is_empty())?;
    let name = replica_set.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    Some(name).filter(|name| !name.is_empty())
}

fn cron_job<'a>(pod: &Metadata, job: &'a str) -> Option<&'a str> {
    let (name, minutes) = job.rsplit_once('-')?;
    if name.is_empty() || minutes.starts_with('0') || !minutes.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let due = minutes.parse::<i64>().ok()?.checked_mul(60)?;
    let made = pod.creation_timestamp.parse::<Timestamp>().ok()?.as_second();
    let delay = made.checked_sub(due)?;
    (-SKEW..=LATEST).contains(&delay).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::kubernetes::pod::OwnerReference;

    /// 2026-03-01T10:00:00Z is minute 29,539,320 since the epoch.
    const MADE: &str = "2026-03-01T10:00:03Z";

    fn pod(kind: &str, name: &str, hash: &str, made: &str) -> Metadata {
        Metadata {
            creation_timestamp: made.to_owned(),
            labels: [(TEMPLATE_HASH.to_owned(), hash.to_owned())].into(),
            owner_references: vec![
                OwnerReference { kind: "Stranger".into(), name: "x".into(), controller: false },
                OwnerReference { kind: kind.into(), name: name.into(), controller: true },
            ],
            ..Metadata::default()
        }
    }

    #[test]
    fn owners_are_told_as_far_up_as_names_tell() {
        for (kind, name, hash, made, expected) in [
            ("ReplicaSet", "web-6f7d8c9b5", "6f7d8c9b5", MADE, ("Deployment", "web")),
            ("ReplicaSet", "web-6f7d8c9b5", "", MADE, ("ReplicaSet", "web-6f7d8c9b5")),
            ("ReplicaSet", "web-6f7d8c9b5", "other", MADE, ("ReplicaSet", "web-6f7d8c9b5")),
            ("ReplicaSet", "web6f7d8c9b5", "6f7d8c9b5", MADE, ("ReplicaSet", "web6f7d8c9b5")),
            ("ReplicaSet", "-6f7d8c9b5", "6f7d8c9b5", MADE, ("ReplicaSet", "-6f7d8c9b5")),
            ("Job", "backup-29539320", "", MADE, ("CronJob", "backup")),
            ("Job", "back-up-29539320", "", MADE, ("CronJob", "back-up")),
            // Somebody's own number: it was never due.
            ("Job", "backup-7", "", MADE, ("Job", "backup-7")),
            ("Job", "backup-20260301", "", MADE, ("Job", "backup-20260301")),
            ("Job", "backup-29539330", "", MADE, ("Job", "backup-29539330")),
            ("Job", "backup-29529239", "", MADE, ("Job", "backup-29529239")),
            ("Job", "backup-029539320", "", MADE, ("Job", "backup-029539320")),
            ("Job", "backup-29539320", "", "", ("Job", "backup-29539320")),
            ("Job", "backup-29539320", "", "soon", ("Job", "backup-29539320")),
            ("Job", "backup-99999999999999999999", "", MADE, ("Job", "backup-99999999999999999999")),
            ("Job", "backup", "", MADE, ("Job", "backup")),
            ("Job", "-29539320", "", MADE, ("Job", "-29539320")),
            ("StatefulSet", "db", "", MADE, ("StatefulSet", "db")),
            ("DaemonSet", "agent", "", MADE, ("DaemonSet", "agent")),
            ("Node", "n1", "", MADE, ("Node", "n1")),
            ("RayCluster", "ray-29539320", "", MADE, ("RayCluster", "ray-29539320")),
            ("ReplicaSet", "", "", MADE, ("", "")),
        ] {
            assert_eq!(top_owner(&pod(kind, name, hash, made)), expected, "{kind} {name} {hash} {made}");
        }
        let mut uncontrolled = pod("Job", "x", "", MADE);
        uncontrolled.owner_references.truncate(1);
        assert_eq!(top_owner(&uncontrolled), ("", ""));
        assert_eq!(top_owner(&Metadata::default()), ("", ""));
    }
}
