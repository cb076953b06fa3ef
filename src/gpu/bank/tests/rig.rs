//! A backend that does as it is told, and a bank over it with a clock that is set by hand.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::gpu::bank::{BackendFactory, GpuBank};
use crate::gpu::{
    BackendFailure, Client, Consequence, DeviceFailure, DeviceReader, DeviceReading, DeviceTick, Found,
    GpuBackend, GpuEnergy, GpuIdentity, GpuSettings, GpuTick, Now, Search, Vendor,
};
use crate::meters::{Domain, Quality, Tick};
use crate::units::{Microjoules, Watts};

/// No answer takes this long, however busy the machine is.
const NEVER: Duration = Duration::from_secs(30);

/// One made-up device.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) index: usize,
    pub(crate) present: bool,
    pub(crate) energy: Option<GpuEnergy>,
    pub(crate) limit: Option<Watts>,
    pub(crate) work: Option<Vec<(u32, u64)>>,
    pub(crate) failure: Option<DeviceFailure>,
    pub(crate) panics: bool,
    /// Readers with a lower number hang.
    hang_below: u64,
    readers: u64,
    pub(crate) live: usize,
    pub(crate) reads: usize,
}

/// All that a driver can do.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) devices: BTreeMap<String, Fake>,
    pub(crate) absent: Option<BackendFailure>,
    pub(crate) broken: Option<BackendFailure>,
    pub(crate) unnamed: Option<&'static str>,
    /// Backends with a lower number hang in a search.
    hang_below: u64,
    backends: u64,
    pub(crate) looks: usize,
    pub(crate) finds: usize,
    pub(crate) forgets: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    world: Mutex<World>,
    changed: Condvar,
    millis: AtomicU64,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Scripted {
    number: u64,
    shared: Arc<Shared>,
}

impl GpuBackend for Scripted {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn absent(&self) -> Option<BackendFailure> {
        let mut world = self.shared.world();
        world.looks += 1;
        world.absent.clone()
    }

    fn find(&mut self) -> Result<Search, BackendFailure> {
        let mut world = self.shared.world();
        world.finds += 1;
        self.shared.changed.notify_all();
        let mut world = self.shared.changed.wait_while(world, |w| self.number < w.hang_below).unwrap();
        if let Some(failure) = &world.broken {
            return Err(failure.clone());
        }
        let place = Arc::from("0000:01:00.0");
        let failed = world.unnamed.iter().map(|reason| (Arc::clone(&place), Arc::from(*reason))).collect();
        let mut present: Vec<(&String, &mut Fake)> =
            world.devices.iter_mut().filter(|(_, fake)| fake.present).collect();
        present.sort_by_key(|(_, fake)| fake.index);
        let found = present
            .into_iter()
            .map(|(uuid, fake)| {
                fake.readers += 1;
                fake.live += 1;
                let handle =
                    Handle { number: fake.readers, uuid: uuid.clone(), shared: Arc::clone(&self.shared) };
                Found { identity: identity(uuid, fake.index), reader: handle.reader() }
            })
            .collect();
        Ok(Search { found, failed })
    }

    fn forget(&mut self) {
        self.shared.world().forgets += 1;
        self.shared.changed.notify_all();
    }
}

struct Handle {
    number: u64,
    uuid: String,
    shared: Arc<Shared>,
}

impl Handle {
    fn reader(self) -> DeviceReader {
        Box::new(move |now: &Now| self.read(now))
    }

    fn read(&self, now: &Now) -> Result<DeviceReading, DeviceFailure> {
        let world = self.shared.world();
        let hangs = |world: &mut World| self.number < world.devices[&self.uuid].hang_below;
        let mut world = self.shared.changed.wait_while(world, hangs).unwrap();
        let fake = world.devices.get_mut(&self.uuid).unwrap();
        fake.reads += 1;
        if std::mem::take(&mut fake.panics) {
            drop(world);
            std::panic::resume_unwind(Box::new("scripted"));
        }
        if let Some(failure) = &fake.failure {
            return Err(failure.clone());
        }
        Ok(DeviceReading {
            at: now.get(),
            energy: fake.energy,
            utilization: None,
            memory_used: None,
            power_limit: fake.limit,
            clients: Some(vec![Client { pid: 7, memory: None, instance: None }]),
            work: fake.work.clone(),
            mig: false,
            instances: Vec::new(),
            limitations: Vec::new(),
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(fake) = self.shared.world().devices.get_mut(&self.uuid) {
            fake.live -= 1;
        }
        self.shared.changed.notify_all();
    }
}

fn identity(uuid: &str, index: usize) -> GpuIdentity {
    GpuIdentity {
        uuid: Arc::from(uuid),
        gpu: Arc::from(index.to_string()),
        model: Arc::from("Fake"),
        vendor: Vendor::Nvidia,
        pci_bus_id: Arc::from("0000:01:00.0"),
        driver: Arc::from("fake 1.0"),
    }
}

pub(crate) fn failure(consequence: Consequence, reason: &str) -> DeviceFailure {
    DeviceFailure { consequence, reason: Arc::from(reason) }
}

pub(crate) fn broken(reason: &str, needs_new_container: bool) -> BackendFailure {
    BackendFailure { reason: Arc::from(reason), detail: reason.to_owned(), remedy: None, needs_new_container }
}

pub(crate) fn joules(joules: u64) -> GpuEnergy {
    let total = Microjoules::new(joules * 1_000_000);
    GpuEnergy { total, range: None, quality: Quality::Measured, domain: Domain::Gpu }
}

/// A bank with its world.
pub(crate) struct Rig {
    pub(crate) shared: Arc<Shared>,
    pub(crate) bank: GpuBank,
    /// The last thread of each device that hangs, and of the backend.
    hung: BTreeMap<String, u64>,
    hung_search: u64,
}

impl Rig {
    /// So many devices `a`, `b`, ... that have counted 5 MJ each. The deadline is 2 s, the retry 10 s and a
    /// release 120 s; no tick waits for longer than `wait` by the real clock.
    pub(crate) fn with_wait(count: usize, wait: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let letters = ('a'..='z').map(String::from).chain((26..).map(|index| format!("z{index}")));
        for (index, letter) in letters.take(count).enumerate() {
            let fake = Fake {
                index,
                present: true,
                energy: Some(joules(5_000_000)),
                limit: Some(Watts(700.0)),
                work: Some(vec![(7, 100)]),
                failure: None,
                panics: false,
                hang_below: 0,
                readers: 0,
                live: 0,
                reads: 0,
            };
            shared.world().devices.insert(letter, fake);
        }
        shared.millis.store(1_000_000, Ordering::SeqCst);
        let settings = GpuSettings {
            procfs: "/nowhere".into(),
            sysfs: "/nowhere".into(),
            nvml: true,
            drm: false,
            simulate: false,
            library: None,
            deadline: Duration::from_secs(2),
            interval: wait * 2,
            retry: Duration::from_secs(10),
            release: Duration::from_secs(120),
        };
        let clock = Arc::clone(&shared);
        let now = Now::new(move || {
            let time = Duration::from_millis(clock.millis.load(Ordering::SeqCst));
            Tick { monotonic: time, boottime: time }
        });
        let world = Arc::clone(&shared);
        let factory: BackendFactory = Box::new(move || {
            world.world().backends += 1;
            let number = world.world().backends;
            Box::new(Scripted { number, shared: Arc::clone(&world) })
        });
        let bank = GpuBank::with_backends(vec![factory], &settings, true, now);
        Self { shared, bank, hung: BTreeMap::new(), hung_search: 0 }
    }

    pub(crate) fn new(count: usize) -> Self {
        Self::with_wait(count, Duration::from_millis(5))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Changes one device.
    pub(crate) fn set(&self, uuid: &str, change: impl FnOnce(&mut Fake)) {
        change(self.world().devices.get_mut(uuid).unwrap());
    }

    /// Adds to a device's counter.
    pub(crate) fn burn(&self, uuid: &str, more: u64) {
        self.set(uuid, |fake| {
            let energy = fake.energy.as_mut().unwrap();
            energy.total += Microjoules::new(more * 1_000_000);
        });
    }

    /// All readers that there are hang in their next call.
    pub(crate) fn hang(&mut self, uuid: &str) {
        self.settle();
        self.set(uuid, |fake| fake.hang_below = fake.readers + 1);
        self.hung.insert(uuid.to_owned(), self.bank.numbers);
    }

    /// So do all that come.
    pub(crate) fn hang_for_ever(&mut self, uuid: &str) {
        self.set(uuid, |fake| fake.hang_below = u64::MAX);
        self.hung.insert(uuid.to_owned(), u64::MAX);
    }

    /// Lets calls return.
    pub(crate) fn unhang(&mut self, uuid: &str) {
        self.set(uuid, |fake| fake.hang_below = 0);
        self.hung.remove(uuid);
        self.shared.changed.notify_all();
        self.settle();
    }

    /// Searches of this backend hang, or of all that come.
    pub(crate) fn hang_searches(&mut self, for_ever: bool) {
        self.settle();
        let mut world = self.shared.world();
        world.hang_below = if for_ever { u64::MAX } else { world.backends + 1 };
        self.hung_search = if for_ever { u64::MAX } else { self.bank.numbers.max(1) };
    }

    pub(crate) fn unhang_searches(&mut self) {
        self.world().hang_below = 0;
        self.hung_search = 0;
        self.shared.changed.notify_all();
        self.settle();
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.shared.millis.fetch_add(millis, Ordering::SeqCst);
    }

    /// One tick, so long after the last. All answers arrive that don't hang.
    pub(crate) fn tick_after(&mut self, millis: u64) -> GpuTick {
        self.advance(millis);
        self.bank.ask();
        self.settle();
        self.bank.collect()
    }

    /// One tick, a second after the last.
    pub(crate) fn tick(&mut self) -> GpuTick {
        self.tick_after(1_000)
    }

    /// Waits for all answers that don't hang.
    pub(crate) fn settle(&mut self) {
        loop {
            self.bank.drain();
            let now = self.bank.now.get().monotonic;
            let hangs = |uuid: &str, number| self.hung.get(uuid).is_some_and(|last| number <= *last);
            let device = self.bank.devices.iter().any(|device| {
                let number = device.worker.as_ref().map_or(0, |worker| worker.generation());
                device.is_asked() && !hangs(&device.identity.uuid, number)
            });
            let search = self.bank.finders.iter().any(|finder| finder.busy_number() > Some(self.hung_search));
            // A thread that was let go is about to end.
            let end = self.bank.abandoned.iter().any(|abandoned| {
                let uuid = &self.bank.devices[abandoned.place].identity.uuid;
                abandoned.hangs_at > now && !hangs(uuid, abandoned.generation)
            });
            let due = device || search || end;
            if !due {
                return;
            }
            let event = self.bank.events.recv_timeout(NEVER).expect("an answer");
            self.bank.handle(event);
        }
    }

    /// Waits until a device has no readers but these. Some are dropped only once the bank was told of them.
    pub(crate) fn wait_for_readers(&mut self, uuid: &str, live: usize) {
        let other = |world: &mut World| world.devices[uuid].live != live;
        for _ in 0..1_500 {
            self.bank.drain();
            let short = NEVER / 1_500;
            let waited = self.shared.changed.wait_timeout_while(self.world(), short, other);
            if !waited.unwrap().1.timed_out() {
                return;
            }
        }
        panic!("{live} readers of {uuid}");
    }

    /// Waits until all threads that were let go have ended.
    pub(crate) fn wait_for_ends(&mut self) {
        while !self.bank.abandoned.is_empty() {
            let event = self.bank.events.recv_timeout(NEVER).expect("an end");
            self.bank.handle(event);
        }
    }

    /// Waits until the library was forgotten so often.
    pub(crate) fn wait_for_forgets(&self, forgets: usize) {
        let other = |world: &mut World| world.forgets != forgets;
        let waited = self.shared.changed.wait_timeout_while(self.world(), NEVER, other);
        assert!(!waited.unwrap().1.timed_out(), "forgotten {forgets} times");
    }

    /// Waits until so many searches were begun.
    pub(crate) fn wait_for_searches(&self, finds: usize) {
        let less = |world: &mut World| world.finds < finds;
        let waited = self.shared.changed.wait_timeout_while(self.world(), NEVER, less);
        let (world, late) = waited.unwrap();
        assert!(!late.timed_out() && world.finds == finds, "{} searches", world.finds);
    }

    /// Ticks until all devices are up; the seconds that it took.
    pub(crate) fn until_devices(&mut self, most: u64) -> u64 {
        for second in 1..=most {
            let tick = self.tick();
            if !tick.devices.is_empty() && tick.devices.iter().all(|device| device.up) {
                return second;
            }
        }
        panic!("not within {most} s");
    }

    /// Ticks until this is wrong with the backend.
    pub(crate) fn until_error(&mut self, most: u64, wanted: &str) -> bool {
        (0..most).any(|_| error(&self.tick()).as_deref() == Some(wanted))
    }

    /// Ticks until a device fulfils this; the seconds that it took.
    pub(crate) fn until(&mut self, most: u64, uuid: &str, test: impl Fn(&DeviceTick) -> bool) -> u64 {
        for second in 1..=most {
            if test(&device(&self.tick(), uuid)) {
                return second;
            }
        }
        panic!("not within {most} s");
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // Threads that hang must not outlive their test.
        let mut world = self.world();
        world.hang_below = 0;
        world.devices.values_mut().for_each(|fake| fake.hang_below = 0);
        drop(world);
        self.shared.changed.notify_all();
    }
}

/// One device of a tick.
pub(crate) fn device(tick: &GpuTick, uuid: &str) -> DeviceTick {
    tick.devices.iter().find(|device| &*device.identity.uuid == uuid).cloned().expect("the device")
}

/// What is booked for a device in a tick, in joules.
pub(crate) fn booked(tick: &GpuTick, uuid: &str) -> Option<u64> {
    device(tick, uuid).delta.map(|delta| delta.energy.get() / 1_000_000)
}

/// What is wrong with the backend.
pub(crate) fn error(tick: &GpuTick) -> Option<String> {
    let outcome = &tick.collectors[0];
    assert_eq!(outcome.success, outcome.error.is_none());
    outcome.error.as_ref().map(ToString::to_string)
}
