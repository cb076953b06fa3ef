//! What real paths, paths that only look alike, and arbitrary strings are classified as.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{JobManager, Owner, Runtime, classify};

/// Three lines for each path: itself, its owner as [`render`] prints it, its origin.
const REAL_PATHS: &str = include_str!("paths.txt");

/// An owner on one line.
fn render(owner: &Owner) -> String {
    match owner {
        Owner::Container { runtime, id, name, pod_uid } => {
            let runtime = if *runtime == Runtime::Unknown { "-" } else { runtime.as_str() };
            let mut line = format!("container {runtime}");
            for (key, value) in [(" ", id), (" name=", name), (" pod=", pod_uid)] {
                if !value.is_empty() {
                    write!(line, "{key}{value}").unwrap();
                }
            }
            line
        }
        Owner::Pod { pod_uid } => format!("pod {pod_uid}"),
        Owner::Unit { unit } => format!("unit {unit}"),
        Owner::Job { manager, id, uid } => {
            let uid = uid.map(|uid| format!(" uid={uid}")).unwrap_or_default();
            format!("job {} {id}{uid}", manager.as_str())
        }
        Owner::Vm { name } => format!("vm {name}"),
        Owner::System => "system".to_owned(),
    }
}

#[test]
fn real_paths_have_the_owner_on_record() {
    let lines: Vec<&str> = REAL_PATHS.lines().filter(|line| !line.starts_with('#')).collect();
    let rows: Vec<&[&str]> = lines.split(|line| line.is_empty()).filter(|row| !row.is_empty()).collect();
    let mut wrong = String::new();
    for row in &rows {
        let [path, owner, origin] = row else { panic!("not path, owner, origin: {row:?}") };
        let found = render(&classify(path));
        if found != *owner {
            writeln!(wrong, "{path}\n  is {found}\n  not {owner} ({origin})").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(rows.len() >= 100, "rows lost: {}", rows.len());
}

#[test]
fn what_only_looks_alike_is_left_alone() {
    let id = "3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f869860";
    let (short, upper) = (&id[1..], id.to_uppercase());
    let uid = "3d274242-8ee0-11e9-a8a6-1e68d864ef1a";
    let rows = [
        (format!("/docker/{short}"), "system".to_owned()),
        (format!("/docker/{upper}"), "system".into()),
        (format!("/docker/{id}0"), "system".into()),
        (format!("/docker/{}g", &id[1..]), "system".into()),
        (format!("/docker/ {id}"), "system".into()),
        (format!("/docker/{id}.mount"), format!("unit {id}.mount")),
        (format!("/system.slice/docker-{short}.scope"), format!("unit docker-{short}.scope")),
        (format!("/system.slice/docker-{upper}.scope"), format!("unit docker-{upper}.scope")),
        (format!("/system.slice/docker{id}.scope"), format!("unit docker{id}.scope")),
        (format!("/system.slice/foo-{id}"), "system".into()),
        (format!("/system.slice/{id}.service"), format!("unit {id}.service")),
        (format!("/foo:{id}"), "system".into()),
        ("/docker".into(), "system".into()),
        ("/dockershim/web".into(), "system".into()),
        ("/docker/buildkit/qjr9v0bzxhvn1w1m0zyqhujkb".into(), "system".into()),
        ("/kubepods/burstable/podruntime".into(), "system".into()),
        (format!("/pods/pod{uid}"), "system".into()),
        (format!("/kubepods/burstable/pod{uid}0"), "system".into()),
        (format!("/kubepods/burstable/pod{}", uid.to_uppercase()), "system".into()),
        ("/kubepods/burstable/pod".into(), "system".into()),
        ("/kubepods/burstable/pod--------".into(), "system".into()),
        (format!("/foo.slice/foo-pod{uid}.slice"), "system".into()),
        (format!("/kubepods.slice/kubepods-pod{uid}"), "system".into()),
        ("/user.slice/user-1000.slice".into(), "system".into()),
        ("/machine.slice/machine-libpod_pod_1234.slice".into(), "system".into()),
        ("/machine.slice/machine-.scope".into(), "unit machine-.scope".into()),
        (r"/machine.slice/machine-qemu\x2d1\x2d.scope".into(), r"unit machine-qemu\x2d1\x2d.scope".into()),
        ("/machine.slice/systemd-nspawn@.service".into(), "unit systemd-nspawn@.service".into()),
        ("/system.slice/100.scope".into(), "unit 100.scope".into()),
        ("/qemu.slice/vm.scope".into(), "unit vm.scope".into()),
        ("/.libvirt-qemu".into(), "system".into()),
        ("/machine/vm1.libvirt-xen".into(), "system".into()),
        ("/lxc".into(), "system".into()),
        ("/lxc.payload.".into(), "system".into()),
        ("/lxcfs/fuse".into(), "system".into()),
        ("/slurm/uid_1000".into(), "system".into()),
        ("/slurm/uid_1000/job_".into(), "system".into()),
        ("/slurm/uid_1000/job_4x2".into(), "system".into()),
        ("/galaxy/job_42".into(), "system".into()),
        ("/uid_1000/job_42".into(), "system".into()),
        ("/system.slice/slurmstepd.scope/job_x".into(), "unit slurmstepd.scope".into()),
        ("/slurm/uid_99999999999/job_42".into(), "job slurm 42".into()),
        ("/pbs_jobs.service/jobid/notajob".into(), "unit pbs_jobs.service".into()),
        ("/pbs_jobs.service/jobid/12[.pbs".into(), "unit pbs_jobs.service".into()),
        ("/pbs_jobs.service/jobid/12.".into(), "unit pbs_jobs.service".into()),
        ("/myapp.service/jobid/12.pbs".into(), "unit myapp.service".into()),
        ("/pbspro.slice/pbspro-.slice".into(), "system".into()),
        ("/torque/tasks".into(), "system".into()),
        ("/lsf/cluster1/job.".into(), "system".into()),
        ("/lsf/cluster1/job.x.1.2".into(), "system".into()),
        ("/lsf/cluster1/job.1.x".into(), "system".into()),
        ("/other/cluster1/job.1.2.3".into(), "system".into()),
        ("/.service".into(), "system".into()),
        ("/ssh.service.d".into(), "system".into()),
        ("/tmp.automount".into(), "system".into()),
        (String::new(), "system".into()),
        ("//".into(), "system".into()),
        ("/../../ssh.service".into(), "unit ssh.service".into()),
        ("\0\u{fffd}\n".into(), "system".into()),
    ];
    for (path, owner) in rows {
        assert_eq!(render(&classify(&path)), owner, "{path:?}");
    }
}

#[test]
fn names_that_do_not_decode_stay_escaped() {
    let rows = [
        (r"/machine-a\x2.scope", r"a\x2"),
        (r"/machine-a\xzz.scope", r"a\xzz"),
        (r"/machine-a\xff.scope", r"a\xff"),
        (r"/machine-a\x0a.scope", r"a\x0a"),
        (r"/machine-a\x5cx2d.scope", r"a\x2d"),
        (r"/machine-a\x2D\x2d.scope", "a--"),
    ];
    for (path, name) in rows {
        assert_eq!(render(&classify(path)), format!("container nspawn name={name}"), "{path}");
    }
}

#[test]
fn long_names_end_between_characters() {
    let name = "é".repeat(200);
    let Owner::Container { name: kept, .. } = classify(&format!("/lxc/{name}")) else {
        panic!("no container")
    };
    assert_eq!(&*kept, "é".repeat(126));
    let unit = format!("{}.service", "a".repeat(300));
    assert_eq!(classify(&format!("/{unit}")), Owner::Unit { unit: unit[..253].into() });
    let job = Owner::Job { manager: JobManager::Slurm, id: "1".repeat(253).into(), uid: Some(7) };
    assert_eq!(classify(&format!("/slurm/uid_7/job_{}", "1".repeat(4_000))), job);
}

#[test]
fn short_ids_are_twelve_characters_of_containers_only() {
    let container = |id: &str| Owner::Container {
        runtime: Runtime::Docker,
        id: id.into(),
        name: "".into(),
        pod_uid: "".into(),
    };
    for (id, short) in [
        ("3726184226f5d3147c25fdeab5b60097e378e8a720503a5e19ecfdf29f869860", "3726184226f5"),
        ("3726184226f5", "3726184226f5"),
        ("37", "37"),
        ("", ""),
        ("éééééééééééééé", "éééééééééééé"),
    ] {
        assert_eq!(container(id).container_id_short(), short);
    }
    assert_eq!(Owner::Vm { name: "3726184226f5".into() }.container_id_short(), "");
    assert_eq!(Owner::System.container_id_short(), "");
}

/// Components that mean something, pieces of them, and noise.
fn component() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9a-f]{63,65}",
        "[0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}",
        r"(\\x[0-9a-f]{0,2}){1,4}",
        "[0-9]{1,12}",
        prop::sample::select(vec![
            "docker",
            "kubepods",
            "burstable",
            "-pod",
            "pod",
            "machine-",
            "qemu-",
            "lxc",
            "lxc.payload.",
            "slurm",
            "uid_",
            "job_",
            "slurmstepd.scope",
            "pbs_jobs.service",
            "jobid",
            "pbspro",
            ".slice",
            ".scope",
            ".service",
            "lsf",
            "job.",
            "libpod-",
            "cri-containerd-",
            ":",
            "-",
            ".",
            "_",
            "[",
            "]",
            "@",
            ".libvirt-qemu",
            "systemd-nspawn@",
            "torque",
            "libvirt",
            "qemu",
            "qemu.slice",
            "kata_",
            "é",
            "\0",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn likely_path() -> impl Strategy<Value = String> {
    let row =
        prop::sample::select(REAL_PATHS.lines().filter(|line| line.starts_with('/')).collect::<Vec<_>>());
    let made = prop::collection::vec(component(), 0..7).prop_map(|parts| format!("/{}", parts.join("/")));
    prop_oneof![made, (row, component()).prop_map(|(row, more)| format!("{row}{more}"))]
}

proptest! {
    #[test]
    fn any_string_has_one_owner_with_bounded_labels(path in prop_oneof![any::<String>(), likely_path()]) {
        let owner = classify(&path);
        prop_assert_eq!(&owner, &classify(&path));
        let labels: Vec<&str> = match &owner {
            Owner::Container { id, name, pod_uid, .. } => {
                prop_assert!(id.is_empty() != name.is_empty(), "neither id nor name, or both");
                prop_assert!(id.is_empty() || id.len() == 64);
                vec![id, name, pod_uid]
            }
            Owner::Pod { pod_uid } => vec![pod_uid],
            Owner::Unit { unit: label } | Owner::Job { id: label, .. } | Owner::Vm { name: label } => {
                prop_assert!(!label.is_empty());
                vec![label]
            }
            Owner::System => vec![],
        };
        prop_assert!(labels.iter().all(|label| label.len() <= 253));
    }

    #[test]
    fn nothing_below_a_container_job_or_vm_has_another_owner(path in likely_path(), below in likely_path()) {
        let owner = classify(&path);
        if owner.is_terminal() {
            prop_assert_eq!(&classify(&format!("{path}/x/y")), &owner);
            prop_assert_eq!(&classify(&format!("{path}/{below}")), &owner);
        }
    }
}
