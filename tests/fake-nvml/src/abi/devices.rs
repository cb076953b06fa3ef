//! Devices: how many there are, their handles, names and memory.

use std::ffi::{c_char, c_uint};
use std::ptr;

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlPciInfo_t, nvmlUtilization_t,
};

use super::buffers::{Buffer, InOut, Out, Text, array, put};
use super::export;
use crate::call::{Call, DeviceCall};
use crate::code;
use crate::scenario::Device;
use crate::state::Reply;

/// `nvmlMemory_v2`: the struct's size and its version.
const MEMORY_V2: c_uint = 0x0200_0028;

/// A handle as the caller sees it.
pub(super) fn opaque(handle: usize) -> nvmlDevice_t {
    ptr::without_provenance_mut(handle)
}

fn usage(call: &DeviceCall) -> Reply<(u64, u64, u64)> {
    let device = call.device()?;
    Ok(match call.instance() {
        Some(instance) => (instance.memory_total, instance.memory_used, 0),
        None => (device.memory_total, device.memory_used, device.memory_reserved),
    })
}

/// Domain, bus and device, as numbers.
fn address(pci_bus_id: &str) -> Option<(u32, u32, u32)> {
    let mut parts = pci_bus_id.split([':', '.']).map(|part| u32::from_str_radix(part, 16).ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

fn pci(device: &Device) -> Reply<nvmlPciInfo_t> {
    let (domain, bus, slot) = address(&device.pci_bus_id).ok_or(code::UNKNOWN)?;
    Ok(nvmlPciInfo_t {
        busIdLegacy: array(&format!("{domain:04X}:{bus:02X}:{slot:02X}.0")),
        domain,
        bus,
        device: slot,
        pciDeviceId: 0x2330_10de,
        pciSubSystemId: 0x16c1_10de,
        busId: array(&device.pci_bus_id),
    })
}

export! {
    fn nvmlDeviceGetCount_v2(count: Out<'_, c_uint>) {
        let devices = Call::library(SYMBOL)?.devices().count();
        put(count, c_uint::try_from(devices).unwrap_or(c_uint::MAX))
    }

    fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, device: Out<'_, nvmlDevice_t>) {
        let call = Call::library(SYMBOL)?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let found = call.devices().nth(index).ok_or(code::INVALID_ARGUMENT)?;
        put(device, opaque(call.hand_out(found)?))
    }

    fn nvmlDeviceGetHandleByUUID(uuid: Text, device: Out<'_, nvmlDevice_t>) {
        let call = Call::library(SYMBOL)?;
        let uuid = uuid.get()?;
        let handle = match call.devices().find(|device| device.uuid == uuid) {
            Some(found) => call.hand_out(found)?,
            None => {
                let mut all = call.devices().filter(|device| device.cut()).flat_map(|device| {
                    device.mig.iter().flat_map(|mig| &mig.instances).map(move |instance| (device, instance))
                });
                let (found, instance) =
                    all.find(|(_, instance)| instance.uuid == uuid).ok_or(code::NOT_FOUND)?;
                call.hand_out_mig(found, instance)?
            }
        };
        put(device, opaque(handle))
    }

    fn nvmlDeviceGetHandleByPciBusId_v2(bus_id: Text, device: Out<'_, nvmlDevice_t>) {
        let call = Call::library(SYMBOL)?;
        let wanted = address(bus_id.get()?).ok_or(code::INVALID_ARGUMENT)?;
        let found = call.devices().find(|device| address(&device.pci_bus_id) == Some(wanted));
        put(device, opaque(call.hand_out(found.ok_or(code::NOT_FOUND)?)?))
    }

    fn nvmlDeviceGetIndex(device: nvmlDevice_t, index: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), true)?;
        let uuid = &call.device()?.uuid;
        let place = call.call.devices().position(|device| device.uuid == *uuid).ok_or(code::GPU_IS_LOST)?;
        let place = c_uint::try_from(place).map_err(|_| code::UNKNOWN)?;
        put(index, call.instance().map_or(place, |instance| instance.index))
    }

    fn nvmlDeviceGetMinorNumber(device: nvmlDevice_t, minor: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), true)?;
        let bus = address(&call.whole()?.pci_bus_id).map_or(0, |(_, bus, _)| bus);
        put(minor, bus.saturating_sub(1))
    }

    fn nvmlDeviceGetName(device: nvmlDevice_t, name: Buffer<c_char>, length: c_uint) {
        let call = DeviceCall::new(SYMBOL, device.addr(), true)?;
        let whole = call.device()?;
        match call.instance() {
            Some(instance) => name.text(length, &format!("{} MIG {}", whole.name, instance.profile)),
            None => name.text(length, &whole.name),
        }
    }

    fn nvmlDeviceGetUUID(device: nvmlDevice_t, uuid: Buffer<c_char>, length: c_uint) {
        let call = DeviceCall::new(SYMBOL, device.addr(), true)?;
        let whole = call.device()?;
        uuid.text(length, call.instance().map_or(&whole.uuid, |instance| &instance.uuid))
    }

    fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, info: Out<'_, nvmlPciInfo_t>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), true)?;
        put(info, pci(call.device()?)?)
    }

    fn nvmlDeviceGetArchitecture(device: nvmlDevice_t, architecture: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(architecture, call.device()?.architecture)
    }

    fn nvmlDeviceGetPersistenceMode(device: nvmlDevice_t, mode: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(mode, c_uint::from(call.whole()?.persistence))
    }

    fn nvmlDeviceGetMemoryInfo(device: nvmlDevice_t, memory: Out<'_, nvmlMemory_t>) {
        let (total, used, reserved) = usage(&DeviceCall::new(SYMBOL, device.addr(), false)?)?;
        let used = used.saturating_add(reserved);
        put(memory, nvmlMemory_t { total, free: total.saturating_sub(used), used })
    }

    fn nvmlDeviceGetMemoryInfo_v2(device: nvmlDevice_t, memory: InOut<'_, nvmlMemory_v2_t>) {
        let (total, used, reserved) = usage(&DeviceCall::new(SYMBOL, device.addr(), false)?)?;
        let memory = memory.ok_or(code::INVALID_ARGUMENT)?;
        if memory.version != MEMORY_V2 {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        (memory.total, memory.used, memory.reserved) = (total, used, reserved);
        memory.free = total.saturating_sub(used).saturating_sub(reserved);
        Ok(())
    }

    fn nvmlDeviceGetUtilizationRates(device: nvmlDevice_t, utilization: Out<'_, nvmlUtilization_t>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.uncut()?;
        put(utilization, nvmlUtilization_t { gpu: device.gpu_utilization, memory: device.memory_utilization })
    }
}
