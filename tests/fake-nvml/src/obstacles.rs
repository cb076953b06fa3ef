//! What stands in a call's way: the scenario's faults, hangs and missing symbols.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::clock::monotonic_ns;
use crate::code;
use crate::scenario::{Fault, Hang, Scenario};
use crate::state::{Reply, lock};

/// How often a call that hangs looks whether it may go on.
const HANG_STEP: Duration = Duration::from_millis(5);

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

/// Fails a call, or a part of one, as the scenario wants.
pub(crate) fn fault(symbol: &str, who: Who<'_>, scenario: &Scenario) -> Reply {
    let now = monotonic_ns();
    for (place, fault) in scenario.faults.iter().enumerate() {
        if fault.concerns(symbol, who, now) && fault.every.is_none_or(|every| lock().is_due(place, every)) {
            return Err(fault.code);
        }
    }
    Ok(())
}

/// Holds a call up for as long as the scenario wants, and says whether it did. No lock is held meanwhile.
fn hang(symbol: &str, who: Who<'_>, scenario: &Scenario) -> bool {
    let began = monotonic_ns();
    let Some(hang) = scenario.hangs.iter().find(|hang| hang.concerns(symbol, who, began)) else {
        return false;
    };
    let end = hang.seconds.and_then(|seconds| {
        let length = Duration::try_from_secs_f64(seconds).ok()?;
        began.checked_add(u64::try_from(length.as_nanos()).ok()?)
    });
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
pub(crate) fn obstacles(symbol: &'static str, who: Who<'_>) -> Reply<Arc<Scenario>> {
    // Without a scenario there is no driver either.
    let mut scenario = lock().scenario().ok_or(code::DRIVER_NOT_LOADED)?;
    if hang(symbol, who, &scenario) {
        scenario = lock().scenario().ok_or(code::DRIVER_NOT_LOADED)?;
    }
    if scenario.missing_symbols.iter().any(|missing| names(missing, symbol)) {
        return Err(code::FUNCTION_NOT_FOUND);
    }
    fault(symbol, who, &scenario)?;
    Ok(scenario)
}
