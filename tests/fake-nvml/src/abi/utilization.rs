//! The share of time that each process kept the device busy.

use std::collections::BTreeMap;
use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlProcessUtilizationInfo_v1_t, nvmlProcessUtilizationSample_t,
    nvmlProcessesUtilizationInfo_t,
};

use super::buffers::{Buffer, InOut};
use super::export;
use crate::call::DeviceCall;
use crate::clock::Moment;
use crate::code;
use crate::scenario::Device;
use crate::state::Reply;

/// The mean that a caller gets who names no time before.
const LONG_US: u64 = 20_000_000;
/// How many samples the driver says it needs room for, however many there are.
const SLOTS: usize = 100;
/// `nvmlProcessesUtilizationInfo_v1`: the struct's size and its version.
const INFO_V1: c_uint = 0x0100_0018;

struct Sample {
    pid: u32,
    time_us: u64,
    sm: u32,
    memory: u32,
}

/// One sample for each process that worked since, stamped with the driver's last look.
fn samples(device: &Device, now: Moment, last_seen_us: u64) -> Reply<Vec<Sample>> {
    let newest = now.wall_us - now.wall_us.checked_rem(device.sample_period_us).unwrap_or(0);
    if newest <= last_seen_us {
        return Err(code::NOT_FOUND);
    }
    let since = if last_seen_us == 0 { newest.saturating_sub(LONG_US) } else { last_seen_us };
    let (from, to) = (now.ns_of_wall(since), now.ns_of_wall(newest));
    let span = u128::from(to.saturating_sub(from));

    let mut busy: BTreeMap<u32, (u128, u128)> = BTreeMap::new();
    for process in &device.processes {
        let there = u128::from(process.presence(from, to));
        let (sm, memory) = busy.entry(process.host_pid.unwrap_or(process.pid)).or_default();
        *sm += there * u128::from(process.sm_utilization);
        *memory += there * u128::from(process.memory_utilization);
    }
    let mean = |busy: u128| {
        let mean = (busy + span / 2).checked_div(span).unwrap_or(0);
        u32::try_from(mean).unwrap_or(u32::MAX)
    };
    let mut samples: Vec<Sample> = busy
        .into_iter()
        .map(|(pid, (sm, memory))| Sample { pid, time_us: newest, sm: mean(sm), memory: mean(memory) })
        .filter(|sample| sample.sm > 0 || sample.memory > 0)
        .collect();
    if samples.is_empty() {
        return Err(code::NOT_FOUND);
    }
    if device.pid_zero {
        // An unused slot holds whatever was there before, but no pid.
        samples.insert(0, Sample { pid: 0, time_us: newest, sm: 7, memory: 0 });
    }
    Ok(samples)
}

/// Whether all samples fit; if not, the count says how much room the driver wants.
fn room<T>(count: &mut c_uint, buffer: &Buffer<T>, samples: usize) -> Reply {
    let given = usize::try_from(*count).unwrap_or(usize::MAX);
    let fits = !buffer.is_null() && given >= samples;
    *count = c_uint::try_from(if fits { samples } else { samples.max(SLOTS) }).unwrap_or(c_uint::MAX);
    if fits { Ok(()) } else { Err(code::INSUFFICIENT_SIZE) }
}

export! {
    fn nvmlDeviceGetProcessUtilization(
        device: nvmlDevice_t,
        utilization: Buffer<nvmlProcessUtilizationSample_t>,
        count: InOut<'_, c_uint>,
        last_seen: c_ulonglong,
    ) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.uncut()?;
        let count = count.ok_or(code::INVALID_ARGUMENT)?;
        if utilization.is_null() {
            return room(count, &utilization, 0);
        }
        let samples = samples(device, call.call.now, last_seen)?;
        room(count, &utilization, samples.len())?;
        utilization.fill(samples.len(), samples.iter().map(|sample| nvmlProcessUtilizationSample_t {
            pid: sample.pid,
            timeStamp: sample.time_us,
            smUtil: sample.sm,
            memUtil: sample.memory,
            encUtil: 0,
            decUtil: 0,
        }));
        Ok(())
    }

    fn nvmlDeviceGetProcessesUtilizationInfo(
        device: nvmlDevice_t,
        info: InOut<'_, nvmlProcessesUtilizationInfo_t>,
    ) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.uncut()?;
        let info = info.ok_or(code::INVALID_ARGUMENT)?;
        if info.version != INFO_V1 {
            return Err(code::ARGUMENT_VERSION_MISMATCH);
        }
        let buffer = Buffer::at(info.procUtilArray);
        if buffer.is_null() {
            return room(&mut info.processSamplesCount, &buffer, 0);
        }
        let samples = samples(device, call.call.now, info.lastSeenTimeStamp)?;
        room(&mut info.processSamplesCount, &buffer, samples.len())?;
        buffer.fill(samples.len(), samples.iter().map(|sample| nvmlProcessUtilizationInfo_v1_t {
            timeStamp: sample.time_us,
            pid: sample.pid,
            smUtil: sample.sm,
            memUtil: sample.memory,
            encUtil: 0,
            decUtil: 0,
            jpgUtil: 0,
            ofaUtil: 0,
        }));
        Ok(())
    }
}
