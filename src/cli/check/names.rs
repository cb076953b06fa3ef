//! Who looks for names and GPU allocations here, and how many of those who are there have a name.

use crate::cli::check::Finding;
use crate::config::Settings;
use crate::identity::Workers;
use crate::snapshot::{SetupProblem, Snapshot};
use crate::workloads::owner::{Owner, OwnerKind};

/// Answers only where there is a kubelet.
const ONLY_WITH_A_KUBELET: &str = "podresources";

/// Whether all that are at work have said something.
pub(super) fn have_answered(workers: &Workers, snapshot: &Snapshot) -> bool {
    let answers = |name: &str| snapshot.collectors.iter().any(|status| status.collector == name);
    workers.names().iter().all(|name| *name == ONLY_WITH_A_KUBELET || answers(name))
}

/// All collectors of names, `at_work` or not, and what came of it.
pub(super) fn names(settings: &Settings, at_work: &[&str], snapshot: &Snapshot) -> Vec<Finding> {
    let on = &settings.collector;
    let collectors = [
        ("kubernetes", on.kubernetes),
        (ONLY_WITH_A_KUBELET, on.podresources),
        ("containers", on.containers),
        ("jobs", on.jobs),
        ("vms", on.vms),
    ];
    let mut findings = Vec::new();
    let rootfs = &settings.path.rootfs;
    if snapshot.setup_problems.contains(&SetupProblem::Rootfs) {
        findings.push(super::findings::no_directory("rootfs", rootfs, "/"));
    }
    for (name, is_on) in collectors {
        let status = snapshot.collectors.iter().find(|status| status.collector == name);
        findings.push(match status {
            _ if !is_on => super::findings::switched_off(name),
            None if name == ONLY_WITH_A_KUBELET
                && snapshot.setup_problems.contains(&SetupProblem::PodResources) =>
            {
                Finding::bad(
                    name,
                    "there are pods and GPUs, but no pod-resources socket: GPUs that a pod holds and doesn't use \
                     can't be told",
                    "mount the kubelet's directory of this socket (/var/lib/kubelet/pod-resources) below \
                     path.rootfs, or set kubernetes.pod_resources",
                )
            }
            None if name == ONLY_WITH_A_KUBELET => {
                Finding::good(name, "there is no pod-resources socket here")
            }
            None if !at_work.contains(&name) => {
                Finding::good(name, "neither an API server nor the kubelet's logs are known here")
            }
            None => Finding::bad(name, "no answer yet", "try again; what is slow costs names, nothing else"),
            Some(status) if status.success => Finding::good(name, "can be read"),
            Some(status) => Finding {
                what: name.to_owned(),
                ok: false,
                text: status.detail.as_deref().unwrap_or("failed").to_owned(),
                remedy: status.remedy.map(str::to_owned),
            },
        });
    }
    let kinds = [(OwnerKind::Container, "containers"), (OwnerKind::Job, "jobs"), (OwnerKind::Vm, "VMs")];
    findings.extend(kinds.into_iter().filter_map(|(kind, noun)| count(snapshot, kind, noun)));
    findings
}

/// How many live owners of a family there are, and how many of them have a name; nothing where there is none.
fn count(snapshot: &Snapshot, kind: OwnerKind, noun: &str) -> Option<Finding> {
    let of_kind = |owner: &Owner| owner.kind() == kind && !matches!(owner, Owner::Pod { .. });
    let all = snapshot.workloads.iter().filter(|totals| !totals.ended && of_kind(&totals.owner));
    let (mut there, mut named) = (0_usize, 0_usize);
    for totals in all {
        there += 1;
        let has_name_in_path = match &*totals.owner {
            Owner::Container { name, .. } => !name.is_empty(),
            owner => matches!(owner, Owner::Vm { .. }),
        };
        let is_named = totals.facts.as_ref().is_some_and(|facts| facts.names(&totals.owner));
        named += usize::from(has_name_in_path || is_named);
    }
    if there == 0 {
        return None;
    }
    let text = format!("{there} are there, {named} have a name");
    Some(if named == there {
        Finding::good(noun, text)
    } else {
        Finding::bad(
            noun,
            text,
            "the others are shown by their ids; docs/names.md says who can tell names, and which directories of the \
             host to mount read-only below --path.rootfs in a container",
        )
    })
}
