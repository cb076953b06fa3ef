//! Gives the energy of one tick to those who used it.

use std::ops::Add;
use std::time::Duration;

use crate::attribution::apportion::{apportion, fraction};
use crate::attribution::baseline::{self, Split};
use crate::attribution::dram::{MemoryWeights, memory_weights};
use crate::gpu::GpuTick;
use crate::ledger::{ProcessName, Reason, State};
use crate::meters::{Component, ComponentDelta, DomainDelta, MeterTick, Quality, Tick};
use crate::sampler::Sampler;
use crate::sampler::beyond::Beyond;
use crate::units::{CpuTime, Microjoules, Watts};
use crate::workloads::WorkloadTick;
use crate::workloads::owners::OwnerId;

/// What is carried from tick to tick beside the ledger.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By [`Component::index`]; none for a component that never had a meter.
    pub(super) components: [Option<ComponentState>; Component::ALL.len()],
    /// The other components, as parts of what the whole-node meter shows.
    beyond_node: Beyond,
}

impl Books {
    /// Notes how a component fared in a tick; without a quality nothing was said of it.
    pub(super) fn note(
        &mut self,
        component: Component,
        quality: Option<Quality>,
        power: Option<Watts>,
        energy: Microjoules,
    ) {
        if let Some(state) = self.components.get_mut(component.index()) {
            *state = match (quality, *state) {
                (Some(quality), _) => Some(ComponentState { quality, power, energy }),
                (None, Some(before)) => Some(ComponentState { power: None, energy, ..before }),
                (None, None) => None,
            };
        }
    }
}

/// How a component fared in the last tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct ComponentState {
    /// The worst quality among its meters.
    pub(super) quality: Quality,
    /// Its mean power; none if it booked nothing.
    pub(super) power: Option<Watts>,
    /// The energy that `power` is told from.
    pub(super) energy: Microjoules,
}

impl Sampler {
    /// Books everything that one tick brought.
    pub(super) fn attribute(
        &mut self,
        usage: &WorkloadTick,
        readings: &MeterTick,
        gpus: &GpuTick,
        now: Tick,
        elapsed: Duration,
    ) {
        let owners = self.workloads.owners().bound();
        let weights = if usage.nodes.is_empty() {
            whole_machine(usage, owners)
        } else {
            self.weights.weigh(&usage.nodes, owners)
        };
        for (index, &time) in weights.iter().enumerate() {
            if let Some(id) = OwnerId::from_index(index).filter(|_| time > 0) {
                self.ledger.add_cpu_time(id, CpuTime::from_nanos(time));
            }
        }
        self.book_embodied_server(&weights, usage.cpus, elapsed);
        let memory = memory_weights(&usage.memory, usage.machine_memory, owners);
        let utilisation = utilisation(usage, elapsed);
        let mut shares = Vec::new();
        let mut booked = Microjoules::ZERO;
        for delta in &readings.components {
            for late in delta.domains.iter().filter(|domain| domain.is_late) {
                self.ledger.set_rates(self.prices.over(late.elapsed));
                self.ledger.book_unattributed(delta.component, Reason::Outage, late.energy);
            }
            let domains = delta.domains.iter().filter(|domain| !domain.is_late);
            self.ledger.set_rates(self.prices.mean(domains.map(|domain| (domain.energy, domain.elapsed))));
            let Some(split) = self.split(delta, utilisation) else { continue };
            match delta.component {
                Component::Cpu => self.ledger.book_idle(Component::Cpu, split.idle),
                Component::Dram => self.book_idle_memory(split.idle, &memory),
                Component::Gpu | Component::Other => {}
            }
            shares.push((delta.component, self.book_active(delta.component, split.active, &weights)));
            booked += split.idle + split.active;
        }
        booked += self.attribute_gpus(gpus, usage, now, elapsed, booked);
        self.book_embodied_gpus(gpus, elapsed);
        self.books.beyond_node.add(booked, elapsed);
        self.book_processes(usage, &weights, &shares);
        if let Some(node) = &readings.node {
            self.book_other(node);
        }
    }

    /// Divides a component's energy into idle and active, domain by domain, and lets the baselines learn from it.
    fn split(&mut self, delta: &ComponentDelta, utilisation: Option<f64>) -> Option<Split> {
        let domains = || delta.domains.iter().filter(|domain| !domain.is_late);
        let quality = domains().map(|domain| domain.quality).max();
        // Each domain's energy may be of another time, after an outage of one of them.
        let power = domains().filter_map(|domain| domain.energy.over(domain.elapsed)).reduce(Add::add);
        let energy = domains().map(|domain| domain.energy).sum();
        self.books.note(delta.component, quality, power, energy);
        self.books.components.get(delta.component.index()).copied().flatten()?;
        let mut all = Split::default();
        for domain in domains() {
            match domain.modelled_idle {
                Some(idle) => self.baselines.set_modelled(&domain.id, idle),
                None => self.baselines.observe(&domain.id, domain.energy, domain.elapsed, utilisation),
            }
            let part = baseline::split(domain.energy, self.baselines.get(&domain.id), domain.elapsed);
            all.idle += part.idle;
            all.active += part.active;
        }
        Some(all)
    }

    /// Books active energy by CPU time and returns the shares by owner.
    fn book_active(
        &mut self,
        component: Component,
        energy: Microjoules,
        weights: &[u64],
    ) -> Vec<Microjoules> {
        let Some(shares) = apportion(energy, weights) else {
            self.ledger.book_unattributed(component, Reason::NoEvidence, energy);
            return Vec::new();
        };
        for (index, &share) in shares.iter().enumerate().filter(|(_, share)| !share.is_zero()) {
            if let Some(id) = OwnerId::from_index(index) {
                let kind = self.workloads.owners().kind(id);
                self.ledger.book(id, kind, component, State::Active, share);
            }
        }
        shares
    }

    /// Books the idle energy of memory by who holds it; what nobody holds is idle.
    fn book_idle_memory(&mut self, energy: Microjoules, memory: &MemoryWeights) {
        let mut weights = memory.owners.clone();
        weights.push(memory.unused);
        let Some(shares) = apportion(energy, &weights) else {
            self.ledger.book_idle(Component::Dram, energy);
            return;
        };
        for (index, &share) in shares.iter().enumerate().filter(|(_, share)| !share.is_zero()) {
            if index == memory.owners.len() {
                self.ledger.book_idle(Component::Dram, share);
            } else if let Some(id) = OwnerId::from_index(index) {
                let kind = self.workloads.owners().kind(id);
                self.ledger.book(id, kind, Component::Dram, State::Idle, share);
            }
        }
    }

    /// Splits each owner's active energy over its living processes. What processes used that have died stays
    /// with the owner.
    fn book_processes(
        &mut self,
        usage: &WorkloadTick,
        weights: &[u64],
        shares: &[(Component, Vec<Microjoules>)],
    ) {
        let mut living = vec![0_u64; weights.len()];
        for process in &usage.processes {
            if let Some(sum) = living.get_mut(process.owner.index()) {
                *sum = sum.saturating_add(process.cpu_time.as_nanos());
            }
        }
        for process in &usage.processes {
            let at = process.owner.index();
            // The processes' clocks are read a little later than the cgroup's, so they may show more.
            let whole = weights.get(at).copied().unwrap_or(0).max(living.get(at).copied().unwrap_or(0));
            let owner = self.ledger.owner(process.owner).cloned();
            for (component, by_owner) in shares {
                let Some(&share) = by_owner.get(at) else { continue };
                let energy = fraction(share, process.cpu_time.as_nanos(), whole);
                if !energy.is_zero() {
                    let (pid, start_time) = (process.pid, process.start_time);
                    let who = ProcessName { pid, start_time, comm: &process.comm, owner: owner.as_ref() };
                    self.ledger.processes_mut().book(&who, *component, energy);
                }
            }
        }
        let ended: Vec<(u32, u64)> = usage.ended.iter().map(|gone| (gone.pid, gone.start_time)).collect();
        self.ledger.processes_mut().end(&ended);
    }

    /// Books what the whole-node meter shows beyond the components.
    fn book_other(&mut self, node: &DomainDelta) {
        let other = self.books.beyond_node.rest(node.energy, node.elapsed, |_| Microjoules::MAX);
        self.ledger.set_rates(self.prices.over(node.elapsed));
        self.ledger.book_unattributed(Component::Other, Reason::NoEvidence, other);
        self.books.note(Component::Other, Some(node.quality), other.over(node.elapsed), other);
    }

    /// The part of a component's mean power in the last tick that is due to some of its energy.
    #[allow(clippy::cast_precision_loss, reason = "the energy of a tick is far below 2^53 microjoules")]
    pub(super) fn power(&self, component: Component, energy: Microjoules) -> Option<Watts> {
        let state = self.books.components.get(component.index()).copied().flatten()?;
        if state.energy.is_zero() {
            return state.power;
        }
        Some(state.power?.scaled(energy.get() as f64 / state.energy.get() as f64))
    }
}

/// Without cgroups all that ran is the system.
fn whole_machine(usage: &WorkloadTick, owners: usize) -> Vec<u64> {
    let seen: CpuTime = usage.processes.iter().map(|process| process.cpu_time).sum();
    let mut weights = vec![0; owners];
    if let Some(system) = weights.get_mut(OwnerId::SYSTEM.index()) {
        *system = usage.busy.unwrap_or_default().max(seen).as_nanos();
    }
    weights
}

/// The share of the machine's CPU time that was used, 0 to 1.
fn utilisation(usage: &WorkloadTick, elapsed: Duration) -> Option<f64> {
    let possible = elapsed.as_secs_f64() * f64::from(usage.cpus);
    (possible > 0.0).then_some(())?;
    Some((usage.busy?.as_seconds() / possible).clamp(0.0, 1.0))
}
