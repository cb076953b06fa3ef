//! The totals of one owner.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::{DeviceIndex, Footprint, State};
use crate::meters::Component;
use crate::units::{CpuTime, Grams, Microjoules};
use crate::workloads::owner::Owner;

/// What an owner used since it was first seen; nothing in here ever falls.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// CPU time.
    pub cpu_time: CpuTime,
    energy: [[Microjoules; State::ALL.len()]; Component::ALL.len()],
    footprints: [Footprint; Component::ALL.len()],
    /// The part of the GPU energy of each card that was used; few owners have any.
    gpus: Vec<(DeviceIndex, Microjoules)>,
}

impl Totals {
    /// Energy of one component in one state.
    pub fn energy(&self, component: Component, state: State) -> Microjoules {
        self.energy
            .get(component.index())
            .and_then(|states| states.get(state.index()))
            .copied()
            .unwrap_or_default()
    }

    /// What was caused in one component.
    pub fn footprint(&self, component: Component) -> Footprint {
        self.footprints.get(component.index()).copied().unwrap_or_default()
    }

    /// Adds emissions of making the hardware.
    pub(crate) fn add_embodied(&mut self, component: Component, grams: Grams) {
        if let Some(sum) = self.footprints.get_mut(component.index()) {
            sum.embodied += grams;
        }
    }

    /// GPU energy, card by card, of the cards that were used.
    pub fn gpus(&self) -> &[(DeviceIndex, Microjoules)] {
        &self.gpus
    }

    /// Says from which card GPU energy was that was added.
    pub fn add_gpu(&mut self, device: DeviceIndex, energy: Microjoules) {
        match self.gpus.iter_mut().find(|(known, _)| *known == device) {
            Some((_, sum)) => *sum += energy,
            None => self.gpus.push((device, energy)),
        }
    }

    /// Adds all that another one used.
    fn merge(&mut self, other: &Self) {
        self.cpu_time += other.cpu_time;
        for (states, more) in self.energy.iter_mut().zip(&other.energy) {
            for (sum, energy) in states.iter_mut().zip(more) {
                *sum += *energy;
            }
        }
        for (sum, footprint) in self.footprints.iter_mut().zip(&other.footprints) {
            *sum += *footprint;
        }
        for &(device, energy) in &other.gpus {
            self.add_gpu(device, energy);
        }
    }

    /// Adds energy and what it caused.
    pub fn add(&mut self, component: Component, state: State, energy: Microjoules, footprint: Footprint) {
        if let Some(sum) =
            self.energy.get_mut(component.index()).and_then(|states| states.get_mut(state.index()))
        {
            *sum += energy;
        }
        if let Some(sum) = self.footprints.get_mut(component.index()) {
            *sum += footprint;
        }
    }
}

/// One owner's entry in the ledger.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Whose it is; none for an entry that is free or shared.
    pub owner: Option<Arc<Owner>>,
    /// Totals since the owner was first seen.
    pub totals: Totals,
    in_tick: [Microjoules; Component::ALL.len()],
    ended_at: Option<Duration>,
}

impl Account {
    /// An entry for an owner that comes, or comes back with the totals that it had.
    pub(crate) fn new(owner: Arc<Owner>, totals: Totals) -> Self {
        Self { owner: Some(owner), totals, in_tick: Default::default(), ended_at: None }
    }

    /// All that it has so far, which it has no longer.
    pub(crate) fn give_away(&mut self) -> Self {
        let (totals, in_tick) = (std::mem::take(&mut self.totals), std::mem::take(&mut self.in_tick));
        Self { totals, in_tick, ..Self::default() }
    }

    /// Adds what another one gave away.
    pub(crate) fn take_over(&mut self, given: Self) {
        self.totals.merge(&given.totals);
        for (sum, energy) in self.in_tick.iter_mut().zip(given.in_tick) {
            *sum += energy;
        }
    }

    /// Energy of this tick.
    pub fn in_tick(&self, component: Component) -> Microjoules {
        self.in_tick.get(component.index()).copied().unwrap_or_default()
    }

    /// Whether the owner's cgroup is gone.
    pub fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }

    pub(crate) fn begin(&mut self) {
        self.in_tick = Default::default();
    }

    pub(crate) fn set_live(&mut self, live: bool, now: Duration) {
        self.ended_at = if live { None } else { self.ended_at.or(Some(now)) };
    }

    pub(crate) fn ended_for(&self, now: Duration) -> Option<Duration> {
        self.ended_at.map(|at| now.saturating_sub(at))
    }

    pub(crate) fn add(
        &mut self,
        component: Component,
        state: State,
        energy: Microjoules,
        footprint: Footprint,
    ) {
        self.totals.add(component, state, energy, footprint);
    }

    /// Adds to what the power in this tick is told from.
    pub(crate) fn add_in_tick(&mut self, component: Component, energy: Microjoules) {
        if let Some(sum) = self.in_tick.get_mut(component.index()) {
            *sum += energy;
        }
    }
}
