//! The totals of GPUs, card by card.

use std::sync::Arc;

use crate::ledger::Beneficiary;
use crate::units::Microjoules;

/// A dense number for a GPU, for as long as the daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceIndex(u16);

impl DeviceIndex {
    /// The number, for dense arrays.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Totals of one GPU.
#[derive(Clone, Debug)]
pub struct DeviceBook {
    /// The GPU's UUID.
    pub uuid: Arc<str>,
    /// All energy booked since the daemon started; equals the sum over `by_beneficiary`.
    pub energy: Microjoules,
    /// The same energy by who it went to, by [`Beneficiary::index`].
    pub by_beneficiary: [Microjoules; Beneficiary::ALL.len()],
}

/// All GPUs that were ever booked.
#[derive(Debug, Default)]
pub(super) struct DeviceBooks(Vec<DeviceBook>);

impl DeviceBooks {
    /// The number of a GPU, a new one if it wasn't booked before. None beyond 65,535 GPUs.
    pub(super) fn open(&mut self, uuid: &Arc<str>) -> Option<DeviceIndex> {
        let known = self.0.iter().position(|book| book.uuid == *uuid);
        let index = DeviceIndex(u16::try_from(known.unwrap_or(self.0.len())).ok()?);
        if known.is_none() {
            self.0.push(DeviceBook {
                uuid: Arc::clone(uuid),
                energy: Microjoules::ZERO,
                by_beneficiary: Default::default(),
            });
        }
        Some(index)
    }

    pub(super) fn get(&self, device: DeviceIndex) -> Option<&DeviceBook> {
        self.0.get(device.index())
    }

    pub(super) fn add(&mut self, device: DeviceIndex, to: Beneficiary, energy: Microjoules) {
        let Some(book) = self.0.get_mut(device.index()) else { return };
        book.energy += energy;
        if let Some(sum) = book.by_beneficiary.get_mut(to.index()) {
            *sum += energy;
        }
    }
}
