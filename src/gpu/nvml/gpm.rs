//! How busy the processors of GPU instances were (GPM, Hopper and newer).
//!
//! Two samples of an instance's counters, at least 100 ms apart, give the mean between them. Profiling is for
//! administrators only unless the driver's module parameter says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nvml_wrapper::error::NvmlError;

use crate::gpu::nvml::errors::Why;
use crate::gpu::nvml::latch::Latch;
use crate::gpu::nvml::limitation;
use crate::gpu::nvml::raw::{GpmBuffer, Handle};
use crate::gpu::{DeviceFailure, Instance, Limitation};
use crate::meters::Tick;

/// The driver wants samples to be 100 ms apart; between the clock and the call some time passes.
const APART: Duration = Duration::from_millis(120);

/// Reads the instances of one device.
#[derive(Default)]
pub(super) struct Gpm {
    support: Latch,
    supported: Option<bool>,
    sampling: Latch,
    meters: BTreeMap<u32, InstanceMeter>,
}

impl Gpm {
    /// Fills in how busy the instances with clients (`busy`) were since the reading before.
    pub(super) fn read(
        &mut self,
        handle: &Handle,
        instances: &mut [Instance],
        busy: &BTreeSet<u32>,
        now: Tick,
        limitations: &mut Vec<Limitation>,
    ) -> Result<(), DeviceFailure> {
        if self.supported.is_none() {
            self.supported = self.support.ask(now.boottime, || handle.device().gpm_support())?;
        }
        if self.supported == Some(true) {
            // What an instance did while it wasn't looked at would come into its next mean.
            self.meters.retain(|id, _| busy.contains(id));
            for instance in instances.iter_mut().filter(|instance| busy.contains(&instance.id)) {
                let meter = self.meters.entry(instance.id).or_default();
                let step =
                    self.sampling.ask(now.boottime, || meter.step(handle, instance.id, now.monotonic))?;
                instance.sm_utilization = step.flatten();
            }
        }
        limitations.extend(self.limitation());
        Ok(())
    }

    /// Forgets all samples: the instances are others now.
    pub(super) fn forget_samples(&mut self) {
        self.meters.clear();
    }

    fn limitation(&self) -> Option<Limitation> {
        if self.supported == Some(false) {
            return Some(limitation("gpm", "needs Hopper or newer", None));
        }
        let why = self.support.why().or_else(|| self.sampling.why())?;
        let remedy = match why {
            Why::Denied => Some(
                "give the daemon CAP_SYS_ADMIN, or load the driver with NVreg_RestrictProfilingToAdminUsers=0",
            ),
            why => why.remedy(),
        };
        Some(limitation("gpm", why.reason(), remedy))
    }
}

/// The two samples of one instance; their buffers are allocated once.
#[derive(Default)]
struct InstanceMeter {
    buffers: Option<(GpmBuffer, GpmBuffer)>,
    taken: Option<Duration>,
    value: Option<f64>,
}

impl InstanceMeter {
    /// Takes a sample, if the last one is old enough, and gives the mean of the time before it.
    fn step(&mut self, handle: &Handle, instance: u32, at: Duration) -> Result<Option<f64>, NvmlError> {
        if self.taken.is_some_and(|taken| at.saturating_sub(taken) < APART) {
            return Ok(self.value);
        }
        // Until all has gone well, the buffers hold nothing to go on from.
        let before = self.taken.take();
        self.value = None;
        if self.buffers.is_none() {
            self.buffers = Some((GpmBuffer::new(handle)?, GpmBuffer::new(handle)?));
        }
        let Some((older, newer)) = &mut self.buffers else {
            return Ok(None);
        };
        std::mem::swap(older, newer);
        newer.take(handle, instance)?;
        self.taken = Some(at);
        if before.is_some() {
            self.value = GpmBuffer::sm_utilization(older, newer)?;
        }
        Ok(self.value)
    }
}
