//! A bank over a scripted backend, with a clock that is set by hand.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::world::{Fake, Scripted, Shared, World};
use crate::gpu::bank::{BackendFactory, GpuBank};
use crate::gpu::{DeviceTick, GpuSettings, GpuTick, Now};
use crate::meters::Tick;
use crate::units::{Microjoules, Watts};

pub(crate) use super::world::{broken, failure, joules};

/// No answer takes this long, however busy the machine is.
const NEVER: Duration = Duration::from_secs(30);

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
                stale: None,
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
            Box::new(Scripted::new(number, Arc::clone(&world)))
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
            let end =
                self.bank.abandoned.iter().any(|abandoned| {
                    abandoned.hangs_at > now && !hangs(&abandoned.uuid, abandoned.generation)
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
