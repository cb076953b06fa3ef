//! The order of a tree's nodes, and which of them are measured.

use super::CgroupTree;

impl CgroupTree {
    /// Puts parents before children and finds out which nodes are needed as evidence.
    pub(super) fn reshape(&mut self) {
        self.reshaped = false;
        self.order.clear();
        let mut by_depth: Vec<(usize, usize)> =
            self.nodes.iter().flatten().map(|node| (node.depth, node.id.index)).collect();
        by_depth.sort_unstable();
        self.order.extend(by_depth.into_iter().map(|(_, index)| index));
        for slot in self.nodes.iter_mut().flatten() {
            slot.is_measured = slot.is_border || slot.parent.is_none();
        }
        for position in (0..self.order.len()).rev() {
            let Some(node) = self.order.get(position).and_then(|&index| self.node(index)) else {
                continue;
            };
            if !node.is_measured {
                continue;
            }
            if let Some(parent) = node.parent.and_then(|parent| self.nodes.get_mut(parent)?.as_mut()) {
                parent.is_measured = true;
            }
        }
        self.measure_siblings();
    }

    /// Has those measured, too, that stand beside an owner's cgroup and are nobody's, such as the one in which podman
    /// cleans up after its containers: else what dies in them would look like the end of an owner that vanished meanwhile.
    fn measure_siblings(&mut self) {
        let mut has_measured_child = vec![false; self.nodes.len()];
        for node in self.nodes.iter().flatten().filter(|node| node.is_measured) {
            if let Some(flag) = node.parent.and_then(|parent| has_measured_child.get_mut(parent)) {
                *flag = true;
            }
        }
        for index in 0..self.nodes.len() {
            let parent = self.node(index).filter(|node| !node.is_measured).and_then(|node| node.parent);
            let is_sibling =
                parent.is_some_and(|parent| has_measured_child.get(parent).copied().unwrap_or(false));
            if let (true, Some(node)) = (is_sibling, self.nodes.get_mut(index).and_then(Option::as_mut)) {
                node.is_measured = true;
            }
        }
    }
}
