//! MIG: a device that is cut into instances.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlDeviceAttributes_t};

use super::buffers::{Out, put};
use super::devices::opaque;
use super::export;
use crate::call::DeviceCall;
use crate::code;

/// The greatest number of instances, whether MIG is on or not.
const MOST: c_uint = 7;

export! {
    fn nvmlDeviceGetMigMode(device: nvmlDevice_t, current: Out<'_, c_uint>, pending: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let mode = c_uint::from(call.whole()?.mig.as_ref().ok_or(code::NOT_SUPPORTED)?.enabled);
        put(current, mode)?;
        put(pending, mode)
    }

    fn nvmlDeviceGetMaxMigDeviceCount(device: nvmlDevice_t, count: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(count, if call.whole()?.mig.is_some() { MOST } else { 0 })
    }

    fn nvmlDeviceGetMigDeviceHandleByIndex(
        device: nvmlDevice_t, index: c_uint, mig_device: Out<'_, nvmlDevice_t>,
    ) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.whole()?;
        let mig = device.mig.as_ref().ok_or(code::NOT_SUPPORTED)?;
        if index >= MOST {
            return Err(code::INVALID_ARGUMENT);
        }
        let found = mig.instances.iter().find(|instance| mig.enabled && instance.index == index);
        put(mig_device, opaque(call.call.hand_out_mig(device, found.ok_or(code::NOT_FOUND)?)?))
    }

    fn nvmlDeviceIsMigDeviceHandle(device: nvmlDevice_t, is_mig: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(is_mig, c_uint::from(call.instance().is_some()))
    }

    fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(
        mig_device: nvmlDevice_t, device: Out<'_, nvmlDevice_t>,
    ) {
        let call = DeviceCall::new(SYMBOL, mig_device.addr(), false)?;
        call.instance().ok_or(code::INVALID_ARGUMENT)?;
        put(device, opaque(call.call.hand_out(call.device()?)?))
    }

    fn nvmlDeviceGetGpuInstanceId(device: nvmlDevice_t, id: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(id, call.instance().ok_or(code::INVALID_ARGUMENT)?.gpu_instance)
    }

    fn nvmlDeviceGetComputeInstanceId(device: nvmlDevice_t, id: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(id, call.instance().ok_or(code::INVALID_ARGUMENT)?.compute_instance)
    }

    fn nvmlDeviceGetAttributes_v2(device: nvmlDevice_t, attributes: Out<'_, nvmlDeviceAttributes_t>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.device()?;
        let (multiprocessors, slices, compute_slices, memory) = match call.instance() {
            Some(instance) => {
                (instance.multiprocessors, instance.slices, instance.compute_slices, instance.memory_total)
            }
            None => (device.multiprocessors.ok_or(code::NOT_SUPPORTED)?, 0, 0, device.memory_total),
        };
        put(attributes, nvmlDeviceAttributes_t {
            multiprocessorCount: multiprocessors,
            sharedCopyEngineCount: 1,
            sharedDecoderCount: 0,
            sharedEncoderCount: 0,
            sharedJpegCount: 0,
            sharedOfaCount: 0,
            gpuInstanceSliceCount: slices,
            computeInstanceSliceCount: compute_slices,
            memorySizeMB: memory >> 20,
        })
    }
}
