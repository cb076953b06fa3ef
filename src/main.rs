//! The wattprint binary: hands the arguments to the library.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    wattprint::gpu::nvml::forget_mps_enumeration();
    wattprint::cli::run(std::env::args_os(), std::env::vars_os(), &mut io::stdout(), &mut io::stderr())
}
