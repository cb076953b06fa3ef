//! The table of path components that name an owner, and the walk along a path.
//!
//! The walk goes from the root downwards, so that the outermost container, job or VM wins over everything
//! nested in it. Each matcher sees one component and those above it, never those below: an owner can't change
//! when its cgroup gets children.

use super::names::{
    after_number, clip, is_container_id, is_indexed_number, is_number, is_pbs_job_id, pod_uid, unescape,
};
use super::{JobManager, Owner, Runtime};

/// One path component and where it stands.
struct Place<'a> {
    /// The component itself.
    name: &'a str,
    /// The components above it, from the root down.
    above: &'a [&'a str],
    /// UID of the pod that it lies in, empty outside Kubernetes.
    pod_uid: &'a str,
}

impl<'a> Place<'a> {
    fn parent(&self) -> &'a str {
        self.above.last().copied().unwrap_or_default()
    }

    fn grandparent(&self) -> &'a str {
        self.above.iter().rev().nth(1).copied().unwrap_or_default()
    }

    fn is_below(&self, name: &str) -> bool {
        self.above.contains(&name)
    }

    /// A container that is known by its id.
    fn container(&self, runtime: Runtime, id: &str) -> Owner {
        Owner::Container { runtime, id: clip(id), name: "".into(), pod_uid: self.pod_uid.into() }
    }
}

/// What a component says about the path.
enum Found {
    /// A container, job or VM: all below is part of it.
    Owner(Owner),
    /// A pod with this UID; its containers come below.
    Pod(String),
    /// A systemd unit; a container may still come below.
    Unit(Box<str>),
}

type Matcher = fn(&Place<'_>) -> Option<Found>;

/// Every kind of component that means something; of several that match one component the first counts.
/// Components that match none (slices, controllers' own directories, anything unheard of) are passed over.
const PATTERNS: [Matcher; 16] = [
    kubernetes_pod,
    machine_scope,
    machine_service,
    prefixed_container,
    slice_prefix_id,
    slurm_job,
    pbs_job,
    pbs_slice,
    lsf_job,
    libvirt_directory,
    libvirt_legacy,
    proxmox_vm,
    lxc_joined,
    lxc_directory,
    bare_container_id,
    systemd_unit,
];

/// What stands before the id of a container in the names of its cgroups. conmon, the monitor of one container,
/// is counted to that container.
const CONTAINER_PREFIXES: [(&str, Runtime); 9] = [
    ("docker", Runtime::Docker),
    ("cri-containerd", Runtime::Containerd),
    ("containerd", Runtime::Containerd),
    ("nerdctl", Runtime::Containerd),
    ("crio", Runtime::Crio),
    ("crio-conmon", Runtime::Crio),
    ("libpod", Runtime::Podman),
    ("libpod-conmon", Runtime::Podman),
    ("libpod-payload", Runtime::Podman),
];

/// Suffixes of the systemd unit types that have cgroups of their own, slices excepted: those only group.
const UNIT_SUFFIXES: [&str; 5] = [".service", ".scope", ".mount", ".socket", ".swap"];

/// The owner that a cgroup path names: the outermost container, job or VM on it, else its pod, else its
/// outermost unit, else [`Owner::System`]. Accepts any string and never fails.
///
/// The path is relative to the root of the hierarchy, as in `/proc/PID/cgroup`. Where
/// [`Owner::is_terminal`] holds, all paths below have the same owner.
pub fn classify(path: &str) -> Owner {
    let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    let mut pod: Option<String> = None;
    let mut unit: Option<Box<str>> = None;
    for (depth, name) in components.iter().enumerate() {
        let place = Place {
            name,
            above: components.get(..depth).unwrap_or_default(),
            pod_uid: pod.as_deref().unwrap_or_default(),
        };
        match PATTERNS.iter().find_map(|matcher| matcher(&place)) {
            Some(Found::Owner(owner)) => return owner,
            Some(Found::Pod(uid)) => pod = pod.or(Some(uid)),
            Some(Found::Unit(name)) => unit = unit.or(Some(name)),
            None => {}
        }
    }
    match (pod, unit) {
        (Some(uid), _) => Owner::Pod { pod_uid: uid.into() },
        (None, Some(unit)) => Owner::Unit { unit },
        (None, None) => Owner::System,
    }
}

/// `kubepods/burstable/pod<uid>` and `kubepods-burstable-pod<uid with _>.slice`, either below a
/// `--cgroup-root`, which the systemd driver puts before every slice's name (`kubelet-kubepods-...`).
fn kubernetes_pod(place: &Place<'_>) -> Option<Found> {
    if let Some(uid) = pod_uid_of_slice(place.name) {
        return Some(Found::Pod(uid));
    }
    if !place.is_below("kubepods") {
        return None;
    }
    pod_uid(place.name.strip_prefix("pod")?).map(Found::Pod)
}

/// `docker-<id>.scope`, `libpod-<id>`, `kata_<id>` and their like. A scope whose name ends in a container id
/// is a container even if its prefix is unheard of.
fn prefixed_container(place: &Place<'_>) -> Option<Found> {
    if let Some(id) = place.name.strip_prefix("kata_").filter(|id| is_container_id(id)) {
        return Some(Found::Owner(place.container(Runtime::Unknown, id)));
    }
    let stem = place.name.strip_suffix(".scope");
    let (prefix, id) = stem.unwrap_or(place.name).rsplit_once('-').filter(|(_, id)| is_container_id(id))?;
    let runtime = runtime_of(prefix).or(stem.map(|_| Runtime::Unknown))?;
    Some(Found::Owner(place.container(runtime, id)))
}

/// `<slice>:<prefix>:<id>`, the systemd driver's notation, taken for a directory name by a runtime that is set
/// to the cgroupfs driver.
fn slice_prefix_id(place: &Place<'_>) -> Option<Found> {
    let (rest, id) = place.name.rsplit_once(':').filter(|(_, id)| is_container_id(id))?;
    let (slice, prefix) = rest.split_once(':')?;
    let uid = pod_uid_of_slice(slice);
    let pod_uid = uid.as_deref().unwrap_or(place.pod_uid);
    let runtime = runtime_of(prefix).unwrap_or(Runtime::Unknown);
    Some(Found::Owner(Place { pod_uid, ..*place }.container(runtime, id)))
}

/// `slurm/uid_1000/job_42` (cgroup v1; `slurm_<node>` where several slurmd share a node) and
/// `slurmstepd.scope/job_42` (v2; `<node>_slurmstepd.scope`).
fn slurm_job(place: &Place<'_>) -> Option<Found> {
    let id = place.name.strip_prefix("job_").filter(|id| is_number(id))?;
    let (parent, grandparent) = (place.parent(), place.grandparent());
    let uid = if let Some(uid) = parent.strip_prefix("uid_") {
        if grandparent != "slurm" && !grandparent.starts_with("slurm_") {
            return None;
        }
        uid.parse().ok()
    } else if parent == "slurmstepd.scope" || parent.ends_with("_slurmstepd.scope") {
        None
    } else {
        return None;
    };
    Some(Found::Owner(Owner::Job { manager: JobManager::Slurm, id: clip(id), uid }))
}

/// `pbs_jobs.service/jobid/<job>` (OpenPBS on cgroup v1), `pbs_jobs.service/jobs/<job>` (v2),
/// `pbspro/<job>` (without systemd) and `torque/<job>`.
fn pbs_job(place: &Place<'_>) -> Option<Found> {
    let known = match place.parent() {
        "jobid" | "jobs" => place.grandparent().starts_with("pbs"),
        parent => matches!(parent, "pbspro" | "pbs_jobs" | "torque"),
    };
    (known && is_pbs_job_id(place.name)).then(|| pbs(place.name))
}

/// `pbspro.slice/pbspro-<escaped job>.slice` (PBS Pro 18 and 19).
fn pbs_slice(place: &Place<'_>) -> Option<Found> {
    let parent = place.parent().strip_suffix(".slice").filter(|parent| parent.starts_with("pbs"))?;
    let stem = place.name.strip_suffix(".slice")?;
    let id = unescape(stem.strip_prefix(parent)?.strip_prefix('-')?);
    is_pbs_job_id(&id).then(|| pbs(&id))
}

fn pbs(id: &str) -> Found {
    Found::Owner(Owner::Job { manager: JobManager::Pbs, id: clip(id), uid: None })
}

/// `lsf/<cluster>/job.<job>.<pid>.<start time>`; the job holds its array index, as in `42[7]`.
fn lsf_job(place: &Place<'_>) -> Option<Found> {
    if place.parent() != "lsf" && place.grandparent() != "lsf" {
        return None;
    }
    let mut fields = place.name.strip_prefix("job.")?.split('.');
    let id = fields.next().filter(|id| is_indexed_number(id))?;
    let manager = JobManager::Lsf;
    fields.all(is_number).then(|| Found::Owner(Owner::Job { manager, id: clip(id), uid: None }))
}

/// `machine-<escaped name>.scope`, made by systemd-machined: for a guest of libvirt the name starts with the
/// driver and the guest's running number, else it is a container of systemd-nspawn.
fn machine_scope(place: &Place<'_>) -> Option<Found> {
    let machine = unescape(place.name.strip_prefix("machine-")?.strip_suffix(".scope")?);
    if let Some(guest) = machine.strip_prefix("qemu-") {
        // Old versions of libvirt put no number there.
        return vm(after_number(guest).unwrap_or(guest));
    }
    if let Some(guest) = machine.strip_prefix("ch-").and_then(after_number) {
        return vm(guest);
    }
    match machine.strip_prefix("lxc-").and_then(after_number) {
        Some(guest) => named(Runtime::Lxc, guest),
        None => named(Runtime::Nspawn, &machine),
    }
}

/// `systemd-nspawn@<escaped name>.service` and `systemd-vmspawn@<escaped name>.service`.
fn machine_service(place: &Place<'_>) -> Option<Found> {
    let (template, instance) = place.name.strip_suffix(".service")?.split_once('@')?;
    match template {
        "systemd-nspawn" => named(Runtime::Nspawn, &unescape(instance)),
        "systemd-vmspawn" => vm(&unescape(instance)),
        _ => None,
    }
}

/// `<name>.libvirt-qemu` and `qemu-<number>-<name>.libvirt-qemu` (libvirt without systemd), the same for LXC.
fn libvirt_directory(place: &Place<'_>) -> Option<Found> {
    let (guest, driver) = place.name.rsplit_once(".libvirt-")?;
    let numbered = guest.strip_prefix(driver).and_then(|rest| rest.strip_prefix('-')).and_then(after_number);
    let guest = numbered.unwrap_or(guest);
    match driver {
        "qemu" => vm(guest),
        "lxc" => named(Runtime::Lxc, guest),
        _ => None,
    }
}

/// `libvirt/qemu/<name>` and `libvirt/lxc/<name>` (libvirt before 1.0.5).
fn libvirt_legacy(place: &Place<'_>) -> Option<Found> {
    match (place.grandparent(), place.parent()) {
        ("libvirt", "qemu") => vm(place.name),
        ("libvirt", "lxc") => named(Runtime::Lxc, place.name),
        _ => None,
    }
}

/// `qemu.slice/<number>.scope` of Proxmox VE, which knows its VMs by number.
fn proxmox_vm(place: &Place<'_>) -> Option<Found> {
    let number = place.name.strip_suffix(".scope").filter(|number| is_number(number))?;
    if place.parent() == "qemu.slice" { vm(number) } else { None }
}

/// `lxc.payload.<name>`, and `lxc.monitor.<name>` for the process that watches over it (LXC 4, Incus, LXD).
fn lxc_joined(place: &Place<'_>) -> Option<Found> {
    let payload = place.name.strip_prefix("lxc.payload.");
    named(Runtime::Lxc, payload.or_else(|| place.name.strip_prefix("lxc.monitor."))?)
}

/// `lxc/<name>` (LXC up to 3.0, Proxmox VE), `lxc.payload/<name>` and `lxc.monitor/<name>` (LXC 3.1).
fn lxc_directory(place: &Place<'_>) -> Option<Found> {
    if !matches!(place.parent(), "lxc" | "lxc.payload" | "lxc.monitor") {
        return None;
    }
    named(Runtime::Lxc, place.name)
}

/// A directory named by nothing but a container id: cgroupfs drivers and custom cgroup parents.
fn bare_container_id(place: &Place<'_>) -> Option<Found> {
    // podman's pods have ids like containers; their containers are below.
    if !is_container_id(place.name) || place.parent() == "libpod_parent" {
        return None;
    }
    // The ECS agent runs its tasks in Docker; containerd names the directory after its own namespace.
    let runtime = if place.is_below("docker") || place.is_below("ecs") {
        Runtime::Docker
    } else if matches!(place.above, ["default" | "k8s.io"]) {
        Runtime::Containerd
    } else {
        Runtime::Unknown
    };
    Some(Found::Owner(place.container(runtime, place.name)))
}

/// Any systemd unit with processes.
fn systemd_unit(place: &Place<'_>) -> Option<Found> {
    // systemd puts a `_` before names that would clash with files of the cgroup file system.
    let unit = place.name.strip_prefix('_').unwrap_or(place.name);
    let is_unit = UNIT_SUFFIXES.iter().any(|suffix| unit.strip_suffix(suffix).is_some_and(|s| !s.is_empty()));
    is_unit.then(|| Found::Unit(clip(unit)))
}

fn vm(name: &str) -> Option<Found> {
    (!name.is_empty()).then(|| Found::Owner(Owner::Vm { name: clip(name) }))
}

fn named(runtime: Runtime, name: &str) -> Option<Found> {
    let owner = || Owner::Container { runtime, id: "".into(), name: clip(name), pod_uid: "".into() };
    (!name.is_empty()).then(|| Found::Owner(owner()))
}

fn runtime_of(prefix: &str) -> Option<Runtime> {
    CONTAINER_PREFIXES.iter().find(|(known, _)| *known == prefix).map(|(_, runtime)| *runtime)
}

/// The UID in the name of a pod's slice, with dashes.
fn pod_uid_of_slice(name: &str) -> Option<String> {
    let (parents, uid) = name.strip_suffix(".slice")?.rsplit_once("-pod")?;
    if parents.split('-').any(|parent| parent == "kubepods") { pod_uid(uid) } else { None }
}
