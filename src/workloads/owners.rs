//! Gives every owner a dense number for as long as it is known, and bounds how many are.

use std::collections::HashMap;
use std::sync::Arc;

use crate::workloads::owner::{Owner, OwnerKind};

/// A dense number for an owner; reused after [`OwnerTable::release`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerId(u32);

impl OwnerId {
    /// [`Owner::System`].
    pub const SYSTEM: Self = Self(0);

    /// The number, for dense arrays.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number at a place of a dense array.
    pub fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok().map(Self)
    }

    /// Where owners of one family go that came after the cap: one account without series of its own.
    pub const fn overflow(kind: OwnerKind) -> Self {
        match kind {
            OwnerKind::System => Self(0),
            OwnerKind::Container => Self(1),
            OwnerKind::Unit => Self(2),
            OwnerKind::Job => Self(3),
            OwnerKind::Vm => Self(4),
        }
    }

    /// Whether this is an account that owners share: `system`, or one beyond the cap.
    pub const fn is_shared(self) -> bool {
        self.0 < SHARED
    }
}

/// Ids below this one are [`OwnerId::SYSTEM`] and the overflow accounts.
const SHARED: u32 = 5;

/// The kinds of the shared accounts, by id.
const SHARED_KINDS: [OwnerKind; SHARED as usize] =
    [OwnerKind::System, OwnerKind::Container, OwnerKind::Unit, OwnerKind::Job, OwnerKind::Vm];

/// All owners that are known, live or retained.
#[derive(Debug)]
pub struct OwnerTable {
    slots: Vec<Option<Entry>>,
    free: Vec<OwnerId>,
    ids: HashMap<Arc<Owner>, OwnerId>,
    /// Containers by id. A cgroup of a container may name its pod or not (that of its monitor doesn't), and is
    /// the same container all the same.
    containers: HashMap<Box<str>, OwnerId>,
    cap: usize,
    refused: [u64; SHARED as usize],
}

#[derive(Debug)]
struct Entry {
    owner: Arc<Owner>,
    /// How many cgroups are this owner now.
    cgroups: u32,
}

impl OwnerTable {
    /// An empty table that takes up to `cap` owners.
    pub fn new(cap: usize) -> Self {
        let slots = SHARED_KINDS.iter().map(|_| None).collect();
        Self {
            slots,
            free: Vec::new(),
            ids: HashMap::new(),
            containers: HashMap::new(),
            cap,
            refused: [0; SHARED as usize],
        }
    }

    /// Counts one more cgroup of `owner` and gives its number. Beyond the cap that is the overflow account of
    /// its family.
    pub fn acquire(&mut self, owner: Owner) -> OwnerId {
        if owner == Owner::System {
            return OwnerId::SYSTEM;
        }
        let known = match container_id(&owner) {
            Some(container) => self.containers.get(container),
            None => self.ids.get(&owner),
        };
        if let Some(&id) = known {
            self.enrich(id, owner);
            if let Some(entry) = self.slots.get_mut(id.index()).and_then(Option::as_mut) {
                entry.cgroups = entry.cgroups.saturating_add(1);
            }
            return id;
        }
        if self.ids.len() >= self.cap {
            let shared = OwnerId::overflow(owner.kind());
            if let Some(count) = self.refused.get_mut(shared.index()) {
                *count = count.saturating_add(1);
            }
            return shared;
        }
        let owner = Arc::new(owner);
        let entry = Some(Entry { owner: Arc::clone(&owner), cgroups: 1 });
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(slot) = self.slots.get_mut(id.index()) {
                    *slot = entry;
                }
                id
            }
            None => {
                let Ok(next) = u32::try_from(self.slots.len()) else {
                    return OwnerId::overflow(owner.kind());
                };
                self.slots.push(entry);
                OwnerId(next)
            }
        };
        if let Some(container) = container_id(&owner) {
            self.containers.insert(container.into(), id);
        }
        self.ids.insert(owner, id);
        id
    }

    /// Learns a container's pod or runtime where another of its cgroups names them.
    fn enrich(&mut self, id: OwnerId, seen: Owner) {
        let Some(entry) = self.slots.get_mut(id.index()).and_then(Option::as_mut) else {
            return;
        };
        let tells_more = match (&*entry.owner, &seen) {
            (Owner::Container { pod_uid: known, .. }, Owner::Container { pod_uid, .. }) => {
                known.is_empty() && !pod_uid.is_empty()
            }
            _ => false,
        };
        if tells_more {
            self.ids.remove(&entry.owner);
            entry.owner = Arc::new(seen);
            self.ids.insert(Arc::clone(&entry.owner), id);
        }
    }

    /// Counts one cgroup less. The owner stays known until [`Self::release`].
    pub fn leave(&mut self, id: OwnerId) {
        if let Some(entry) = self.slots.get_mut(id.index()).and_then(Option::as_mut) {
            entry.cgroups = entry.cgroups.saturating_sub(1);
        }
    }

    /// Whether the owner has a cgroup now.
    pub fn is_live(&self, id: OwnerId) -> bool {
        self.slots.get(id.index()).and_then(Option::as_ref).is_some_and(|entry| entry.cgroups > 0)
    }

    /// Forgets an owner that has no cgroup left; its number may name another one afterwards.
    pub fn release(&mut self, id: OwnerId) {
        let Some(slot) = self.slots.get_mut(id.index()) else {
            return;
        };
        if slot.as_ref().is_some_and(|entry| entry.cgroups == 0)
            && let Some(entry) = slot.take()
        {
            self.ids.remove(&entry.owner);
            if let Some(container) = container_id(&entry.owner) {
                self.containers.remove(container);
            }
            self.free.push(id);
        }
    }

    /// The owner behind a number; none for the shared accounts.
    pub fn get(&self, id: OwnerId) -> Option<&Arc<Owner>> {
        self.slots.get(id.index()).and_then(Option::as_ref).map(|entry| &entry.owner)
    }

    /// The number of a pod's own share, if that is known.
    pub fn pod(&self, pod_uid: &str) -> Option<OwnerId> {
        self.ids.get(&Owner::Pod { pod_uid: pod_uid.into() }).copied()
    }

    /// The family of the owner behind a number.
    pub fn kind(&self, id: OwnerId) -> OwnerKind {
        SHARED_KINDS
            .get(id.index())
            .copied()
            .or_else(|| self.get(id).map(|owner| owner.kind()))
            .unwrap_or(OwnerKind::System)
    }

    /// One more than the largest number given out: the length of an array by [`OwnerId::index`].
    pub fn bound(&self) -> usize {
        self.slots.len()
    }

    /// Owners of a family that were sent to its overflow account.
    pub fn refused(&self, kind: OwnerKind) -> u64 {
        self.refused.get(OwnerId::overflow(kind).index()).copied().unwrap_or(0)
    }

    /// Whether there is room for owners that were sent to an overflow account.
    pub fn has_room(&self) -> bool {
        self.ids.len() < self.cap
    }
}

/// The id of a container that has one.
fn container_id(owner: &Owner) -> Option<&str> {
    match owner {
        Owner::Container { id, .. } if !id.is_empty() => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
