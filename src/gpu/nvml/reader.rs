//! Reads one device in each tick, with as few calls as will do.
//!
//! | a device that | calls in a tick |
//! |---|---|
//! | idles, no contexts | 4: energy, utilisation, memory, compute list; graphics and MPS lists in every fifth tick |
//! | works | 6 to 8: a list with entries takes two calls (size and content), the samples of processes one |
//! | idles with MIG | 3 to 4, and one for each compute instance where its own list must be read |
//! | works with MIG | 4 to 5 likewise, and 2 for each instance with clients where GPM works |
//!
//! Beside these: the power limit every 10 s, MIG and accounting mode every minute; accounting takes two more calls
//! in each tick where an administrator has switched it on; with MIG, every 10 s one call for each place of an
//! instance and four for each that is there. A counter that didn't move costs a look at the power, and a device
//! without a counter one or two calls for power. Calls that are of no use are made every ten minutes.

use std::collections::BTreeSet;
use std::time::Duration;

use nvml_wrapper::Device;
use nvml_wrapper_sys::bindings::nvmlProcessUtilizationSample_t;

use crate::gpu::nvml::accounting::Accounting;
use crate::gpu::nvml::clients::{self, Lists};
use crate::gpu::nvml::energy::EnergyMeter;
use crate::gpu::nvml::errors::Why;
use crate::gpu::nvml::latch::{self, Latch};
use crate::gpu::nvml::limitation;
use crate::gpu::nvml::mig::Mig;
use crate::gpu::nvml::raw::Handle;
use crate::gpu::nvml::work::WorkMeter;
use crate::gpu::{Client, DeviceFailure, DeviceReading, Limitation, Now};
use crate::meters::Tick;
use crate::units::{Bytes, Watts};

/// How often modes are looked at, which an administrator may change.
const MODES_EVERY: Duration = Duration::from_secs(60);
/// The same while something speaks for a change: MIG is on but nothing is there.
const MODES_IN_DOUBT: Duration = Duration::from_secs(10);
/// How often the power limit is looked at.
const LIMIT_EVERY: Duration = Duration::from_secs(10);
/// How long after its last work samples of processes are still asked for.
const AFTERGLOW: Duration = Duration::from_secs(5);
/// `NVML_FEATURE_ENABLED`.
const ENABLED: u32 = 1;

/// Reads one device.
pub(super) struct Reader {
    handle: Handle,
    state: State,
}

impl Reader {
    /// A reader of the device behind `handle`.
    pub(super) fn new(handle: Handle, model: &str) -> Self {
        Self { handle, state: State::new(model) }
    }

    /// Reads the device.
    pub(super) fn read(&mut self, now: &Now) -> Result<DeviceReading, DeviceFailure> {
        let result = self.state.read(&self.handle, now);
        if result.is_err() {
            self.state.fail();
        }
        result
    }
}

struct State {
    energy: EnergyMeter,
    utilization: Latch,
    memory: Latch,
    limit: Latch,
    limit_read: Option<(Option<Watts>, Duration)>,
    mode: Latch,
    modes_read: Option<Duration>,
    /// Set while MIG is on.
    mig: Option<Mig>,
    whole: Whole,
}

impl State {
    fn new(model: &str) -> Self {
        Self {
            energy: EnergyMeter::new(model),
            utilization: Latch::default(),
            memory: Latch::default(),
            limit: Latch::default(),
            limit_read: None,
            mode: Latch::default(),
            modes_read: None,
            mig: None,
            whole: Whole::default(),
        }
    }

    fn fail(&mut self) {
        self.energy.fail();
        self.modes_read = None;
    }

    fn read(&mut self, handle: &Handle, now: &Now) -> Result<DeviceReading, DeviceFailure> {
        let device = handle.device();
        let mut limitations = Vec::new();
        let (tick, energy) = self.energy.read(handle, now, &mut limitations)?;
        let at = tick.boottime;
        let period = if self.mig.as_ref().is_some_and(Mig::is_empty) { MODES_IN_DOUBT } else { MODES_EVERY };
        if self.modes_read.is_none_or(|read| at.saturating_sub(read) >= period) {
            self.look_at_modes(&device, at)?;
        }
        let had_rates = self.utilization.why().is_none();
        let rates = self.utilization.ask(at, || device.utilization_rates())?;
        if had_rates && self.utilization.why().is_some() {
            // That it isn't supported any more is how MIG shows when it was switched on.
            self.modes_read = None;
        }
        let utilization = rates.map(|rates| (f64::from(rates.gpu) / 100.0).min(1.0));
        let memory = self.memory.ask(at, || device.memory_info())?;
        let power_limit = self.power_limit(&device, at)?;
        for (what, latch) in [("utilization", &self.utilization), ("memory_used", &self.memory)] {
            // What a device hasn't is no fault of it.
            if let Some(why) = latch.why().filter(|why| *why != Why::Unsupported) {
                limitations.push(limitation(what, why.reason(), why.remedy()));
            }
        }
        let (clients, work, instances) = if let Some(mig) = &mut self.mig {
            let (clients, instances) = mig.read(handle, tick, &mut limitations)?;
            limitations.push(limitation("sm_util", "not available with MIG", None));
            (clients, None, instances)
        } else {
            let (clients, work) = self.whole.read(handle, (tick, now), utilization, &mut limitations)?;
            (clients, work, Vec::new())
        };
        let clients = clients.map(clients::merge);
        if clients.iter().flatten().any(|client| client.memory.is_none()) {
            limitations.push(limitation("memory", "memory of some clients isn't known", None));
        }
        Ok(DeviceReading {
            at: tick,
            energy,
            utilization,
            memory_used: memory.map(|memory| Bytes(memory.used)),
            power_limit,
            clients,
            work,
            mig: self.mig.is_some(),
            instances,
            limitations,
        })
    }

    fn look_at_modes(&mut self, device: &Device<'_>, at: Duration) -> Result<(), DeviceFailure> {
        let answer = self.mode.ask(at, || device.mig_mode())?;
        let is_on = answer.map(|mode| mode.current == ENABLED);
        // An answer that failed says nothing, however often; a call that is off says that there is no MIG.
        let is_off = self.mode.why().is_some_and(|why| why != Why::Failing);
        let is_on = if is_off { Some(false) } else { is_on };
        match is_on {
            Some(true) if self.mig.is_none() => {
                self.mig = Some(Mig::default());
                self.utilization = Latch::default();
            }
            Some(false) if self.mig.is_some() => {
                self.mig = None;
                self.utilization = Latch::default();
                self.whole = Whole::default();
            }
            _ => {}
        }
        if self.mig.is_none() {
            self.whole.accounting.look(device, at)?;
        }
        self.modes_read = Some(at);
        Ok(())
    }

    fn power_limit(&mut self, device: &Device<'_>, at: Duration) -> Result<Option<Watts>, DeviceFailure> {
        if let Some((limit, read)) = self.limit_read
            && at.saturating_sub(read) < LIMIT_EVERY
        {
            return Ok(limit);
        }
        let limit = self.limit.ask(at, || device.enforced_power_limit())?;
        let limit = limit.map(|milliwatts| Watts(f64::from(milliwatts) / 1e3));
        // What failed is tried again in the next tick.
        self.limit_read = (limit.is_some() || self.limit.why().is_some()).then_some((limit, at));
        Ok(limit)
    }
}

/// Clients and work of a device that isn't cut into instances.
#[derive(Default)]
struct Whole {
    lists: Lists,
    samples: Latch,
    work: WorkMeter,
    /// Room for samples, kept.
    buffer: Vec<nvmlProcessUtilizationSample_t>,
    accounting: Accounting,
    /// Until when samples are asked for although nothing is going on.
    active_until: Duration,
}

/// Clients, and work by pid.
type Use = (Option<Vec<Client>>, Option<Vec<(u32, u64)>>);

impl Whole {
    fn read(
        &mut self,
        handle: &Handle,
        (now, clock): (Tick, &Now),
        utilization: Option<f64>,
        limitations: &mut Vec<Limitation>,
    ) -> Result<Use, DeviceFailure> {
        let (at, device) = (now.boottime, &handle.device());
        let mut looked = self.lists.look(device, at)?;
        let works = utilization.is_none_or(|share| share > 0.0);
        if works || looked.clients.as_ref().is_none_or(|clients| !clients.is_empty()) {
            self.active_until = at + AFTERGLOW;
        }
        let mut work = Some(Vec::new());
        if at < self.active_until {
            let last_seen = self.work.last_seen(now);
            let buffer = &mut self.buffer;
            let call = || latch::list(|| handle.process_utilization(last_seen, buffer));
            let samples = self.samples.ask(at, call)?;
            // The call may have taken its time, and the newest sample is as young as its answer.
            let came = clock.get();
            work = samples.map(|samples| self.work.take(samples, last_seen, works, now, came));
        } else {
            self.work.rest(now);
            work = work.filter(|_| self.samples.why().is_none());
        }
        if let Some(why) = self.samples.why() {
            limitations.push(limitation("sm_util", why.reason(), why.remedy()));
        }
        if let (Some(clients), Some(work)) = (&looked.clients, &work) {
            let known: BTreeSet<u32> = clients.iter().map(|client| client.pid).collect();
            if work.iter().any(|(pid, _)| !known.contains(pid)) {
                self.lists.complete(device, at, &mut looked)?;
            }
        }
        if let Some(why) = self.lists.why() {
            limitations.push(limitation("clients", why.reason(), why.remedy()));
        }
        limitations.extend(self.lists.limitations());
        if let Some(work) = &mut work {
            let listed = looked.clients.iter().flatten().map(|client| client.pid);
            let present: BTreeSet<u32> = listed.chain(work.iter().map(|(pid, _)| *pid)).collect();
            work.extend(self.accounting.recover(device, &present, now)?);
        }
        Ok((looked.clients, work))
    }
}
