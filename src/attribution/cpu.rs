//! Who used the CPU: the cgroup tree as weights by owner.
//!
//! The kernel counts CPU time hierarchically, so what a node shows beyond its children is its own. Where children
//! vanished since the last tick, that residual holds what they used to their end.

use std::collections::HashMap;

use crate::workloads::UsageNode;
use crate::workloads::owners::OwnerId;

/// More than this, in nanoseconds, and more than one tick of the children isn't owed to readings of different
/// instants but to a node that counts less than its parts do, as clock ticks can; it must not swallow what comes
/// later.
const MOST_AHEAD: u64 = 1_000_000_000;

/// Turns trees into weights, and remembers by how much the parts of a node ran ahead of it.
///
/// The files of a tree aren't read at the same instant, so a child or a process may show a little time that the
/// node itself shows only in the next tick. That much is taken off the node's next residual; without it the same
/// time would count twice.
#[derive(Clone, Debug, Default)]
pub struct CpuWeights {
    ahead: HashMap<u64, u64>,
    previous: HashMap<u64, u64>,
    /// What nodes usually have beyond their children and living processes, in ticks in which nothing vanished.
    usual: HashMap<u64, u64>,
}

impl CpuWeights {
    /// The CPU time of each owner in this tick, by [`OwnerId::index`]; `owners` is the length of the list.
    ///
    /// `nodes` has parents before children. Without any node the processes' time could be used, but nobody could
    /// vouch for those that ended, so the caller decides.
    pub fn weigh(&mut self, nodes: &[UsageNode], owners: usize) -> Vec<u64> {
        let mut weights = vec![0_u64; owners];
        let mut below = vec![0_u64; nodes.len()];
        let mut has_children = vec![false; nodes.len()];
        let mut vanished: HashMap<usize, Vec<usize>> = HashMap::new();
        std::mem::swap(&mut self.ahead, &mut self.previous);
        self.ahead.clear();
        if self.usual.len() > nodes.len() {
            self.usual.retain(|key, _| nodes.iter().any(|node| node.key == *key));
        }
        for (at, node) in nodes.iter().enumerate().rev() {
            let Some(parent) = node.parent.filter(|parent| *parent < at) else {
                continue;
            };
            if let Some(flag) = has_children.get_mut(parent) {
                *flag = true;
            }
            if node.vanished {
                vanished.entry(parent).or_default().push(at);
            }
            // A node that can't be read passes on what its children show.
            let seen = own_total(node).unwrap_or_else(|| below.get(at).copied().unwrap_or(0));
            if let Some(sum) = below.get_mut(parent) {
                *sum = sum.saturating_add(seen);
            }
        }
        for (at, node) in nodes.iter().enumerate() {
            let is_inner = node.parent.is_none() || has_children.get(at).copied().unwrap_or(false);
            let children = below.get(at).copied().unwrap_or(0);
            let debt = self.previous.get(&node.key).copied().unwrap_or(0);
            let Some(total) = own_total(node) else {
                // When it can be read again, its count will hold this tick's part of its children, too.
                if is_inner && node.is_missed {
                    self.owe(node.key, children.saturating_add(debt), children);
                }
                continue;
            };
            if !is_inner {
                credit(&mut weights, node.owner, total);
                continue;
            }
            // Living processes in the node itself vouch for their part, as far as the node shows it. Where it is
            // counted in clock ticks they are believed at once, and what it shows later is taken as theirs.
            let direct = node.direct.as_nanos();
            let covered = children.saturating_add(debt);
            let (own, covered) = if node.is_coarse {
                (direct, covered.saturating_add(direct))
            } else {
                let own = direct.min(total.saturating_sub(covered));
                (own, covered.saturating_add(own))
            };
            credit(&mut weights, node.owner, own);
            if covered > total {
                self.owe(node.key, covered - total, children);
            }
            let residual = total.saturating_sub(covered);
            match vanished.get(&at) {
                Some(gone) => {
                    let last = self.last_interval(nodes, node, gone, residual);
                    credit(&mut weights, node.owner, residual - last);
                    grant(nodes, &vanished, gone, last, &mut weights);
                }
                None => {
                    self.learn(node.key, residual);
                    credit(&mut weights, node.owner, residual);
                }
            }
        }
        weights
    }

    /// How much of a node's residual is what its vanished children used to their end: all but what the node has
    /// without them. In the root, where anybody's processes die, it is no more than they used in the tick before.
    fn last_interval(&self, nodes: &[UsageNode], node: &UsageNode, gone: &[usize], residual: u64) -> u64 {
        let usual = self.usual.get(&node.key).copied().unwrap_or(0);
        let rest = residual.saturating_sub(usual);
        if node.parent.is_some() {
            return rest;
        }
        let rates = gone.iter().filter_map(|&at| nodes.get(at)).map(|child| child.rate.as_nanos());
        rest.min(rates.fold(0, u64::saturating_add))
    }

    /// Takes the residual of a quiet tick into the usual one, an eighth at a time.
    fn learn(&mut self, key: u64, residual: u64) {
        let usual = self.usual.get(&key).copied().unwrap_or(0);
        let next = usual - usual / 8 + residual / 8;
        if next == 0 {
            self.usual.remove(&key);
        } else {
            self.usual.insert(key, next);
        }
    }

    /// Notes by how much the parts of a node ran ahead of it.
    fn owe(&mut self, key: u64, time: u64, children: u64) {
        self.ahead.insert(key, time.min(children.max(MOST_AHEAD)));
    }
}

/// What a node counts that isn't counted a second time elsewhere in the tree.
fn own_total(node: &UsageNode) -> Option<u64> {
    node.delta.map(|delta| delta.saturating_sub(node.elsewhere).as_nanos())
}

fn credit(weights: &mut [u64], owner: OwnerId, time: u64) {
    if let Some(weight) = weights.get_mut(owner.index()) {
        *weight = weight.saturating_add(time);
    }
}

/// Gives `time` to vanished nodes by what they last used, evenly if they had used nothing yet, and inside each to
/// the deepest ones.
fn grant(
    nodes: &[UsageNode],
    vanished: &HashMap<usize, Vec<usize>>,
    gone: &[usize],
    time: u64,
    weights: &mut [u64],
) {
    let rates: Vec<u64> =
        gone.iter().map(|&at| nodes.get(at).map_or(0, |node| node.rate.as_nanos())).collect();
    let all: u128 = rates.iter().map(|&rate| u128::from(rate)).sum();
    let count = u128::try_from(gone.len()).unwrap_or(1).max(1);
    let mut left = time;
    for (position, (&at, &rate)) in gone.iter().zip(&rates).enumerate() {
        let share = match all {
            0 => u128::from(time) / count,
            all => u128::from(time) * u128::from(rate) / all,
        };
        let is_last = position + 1 == gone.len();
        let share = if is_last { left } else { u64::try_from(share).unwrap_or(u64::MAX).min(left) };
        left -= share;
        match (vanished.get(&at), nodes.get(at)) {
            (Some(inside), _) => grant(nodes, vanished, inside, share, weights),
            (None, Some(node)) => credit(weights, node.owner, share),
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
