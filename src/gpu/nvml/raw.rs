//! The calls that the wrapper doesn't have, and handles that outlive a borrow. All of the unsafe code for NVML.
#![allow(unsafe_code, reason = "foreign functions without a wrapper, and device handles kept across ticks")]

use std::mem::{self, ManuallyDrop};
use std::os::raw::c_uint;
use std::sync::Arc;

use nvml_wrapper::enums::device::SampleValue;
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::struct_wrappers::device::FieldValueSample;
use nvml_wrapper::{Device, GpmSample, Nvml};
use nvml_wrapper_sys::bindings::{
    field_id::NVML_FI_DEV_POWER_INSTANT, nvmlDevice_t, nvmlFieldValue_t, nvmlGpmSample_t,
    nvmlProcessUtilizationSample_t, nvmlValue_t,
};

use crate::gpu::nvml::work::UtilSample;

/// Processes that a first look at their samples has room for, and the most that are ever taken.
const FIRST_SAMPLES: usize = 128;
const MOST_SAMPLES: usize = 8_192;

/// Makes NVML show whole devices where the environment asks it to show MPS domains instead, on which almost no
/// call works (`NVML_MPS_DEVICE_ENUMERATION`, CUDA 13.5). NVML reads it when it is initialised.
///
/// # Safety
/// No other thread may exist yet: one that reads or changes the environment meanwhile would be a data race.
pub unsafe fn forget_mps_enumeration() {
    // SAFETY: by this function's contract no other thread exists, so nobody uses the environment.
    unsafe { std::env::remove_var("NVML_MPS_DEVICE_ENUMERATION") }
}

/// A device or MIG device that keeps its library initialised, so that nothing is looked up in each tick.
pub(super) struct Handle {
    nvml: Arc<Nvml>,
    raw: nvmlDevice_t,
}

// SAFETY: the pointer is a name that NVML gave out and looks up itself, it is never followed here; NVML's
// functions may be called from any thread by its documentation.
unsafe impl Send for Handle {}

impl Handle {
    /// The device at `index`.
    pub(super) fn by_index(nvml: &Arc<Nvml>, index: u32) -> Result<Self, NvmlError> {
        let device = nvml.device_by_index(index)?;
        Ok(Self::keep(nvml, &device))
    }

    /// The MIG device at `index` of this device.
    pub(super) fn mig(&self, index: u32) -> Result<Self, NvmlError> {
        let device = self.device().mig_device_by_index(index)?;
        Ok(Self::keep(&self.nvml, &device))
    }

    fn keep(nvml: &Arc<Nvml>, device: &Device<'_>) -> Self {
        // SAFETY: the handle is only used with the library that gave it, which the same struct keeps.
        let raw = unsafe { device.handle() };
        Self { nvml: Arc::clone(nvml), raw }
    }

    /// The wrapper's view, for calls.
    pub(super) fn device(&self) -> Device<'_> {
        // SAFETY: `raw` came from this library, which stays initialised as long as `self.nvml` lives.
        unsafe { Device::new(self.raw, &self.nvml) }
    }

    /// The newest utilisation sample of each process after `last_seen` (`nvmlDeviceGetProcessUtilization`), into a
    /// buffer that is kept and grows where it is too small. The wrapper asks for the size each time, which is
    /// answered with 100 whatever there is, and gives up where that is too few.
    pub(super) fn process_utilization(
        &self,
        last_seen: u64,
        buffer: &mut Vec<nvmlProcessUtilizationSample_t>,
    ) -> Result<Vec<UtilSample>, NvmlError> {
        let call = nvml_sym(self.nvml.lib().nvmlDeviceGetProcessUtilization.as_ref())?;
        let empty = nvmlProcessUtilizationSample_t {
            pid: 0,
            timeStamp: 0,
            smUtil: 0,
            memUtil: 0,
            encUtil: 0,
            decUtil: 0,
        };
        if buffer.is_empty() {
            buffer.resize(FIRST_SAMPLES, empty);
        }
        loop {
            let mut count = c_uint::try_from(buffer.len()).unwrap_or(c_uint::MAX);
            // SAFETY: the handle belongs to this library, and `count` is the length of the buffer.
            let answer = nvml_try(unsafe { call(self.raw, buffer.as_mut_ptr(), &mut count, last_seen) });
            let wanted = usize::try_from(count).unwrap_or(0).max(buffer.len().saturating_mul(4));
            match answer {
                Err(NvmlError::InsufficientSize(_)) if buffer.len() < MOST_SAMPLES => {
                    buffer.resize(wanted.min(MOST_SAMPLES), empty);
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    let samples = buffer.iter().take(usize::try_from(count).unwrap_or(0));
                    let sample = |raw: &nvmlProcessUtilizationSample_t| UtilSample {
                        pid: raw.pid,
                        at: raw.timeStamp,
                        sm: raw.smUtil,
                    };
                    return Ok(samples.map(sample).collect());
                }
            }
        }
    }

    /// The GPU instance of a MIG device (`nvmlDeviceGetGpuInstanceId`).
    pub(super) fn gpu_instance(&self) -> Result<u32, NvmlError> {
        let call = nvml_sym(self.nvml.lib().nvmlDeviceGetGpuInstanceId.as_ref())?;
        let mut id: c_uint = 0;
        // SAFETY: the handle belongs to this library, and `id` is one integer to write.
        nvml_try(unsafe { call(self.raw, &mut id) })?;
        Ok(id)
    }

    /// The compute instance of a MIG device (`nvmlDeviceGetComputeInstanceId`).
    pub(super) fn compute_instance(&self) -> Result<u32, NvmlError> {
        let call = nvml_sym(self.nvml.lib().nvmlDeviceGetComputeInstanceId.as_ref())?;
        let mut id: c_uint = 0;
        // SAFETY: the handle belongs to this library, and `id` is one integer to write.
        nvml_try(unsafe { call(self.raw, &mut id) })?;
        Ok(id)
    }

    /// The power now in milliwatts (field 186), of the GPU alone (scope 0) or the whole module (scope 1). The
    /// wrapper can only ask for scope 0 without saying so, and allocates for each call.
    pub(super) fn power_instant(&self, scope: u32) -> Result<u64, NvmlError> {
        let call = nvml_sym(self.nvml.lib().nvmlDeviceGetFieldValues.as_ref())?;
        let mut field = nvmlFieldValue_t {
            fieldId: NVML_FI_DEV_POWER_INSTANT,
            scopeId: scope,
            timestamp: 0,
            latencyUsec: 0,
            valueType: 0,
            nvmlReturn: 0,
            value: nvmlValue_t { ullVal: 0 },
        };
        // SAFETY: the handle belongs to this library, and `field` is the one entry that the count of 1 announces.
        nvml_try(unsafe { call(self.raw, 1, &mut field) })?;
        match FieldValueSample::try_from(field)?.value? {
            SampleValue::U32(value) => Ok(u64::from(value)),
            SampleValue::U64(value) => Ok(value),
            SampleValue::I64(value) => u64::try_from(value).map_err(|_| NvmlError::Unknown),
            SampleValue::F64(value) => Ok(crate::units::floor_to_u64(value)),
        }
    }
}

/// A buffer for one GPM sample. It belongs to one reader, as NVML doesn't guard samples against other threads.
pub(super) struct GpmBuffer {
    nvml: Arc<Nvml>,
    raw: nvmlGpmSample_t,
}

// SAFETY: the buffer is only touched through `&mut self` or by `sm_utilization`, which borrows it, and isn't
// `Sync`; NVML doesn't tie it to the thread that made it.
unsafe impl Send for GpmBuffer {}

impl GpmBuffer {
    /// An empty buffer.
    pub(super) fn new(handle: &Handle) -> Result<Self, NvmlError> {
        // Without the call that frees, each buffer would be lost for good.
        nvml_sym(handle.nvml.lib().nvmlGpmSampleFree.as_ref())?;
        let call = nvml_sym(handle.nvml.lib().nvmlGpmSampleAlloc.as_ref())?;
        let mut raw: nvmlGpmSample_t = std::ptr::null_mut();
        // SAFETY: `raw` is one pointer to write.
        nvml_try(unsafe { call(&mut raw) })?;
        Ok(Self { nvml: Arc::clone(&handle.nvml), raw })
    }

    /// Fills the buffer with the counters of a GPU instance of `device` as they are now.
    pub(super) fn take(&mut self, device: &Handle, instance: u32) -> Result<(), NvmlError> {
        let call = nvml_sym(self.nvml.lib().nvmlGpmMigSampleGet.as_ref())?;
        // SAFETY: handle and buffer belong to a library that is initialised, and nobody else has the buffer.
        nvml_try(unsafe { call(device.raw, instance, self.raw) })
    }

    /// The share of streaming multiprocessors that was busy between two samples, 0 to 1 (metric 2). None if the
    /// driver gives no number.
    pub(super) fn sm_utilization(older: &Self, newer: &Self) -> Result<Option<f64>, NvmlError> {
        // SAFETY: both buffers are alive and of one library, as every meter makes both from one handle; the wrappers
        // around them are never dropped, so nothing is freed twice.
        let wrap =
            |buffer: &Self| ManuallyDrop::new(unsafe { GpmSample::from_handle(&older.nvml, buffer.raw) });
        let metrics = gpm_metrics_get(&older.nvml, &wrap(older), &wrap(newer), &[GpmMetricId::SmUtil])?;
        let Some(metric) = metrics.into_iter().next() else {
            return Ok(None);
        };
        let percent = metric?.value;
        Ok(percent.is_finite().then(|| (percent / 100.0).clamp(0.0, 1.0)))
    }
}

impl Drop for GpmBuffer {
    fn drop(&mut self) {
        if let Ok(call) = &self.nvml.lib().nvmlGpmSampleFree {
            // SAFETY: the buffer was allocated by this library, which is still initialised, and is freed once.
            let _ = unsafe { call(self.raw) };
        }
    }
}

/// Keeps a library for ever that has no `nvmlShutdown`: the wrapper would panic when it is dropped.
pub(super) fn share(nvml: Nvml) -> Arc<Nvml> {
    let nvml = Arc::new(nvml);
    if nvml.lib().nvmlShutdown.is_err() {
        mem::forget(Arc::clone(&nvml));
    }
    nvml
}
