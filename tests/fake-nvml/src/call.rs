//! A call from its beginning to the point where the library knows what it is about.

use std::sync::Arc;

use crate::calls;
use crate::clock::Moment;
use crate::code;
use crate::obstacles::{Who, fault, obstacles};
use crate::scenario::{Device, Instance, Scenario};
use crate::state::{Holder, MigHolder, Reply, lock};

/// Begins to use the library.
pub(crate) fn init(symbol: &'static str) -> Reply {
    calls::count(symbol);
    let outcome = obstacles(symbol, Who::Library);
    let mut state = lock();
    match outcome {
        Ok(scenario) => {
            // A library that somebody uses already keeps the connection that it has.
            if state.users == 0 {
                state.generation = scenario.driver_generation;
            }
            state.users += 1;
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
        fault(part, Who::Handle(&device.uuid, None), &self.call.scenario)
    }
}

impl Device {
    /// Whether MIG is on.
    pub(crate) fn cut(&self) -> bool {
        self.mig.as_ref().is_some_and(|mig| mig.enabled)
    }
}
