//! Names of containers from the files that their runtimes keep.
//!
//! The sockets of container runtimes give whoever can write to them the whole machine, so none is used. What the runtimes
//! leave on disk for themselves can be read without any of that: names, images, labels, the pod, and which GPUs were given.
//! A container is looked up by its whole id when it shows up, and again now and then, as people rename containers.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::files::HostRoot;
use crate::identity::{
    Allocation, Allocations, Allotter, Assignee, ContainerFacts, DeviceName, IdentityError, Job, Look,
    NameBoard, NameSource, OwnerNames, PodFacts,
};

mod bolt;
mod containerd;
mod crio;
mod docker;
mod gpus;
mod kubernetes;
mod podman;
mod podman_db;
mod processes;
mod reading;
mod search;
mod storage;
mod tags;
mod users;

#[cfg(test)]
mod tests;

use processes::Processes;
use reading::Seen;
use search::Search;
pub use tags::Wish;

/// How often the files of known containers are read again if they changed: a rename is seen well within a minute.
const PERIOD: Duration = Duration::from_secs(30);
/// For so many full looks, those who are gone keep their names: their series are still shown.
const REMEMBER: u32 = 40;
/// So many who are gone keep their names, at most.
const MOST_GONE: usize = 10_000;
/// How often one container is looked for between two full looks.
const MOST_TRIES: u8 = 6;

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The host's root.
    pub rootfs: PathBuf,
    /// The procfs of those pids that [`crate::identity::WantedOwner`] holds.
    pub procfs: PathBuf,
}

/// Looks for the names of containers in their runtimes' files.
pub fn job(places: Places, wish: Wish) -> Job {
    let mut names = ContainerNames::new(places, wish);
    Job { name: "containers", period: PERIOD, look: Box::new(move |look, board| names.look(look, board)) }
}

/// What a runtime says of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    facts: ContainerFacts,
    /// Its pod, where it is one of Kubernetes.
    pod: Option<PodFacts>,
    gpus: Vec<DeviceName>,
}

/// What is remembered of one container.
#[derive(Debug)]
struct Entry {
    facts: Arc<ContainerFacts>,
    pod: Option<Arc<PodFacts>>,
    /// The UID in the container's cgroup.
    pod_uid: Box<str>,
    gpus: Vec<DeviceName>,
    /// The files that say so.
    seen: Vec<Seen>,
    /// Full looks since it was there.
    gone_for: u32,
}

/// All containers that were looked for.
#[derive(Debug)]
struct ContainerNames {
    root: HostRoot,
    processes: Processes,
    wish: Wish,
    /// By full id.
    known: HashMap<Box<str>, Entry>,
    /// How often those were looked for since the last full look of whom nobody knows anything.
    tries: HashMap<Box<str>, u8>,
}

impl ContainerNames {
    fn new(places: Places, wish: Wish) -> Self {
        let (root, processes) = (HostRoot::new(places.rootfs), Processes::new(places.procfs));
        Self { root, processes, wish, known: HashMap::new(), tries: HashMap::new() }
    }

    fn look(&mut self, look: Look<'_>, board: &NameBoard) -> Result<(), IdentityError> {
        let mut search = Search::new(&self.root, &self.wish, &self.processes);
        let mut problem = None;
        if look.is_full {
            self.tries.clear();
        }
        for entry in self.known.values_mut() {
            entry.gone_for = entry.gone_for.saturating_add(u32::from(look.is_full));
        }
        for (id, pod_uid, wanted) in look.wanted.containers() {
            if !is_whole_id(id) {
                continue;
            }
            let known = self.known.get_mut(id);
            let is_due = match &known {
                // What only its processes told may be otherwise by now.
                Some(entry) if entry.is_named() => {
                    look.is_full && (entry.seen.is_empty() || search.has_changed(&entry.seen))
                }
                // Somebody else named it, or nobody can: either way it isn't looked for time and again.
                _ if !look.is_full => {
                    let tries = self.tries.entry(id.into()).or_default();
                    *tries = tries.saturating_add(1);
                    !wanted.is_named && *tries <= MOST_TRIES
                }
                _ => true,
            };
            if let Some(entry) = known {
                entry.gone_for = 0;
            }
            if !is_due {
                continue;
            }
            match search.find(id, pod_uid, wanted) {
                // What was known stays known while its file can't be read; a guess doesn't outdo it, and lasts no longer than
                // what it was made of.
                Ok((_, seen))
                    if seen.is_empty() && self.known.get(id).is_some_and(|entry| !entry.seen.is_empty()) => {}
                Ok((found, seen)) => learn(&mut self.known, id, pod_uid, found, seen),
                Err(error) => {
                    if self.known.get(id).is_some_and(|entry| entry.seen.is_empty()) {
                        self.known.remove(id);
                    }
                    problem = problem.or(error);
                }
            }
        }
        self.forget();
        board.set_owners(NameSource::Runtimes, self.names());
        board.set_allocations(Allotter::Containers, self.allocations());
        problem.map_or(Ok(()), Err)
    }

    /// Forgets those who are gone for long, and the longest gone where they are too many.
    fn forget(&mut self) {
        self.known.retain(|_, entry| entry.gone_for <= REMEMBER);
        let mut gone: Vec<u32> =
            self.known.values().map(|entry| entry.gone_for).filter(|looks| *looks > 0).collect();
        if gone.len() > MOST_GONE {
            gone.sort_unstable();
            let most = gone.get(MOST_GONE).copied().unwrap_or(REMEMBER);
            self.known.retain(|_, entry| entry.gone_for < most.max(1));
        }
    }

    fn names(&self) -> OwnerNames {
        let containers =
            self.known.iter().map(|(id, entry)| (id.clone(), Arc::clone(&entry.facts))).collect();
        // The sandbox knows most of a pod; of several others always the same one speaks for it.
        let mut pods: BTreeMap<&str, (bool, &str, &Arc<PodFacts>)> = BTreeMap::new();
        for (id, entry) in &self.known {
            let Some(pod) = &entry.pod else { continue };
            let candidate = (!entry.facts.is_sandbox, &**id, pod);
            let best = pods.entry(&entry.pod_uid).or_insert(candidate);
            if (candidate.0, candidate.1) < (best.0, best.1) {
                *best = candidate;
            }
        }
        let pods = pods.into_iter().map(|(uid, (_, _, pod))| (uid.into(), Arc::clone(pod))).collect();
        OwnerNames { containers, pods }
    }

    /// What those have who are there.
    fn allocations(&self) -> Allocations {
        let live = self.known.iter().filter(|(_, entry)| entry.gone_for == 0);
        let mut given: Vec<Allocation> = live
            .flat_map(|(id, entry)| {
                let to = Assignee::Container(id.clone());
                entry.gpus.iter().map(move |device| Allocation {
                    to: to.clone(),
                    device: device.clone(),
                    replicas: 1,
                })
            })
            .collect();
        given.sort_unstable();
        Allocations { given, replicas: Vec::new() }
    }
}

/// Takes in what a runtime said. What is the same stays where it is.
fn learn(known: &mut HashMap<Box<str>, Entry>, id: &str, pod_uid: &str, found: Known, seen: Vec<Seen>) {
    let old = known.get(id);
    let facts = old.map(|entry| &entry.facts).filter(|facts| ***facts == found.facts);
    let facts = facts.map_or_else(|| Arc::new(found.facts), Arc::clone);
    let pod = found.pod.filter(|_| !pod_uid.is_empty()).map(|pod| {
        let same = old.and_then(|entry| entry.pod.as_ref()).filter(|same| ***same == pod);
        same.map_or_else(|| Arc::new(pod), Arc::clone)
    });
    // In a pod it is the kubelet that gives GPUs away.
    let gpus = if pod_uid.is_empty() { found.gpus } else { Vec::new() };
    let entry = Entry { facts, pod, pod_uid: pod_uid.into(), gpus, seen, gone_for: 0 };
    known.insert(id.into(), entry);
}

impl Entry {
    /// Whether there is nothing left to find out.
    fn is_named(&self) -> bool {
        !self.facts.container.is_empty() || self.facts.is_sandbox
    }
}

/// Only whole ids are looked for: short ones may be several containers', and others aren't safe to make a path of.
fn is_whole_id(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
