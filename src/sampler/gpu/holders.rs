//! Who was given which part of each GPU, whether it is used or not.
//!
//! A card is one slice, or with MIG one for each GPU instance, which weighs its multiprocessors; those in no instance don't
//! count. A slice goes to those who hold it, by replicas where it is shared; what nobody holds of it is free. Whoever holds
//! a card whole holds all replicas of all its slices.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::gpu::{DeviceReading, GpuIdentity, Instance, Vendor};
use crate::identity::{Assignee, DeviceName, Facts};
use crate::sampler::names::NameBooks;
use crate::workloads::owner::{JobManager, Owner};
use crate::workloads::owners::OwnerId;

/// The weight of one multiprocessor (or one card): any usual number of replicas divides it, as 1 to 16 do.
const UNIT: u64 = 720_720;

/// All that was given to those who are there.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// What the names were like when this was made.
    revision: Option<u64>,
    /// The word of the best source first.
    grants: Vec<Grant>,
    /// How many replicas there are of devices that are shared.
    totals: Vec<(DeviceName, u32)>,
}

/// One device that was given to somebody.
#[derive(Debug)]
struct Grant {
    to: OwnerId,
    device: DeviceName,
    amount: Amount,
    /// Who says so.
    source: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Whole,
    Replicas(u64),
}

/// Who holds one card.
#[derive(Debug, Default)]
pub(in crate::sampler) struct Holding {
    revision: Option<u64>,
    identity: Option<Arc<GpuIdentity>>,
    slices: Vec<Slice>,
    /// The holders, each once, and their weights.
    pub(in crate::sampler) shares: Vec<(OwnerId, u64)>,
    /// The weight of what nobody holds.
    pub(in crate::sampler) free: u64,
}

/// A part of a card that is given away by itself.
#[derive(Debug, PartialEq, Eq)]
struct Slice {
    /// Number and UUID of the GPU instance; none for a whole card.
    instance: Option<(u32, Arc<str>)>,
    weight: u64,
}

impl Holders {
    /// Takes in what was learned. Costs nothing where that is nothing.
    pub(super) fn refresh(&mut self, names: &NameBooks) {
        if self.revision == Some(names.revision()) {
            return;
        }
        *self = Self { revision: Some(names.revision()), ..Self::default() };
        if names.names().allocations().all(|said| said.given.is_empty()) {
            return;
        }
        let people = People::of(names);
        for (source, said) in names.names().allocations().enumerate() {
            self.totals.extend(said.replicas.iter().cloned());
            for given in said.given.iter().filter(|given| given.replicas > 0) {
                let Some(to) = people.find(&given.to) else { continue };
                let is_shared = given.replicas > 1 || said.replicas_of(&given.device).is_some();
                let replicas = u64::from(given.replicas);
                let amount = if is_shared { Amount::Replicas(replicas) } else { Amount::Whole };
                self.grants.push(Grant { to, device: given.device.clone(), amount, source });
            }
        }
    }

    /// Brings what is known of one card's holders up to date.
    pub(super) fn settle(
        &self,
        holding: &mut Holding,
        identity: &Arc<GpuIdentity>,
        reading: Option<&DeviceReading>,
    ) {
        let slices = slices(reading);
        if holding.revision == self.revision
            && holding.identity.as_ref() == Some(identity)
            && holding.slices == slices
        {
            return;
        }
        let (mut shares, mut free): (Vec<(OwnerId, u64)>, u64) = (Vec::new(), 0);
        for slice in &slices {
            let (held, rest) = self.divide(identity, slice);
            free = free.saturating_add(rest);
            for (owner, weight) in held {
                match shares.iter_mut().find(|(known, _)| *known == owner) {
                    Some((_, sum)) => *sum = sum.saturating_add(weight),
                    None => shares.push((owner, weight)),
                }
            }
        }
        let (revision, identity) = (self.revision, Some(Arc::clone(identity)));
        *holding = Holding { revision, identity, slices, shares, free };
    }

    /// The holders of a slice and what is free of it.
    fn divide(&self, identity: &GpuIdentity, slice: &Slice) -> (Vec<(OwnerId, u64)>, u64) {
        let totals = self.totals.iter().filter(|(device, _)| is_of(device, identity, slice));
        let total = totals.map(|(_, count)| u64::from(*count)).max().unwrap_or(0);
        let mut held: Vec<(&Grant, u64)> = Vec::new();
        let is_explicit = |grant: &&Grant| grant.device != DeviceName::All;
        let granted = || self.grants.iter().filter(|grant| is_of(&grant.device, identity, slice));
        // Who was given all cards may use them (a monitor); who was given this one holds it.
        let has_own = granted().any(|grant| is_explicit(&grant));
        for grant in granted().filter(|grant| !has_own || is_explicit(grant)) {
            let count = match grant.amount {
                Amount::Whole => total.max(1),
                Amount::Replicas(count) => count,
            };
            match held.iter_mut().find(|(known, _)| known.to == grant.to) {
                None => held.push((grant, count)),
                Some((known, sum)) if known.source == grant.source => match grant.amount {
                    Amount::Whole => *sum = count.max(*sum),
                    Amount::Replicas(_) => *sum = sum.saturating_add(count),
                },
                // A better source has said what this one holds.
                Some(_) => {}
            }
        }
        let sum = held.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        let all = sum.max(total).max(1);
        let part = |count: u64| {
            let weight = u128::from(slice.weight) * u128::from(count) / u128::from(all);
            u64::try_from(weight).unwrap_or(u64::MAX)
        };
        let free = part(all.saturating_sub(sum));
        (held.iter().map(|(grant, count)| (grant.to, part(*count))).collect(), free)
    }
}

/// The parts of a card that can be given away.
fn slices(reading: Option<&DeviceReading>) -> Vec<Slice> {
    let instances = reading.filter(|reading| reading.mig).map_or(&[][..], |reading| &reading.instances);
    if instances.is_empty() {
        return vec![Slice { instance: None, weight: UNIT }];
    }
    // Instances of unknown size are taken for equal.
    let are_known = instances.iter().all(|instance| size(instance) > 0);
    let weight = |instance: &Instance| UNIT.saturating_mul(if are_known { size(instance) } else { 1 });
    let slice = |instance: &Instance| Slice {
        instance: Some((instance.id, Arc::clone(&instance.uuid))),
        weight: weight(instance),
    };
    instances.iter().map(slice).collect()
}

fn size(instance: &Instance) -> u64 {
    instance.multiprocessors.map_or(0, u64::from)
}

/// Whether a slice of a card is the device of that name or a part of it.
fn is_of(device: &DeviceName, identity: &GpuIdentity, slice: &Slice) -> bool {
    let is_index = |index: u32| identity.gpu.parse() == Ok(index);
    match (device, &slice.instance) {
        // The only one that gives all away is NVIDIA's own runtime.
        (DeviceName::All, _) => matches!(identity.vendor, Vendor::Nvidia | Vendor::Simulated),
        (DeviceName::Gpu(uuid), _) => *identity.uuid == **uuid,
        (DeviceName::Index(index), _) => is_index(*index),
        (DeviceName::Pci(address), _) => identity.pci_bus_id.eq_ignore_ascii_case(address),
        (DeviceName::Mig(known), Some((_, uuid))) => **known == **uuid,
        (DeviceName::Instance { index, instance }, Some((id, _))) => is_index(*index) && instance == id,
        (DeviceName::Card(card), _) => *identity.gpu == **card,
        (DeviceName::Mig(_) | DeviceName::Instance { .. }, None) => false,
    }
}

/// Those who are there, by what givers call them.
#[derive(Default)]
struct People<'a> {
    containers: HashMap<&'a str, OwnerId>,
    /// Namespace, pod and container; of two of the same name the one that came last.
    of_pods: HashMap<[&'a str; 3], (Duration, OwnerId)>,
    jobs: HashMap<(JobManager, &'a str), OwnerId>,
}

impl<'a> People<'a> {
    fn of(names: &'a NameBooks) -> Self {
        let mut people = Self::default();
        for (id, owner, facts, since) in names.live() {
            match (&**owner, facts) {
                (Owner::Container { id: whole, .. }, facts) => {
                    if !whole.is_empty() {
                        people.containers.insert(whole, id);
                    }
                    if let Some(Facts::Container(facts)) = facts.filter(|facts| !facts.is_sandbox()) {
                        let name = [&*facts.namespace, &*facts.pod, &*facts.container];
                        let last = people.of_pods.entry(name).or_insert((since, id));
                        *last = (*last).max((since, id));
                    }
                }
                (Owner::Job { manager, id: number, .. }, _) => {
                    people.jobs.insert((*manager, number), id);
                }
                (Owner::Pod { .. } | Owner::Unit { .. } | Owner::Vm { .. } | Owner::System, _) => {}
            }
        }
        people
    }

    fn find(&self, to: &Assignee) -> Option<OwnerId> {
        match to {
            Assignee::PodContainer { namespace, pod, container } => {
                self.of_pods.get(&[&**namespace, &**pod, &**container]).map(|(_, id)| *id)
            }
            Assignee::Container(id) => self.containers.get(&**id).copied(),
            Assignee::Job(manager, id) => self.jobs.get(&(*manager, &**id)).copied(),
        }
    }
}
