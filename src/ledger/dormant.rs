//! Totals of owners that are away but may come back under the same name, so that their counters go on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::ledger::Totals;
use crate::workloads::owner::Owner;

/// A bounded memory; the one that left first is forgotten first.
#[derive(Debug)]
pub(super) struct Dormant {
    totals: HashMap<Arc<Owner>, (u64, Totals)>,
    /// Who left when. An entry that doesn't agree with `totals` is stale: its owner came back since.
    order: VecDeque<(u64, Arc<Owner>)>,
    departures: u64,
    cap: usize,
}

impl Dormant {
    /// A memory for `cap` owners.
    pub(super) fn new(cap: usize) -> Self {
        Self { totals: HashMap::new(), order: VecDeque::new(), departures: 0, cap }
    }

    /// Gives back what is remembered of an owner that comes back.
    pub(super) fn wake(&mut self, owner: &Arc<Owner>) -> Option<Totals> {
        self.totals.remove(owner).map(|(_, totals)| totals)
    }

    /// Remembers an owner that left.
    pub(super) fn put(&mut self, owner: Arc<Owner>, totals: Totals) {
        self.departures = self.departures.saturating_add(1);
        self.totals.insert(Arc::clone(&owner), (self.departures, totals));
        self.order.push_back((self.departures, owner));
        while self.totals.len() > self.cap {
            let Some((departure, owner)) = self.order.pop_front() else { return };
            if self.is_current(departure, &owner) {
                self.totals.remove(&owner);
            }
        }
        // Owners that come and go leave stale entries behind.
        if self.order.len() > self.cap.saturating_mul(2) {
            let order = std::mem::take(&mut self.order);
            self.order =
                order.into_iter().filter(|(departure, owner)| self.is_current(*departure, owner)).collect();
        }
    }

    fn is_current(&self, departure: u64, owner: &Arc<Owner>) -> bool {
        self.totals.get(owner).is_some_and(|(at, _)| *at == departure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::CpuTime;

    fn owner(name: &str) -> Arc<Owner> {
        Arc::new(Owner::Unit { unit: name.into() })
    }

    fn totals(nanos: u64) -> Totals {
        let mut totals = Totals::default();
        totals.cpu_time = CpuTime::from_nanos(nanos);
        totals
    }

    #[test]
    fn the_first_to_leave_is_forgotten_first() {
        let mut dormant = Dormant::new(2);
        for (name, nanos) in [("a", 1), ("b", 2)] {
            dormant.put(owner(name), totals(nanos));
        }
        // It comes back and leaves again, so it left last.
        assert!(dormant.wake(&owner("a")).is_some());
        dormant.put(owner("a"), totals(3));
        dormant.put(owner("c"), totals(4));
        assert!(dormant.wake(&owner("b")).is_none());
        assert_eq!(dormant.wake(&owner("a")).map(|totals| totals.cpu_time.as_nanos()), Some(3));
    }

    #[test]
    fn a_timer_that_comes_and_goes_takes_no_memory() {
        let mut dormant = Dormant::new(3);
        for round in 0..1000 {
            dormant.put(owner("timer"), totals(round));
            dormant.wake(&owner("timer"));
        }
        assert!(dormant.order.len() <= 7, "{}", dormant.order.len());
        assert!(dormant.totals.is_empty());
    }
}
