//! Who used a GPU: the ladder of evidence.
//!
//! No driver counts energy by process, so a device's energy is split by the best thing that is known of all who
//! hold a context. Here 90 J of one device are split between owner A, with the processes a1 and a2, and owner B,
//! with b:
//!
//! | Rung | Asks for | Weight of an owner | For example | A | B |
//! |---|---|---|---|---|---|
//! | `exclusive` | one owner only | all | B isn't there | 90 J | |
//! | `sm_util` | work by process, no MIG | sum of its processes' work | a1 20, a2 40, b 30 | 60 J | 30 J |
//! | `gpm` | MIG; busy share and SM count of each instance | share x SMs | a1, a2: 0.5 of 28; b: 1.0 of 14 | 45 J | 45 J |
//! | `mig_slice` | MIG; SM count of each instance | SMs | a1, a2: 28; b: 14 | 60 J | 30 J |
//! | `memory` | memory of every process | sum of its processes' memory | a1 0, a2 1 GiB, b 2 GiB | 30 J | 60 J |
//! | `equal` | nothing | 1 | | 45 J | 45 J |
//! | `none` | nobody, or only processes that aren't known | | | | |
//!
//! - Processes that aren't known weigh in together, as one owner: [`Whom::Unknown`].
//! - On `gpm` and `mig_slice` only the GPU instances that hold a process count. Inside one, its only owner takes
//!   its part; several share it by memory if that is known of every process in it, else equally. One process
//!   whose instance isn't known, or an instance that isn't listed, rules both rungs out.
//! - Contexts that do nothing still draw power, whatever memory they hold. Where it is known that nothing worked
//!   the energy is [`Use::Parked`] and every owner bears the same part: 45 J and 45 J. It is known from the
//!   processes' work or, with MIG, from the busy share of the instances; else from the device's utilization. A
//!   device that is busy although no process shows work isn't parked: its energy goes by memory.
//! - Inside an owner the processes share what the owner got (with slices: in the same instance) by work if one of
//!   them shows any, else by memory, else equally. In the row `sm_util` a1 gets 20 J and a2 40 J, in the row
//!   `memory` a1 nothing and a2 30 J.

use std::collections::BTreeMap;

use crate::attribution::apportion::apportion;
use crate::gpu::Instance;
use crate::units::{Bytes, Microjoules};
use crate::workloads::owners::OwnerId;

mod ladder;
mod slices;

use ladder::{Basis, Member, fit, settle};
use slices::Slices;

/// Whose a context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// An owner's.
    Owner(OwnerId),
    /// A process's that isn't known.
    Unknown,
}

/// One process in one GPU instance (or on the whole device without MIG).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contender {
    /// Whose it is.
    pub whom: Whom,
    /// The GPU instance that it runs in, with MIG.
    pub instance: Option<u32>,
    /// Device memory that it holds, if it is known.
    pub memory: Option<Bytes>,
    /// What it worked (utilisation x time, in any unit); 0 where it did nothing or it isn't known.
    pub work: u64,
}

/// All that is known of who used a device in one tick.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Who holds a context or worked.
    pub contenders: &'a [Contender],
    /// Whether [`Contender::work`] means anything on this device.
    pub work_is_known: bool,
    /// Whether MIG is on.
    pub mig: bool,
    /// The GPU instances, with MIG.
    pub instances: &'a [Instance],
    /// The share of time that the device worked, 0 to 1.
    pub utilization: Option<f64>,
}

/// The rung of evidence that a split stands on, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// One owner alone.
    Exclusive,
    /// SM utilisation x time by process.
    SmUtil,
    /// SM utilisation x SM count by GPU instance.
    Gpm,
    /// SM count of the GPU instances that hold a process.
    MigSlice,
    /// Device memory.
    Memory,
    /// Equal shares.
    Equal,
    /// Nothing tells: nobody holds a context, or only processes that aren't known.
    None,
}

impl Method {
    /// The value of the `method` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::SmUtil => "sm_util",
            Self::Gpm => "gpm",
            Self::MigSlice => "mig_slice",
            Self::Memory => "memory",
            Self::Equal => "equal",
            Self::None => "none",
        }
    }
}

/// What the split energy was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Work.
    Active,
    /// Contexts that did nothing.
    Parked,
}

/// A split of energy; the shares of `owners` add up to the energy exactly, and so do those of `contenders`
/// of one owner to the owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    /// The evidence.
    pub method: Method,
    /// What for.
    pub usage: Use,
    /// By owner, each once, in order; also those that get nothing.
    pub owners: Vec<(Whom, Microjoules)>,
    /// By contender, in the order of [`Evidence::contenders`].
    pub contenders: Vec<Microjoules>,
}

/// Splits a device's energy over those who hold contexts on it, by the best evidence that there is for all of
/// them; the module's documentation has the ladder.
///
/// Without a contender nothing is split: [`Method::None`], [`Use::Active`] and no owners. What each owner gets
/// doesn't depend on the order of the contenders; a microjoule that can't be split goes by the order of owners.
pub fn divide(energy: Microjoules, evidence: &Evidence<'_>) -> Division {
    let members: Vec<Member<'_>> = evidence.contenders.iter().enumerate().collect();
    let slices = Slices::of(evidence);
    let usage = usage(evidence, slices.as_ref());
    let slices = slices.filter(|_| usage == Use::Active);
    // Work by process can't be compared over slices of different size.
    let can_use_work = evidence.work_is_known && !evidence.mig;
    let basis = match usage {
        Use::Parked => Basis::Equal,
        Use::Active => Basis::best(&members, can_use_work),
    };
    let mut shares = vec![Microjoules::ZERO; members.len()];
    match &slices {
        Some(slices) => {
            for (part, inside) in slices.split(energy) {
                let basis = Basis::best(inside, can_use_work);
                settle(part, inside, basis, evidence.work_is_known, &mut shares);
            }
        }
        None => settle(energy, &members, basis, evidence.work_is_known, &mut shares),
    }
    let mut owners: BTreeMap<Whom, Microjoules> = BTreeMap::new();
    for (contender, &share) in evidence.contenders.iter().zip(&shares) {
        *owners.entry(contender.whom).or_default() += share;
    }
    let owners: Vec<(Whom, Microjoules)> = owners.into_iter().collect();
    let method = match owners.as_slice() {
        [] | [(Whom::Unknown, _)] => Method::None,
        [(Whom::Owner(_), _)] => Method::Exclusive,
        _ => slices.map_or(basis.method(), |slices| slices.method()),
    };
    Division { method, usage, owners, contenders: shares }
}

/// Splits idle energy over the holders of allocations (a device each, or replicas of one) by weight; `free` is the
/// weight of what nobody holds. Returns the holders' shares, each holder once and in order, and the rest, which
/// nobody answers for. Shares and rest add up to `energy` exactly; a weight of 0 is no allocation.
pub fn divide_idle(
    energy: Microjoules,
    holders: &[(OwnerId, u64)],
    free: u64,
) -> (Vec<(OwnerId, Microjoules)>, Microjoules) {
    let mut held: BTreeMap<OwnerId, u128> = BTreeMap::new();
    for &(owner, weight) in holders.iter().filter(|(_, weight)| *weight > 0) {
        *held.entry(owner).or_default() += u128::from(weight);
    }
    let sums: Vec<u128> = held.values().copied().chain([u128::from(free)]).collect();
    match apportion(energy, &fit(&sums)) {
        Some(mut shares) => {
            let rest = shares.pop().unwrap_or_default();
            (held.into_keys().zip(shares).collect(), rest)
        }
        None => (Vec::new(), energy),
    }
}

/// Whether anything worked. What was counted since the last tick outranks the device's utilization, which is only
/// of late.
fn usage(evidence: &Evidence<'_>, slices: Option<&Slices<'_>>) -> Use {
    let is_busy = evidence.utilization.filter(|share| !share.is_nan()).map(|share| share > 0.0);
    let worked = match evidence.mig {
        true => slices.and_then(Slices::worked),
        false => evidence.work_is_known.then(|| evidence.contenders.iter().any(|one| one.work > 0)),
    };
    match (worked, is_busy) {
        // Something unseen worked. With MIG that may be in an instance that no contender is in.
        (Some(false), Some(true)) if !evidence.mig => Use::Active,
        (Some(false), _) | (None, Some(false)) if !evidence.contenders.is_empty() => Use::Parked,
        _ => Use::Active,
    }
}

#[cfg(test)]
mod tests;
