//! Where every source puts what it learned, and where the sampler finds it. Nobody ever waits for anybody.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::identity::{Allocations, ContainerFacts, Facts, JobFacts, PodFacts, VmFacts, Wanted};
use crate::meters::CollectorOutcome;
use crate::workloads::owner::{JobManager, Owner};

/// Containers by full id, and pods by the UID that their cgroups have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerNames {
    /// Containers by full id.
    pub containers: HashMap<Box<str>, Arc<ContainerFacts>>,
    /// Pods by the UID in their cgroups' names, with dashes.
    pub pods: HashMap<Box<str>, Arc<PodFacts>>,
}

/// Jobs by batch system and id.
pub type JobNames = HashMap<(JobManager, Box<str>), Arc<JobFacts>>;
/// VMs by the name in their cgroups.
pub type VmNames = HashMap<Box<str>, Arc<VmFacts>>;

/// Those that know containers and pods; of two that know the same, the earlier one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// The orchestrator: API server, kubelet or what the kubelet leaves on disk.
    Kubernetes,
    /// The container runtimes' own files.
    Runtimes,
}

/// Those that give GPUs away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allotter {
    /// The kubelet, through its pod-resources socket.
    Kubelet,
    /// The environment of containers (`NVIDIA_VISIBLE_DEVICES`).
    Containers,
    /// Batch systems.
    Jobs,
}

/// The latest word of every source.
#[derive(Debug, Default)]
pub struct NameBoard {
    owners: [ArcSwap<OwnerNames>; 2],
    jobs: ArcSwap<JobNames>,
    vms: ArcSwap<VmNames>,
    allocations: [ArcSwap<Allocations>; 3],
    wanted: ArcSwap<Wanted>,
    outcomes: [ArcSwapOption<CollectorOutcome>; COLLECTORS.len()],
}

/// The collectors of this room.
const COLLECTORS: [&str; 5] = ["kubernetes", "podresources", "containers", "jobs", "vms"];

impl NameBoard {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another board with the same words on it: whoever still holds this one can't change that one.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self {
            owners: self.owners.each_ref().map(|cell| ArcSwap::new(cell.load_full())),
            jobs: ArcSwap::new(self.jobs.load_full()),
            vms: ArcSwap::new(self.vms.load_full()),
            allocations: self.allocations.each_ref().map(|cell| ArcSwap::new(cell.load_full())),
            wanted: ArcSwap::new(self.wanted.load_full()),
            outcomes: self.outcomes.each_ref().map(|cell| ArcSwapOption::new(cell.load_full())),
        }
    }

    /// Replaces what a source knows of containers and pods.
    pub fn set_owners(&self, source: NameSource, names: OwnerNames) {
        let [kubernetes, runtimes] = &self.owners;
        let cell = match source {
            NameSource::Kubernetes => kubernetes,
            NameSource::Runtimes => runtimes,
        };
        // Whoever looks at the board compares by pointer, so only a change is put there.
        if **cell.load() != names {
            cell.store(Arc::new(names));
        }
    }

    /// Replaces what is known of jobs.
    pub fn set_jobs(&self, names: JobNames) {
        if **self.jobs.load() != names {
            self.jobs.store(Arc::new(names));
        }
    }

    /// Replaces what is known of VMs.
    pub fn set_vms(&self, names: VmNames) {
        if **self.vms.load() != names {
            self.vms.store(Arc::new(names));
        }
    }

    /// Replaces what a source says of GPUs that were given away.
    pub fn set_allocations(&self, allotter: Allotter, allocations: Allocations) {
        let [kubelet, containers, jobs] = &self.allocations;
        let cell = match allotter {
            Allotter::Kubelet => kubelet,
            Allotter::Containers => containers,
            Allotter::Jobs => jobs,
        };
        if **cell.load() != allocations {
            cell.store(Arc::new(allocations));
        }
    }

    /// Says how a collector of this room fared.
    pub fn set_outcome(&self, outcome: CollectorOutcome) {
        let at = COLLECTORS.iter().position(|name| *name == outcome.name);
        if let Some(cell) = at.and_then(|at| self.outcomes.get(at)) {
            cell.store(Some(Arc::new(outcome)));
        }
    }

    /// How the collectors of this room fared that are at work.
    pub fn outcomes(&self) -> impl Iterator<Item = Arc<CollectorOutcome>> + '_ {
        self.outcomes.iter().filter_map(ArcSwapOption::load_full)
    }

    /// Says who is there.
    pub fn want(&self, wanted: Wanted) {
        self.wanted.store(Arc::new(wanted));
    }

    /// Who is there.
    pub fn wanted(&self) -> Arc<Wanted> {
        self.wanted.load_full()
    }

    /// Everything that is known now.
    pub fn names(&self) -> Names {
        Names {
            owners: self.owners.each_ref().map(ArcSwap::load_full),
            jobs: self.jobs.load_full(),
            vms: self.vms.load_full(),
            allocations: self.allocations.each_ref().map(ArcSwap::load_full),
        }
    }
}

/// Everything that is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Names {
    owners: [Arc<OwnerNames>; 2],
    jobs: Arc<JobNames>,
    vms: Arc<VmNames>,
    allocations: [Arc<Allocations>; 3],
}

impl Names {
    /// Whether nothing was put on the board between the two.
    pub fn is_same(&self, other: &Self) -> bool {
        let same_owners = self.owners.iter().zip(&other.owners).all(|(one, two)| Arc::ptr_eq(one, two));
        same_owners
            && Arc::ptr_eq(&self.jobs, &other.jobs)
            && Arc::ptr_eq(&self.vms, &other.vms)
            && self.has_same_allocations(other)
    }

    /// Whether no allocation was put on the board between the two.
    pub fn has_same_allocations(&self, other: &Self) -> bool {
        self.allocations.iter().zip(&other.allocations).all(|(one, two)| Arc::ptr_eq(one, two))
    }

    /// All that sources say of an owner.
    pub fn find(&self, owner: &Owner) -> Found {
        match owner {
            Owner::Container { id, pod_uid, .. } => {
                let pod = self.pod(pod_uid).filter(|_| !pod_uid.is_empty());
                Found::Container(self.owners.each_ref().map(|names| names.containers.get(id).cloned()), pod)
            }
            Owner::Pod { pod_uid } => Found::Pod(self.pod(pod_uid)),
            Owner::Job { manager, id, .. } => Found::Job(self.jobs.get(&(*manager, id.clone())).cloned()),
            Owner::Vm { name } => Found::Vm(self.vms.get(name).cloned()),
            Owner::Unit { .. } | Owner::System => Found::Nothing,
        }
    }

    /// What was given away, by whoever gave it: the kubelet, batch systems, containers' environments. Of two that say
    /// different things of one holder of one slice of a card the earlier one is right.
    pub fn allocations(&self) -> impl Iterator<Item = &Allocations> {
        let [kubelet, containers, jobs] = &self.allocations;
        [kubelet, jobs, containers].into_iter().map(|allocations| &**allocations)
    }

    fn pod(&self, pod_uid: &str) -> Option<Arc<PodFacts>> {
        self.owners.iter().find_map(|names| names.pods.get(pod_uid)).cloned()
    }
}

/// All that sources say of one owner.
#[derive(Clone, Debug, Default)]
pub enum Found {
    /// Of a container, the preferred source first, and of its pod.
    Container([Option<Arc<ContainerFacts>>; 2], Option<Arc<PodFacts>>),
    /// Of a pod.
    Pod(Option<Arc<PodFacts>>),
    /// Of a job.
    Job(Option<Arc<JobFacts>>),
    /// Of a VM.
    Vm(Option<Arc<VmFacts>>),
    /// The owner is none that anybody names.
    #[default]
    Nothing,
}

impl Found {
    /// Whether sources said nothing new in between. Words are compared by where they are: a source that has nothing new to
    /// say of an owner leaves what it said where it is.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Container([a, b], c), Self::Container([d, e], f)) => {
                same(a, d) && same(b, e) && same(c, f)
            }
            (Self::Pod(one), Self::Pod(two)) => same(one, two),
            (Self::Job(one), Self::Job(two)) => same(one, two),
            (Self::Vm(one), Self::Vm(two)) => same(one, two),
            (Self::Nothing, Self::Nothing) => true,
            _ => false,
        }
    }

    /// What that makes together.
    pub fn facts(&self) -> Option<Facts> {
        match self {
            Self::Container(known, pod) => container(known, pod.as_deref()).map(Facts::Container),
            Self::Pod(pod) => pod.clone().map(Facts::Pod),
            Self::Job(job) => job.clone().map(Facts::Job),
            Self::Vm(vm) => vm.clone().map(Facts::Vm),
            Self::Nothing => None,
        }
    }
}

fn same<T>(one: &Option<Arc<T>>, two: &Option<Arc<T>>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => Arc::ptr_eq(one, two),
        (None, None) => true,
        _ => false,
    }
}

fn container(
    known: &[Option<Arc<ContainerFacts>>; 2],
    pod: Option<&PodFacts>,
) -> Option<Arc<ContainerFacts>> {
    let facts = match known {
        [Some(first), Some(second)] => Some(Arc::new(first.or(second))),
        [Some(only), None] | [None, Some(only)] => Some(Arc::clone(only)),
        [None, None] => None,
    };
    let Some(pod) = pod else { return facts };
    // The pod is known before its container is, and what holds of the pod holds of its containers.
    let of_pod = ContainerFacts {
        namespace: pod.namespace.clone(),
        pod: pod.pod.clone(),
        details: pod.details.clone(),
        ..ContainerFacts::default()
    };
    Some(Arc::new(facts.map_or_else(|| of_pod.clone(), |facts| facts.or(&of_pod))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, pod_uid: &str) -> Owner {
        let runtime = crate::workloads::owner::Runtime::Unknown;
        Owner::Container { runtime, id: id.into(), name: "".into(), pod_uid: pod_uid.into() }
    }

    #[test]
    fn a_container_is_what_all_sources_say_together() {
        let board = NameBoard::new();
        let web = ContainerFacts { container: "web".into(), ..ContainerFacts::default() };
        let seen =
            ContainerFacts { container: "k8s_web".into(), is_sandbox: true, ..ContainerFacts::default() };
        let pod = PodFacts { namespace: "shop".into(), pod: "web-0".into(), ..PodFacts::default() };
        board.set_owners(
            NameSource::Kubernetes,
            OwnerNames {
                containers: [("c1".into(), Arc::new(web))].into(),
                pods: [("u-1".into(), Arc::new(pod))].into(),
            },
        );
        board.set_owners(
            NameSource::Runtimes,
            OwnerNames { containers: [("c1".into(), Arc::new(seen))].into(), ..OwnerNames::default() },
        );
        let names = board.names();
        let Some(Facts::Container(facts)) = names.find(&container("c1", "u-1")).facts() else {
            panic!("not found")
        };
        assert_eq!((&*facts.namespace, &*facts.pod, &*facts.container), ("shop", "web-0", "web"));
        assert!(!facts.is_sandbox);
        let Some(Facts::Container(facts)) = names.find(&container("c2", "u-1")).facts() else {
            panic!("not found")
        };
        assert_eq!((&*facts.pod, &*facts.container), ("web-0", ""));
        assert_eq!(names.find(&container("c2", "")).facts(), None);
    }

    #[test]
    fn the_same_word_twice_is_no_change() {
        let board = NameBoard::new();
        let before = board.names();
        board.set_vms(VmNames::new());
        board.set_allocations(Allotter::Jobs, Allocations::default());
        assert!(before.is_same(&board.names()));
        board.set_vms([("a".into(), Arc::default())].into());
        assert!(!before.is_same(&board.names()));
        assert!(before.has_same_allocations(&board.names()));
    }
}
