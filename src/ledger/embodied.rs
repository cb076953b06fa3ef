//! To whom the emissions of making the hardware go.

use crate::ledger::Ledger;
use crate::meters::Component;
use crate::units::Grams;
use crate::workloads::owner::OwnerKind;
use crate::workloads::owners::OwnerId;

/// Who has a part of the hardware for a time; the `kind` label of the node's embodied emissions by owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// Owners of this family, ended ones included.
    Owner(OwnerKind),
    /// Nobody: it stood by.
    Unallocated,
}

impl Holder {
    /// All values, in the order of their index.
    pub const ALL: [Self; 6] = [
        Self::Owner(OwnerKind::Container),
        Self::Owner(OwnerKind::Unit),
        Self::Owner(OwnerKind::Job),
        Self::Owner(OwnerKind::Vm),
        Self::Owner(OwnerKind::System),
        Self::Unallocated,
    ];

    /// A dense index for arrays.
    pub const fn index(self) -> usize {
        match self {
            Self::Owner(OwnerKind::Container) => 0,
            Self::Owner(OwnerKind::Unit) => 1,
            Self::Owner(OwnerKind::Job) => 2,
            Self::Owner(OwnerKind::Vm) => 3,
            Self::Owner(OwnerKind::System) => 4,
            Self::Unallocated => 5,
        }
    }

    /// The value of the `kind` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner(kind) => kind.as_str(),
            Self::Unallocated => "unallocated",
        }
    }
}

impl Ledger {
    /// Books embodied emissions of hardware that an owner has.
    pub fn book_embodied(&mut self, (id, kind): (OwnerId, OwnerKind), component: Component, grams: Grams) {
        self.enter_embodied(component, Holder::Owner(kind), grams);
        if let Some(account) = self.accounts.get_mut(id.index()) {
            account.totals.add_embodied(component, grams);
        }
    }

    /// Books embodied emissions of hardware that nobody has.
    pub fn book_embodied_unallocated(&mut self, component: Component, grams: Grams) {
        self.enter_embodied(component, Holder::Unallocated, grams);
    }

    fn enter_embodied(&mut self, component: Component, to: Holder, grams: Grams) {
        let Some(book) = self.components.get_mut(component.index()) else { return };
        book.footprint.embodied += grams;
        if let Some(sum) = book.embodied_by_holder.get_mut(to.index()) {
            *sum += grams;
        }
    }
}
