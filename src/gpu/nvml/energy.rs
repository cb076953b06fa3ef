//! Reads the energy of one device from the best source that it has.
//!
//! First the counter (`nvmlDeviceGetTotalEnergyConsumption`, millijoules, Volta and newer). Where the device or the
//! guest has none, power is integrated: the driver's own ring of samples, or where that isn't there the power
//! in each tick (field 186, else `nvmlDeviceGetPowerUsage`, which newer devices average over a second).
//!
//! Boards that join a Grace CPU and a GPU have a counter that covers both. There the power of the GPU alone (field
//! 186, scope 0) comes first, then the counter, then the power of the module (scope 1), and then what other devices
//! have without a counter, which is the GPU's again.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::Sample;

use crate::gpu::nvml::errors::{Fault, Why};
use crate::gpu::nvml::latch::{self, Latch};
use crate::gpu::nvml::limitation;
use crate::gpu::nvml::raw::Handle;
use crate::gpu::nvml::ring::{PowerSample, RingIntegrator};
use crate::gpu::nvml::splice::{Source, Splice, Standstill};
use crate::gpu::{DeviceFailure, GpuEnergy, Limitation, Now};
use crate::meters::power::PowerIntegrator;
use crate::meters::{Domain, Quality, Tick};
use crate::units::{Microjoules, Watts, floor_to_u64};

/// The scope of field values that leaves out the rest of a module.
const GPU_SCOPE: u32 = 0;
/// The scope of field values that is the whole module.
const MODULE_SCOPE: u32 = 1;
/// Why [`Domain::Module`] is told.
const WHOLE_MODULE: &str = "energy of the whole module, with CPU and memory";
/// Words in the names of boards on which a GPU shares its counter with a Grace CPU.
const SUPERCHIPS: [&str; 4] = ["GH200", "GB200", "GB300", "Grace"];

/// Reads the energy of one device.
#[derive(Debug)]
pub(super) struct EnergyMeter {
    is_superchip: bool,
    scope: Latch,
    scope_worked: bool,
    module: Latch,
    counter: Latch,
    samples: Latch,
    field: Latch,
    usage: Latch,
    ring: RingIntegrator,
    poll: PowerIntegrator,
    module_poll: PowerIntegrator,
    still: Standstill,
    splice: Splice,
}

impl EnergyMeter {
    /// A meter for a device of this model.
    pub(super) fn new(model: &str) -> Self {
        Self {
            is_superchip: SUPERCHIPS.iter().any(|word| model.contains(word)),
            scope: Latch::default(),
            scope_worked: false,
            module: Latch::default(),
            counter: Latch::default(),
            samples: Latch::default(),
            field: Latch::default(),
            usage: Latch::default(),
            ring: RingIntegrator::default(),
            poll: PowerIntegrator::default(),
            module_poll: PowerIntegrator::default(),
            still: Standstill::default(),
            splice: Splice::default(),
        }
    }

    /// The total now and when it was read; none where the device has neither a counter nor power.
    pub(super) fn read(
        &mut self,
        handle: &Handle,
        now: &Now,
        limitations: &mut Vec<Limitation>,
    ) -> Result<(Tick, Option<GpuEnergy>), DeviceFailure> {
        let device = handle.device();
        let start = now.get();
        if self.is_superchip
            && let Some(milliwatts) = self.gpu_scope(handle, start)?
        {
            let reason = "the counter covers the CPU too; power of the GPU is integrated";
            limitations.push(limitation("scope", reason, None));
            let at = now.get();
            return Ok((at, Some(self.integrate(milliwatts, at, Domain::Gpu)?)));
        }
        if let Some(millijoules) = self.counter.need(start.boottime, || device.total_energy_consumption())? {
            let at = now.get();
            let value = Microjoules::new(millijoules.saturating_mul(1_000));
            let energy = self.count(handle, value, at, limitations)?;
            return Ok((at, Some(energy)));
        }
        if self.is_superchip
            && let Some(milliwatts) = self.module.prefer(start.boottime, || module_power(handle))?
        {
            limitations.push(limitation("scope", WHOLE_MODULE, None));
            limitations.push(self.no_counter());
            let at = now.get();
            return Ok((at, Some(self.integrate(milliwatts, at, Domain::Module)?)));
        }
        if let Some(energy) = self.ring(&device, now)? {
            limitations.push(self.no_counter());
            return Ok(energy);
        }
        // Of a module it was asked for above.
        let field = if self.is_superchip {
            None
        } else {
            self.field.need(start.boottime, || handle.power_instant(GPU_SCOPE))?
        };
        let milliwatts = match field {
            Some(milliwatts) => Some(milliwatts),
            None => self.usage.need(start.boottime, || device.power_usage())?.map(u64::from),
        };
        let at = now.get();
        let Some(milliwatts) = milliwatts else {
            limitations.push(self.nothing());
            return Ok((at, None));
        };
        limitations.push(self.no_counter());
        Ok((at, Some(self.integrate(milliwatts, at, Domain::Gpu)?)))
    }

    /// Why the counter isn't used. One that isn't to be read is there all the same.
    fn no_counter(&self) -> Limitation {
        match self.counter.why().filter(|why| *why != Why::Unsupported) {
            Some(why) => limitation("counter", why.reason(), why.remedy()),
            None => limitation("counter", "no energy counter; power is integrated", None),
        }
    }

    fn nothing(&self) -> Limitation {
        let denied = [&self.counter, &self.usage].into_iter().filter_map(Latch::why).find(|why| {
            // A right that is missing can be given; what the device hasn't, not.
            matches!(why, Why::Denied | Why::Blocked)
        });
        match denied {
            Some(why) => limitation("counter", why.reason(), why.remedy()),
            None => limitation("counter", "no energy counter and no power reading", None),
        }
    }

    /// The power of the GPU alone, where the driver can tell it. Until it has worked once, a power of zero, any
    /// failure that stays and one that passes in three ticks in a row mean that it can't.
    fn gpu_scope(&mut self, handle: &Handle, start: Tick) -> Result<Option<u64>, DeviceFailure> {
        if self.scope_worked {
            let answer = self.scope.need(start.boottime, || handle.power_instant(GPU_SCOPE))?;
            self.scope_worked = answer.is_some();
            return Ok(answer);
        }
        match self.scope.attempt(start.boottime, || handle.power_instant(GPU_SCOPE)) {
            Ok(Some(milliwatts)) if milliwatts > 0 => {
                self.scope_worked = true;
                Ok(Some(milliwatts))
            }
            // It stays off as it is.
            Ok(None) => Ok(None),
            Err(fault) if fault.is_fatal() => Err(fault.failure()),
            // To fall back to the module for a tick would change what the figure covers.
            Err(fault @ Fault::Passing(_)) => {
                if self.scope.count_failure(start.boottime) {
                    Ok(None)
                } else {
                    Err(fault.failure())
                }
            }
            Ok(Some(_)) | Err(_) => {
                self.scope.turn_off(Why::Unsupported, start.boottime);
                Ok(None)
            }
        }
    }

    fn count(
        &mut self,
        handle: &Handle,
        value: Microjoules,
        at: Tick,
        limitations: &mut Vec<Limitation>,
    ) -> Result<GpuEnergy, DeviceFailure> {
        let domain = if self.is_superchip { Domain::Module } else { Domain::Gpu };
        if domain == Domain::Module {
            limitations.push(limitation("scope", WHOLE_MODULE, None));
        }
        if self.still.counter(value, at) {
            let power = self.power_beside_counter(handle, at)?;
            self.still.power(power.map(watts), at);
            if let Some(energy) = self.still.energy(at) {
                let reason = "the energy counter stands still; power is integrated";
                limitations.push(limitation("counter", reason, None));
                let total = self.splice.tell(Source::Standstill, energy);
                return Ok(GpuEnergy { total, range: None, quality: Quality::Integrated, domain });
            }
        }
        let total = self.splice.tell(Source::Counter, value);
        Ok(GpuEnergy { total, range: None, quality: Quality::Measured, domain })
    }

    /// The power of what the counter covers. That of the GPU says nothing about a counter of the whole module.
    fn power_beside_counter(&mut self, handle: &Handle, at: Tick) -> Result<Option<u64>, DeviceFailure> {
        if self.is_superchip {
            return self.module.ask(at.boottime, || module_power(handle));
        }
        match self.field.ask(at.boottime, || handle.power_instant(GPU_SCOPE))? {
            Some(milliwatts) => Ok(Some(milliwatts)),
            None => Ok(self.usage.ask(at.boottime, || handle.device().power_usage())?.map(u64::from)),
        }
    }

    /// The ring holds the power of the GPU, on a module, too.
    fn ring(
        &mut self,
        device: &Device<'_>,
        now: &Now,
    ) -> Result<Option<(Tick, Option<GpuEnergy>)>, DeviceFailure> {
        let start = now.get();
        let last_seen = self.ring.last_seen();
        let call = || latch::list(|| device.samples(Sampling::Power, last_seen));
        let Some(samples) = self.samples.need(start.boottime, call)? else {
            return Ok(None);
        };
        let at = now.get();
        self.ring.observe(samples.iter().filter_map(power_sample).collect(), at);
        if self.ring.is_silent(at) {
            self.samples.turn_off(Why::Silent, at.boottime);
            self.ring = RingIntegrator::default();
            return Ok(None);
        }
        let total = self.splice.tell(Source::Ring, self.ring.total());
        let (quality, domain) = (Quality::Integrated, Domain::Gpu);
        Ok(Some((at, Some(GpuEnergy { total, range: None, quality, domain }))))
    }

    fn integrate(&mut self, milliwatts: u64, at: Tick, domain: Domain) -> Result<GpuEnergy, DeviceFailure> {
        let (poll, source) = match domain {
            Domain::Module => (&mut self.module_poll, Source::ModulePoll),
            _ => (&mut self.poll, Source::Poll),
        };
        if poll.observe(watts(milliwatts), at).is_err() {
            return Err(Fault::Passing("unbelievable power").failure());
        }
        let total = self.splice.tell(source, poll.total().unwrap_or_default());
        Ok(GpuEnergy { total, range: None, quality: Quality::Integrated, domain })
    }

    /// Notes that the device couldn't be read in this tick.
    pub(super) fn fail(&mut self) {
        self.poll.fail();
        self.module_poll.fail();
    }
}

/// The power of the whole module. Zero means that it isn't known: the CPU asks.
fn module_power(handle: &Handle) -> Result<u64, NvmlError> {
    match handle.power_instant(MODULE_SCOPE) {
        Ok(0) => Err(NvmlError::NotSupported),
        answer => answer,
    }
}

#[allow(clippy::cast_precision_loss)]
fn watts(milliwatts: u64) -> Watts {
    Watts(milliwatts as f64 / 1e3)
}

fn power_sample(sample: &Sample) -> Option<PowerSample> {
    let milliwatts = match sample.value {
        SampleValue::U32(value) => u64::from(value),
        SampleValue::U64(value) => value,
        SampleValue::I64(value) => u64::try_from(value).ok()?,
        SampleValue::F64(value) => floor_to_u64(value),
    };
    Some(PowerSample { at: sample.timestamp, milliwatts })
}
