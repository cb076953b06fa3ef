//! What the library remembers between calls: the scenario it read last, who initialised it, the handles it gave.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::calls;
use crate::locate;
use crate::scenario::Scenario;

/// A value, or the code that the function returns instead.
pub(crate) type Reply<T = ()> = Result<T, u32>;

/// The first handle. Handles are numbers that look like addresses and are never used as such.
const FIRST_HANDLE: usize = 0x4e56_0000;
/// How far apart handles are.
const HANDLE_STEP: usize = 64;

/// What a file is known by, so that it is read only when it changed.
type Stamp = (u64, u64, i64, i64, u64);

/// What a handle stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The device's UUID.
    pub(crate) uuid: String,
    /// The MIG device in it.
    pub(crate) mig: Option<MigHolder>,
}

/// A MIG device that a handle stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MigHolder {
    /// Its UUID.
    pub(crate) uuid: String,
    /// The generation under which the handle was given out.
    pub(crate) generation: u64,
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
    /// How often it was initialised and not yet shut down.
    pub(crate) users: u32,
    /// The driver's generation at the last init that nobody used the library before.
    pub(crate) generation: u64,
    /// Whether NVML shows MPS domains instead of devices.
    pub(crate) mps: bool,
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
    locate::forget();
}

impl State {
    /// Forgets everything but what keeps old handles from being given out again.
    pub(crate) fn clear(&mut self) {
        self.first_handle += self.handles.len() * HANDLE_STEP;
        (self.stamp, self.scenario) = (None, None);
        self.users = 0;
        self.handles = Vec::new();
        self.samples = BTreeMap::new();
        self.churned = BTreeMap::new();
        self.failed = BTreeMap::new();
    }

    /// The scenario, read anew if its file changed. A file that makes no sense leaves the old one in force.
    pub(crate) fn scenario(&mut self) -> Option<Arc<Scenario>> {
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

    pub(crate) fn handle(&mut self, holder: Holder) -> usize {
        let slot = self.handles.iter().position(|known| *known == holder).unwrap_or_else(|| {
            self.handles.push(holder);
            self.handles.len() - 1
        });
        self.first_handle + slot * HANDLE_STEP
    }

    pub(crate) fn holder(&self, handle: usize) -> Option<&Holder> {
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

    /// Counts a call that a fault concerns, and says whether it is the n-th since the last one that failed.
    pub(crate) fn is_due(&mut self, fault: usize, every: u32) -> bool {
        let count = self.failed.entry(fault).or_insert(0);
        *count = if *count + 1 < every { *count + 1 } else { 0 };
        *count == 0
    }
}
