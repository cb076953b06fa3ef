//! The values of the `container_id` label.

use std::collections::{HashMap, HashSet};

use crate::snapshot::Snapshot;
use crate::workloads::owner::Owner;

/// How the containers of one snapshot are told apart: by the short form of their ids, or by the whole id where
/// that form is another container's, too, as one would hide the other.
#[derive(Debug)]
pub struct ContainerIds<'a> {
    clashing: HashSet<&'a str>,
}

impl<'a> ContainerIds<'a> {
    /// Finds the short forms that stand for more than one container.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut first: HashMap<&str, &str> = HashMap::new();
        let mut clashing = HashSet::new();
        for owner in snapshot.workloads.iter().map(|totals| &*totals.owner) {
            let Owner::Container { id, .. } = owner else { continue };
            let short = owner.container_id_short();
            if **first.entry(short).or_insert(id) != **id {
                clashing.insert(short);
            }
        }
        Self { clashing }
    }

    /// The label of an owner; empty where it is no container or has no id.
    pub fn label<'b>(&self, owner: &'b Owner) -> &'b str {
        let short = owner.container_id_short();
        match owner {
            Owner::Container { id, .. } if self.clashing.contains(short) => id,
            _ => short,
        }
    }
}
