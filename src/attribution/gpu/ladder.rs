//! The rungs that need no slices, and the split inside an owner.

use std::collections::BTreeMap;

use super::{Contender, Method, Whom};
use crate::attribution::apportion::apportion;
use crate::units::Microjoules;

/// A contender and its place among all contenders.
pub(super) type Member<'a> = (usize, &'a Contender);

/// What contenders are weighed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// Their work.
    Work,
    /// Their memory.
    Memory,
    /// They can't be told apart.
    Equal,
}

impl Basis {
    /// The best basis on which all of `members` can be weighed and one of them weighs anything.
    pub(super) fn best(members: &[Member<'_>], can_use_work: bool) -> Self {
        let tells = |basis: &Self| {
            members.iter().all(|(_, one)| basis.weight(one).is_some())
                && members.iter().any(|(_, one)| basis.weight(one).is_some_and(|weight| weight > 0))
        };
        let ladder = [can_use_work.then_some(Self::Work), Some(Self::Memory)];
        ladder.into_iter().flatten().find(tells).unwrap_or(Self::Equal)
    }

    /// The rung of a split over owners on this basis.
    pub(super) const fn method(self) -> Method {
        match self {
            Self::Work => Method::SmUtil,
            Self::Memory => Method::Memory,
            Self::Equal => Method::Equal,
        }
    }

    /// None where it isn't known.
    fn weight(self, one: &Contender) -> Option<u64> {
        match self {
            Self::Work => Some(one.work),
            Self::Memory => one.memory.map(|bytes| bytes.0),
            Self::Equal => Some(1),
        }
    }

    /// What an owner weighs against other owners: equal shares are of owners, however many processes they have.
    fn weight_together(self, members: &[Member<'_>]) -> u128 {
        match self {
            Self::Equal => 1,
            Self::Work | Self::Memory => {
                members.iter().filter_map(|(_, one)| self.weight(one)).map(u128::from).sum()
            }
        }
    }
}

/// Splits `energy` over the owners of `members` on `basis`, and inside each owner on the best basis that its own
/// members have; adds what each gets to its place in `shares`.
pub(super) fn settle(
    energy: Microjoules,
    members: &[Member<'_>],
    basis: Basis,
    work_is_known: bool,
    shares: &mut [Microjoules],
) {
    let mut owners: BTreeMap<Whom, Vec<Member<'_>>> = BTreeMap::new();
    for &(place, one) in members {
        owners.entry(one.whom).or_default().push((place, one));
    }
    let sums: Vec<u128> = owners.values().map(|own| basis.weight_together(own)).collect();
    for (own, part) in owners.values().zip(split(energy, &fit(&sums))) {
        let basis = Basis::best(own, work_is_known);
        let weights: Vec<u64> = own.iter().map(|(_, one)| basis.weight(one).unwrap_or(0)).collect();
        for (&(place, _), share) in own.iter().zip(split(part, &weights)) {
            if let Some(sum) = shares.get_mut(place) {
                *sum += share;
            }
        }
    }
}

/// [`apportion`], equally where no weight is above zero.
pub(super) fn split(energy: Microjoules, weights: &[u64]) -> Vec<Microjoules> {
    apportion(energy, weights).or_else(|| apportion(energy, &vec![1; weights.len()])).unwrap_or_default()
}

/// Scales sums down together until each fits; most do as they are.
pub(super) fn fit(sums: &[u128]) -> Vec<u64> {
    let widest = sums.iter().map(|sum| u128::BITS - sum.leading_zeros()).max().unwrap_or(0);
    let excess = widest.saturating_sub(u64::BITS);
    sums.iter().map(|sum| u64::try_from(sum >> excess).unwrap_or(u64::MAX)).collect()
}
