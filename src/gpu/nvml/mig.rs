//! Reads a device that is cut into instances (MIG).
//!
//! Energy exists for the whole device only, and there is no utilisation of processes. Who runs where is told by the
//! device's own lists, if the daemon may see all instances there, or else by each MIG device's list. Handles of
//! MIG devices end with every change of the layout, which others make at any time: they are looked up anew every
//! ten seconds, and at once when one is refused or a process runs in an instance that isn't known.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nvml_wrapper::Device;
use nvml_wrapper::error::NvmlError;

use crate::gpu::nvml::clients::{self, Lists};
use crate::gpu::nvml::errors::{Fault, Why};
use crate::gpu::nvml::gpm::Gpm;
use crate::gpu::nvml::latch::Latch;
use crate::gpu::nvml::limitation;
use crate::gpu::nvml::raw::Handle;
use crate::gpu::{Client, Consequence, DeviceFailure, Instance, Limitation};
use crate::meters::Tick;

/// How long handles are trusted.
const RENEW: Duration = Duration::from_secs(10);
/// So many renewals in a row that aren't complete are as good as a complete one.
const ATTEMPTS: u32 = 3;
/// How long the way to find clients is kept.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// One compute instance.
struct Part {
    /// Its place among all that there can be.
    place: u32,
    handle: Handle,
    instance: u32,
    compute: u32,
    uuid: Arc<str>,
    multiprocessors: Option<u32>,
}

impl Part {
    fn id(&self) -> (u32, u32) {
        (self.instance, self.compute)
    }
}

/// Which lists tell the instance of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Parent,
    Parts,
}

/// What the lists of all compute instances say.
enum Listed {
    /// Everybody in those that may be read.
    Clients(Vec<Client>),
    /// A handle isn't valid any more.
    Refused,
    /// None may be read.
    Unreadable,
}

/// What is known of the instances of one device.
#[derive(Default)]
pub(super) struct Mig {
    parts: Vec<Part>,
    renewed: Option<Duration>,
    /// Renewals in a row that weren't complete.
    incomplete: u32,
    /// Instances with processes that the last look didn't find.
    missing: BTreeSet<u32>,
    way: Option<(Way, Duration)>,
    parent: Lists,
    count: Latch,
    gpm: Gpm,
    /// Why some compute instances can't be read.
    denied: Option<Why>,
    /// Whether this driver says "not found" of an instance without processes.
    empty_is_not_found: bool,
}

impl Mig {
    /// Whether there is no instance at all: MIG may be off by now.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Who runs in which instance, and the instances.
    pub(super) fn read(
        &mut self,
        handle: &Handle,
        now: Tick,
        limitations: &mut Vec<Limitation>,
    ) -> Result<(Option<Vec<Client>>, Vec<Instance>), DeviceFailure> {
        let device = handle.device();
        let at = now.boottime;
        if self.renewed.is_none_or(|renewed| at.saturating_sub(renewed) >= RENEW) {
            self.renew(handle, at)?;
        }
        let clients = self.clients(handle, &device, at)?;
        if let Some(why) = self.denied {
            limitations.push(limitation("clients", why.reason(), why.remedy()));
        }
        if self.way.is_some_and(|(way, _)| way == Way::Parent) {
            limitations.extend(self.parent.limitations());
        }
        if self.count.why() == Some(Why::Failing) {
            limitations.push(limitation("clients", "looking instances up keeps failing", None));
        }
        let busy: BTreeSet<u32> = clients.iter().flatten().filter_map(|client| client.instance).collect();
        if self.missing(&busy).any(|instance| !self.missing.contains(&instance)) {
            self.renew(handle, at)?;
        }
        // Those stay unknown until the next look that is due.
        self.missing = self.missing(&busy).collect();
        let mut instances = group(self.parts.iter().map(Described::from));
        self.gpm.read(handle, &mut instances, &busy, now, limitations)?;
        Ok((clients, instances))
    }

    fn missing<'a>(&'a self, busy: &'a BTreeSet<u32>) -> impl Iterator<Item = u32> + 'a {
        let is_known = |instance: &u32| self.parts.iter().any(|part| part.instance == *instance);
        busy.iter().copied().filter(move |instance| !is_known(instance))
    }

    fn clients(
        &mut self,
        handle: &Handle,
        device: &Device<'_>,
        at: Duration,
    ) -> Result<Option<Vec<Client>>, DeviceFailure> {
        self.denied = None;
        let way = self.way.filter(|(_, since)| at.saturating_sub(*since) < TRY_AGAIN).map(|(way, _)| way);
        let mut unplaced = None;
        if way != Some(Way::Parts) {
            match self.parent.look(device, at).map(|looked| looked.clients) {
                Ok(Some(entries)) if entries.is_empty() => {
                    // Nobody is there, or nobody may be seen from here.
                    if way == Some(Way::Parent) {
                        return Ok(Some(entries));
                    }
                }
                Ok(Some(entries)) if entries.iter().all(|entry| entry.instance.is_some()) => {
                    self.settle(Way::Parent, at);
                    return Ok(Some(entries));
                }
                Ok(entries) => unplaced = entries,
                Err(failure) if way == Some(Way::Parent) || failure.consequence != Consequence::Transient => {
                    return Err(failure);
                }
                Err(_) => {}
            }
        }
        let mut listed = self.list_parts(false)?;
        if matches!(listed, Listed::Refused) {
            self.renew(handle, at)?;
            listed = self.list_parts(true)?;
        }
        match listed {
            Listed::Clients(clients) if clients.is_empty() => Ok(unplaced.or(Some(clients))),
            Listed::Clients(clients) => {
                self.settle(Way::Parts, at);
                Ok(Some(clients))
            }
            Listed::Refused | Listed::Unreadable => Ok(unplaced),
        }
    }

    fn settle(&mut self, way: Way, at: Duration) {
        if self.way.is_none_or(|(before, since)| before != way || at.saturating_sub(since) >= TRY_AGAIN) {
            self.way = Some((way, at));
        }
    }

    /// Reads the lists of all compute instances. `is_fresh`: their handles were looked up just now.
    fn list_parts(&mut self, is_fresh: bool) -> Result<Listed, DeviceFailure> {
        let mut all = Vec::new();
        let mut has_answered = self.parts.is_empty();
        self.denied = None;
        for part in &self.parts {
            match clients::of_part(&part.handle.device()).map_err(|error| Fault::of(&error)) {
                Ok(entries) => {
                    has_answered = true;
                    all.extend(
                        entries.into_iter().map(|entry| Client { instance: Some(part.instance), ..entry }),
                    );
                }
                Err(Fault::Off(why)) => self.denied = Some(why),
                // From a handle that is surely valid it means that nobody is there.
                Err(Fault::Empty) if is_fresh || self.empty_is_not_found => {
                    has_answered = true;
                    self.empty_is_not_found = true;
                }
                Err(Fault::Empty | Fault::Stale) => return Ok(Listed::Refused),
                Err(Fault::Uninitialised) if !is_fresh => return Ok(Listed::Refused),
                Err(fault) => return Err(fault.failure()),
            }
        }
        Ok(if has_answered { Listed::Clients(all) } else { Listed::Unreadable })
    }

    /// Looks all compute instances up. The count is the most that there can be: places without one say so. Where a
    /// place fails for a moment, what was there before is kept, and the next tick looks again.
    fn renew(&mut self, handle: &Handle, at: Duration) -> Result<(), DeviceFailure> {
        let count = match (self.count.ask(at, || handle.device().mig_device_count())?, self.count.why()) {
            // Whoever was there is most likely still there.
            (None, None | Some(Why::Failing)) => return Ok(()),
            (count, _) => count.unwrap_or(0),
        };
        let mut parts: Vec<Part> = Vec::new();
        let mut unsure = Vec::new();
        for place in 0..count {
            match handle.mig(place).and_then(|handle| describe(handle, place)) {
                Ok(part) => parts.push(part),
                Err(error) => match Fault::of(&error) {
                    fault if fault.is_fatal() => return Err(fault.failure()),
                    Fault::Passing(_) => unsure.push(place),
                    _ => {}
                },
            }
        }
        let is_complete = unsure.is_empty();
        let before: Vec<Arc<str>> = self.parts.iter().map(|part| Arc::clone(&part.uuid)).collect();
        for old in std::mem::take(&mut self.parts) {
            let is_taken = parts.iter().any(|part| part.id() == old.id());
            match parts.iter_mut().find(|part| part.uuid == old.uuid) {
                // Its size stays the same, but may fail to be read.
                Some(part) => part.multiprocessors = part.multiprocessors.or(old.multiprocessors),
                None if unsure.contains(&old.place) && !is_taken => parts.push(old),
                None => {}
            }
        }
        parts.sort_by_key(|part| part.place);
        if !parts.iter().map(|part| &part.uuid).eq(&before) {
            self.gpm.forget_samples();
        }
        self.parts = parts;
        self.incomplete = if is_complete { 0 } else { self.incomplete.saturating_add(1) };
        if is_complete || self.incomplete >= ATTEMPTS {
            (self.renewed, self.incomplete) = (Some(at), 0);
        } else {
            self.renewed = None;
        }
        Ok(())
    }
}

fn describe(handle: Handle, place: u32) -> Result<Part, NvmlError> {
    let device = handle.device();
    let (instance, compute) = (handle.gpu_instance()?, handle.compute_instance().unwrap_or(0));
    let uuid = Arc::from(device.uuid()?);
    let multiprocessors = device.attributes().ok().map(|attributes| attributes.multiprocessor_count);
    Ok(Part { place, instance, compute, uuid, multiprocessors, handle })
}

/// A compute instance, as far as grouping goes.
#[derive(Clone, Debug)]
struct Described {
    instance: u32,
    compute: u32,
    uuid: Arc<str>,
    multiprocessors: Option<u32>,
}

impl From<&Part> for Described {
    fn from(part: &Part) -> Self {
        Self {
            instance: part.instance,
            compute: part.compute,
            uuid: Arc::clone(&part.uuid),
            multiprocessors: part.multiprocessors,
        }
    }
}

/// Makes GPU instances of compute instances.
fn group(parts: impl Iterator<Item = Described>) -> Vec<Instance> {
    let mut parts: Vec<Described> = parts.collect();
    parts.sort_by_key(|part| (part.instance, part.compute));
    let mut instances: Vec<Instance> = Vec::new();
    for part in parts {
        match instances.last_mut().filter(|last| last.id == part.instance) {
            Some(last) => {
                let both = last.multiprocessors.zip(part.multiprocessors);
                last.multiprocessors = both.map(|(sum, more)| sum.saturating_add(more));
            }
            None => instances.push(Instance {
                id: part.instance,
                uuid: part.uuid,
                multiprocessors: part.multiprocessors,
                sm_utilization: None,
            }),
        }
    }
    instances
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(instance: u32, compute: u32, multiprocessors: Option<u32>) -> Described {
        Described { instance, compute, uuid: Arc::from(format!("MIG-{instance}-{compute}")), multiprocessors }
    }

    #[test]
    fn compute_instances_add_up_to_gpu_instances() {
        let instances = group(
            [part(2, 1, Some(28)), part(1, 0, None), part(2, 0, Some(14)), part(1, 1, Some(14))].into_iter(),
        );
        let told: Vec<_> = instances.iter().map(|one| (one.id, &*one.uuid, one.multiprocessors)).collect();
        assert_eq!(told, [(1, "MIG-1-0", None), (2, "MIG-2-0", Some(42))]);
    }
}
