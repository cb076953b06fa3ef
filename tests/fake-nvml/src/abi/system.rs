//! The library as a whole: beginning, end, versions.

use std::ffi::{c_char, c_uint};

use nvml_wrapper_sys::bindings::nvmlReturn_t;

use super::buffers::{Buffer, Out, put};
use super::export;
use crate::call::{self, Call};
use crate::code;
use crate::state;

export! {
    fn nvmlInit() {
        call::init(SYMBOL)
    }

    fn nvmlInit_v2() {
        call::init(SYMBOL)
    }

    fn nvmlInitWithFlags(_flags: c_uint) {
        call::init(SYMBOL)
    }

    fn nvmlShutdown() {
        call::shutdown(SYMBOL)
    }

    fn nvmlSystemGetDriverVersion(version: Buffer<c_char>, length: c_uint) {
        version.text(length, &Call::library(SYMBOL)?.scenario.driver_version)
    }

    fn nvmlSystemGetNVMLVersion(version: Buffer<c_char>, length: c_uint) {
        version.text(length, &Call::library(SYMBOL)?.scenario.nvml_version)
    }

    fn nvmlSystemGetCudaDriverVersion_v2(version: Out<'_, i32>) {
        Call::library(SYMBOL)?;
        put(version, 12_080)
    }
}

/// What a code means. It works without init and isn't counted.
#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    code::text(result).as_ptr()
}

/// Runs when the library is unloaded, so that a daemon that loads it again and again leaks no memory or file
/// through it.
extern "C" fn unload() {
    state::release();
}

#[used]
#[unsafe(link_section = ".fini_array")]
static UNLOAD: extern "C" fn() = unload;
