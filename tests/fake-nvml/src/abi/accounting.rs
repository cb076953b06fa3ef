//! What the driver remembers of processes that ended.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlAccountingStats_t, nvmlDevice_t};

use super::buffers::{self, Buffer, InOut, Out, put};
use super::export;
use crate::call::DeviceCall;
use crate::code;
use crate::scenario::{Accounted, Accounting};
use crate::state::Reply;

fn accounting(call: &DeviceCall) -> Reply<&Accounting> {
    call.whole()?.accounting.as_ref().ok_or(code::NOT_SUPPORTED)
}

/// The processes that it still remembers, if it is on; MIG switches it off.
fn remembered(call: &DeviceCall) -> Reply<&[Accounted]> {
    let accounting = accounting(call)?;
    if !accounting.enabled || call.device()?.cut() {
        return Err(code::NOT_SUPPORTED);
    }
    let room = usize::try_from(accounting.buffer_size).unwrap_or(usize::MAX);
    let forgotten = accounting.processes.len().saturating_sub(room);
    Ok(accounting.processes.get(forgotten..).unwrap_or_default())
}

export! {
    fn nvmlDeviceGetAccountingMode(device: nvmlDevice_t, mode: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(mode, c_uint::from(accounting(&call)?.enabled && !call.device()?.cut()))
    }

    fn nvmlDeviceGetAccountingBufferSize(device: nvmlDevice_t, size: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(size, accounting(&call)?.buffer_size)
    }

    fn nvmlDeviceGetAccountingPids(device: nvmlDevice_t, count: InOut<'_, c_uint>, pids: Buffer<c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let mut all: Vec<c_uint> = Vec::new();
        for process in remembered(&call)? {
            if !all.contains(&process.pid) {
                all.push(process.pid);
            }
        }
        buffers::list(count, &pids, all)
    }

    fn nvmlDeviceGetAccountingStats(
        device: nvmlDevice_t, pid: c_uint, stats: Out<'_, nvmlAccountingStats_t>,
    ) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        // Of several processes that had the pid, the last one is known.
        let process = remembered(&call)?.iter().rev().find(|process| process.pid == pid);
        let process = process.ok_or(code::NOT_FOUND)?;
        put(stats, nvmlAccountingStats_t {
            gpuUtilization: process.gpu_utilization,
            memoryUtilization: process.memory_utilization,
            maxMemoryUsage: process.max_memory,
            time: if process.running { 0 } else { process.time_ms },
            startTime: process.start_us,
            isRunning: c_uint::from(process.running),
            reserved: [0; 5],
        })
    }
}
