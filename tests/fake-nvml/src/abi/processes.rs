//! The lists of running processes, in all three versions.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t};

use super::buffers::{self, Buffer, InOut};
use super::export;
use crate::call::DeviceCall;
use crate::code;
use crate::scenario::{Device, Kind, ParentLists, Process};
use crate::state::{self, Reply};

/// "Not available", for memory and for instances.
const NO_MEMORY: u64 = u64::MAX;
const NO_INSTANCE: u32 = u32::MAX;

#[derive(Clone, Copy)]
enum List {
    Compute,
    Graphics,
    Mps,
}

impl List {
    fn holds(self, device: &Device, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Compute, Kind::Compute | Kind::ComputeGraphics | Kind::MpsServer)
            | (Self::Graphics, Kind::Graphics | Kind::ComputeGraphics)
            | (Self::Mps, Kind::MpsClient) => true,
            (Self::Compute, Kind::MpsClient) => device.mps_clients_in_compute,
            _ => false,
        }
    }
}

fn info(process: &Process) -> nvmlProcessInfo_v2_t {
    nvmlProcessInfo_v2_t {
        pid: process.pid,
        usedGpuMemory: process.memory.unwrap_or(NO_MEMORY),
        gpuInstanceId: process.gpu_instance.unwrap_or(NO_INSTANCE),
        computeInstanceId: process.compute_instance.unwrap_or(NO_INSTANCE),
    }
}

fn info_v1(process: &Process) -> nvmlProcessInfo_v1_t {
    nvmlProcessInfo_v1_t { pid: process.pid, usedGpuMemory: process.memory.unwrap_or(NO_MEMORY) }
}

fn listed(call: &DeviceCall, list: List) -> Reply<Vec<&Process>> {
    let device = call.device()?;
    let all = device.processes.iter().filter(|process| {
        process.in_lists && process.alive_at(call.call.now.ns) && list.holds(device, process.kind)
    });
    if let Some(instance) = call.instance() {
        let place = (Some(instance.gpu_instance), Some(instance.compute_instance));
        return Ok(all.filter(|process| (process.gpu_instance, process.compute_instance) == place).collect());
    }
    match device.mig.as_ref().filter(|mig| mig.enabled).map(|mig| mig.parent_lists) {
        None | Some(ParentLists::Aggregate) => Ok(all.collect()),
        Some(ParentLists::Empty) => Ok(Vec::new()),
        Some(ParentLists::NoPermission) => Err(code::NO_PERMISSION),
    }
}

fn answer<T>(
    symbol: &'static str,
    device: nvmlDevice_t,
    list: List,
    count: InOut<'_, c_uint>,
    infos: &Buffer<T>,
    info: fn(&Process) -> T,
) -> Reply {
    let call = DeviceCall::new(symbol, device.addr(), false)?;
    let processes = listed(&call, list)?;
    let device = call.device()?;
    let count = count.ok_or(code::INVALID_ARGUMENT)?;
    if !infos.is_null() && device.churn > 0 && state::lock().churns(symbol, &device.uuid, device.churn) {
        *count = count.saturating_add(1);
        return Err(code::INSUFFICIENT_SIZE);
    }
    buffers::list(Some(count), infos, processes.into_iter().map(info).collect())
}

export! {
    fn nvmlDeviceGetComputeRunningProcesses(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v1_t>,
    ) {
        answer(SYMBOL, device, List::Compute, count, &infos, info_v1)
    }

    fn nvmlDeviceGetComputeRunningProcesses_v2(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v2_t>,
    ) {
        answer(SYMBOL, device, List::Compute, count, &infos, info)
    }

    fn nvmlDeviceGetComputeRunningProcesses_v3(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v2_t>,
    ) {
        answer(SYMBOL, device, List::Compute, count, &infos, info)
    }

    fn nvmlDeviceGetGraphicsRunningProcesses(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v1_t>,
    ) {
        answer(SYMBOL, device, List::Graphics, count, &infos, info_v1)
    }

    fn nvmlDeviceGetGraphicsRunningProcesses_v2(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v2_t>,
    ) {
        answer(SYMBOL, device, List::Graphics, count, &infos, info)
    }

    fn nvmlDeviceGetGraphicsRunningProcesses_v3(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v2_t>,
    ) {
        answer(SYMBOL, device, List::Graphics, count, &infos, info)
    }

    fn nvmlDeviceGetMPSComputeRunningProcesses(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v1_t>,
    ) {
        answer(SYMBOL, device, List::Mps, count, &infos, info_v1)
    }

    fn nvmlDeviceGetMPSComputeRunningProcesses_v2(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v2_t>,
    ) {
        answer(SYMBOL, device, List::Mps, count, &infos, info)
    }

    fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
        device: nvmlDevice_t, count: InOut<'_, c_uint>, infos: Buffer<nvmlProcessInfo_v2_t>,
    ) {
        answer(SYMBOL, device, List::Mps, count, &infos, info)
    }
}
