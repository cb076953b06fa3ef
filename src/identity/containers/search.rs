//! One look at the files of all runtimes. What several containers share is read once.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::identity::containers::reading::{Reading, Seen};
use crate::identity::containers::storage::{Store, system_roots};
use crate::identity::containers::users::Users;
use crate::identity::containers::{Known, Processes, Wish, containerd, docker};
use crate::identity::files::HostRoot;
use crate::identity::{ContainerFacts, IdentityError, WantedOwner};
use crate::workloads::owner::{Owner, Runtime};

/// Users whose storages are read at one look.
const MOST_USERS: usize = 16;

/// A look.
pub(super) struct Search<'a> {
    reading: Reading<'a>,
    wish: &'a Wish,
    processes: &'a Processes,
    shared: Option<Shared>,
    /// The storages of users, by uid.
    homes: HashMap<u32, Store>,
}

/// What holds for all containers.
struct Shared {
    docker: Vec<PathBuf>,
    containerd: Vec<PathBuf>,
    storage: Store,
    users: Users,
    problem: Option<IdentityError>,
}

impl<'a> Search<'a> {
    pub(super) fn new(root: &'a HostRoot, wish: &'a Wish, processes: &'a Processes) -> Self {
        Self { reading: Reading::new(root), wish, processes, shared: None, homes: HashMap::new() }
    }

    /// Whether any of these files is another one by now.
    pub(super) fn has_changed(&mut self, seen: &[Seen]) -> bool {
        self.reading.has_changed(seen)
    }

    /// What the runtimes say of a container, and the files that say so.
    ///
    /// # Errors
    /// Nobody knows it; with what couldn't be read, if anything.
    pub(super) fn find(
        &mut self,
        id: &str,
        pod_uid: &str,
        wanted: &WantedOwner,
    ) -> Result<(Known, Vec<Seen>), Option<IdentityError>> {
        let pids = &wanted.pids;
        let (reading, wish) = (&mut self.reading, self.wish);
        let shared = self.shared.get_or_insert_with(|| Shared::read(reading));
        reading.begin();
        let found = docker::find(reading, &shared.docker, id, wish)
            .or_else(|| containerd::find(reading, &shared.containerd, id, wish))
            .or_else(|| shared.storage.find(reading, id, wish))
            .or_else(|| {
                // Only podman runs without root, and its cgroups say so or nothing.
                let may_be_users = matches!(
                    &*wanted.owner,
                    Owner::Container { runtime: Runtime::Podman | Runtime::Unknown, .. }
                );
                let uids = if may_be_users { self.processes.uids(pids) } else { Vec::new() };
                of_users(reading, shared, &mut self.homes, id, &uids, wish)
            });
        if let Some(known) = found {
            return Ok((known, reading.take_seen()));
        }
        if !pod_uid.is_empty() && self.processes.only_pause(pids) {
            let facts = ContainerFacts { is_sandbox: true, ..ContainerFacts::default() };
            return Ok((Known { facts, ..Known::default() }, Vec::new()));
        }
        Err(reading.take_problem().or_else(|| shared.problem.clone()))
    }
}

impl Shared {
    fn read(reading: &mut Reading<'_>) -> Self {
        reading.begin();
        let (docker, containerd) = (docker::roots(reading), containerd::namespaces(reading));
        let (graph_root, run_root) = system_roots(reading);
        let users = Users::read(reading);
        reading.take_seen();
        let storage = Store::open(reading, graph_root, run_root);
        Self { docker, containerd, storage, users, problem: reading.take_problem() }
    }
}

/// What the storage of the user says whose processes these are. Nobody else's: users write there what they like, and must
/// not name what isn't theirs.
fn of_users(
    reading: &mut Reading<'_>,
    shared: &Shared,
    homes: &mut HashMap<u32, Store>,
    id: &str,
    uids: &[u32],
    wish: &Wish,
) -> Option<Known> {
    uids.iter().filter_map(|uid| shared.users.owner(*uid)).find_map(|(uid, home)| {
        if homes.len() >= MOST_USERS && !homes.contains_key(&uid) {
            return None;
        }
        reading.as_user(uid, |reading| {
            let store = homes.entry(uid).or_insert_with(|| {
                let graph_root = home.join(".local/share/containers/storage");
                let run_root = PathBuf::from(format!("/run/user/{uid}/containers"));
                Store::open(reading, graph_root, run_root)
            });
            let found = store.find(reading, id, wish)?;
            // A user's word names, and gives nothing away.
            let facts = ContainerFacts { is_sandbox: false, ..found.facts };
            Some(Known { facts, pod: None, gpus: Vec::new() })
        })
    })
}
