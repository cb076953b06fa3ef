//! Devices and processes as tests want them, in few words.

use crate::scenario::{
    Accounting, Device, Fault, Gpm, Hang, Instance, Kind, Mig, Module, Process, Scenario, Segment,
};

impl Scenario {
    /// With one more fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// With one more hang.
    #[must_use]
    pub fn hang(mut self, hang: Hang) -> Self {
        self.hangs.push(hang);
        self
    }
}

impl Fault {
    /// All calls of a function fail.
    pub fn of(symbol: &str, code: u32) -> Self {
        Self { symbol: symbol.to_owned(), code, ..Self::default() }
    }

    /// Only those on this device.
    #[must_use]
    pub fn on(mut self, uuid: &str) -> Self {
        self.device = Some(uuid.to_owned());
        self
    }

    /// Only in this span.
    #[must_use]
    pub fn within(mut self, from_ns: u64, until_ns: u64) -> Self {
        (self.from_ns, self.until_ns) = (from_ns, Some(until_ns));
        self
    }

    /// Only each n-th.
    #[must_use]
    pub fn every(mut self, n: u32) -> Self {
        self.every = Some(n);
        self
    }
}

impl Hang {
    /// All calls of a function hang until this hang leaves the scenario.
    pub fn of(symbol: &str) -> Self {
        Self { symbol: symbol.to_owned(), releasable: true, ..Self::default() }
    }

    /// Only those on this device.
    #[must_use]
    pub fn on(mut self, uuid: &str) -> Self {
        self.device = Some(uuid.to_owned());
        self
    }

    /// Only for so long.
    #[must_use]
    pub fn seconds(mut self, seconds: f64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// For good, even when the scenario changes.
    #[must_use]
    pub fn for_ever(mut self) -> Self {
        self.releasable = false;
        self
    }
}

impl Device {
    /// The UUID of the preset of this number.
    pub fn uuid_of(number: u8) -> String {
        format!("GPU-00000000-0000-4000-8000-{number:012}")
    }

    fn preset(number: u8, name: &str, architecture: u32) -> Self {
        Self {
            uuid: Self::uuid_of(number),
            name: name.to_owned(),
            pci_bus_id: format!("00000000:{:02X}:00.0", number.saturating_add(1)),
            architecture,
            averaged_power: architecture >= 7,
            ..Self::default()
        }
    }

    /// An H100: a counter, averaged power; GPM is there but not permitted.
    pub fn hopper(number: u8) -> Self {
        Self {
            gpm: Some(Gpm { permitted: false, ..Gpm::default() }),
            ..Self::preset(number, "NVIDIA H100 80GB HBM3", 9)
        }
    }

    /// An A100: a counter, power of the moment, no GPM.
    pub fn ampere(number: u8) -> Self {
        Self {
            averaged_power: false,
            power_limit_watts: Some(400.0),
            memory_total: 40 << 30,
            ..Self::preset(number, "NVIDIA A100-SXM4-40GB", 7)
        }
    }

    /// A P100: no energy counter.
    pub fn pascal(number: u8) -> Self {
        Self {
            energy_counter: false,
            power_limit_watts: Some(250.0),
            memory_total: 16 << 30,
            ..Self::preset(number, "Tesla P100-PCIE-16GB", 4)
        }
    }

    /// A Grace Hopper: both its own counter and the fields of scope 1 cover the module; scope 0 doesn't exist.
    pub fn grace_hopper(number: u8, module: Module) -> Self {
        Self {
            power: module.power.clone(),
            energy_base_mj: module.energy_base_mj,
            gpu_scope: false,
            module: Some(module),
            ..Self::preset(number, "NVIDIA GH200 480GB", 9)
        }
    }

    /// Drawing this power from a moment on.
    #[must_use]
    pub fn power(mut self, from_ns: u64, watts: f64) -> Self {
        self.power.push(Segment { from_ns, watts });
        self.power.sort_by_key(|segment| segment.from_ns);
        self
    }

    /// With a process.
    #[must_use]
    pub fn process(mut self, process: Process) -> Self {
        self.processes.push(process);
        self
    }

    /// In MIG mode with these instances.
    #[must_use]
    pub fn mig(mut self, instances: impl IntoIterator<Item = Instance>) -> Self {
        self.mig = Some(Mig { enabled: true, instances: instances.into_iter().collect(), ..Mig::default() });
        self
    }

    /// With permitted GPM, whose metrics are these percentages.
    #[must_use]
    pub fn gpm(mut self, graphics_utilization: f64, sm_utilization: f64) -> Self {
        self.gpm = Some(Gpm { permitted: true, graphics_utilization, sm_utilization });
        self
    }

    /// With accounting.
    #[must_use]
    pub fn accounting(mut self, accounting: Accounting) -> Self {
        self.accounting = Some(accounting);
        self
    }
}

impl Instance {
    /// An instance of one slice, at the place of its number and with a UUID made of both numbers.
    pub fn slice(device: u8, number: u32) -> Self {
        Self {
            index: number,
            gpu_instance: number + 7,
            compute_instance: 0,
            uuid: format!("MIG-00000000-0000-5000-8{device:03}-{number:012}"),
            profile: "1g.10gb".to_owned(),
            multiprocessors: 16,
            slices: 1,
            compute_slices: 1,
            memory_total: 10 << 30,
            memory_used: 0,
            sm_utilization: 0.0,
        }
    }
}

impl Process {
    /// A compute process that is there for ever and does nothing.
    pub fn compute(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }

    /// Of another kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Working this percentage of the time.
    #[must_use]
    pub fn sm(mut self, percent: u32) -> Self {
        self.sm_utilization = percent;
        self
    }

    /// Holding so many bytes.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// In an instance.
    #[must_use]
    pub fn instance(mut self, gpu_instance: u32, compute_instance: u32) -> Self {
        (self.gpu_instance, self.compute_instance) = (Some(gpu_instance), Some(compute_instance));
        self
    }

    /// There only in this span.
    #[must_use]
    pub fn within(mut self, from_ns: u64, until_ns: u64) -> Self {
        (self.from_ns, self.until_ns) = (from_ns, Some(until_ns));
        self
    }

    /// Not in the process lists.
    #[must_use]
    pub fn unlisted(mut self) -> Self {
        self.in_lists = false;
        self
    }
}
