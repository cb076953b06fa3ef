//! What the library remembers between calls: the scenario it read last, who initialised it, the handles it gave.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::calls;
use crate::clock::{Moment, monotonic_ns};
use crate::code;
use crate::locate;
use crate::scenario::{Device, Fault, Hang, Instance, Scenario};

/// A value, or the code that the function returns instead.
pub(crate) type Reply<T = ()> = Result<T, u32>;

/// The first handle. Handles are numbers that look like addresses and are never used as such.
const FIRST_HANDLE: usize = 0x4e56_0000;
/// How far apart handles are.
const HANDLE_STEP: usize = 64;
/// How often a call that hangs looks whether it may go on.
const HANG_STEP: Duration = Duration::from_millis(5);

/// What a file is known by, so that it is read only when it changed.
type Stamp = (u64, u64, i64, i64, u64);

/// What a handle stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder {
    uuid: String,
    mig: Option<MigHolder>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct MigHolder {
    uuid: String,
    generation: u64,
}

/// A sample of GPM, once it is taken.
#[derive(Clone, Debug)]
pub(crate) struct GpmSample {
    /// When.
    pub(crate) ns: u64,
    /// Of what: the device and its GPU instance.
    pub(crate) of: (String, Option<u32>),
    /// Metric 1 in percent.
    pub(crate) graphics: Option<f64>,
    /// Metric 2 in percent.
    pub(crate) sm: f64,
}

/// Guarded by one lock, which nobody holds for longer than it takes to read the scenario.
pub(crate) struct State {
    stamp: Option<Stamp>,
    scenario: Option<Arc<Scenario>>,
    users: u32,
    generation: u64,
    mps: bool,
    handles: Vec<Holder>,
    first_handle: usize,
    /// GPM samples by handle; none: allocated, but not taken yet.
    pub(crate) samples: BTreeMap<usize, Option<GpmSample>>,
    next_sample: usize,
    churned: BTreeMap<(&'static str, String), u32>,
    failed: BTreeMap<usize, u32>,
}

static STATE: Mutex<State> = Mutex::new(State {
    stamp: None,
    scenario: None,
    users: 0,
    generation: 0,
    mps: false,
    handles: Vec::new(),
    first_handle: FIRST_HANDLE,
    samples: BTreeMap::new(),
    next_sample: HANDLE_STEP,
    churned: BTreeMap::new(),
    failed: BTreeMap::new(),
});

/// The state, for as short as possible.
pub(crate) fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives back what the library holds, since unloading it wouldn't.
pub(crate) fn release() {
    if let Ok(mut state) = STATE.try_lock() {
        state.clear();
    }
    calls::close();
}

impl State {
    /// Forgets everything but what keeps old handles from being given out again.
    fn clear(&mut self) {
        self.first_handle += self.handles.len() * HANDLE_STEP;
        (self.stamp, self.scenario) = (None, None);
        self.users = 0;
        self.handles = Vec::new();
        self.samples = BTreeMap::new();
        self.churned = BTreeMap::new();
        self.failed = BTreeMap::new();
    }

    /// The scenario, read anew if its file changed. A file that makes no sense leaves the old one in force.
    fn scenario(&mut self) -> Option<Arc<Scenario>> {
        let path = locate::scenario()?;
        let stamp = fs::metadata(&path)
            .ok()
            .map(|meta| (meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size()));
        if stamp.is_some() && stamp != self.stamp {
            self.stamp = stamp;
            match Scenario::load(&path) {
                Ok(scenario) => self.scenario = Some(Arc::new(scenario)),
                Err(error) => {
                    // For a person who wrote it by hand; a closed stderr is no reason to fail.
                    let _ = writeln!(std::io::stderr(), "fake-nvml: {}: {error}", path.display());
                }
            }
        }
        self.scenario.clone()
    }

    fn handle(&mut self, holder: Holder) -> usize {
        let slot = self.handles.iter().position(|known| *known == holder).unwrap_or_else(|| {
            self.handles.push(holder);
            self.handles.len() - 1
        });
        self.first_handle + slot * HANDLE_STEP
    }

    fn holder(&self, handle: usize) -> Option<&Holder> {
        let offset = handle.checked_sub(self.first_handle)?;
        (offset % HANDLE_STEP == 0).then(|| self.handles.get(offset / HANDLE_STEP))?
    }

    /// A handle for a sample that is to be taken.
    pub(crate) fn new_sample(&mut self) -> usize {
        self.next_sample += HANDLE_STEP;
        self.samples.insert(self.next_sample, None);
        self.next_sample
    }

    /// Whether a list grew since its size was asked for: so many times in a row, then once not.
    pub(crate) fn churns(&mut self, symbol: &'static str, uuid: &str, churn: u32) -> bool {
        let churned = self.churned.entry((symbol, uuid.to_owned())).or_insert(0);
        *churned = if *churned < churn { *churned + 1 } else { 0 };
        *churned > 0
    }

    fn fails(&mut self, scenario: &Scenario, symbol: &str, who: Who<'_>) -> Option<u32> {
        let now = monotonic_ns();
        for (place, fault) in scenario.faults.iter().enumerate() {
            if !fault.concerns(symbol, who, now) {
                continue;
            }
            let Some(every) = fault.every else { return Some(fault.code) };
            let count = self.failed.entry(place).or_insert(0);
            *count += 1;
            if *count >= every {
                *count = 0;
                return Some(fault.code);
            }
        }
        None
    }
}

/// Whom a call concerns, so far as it is known.
#[derive(Clone, Copy)]
pub(crate) enum Who<'a> {
    /// The whole library; obstacles that name a device don't count.
    Library,
    /// A device that was found in the course of a call: only obstacles that name it count.
    Found(&'a str),
    /// The device of the call's handle, and its MIG device: all obstacles but other devices' count.
    Handle(&'a str, Option<&'a str>),
}

impl Who<'_> {
    fn is(self, device: Option<&str>) -> bool {
        match (self, device) {
            (Self::Library | Self::Handle(..), None) => true,
            (Self::Library, Some(_)) | (Self::Found(_), None) => false,
            (Self::Found(uuid), Some(device)) => uuid == device,
            (Self::Handle(uuid, mig), Some(device)) => uuid == device || mig == Some(device),
        }
    }
}

fn names(pattern: &str, symbol: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == symbol, |start| symbol.starts_with(start))
}

impl Fault {
    fn concerns(&self, symbol: &str, who: Who<'_>, now: u64) -> bool {
        names(&self.symbol, symbol)
            && who.is(self.device.as_deref())
            && self.from_ns <= now
            && self.until_ns.is_none_or(|until| now < until)
    }
}

impl Hang {
    fn concerns(&self, symbol: &str, who: Who<'_>, now: u64) -> bool {
        names(&self.symbol, symbol) && who.is(self.device.as_deref()) && self.from_ns <= now
    }
}

/// Holds a call up for as long as the scenario wants. No lock is held meanwhile.
fn hang(symbol: &str, who: Who<'_>, scenario: &Scenario) -> bool {
    let began = monotonic_ns();
    let Some(hang) = scenario.hangs.iter().find(|hang| hang.concerns(symbol, who, began)) else {
        return false;
    };
    let end = hang
        .seconds
        .map(|seconds| began.saturating_add(crate::truth::milliwatts(seconds).saturating_mul(1_000_000)));
    loop {
        thread::sleep(HANG_STEP);
        if end.is_some_and(|end| monotonic_ns() >= end) {
            return true;
        }
        let current = hang.releasable.then(|| lock().scenario()).flatten();
        if current.is_some_and(|now| !now.hangs.iter().any(|hang| hang.concerns(symbol, who, began))) {
            return true;
        }
    }
}

/// Holds a call up and fails it as the scenario wants; returns the scenario as it is then.
fn obstacles(symbol: &'static str, who: Who<'_>) -> Reply<Arc<Scenario>> {
    // Without a scenario there is no driver either.
    let mut scenario = lock().scenario().ok_or(code::DRIVER_NOT_LOADED)?;
    if hang(symbol, who, &scenario) {
        scenario = lock().scenario().ok_or(code::DRIVER_NOT_LOADED)?;
    }
    if scenario.missing_symbols.iter().any(|missing| names(missing, symbol)) {
        return Err(code::FUNCTION_NOT_FOUND);
    }
    match lock().fails(&scenario, symbol, who) {
        Some(code) => Err(code),
        None => Ok(scenario),
    }
}

/// Begins to use the library.
pub(crate) fn init(symbol: &'static str) -> Reply {
    calls::count(symbol);
    let outcome = obstacles(symbol, Who::Library);
    let mut state = lock();
    match outcome {
        Ok(scenario) => {
            state.users += 1;
            state.generation = scenario.driver_generation;
            state.mps = std::env::var("NVML_MPS_DEVICE_ENUMERATION").is_ok_and(|value| value == "1");
            Ok(())
        }
        Err(code) => {
            if state.users == 0 {
                state.clear();
            }
            Err(code)
        }
    }
}

/// Ends to use the library, if nobody else uses it.
pub(crate) fn shutdown(symbol: &'static str) -> Reply {
    calls::count(symbol);
    if lock().users == 0 {
        return Err(code::UNINITIALIZED);
    }
    obstacles(symbol, Who::Library)?;
    let mut state = lock();
    state.users = state.users.saturating_sub(1);
    if state.users == 0 {
        state.clear();
    }
    Ok(())
}

/// A call that got through.
pub(crate) struct Call {
    /// The function.
    pub(crate) symbol: &'static str,
    /// The scenario, which stays the same for the whole call.
    pub(crate) scenario: Arc<Scenario>,
    /// When.
    pub(crate) now: Moment,
}

impl Call {
    fn on(symbol: &'static str, who: Who<'_>) -> Reply<Self> {
        if lock().users == 0 {
            return Err(code::UNINITIALIZED);
        }
        let scenario = obstacles(symbol, who)?;
        let state = lock();
        if state.users == 0 || state.generation != scenario.driver_generation {
            return Err(code::UNINITIALIZED);
        }
        Ok(Self { symbol, scenario, now: Moment::now() })
    }

    /// A call to the library as a whole.
    pub(crate) fn library(symbol: &'static str) -> Reply<Self> {
        calls::count(symbol);
        Self::on(symbol, Who::Library)
    }

    /// Devices that have an index.
    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.scenario.devices.iter().filter(|device| device.present)
    }

    /// A handle for a device that was found.
    pub(crate) fn hand_out(&self, device: &Device) -> Reply<usize> {
        obstacles(self.symbol, Who::Found(&device.uuid))?;
        if device.lost {
            return Err(code::GPU_IS_LOST);
        }
        Ok(lock().handle(Holder { uuid: device.uuid.clone(), mig: None }))
    }

    /// A handle for a MIG device that was found.
    pub(crate) fn hand_out_mig(&self, device: &Device, instance: &Instance) -> Reply<usize> {
        obstacles(self.symbol, Who::Found(&instance.uuid))?;
        let mig = Some(MigHolder { uuid: instance.uuid.clone(), generation: device.mig_generation });
        Ok(lock().handle(Holder { uuid: device.uuid.clone(), mig }))
    }
}

/// A call on a device or MIG device.
pub(crate) struct DeviceCall {
    /// The call.
    pub(crate) call: Call,
    device: usize,
    instance: Option<usize>,
}

impl DeviceCall {
    /// Resolves the handle. `named` calls are answered even where NVML shows MPS domains instead of devices.
    pub(crate) fn new(symbol: &'static str, handle: usize, named: bool) -> Reply<Self> {
        calls::count(symbol);
        let holder = lock().holder(handle).cloned();
        let who = match &holder {
            None => Who::Library,
            Some(Holder { uuid, mig }) => Who::Handle(uuid, mig.as_ref().map(|mig| mig.uuid.as_str())),
        };
        let call = Call::on(symbol, who)?;
        let holder = holder.ok_or(code::INVALID_ARGUMENT)?;
        let place = call.scenario.devices.iter().position(|device| device.uuid == holder.uuid);
        let device = place.and_then(|place| call.scenario.devices.get(place)).ok_or(code::GPU_IS_LOST)?;
        if device.lost || !device.present {
            return Err(code::GPU_IS_LOST);
        }
        if !named && lock().mps {
            return Err(code::NOT_SUPPORTED);
        }
        let instance = match holder.mig {
            None => None,
            Some(MigHolder { generation, .. }) if generation != device.mig_generation => {
                return Err(code::INVALID_ARGUMENT);
            }
            Some(MigHolder { uuid, .. }) => {
                let mig = device.mig.as_ref().filter(|mig| mig.enabled).ok_or(code::INVALID_ARGUMENT)?;
                let place = mig.instances.iter().position(|instance| instance.uuid == uuid);
                Some(place.ok_or(code::NOT_FOUND)?)
            }
        };
        Ok(Self { device: place.unwrap_or(usize::MAX), instance, call })
    }

    /// The device; for a MIG device the one that it is part of.
    pub(crate) fn device(&self) -> Reply<&Device> {
        self.call.scenario.devices.get(self.device).ok_or(code::UNKNOWN)
    }

    /// The device, where a MIG device can't do what is asked.
    pub(crate) fn whole(&self) -> Reply<&Device> {
        if self.instance.is_some() { Err(code::NOT_SUPPORTED) } else { self.device() }
    }

    /// The device, where neither MIG devices nor devices in MIG mode can do what is asked.
    pub(crate) fn uncut(&self) -> Reply<&Device> {
        self.whole().and_then(|device| if device.cut() { Err(code::NOT_SUPPORTED) } else { Ok(device) })
    }

    /// The MIG device, if it is one.
    pub(crate) fn instance(&self) -> Option<&Instance> {
        self.call.scenario.devices.get(self.device)?.mig.as_ref()?.instances.get(self.instance?)
    }

    /// A fault that the scenario has for a part of the call.
    pub(crate) fn part_fails(&self, part: &str) -> Reply {
        let device = self.device()?;
        let mut state = lock();
        match state.fails(&self.call.scenario, part, Who::Handle(&device.uuid, None)) {
            Some(code) => Err(code),
            None => Ok(()),
        }
    }
}

impl Device {
    /// Whether MIG is on.
    pub(crate) fn cut(&self) -> bool {
        self.mig.as_ref().is_some_and(|mig| mig.enabled)
    }
}
