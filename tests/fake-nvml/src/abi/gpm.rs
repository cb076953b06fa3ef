//! GPU performance monitoring: two samples, and what happened between them.

use std::ffi::{CStr, c_uint};
use std::ptr;

use nvml_wrapper_sys::bindings::{
    NVML_GPM_METRICS_GET_VERSION, NVML_GPM_SUPPORT_VERSION, nvmlDevice_t, nvmlGpmMetric_t,
    nvmlGpmMetric_t__bindgen_ty_1, nvmlGpmMetricsGet_t, nvmlGpmSample_t, nvmlGpmSupport_t,
};

use super::buffers::{InOut, Out};
use super::export;
use crate::call::{Call, DeviceCall};
use crate::code;
use crate::scenario::Gpm;
use crate::state::{self, GpmSample, Reply};

const HOPPER: u32 = 9;
/// Samples must be further apart than this.
const APART_NS: u64 = 100_000_000;
const GRAPHICS_UTIL: u32 = 1;
const SM_UTIL: u32 = 2;

fn gpm(call: &DeviceCall) -> Reply<Option<&Gpm>> {
    let device = call.whole()?;
    Ok(device.gpm.as_ref().filter(|_| device.architecture >= HOPPER))
}

/// Takes a sample into a handle that was allocated for it.
fn take(call: &DeviceCall, gpu_instance: Option<u32>, handle: nvmlGpmSample_t) -> Reply {
    let gpm = gpm(call)?.ok_or(code::NOT_SUPPORTED)?;
    let device = call.device()?;
    let sm = match gpu_instance {
        None => gpm.sm_utilization,
        Some(wanted) => {
            let mig = device.mig.as_ref().filter(|mig| mig.enabled).ok_or(code::NOT_SUPPORTED)?;
            let instance = mig.instances.iter().find(|instance| instance.gpu_instance == wanted);
            instance.ok_or(code::INVALID_ARGUMENT)?.sm_utilization
        }
    };
    if !gpm.permitted {
        return Err(code::NO_PERMISSION);
    }
    let sample = GpmSample {
        ns: call.call.now.ns,
        of: (device.uuid.clone(), gpu_instance),
        graphics: gpu_instance.is_none().then_some(gpm.graphics_utilization),
        sm,
    };
    let mut state = state::lock();
    *state.samples.get_mut(&handle.addr()).ok_or(code::INVALID_ARGUMENT)? = Some(sample);
    Ok(())
}

fn fill(metric: &mut nvmlGpmMetric_t, sample: &GpmSample) {
    let (value, name): (_, &CStr) = match metric.metricId {
        GRAPHICS_UTIL => (sample.graphics, c"GRACT"),
        SM_UTIL => (Some(sample.sm), c"SMUTL"),
        _ => (None, c""),
    };
    metric.value = value.unwrap_or(0.0);
    metric.nvmlReturn = if value.is_some() { code::SUCCESS } else { code::NOT_SUPPORTED };
    metric.metricInfo = nvmlGpmMetric_t__bindgen_ty_1 {
        shortName: name.as_ptr().cast_mut(),
        longName: name.as_ptr().cast_mut(),
        unit: c"%".as_ptr().cast_mut(),
    };
}

export! {
    fn nvmlGpmQueryDeviceSupport(device: nvmlDevice_t, support: InOut<'_, nvmlGpmSupport_t>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let supported = gpm(&call)?.is_some();
        let support = support.ok_or(code::INVALID_ARGUMENT)?;
        if support.version != NVML_GPM_SUPPORT_VERSION {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        support.isSupportedDevice = c_uint::from(supported);
        Ok(())
    }

    fn nvmlGpmSampleAlloc(sample: Out<'_, nvmlGpmSample_t>) {
        Call::library(SYMBOL)?;
        let sample = sample.ok_or(code::INVALID_ARGUMENT)?;
        sample.write(ptr::without_provenance_mut(state::lock().new_sample()));
        Ok(())
    }

    fn nvmlGpmSampleFree(sample: nvmlGpmSample_t) {
        Call::library(SYMBOL)?;
        state::lock().samples.remove(&sample.addr()).map(drop).ok_or(code::INVALID_ARGUMENT)
    }

    fn nvmlGpmSampleGet(device: nvmlDevice_t, sample: nvmlGpmSample_t) {
        take(&DeviceCall::new(SYMBOL, device.addr(), false)?, None, sample)
    }

    fn nvmlGpmMigSampleGet(device: nvmlDevice_t, gpu_instance: c_uint, sample: nvmlGpmSample_t) {
        take(&DeviceCall::new(SYMBOL, device.addr(), false)?, Some(gpu_instance), sample)
    }

    fn nvmlGpmMetricsGet(metrics: InOut<'_, nvmlGpmMetricsGet_t>) {
        Call::library(SYMBOL)?;
        let request = metrics.ok_or(code::INVALID_ARGUMENT)?;
        if request.version != NVML_GPM_METRICS_GET_VERSION {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        let sample = |handle: nvmlGpmSample_t| {
            state::lock().samples.get(&handle.addr()).cloned().flatten().ok_or(code::INVALID_ARGUMENT)
        };
        let (first, second) = (sample(request.sample1)?, sample(request.sample2)?);
        if first.of != second.of || second.ns <= first.ns.saturating_add(APART_NS) {
            return Err(code::INVALID_ARGUMENT);
        }
        let count = usize::try_from(request.numMetrics).unwrap_or(usize::MAX);
        let metrics = request.metrics.get_mut(..count).ok_or(code::INVALID_ARGUMENT)?;
        for metric in metrics {
            fill(metric, &second);
        }
        Ok(())
    }
}
