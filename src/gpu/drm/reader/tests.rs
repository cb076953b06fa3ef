//! What is told of the use of a device where not all processes may be looked at.

use proptest::prelude::{prop, prop_assert, proptest};

use super::*;
use crate::gpu::drm::card;
use crate::gpu::drm::fixture::{Machine, PCI, amd, client, limits};

/// Reads a card by scans that are made up.
struct Scans {
    reader: CardReader,
    number: u64,
    _machine: Machine,
}

impl Scans {
    fn new() -> Self {
        let (machine, _) = amd();
        let card = card::find(&machine.path("")).0.pop().unwrap();
        let scanner = SharedScanner::new(&machine.path("proc"), &machine.path(""));
        let reader = CardReader::new(card, &machine.path(""), Arc::new(scanner));
        Self { reader, number: 0, _machine: machine }
    }

    /// A second later, with the processes' work since the beginning.
    fn read(&mut self, work: &[(u32, u64)], is_partial: bool, utilization: Option<f64>) -> DeviceReading {
        self.number += 1;
        let time = Duration::from_secs(self.number);
        let at = Tick { monotonic: time, boottime: time };
        let clients = work.iter().map(|(pid, _)| (*pid, ClientUse::default())).collect();
        let used = DeviceUse { clients, work: work.iter().copied().collect() };
        let devices = BTreeMap::from([(Arc::from(PCI), used)]);
        let sample = Sample { number: self.number, at, devices, is_partial, ..Sample::default() };
        let mut reading = DeviceReading { utilization, ..DeviceReading::blank(at) };
        self.reader.read_use(Some(&sample), &mut reading);
        reading
    }
}

#[test]
fn work_that_nobody_in_sight_did_is_nobodys() {
    const MS: u64 = 1_000_000;
    for (is_partial, utilization, done, expected) in [
        // All in sight, or most.
        (false, Some(1.0), 100 * MS, vec![(100, 100 * MS)]),
        (true, Some(1.0), 800 * MS, vec![(100, 800 * MS)]),
        (true, Some(0.1), 900 * MS, vec![(100, 900 * MS)]),
        (true, Some(0.0), 0, vec![]),
        // Somebody else works.
        (true, Some(1.0), 799 * MS, vec![(100, 799 * MS), (0, 201 * MS)]),
        (true, Some(0.5), 100 * MS, vec![(100, 100 * MS), (0, 400 * MS)]),
        (true, Some(0.5), 0, vec![(0, 500 * MS)]),
        // The device doesn't say what it does.
        (true, None, 100 * MS, vec![(100, 100 * MS)]),
    ] {
        let mut scans = Scans::new();
        assert_eq!(scans.read(&[(100, 5)], is_partial, utilization).work, None);
        let reading = scans.read(&[(100, 5 + done)], is_partial, utilization);
        assert_eq!(reading.work, Some(expected), "{is_partial} {utilization:?} {done}");
        assert_eq!(reading.clients, Some(vec![client(100, None)]));
        let reason = match (is_partial, utilization) {
            (false, _) => None,
            (true, Some(_)) => Some("no right to see all processes: work of others is nobody's"),
            (true, None) => {
                Some("no right to see all processes: those in sight get the energy of others, too")
            }
        };
        assert_eq!(
            limits(&reading),
            reason.map(|reason| ("clients", reason)).into_iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn with_nobody_in_sight_nothing_is_known() {
    let mut scans = Scans::new();
    for _ in 0..2 {
        let reading = scans.read(&[], true, Some(1.0));
        assert_eq!((&reading.clients, &reading.work), (&None, &None));
        assert_eq!(limits(&reading), [("clients", "no right to see all processes: nobody is known")]);
    }
}

proptest! {
    #[test]
    fn what_is_missing_makes_up_for_what_the_device_did(
        seen in prop::collection::vec(0..2_000_000_000u64, 0..4), utilization in 0.0..=1.0f64, millis in 0..60_000u64,
    ) {
        let work: Vec<_> = seen.iter().zip(1..).map(|(work, pid)| (pid, *work)).collect();
        let (seen, busy) = (seen.iter().sum::<u64>() as f64, utilization * millis as f64 * 1e6);
        match missing_work(&work, utilization, Duration::from_millis(millis)) {
            Some(missing) => prop_assert!((missing as f64 + seen - busy).abs() <= 2.0 && seen <= busy * 0.8 + 2.0),
            None => prop_assert!(seen >= busy * 0.8 - 2.0),
        }
    }
}
