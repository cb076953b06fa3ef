//! The names of owners: when their series begin, and under which labels.
//!
//! A new container, pod or job is held back until its name is there, or for so long at most; its energy is kept
//! meanwhile. Then its labels are fixed for good, as a counter that changed its labels would be another counter. What is
//! learned later stands on the `_info` families only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Collectors;
use crate::identity::{Facts, Found, NameBoard, Names, Title, Wanted, WantedOwner};
use crate::ledger::{Account, Ledger};
use crate::workloads::WorkloadReader;
use crate::workloads::owner::Owner;
use crate::workloads::owners::{OwnerId, OwnerTable};

/// How often it is said who is there, if that changed, at most.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How often processes are told of those who still have no name.
const TELL_AGAIN: Duration = Duration::from_secs(2);
/// How often processes are told of everybody.
const TELL_ALL: Duration = Duration::from_secs(30);

/// How the series of one owner are called.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Their labels; what is known so far while the owner is held back.
    pub(super) title: Arc<Title>,
    /// All that is known of the owner now.
    pub(super) facts: Option<Facts>,
    /// Whether the owner's series haven't begun yet.
    pub(super) is_held: bool,
}

/// One owner.
#[derive(Debug)]
struct Slot {
    owner: Arc<Owner>,
    since: Duration,
    found: Found,
    named: Named,
    is_live: bool,
    /// Whether the owner only holds the namespaces of its pod, in which it is counted.
    is_folded: bool,
}

/// Who waits for names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    containers: bool,
    jobs: bool,
    pub(super) most: Duration,
    /// An owner that ended is shown for so long at most, so it can't wait longer.
    retention: Duration,
}

/// The names of all owners.
#[derive(Debug)]
pub(super) struct NameBooks {
    pub(super) board: Arc<NameBoard>,
    names: Names,
    /// By [`OwnerId::index`].
    slots: Vec<Option<Slot>>,
    /// Who has the short form of a container's id.
    short_ids: HashMap<Box<str>, OwnerId>,
    pub(super) waiting: Waiting,
    generation: u64,
    pub(super) told_at: Option<Duration>,
    pub(super) told_all_at: Option<Duration>,
    /// Whether the list of those who are there has changed since it was told.
    pub(super) has_news: bool,
    revision: u64,
}

impl NameBooks {
    pub(super) fn new(
        board: Arc<NameBoard>,
        collectors: &Collectors,
        most: Duration,
        retention: Duration,
    ) -> Self {
        let waiting = Waiting {
            containers: collectors.containers || collectors.kubernetes,
            jobs: collectors.jobs,
            most,
            retention,
        };
        Self {
            names: board.names(),
            board,
            slots: Vec::new(),
            short_ids: HashMap::new(),
            waiting,
            generation: 0,
            told_at: None,
            told_all_at: None,
            has_news: false,
            revision: 0,
        }
    }

    /// How an owner's series are called.
    pub(super) fn named(&self, id: OwnerId) -> Option<&Named> {
        self.slot(id).map(|slot| &slot.named)
    }

    /// Whether an owner is counted in its pod.
    pub(super) fn is_folded(&self, id: OwnerId) -> bool {
        self.slot(id).is_some_and(|slot| slot.is_folded)
    }

    /// The live owners, all that is known of them, and when they were first seen.
    pub(super) fn live(&self) -> impl Iterator<Item = (OwnerId, &Arc<Owner>, Option<&Facts>, Duration)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| {
            let slot = slot.as_ref().filter(|slot| slot.is_live)?;
            Some((OwnerId::from_index(index)?, &slot.owner, slot.named.facts.as_ref(), slot.since))
        })
    }

    /// Rises whenever somebody came or went, or anything was learned.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Everything that sources said.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// How the collectors of names fared.
    pub(super) fn board(&self) -> &NameBoard {
        &self.board
    }

    /// Takes in what was learned and who came and went, and gives what sandboxes used to their pods.
    pub(super) fn update(&mut self, now: Duration, ledger: &mut Ledger, workloads: &WorkloadReader) {
        let names = self.board.names();
        let has_learned = !names.is_same(&self.names);
        self.names = names;
        let had_news = std::mem::take(&mut self.has_news);
        let bound = ledger.numbered_accounts().map(|(id, _)| id.index().saturating_add(1)).max().unwrap_or(0);
        for index in bound..self.slots.len() {
            self.vacate(index);
        }
        self.slots.resize_with(bound, || None);
        let mut present = vec![false; bound];
        for (id, account) in ledger.numbered_accounts() {
            if let Some(flag) = present.get_mut(id.index()) {
                *flag = true;
            }
            self.settle(id, account, has_learned, now, workloads.owners());
        }
        for index in (0..bound).filter(|index| !present.get(*index).copied().unwrap_or(false)) {
            self.vacate(index);
        }
        self.revision = self.revision.saturating_add(u64::from(has_learned || self.has_news));
        self.has_news |= had_news;
        self.fold(ledger, workloads);
        self.tell(now, workloads);
    }

    fn slot(&self, id: OwnerId) -> Option<&Slot> {
        self.slots.get(id.index()).and_then(Option::as_ref)
    }

    /// Brings one owner up to date.
    fn settle(
        &mut self,
        id: OwnerId,
        account: &Account,
        has_learned: bool,
        now: Duration,
        owners: &OwnerTable,
    ) {
        let Some(owner) = &account.owner else { return };
        let known = self.slot(id).map(|slot| slot.owner == *owner || slot.owner.is_same_container(owner));
        if known == Some(false) {
            self.vacate(id.index());
        }
        if known != Some(true) {
            let title = Arc::new(Title::of(owner, None, self.claim(id, owner)));
            let named = Named { title, facts: None, is_held: true };
            let (owner, found) = (Arc::clone(owner), Found::Nothing);
            let slot = Slot { owner, since: now, found, named, is_live: false, is_folded: false };
            if let Some(place) = self.slots.get_mut(id.index()) {
                *place = Some(slot);
            }
        }
        let (waiting, names) = (self.waiting, &self.names);
        let Some(slot) = self.slots.get_mut(id.index()).and_then(Option::as_mut) else { return };
        let is_renewed = !Arc::ptr_eq(&slot.owner, owner) && slot.owner != *owner;
        slot.owner = Arc::clone(owner);
        self.has_news |= known != Some(true) || is_renewed || slot.is_live == account.has_ended();
        slot.is_live = !account.has_ended();
        if has_learned || is_renewed || known != Some(true) {
            let found = names.find(owner);
            let facts = (is_renewed || !found.is_same(&slot.found)).then(|| found.facts());
            // What was known of an owner that ended stays known, whoever forgets it.
            let is_lost = |facts: &Option<Facts>| {
                account.has_ended() && is_named(&slot.named.facts, owner) && !is_named(facts, owner)
            };
            if let Some(facts) = facts.filter(|facts| !is_lost(facts)) {
                self.has_news |= is_named(&slot.named.facts, owner) != is_named(&facts, owner);
                slot.named.facts = facts;
                slot.found = found;
            }
        }
        if !slot.named.is_held {
            return;
        }
        let waited = now.saturating_sub(slot.since);
        let ended_for = account.ended_for(now).unwrap_or_default();
        slot.is_folded =
            slot.named.facts.as_ref().is_some_and(Facts::is_sandbox) && pod_of(owner, owners).is_some();
        let is_due = is_named(&slot.named.facts, owner)
            || !waiting.holds(owner)
            || waited >= waiting.most
            || account.has_ended() && ended_for.saturating_mul(2) >= waiting.retention;
        // A sandbox has no series of its own.
        if is_due && !slot.is_folded {
            let title = Title::of(owner, slot.named.facts.as_ref(), &slot.named.title.container_id);
            slot.named.title = Arc::new(title);
            slot.named.is_held = false;
        }
    }

    /// The form of a container's id that tells it from all others: the short one, unless another one has that.
    fn claim<'a>(&mut self, id: OwnerId, owner: &'a Owner) -> &'a str {
        let short = owner.container_id_short();
        match owner {
            Owner::Container { id: whole, .. } if !short.is_empty() => {
                if *self.short_ids.entry(short.into()).or_insert(id) == id { short } else { whole }
            }
            _ => short,
        }
    }

    fn vacate(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::take) else { return };
        self.has_news |= slot.is_live;
        let short = slot.owner.container_id_short();
        if self.short_ids.get(short).is_some_and(|id| id.index() == index) {
            self.short_ids.remove(short);
        }
    }

    /// Counts sandboxes in their pods.
    fn fold(&self, ledger: &mut Ledger, workloads: &WorkloadReader) {
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(slot) = slot.as_ref().filter(|slot| slot.is_folded) else { continue };
            let into = pod_of(&slot.owner, workloads.owners());
            if let (Some(from), Some(into)) = (OwnerId::from_index(index), into) {
                ledger.fold(from, into);
            }
        }
    }

    /// Says who is there, if that has changed, and now and then by which processes.
    fn tell(&mut self, now: Duration, workloads: &WorkloadReader) {
        let since = |at: Option<Duration>| at.map_or(Duration::MAX, |at| now.saturating_sub(at));
        let lacks_name = |slot: &Slot| slot.is_live && slot.named.is_held && !slot.is_folded;
        let is_due = match since(self.told_at) {
            past if past < TELL_EVERY => false,
            past if past < TELL_AGAIN => self.has_news,
            _ => self.has_news || self.slots.iter().flatten().any(lacks_name),
        };
        let is_all_due = since(self.told_all_at) >= TELL_ALL;
        if !is_due && !is_all_due {
            return;
        }
        // Finding processes costs a look at each, so nobody is told of those who have their names every time.
        let before = self.board.wanted();
        let known: HashMap<&Arc<Owner>, &WantedOwner> =
            before.owners.iter().map(|wanted| (&wanted.owner, wanted)).collect();
        let wanted: Vec<(OwnerId, WantedOwner)> = self
            .live()
            .filter(|(_, owner, ..)| !matches!(***owner, Owner::Unit { .. }))
            .map(|(id, owner, facts, _)| {
                let is_named = facts.is_some_and(|facts| facts.names(owner));
                let pids = known.get(owner).map(|wanted| wanted.pids.clone()).unwrap_or_default();
                (id, WantedOwner { owner: Arc::clone(owner), pids, is_named })
            })
            .collect();
        let mut wants_pids = vec![false; self.slots.len()];
        for (id, wanted) in &wanted {
            if let Some(flag) = wants_pids.get_mut(id.index()) {
                *flag = is_all_due || !wanted.is_named || wanted.pids.is_empty();
            }
        }
        let mut pids = workloads.some_pids(Wanted::MOST_PIDS, &wants_pids);
        let mut has_changed = wanted.len() != before.owners.len();
        let mut owners = Vec::with_capacity(wanted.len());
        for (id, mut wanted) in wanted {
            let wants = wants_pids.get(id.index()).copied().unwrap_or(false);
            if let Some(found) = pids.get_mut(id.index()).filter(|_| wants) {
                wanted.pids = std::mem::take(found);
            }
            has_changed |= known.get(&wanted.owner).is_none_or(|known| {
                known.is_named != wanted.is_named || !wanted.is_named && known.pids != wanted.pids
            });
            owners.push(wanted);
        }
        self.told_at = Some(now);
        if is_all_due {
            self.told_all_at = Some(now);
        }
        self.has_news = false;
        if has_changed {
            self.generation = self.generation.saturating_add(1);
        }
        if has_changed || is_all_due {
            self.board.want(Wanted { generation: self.generation, owners });
        }
    }
}

impl Waiting {
    /// Whether an owner waits for its name.
    fn holds(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Container { id, .. } => self.containers && !id.is_empty(),
            Owner::Pod { .. } => self.containers,
            Owner::Job { .. } => self.jobs,
            Owner::Unit { .. } | Owner::Vm { .. } | Owner::System => false,
        }
    }
}

/// The pod that a container is in.
fn pod_of(owner: &Owner, owners: &OwnerTable) -> Option<OwnerId> {
    match owner {
        Owner::Container { pod_uid, .. } if !pod_uid.is_empty() => owners.pod(pod_uid),
        _ => None,
    }
}

fn is_named(facts: &Option<Facts>, owner: &Owner) -> bool {
    facts.as_ref().is_some_and(|facts| facts.names(owner))
}

#[cfg(test)]
mod tests;
