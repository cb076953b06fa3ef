//! Who holds contexts: several lists of the driver made into one.

use std::collections::BTreeMap;
use std::time::Duration;

use nvml_wrapper::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use crate::gpu::nvml::errors::{Fault, Why};
use crate::gpu::nvml::latch::{self, Latch};
use crate::gpu::nvml::limitation;
use crate::gpu::{Client, DeviceFailure, Limitation};
use crate::units::Bytes;

/// A list that was empty is looked at again in every such tick.
const EVERY: u32 = 5;

/// Makes one list of several: each pid and instance once, with the most memory that any list gives it.
pub(super) fn merge(entries: impl IntoIterator<Item = Client>) -> Vec<Client> {
    let mut merged: BTreeMap<(u32, Option<u32>), Option<Bytes>> = BTreeMap::new();
    for entry in entries {
        let memory = merged.entry((entry.pid, entry.instance)).or_default();
        *memory = (*memory).max(entry.memory);
    }
    merged.into_iter().map(|((pid, instance), memory)| Client { pid, memory, instance }).collect()
}

fn client(process: &ProcessInfo) -> Client {
    let memory = match process.used_gpu_memory {
        UsedGpuMemory::Used(bytes) => Some(Bytes(bytes)),
        UsedGpuMemory::Unavailable => None,
    };
    Client { pid: process.pid, memory, instance: process.gpu_instance_id }
}

/// The entries of one list. Newer drivers give pid 0 to contexts of pid namespaces that can't see them: these become
/// one entry for each instance, with the memory of all where it is known of all.
fn entries(processes: &[ProcessInfo]) -> Vec<Client> {
    let (nameless, mut named): (Vec<_>, Vec<_>) =
        processes.iter().map(client).partition(|client| client.pid == 0);
    let mut sums: BTreeMap<Option<u32>, Option<Bytes>> = BTreeMap::new();
    for one in nameless {
        let sum = sums.entry(one.instance).or_insert(Some(Bytes(0)));
        *sum = sum.zip(one.memory).map(|(sum, more)| Bytes(sum.0.saturating_add(more.0)));
    }
    named.extend(sums.into_iter().map(|(instance, memory)| Client { pid: 0, memory, instance }));
    named
}

/// The compute contexts of a MIG device. "Not found" is left to the caller: there it may mean the device.
pub(super) fn of_part(device: &Device<'_>) -> Result<Vec<Client>, NvmlError> {
    Ok(entries(&latch::again(|| device.running_compute_processes())?))
}

fn compute(device: &Device<'_>) -> Result<Vec<Client>, NvmlError> {
    fetch(|| or_older(device.running_compute_processes(), || device.running_compute_processes_v2()))
}

fn graphics(device: &Device<'_>) -> Result<Vec<Client>, NvmlError> {
    fetch(|| or_older(device.running_graphics_processes(), || device.running_graphics_processes_v2()))
}

fn mps(device: &Device<'_>) -> Result<Vec<Client>, NvmlError> {
    fetch(|| device.mps_running_compute_processes())
}

/// Drivers before R510 have the second version of the call only, which gives the same entries.
fn or_older(
    answer: Result<Vec<ProcessInfo>, NvmlError>,
    older: impl FnOnce() -> Result<Vec<ProcessInfo>, NvmlError>,
) -> Result<Vec<ProcessInfo>, NvmlError> {
    match answer {
        Err(NvmlError::FailedToLoadSymbol(_)) => older(),
        other => other,
    }
}

fn fetch(call: impl FnMut() -> Result<Vec<ProcessInfo>, NvmlError>) -> Result<Vec<Client>, NvmlError> {
    Ok(entries(&latch::list(call)?))
}

/// A list that is empty most of the time.
#[derive(Debug, Default)]
struct RareList {
    latch: Latch,
    /// Ticks until the next look.
    rest: u32,
    /// Looks in a row that must still be made in every tick.
    eager: u32,
    /// Whether the last look failed.
    is_failing: bool,
}

impl RareList {
    /// Whether this tick looks at it.
    fn is_due(&mut self) -> bool {
        let due = self.rest == 0;
        self.rest = self.rest.saturating_sub(1);
        due
    }

    /// Looks at it, and gives the entries; nobody where they can't be told.
    fn look(
        &mut self,
        at: Duration,
        call: impl FnOnce() -> Result<Vec<Client>, NvmlError>,
    ) -> Result<Vec<Client>, DeviceFailure> {
        self.rest = 0;
        let answer = self.latch.ask(at, call)?;
        // A list that the device or the driver hasn't is as good as an empty one.
        let is_missing = matches!(self.latch.why(), Some(Why::Unsupported | Why::Missing));
        self.is_failing = answer.is_none() && !is_missing;
        let entries = answer.unwrap_or_default();
        self.eager = if entries.is_empty() { self.eager.saturating_sub(1) } else { EVERY };
        if self.eager == 0 && (!self.is_failing || self.latch.why().is_some()) {
            self.rest = EVERY - 1;
        }
        Ok(entries)
    }

    /// What is missing without it. `name`: what to call it.
    fn limitation(&self, name: &'static str) -> Option<Limitation> {
        let remedy = self.latch.why().and_then(Why::remedy);
        self.is_failing.then(|| limitation("clients", name, remedy))
    }
}

/// The lists of one device.
#[derive(Debug, Default)]
pub(super) struct Lists {
    compute: Latch,
    graphics: RareList,
    mps: RareList,
}

/// What a look at the lists brought.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// All entries; none where they can't be told in this tick.
    pub(super) clients: Option<Vec<Client>>,
    /// Which lists were left out as they were empty lately.
    skipped: [bool; 2],
}

impl Lists {
    /// Why clients can't be told, if so: the main list can't be had. The others alone don't tell who is there.
    pub(super) fn why(&self) -> Option<Why> {
        self.compute.why()
    }

    /// Which lists beside the main one fail. Their clients are missing.
    pub(super) fn limitations(&self) -> impl Iterator<Item = Limitation> {
        let graphics = self.graphics.limitation("the list of graphics contexts fails");
        let mps = self.mps.limitation("the list of MPS clients fails");
        graphics.into_iter().chain(mps)
    }

    /// Looks at the lists that are due: compute contexts always, graphics and MPS while they weren't empty lately
    /// and else in every fifth tick.
    pub(super) fn look(&mut self, device: &Device<'_>, at: Duration) -> Result<Looked, DeviceFailure> {
        let entries = self.compute.attempt(at, || compute(device)).map_err(Fault::failure)?;
        let due = [self.graphics.is_due(), self.mps.is_due()];
        let mut looked = Looked { clients: Some(entries.unwrap_or_default()), skipped: due.map(|due| !due) };
        self.add(device, at, due, &mut looked)?;
        if self.why().is_some() {
            looked.clients = None;
        }
        Ok(looked)
    }

    /// Looks at the lists that were left out, too: somebody works who is in none of the others.
    pub(super) fn complete(
        &mut self,
        device: &Device<'_>,
        at: Duration,
        looked: &mut Looked,
    ) -> Result<(), DeviceFailure> {
        let due = std::mem::take(&mut looked.skipped);
        self.add(device, at, due, looked)
    }

    fn add(
        &mut self,
        device: &Device<'_>,
        at: Duration,
        [graphics_due, mps_due]: [bool; 2],
        looked: &mut Looked,
    ) -> Result<(), DeviceFailure> {
        let more = if graphics_due { self.graphics.look(at, || graphics(device))? } else { Vec::new() };
        let most = if mps_due { self.mps.look(at, || mps(device))? } else { Vec::new() };
        if let Some(clients) = &mut looked.clients {
            clients.extend(more);
            clients.extend(most);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn entry(pid: u32, memory: Option<u64>, instance: Option<u32>) -> Client {
        Client { pid, memory: memory.map(Bytes), instance }
    }

    #[test]
    fn each_pid_and_instance_appears_once_with_its_most_memory() {
        let merged = merge([
            entry(9, None, None),
            entry(7, Some(5), None),
            entry(7, None, None),
            entry(7, Some(9), None),
            entry(7, Some(3), Some(1)),
        ]);
        assert_eq!(merged, [entry(7, Some(9), None), entry(7, Some(3), Some(1)), entry(9, None, None)]);
    }

    #[test]
    fn a_list_that_is_empty_is_looked_at_in_every_fifth_tick() {
        let mut list = RareList::default();
        let mut looks = Vec::new();
        for tick in 0..30 {
            if list.is_due() {
                let entries = if tick == 10 { vec![entry(7, None, None)] } else { Vec::new() };
                list.look(Duration::ZERO, || Ok(entries)).unwrap();
                looks.push(tick);
            }
        }
        assert_eq!(looks, [0, 5, 10, 11, 12, 13, 14, 15, 20, 25]);
    }

    #[test]
    fn contexts_without_a_name_are_one_client_with_the_memory_of_all() {
        let process = |pid, memory: Option<u64>| ProcessInfo {
            pid,
            used_gpu_memory: memory.map_or(UsedGpuMemory::Unavailable, UsedGpuMemory::Used),
            gpu_instance_id: None,
            compute_instance_id: None,
        };
        let list = [process(0, Some(3)), process(7, Some(1)), process(0, Some(4))];
        let expected = [entry(0, Some(7), None), entry(7, Some(1), None)];
        assert_eq!(merge(entries(&list)), expected);
        // They stand in two lists.
        assert_eq!(merge(entries(&list).into_iter().chain(entries(&list))), expected);
        let list = [process(0, Some(3)), process(0, None)];
        assert_eq!(merge(entries(&list)), [entry(0, None, None)]);
    }

    #[test]
    fn a_list_that_fails_three_times_is_left_alone() {
        let mut list = RareList::default();
        for second in 0..3 {
            assert!(list.is_due());
            assert_eq!(list.latch.why(), None);
            assert_eq!(list.look(Duration::from_secs(second), || Err(NvmlError::Unknown)), Ok(Vec::new()));
            assert!(list.limitation("fails").is_some());
        }
        assert_eq!(list.latch.why(), Some(Why::Failing));
        assert_eq!(list.look(Duration::from_secs(3), || Err(NvmlError::GpuLost)), Ok(Vec::new()));
        assert!(list.limitation("fails").is_some());
        let later = Duration::from_secs(602);
        assert!(list.look(later, || Err(NvmlError::GpuLost)).is_err());
    }

    proptest! {
        #[test]
        fn merging_keeps_everybody_and_is_blind_to_order(
            entries in prop::collection::vec(
                (0u32..6, prop::option::of(any::<u64>()), prop::option::of(0u32..3)), 0..30,
            ),
        ) {
            let entries: Vec<_> =
                entries.into_iter().map(|(pid, memory, id)| entry(pid, memory, id)).collect();
            let merged = merge(entries.clone());
            prop_assert_eq!(&merge(entries.iter().rev().cloned()), &merged);
            prop_assert_eq!(&merge(merged.clone()), &merged);
            for entry in &entries {
                let found = merged.iter().find(|one| (one.pid, one.instance) == (entry.pid, entry.instance));
                prop_assert!(found.is_some_and(|one| one.memory >= entry.memory));
            }
        }
    }
}
