//! Who is there: what the sampler tells those that look for names.

use std::sync::Arc;

use crate::workloads::owner::Owner;

/// A live owner that may have a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedOwner {
    /// Who it is.
    pub owner: Arc<Owner>,
    /// Some of its processes, lowest pids first; at most [`Wanted::MOST_PIDS`], in the pid namespace of the daemon's procfs.
    pub pids: Vec<u32>,
    /// Whether it has all the names that its labels should hold.
    pub is_named: bool,
}

/// The owners that are there: containers, pods, jobs and VMs; no units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Rises whenever somebody comes, goes or gets a name, or shows other processes without having one.
    pub generation: u64,
    /// The owners.
    pub owners: Vec<WantedOwner>,
}

impl Wanted {
    /// Processes that are told of one owner, at most.
    pub const MOST_PIDS: usize = 8;

    /// The containers with an id: the id, the UID of the pod (empty outside Kubernetes), and the entry.
    pub fn containers(&self) -> impl Iterator<Item = (&str, &str, &WantedOwner)> {
        self.owners.iter().filter_map(|wanted| match &*wanted.owner {
            Owner::Container { id, pod_uid, .. } if !id.is_empty() => Some((&**id, &**pod_uid, wanted)),
            _ => None,
        })
    }

    /// Whether anybody has no name yet.
    pub fn lacks_names(&self) -> bool {
        self.owners.iter().any(|wanted| !wanted.is_named)
    }
}
