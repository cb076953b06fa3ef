//! What a DRM file of a process says of its use: `/proc/PID/fdinfo/FD`.
//!
//! The format is the kernel's "DRM client usage stats": one `key: value` per line, keys in any order. amdgpu and i915
//! give the busy time of engines in nanoseconds, xe gives cycles and the cycles that passed.

use std::collections::BTreeMap;

/// More engine classes than any driver has; the rest of a file that lists more is left out.
const MAX_ENGINES: usize = 64;
/// Longest name of an engine class.
const MAX_NAME: usize = 32;

/// A class of engines, as one client used it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    /// Busy nanoseconds of this client.
    pub(super) busy: Option<u64>,
    /// Busy cycles of this client.
    pub(super) cycles: Option<u64>,
    /// Cycles that passed, in the same unit.
    pub(super) total_cycles: Option<u64>,
    /// How many engines the class has: at least 1.
    pub(super) capacity: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self { busy: None, cycles: None, total_cycles: None, capacity: 1 }
    }
}

/// One file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fdinfo {
    /// The kernel driver.
    pub(super) driver: String,
    /// The device's PCI address, in lower case.
    pub(super) device: String,
    /// The client's number, unique on the device.
    pub(super) client: u64,
    /// What it did, by engine class.
    pub(super) engines: BTreeMap<String, Engine>,
    /// Device memory in bytes; none where the file doesn't speak of device memory.
    pub(super) memory: Option<u64>,
}

#[derive(Default)]
struct Memory {
    resident: Option<u64>,
    older: Option<u64>,
    total: Option<u64>,
}

/// Reads one file's text. None where it isn't of a DRM client on a PCI device.
pub(super) fn parse(text: &str) -> Option<Fdinfo> {
    let (mut driver, mut device, mut client) = (None, None, None);
    let mut engines: BTreeMap<String, Engine> = BTreeMap::new();
    let mut memory = Memory::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let Some(key) = key.trim().strip_prefix("drm-") else {
            continue;
        };
        let value = value.trim();
        match key {
            "driver" => driver = Some(value),
            "pdev" => device = Some(value),
            "client-id" => client = value.parse().ok(),
            _ => engine_key(key, value, &mut engines)
                .or_else(|| memory_key(key, value, &mut memory))
                .unwrap_or(()),
        }
    }
    Some(Fdinfo {
        driver: driver.filter(|driver| !driver.is_empty())?.to_owned(),
        device: device.filter(|device| !device.is_empty())?.to_ascii_lowercase(),
        client: client?,
        engines,
        memory: memory.resident.or(memory.older).or(memory.total),
    })
}

type Setter = fn(&mut Engine, u64);

/// Takes a key of an engine class; none if it is none.
fn engine_key(key: &str, value: &str, engines: &mut BTreeMap<String, Engine>) -> Option<()> {
    // The longer prefixes come first: `engine-capacity-x` is no engine, `total-cycles-x` no memory.
    let prefixes: [(&str, Setter); 4] = [
        ("engine-capacity-", |engine, value| engine.capacity = value.max(1)),
        ("engine-", |engine, value| engine.busy = Some(value)),
        ("total-cycles-", |engine, value| engine.total_cycles = Some(value)),
        ("cycles-", |engine, value| engine.cycles = Some(value)),
    ];
    let (name, set) =
        prefixes.into_iter().find_map(|(prefix, set)| Some((key.strip_prefix(prefix)?, set)))?;
    let (number, unit) = quantity(value)?;
    let is_known = engines.contains_key(name);
    let fits = !name.is_empty() && name.len() <= MAX_NAME && (is_known || engines.len() < MAX_ENGINES);
    if fits && matches!(unit, "" | "ns") {
        set(engines.entry(name.to_owned()).or_default(), number);
    }
    Some(())
}

/// Takes a key of a memory region on the device: `vram` (amdgpu), `vram0` (xe) or `local0` (i915).
fn memory_key(key: &str, value: &str, memory: &mut Memory) -> Option<()> {
    let (kind, region) = key.split_once('-')?;
    let slot = match kind {
        "resident" => &mut memory.resident,
        "memory" => &mut memory.older,
        "total" => &mut memory.total,
        _ => return None,
    };
    if !region.starts_with("vram") && !region.starts_with("local") {
        return None;
    }
    let (number, unit) = quantity(value)?;
    let factor = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    *slot = Some(slot.unwrap_or(0).saturating_add(number.saturating_mul(factor)));
    Some(())
}

/// A number and its unit, which may be missing.
fn quantity(value: &str) -> Option<(u64, &str)> {
    let mut words = value.split_ascii_whitespace();
    let number = words.next()?;
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, words.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    fn engine(busy: u64, capacity: u64) -> Engine {
        Engine { busy: Some(busy), capacity, ..Engine::default() }
    }

    #[test]
    fn amdgpu_counts_nanoseconds_and_kibibytes() {
        let text = "pos:\t0\nflags:\t02100002\ndrm-driver:\tamdgpu\ndrm-client-id:\t42\ndrm-pdev:\t0000:03:00.0\n\
                    pasid:\t32770\ndrm-memory-vram:\t1024 KiB\ndrm-memory-gtt: \t4 KiB\ndrm-engine-gfx:\t1500 ns\n\
                    drm-engine-compute:\t7 ns\n";
        let fdinfo = parse(text).unwrap();
        assert_eq!(
            (fdinfo.driver.as_str(), fdinfo.device.as_str(), fdinfo.client),
            ("amdgpu", "0000:03:00.0", 42)
        );
        assert_eq!(fdinfo.memory, Some(1 << 20));
        assert_eq!(fdinfo.engines["gfx"], engine(1500, 1));
        assert_eq!(fdinfo.engines["compute"], engine(7, 1));
    }

    #[test]
    fn i915_has_classes_of_several_engines() {
        let text = "drm-driver: i915\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 7\ndrm-engine-capacity-video: 2\n\
                    drm-engine-video: 90 ns\ndrm-total-local0: 8 MiB\ndrm-resident-local0: 3 MiB\ndrm-total-system0: 1 MiB\n";
        let fdinfo = parse(text).unwrap();
        assert_eq!(fdinfo.engines.len(), 1);
        assert_eq!(fdinfo.engines["video"], engine(90, 2));
        assert_eq!(fdinfo.memory, Some(3 << 20), "what is resident counts, not what was asked for");
    }

    #[test]
    fn xe_counts_cycles_and_several_tiles() {
        let text = "drm-driver:\txe\ndrm-client-id:\t3\ndrm-pdev:\t0000:03:00.0\ndrm-total-gtt:\t192 KiB\n\
                    drm-resident-vram0:\t512\ndrm-resident-vram1:\t1 KiB\ndrm-cycles-ccs:\t50\n\
                    drm-total-cycles-ccs:\t1000\ndrm-engine-capacity-ccs:\t4\n";
        let fdinfo = parse(text).unwrap();
        let ccs = Engine { busy: None, cycles: Some(50), total_cycles: Some(1000), capacity: 4 };
        assert_eq!(fdinfo.engines["ccs"], ccs);
        assert_eq!(fdinfo.memory, Some(512 + 1024), "a bare number is bytes");
    }

    #[test]
    fn what_is_not_said_stays_unknown() {
        let fdinfo = parse("drm-driver: i915\ndrm-pdev: 0000:00:02.0\ndrm-client-id: 1\n").unwrap();
        assert_eq!((fdinfo.memory, fdinfo.engines.len()), (None, 0));
        let zero = "drm-driver: i915\ndrm-pdev: 0000:00:02.0\ndrm-client-id: 1\ndrm-engine-capacity-x: 0\n";
        assert_eq!(parse(zero).unwrap().engines["x"].capacity, 1);
        for incomplete in [
            "",
            "pos: 0\nflags: 02\n",
            "drm-driver: i915\ndrm-client-id: 1\n",
            "drm-driver: i915\ndrm-pdev: 0000:00:02.0\n",
            "drm-driver: i915\ndrm-pdev: 0000:00:02.0\ndrm-client-id: -1\n",
            "drm-pdev: 0000:00:02.0\ndrm-client-id: 1\n",
        ] {
            assert_eq!(parse(incomplete), None, "{incomplete}");
        }
    }

    proptest! {
        #[test]
        fn any_text_does_no_harm(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn any_values_of_known_keys_stay_bounded(
            lines in prop::collection::vec(
                ("drm-(engine-|engine-capacity-|cycles-|total-cycles-|resident-vram|memory-|client-id)[a-z-]{0,40}",
                 "[ \t]{0,2}[0-9+-]{0,24} ?(ns|KiB|MiB|GiB|x)?"),
                0..200,
            ),
        ) {
            let mut text = String::from("drm-driver: xe\ndrm-pdev: 0000:03:00.0\ndrm-client-id: 1\n");
            for (key, value) in lines {
                text += &format!("{key}:{value}\n");
            }
            if let Some(fdinfo) = parse(&text) {
                prop_assert!(fdinfo.engines.len() <= MAX_ENGINES);
                prop_assert!(fdinfo.engines.iter().all(|(name, engine)| name.len() <= MAX_NAME && engine.capacity > 0));
            }
        }
    }
}
