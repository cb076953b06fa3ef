use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;
use JobManager::{Pbs, Slurm};

struct Rig {
    dir: tempfile::TempDir,
    root: HostRoot,
    directory: Directory,
}

impl Rig {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("host/run/jobs")).unwrap();
        let root = HostRoot::new(dir.path().join("host"));
        let mut directory = Directory::new("/run/jobs".into());
        directory.open(&root).unwrap();
        Self { dir, root, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("host/run/jobs").join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o644)).unwrap();
    }

    fn told(&self, id: &str) -> Result<Option<Told>, String> {
        self.directory.told(&self.root, Slurm, id).map_err(|error| error.to_string())
    }
}

#[test]
fn a_file_says_all_there_is_to_say() {
    let rig = Rig::new();
    rig.write(
        "slurm-42",
        "# by the prolog\nname = train = fast\nuser=ada\naccount=lab\npartition=gpu\narray_job_id=40\narray_task_id=2\n\
         gpus=0,2\nphase=training\nmodel=m\nvariant=v\n\nfuture=x\n",
    );
    let expected = Told {
        job_name: "train = fast".into(),
        user: "ada".into(),
        account: "lab".into(),
        partition: "gpu".into(),
        array_job_id: "40".into(),
        array_task_id: "2".into(),
        phase: "training".into(),
        model: "m".into(),
        variant: "v".into(),
        gpus: Some(vec![DeviceName::Index(0), DeviceName::Index(2)]),
        step_gpus: Vec::new(),
    };
    assert_eq!(rig.told("42"), Ok(Some(expected)));
    assert_eq!(rig.told("4"), Ok(None));
    rig.write("slurm-7", "gpus=\n");
    assert_eq!(rig.told("7"), Ok(Some(Told { gpus: Some(Vec::new()), ..Told::default() })));
    rig.write("pbs-7[1].head.example.org", "name=x\n");
    let told = rig.directory.told(&rig.root, Pbs, "7[1].head.example.org").unwrap();
    assert_eq!(&*told.unwrap().job_name, "x");
}

#[test]
fn what_a_prolog_script_didnt_write_isnt_used() {
    let rig = Rig::new();
    fs::write(rig.dir.path().join("outside"), "name=x\n").unwrap();
    symlink(rig.dir.path().join("outside"), rig.path("slurm-1")).unwrap();
    symlink("../../../outside", rig.path("slurm-2")).unwrap();
    nix::unistd::mkfifo(&rig.path("slurm-3"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::create_dir(rig.path("slurm-4")).unwrap();
    rig.write("slurm-5", "x".repeat(MOST_BYTES + 1));
    rig.write("slurm-6", b"name=\xff\n");
    rig.write("slurm-7", "name\n");
    rig.write("slurm-8", "name=x\ngpus=all\n");
    rig.write("slurm-9", "name=x\n");
    fs::set_permissions(rig.path("slurm-9"), Permissions::from_mode(0o666)).unwrap();
    // Links are resolved within the host's root, where these lead to nothing.
    assert_eq!([rig.told("1"), rig.told("2")], [Ok(None), Ok(None)]);
    for (id, what) in [
        ("3", "isn't a regular file"),
        ("4", "isn't a regular file"),
        ("5", "is larger than it can be"),
        ("6", "isn't UTF-8"),
        ("7", "a line that isn't key=value"),
        ("8", "a list of gpus"),
        ("9", "is writable by everybody"),
    ] {
        let error = rig.told(id).unwrap_err();
        assert!(error.contains(what) && error.contains(&format!("slurm-{id}")), "{id}: {error}");
    }
    rig.write("slurm-x", "name=x\n");
    assert_eq!(rig.told("../jobs/slurm-x"), Ok(None));
    let stamp = |uid| Stamp { file: (0, 0), length: 0, modified: (0, 0), uid, mode: 0o100_644 };
    let allowed = [0, 7, 8].map(|uid| check(stamp(uid), 7).is_ok());
    assert_eq!(allowed, [true, true, false]);
}

#[test]
fn a_directory_that_all_may_write_to_isnt_used() {
    let mut rig = Rig::new();
    rig.write("slurm-1", "name=x\n");
    rig.write("0", "1\n");
    fs::set_permissions(rig.path(""), Permissions::from_mode(0o1777)).unwrap();
    assert!(rig.directory.open(&rig.root).unwrap_err().reason.contains("writable by everybody"));
    assert_eq!(rig.told("1"), Ok(None));
    assert_eq!(rig.directory.on_devices(&rig.root), (Vec::new(), None));
    fs::set_permissions(rig.path(""), Permissions::from_mode(0o755)).unwrap();
    rig.directory.open(&rig.root).unwrap();
    assert!(rig.told("1").unwrap().is_some());
    let mut absent = Directory::new("/run/none".into());
    assert_eq!(absent.open(&rig.root), Ok(()));
    assert_eq!(absent.on_devices(&rig.root), (Vec::new(), None));
}

#[test]
fn files_of_gpus_list_jobs() {
    let rig = Rig::new();
    rig.write("0", "41\n42\n");
    rig.write("1", "");
    rig.write("2.7", "42");
    rig.write("notes", "42");
    rig.write("slurm-42", "name=x\n");
    rig.write("3", b"\xff");
    let (found, wrong) = rig.directory.on_devices(&rig.root);
    let jobs = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let expected = [
        (DeviceName::Index(0), jobs(&["41", "42"])),
        (DeviceName::Index(1), jobs(&[])),
        (DeviceName::Instance { index: 2, instance: 7 }, jobs(&["42"])),
    ];
    assert_eq!(found, expected);
    assert!(wrong.unwrap().detail.ends_with("jobs/3: isn't UTF-8"));
}

proptest! {
    #[test]
    fn any_text_is_understood_or_refused(text: String, value: String) {
        let _ = parse(&text);
        let _ = parse(&format!("name={value}\ngpus={value}\n"));
    }
}
