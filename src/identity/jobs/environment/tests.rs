use proptest::prelude::*;

use super::*;
use crate::workloads::owner::JobManager::{Lsf, Pbs, Slurm};

fn environment(text: &str) -> Environment {
    Environment::new(text.replace(' ', "\0").into_bytes())
}

fn told(manager: JobManager, id: &str, text: &str) -> Told {
    environment(text).told(manager, id).unwrap()
}

fn indices(numbers: &[u32]) -> Option<Vec<DeviceName>> {
    Some(numbers.iter().copied().map(DeviceName::Index).collect())
}

#[test]
fn each_batch_system_has_its_own_words() {
    // Slurm as version 22.05 sets them for an element of a job array.
    let slurm = told(
        Slurm,
        "7",
        "SLURM_CONF=/etc/slurm/slurm.conf SLURM_JOB_NAME=arr SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=3 SLURM_JOB_ID=7 \
         SLURM_JOBID=7 SLURM_JOB_PARTITION=debug SLURM_JOB_ACCOUNT=acct2 SLURM_JOB_UID=65534 SLURM_JOB_USER=nobody \
         WATTPRINT_PHASE=training WATTPRINT_MODEL=m WATTPRINT_VARIANT=v",
    );
    let expected = Told {
        job_name: "arr".into(),
        user: "nobody".into(),
        account: "acct2".into(),
        partition: "debug".into(),
        array_job_id: "5".into(),
        array_task_id: "3".into(),
        phase: "training".into(),
        model: "m".into(),
        variant: "v".into(),
        gpus: None,
        step_gpus: Vec::new(),
    };
    assert_eq!(slurm, expected);
    let pbs = "PBS_JOBID=5[3].head PBS_JOBNAME=arr PBS_O_LOGNAME=nobody PBS_ACCOUNT=acct2 PBS_QUEUE=debug \
               PBS_ARRAY_ID=5[].head PBS_ARRAY_INDEX=3";
    let of_pbs = Told { array_job_id: "5[].head".into(), ..without_phase(&expected) };
    assert_eq!(told(Pbs, "5[3].head", pbs), of_pbs);
    let torque = pbs.replace("PBS_ARRAY_INDEX", "PBS_ARRAYID").replace("PBS_ARRAY_ID=5[].head", "");
    assert_eq!(told(Pbs, "5[3].head", &torque), Told { array_job_id: "".into(), ..of_pbs });
    let lsf = "LSB_JOBID=5 LSB_JOBINDEX=3 LSB_JOBNAME=arr LSFUSER=nobody USER=x LSB_PROJECT_NAME=acct2 LSB_QUEUE=debug";
    assert_eq!(told(Lsf, "5[3]", lsf), without_phase(&expected));
    let single = told(Lsf, "5", &lsf.replace("INDEX=3", "INDEX=0").replace("LSFUSER", "X"));
    assert_eq!((&*single.array_job_id, &*single.array_task_id, &*single.user), ("", "", "x"));
}

fn without_phase(told: &Told) -> Told {
    Told { phase: "".into(), model: "".into(), variant: "".into(), ..told.clone() }
}

#[test]
fn only_who_names_the_job_of_its_cgroup_is_believed() {
    let cases = [
        (Slurm, "7", "SLURM_JOB_ID=7", true),
        (Slurm, "7", "SLURM_JOBID=7", true),
        (Slurm, "7", "SLURM_JOB_ID=8 SLURM_JOBID=7", false),
        (Slurm, "7", "SLURM_JOB_NAME=x", false),
        (Slurm, "7", "XSLURM_JOB_ID=7", false),
        (Slurm, "7", "PBS_JOBID=7", false),
        (Slurm, "7", "", false),
        (Pbs, "7.head", "PBS_JOBID=7.head", true),
        (Pbs, "7.head", "PBS_JOBID=7.head.example.org", true),
        (Pbs, "7.head.example.org", "PBS_JOBID=7.head", true),
        (Pbs, "7", "PBS_JOBID=7.head", true),
        (Pbs, "7.head", "PBS_JOBID=7.headless", false),
        (Pbs, "7.head", "PBS_JOBID=7.other", false),
        (Pbs, "7[1].head", "PBS_JOBID=7[2].head", false),
        (Lsf, "7", "LSB_JOBID=7 LSB_JOBINDEX=0", true),
        (Lsf, "7", "LSB_JOBID=7 LSB_JOBINDEX=3", true),
        (Lsf, "7[3]", "LSB_JOBID=7 LSB_JOBINDEX=3", true),
        (Lsf, "7[3]", "LSB_JOBID=7 LSB_JOBINDEX=4", false),
        (Lsf, "7[3]", "LSB_JOBID=7", false),
    ];
    for (manager, id, text, is_believed) in cases {
        assert_eq!(environment(text).told(manager, id).is_some(), is_believed, "{id}: {text}");
    }
}

#[test]
fn gpus_are_those_whose_names_hold_for_the_whole_node() {
    let (gpu, mig) = ("GPU-0a1b2c3d-1111-2222-3333-444455556666", "MIG-0a1b2c3d-1111-2222-3333-444455556666");
    let uuid = Some(vec![DeviceName::Gpu(gpu.into())]);
    let part = Some(vec![DeviceName::Mig(mig.into())]);
    let cases = [
        (Slurm, "SLURM_JOB_GPUS=2,3 CUDA_VISIBLE_DEVICES=0,1".to_owned(), indices(&[2, 3])),
        (Slurm, "CUDA_VISIBLE_DEVICES=0".to_owned(), None),
        (Slurm, "SLURM_JOB_GPUS=x CUDA_VISIBLE_DEVICES=0".to_owned(), None),
        (Slurm, "SLURM_STEP_GPUS=1".to_owned(), None),
        (Slurm, format!("CUDA_VISIBLE_DEVICES={gpu}"), uuid.clone()),
        (Slurm, format!("SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES={gpu}"), indices(&[1])),
        (Slurm, format!("SLURM_JOB_GPUS=4 CUDA_VISIBLE_DEVICES={mig}"), part.clone()),
        (Pbs, "SLURM_JOB_GPUS=1 CUDA_VISIBLE_DEVICES=0".to_owned(), None),
        (Pbs, format!("CUDA_VISIBLE_DEVICES={gpu}"), uuid.clone()),
        (Lsf, format!("GPU_DEVICE_ORDINAL={gpu}"), uuid.clone()),
    ];
    for (manager, text, expected) in cases {
        assert_eq!(environment(&text).devices(manager), (expected, Vec::new()), "{text}");
    }
    // A step on another node than the batch script's has the list of that node, too.
    let cases = [
        ("SLURM_STEP_GPUS=1-3 GPU_DEVICE_ORDINAL=0".to_owned(), indices(&[1, 2, 3])),
        ("SLURM_JOB_GPUS=0,1 SLURM_STEP_GPUS=1".to_owned(), indices(&[1])),
        ("SLURM_JOB_GPUS=0,1".to_owned(), None),
        (format!("SLURM_JOB_GPUS=0,1 CUDA_VISIBLE_DEVICES={gpu}"), uuid),
        (format!("SLURM_STEP_GPUS=4 CUDA_VISIBLE_DEVICES={mig}"), part),
    ];
    for (text, expected) in cases {
        let given = environment(&format!("SLURM_STEP_ID=0 {text}")).devices(Slurm);
        assert_eq!(given, (None, expected.unwrap_or_default()), "{text}");
    }
}

#[test]
fn the_cgroup_tells_which_list_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("9")).unwrap();
    // What a batch script has that was submitted by a step of another job.
    let environ = "SLURM_JOB_ID=7\0SLURM_STEP_ID=0\0SLURM_STEP_GPUS=0\0SLURM_JOB_GPUS=1\0";
    std::fs::write(dir.path().join("9/environ"), environ).unwrap();
    let (job, step) = ((indices(&[1]), Vec::new()), (None, vec![DeviceName::Index(0)]));
    let cases = [
        ("", &step),
        ("0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n", &job),
        ("0::/system.slice/slurmstepd.scope/job_7/step_interactive/user/task_0\n", &job),
        ("0::/system.slice/slurmstepd.scope/job_7/step_3/user/task_0\n", &step),
        ("6:freezer:/slurm/uid_1/job_7/step_batch\n2:cpuacct:/slurm/uid_1/job_7/step_batch/task_0\n", &job),
        ("7:pids:/user.slice\n6:freezer:/slurm/uid_1/job_7/step_batch\n", &job),
        ("0::/slurmstepd.scope/job_7/step_extern/user/task_special\n", &step),
        ("0::/job_7\n0::/step_batch\n", &step),
    ];
    for (cgroup, expected) in cases {
        std::fs::write(dir.path().join("9/cgroup"), cgroup).unwrap();
        assert_eq!(Environment::of(dir.path(), 9).unwrap().devices(Slurm), *expected, "{cgroup}");
    }
}

#[test]
fn what_is_cut_off_isnt_taken() {
    let length = usize::try_from(MOST_BYTES).unwrap();
    let mut bytes = b"SLURM_JOB_ID=7\0".to_vec();
    bytes.resize(length - 20, b'x');
    bytes.extend(b"\0SLURM_JOB_NAME=trai");
    assert_eq!(bytes.len(), length);
    let told = Environment::new(bytes).told(Slurm, "7").unwrap();
    assert_eq!(&*told.job_name, "");
}

#[test]
fn the_real_uid_is_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("9")).unwrap();
    let write = |text: &str| std::fs::write(dir.path().join("9/status"), text).unwrap();
    write("Name:\tUid: 5\nUid:\t1000\t0\t0\t0\n");
    assert_eq!(uid_of(dir.path(), 9), Some(1000));
    write("Uid:\tx\n");
    assert_eq!(uid_of(dir.path(), 9), None);
    assert_eq!(uid_of(dir.path(), 10), None);
    assert!(uid_of(Path::new("/proc"), std::process::id()).is_some());
}

proptest! {
    #[test]
    fn any_bytes_are_an_environment(bytes: Vec<u8>, id: String) {
        for manager in [Slurm, Pbs, Lsf] {
            let _ = Environment::new(bytes.clone()).told(manager, &id);
            is_in_step(&bytes);
        }
    }

    #[test]
    fn any_values_make_labels_that_can_be_printed(value: Vec<u8>) {
        let mut bytes = b"SLURM_JOB_ID=7\0SLURM_JOB_NAME=".to_vec();
        bytes.extend(&value);
        bytes.extend(b"\0SLURM_JOB_GPUS=");
        bytes.extend(&value);
        if let Some(told) = Environment::new(bytes).told(Slurm, "7") {
            prop_assert!(told.job_name.len() <= 253 && !told.job_name.contains(char::is_control));
            prop_assert!(told.gpus.unwrap_or_default().len() <= devices::MOST);
        }
    }
}
