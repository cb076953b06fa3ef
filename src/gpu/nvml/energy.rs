//! Reads the energy of one device from the best source that it has.
//!
//! First the counter (`nvmlDeviceGetTotalEnergyConsumption`, millijoules, Volta and newer). Where the device or the
//! guest has none, power is integrated: the driver's own ring of samples, or where that isn't there the power
//! in each tick (field 186, else `nvmlDeviceGetPowerUsage`, which newer devices average over a second). On boards
//! that join a Grace CPU and a GPU the counter covers both, so the power of the GPU alone comes before it.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::Sampling;
use nvml_wrapper::enums::device::SampleValue;
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
/// Words in the names of boards on which a GPU shares its counter with a Grace CPU.
const SUPERCHIPS: [&str; 4] = ["GH200", "GB200", "GB300", "Grace"];

/// Reads the energy of one device.
#[derive(Debug)]
pub(super) struct EnergyMeter {
    is_superchip: bool,
    scope: Latch,
    scope_worked: bool,
    counter: Latch,
    samples: Latch,
    field: Latch,
    usage: Latch,
    ring: RingIntegrator,
    poll: PowerIntegrator,
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
            counter: Latch::default(),
            samples: Latch::default(),
            field: Latch::default(),
            usage: Latch::default(),
            ring: RingIntegrator::default(),
            poll: PowerIntegrator::default(),
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
        if self.is_superchip {
            if let Some(milliwatts) = self.gpu_scope(handle, start)? {
                let reason = "the counter covers the CPU too; power of the GPU is integrated";
                limitations.push(limitation("scope", reason, None));
                let at = now.get();
                return Ok((at, Some(self.integrate(milliwatts, at, Domain::Gpu)?)));
            }
            limitations.push(limitation("scope", "energy of the whole module, with CPU and memory", None));
        }
        let domain = if self.is_superchip { Domain::Module } else { Domain::Gpu };
        if let Some(millijoules) = self.counter.need(start.boottime, || device.total_energy_consumption())? {
            let at = now.get();
            let value = Microjoules::new(millijoules.saturating_mul(1_000));
            let energy = self.count(handle, value, at, domain, limitations)?;
            return Ok((at, Some(energy)));
        }
        if let Some(energy) = self.ring(&device, now, domain)? {
            limitations.push(self.no_counter());
            return Ok(energy);
        }
        let milliwatts = match self.field.need(start.boottime, || handle.power_instant(GPU_SCOPE))? {
            Some(milliwatts) => Some(milliwatts),
            None => self.usage.need(start.boottime, || device.power_usage())?.map(u64::from),
        };
        let at = now.get();
        let Some(milliwatts) = milliwatts else {
            limitations.push(self.nothing());
            return Ok((at, None));
        };
        limitations.push(self.no_counter());
        Ok((at, Some(self.integrate(milliwatts, at, domain)?)))
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

    /// The power of the GPU alone, where the driver can tell it. Until it has worked once, any failure and a
    /// power of zero mean that it can't.
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
        domain: Domain,
        limitations: &mut Vec<Limitation>,
    ) -> Result<GpuEnergy, DeviceFailure> {
        if self.still.counter(value, at) {
            let power = match self.field.ask(at.boottime, || handle.power_instant(GPU_SCOPE))? {
                Some(milliwatts) => Some(milliwatts),
                None => self.usage.ask(at.boottime, || handle.device().power_usage())?.map(u64::from),
            };
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

    fn ring(
        &mut self,
        device: &Device<'_>,
        now: &Now,
        domain: Domain,
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
        Ok(Some((at, Some(GpuEnergy { total, range: None, quality: Quality::Integrated, domain }))))
    }

    fn integrate(&mut self, milliwatts: u64, at: Tick, domain: Domain) -> Result<GpuEnergy, DeviceFailure> {
        if self.poll.observe(watts(milliwatts), at).is_err() {
            return Err(Fault::Passing("unbelievable power").failure());
        }
        let total = self.splice.tell(Source::Poll, self.poll.total().unwrap_or_default());
        Ok(GpuEnergy { total, range: None, quality: Quality::Integrated, domain })
    }

    /// Notes that the device couldn't be read in this tick.
    pub(super) fn fail(&mut self) {
        self.poll.fail();
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
