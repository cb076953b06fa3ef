//! Monotone totals per owner and component, in joules and grams; how long they are kept, and how many.
//!
//! Every microjoule that enters a component goes to exactly one [`Beneficiary`], so the sums agree at all times.
//! Grams and litres are added at once, at the rates of the time that the energy was drawn in: what is learned of that time
//! later never touches them.

mod account;
mod devices;
mod dormant;
mod embodied;
mod footprint;
mod processes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::carbon::pricing::Rates;
use crate::meters::Component;
use crate::units::{CpuTime, Grams, GramsPerKwh, Microjoules};
use crate::workloads::owner::{Owner, OwnerKind};
use crate::workloads::owners::{OwnerId, OwnerTable};

pub use account::{Account, Totals};
use devices::DeviceBooks;
pub use devices::{DeviceBook, DeviceIndex};
use dormant::Dormant;
pub use embodied::Holder;
pub use footprint::Footprint;
pub use processes::{ProcessAccount, ProcessBook, ProcessName};

/// Which part of an owner's energy it is; the `state` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Above the baseline: work was done.
    Active,
    /// The baseline's share, by what the owner holds (memory, an allocated GPU).
    Idle,
    /// A GPU context that does nothing.
    Parked,
}

impl State {
    /// All states, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Active, Self::Idle, Self::Parked];

    /// A dense index for arrays.
    pub const fn index(self) -> usize {
        match self {
            Self::Active => 0,
            Self::Idle => 1,
            Self::Parked => 2,
        }
    }

    /// The value of the `state` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Parked => "parked",
        }
    }
}

/// Who a node's energy went to, by family; the `kind` label of the node's owner counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Beneficiary {
    /// Owners of this family, ended ones included.
    Owner(OwnerKind),
    /// Nobody: the hardware was on.
    Idle,
    /// It can't be told.
    Unattributed,
}

impl Beneficiary {
    /// All values, in the order of their index.
    pub const ALL: [Self; 7] = [
        Self::Owner(OwnerKind::Container),
        Self::Owner(OwnerKind::Unit),
        Self::Owner(OwnerKind::Job),
        Self::Owner(OwnerKind::Vm),
        Self::Owner(OwnerKind::System),
        Self::Idle,
        Self::Unattributed,
    ];

    /// A dense index for arrays.
    pub const fn index(self) -> usize {
        match self {
            Self::Owner(OwnerKind::Container) => 0,
            Self::Owner(OwnerKind::Unit) => 1,
            Self::Owner(OwnerKind::Job) => 2,
            Self::Owner(OwnerKind::Vm) => 3,
            Self::Owner(OwnerKind::System) => 4,
            Self::Idle => 5,
            Self::Unattributed => 6,
        }
    }

    /// The value of the `kind` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner(kind) => kind.as_str(),
            Self::Idle => "idle",
            Self::Unattributed => "unattributed",
        }
    }
}

/// Why energy has no owner; the `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing tells who it was: no CPU time was seen, or the component has no evidence at all.
    NoEvidence,
    /// A meter that came back proves that more was used in its absence than was booked for it.
    Outage,
    /// A GPU was used by a process that isn't known here.
    UnknownProcess,
    /// The GPU driver counts processes in another pid namespace than the daemon.
    PidNamespace,
}

impl Reason {
    /// The value of the `reason` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoEvidence => "no_evidence",
            Self::Outage => "outage",
            Self::UnknownProcess => "unknown_process",
            Self::PidNamespace => "pid_namespace",
        }
    }
}

/// Totals of one component of the node.
#[derive(Clone, Debug, Default)]
pub struct ComponentBook {
    /// All energy since the daemon started.
    pub energy: Microjoules,
    /// What it caused.
    pub footprint: Footprint,
    /// The same energy by who it went to, by [`Beneficiary::index`].
    pub by_beneficiary: [Microjoules; Beneficiary::ALL.len()],
    /// The embodied part of the footprint by who has the hardware, by [`Holder::index`].
    pub embodied_by_holder: [Grams; Holder::ALL.len()],
    /// The unattributed part by reason.
    pub unattributed: BTreeMap<Reason, Microjoules>,
}

/// All totals.
#[derive(Debug)]
pub struct Ledger {
    components: [ComponentBook; Component::ALL.len()],
    /// By [`OwnerId::index`].
    accounts: Vec<Account>,
    devices: DeviceBooks,
    dormant: Dormant,
    processes: ProcessBook,
    retention: Duration,
    rates: Rates,
}

impl Ledger {
    /// An empty ledger that keeps what ended for `retention`, shows `max_processes` processes and beside them
    /// `max_gpu_processes` that hold a GPU context, and remembers the totals of `max_dormant` named owners that are away.
    pub fn new(
        retention: Duration,
        max_processes: usize,
        max_gpu_processes: usize,
        max_dormant: usize,
    ) -> Self {
        Self {
            components: Default::default(),
            accounts: Vec::new(),
            devices: DeviceBooks::default(),
            dormant: Dormant::new(max_dormant),
            processes: ProcessBook::new(retention, max_processes, max_gpu_processes),
            retention,
            rates: Rates { location: GramsPerKwh(0.0), market: None, water: None },
        }
    }

    /// Opens a tick: notes who came and who ended, and takes the rates of the tick.
    pub fn begin(&mut self, now: Duration, owners: &mut OwnerTable, rates: Rates) {
        self.rates = rates;
        self.accounts.resize_with(owners.bound(), Account::default);
        for index in 0..self.accounts.len() {
            let Some(id) = OwnerId::from_index(index) else {
                continue;
            };
            let Some(account) = self.accounts.get_mut(index) else {
                continue;
            };
            account.begin();
            let Some(owner) = owners.get(id) else { continue };
            match &account.owner {
                Some(known) if known == owner => {}
                // The same container, of which more is known now.
                Some(known) if known.is_same_container(owner) => account.owner = Some(Arc::clone(owner)),
                _ => {
                    let totals = self.dormant.wake(owner).unwrap_or_default();
                    *account = Account::new(Arc::clone(owner), totals);
                }
            }
            // The last interval of an owner is booked in the tick that sees it gone, so it leaves in a later one.
            let had_ended = account.has_ended();
            account.set_live(owners.is_live(id), now);
            if had_ended && account.ended_for(now).is_some_and(|time| time >= self.retention) {
                let gone = std::mem::take(account);
                owners.release(id);
                if let Some(owner) = gone.owner.filter(|owner| owner.has_lasting_name()) {
                    self.dormant.put(owner, gone.totals);
                }
            }
        }
        self.processes.begin(now);
    }

    /// Takes the rates of the time that the energy was drawn in that is booked from now on.
    pub fn set_rates(&mut self, rates: Rates) {
        self.rates = rates;
    }

    /// Books energy of an owner.
    pub fn book(
        &mut self,
        id: OwnerId,
        kind: OwnerKind,
        component: Component,
        state: State,
        energy: Microjoules,
    ) {
        if energy.is_zero() {
            return;
        }
        let footprint = self.enter(component, Beneficiary::Owner(kind), energy);
        if let Some(account) = self.accounts.get_mut(id.index()) {
            account.add(component, state, energy, footprint);
            account.add_in_tick(component, energy);
        }
    }

    /// The number of a GPU in here. None beyond 65,535 GPUs.
    pub fn open_device(&mut self, uuid: &Arc<str>) -> Option<DeviceIndex> {
        self.devices.open(uuid)
    }

    /// The totals of a GPU.
    pub fn device(&self, device: DeviceIndex) -> Option<&DeviceBook> {
        self.devices.get(device)
    }

    /// Books energy of a GPU that an owner used. `in_tick` is the part of it that the owner's power in this tick
    /// is told from: less than `energy` where that was drawn in more time than the tick.
    pub fn book_gpu(
        &mut self,
        device: DeviceIndex,
        (id, kind): (OwnerId, OwnerKind),
        state: State,
        energy: Microjoules,
        in_tick: Microjoules,
    ) {
        if energy.is_zero() {
            return;
        }
        let footprint = self.enter(Component::Gpu, Beneficiary::Owner(kind), energy);
        self.devices.add(device, Beneficiary::Owner(kind), energy);
        if let Some(account) = self.accounts.get_mut(id.index()) {
            account.add(Component::Gpu, state, energy, footprint);
            account.totals.add_gpu(device, energy);
            account.add_in_tick(Component::Gpu, in_tick);
        }
    }

    /// Books energy of a GPU that nobody used.
    pub fn book_gpu_idle(&mut self, device: DeviceIndex, energy: Microjoules) {
        self.enter(Component::Gpu, Beneficiary::Idle, energy);
        self.devices.add(device, Beneficiary::Idle, energy);
    }

    /// Books energy of a GPU whose owner can't be told.
    pub fn book_gpu_unattributed(&mut self, device: DeviceIndex, reason: Reason, energy: Microjoules) {
        self.book_unattributed(Component::Gpu, reason, energy);
        self.devices.add(device, Beneficiary::Unattributed, energy);
    }

    /// Books energy that nobody used.
    pub fn book_idle(&mut self, component: Component, energy: Microjoules) {
        self.enter(component, Beneficiary::Idle, energy);
    }

    /// Books energy whose owner can't be told.
    pub fn book_unattributed(&mut self, component: Component, reason: Reason, energy: Microjoules) {
        if energy.is_zero() {
            return;
        }
        self.enter(component, Beneficiary::Unattributed, energy);
        if let Some(book) = self.components.get_mut(component.index()) {
            *book.unattributed.entry(reason).or_default() += energy;
        }
    }

    /// Adds CPU time to an owner.
    pub fn add_cpu_time(&mut self, id: OwnerId, time: CpuTime) {
        if let Some(account) = self.accounts.get_mut(id.index()) {
            account.totals.cpu_time += time;
        }
    }

    /// The totals of a component.
    pub fn component(&self, component: Component) -> Option<&ComponentBook> {
        self.components.get(component.index())
    }

    /// The accounts of owners with a name of their own, live and retained.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.iter().filter(|account| account.owner.is_some())
    }

    /// The same with their numbers.
    pub fn numbered_accounts(&self) -> impl Iterator<Item = (OwnerId, &Account)> {
        let numbered = self.accounts.iter().enumerate();
        numbered
            .filter(|(_, account)| account.owner.is_some())
            .filter_map(|(index, account)| Some((OwnerId::from_index(index)?, account)))
    }

    /// Gives all that one owner has to another one of the same family: what it used is that one's own. Nothing is done where
    /// the other isn't known.
    pub fn fold(&mut self, from: OwnerId, into: OwnerId) {
        if from == into || self.accounts.get(into.index()).is_none_or(|account| account.owner.is_none()) {
            return;
        }
        let Some(given) = self.accounts.get_mut(from.index()).map(Account::give_away) else { return };
        if let Some(account) = self.accounts.get_mut(into.index()) {
            account.take_over(given);
        }
    }

    /// The owner behind a number, as the ledger knows it.
    pub fn owner(&self, id: OwnerId) -> Option<&Arc<Owner>> {
        self.accounts.get(id.index())?.owner.as_ref()
    }

    /// The processes.
    pub fn processes(&self) -> &ProcessBook {
        &self.processes
    }

    /// The processes, to book energy on them.
    pub fn processes_mut(&mut self) -> &mut ProcessBook {
        &mut self.processes
    }

    fn enter(&mut self, component: Component, to: Beneficiary, energy: Microjoules) -> Footprint {
        let footprint = Footprint::of(energy, &self.rates);
        if let Some(book) = self.components.get_mut(component.index()) {
            book.energy += energy;
            book.footprint += footprint;
            if let Some(sum) = book.by_beneficiary.get_mut(to.index()) {
                *sum += energy;
            }
        }
        footprint
    }
}

#[cfg(test)]
mod tests;
