//! Lists of GPUs, as batch systems and prolog scripts write them.

use crate::identity::DeviceName;

/// Devices of one job, at most.
pub(super) const MOST: usize = 256;

/// The devices of a list such as `0,2-3` or `GPU-...,MIG-...`; none if anything on it is no device of that kind.
pub(super) fn parse(list: &str) -> Option<Vec<DeviceName>> {
    let mut devices = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match item.split_once('-') {
            Some(("GPU", uuid)) if is_uuid(uuid) => devices.push(DeviceName::Gpu(item.into())),
            Some(("MIG", uuid)) if is_uuid(uuid) => devices.push(DeviceName::Mig(item.into())),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if usize::try_from(last.checked_sub(first)?).ok()? >= MOST {
                    return None;
                }
                devices.extend((first..=last).map(DeviceName::Index));
            }
            None => devices.push(DeviceName::Index(number(item)?)),
        }
        if devices.len() > MOST {
            return None;
        }
    }
    devices.sort_unstable();
    devices.dedup();
    Some(devices)
}

/// The devices of a list of UUIDs; none if it holds anything else, such as indices that count only the devices that the
/// job sees.
pub(super) fn parse_uuids(list: &str) -> Option<Vec<DeviceName>> {
    let devices = parse(list)?;
    let are_uuids = devices.iter().all(|device| matches!(device, DeviceName::Gpu(_) | DeviceName::Mig(_)));
    (are_uuids && !devices.is_empty()).then_some(devices)
}

/// The devices of both lists.
pub(super) fn union(one: &[DeviceName], other: &[DeviceName]) -> Vec<DeviceName> {
    let mut devices = [one, other].concat();
    devices.sort_unstable();
    devices.dedup();
    devices.truncate(MOST);
    devices
}

/// The device that a file of GPU jobs is named after: `0`, or `0.7` for a GPU instance.
pub(super) fn of_file(name: &str) -> Option<DeviceName> {
    match name.split_once('.') {
        Some((index, instance)) => {
            Some(DeviceName::Instance { index: number(index)?, instance: number(instance)? })
        }
        None => number(name).map(DeviceName::Index),
    }
}

/// A number that can be that of a GPU.
fn number(text: &str) -> Option<u32> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn is_uuid(text: &str) -> bool {
    text.len() <= 64 && text.contains('-') && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0a1b2c3d-1111-2222-3333-444455556666";

    #[test]
    fn lists_of_devices() {
        let index =
            |numbers: &[u32]| Some(numbers.iter().copied().map(DeviceName::Index).collect::<Vec<_>>());
        assert_eq!(parse("0"), index(&[0]));
        assert_eq!(parse("3,0-1, 1"), index(&[0, 1, 3]));
        assert_eq!(parse(""), index(&[]));
        for bad in ["x", "0,x", "3-1", "0-9999", "-1", "1-", "12345", "GPU-", "GPU-x-y", "GPU-0", "0:1", "+1"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        let (gpu, mig) = (format!("GPU-{UUID}"), format!("MIG-{UUID}"));
        let both = vec![DeviceName::Gpu(gpu.as_str().into()), DeviceName::Mig(mig.as_str().into())];
        assert_eq!(parse(&format!("{gpu},{mig}")), Some(both.clone()));
        assert_eq!(parse_uuids(&format!("{mig},{gpu}")), Some(both));
        assert_eq!(parse_uuids(&format!("{gpu},1")), None);
        assert_eq!(parse_uuids(""), None);
    }

    #[test]
    fn lists_are_united_up_to_a_cap() {
        let index = |numbers: std::ops::Range<u32>| numbers.map(DeviceName::Index).collect::<Vec<_>>();
        assert_eq!(union(&index(2..4), &index(0..3)), index(0..4));
        assert_eq!(union(&index(0..256), &index(200..300)), index(0..256));
    }

    #[test]
    fn names_of_files_of_gpus() {
        assert_eq!(of_file("12"), Some(DeviceName::Index(12)));
        assert_eq!(of_file("0.7"), Some(DeviceName::Instance { index: 0, instance: 7 }));
        for name in ["", "slurm-1", "0.", "0.1.2", "a", "-1"] {
            assert_eq!(of_file(name), None, "{name}");
        }
    }
}
