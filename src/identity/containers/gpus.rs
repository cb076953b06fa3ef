//! Which GPUs a container outside Kubernetes was given.
//!
//! The variable `NVIDIA_VISIBLE_DEVICES` alone says nothing: images set it to "all", and without NVIDIA's runtime it does
//! nothing. It counts only where the runtime's own configuration shows that somebody acts on it: NVIDIA's runtime or its
//! hook. Otherwise what counts is what was asked for (Docker's device requests), or the device files that the container
//! has. A privileged container sees all of them and was given none. In doubt nothing was given.

use serde_json::Value;

use crate::identity::DeviceName;
use crate::identity::containers::tags::{text_at, texts_at};

/// Which GPUs NVIDIA's runtime is to give.
const VARIABLE: &str = "NVIDIA_VISIBLE_DEVICES=";
/// Devices of one container.
const MOST: usize = 64;

/// From `config.v2.json` and `hostconfig.json`.
pub(super) fn of_docker(config: &Value, host: &Value) -> Vec<DeviceName> {
    let requests = host.pointer("/DeviceRequests").and_then(Value::as_array);
    let mut devices: Vec<DeviceName> = requests.into_iter().flatten().flat_map(request).collect();
    // Requests and the runtime can't both act: then the request is what the user asked for.
    if devices.is_empty() && text_at(host, "/Runtime").starts_with("nvidia") {
        devices = texts_at(config, "/Config/Env").filter_map(variable).flat_map(names).collect();
    }
    bounded(devices)
}

/// From the bundle of an OCI runtime.
pub(super) fn of_bundle(config: &Value) -> Vec<DeviceName> {
    if is_privileged(config) {
        return Vec::new();
    }
    let hooks = config.get("hooks").and_then(Value::as_object).into_iter().flatten();
    let hooks = hooks.flat_map(|(_, hooks)| hooks.as_array().into_iter().flatten());
    let mut hooks = hooks.filter(|hook| {
        let words = [text_at(hook, "/path")].into_iter().chain(texts_at(hook, "/args"));
        words.into_iter().any(|word| {
            let program = word.rsplit('/').next().unwrap_or_default();
            program.starts_with("nvidia-container")
        })
    });
    let Some(hook) = hooks.next() else { return bounded(device_files(config)) };
    // `nvidia-container-cli configure --device=0` as nerdctl has it run, or a hook that reads the variable.
    let asked: Vec<DeviceName> =
        texts_at(hook, "/args").filter_map(|word| word.strip_prefix("--device=")).flat_map(names).collect();
    if !asked.is_empty() {
        return bounded(asked);
    }
    bounded(texts_at(config, "/process/env").filter_map(variable).flat_map(names).collect())
}

/// One of Docker's device requests: `--gpus` (API 1.40) or `--device nvidia.com/gpu=0` (CDI, API 1.44).
fn request(request: &Value) -> Vec<DeviceName> {
    let ids = texts_at(request, "/DeviceIDs");
    let driver = text_at(request, "/Driver");
    if driver == "cdi" {
        return ids.filter_map(|id| id.strip_prefix("nvidia.com/gpu=")).flat_map(names).collect();
    }
    let wants = |name: &str| {
        let sets = request.get("Capabilities").and_then(Value::as_array).into_iter().flatten();
        sets.filter_map(Value::as_array).flatten().any(|word| word == name)
    };
    if driver != "nvidia" && !(driver.is_empty() && (wants("gpu") || wants("nvidia"))) {
        return Vec::new();
    }
    match request.get("Count").and_then(Value::as_i64).unwrap_or(0) {
        0 => ids.flat_map(names).collect(),
        // Docker turns a count into the first so many indices (moby's daemon/nvidia_linux.go).
        count => match u32::try_from(count) {
            Ok(count) => (0..count).take(MOST).map(DeviceName::Index).collect(),
            Err(_) => vec![DeviceName::All],
        },
    }
}

fn variable(assignment: &str) -> Option<&str> {
    assignment.strip_prefix(VARIABLE)
}

/// The devices of a list as NVIDIA's runtime reads it. `0:1` is left out: its second number counts the MIG devices of a GPU
/// in the driver's order, which says nothing of which GPU instance that is.
fn names(list: &str) -> Vec<DeviceName> {
    list.split(',').take(MOST).filter_map(|name| named(name.trim())).collect()
}

fn named(name: &str) -> Option<DeviceName> {
    let is_uuid = |text: &str| text.len() <= 80 && text.bytes().all(|byte| byte.is_ascii_graphic());
    match name {
        "all" => Some(DeviceName::All),
        _ if name.starts_with("GPU-") && is_uuid(name) => Some(DeviceName::Gpu(name.into())),
        _ if name.starts_with("MIG-") && is_uuid(name) => Some(DeviceName::Mig(name.into())),
        _ if name.bytes().all(|byte| byte.is_ascii_digit()) => name.parse().ok().map(DeviceName::Index),
        _ => None,
    }
}

/// The GPUs whose device files the container has (`/dev/nvidia0`), as CDI gives them. With MIG a container has the card's
/// file beside those of its instances, and which these are the files don't tell.
fn device_files(config: &Value) -> Vec<DeviceName> {
    let devices = || config.pointer("/linux/devices").and_then(Value::as_array).into_iter().flatten();
    let mut files = devices().map(|device| text_at(device, "/path"));
    if files.any(|path| path.starts_with("/dev/nvidia-caps/")) {
        return Vec::new();
    }
    let minors = devices().filter_map(|device| text_at(device, "/path").strip_prefix("/dev/nvidia"));
    minors
        .filter(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|minor| minor.parse().ok().map(DeviceName::Index))
        .collect()
}

/// Whether the container may use every device: a rule that allows all and names none.
fn is_privileged(config: &Value) -> bool {
    let mut rules =
        config.pointer("/linux/resources/devices").and_then(Value::as_array).into_iter().flatten();
    let names_none = |rule: &Value| {
        ["major", "minor"].iter().all(|key| rule.get(key).and_then(Value::as_i64).is_none_or(|n| n < 0))
            && matches!(text_at(rule, "/type"), "" | "a")
    };
    let last = rules.rfind(|rule| names_none(rule));
    last.is_some_and(|rule| rule.get("allow").and_then(Value::as_bool) == Some(true))
}

/// Each once, "all" alone, and not too many.
fn bounded(mut devices: Vec<DeviceName>) -> Vec<DeviceName> {
    devices.sort_unstable();
    devices.dedup();
    if devices.contains(&DeviceName::All) {
        return vec![DeviceName::All];
    }
    devices.truncate(MOST);
    devices
}
