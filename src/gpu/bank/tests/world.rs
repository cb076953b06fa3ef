//! A backend that does as it is told.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::gpu::{
    BackendFailure, Client, Consequence, DeviceFailure, DeviceReader, DeviceReading, Found, GpuBackend,
    GpuEnergy, GpuIdentity, Now, Search, Vendor,
};
use crate::meters::{Domain, Quality};
use crate::units::{Microjoules, Watts};

/// One made-up device.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) index: usize,
    pub(crate) present: bool,
    pub(crate) energy: Option<GpuEnergy>,
    pub(crate) limit: Option<Watts>,
    pub(crate) work: Option<Vec<(u32, u64)>>,
    pub(crate) failure: Option<DeviceFailure>,
    /// How it fails until the library is initialised anew.
    pub(crate) stale: Option<DeviceFailure>,
    pub(crate) panics: bool,
    /// Readers with a lower number hang.
    pub(crate) hang_below: u64,
    pub(crate) readers: u64,
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
    /// The driver's generation, and that of the library: it is taken over by an initialisation that finds no user.
    pub(crate) driver: u64,
    library: u64,
    users: usize,
    /// Backends with a lower number hang in a search.
    pub(crate) hang_below: u64,
    pub(crate) backends: u64,
    pub(crate) looks: usize,
    pub(crate) finds: usize,
    pub(crate) forgets: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) changed: Condvar,
    pub(crate) millis: AtomicU64,
}

impl Shared {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One initialisation of the library, until it is dropped.
struct Library(Arc<Shared>);

impl Library {
    fn new(world: &mut World, shared: &Arc<Shared>) -> Arc<Self> {
        if world.users == 0 {
            world.library = world.driver;
        }
        world.users += 1;
        Arc::new(Self(Arc::clone(shared)))
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.0.world().users -= 1;
    }
}

pub(crate) struct Scripted {
    number: u64,
    shared: Arc<Shared>,
    library: Option<Arc<Library>>,
}

impl Scripted {
    pub(crate) const fn new(number: u64, shared: Arc<Shared>) -> Self {
        Self { number, shared, library: None }
    }
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
        let library = Arc::clone(self.library.get_or_insert_with(|| Library::new(&mut world, &self.shared)));
        if world.library != world.driver {
            return Err(broken("uninitialised", false));
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
                let handle = Handle {
                    number: fake.readers,
                    uuid: uuid.clone(),
                    shared: Arc::clone(&self.shared),
                    _library: Arc::clone(&library),
                };
                Found { identity: identity(uuid, fake.index), reader: handle.reader() }
            })
            .collect();
        Ok(Search { found, failed })
    }

    fn forget(&mut self) {
        self.library = None;
        self.shared.world().forgets += 1;
        self.shared.changed.notify_all();
    }
}

struct Handle {
    number: u64,
    uuid: String,
    shared: Arc<Shared>,
    _library: Arc<Library>,
}

impl Handle {
    fn reader(self) -> DeviceReader {
        Box::new(move |now: &Now| self.read(now))
    }

    fn read(&self, now: &Now) -> Result<DeviceReading, DeviceFailure> {
        let world = self.shared.world();
        let hangs = |world: &mut World| self.number < world.devices[&self.uuid].hang_below;
        let mut world = self.shared.changed.wait_while(world, hangs).unwrap();
        let is_old = world.library != world.driver;
        let fake = world.devices.get_mut(&self.uuid).unwrap();
        fake.reads += 1;
        let stale = fake.stale.as_ref().filter(|_| is_old);
        if std::mem::take(&mut fake.panics) {
            drop(world);
            std::panic::resume_unwind(Box::new("scripted"));
        }
        if let Some(failure) = fake.failure.as_ref().or(stale) {
            return Err(failure.clone());
        }
        Ok(DeviceReading {
            energy: fake.energy,
            power_limit: fake.limit,
            clients: Some(vec![Client { pid: 7, memory: None, instance: None }]),
            work: fake.work.clone(),
            ..DeviceReading::blank(now.get())
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
