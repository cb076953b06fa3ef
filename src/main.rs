//! The wattprint binary: hands the arguments to the library.

use std::io;
use std::process::ExitCode;

#[allow(unsafe_code, reason = "the environment can only be changed while nobody else can read it")]
fn main() -> ExitCode {
    // SAFETY: it is the first thing that the process does, so there is no other thread.
    unsafe { wattprint::gpu::nvml::forget_mps_enumeration() };
    wattprint::cli::run(std::env::args_os(), std::env::vars_os(), &mut io::stdout(), &mut io::stderr())
}
