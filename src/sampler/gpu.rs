//! Gives the energy of GPUs to those who used it.

mod clients;
mod holders;

use std::collections::HashMap;
use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use crate::attribution::baseline;
use crate::attribution::gpu::{Division, Evidence, Method, Use, Whom, divide, divide_idle};
use crate::gpu::{DeviceReading, DeviceTick, GpuDelta, GpuTick};
use crate::ledger::{DeviceIndex, ProcessName, Reason, State};
use crate::meters::{Component, Domain, Quality, Tick};
use crate::sampler::Sampler;
use crate::sampler::beyond::Beyond;
use crate::units::{Microjoules, Watts};
use crate::workloads::{ProcessIdentity, WorkloadTick};

use clients::{Clients, Pids};
use holders::{Holders, Holding};

/// What is carried from tick to tick.
#[derive(Debug)]
pub(super) struct GpuBooks {
    devices: HashMap<Arc<str>, DeviceState>,
    pids: Pids,
    holders: Holders,
}

/// One GPU, beside the ledger.
#[derive(Debug, Default)]
pub(super) struct DeviceState {
    index: Option<DeviceIndex>,
    /// Its last reading; what holds while it doesn't answer for a moment.
    reading: Option<DeviceReading>,
    clients: Clients,
    /// To whom it was given.
    pub(super) holding: Holding,
    /// For a meter that CPU and memory are in: what it shows beyond them.
    beyond: Beyond,
    /// Its mean power in the last tick.
    pub(super) power: Option<Watts>,
    /// The rung of the last split.
    pub(super) method: Option<Method>,
}

/// Energy of one tick's interval that goes to one GPU's users.
#[derive(Clone, Copy, Debug)]
struct Interval {
    /// The GPU.
    device: DeviceIndex,
    /// The time that its energy was drawn in; none where that is of no use for the power in this tick.
    drawn_in: Option<Duration>,
    /// The tick.
    elapsed: Duration,
}

impl Interval {
    /// What this tick's power is told from.
    fn in_tick(&self, energy: Microjoules) -> Microjoules {
        let Some(drawn_in) = self.drawn_in.filter(|time| !time.is_zero()) else {
            return Microjoules::ZERO;
        };
        let scaled = u128::from(energy.get()) * self.elapsed.as_nanos() / drawn_in.as_nanos();
        Microjoules::new(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

impl GpuBooks {
    pub(super) fn new(procfs: &std::path::Path) -> Self {
        Self { devices: HashMap::new(), pids: Pids::new(procfs), holders: Holders::default() }
    }

    /// What is known of a GPU.
    pub(super) fn device(&self, uuid: &str) -> Option<&DeviceState> {
        self.devices.get(uuid)
    }

    /// Whether drivers and procfs agree on pids; none while no GPU has a process.
    pub(super) fn pid_namespace_ok(&self) -> Option<bool> {
        self.pids.agree()
    }
}

impl DeviceState {
    /// Takes off a delta what CPU and memory used in its time, where its meter covers them, too.
    fn without_others(&mut self, delta: GpuDelta) -> GpuDelta {
        if delta.domain != Domain::Module {
            self.beyond = Beyond::default();
            return delta;
        }
        // What is owed is no more than they used: a model of the CPU that says too much must not keep the GPU at 0.
        let energy = self.beyond.rest(delta.energy, delta.elapsed, |used| used);
        GpuDelta { energy, ..delta }
    }

    /// The last reading, also of a device that doesn't answer now.
    pub(super) fn last_reading(&self) -> Option<&DeviceReading> {
        self.reading.as_ref()
    }

    /// Processes that held a context in the last reading; none where it couldn't be told.
    pub(super) fn contexts(&self) -> Option<u64> {
        self.clients.contexts()
    }

    /// Its number in the ledger, once it was booked.
    pub(super) fn index(&self) -> Option<DeviceIndex> {
        self.index
    }
}

impl Sampler {
    /// Books what GPUs used in one tick, and gives the energy. `others` is what CPU and memory used in it.
    pub(super) fn attribute_gpus(
        &mut self,
        gpus: &GpuTick,
        usage: &WorkloadTick,
        now: Tick,
        elapsed: Duration,
        others: Microjoules,
    ) -> Microjoules {
        let readings = gpus.devices.iter().filter_map(|device| device.reading.as_ref());
        self.gpu_books.pids.update(readings, usage, &mut self.workloads, &self.ledger, now.boottime);
        self.gpu_books.holders.refresh(&self.names);
        let is_module = |device: &&DeviceTick| device.up && device.report.id.domain == Domain::Module;
        let modules = u64::try_from(gpus.devices.iter().filter(is_module).count()).unwrap_or(1).max(1);
        let share = Microjoules::new(others.get() / modules);
        let (mut quality, mut power, mut in_tick, mut booked) =
            (None::<Quality>, None::<Watts>, Microjoules::ZERO, Microjoules::ZERO);
        for device in &gpus.devices {
            let uuid = &device.identity.uuid;
            let mut state = self.gpu_books.devices.remove(uuid).unwrap_or_default();
            if is_module(&device) {
                state.beyond.add(share, elapsed);
            }
            let before = state.clients.keys();
            if let Some(reading) = &device.reading {
                state.clients = Clients::new(reading, &self.gpu_books.pids, &state.clients, now.boottime);
                state.reading = Some(reading.clone());
            }
            self.gpu_books.holders.settle(&mut state.holding, &device.identity, state.reading.as_ref());
            state.power = None;
            state.index = state.index.or_else(|| self.ledger.open_device(uuid));
            if let (Some(delta), Some(index)) = (device.delta, state.index) {
                let delta = state.without_others(delta);
                // Without a reading nobody knows who holds it now.
                let is_strange =
                    delta.after_gap && (device.reading.is_none() || before != state.clients.keys());
                let drawn_in = (!delta.after_gap).then_some(delta.elapsed);
                let interval = Interval { device: index, drawn_in, elapsed };
                self.ledger.set_rates(self.prices.over(delta.elapsed));
                if is_strange {
                    self.ledger.book_gpu_unattributed(index, Reason::Outage, delta.energy);
                } else {
                    self.book_device(device, &delta, &interval, &mut state);
                }
                state.power = drawn_in.and_then(|time| delta.energy.over(time));
                quality = quality.max(Some(delta.quality));
                power = [power, state.power].into_iter().flatten().reduce(Add::add);
                in_tick += interval.in_tick(delta.energy);
                booked += delta.energy;
            }
            if !device.up {
                state.method = None;
            }
            self.gpu_books.devices.insert(Arc::clone(uuid), state);
        }
        self.books.note(Component::Gpu, quality, power, in_tick);
        booked
    }

    /// Books one interval of one GPU: the idle part by who holds it, then the active part by the best evidence.
    fn book_device(
        &mut self,
        device: &DeviceTick,
        delta: &GpuDelta,
        interval: &Interval,
        state: &mut DeviceState,
    ) {
        let Interval { device: index, .. } = *interval;
        let id = &device.report.id;
        let utilization = state.reading.as_ref().and_then(|reading| reading.utilization);
        let works = utilization.is_some_and(|share| share > 0.0);
        if !delta.after_gap {
            // The idle power of a GPU is what it draws while nobody holds a context on it.
            let busy = state.clients.are_there().map(|there| if there || works { 1.0 } else { 0.0 });
            self.baselines.observe(id, delta.energy, delta.elapsed, busy);
        }
        let split = baseline::split(delta.energy, self.baselines.get(id), delta.elapsed);
        let division = divide(split.active, &state.evidence());
        let is_used = !division.contenders.is_empty();
        // Without any context and without any work, it was just on.
        let was_just_on = !is_used && state.clients.are_there() == Some(false) && !works;
        self.book_idle(interval, if was_just_on { delta.energy } else { split.idle }, &state.holding);
        if !is_used {
            state.method = Some(Method::None);
            if !was_just_on {
                self.ledger.book_gpu_unattributed(index, Reason::NoEvidence, split.active);
            }
            return;
        }
        state.method = Some(division.method);
        let usage = match division.usage {
            Use::Active => State::Active,
            Use::Parked => State::Parked,
        };
        for &(whom, share) in &division.owners {
            self.book_owner(interval, whom, usage, share);
        }
        self.book_clients(interval, usage, &division, &state.clients);
    }

    /// Books what a card draws whether it is used or not: to those who hold it, and the rest to nobody.
    fn book_idle(&mut self, interval: &Interval, energy: Microjoules, holding: &Holding) {
        let (held, free) = divide_idle(energy, &holding.shares, holding.free);
        for (owner, share) in held {
            self.book_owner(interval, Whom::Owner(owner), State::Idle, share);
        }
        self.ledger.book_gpu_idle(interval.device, free);
    }

    fn book_owner(&mut self, interval: &Interval, whom: Whom, state: State, share: Microjoules) {
        match whom {
            Whom::Owner(id) => {
                let kind = self.workloads.owners().kind(id);
                let in_tick = interval.in_tick(share);
                self.ledger.book_gpu(interval.device, (id, kind), state, share, in_tick);
            }
            Whom::Unknown => {
                let agree = self.gpu_books.pids.agree() != Some(false);
                let reason = if agree { Reason::UnknownProcess } else { Reason::PidNamespace };
                self.ledger.book_gpu_unattributed(interval.device, reason, share);
            }
        }
    }

    /// Books the shares of living processes; what the others used stays with their owner.
    fn book_clients(&mut self, interval: &Interval, state: State, division: &Division, clients: &Clients) {
        for (process, &energy) in clients.processes().zip(&division.contenders) {
            let Some(ProcessIdentity { pid, start_time, comm, owner }) = process else { continue };
            let owner = self.ledger.owner(*owner).cloned();
            let name = ProcessName { pid: *pid, start_time: *start_time, comm, owner: owner.as_ref() };
            self.ledger.processes_mut().book_gpu(&name, state, energy, interval.in_tick(energy));
        }
    }
}

impl DeviceState {
    /// All that is known of who used it.
    pub(super) fn evidence(&self) -> Evidence<'_> {
        let reading = self.reading.as_ref();
        Evidence {
            contenders: self.clients.contenders(),
            work_is_known: self.clients.work_is_known(),
            mig: reading.is_some_and(|reading| reading.mig),
            instances: reading.map_or(&[], |reading| &reading.instances),
            utilization: reading.and_then(|reading| reading.utilization),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
