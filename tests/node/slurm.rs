//! Real Slurm: its own daemons on ports of their own, and jobs in cgroups of this machine.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nvidia_ml::scenario::{Device, Scenario};
use tempfile::TempDir;

use crate::cgroup::remove_tree;
use crate::daemon::{Daemon, PATIENCE, free_port};
use crate::exposition::{Exposition, Sample};
use crate::gpu::Stage;
use crate::{skip, wait_for};

/// Where distributions mount the hierarchies of cgroup v1.
const CGROUPS: &str = "/sys/fs/cgroup";
/// What Slurm's plugins use here: to keep track of processes, to confine tasks, to account CPU time.
const CONTROLLERS: [&str; 5] = ["freezer", "cpuset", "memory", "devices", "cpuacct"];
/// A user that every system has, and its name.
const USER: &str = "nobody";

/// munged, slurmctld and slurmd with one node; all that they left is removed when dropped.
struct Slurm {
    dir: TempDir,
    node: String,
    first_job: u64,
    children: Vec<Child>,
}

impl Slurm {
    /// The reason if it can't run here.
    fn start() -> Result<Self, String> {
        for program in ["/usr/sbin/munged", "/usr/sbin/slurmctld", "/usr/sbin/slurmd", "/usr/bin/sbatch"] {
            if !Path::new(program).exists() {
                return Err(format!("{program} isn't installed (make tools)"));
            }
        }
        for controller in CONTROLLERS {
            let procs = Path::new(CGROUPS).join(controller).join("tasks");
            if !procs.exists() {
                return Err(format!("no cgroup v1 hierarchy {controller}; that of v2 needs systemd"));
            }
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("slurmd needs root".to_owned());
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("let jobs in");
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let node = format!("wattprint{}n{number}", std::process::id());
        // Ids that no other Slurm of this machine has in use.
        let first_job = 1_000_000 + 10_000_000 * number + u64::from(std::process::id());
        let mut slurm = Self { dir, node, first_job, children: Vec::new() };
        slurm.configure();
        slurm.launch();
        Ok(slurm)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self) {
        for name in ["state", "spool", "jobs"] {
            fs::create_dir(self.path(name)).expect(name);
        }
        fs::write(self.path("munge.key"), [7; 1024]).expect("write the key");
        fs::set_permissions(self.path("munge.key"), Permissions::from_mode(0o400)).expect("hide the key");
        let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("this machine's name");
        let host = host.trim().split('.').next().unwrap_or_default();
        let (dir, node) = (self.dir.path().display(), &self.node);
        let (control_port, node_port) = (free_port(), free_port());
        let first_job = self.first_job;
        let conf = format!(
            "ClusterName=wattprint\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={control_port}\n\
             FirstJobId={first_job}\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\nAuthInfo=socket={dir}/munge.socket\n\
             StateSaveLocation={dir}/state\nSlurmdSpoolDir={dir}/spool\n\
             SlurmctldPidFile={dir}/slurmctld.pid\nSlurmdPidFile={dir}/slurmd.pid\n\
             PlugStackConfig={dir}/plugstack.conf\nProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\n\
             JobAcctGatherType=jobacct_gather/cgroup\nAccountingStorageType=accounting_storage/none\n\
             SchedulerParameters=sched_interval=1,batch_sched_delay=0\nSelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\nMpiDefault=none\nReturnToService=2\nKillWait=1\n\
             SlurmdParameters=config_overrides\nGresTypes=gpu\n\
             NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs=16 Gres=gpu:2 State=UNKNOWN\n\
             PartitionName=lab Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
        );
        fs::write(self.path("slurm.conf"), conf).expect("write slurm.conf");
        // slurmd takes any device for a card.
        for (card, device) in [("card0", "/dev/null"), ("card1", "/dev/zero")] {
            symlink(device, self.path(card)).expect(card);
        }
        let cards = format!("NodeName={node} Name=gpu File={dir}/card[0-1]\n");
        fs::write(self.path("gres.conf"), cards).expect("write gres.conf");
        fs::write(self.path("plugstack.conf"), "").expect("write plugstack.conf");
        let cgroup = format!("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nCgroupMountpoint={CGROUPS}\n");
        fs::write(self.path("cgroup.conf"), cgroup).expect("write cgroup.conf");
    }

    fn launch(&mut self) {
        let path = |name: &str| self.path(name).display().to_string();
        let options = ["key-file=", "socket=", "pid-file=", "log-file=", "seed-file="];
        let files = ["munge.key", "munge.socket", "munge.pid", "munge.log", "munge.seed"];
        let mut munged: Vec<String> =
            options.iter().zip(files).map(|(option, file)| format!("--{option}{}", path(file))).collect();
        munged.extend(["--foreground".to_owned(), "--force".to_owned()]);
        let conf = path("slurm.conf");
        let node = self.node.clone();
        self.spawn("/usr/sbin/munged", &munged.iter().map(String::as_str).collect::<Vec<_>>());
        wait_for("munged", PATIENCE, || self.path("munge.socket").exists().then_some(()));
        self.spawn("/usr/sbin/slurmctld", &["-D", "-i", "-f", &conf]);
        self.spawn("/usr/sbin/slurmd", &["-D", "-f", &conf, "-N", &node]);
        wait_for("an idle node", PATIENCE, || {
            let output = self.command("sinfo", &["-h", "-o", "%T"]).output().expect("run sinfo");
            (output.stdout == b"idle\n").then_some(())
        });
    }

    /// Starts a daemon in a process group of its own.
    fn spawn(&mut self, program: &str, arguments: &[&str]) {
        let name = Path::new(program).file_name().expect(program);
        let log = File::create(self.dir.path().join(name).with_extension("out")).expect("create the log");
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.path("slurm.conf")).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a second handle")).stderr(log).process_group(0);
        self.children.push(command.spawn().expect(program));
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env("SLURM_CONF", self.path("slurm.conf")).current_dir("/tmp");
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments).output().expect(program);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}{}", self.logs());
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Submits a job that runs this script as [`USER`], and gives its id.
    fn submit(&self, options: &[&str], script: &str) -> String {
        let common = ["--parsable", "--output=/dev/null", "--ntasks=1", "--account=physics"];
        let user = format!("--uid={USER}");
        self.run("sbatch", &[&common[..], &[&user], options, &["--wrap", script]].concat())
    }

    /// Shell commands that keep a core at work until [`Self::finish_jobs`].
    fn burn(&self) -> String {
        let stop = self.path("stop").display().to_string();
        format!("while [ ! -e {stop} ]; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done")
    }

    fn finish_jobs(&self) {
        File::create(self.path("stop")).expect("create the file");
    }

    /// CPU seconds of a job and its steps, by the kernel's account.
    fn cpu_seconds(&self, job: &str) -> f64 {
        let uid = nix::unistd::User::from_name(USER).expect("passwd").expect(USER).uid;
        let path = format!("{CGROUPS}/cpuacct/slurm_{}/uid_{uid}/job_{job}/cpuacct.usage", self.node);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.trim().parse::<f64>().expect("nanoseconds") / 1e9
    }

    /// Runs a script as a step of a job without a batch script, as from a login node.
    fn run_step(&mut self, options: &[&str], script: &str) {
        let arguments = [&["--ntasks=1"], options, &["sh", "-c", script]].concat();
        let mut command = self.command("srun", &arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.children.push(command.spawn().expect("srun"));
    }

    /// Whether a step of a job has begun.
    fn has_step(&self, job: &str, step: &str) -> bool {
        let uid = nix::unistd::User::from_name(USER).expect("passwd").expect(USER).uid;
        let path = format!("{CGROUPS}/cpuacct/slurm_{}/uid_{uid}/job_{job}/step_{step}", self.node);
        Path::new(&path).exists()
    }

    fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        ["munged.out", "slurmctld.out", "slurmd.out"].map(read).join("\n")
    }
}

impl Drop for Slurm {
    #[allow(clippy::print_stderr, reason = "the logs tell why a test failed")]
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        // A slurmstepd outlives its slurmd, which mustn't start another job meanwhile.
        for child in self.children.iter_mut().rev() {
            // It may have ended already. slurmctld takes its helper with it if it is asked to end.
            let _ = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status();
            let begun = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        // slurmstepd is in the first of these, and in no other.
        for controller in CONTROLLERS {
            remove_tree(&Path::new(CGROUPS).join(controller).join(format!("slurm_{}", self.node)));
        }
    }
}

/// The labels of a job's energy series, without those of the single series, and the energy.
fn series(scrape: &Exposition, job: &str) -> Vec<(String, String, f64)> {
    let labels = [("manager", "slurm"), ("job_id", job), ("component", "cpu")];
    let samples = scrape.select("wattprint_job_energy_joules_total", &labels);
    let label = |labels: &std::collections::BTreeMap<String, String>, name: &str| {
        labels.get(name).cloned().unwrap_or_default()
    };
    let mut found: Vec<(String, String, f64)> = Vec::new();
    for sample in samples {
        let (name, user) = (label(&sample.labels, "job_name"), label(&sample.labels, "user"));
        match found.iter_mut().find(|(known, of, _)| *known == name && *of == user) {
            Some((_, _, joules)) => *joules += sample.value,
            None => found.push((name, user, sample.value)),
        }
    }
    found
}

/// Panics unless a job has one set of labels, these.
fn assert_named(scrape: &Exposition, job: &str, name: &str, user: &str) -> f64 {
    match series(scrape, job).as_slice() {
        [(known, of, joules)] if known == name && of == user => *joules,
        other => panic!("job {job} isn't {name} of {user}: {other:?}"),
    }
}

#[test]
fn jobs_arrays_and_steps_have_names_and_keep_them() {
    let slurm = match Slurm::start() {
        Ok(slurm) => slurm,
        Err(why) => return skip("Slurm", &why),
    };
    let jobs = slurm.path("jobs");
    let config = format!("[jobs]\ndir = \"{}\"\n", jobs.display());
    let wait = [("WATTPRINT_NAMES__WAIT".to_owned(), "30s".to_owned())];
    let model = ["--no-collector.rapl", "--no-collector.hwmon"];
    let daemon = Daemon::in_environment(&wait, &config, &model);

    let burn = slurm.burn();
    let steps = format!("srun --overlap sh -c '{burn}' & srun --overlap sh -c '{burn}' & wait");
    let train = slurm.submit(&["--job-name=train"], &steps);
    let sweep = slurm.submit(&["--job-name=sweep", "--array=3"], &burn);
    // A prolog script knows the job before it begins.
    let told =
        slurm.submit(&["--job-name=told", "--hold"], &format!("export WATTPRINT_PHASE=training; {burn}"));
    let file = jobs.join(format!("slurm-{told}"));
    fs::write(&file, "name=by-prolog\naccount=chemistry\nmodel=m1\n").expect("write the job's file");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("let only root write");
    slurm.run("scontrol", &["release", &told]);

    let all = [(&train, "train"), (&sweep, "sweep"), (&told, "by-prolog")];
    let first = wait_for("joules of all jobs", PATIENCE, || {
        let scrape = daemon.scrape();
        let have_joules =
            all.iter().all(|(job, _)| series(&scrape, job).iter().any(|(_, _, joules)| *joules > 0.0));
        have_joules.then_some(scrape)
    });
    let early = all.map(|(job, name)| assert_named(&first, job, name, USER));
    let info = |job: &str, more: &[(&str, &str)]| {
        let labels = [&[("job_id", job), ("user", USER), ("partition", "lab")], more].concat();
        assert_eq!(first.select("wattprint_job_info", &labels).len(), 1, "{job} {more:?}");
    };
    info(&train, &[("account", "physics"), ("job_name", "train"), ("array_job_id", "")]);
    info(&sweep, &[("account", "physics"), ("array_job_id", &sweep), ("array_task_id", "3")]);
    info(&told, &[("account", "chemistry"), ("model", "m1")]);

    // What both steps use is the job's.
    wait_for("both steps", PATIENCE, || {
        ["0", "1"].iter().all(|step| slurm.has_step(&train, step)).then_some(())
    });
    daemon.ticks(2);
    let used = slurm.cpu_seconds(&train);
    let snapshot = daemon.ticks(1);
    let job = |job: &str| [("kind", "job"), ("id", job)].map(|(name, value)| (name, value.to_owned()));
    let find = |snapshot: &crate::snapshot::Snapshot, id: &str| {
        let fields = job(id);
        snapshot.workload(&fields.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    let seen = find(&snapshot, &train).expect("the job").cpu_seconds();
    assert!(seen >= 0.95 * used, "{seen} s of {used} s");
    let late = daemon.scrape();

    slurm.finish_jobs();
    fs::remove_file(&file).expect("what an epilog script does");
    daemon.until("the end of all jobs", |snapshot| {
        all.iter().all(|(job, _)| find(snapshot, job).is_some_and(|job| job.has_ended()))
    });
    daemon.ticks(1);
    let after = daemon.scrape();
    late.assert_never_falls(&after);
    for ((job, name), early) in all.into_iter().zip(early) {
        assert!(assert_named(&after, job, name, USER) > early, "{name} went on");
    }
    daemon.finish();
}

#[test]
fn a_job_holds_the_card_that_it_was_given() {
    let mut slurm = match Slurm::start() {
        Ok(slurm) => slurm,
        Err(why) => return skip("Slurm", &why),
    };
    let stage = Stage::new(Scenario::of([0, 1].map(Device::hopper)));
    let jobs = format!("[jobs]\ndir = \"{}\"\n", slurm.path("jobs").display());
    let daemon = stage.start(&jobs, &["--names.wait=30s"]);
    let idle = format!("while [ ! -e {} ]; do sleep 0.1; done", slurm.path("stop").display());
    let held = |job: &str| {
        let labels = [("manager", "slurm"), ("job_id", job)];
        wait_for("a held card", PATIENCE, || {
            let scrape = daemon.scrape();
            let cards = scrape.select("wattprint_gpu_allocated", &labels);
            (!cards.is_empty()).then(|| {
                let card = |sample: &Sample| (sample.labels["uuid"].clone(), sample.value);
                cards.into_iter().map(card).collect::<Vec<_>>()
            })
        })
    };
    let batch = slurm.submit(&["--job-name=batch", "--gres=gpu:1"], &idle);
    assert_eq!(held(&batch), [(Device::uuid_of(0), 1.0)]);
    // No batch script tells what this one has; only its step knows.
    slurm.run_step(&["--job-name=step", "--gres=gpu:1"], &idle);
    let step = wait_for("the step's job", PATIENCE, || {
        let id = slurm.run("squeue", &["--noheader", "--name=step", "--format=%i"]);
        (!id.is_empty()).then_some(id)
    });
    assert_eq!(held(&step), [(Device::uuid_of(1), 1.0)]);
    slurm.finish_jobs();
    wait_for("free cards", PATIENCE, || {
        daemon.scrape().select("wattprint_gpu_allocated", &[("manager", "slurm")]).is_empty().then_some(())
    });
    daemon.finish();
}
