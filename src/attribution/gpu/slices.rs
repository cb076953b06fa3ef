//! The rungs by GPU instance (MIG).

use std::collections::BTreeMap;

use super::ladder::{Member, split};
use super::{Evidence, Method};
use crate::gpu::Instance;
use crate::units::{Microjoules, floor_to_u64};

/// Parts that a busy share is counted in, so that no float gets into a split.
const PARTS: f64 = 1e6;

/// The GPU instances that hold a contender, and what each weighs.
#[derive(Debug)]
pub(super) struct Slices<'a> {
    method: Method,
    weights: Vec<u64>,
    members: Vec<Vec<Member<'a>>>,
}

impl<'a> Slices<'a> {
    /// None without MIG, and where it isn't known of every contender how large the instance is that it runs in.
    pub(super) fn of(evidence: &Evidence<'a>) -> Option<Self> {
        if !evidence.mig {
            return None;
        }
        let mut held: BTreeMap<u32, Vec<Member<'a>>> = BTreeMap::new();
        for (place, contender) in evidence.contenders.iter().enumerate() {
            held.entry(contender.instance?).or_default().push((place, contender));
        }
        let instances: Vec<&Instance> = held
            .keys()
            .map(|id| evidence.instances.iter().find(|instance| instance.id == *id))
            .collect::<Option<_>>()?;
        let sizes: Vec<u64> = instances.iter().map(|instance| size(instance)).collect::<Option<_>>()?;
        let busy: Option<Vec<u64>> = instances.iter().map(|instance| busy_parts(instance)).collect();
        let (method, weights) = match busy {
            Some(busy) => (Method::Gpm, busy.iter().zip(&sizes).map(|(busy, size)| busy * size).collect()),
            None => (Method::MigSlice, sizes),
        };
        Some(Self { method, weights, members: held.into_values().collect() })
    }

    /// The rung.
    pub(super) const fn method(&self) -> Method {
        self.method
    }

    /// Whether any of the instances worked; none where only their sizes are known.
    pub(super) fn worked(&self) -> Option<bool> {
        (self.method == Method::Gpm).then(|| self.weights.iter().any(|&weight| weight > 0))
    }

    /// The part of `energy` of each instance, and who is in it.
    pub(super) fn split(&self, energy: Microjoules) -> impl Iterator<Item = (Microjoules, &[Member<'a>])> {
        split(energy, &self.weights).into_iter().zip(self.members.iter().map(Vec::as_slice))
    }
}

/// An instance without a multiprocessor can't run anything, so a 0 isn't a size.
fn size(instance: &Instance) -> Option<u64> {
    instance.multiprocessors.filter(|&count| count > 0).map(u64::from)
}

fn busy_parts(instance: &Instance) -> Option<u64> {
    let share = instance.sm_utilization.filter(|share| !share.is_nan())?;
    Some(floor_to_u64((share.clamp(0.0, 1.0) * PARTS).round()))
}
