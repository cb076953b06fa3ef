//! Names of batch jobs: what a prolog script wrote of them, what their batch system tells them in their environment, and
//! who they run as.
//!
//! A job is known by its cgroup, which holds its id. Everything else is learned here: the directory of jobs speaks first,
//! then the environment, then the copy of the script that slurmd keeps.

mod devices;
mod directory;
mod environment;
mod script;
mod told;
mod users;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Settings;
use crate::identity::files::HostRoot;
use crate::identity::{
    Allocation, Allocations, Allotter, Assignee, DeviceName, IdentityError, Job, JobFacts, Look, NameBoard,
    Wanted, WantedOwner,
};
use crate::workloads::owner::{JobManager, Owner};

use directory::{Directory, OnDevice};
use environment::Environment;
use told::Told;
use users::Users;

/// The collector.
const NAME: &str = "jobs";
/// How often everything is read again.
const PERIOD: Duration = Duration::from_secs(30);
/// So often a job's environment is looked for at once; from then on only when everything is read again.
const MOST_TRIES: u32 = 20;
/// So many looks a job may be without processes before its script is asked: they come a moment after its cgroup, and know
/// of options on the command line, which go before the script's.
const TRIES_WITHOUT_PROCESSES: u32 = 3;
/// Jobs that are remembered, ended ones included.
const MOST_KNOWN: usize = 10_000;

/// Looks for the names of batch jobs, and for the GPUs that they were given.
pub fn job(settings: &Settings) -> Job {
    let mut jobs = Jobs::new(
        HostRoot::new(&settings.path.rootfs),
        settings.path.procfs.clone(),
        settings.jobs.dir.clone(),
        settings.limits.retention,
    );
    Job { name: NAME, period: PERIOD, look: Box::new(move |look, board| jobs.look(look, board)) }
}

/// The label of what only the job itself says of its user.
const CLAIMED_USER: &str = "claimed_user";

/// The batch system and the id of a job.
type Key = (JobManager, Box<str>);

/// All that is known of jobs.
#[derive(Debug)]
struct Jobs {
    root: HostRoot,
    procfs: PathBuf,
    directory: Directory,
    users: Users,
    known: HashMap<Key, Known>,
    /// For so many full looks a job is remembered after its end: its series are shown for a while.
    keep: u32,
}

/// What is known of one job.
#[derive(Debug, Default)]
struct Known {
    file: Option<Told>,
    environment: Option<Told>,
    script: Option<Told>,
    uid: Option<u32>,
    /// What that makes together.
    facts: Arc<JobFacts>,
    /// What kept it from more.
    wrong: Option<IdentityError>,
    /// Whether it was there at the last look.
    is_here: bool,
    /// Looks that found no environment.
    tries: u32,
    /// Full looks since it was there.
    missed: u32,
}

/// Who of a job's processes could be asked.
enum Heard {
    /// None: there are none, or they are gone.
    Nobody,
    /// None, as the daemon has no right to.
    Denied(IdentityError),
    /// At least one.
    Somebody,
}

impl Jobs {
    fn new(root: HostRoot, procfs: PathBuf, directory: PathBuf, retention: Duration) -> Self {
        let looks = retention.as_secs().checked_div(PERIOD.as_secs()).unwrap_or_default();
        Self {
            root,
            procfs,
            directory: Directory::new(directory),
            users: Users::default(),
            known: HashMap::new(),
            // One look comes too early, and what ended is told a moment later.
            keep: u32::try_from(looks).unwrap_or(u32::MAX).saturating_add(2),
        }
    }

    fn look(&mut self, look: Look<'_>, board: &NameBoard) -> Result<(), IdentityError> {
        self.users.refresh(&self.root);
        let mut wrong = self.directory.open(&self.root).err();
        let (on_devices, wrong_there) = self.directory.on_devices(&self.root);
        wrong = wrong.or(wrong_there);
        let spools = OnceCell::new();
        let (mut here, mut given) = (HashMap::new(), Vec::new());
        for (key, path_uid, wanted) in live(look.wanted) {
            let known = here.remove(&key).or_else(|| self.known.remove(&key));
            // Whoever was away and is back is a new run of a job that was requeued: it may have been given other GPUs.
            let mut known: Known = known.filter(|known| known.is_here).unwrap_or_default();
            let is_new = !mem::replace(&mut known.is_here, true);
            let is_unheard = known.environment.is_none() && known.tries < MOST_TRIES;
            if look.is_full || is_new || !wanted.is_named || is_unheard {
                self.learn(&mut known, &key, path_uid, &wanted.pids, &spools);
            }
            known.missed = 0;
            wrong = wrong.or_else(|| known.wrong.clone());
            given.extend(devices_of(&known, &key, &on_devices).into_iter().map(|device| Allocation {
                to: Assignee::Job(key.0, key.1.clone()),
                device,
                replicas: 1,
            }));
            here.insert(key, known);
        }
        for gone in self.known.values_mut() {
            gone.is_here = false;
            gone.missed = gone.missed.saturating_add(u32::from(look.is_full));
        }
        self.known.extend(here);
        self.forget();
        let names = self.known.iter().filter(|(_, known)| *known.facts != JobFacts::default());
        board.set_jobs(names.map(|(key, known)| (key.clone(), Arc::clone(&known.facts))).collect());
        board.set_allocations(Allotter::Jobs, Allocations { given, replicas: Vec::new() });
        wrong.map_or(Ok(()), Err)
    }

    /// Reads all that can be read of one job. What isn't there any more stays known: a job's processes and its file go
    /// before its series do.
    fn learn(
        &self,
        known: &mut Known,
        (manager, id): &Key,
        path_uid: Option<u32>,
        pids: &[u32],
        spools: &OnceCell<Vec<PathBuf>>,
    ) {
        known.wrong = None;
        match self.directory.told(&self.root, *manager, id) {
            Ok(told) => known.file = told.or(known.file.take()),
            Err(error) => known.wrong = Some(error),
        }
        let heard = self.ask_processes(known, *manager, id, pids);
        if known.environment.is_none() {
            let is_silent = match &heard {
                Heard::Nobody => known.tries >= TRIES_WITHOUT_PROCESSES,
                Heard::Denied(_) => true,
                Heard::Somebody => false,
            };
            if is_silent && *manager == JobManager::Slurm {
                let spools = spools.get_or_init(|| script::spools(&self.root));
                known.script = script::told(&self.root, spools, id).or(known.script.take());
            }
            let is_named =
                [&known.file, &known.script].into_iter().flatten().any(|told| !told.job_name.is_empty());
            if let (Heard::Denied(error), false) = (heard, is_named) {
                known.wrong = known.wrong.take().or(Some(error));
            }
            known.tries = known.tries.saturating_add(1);
        }
        known.uid = path_uid.or(known.uid);
        let facts = self.facts(known);
        if *known.facts != facts {
            known.facts = Arc::new(facts);
        }
    }

    /// Reads what the job's processes were told, and as whom they run.
    fn ask_processes(&self, known: &mut Known, manager: JobManager, id: &str, pids: &[u32]) -> Heard {
        let mut heard = Heard::Nobody;
        let mut told: Option<Told> = None;
        let (mut own, mut somebody) = (None, None);
        for &pid in pids {
            let uid = || environment::uid_of(&self.procfs, pid);
            match Environment::of(&self.procfs, pid) {
                Ok(environment) => {
                    heard = Heard::Somebody;
                    if let Some(more) = environment.told(manager, id) {
                        // The lowest pid stands nearest to the batch system.
                        told = Some(told.map_or_else(|| more.clone(), |told| told.or(&more)));
                        own = own.or_else(uid);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let path = environment::place(&self.procfs, pid, "environ");
                    if matches!(heard, Heard::Nobody) {
                        heard = Heard::Denied(unreadable(&format!("{}: {error}", path.display())));
                    }
                }
                // It is gone.
                Err(_) => {}
            }
            // The batch system's own processes, which run as root, are among them.
            somebody = somebody.or_else(|| uid().filter(|uid| *uid != 0));
        }
        if let Some(mut told) = told {
            if let Some(before) = &known.environment {
                // What was given to the whole job was given at its start; whoever says otherwise later is its user.
                // Steps come one after another.
                told.gpus = before.gpus.clone().or(told.gpus);
                told = told.or(before);
            }
            known.environment = Some(told);
        }
        known.uid = own.or(known.uid).or(somebody);
        heard
    }

    fn facts(&self, known: &Known) -> JobFacts {
        let told = [&known.file, &known.environment, &known.script];
        let told = told.into_iter().flatten().fold(Told::default(), |all, told| all.or(told));
        let mut facts = JobFacts {
            job_name: told.job_name.clone(),
            user: known.uid.map(|uid| uid.to_string()).unwrap_or_default().into(),
            details: told.details(),
        };
        let by_file = known.file.as_ref().map(|file| &*file.user).filter(|name| !name.is_empty());
        let claimed = known.environment.as_ref().map(|environment| &environment.user);
        if let Some(name) = by_file.or_else(|| self.users.name(known.uid?)) {
            facts.user = name.into();
        } else if let Some(claimed) = claimed.filter(|name| !name.is_empty()) {
            // A job can say anything of its user, and the name would stand on its energy.
            facts.details.extra.push((CLAIMED_USER.into(), claimed.clone()));
        }
        facts
    }

    /// Forgets jobs that nobody asks for any more.
    fn forget(&mut self) {
        let keep = self.keep;
        self.known.retain(|_, known| known.missed <= keep);
        let surplus = self.known.len().saturating_sub(MOST_KNOWN);
        if surplus > 0 {
            let mut by_age: Vec<_> =
                self.known.iter().map(|(key, known)| (known.missed, key.clone())).collect();
            by_age.sort_unstable();
            for (_, key) in by_age.into_iter().rev().take(surplus) {
                self.known.remove(&key);
            }
        }
    }
}

/// The jobs that are there.
fn live(wanted: &Wanted) -> impl Iterator<Item = (Key, Option<u32>, &WantedOwner)> {
    wanted.owners.iter().filter_map(|wanted| match &*wanted.owner {
        Owner::Job { manager, id, uid } => Some(((*manager, id.clone()), *uid, wanted)),
        _ => None,
    })
}

/// The GPUs of a job: what its file says, else the files of the GPUs, else its environment.
fn devices_of(known: &Known, (manager, id): &Key, on_devices: &[OnDevice]) -> Vec<DeviceName> {
    if let Some(devices) = known.file.as_ref().and_then(|file| file.gpus.clone()) {
        return devices;
    }
    let is_own = |name: &String| match manager {
        JobManager::Pbs => environment::is_same_pbs_job(name, id),
        JobManager::Slurm | JobManager::Lsf => **name == **id,
    };
    let listed = on_devices.iter().filter(|(_, jobs)| jobs.iter().any(is_own));
    let listed: Vec<_> = listed.map(|(device, _)| device.clone()).collect();
    if !listed.is_empty() {
        return listed;
    }
    let environment = known.environment.as_ref();
    environment.map(|told| told.gpus.clone().unwrap_or_else(|| told.step_gpus.clone())).unwrap_or_default()
}

fn unreadable(detail: &str) -> IdentityError {
    IdentityError::new("the environment of jobs can't be read", detail).remedy(
        "run the daemon as root with CAP_SYS_PTRACE, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH; or have a prolog \
         script write a file for each job (docs/jobs.md)",
    )
}

#[cfg(test)]
mod tests;
