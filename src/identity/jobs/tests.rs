use std::fs;

use super::*;
use crate::identity::Names;
use crate::workloads::owner::classify;

/// A node with processes, users and a directory of jobs.
struct Rig {
    dir: tempfile::TempDir,
    jobs: Jobs,
    board: NameBoard,
    wanted: Wanted,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("host");
        for path in ["etc", "run/jobs", "var/spool/slurmd/job00009"] {
            fs::create_dir_all(host.join(path)).unwrap();
        }
        fs::write(host.join("etc/passwd"), "root:x:0:0::/:\nada:x:1000:1000::/:\n").unwrap();
        let procfs = dir.path().join("proc");
        let retention = Duration::from_secs(60);
        let jobs = Jobs::new(HostRoot::new(&host), procfs, "/run/jobs".into(), retention);
        Self { dir, jobs, board: NameBoard::new(), wanted: Wanted::default() }
    }

    fn process(&self, pid: u32, uid: u32, environ: &str) {
        let dir = self.dir.path().join(format!("proc/{pid}"));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("status"), format!("Name:\tx\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")).unwrap();
        fs::write(dir.join("environ"), environ.replace(' ', "\0")).unwrap();
    }

    /// A process that the daemon may not look into.
    fn closed_process(&self, pid: u32, uid: u32) {
        self.process(pid, uid, "");
        let environ = self.dir.path().join(format!("proc/{pid}/environ"));
        fs::remove_file(&environ).unwrap();
        // Even root is denied to read what can only be written there (proc_sys(5)).
        std::os::unix::fs::symlink("/proc/sys/vm/drop_caches", &environ).unwrap();
    }

    fn file(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("host/run/jobs").join(name), text).unwrap();
    }

    /// Somebody in this cgroup.
    fn want(&mut self, cgroup: &str, pids: &[u32]) {
        let owner = Arc::new(classify(cgroup));
        let wanted = WantedOwner { owner, pids: pids.to_vec(), is_named: false };
        self.wanted.owners.push(wanted);
    }

    fn look(&mut self, is_full: bool) -> Result<(), IdentityError> {
        self.jobs.look(Look { wanted: &self.wanted, is_full }, &self.board)
    }

    fn names(&self) -> Names {
        self.board.names()
    }

    /// Name, user and the rest of the labels.
    fn facts(&self, cgroup: &str) -> Option<(String, String, String)> {
        let facts = self.names().find(&classify(cgroup)).facts()?;
        let crate::identity::Facts::Job(facts) = facts else { panic!("no job") };
        let extra = facts.details.extra.iter().map(|(name, value)| format!("{name}={value}"));
        Some((facts.job_name.to_string(), facts.user.to_string(), extra.collect::<Vec<_>>().join(" ")))
    }

    fn given(&self) -> Vec<(String, DeviceName)> {
        let names = self.names();
        let given = names.allocations().flat_map(|allocations| allocations.given.clone());
        given
            .map(|given| match given.to {
                Assignee::Job(manager, id) => (format!("{}-{id}", manager.as_str()), given.device),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

fn three(name: &str, user: &str, extra: &str) -> Option<(String, String, String)> {
    Some((name.to_owned(), user.to_owned(), extra.to_owned()))
}

/// Version 22.05; what later versions add is of no interest.
const SLURM: &str = "SLURM_JOB_ID=7 SLURM_JOBID=7 SLURM_JOB_NAME=train SLURM_JOB_USER=ada SLURM_JOB_UID=1000 \
                     SLURM_JOB_ACCOUNT=lab SLURM_JOB_PARTITION=gpu SLURM_CLUSTER_NAME=c";

#[test]
fn slurm_jobs_are_named_in_every_layout() {
    let paths = [
        // cgroup v1, as version 22.05 lays it out: one slurmd, then one of several.
        "/slurm/uid_1000/job_7/step_batch/task_0",
        "/slurm_node1/uid_1000/job_7/step_0/task_1",
        // v2 as of 22.05 and later: the batch script, a shell of salloc, the step of those who log in, a numbered step.
        "/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0",
        "/system.slice/slurmstepd.scope/job_7/step_interactive/user/task_0",
        "/system.slice/slurmstepd.scope/job_7/step_extern/user/task_special",
        "/system.slice/node1_slurmstepd.scope/job_7/step_3/user/task_0",
    ];
    for path in paths {
        let mut rig = Rig::new();
        // slurmstepd comes first and knows nothing of its job.
        rig.process(10, 0, "PATH=/bin");
        rig.process(11, 1000, SLURM);
        rig.want(path, &[10, 11]);
        rig.look(false).unwrap();
        assert_eq!(rig.facts(path), three("train", "ada", "account=lab partition=gpu"), "{path}");
    }
    let mut rig = Rig::new();
    let path = "/slurm/uid_1000/job_7/step_batch";
    rig.process(11, 1000, &format!("{SLURM} SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=3"));
    rig.want(path, &[11]);
    rig.look(false).unwrap();
    let extra = "account=lab partition=gpu array_job_id=5 array_task_id=3";
    assert_eq!(rig.facts(path), three("train", "ada", extra));
}

#[test]
fn jobs_of_pbs_and_lsf_are_named() {
    let mut rig = Rig::new();
    let (pbs, lsf) = ("/pbs_jobs.service/jobid/5[2].head", "/lsf/c1/job.6.400.1700000000");
    rig.process(20, 1000, "PBS_JOBID=5[2].head PBS_JOBNAME=sweep PBS_QUEUE=q PBS_ARRAY_INDEX=2");
    rig.process(30, 1001, "LSB_JOBID=6 LSB_JOBINDEX=0 LSB_JOBNAME=fit LSB_PROJECT_NAME=p LSFUSER=grace");
    rig.want(pbs, &[20]);
    rig.want(lsf, &[30]);
    rig.look(true).unwrap();
    assert_eq!(rig.facts(pbs), three("sweep", "ada", "partition=q array_task_id=2"));
    assert_eq!(rig.facts(lsf), three("fit", "1001", "account=p claimed_user=grace"));
}

#[test]
fn a_user_cant_pass_for_another() {
    let cases = [
        // The path's uid, the process's, the name that it claims; who it is taken for, and what is only its word.
        ("/slurm/uid_1000/job_7/step_0", 1000, "root", "ada", ""),
        ("/slurm/uid_2000/job_7/step_0", 2000, "ada", "2000", "claimed_user=ada"),
        ("/slurm/uid_2000/job_7/step_0", 2000, "grace", "2000", "claimed_user=grace"),
        ("/slurm/uid_2000/job_7/step_0", 0, "", "2000", ""),
        ("/slurmstepd.scope/job_7/step_0", 1000, "grace", "ada", ""),
        ("/slurmstepd.scope/job_7/step_0", 2000, "grace", "2000", "claimed_user=grace"),
        ("/slurmstepd.scope/job_7/step_0", 0, "", "root", ""),
    ];
    for (path, uid, claimed, expected, extra) in cases {
        let mut rig = Rig::new();
        rig.process(10, 0, "");
        rig.process(11, uid, &format!("SLURM_JOB_ID=7 SLURM_JOB_NAME=x SLURM_JOB_USER={claimed}"));
        rig.want(path, &[10, 11]);
        rig.look(false).unwrap();
        assert_eq!(rig.facts(path), three("x", expected, extra), "{path} {uid} {claimed}");
        rig.file("slurm-7", "user=grace\n");
        rig.look(true).unwrap();
        assert_eq!(rig.facts(path), three("x", "grace", ""), "the prolog's word");
    }
    // Nobody's uid is known by what a process says.
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_0";
    rig.process(11, 1000, "SLURM_JOB_ID=7 SLURM_JOB_USER=ada");
    fs::remove_file(rig.dir.path().join("proc/11/status")).unwrap();
    rig.want(path, &[11]);
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("", "", "claimed_user=ada"));
    // Who says nothing is at least known by its uid, and who names another job is no witness.
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_0";
    rig.process(10, 0, "");
    rig.process(11, 1000, "SLURM_JOB_ID=8 SLURM_JOB_NAME=x");
    rig.want(path, &[10, 11]);
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("", "ada", ""));
}

#[test]
fn the_prologs_file_wins_where_it_speaks() {
    let mut rig = Rig::new();
    let path = "/slurm/uid_1000/job_7/step_batch";
    rig.process(11, 1000, &format!("{SLURM} SLURM_JOB_GPUS=0,1"));
    rig.file("slurm-7", "name=better\nuser=boss\ngpus=3\n");
    rig.file("5", "7\n");
    rig.want(path, &[11]);
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("better", "boss", "account=lab partition=gpu"));
    assert_eq!(rig.given(), [("slurm-7".to_owned(), DeviceName::Index(3))]);
    // It changes; then it can't be understood; then the epilog removes it.
    rig.file("slurm-7", "name=best\n");
    rig.look(true).unwrap();
    assert_eq!(rig.facts(path), three("best", "ada", "account=lab partition=gpu"));
    assert_eq!(rig.given(), [("slurm-7".to_owned(), DeviceName::Index(5))]);
    rig.file("slurm-7", "garbage");
    assert_eq!(rig.look(true).unwrap_err().reason, "a file of a job can't be used");
    assert!(rig.look(false).is_err(), "it still can't");
    fs::remove_file(rig.dir.path().join("host/run/jobs/slurm-7")).unwrap();
    fs::remove_file(rig.dir.path().join("host/run/jobs/5")).unwrap();
    rig.look(true).unwrap();
    assert_eq!(rig.facts(path), three("best", "ada", "account=lab partition=gpu"));
    assert_eq!(rig.given().len(), 2, "the environment's");
}

#[test]
fn one_bad_file_costs_one_name() {
    let mut rig = Rig::new();
    rig.file("slurm-1", "garbage");
    rig.file("slurm-2", "name=two\n");
    for job in [1, 2] {
        rig.process(job, 1000, "");
        rig.want(&format!("/slurm/uid_1000/job_{job}/step_0"), &[job]);
    }
    assert!(rig.look(true).unwrap_err().detail.contains("slurm-1"));
    assert_eq!(rig.facts("/slurm/uid_1000/job_2"), three("two", "ada", ""));
    assert_eq!(rig.facts("/slurm/uid_1000/job_1"), three("", "ada", ""));
}

#[test]
fn what_was_found_stays_while_it_may_be_asked_for() {
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_0";
    rig.process(11, 1000, &format!("{SLURM} SLURM_JOB_GPUS=1"));
    rig.want(path, &[11]);
    rig.look(true).unwrap();
    let found = rig.facts(path);
    let before = rig.names();
    rig.wanted.owners.clear();
    // The processes are gone; then the job is.
    rig.want(path, &[11]);
    fs::remove_dir_all(rig.dir.path().join("proc/11")).unwrap();
    rig.look(true).unwrap();
    assert!(before.is_same(&rig.names()), "nothing new is no change");
    assert_eq!(rig.given().len(), 1);
    rig.wanted.owners.clear();
    rig.look(false).unwrap();
    assert_eq!(rig.given(), [], "it has no GPU any more");
    // 60 s are two looks; one may come at once, and one is for the way.
    for _ in 0..4 {
        rig.look(true).unwrap();
        assert_eq!(rig.facts(path), found);
    }
    rig.look(true).unwrap();
    assert_eq!(rig.facts(path), None);
}

#[test]
fn a_later_process_changes_no_gpus() {
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_0";
    rig.process(11, 1000, &format!("{SLURM} SLURM_JOB_GPUS=1"));
    rig.process(12, 1000, "SLURM_JOB_ID=7 SLURM_JOB_GPUS=0-7 WATTPRINT_PHASE=evaluation");
    rig.want(path, &[11, 12]);
    rig.look(true).unwrap();
    fs::remove_dir_all(rig.dir.path().join("proc/11")).unwrap();
    rig.look(true).unwrap();
    assert_eq!(rig.given(), [("slurm-7".to_owned(), DeviceName::Index(1))]);
    assert_eq!(rig.facts(path), three("train", "ada", "account=lab partition=gpu"));
    let phase = rig.names().find(&classify(path)).facts().map(|facts| facts.details().phase.clone());
    assert_eq!(phase.as_deref(), Some("evaluation"));
}

#[test]
fn the_gpus_of_all_steps_are_the_jobs() {
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_0";
    let step =
        |id: u32, gpus: &str| format!("{SLURM} SLURM_JOB_GPUS=7 SLURM_STEP_ID={id} SLURM_STEP_GPUS={gpus}");
    let held = |rig: &Rig| {
        let index = |device| match device {
            DeviceName::Index(index) => index,
            other => panic!("{other:?}"),
        };
        rig.given().into_iter().map(|(_, device)| index(device)).collect::<Vec<_>>()
    };
    rig.process(11, 1000, &step(0, "1"));
    rig.process(12, 1000, &step(1, "2"));
    rig.want(path, &[11, 12]);
    rig.look(true).unwrap();
    assert_eq!(held(&rig), [1, 2]);
    // Another step begins when these have ended.
    rig.process(13, 1000, &step(2, "0"));
    rig.wanted.owners.clear();
    rig.want(path, &[13]);
    rig.look(true).unwrap();
    assert_eq!(held(&rig), [0, 1, 2]);
    // The batch script knows all of them.
    rig.process(10, 1000, &format!("{SLURM} SLURM_JOB_GPUS=0-3"));
    rig.wanted.owners.clear();
    rig.want(path, &[10, 13]);
    rig.look(true).unwrap();
    assert_eq!(held(&rig), [0, 1, 2, 3]);
}

#[test]
fn a_job_that_was_requeued_begins_anew() {
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_batch";
    let run = |gpu: u32| format!("{SLURM} SLURM_JOB_GPUS={gpu}");
    rig.process(11, 1000, &run(1));
    rig.want(path, &[11]);
    rig.look(true).unwrap();
    // It is away for one look only, and not a full one.
    let owners = mem::take(&mut rig.wanted.owners);
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("train", "ada", "account=lab partition=gpu"));
    rig.process(11, 1000, &run(2));
    rig.wanted.owners = owners;
    // It has the name of its first run.
    rig.wanted.owners[0].is_named = true;
    rig.look(false).unwrap();
    assert_eq!(rig.given(), [("slurm-7".to_owned(), DeviceName::Index(2))]);
    assert_eq!(rig.facts(path), three("train", "ada", "account=lab partition=gpu"));
}

#[test]
fn a_job_with_a_name_is_still_asked_for_the_rest() {
    let mut rig = Rig::new();
    let path = "/slurmstepd.scope/job_7/step_batch";
    rig.file("slurm-7", "name=told\nuser=ada\n");
    // The process doesn't run the script yet.
    rig.process(11, 0, "PATH=/bin");
    rig.want(path, &[11]);
    rig.wanted.owners[0].is_named = true;
    rig.look(true).unwrap();
    rig.process(11, 1000, &format!("{SLURM} SLURM_JOB_GPUS=1 WATTPRINT_PHASE=training"));
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("told", "ada", "account=lab partition=gpu"));
    assert_eq!(rig.given(), [("slurm-7".to_owned(), DeviceName::Index(1))]);
    // One that never says anything is asked so often and no more; then only with all others.
    let mut rig = Rig::new();
    rig.file("slurm-7", "name=told\nuser=ada\n");
    rig.want(path, &[11]);
    rig.wanted.owners[0].is_named = true;
    for _ in 0..MOST_TRIES {
        rig.look(false).unwrap();
    }
    rig.process(11, 1000, SLURM);
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("told", "ada", ""));
    rig.look(true).unwrap();
    assert_eq!(rig.facts(path), three("told", "ada", "account=lab partition=gpu"));
}

#[test]
fn the_script_speaks_where_no_processes_are_told() {
    let script = |rig: &Rig| {
        let path = rig.dir.path().join("host/var/spool/slurmd/job00009/slurm_script");
        fs::write(path, "#!/bin/sh\n#SBATCH -J night -p cpu\nsleep 1\n").unwrap();
    };
    let path = "/slurm/uid_1000/job_9/step_batch";
    let mut rig = Rig::new();
    script(&rig);
    rig.want(path, &[]);
    for _ in 0..TRIES_WITHOUT_PROCESSES {
        rig.look(false).unwrap();
        assert_eq!(rig.facts(path), three("", "ada", ""), "its processes may come yet");
    }
    rig.look(false).unwrap();
    assert_eq!(rig.facts(path), three("night", "ada", "partition=cpu"));
    // Where processes can be asked, they know better.
    let mut rig = Rig::new();
    script(&rig);
    rig.process(11, 0, "PATH=/bin");
    rig.want(path, &[11]);
    for _ in 0..=TRIES_WITHOUT_PROCESSES {
        rig.look(false).unwrap();
    }
    assert_eq!(rig.facts(path), three("", "ada", ""));
}

#[test]
fn the_script_speaks_where_processes_may_not_be_looked_into() {
    let mut rig = Rig::new();
    rig.closed_process(11, 1000);
    rig.want("/slurmstepd.scope/job_9/step_batch", &[11]);
    let error = rig.look(false).unwrap_err();
    assert_eq!(error.reason, "the environment of jobs can't be read");
    assert!(error.detail.contains("11/environ") && error.remedy.is_some());
    let script = rig.dir.path().join("host/var/spool/slurmd/job00009/slurm_script");
    fs::write(script, "#!/bin/sh\n#SBATCH -J night -p cpu\nsleep 1\n").unwrap();
    rig.look(false).unwrap();
    assert_eq!(rig.facts("/slurmstepd.scope/job_9"), three("night", "ada", "partition=cpu"));
}

#[test]
fn only_so_many_jobs_are_remembered() {
    let mut rig = Rig::new();
    for job in 0..=MOST_KNOWN {
        let missed = u32::try_from(job % 3).unwrap();
        let known = Known { missed, ..Known::default() };
        rig.jobs.known.insert((JobManager::Slurm, job.to_string().into()), known);
    }
    rig.jobs.forget();
    assert_eq!(rig.jobs.known.len(), MOST_KNOWN);
    let oldest = (0..=MOST_KNOWN).filter(|job| job % 3 == 2).count();
    assert_eq!(rig.jobs.known.values().filter(|known| known.missed == 2).count(), oldest - 1);
}
