//! Who holds memory: weights for the idle part of DRAM energy. The active part goes by CPU time.

use crate::units::Bytes;
use crate::workloads::owners::OwnerId;

/// Weights for idle DRAM energy.
#[derive(Debug, PartialEq, Eq)]
pub struct MemoryWeights {
    /// By [`OwnerId::index`]; what is in use beyond the recognised owners stands at [`OwnerId::SYSTEM`].
    pub owners: Vec<u64>,
    /// Memory that nobody uses.
    pub unused: u64,
}

/// Weighs the memory of `owners` owners against the whole machine's `(total, used)`. Where owners hold more than
/// the machine says is in use (shared pages and caches count as available), nothing is left for the system.
/// Where the machine's memory isn't known, the owners share alone.
pub fn memory_weights(
    held: &[(OwnerId, Bytes)],
    machine: Option<(Bytes, Bytes)>,
    owners: usize,
) -> MemoryWeights {
    let mut weights = vec![0_u64; owners];
    let mut sum = 0_u64;
    for (owner, bytes) in held.iter().filter(|(owner, _)| *owner != OwnerId::SYSTEM) {
        if let Some(weight) = weights.get_mut(owner.index()) {
            *weight = weight.saturating_add(bytes.0);
            sum = sum.saturating_add(bytes.0);
        }
    }
    let Some((total, used)) = machine else {
        return MemoryWeights { owners: weights, unused: 0 };
    };
    let in_use = used.0.max(sum).min(total.0);
    if let Some(system) = weights.get_mut(OwnerId::SYSTEM.index()) {
        *system = in_use.saturating_sub(sum);
    }
    MemoryWeights { owners: weights, unused: total.0.saturating_sub(in_use) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::owner::OwnerKind;

    fn container() -> OwnerId {
        OwnerId::overflow(OwnerKind::Container)
    }

    #[test]
    fn owners_system_and_unused_make_up_the_machine() {
        let weights = memory_weights(&[(container(), Bytes(30))], Some((Bytes(100), Bytes(45))), 5);
        assert_eq!(weights, MemoryWeights { owners: vec![15, 30, 0, 0, 0], unused: 55 });
    }

    #[test]
    fn caches_count_for_the_owner_that_holds_them() {
        let weights = memory_weights(&[(container(), Bytes(60))], Some((Bytes(100), Bytes(45))), 5);
        assert_eq!(weights, MemoryWeights { owners: vec![0, 60, 0, 0, 0], unused: 40 });
        let weights = memory_weights(&[(container(), Bytes(160))], Some((Bytes(100), Bytes(45))), 5);
        assert_eq!(weights.unused, 0);
    }

    #[test]
    fn without_the_machines_memory_owners_share_alone() {
        let weights = memory_weights(&[(container(), Bytes(60))], None, 5);
        assert_eq!(weights, MemoryWeights { owners: vec![0, 60, 0, 0, 0], unused: 0 });
    }
}
