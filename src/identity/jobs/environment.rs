//! What a job's processes were started with: the variables that its batch system sets.
//!
//! A process may say anything in its environment, so it is believed only where it names the job that its cgroup belongs to,
//! and then only for labels and for what the job was given, never for what it used.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::identity::DeviceName;
use crate::workloads::owner::JobManager;

use super::devices;
use super::told::{Told, clean};

/// Of a longer environment only the beginning is read.
const MOST_BYTES: u64 = 1024 * 1024;
/// Of /proc/PID/status, which has some 1.5 kB, and of /proc/PID/cgroup, which has a line for each hierarchy.
const MOST_STATUS_BYTES: u64 = 16 * 1024;

/// How a batch system calls what it tells its jobs; of several names the first that is set counts.
struct Dialect {
    job_id: &'static [&'static str],
    job_name: &'static [&'static str],
    user: &'static [&'static str],
    account: &'static [&'static str],
    partition: &'static [&'static str],
    array_job_id: &'static [&'static str],
    array_task_id: &'static [&'static str],
}

/// sbatch(1) and srun(1) of Slurm 22.05.
const SLURM: Dialect = Dialect {
    job_id: &["SLURM_JOB_ID", "SLURM_JOBID"],
    job_name: &["SLURM_JOB_NAME"],
    user: &["SLURM_JOB_USER"],
    account: &["SLURM_JOB_ACCOUNT"],
    partition: &["SLURM_JOB_PARTITION"],
    array_job_id: &["SLURM_ARRAY_JOB_ID"],
    array_task_id: &["SLURM_ARRAY_TASK_ID"],
};

/// qsub(1B) of OpenPBS and of Torque, which calls the index of an element otherwise.
const PBS: Dialect = Dialect {
    job_id: &["PBS_JOBID"],
    job_name: &["PBS_JOBNAME"],
    user: &["PBS_O_LOGNAME"],
    account: &["PBS_ACCOUNT"],
    partition: &["PBS_QUEUE"],
    array_job_id: &["PBS_ARRAY_ID"],
    array_task_id: &["PBS_ARRAY_INDEX", "PBS_ARRAYID"],
};

/// "Environment variables set for job execution" of IBM Spectrum LSF 10.1.
const LSF: Dialect = Dialect {
    job_id: &["LSB_JOBID"],
    job_name: &["LSB_JOBNAME"],
    user: &["LSFUSER", "USER"],
    account: &["LSB_PROJECT_NAME"],
    partition: &["LSB_QUEUE"],
    // Every job has an index, which is 0 outside arrays.
    array_job_id: &[],
    array_task_id: &["LSB_JOBINDEX"],
};

/// The environment of one process.
pub(super) struct Environment {
    bytes: Vec<u8>,
    /// Whether the process is in a numbered step of a Slurm job, by its cgroup; none where that doesn't tell.
    is_in_step: Option<bool>,
}

impl Environment {
    /// Reads it.
    ///
    /// # Errors
    /// What the system says: the process is gone, or it is another user's and the daemon may not look into it.
    pub(super) fn of(procfs: &Path, pid: u32) -> io::Result<Self> {
        let bytes = read(&place(procfs, pid, "environ"), MOST_BYTES)?;
        let cgroup = read(&place(procfs, pid, "cgroup"), MOST_STATUS_BYTES).unwrap_or_default();
        Ok(Self { is_in_step: is_in_step(&cgroup), ..Self::new(bytes) })
    }

    pub(super) fn new(mut bytes: Vec<u8>) -> Self {
        // What was cut off in the middle isn't what was said.
        if bytes.len() >= usize::try_from(MOST_BYTES).unwrap_or(usize::MAX) {
            let whole = bytes.iter().rposition(|byte| *byte == 0).unwrap_or_default();
            bytes.truncate(whole);
        }
        Self { bytes, is_in_step: None }
    }

    /// What it says of the job of this id, if it is that of a process of that job.
    pub(super) fn told(&self, manager: JobManager, id: &str) -> Option<Told> {
        let dialect = match manager {
            JobManager::Slurm => &SLURM,
            JobManager::Pbs => &PBS,
            JobManager::Lsf => &LSF,
        };
        let text = |names: &[&str]| self.get(names).map(clean).unwrap_or_default();
        let own_id = self.get(dialect.job_id)?;
        let (gpus, step_gpus) = self.devices(manager);
        let mut told = Told {
            job_name: text(dialect.job_name),
            user: text(dialect.user),
            account: text(dialect.account),
            partition: text(dialect.partition),
            array_job_id: text(dialect.array_job_id),
            array_task_id: text(dialect.array_task_id),
            phase: text(&["WATTPRINT_PHASE"]),
            model: text(&["WATTPRINT_MODEL"]),
            variant: text(&["WATTPRINT_VARIANT"]),
            gpus,
            step_gpus,
        };
        let is_own = match manager {
            JobManager::Slurm => own_id == id,
            JobManager::Pbs => is_same_pbs_job(own_id, id),
            JobManager::Lsf => {
                if &*told.array_task_id == "0" {
                    told.array_task_id = "".into();
                }
                if !told.array_task_id.is_empty() {
                    told.array_job_id = clean(own_id);
                }
                is_same_lsf_job(own_id, &told.array_task_id, id)
            }
        };
        is_own.then_some(told)
    }

    /// The GPUs that were given, where they are told by names that hold for the whole node: to the job, or only to the
    /// process's step.
    fn devices(&self, manager: JobManager) -> (Option<Vec<DeviceName>>, Vec<DeviceName>) {
        let uuids = self.get(&["CUDA_VISIBLE_DEVICES"]).and_then(devices::parse_uuids);
        let uuids = uuids.or_else(|| self.get(&["GPU_DEVICE_ORDINAL"]).and_then(devices::parse_uuids));
        if manager != JobManager::Slurm {
            return (uuids, Vec::new());
        }
        // The numbers that these hold are the node's own, whatever the job can see; the first is set for batch scripts and
        // interactive steps, the second for other steps (sbatch(1), srun(1)). But srun hands on its own environment, so on
        // other nodes a step has the list of the batch script's node; and sbatch within a step hands on that step's
        // variables, so that only the cgroup tells for sure which of them are meant (seen with 22.05).
        let is_in_step = self.is_in_step.unwrap_or_else(|| self.get(&["SLURM_STEP_ID"]).is_some());
        let variable = if is_in_step { "SLURM_STEP_GPUS" } else { "SLURM_JOB_GPUS" };
        // Where GPUs are cut into MIG devices, Slurm's indices count those (gres.conf(5)).
        let has_mig = uuids.iter().flatten().any(|device| matches!(device, DeviceName::Mig(_)));
        let indices = self.get(&[variable]).and_then(devices::parse);
        let indices = indices.filter(|devices| !has_mig && !devices.is_empty());
        let devices = indices.or(uuids);
        if is_in_step { (None, devices.unwrap_or_default()) } else { (devices, Vec::new()) }
    }

    /// The first of these variables that is set, and not to nothing.
    fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| {
            let mut variables = self.bytes.split(|byte| *byte == 0);
            let value = variables.find_map(|variable| {
                variable.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
            });
            value.and_then(|value| std::str::from_utf8(value).ok()).filter(|value| !value.is_empty())
        })
    }
}

/// The real uid of a process.
pub(super) fn uid_of(procfs: &Path, pid: u32) -> Option<u32> {
    // The owner of /proc/PID would be root where a process mayn't be dumped (proc(5)).
    let status = read(&place(procfs, pid, "status"), MOST_STATUS_BYTES).ok()?;
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse().ok()
}

/// Whether a process is in a numbered step, `.../job_42/step_0/...`, or in `step_batch` or `step_interactive`, which run on
/// the job's first node.
fn is_in_step(cgroup: &[u8]) -> Option<bool> {
    let mut lines = cgroup.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.find_map(|line| {
        let mut names = line.split('/').skip_while(|name| !name.starts_with("job_"));
        match names.nth(1)?.strip_prefix("step_")? {
            "batch" | "interactive" => Some(false),
            step => step.parse::<u32>().is_ok().then_some(true),
        }
    })
}

pub(super) fn place(procfs: &Path, pid: u32, file: &str) -> PathBuf {
    procfs.join(pid.to_string()).join(file)
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether both are one job, `42.server` or `42[7].server`: the server's name may be short or whole, or missing.
pub(super) fn is_same_pbs_job(one: &str, other: &str) -> bool {
    let split = |id| str::split_once(id, '.').unwrap_or((id, ""));
    let ((number, server), (other_number, other_server)) = (split(one), split(other));
    let is_short_for =
        |short: &str, whole: &str| whole.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'));
    let is_same_server = server == other_server
        || server.is_empty()
        || other_server.is_empty()
        || is_short_for(server, other_server)
        || is_short_for(other_server, server);
    number == other_number && is_same_server
}

/// Whether a cgroup's id, `42` or `42[7]`, is that of a job with this number and index (empty outside arrays).
fn is_same_lsf_job(number: &str, index: &str, id: &str) -> bool {
    match id.split_once('[') {
        Some((of_cgroup, rest)) => of_cgroup == number && rest.strip_suffix(']') == Some(index),
        None => id == number,
    }
}

#[cfg(test)]
mod tests;
