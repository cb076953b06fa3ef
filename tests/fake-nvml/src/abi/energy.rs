//! Energy, power, their limit, field values and the ring of samples.

use std::ffi::{c_int, c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    field_id, nvmlDevice_t, nvmlFieldValue_t, nvmlSample_t,
    nvmlSamplingType_enum_NVML_MODULE_POWER_SAMPLES as MODULE_POWER,
    nvmlSamplingType_enum_NVML_TOTAL_POWER_SAMPLES as TOTAL_POWER, nvmlSamplingType_t, nvmlValue_t,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as UNSIGNED_LONG_LONG, nvmlValueType_t,
};

use super::buffers::{Buffer, InOut, Out, put};
use super::export;
use crate::call::DeviceCall;
use crate::code;
use crate::scenario::Device;
use crate::state::Reply;
use crate::truth::milliwatts;

const VOLTA: u32 = 5;
const AMPERE: u32 = 7;

const SECOND_NS: u64 = 1_000_000_000;
/// The time between two samples of the ring.
const SAMPLE_US: u64 = 20_000;
/// How many samples the ring holds.
const RING: u64 = 120;

fn counter(device: &Device, ns: u64) -> Reply<u64> {
    if device.energy_counter && device.architecture >= VOLTA {
        Ok(device.counter_mj_at(ns))
    } else {
        Err(code::NOT_SUPPORTED)
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn limit(device: &Device) -> Reply<u32> {
    device.power_limit_watts.map(|watts| narrow(milliwatts(watts))).ok_or(code::NOT_SUPPORTED)
}

/// A field's value and whether it has 64 bits.
fn field(device: &Device, id: u32, scope: u32, ns: u64) -> Reply<(u64, bool)> {
    let module = || device.module.as_ref().ok_or(code::NOT_SUPPORTED);
    let second = ns.saturating_sub(SECOND_NS);
    let gpu = if device.gpu_scope { Ok(()) } else { Err(code::NOT_SUPPORTED) };
    match (id, scope) {
        (field_id::NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, 0) => Ok((counter(device, ns)?, true)),
        (field_id::NVML_FI_DEV_ENERGY, 0) => gpu.and_then(|()| Ok((counter(device, ns)?, true))),
        (field_id::NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION | field_id::NVML_FI_DEV_ENERGY, 1) => {
            Ok((module()?.counter_mj_at(ns, device.counter_period_ns), true))
        }
        (field_id::NVML_FI_DEV_POWER_AVERAGE, _) if device.architecture < AMPERE => Err(code::NOT_SUPPORTED),
        (field_id::NVML_FI_DEV_POWER_AVERAGE, 0) => gpu.map(|()| (device.mean_milliwatts(second, ns), false)),
        (field_id::NVML_FI_DEV_POWER_AVERAGE, 1) => Ok((module()?.mean_milliwatts(second, ns), false)),
        (field_id::NVML_FI_DEV_POWER_INSTANT, 0) => gpu.map(|()| (device.milliwatts_at(ns), false)),
        (field_id::NVML_FI_DEV_POWER_INSTANT, 1) => Ok((module()?.milliwatts_at(ns), false)),
        (field_id::NVML_FI_DEV_POWER_CURRENT_LIMIT, 0) => Ok((u64::from(limit(device)?), false)),
        _ => Err(code::NOT_SUPPORTED),
    }
}

export! {
    fn nvmlDeviceGetTotalEnergyConsumption(device: nvmlDevice_t, energy: Out<'_, c_ulonglong>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        put(energy, counter(call.whole()?, call.call.now.ns)?)
    }

    fn nvmlDeviceGetPowerUsage(device: nvmlDevice_t, power: Out<'_, c_uint>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let (device, ns) = (call.whole()?, call.call.now.ns);
        put(power, narrow(if device.averaged_power {
            device.mean_milliwatts(ns.saturating_sub(SECOND_NS), ns)
        } else {
            device.milliwatts_at(ns)
        }))
    }

    fn nvmlDeviceGetEnforcedPowerLimit(device: nvmlDevice_t, power: Out<'_, c_uint>) {
        put(power, limit(DeviceCall::new(SYMBOL, device.addr(), false)?.whole()?)?)
    }

    fn nvmlDeviceGetPowerManagementLimit(device: nvmlDevice_t, power: Out<'_, c_uint>) {
        put(power, limit(DeviceCall::new(SYMBOL, device.addr(), false)?.whole()?)?)
    }

    fn nvmlDeviceGetFieldValues(device: nvmlDevice_t, count: c_int, values: Buffer<nvmlFieldValue_t>) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.whole()?;
        let count = usize::try_from(count).map_err(|_| code::INVALID_ARGUMENT)?;
        let mut values = values;
        let mut outcome = Err(code::INVALID_ARGUMENT);
        for entry in values.items(count)? {
            let value = call
                .part_fails(&format!("field:{}", entry.fieldId))
                .and_then(|()| field(device, entry.fieldId, entry.scopeId, call.call.now.ns));
            entry.timestamp = i64::try_from(call.call.now.wall_us).unwrap_or(i64::MAX);
            entry.latencyUsec = 0;
            match value {
                Ok((value, long)) => {
                    entry.nvmlReturn = code::SUCCESS;
                    entry.valueType = if long {
                        UNSIGNED_LONG_LONG
                    } else {
                        UNSIGNED_INT
                    };
                    // Little-endian: the shorter member is the first half of the longer one.
                    entry.value = nvmlValue_t { ullVal: value };
                    outcome = Ok(());
                }
                Err(code) => {
                    entry.nvmlReturn = code;
                    outcome = outcome.or(Err(code));
                }
            }
        }
        outcome
    }

    fn nvmlDeviceGetSamples(
        device: nvmlDevice_t,
        kind: nvmlSamplingType_t,
        last_seen: c_ulonglong,
        value_type: Out<'_, nvmlValueType_t>,
        count: InOut<'_, c_uint>,
        samples: Buffer<nvmlSample_t>,
    ) {
        let call = DeviceCall::new(SYMBOL, device.addr(), false)?;
        let device = call.whole()?;
        let now = call.call.now;
        let power = |ns| match kind {
            TOTAL_POWER => Ok(device.milliwatts_at(ns)),
            MODULE_POWER => {
                device.module.as_ref().map(|module| module.milliwatts_at(ns)).ok_or(code::NOT_SUPPORTED)
            }
            _ => Err(code::NOT_SUPPORTED),
        };
        power(now.ns)?;
        let count = count.ok_or(code::INVALID_ARGUMENT)?;
        put(value_type, UNSIGNED_INT)?;
        if samples.is_null() {
            *count = narrow(RING);
            return Ok(());
        }
        let newest = now.wall_us / SAMPLE_US;
        let mut ring = Vec::new();
        for time in (newest.saturating_sub(RING - 1)..=newest).map(|step| step * SAMPLE_US) {
            if time > last_seen {
                let value = power(now.ns_of_wall(time))?;
                ring.push(nvmlSample_t { timeStamp: time, sampleValue: nvmlValue_t { ullVal: value } });
            }
        }
        if ring.is_empty() {
            return Err(code::NOT_FOUND);
        }
        let room = usize::try_from(*count).unwrap_or(usize::MAX);
        *count = narrow(samples.fill(room, ring).try_into().unwrap_or(u64::MAX));
        Ok(())
    }
}
