//! The values of the `container_id` label.

use std::collections::HashSet;

use crate::snapshot::Snapshot;
use crate::workloads::owner::Owner;

/// Which containers of one snapshot are shown by their whole id, as another one has the same short form.
#[derive(Debug)]
pub struct ContainerIds<'a> {
    whole: HashSet<&'a str>,
}

impl<'a> ContainerIds<'a> {
    /// Finds those that are shown by their whole id.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let ids = snapshot.workloads.iter().filter_map(|totals| match &*totals.owner {
            Owner::Container { id, .. } if totals.title.container_id == *id => Some(&**id),
            _ => None,
        });
        Self { whole: ids.collect() }
    }

    /// The label of an owner; empty where it is no container or has no id.
    pub fn label<'b>(&self, owner: &'b Owner) -> &'b str {
        match owner {
            Owner::Container { id, .. } if self.whole.contains(&**id) => id,
            _ => owner.container_id_short(),
        }
    }
}
