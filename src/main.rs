//! The wattprint binary: hands the arguments to the library.

use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Variables that aren't UTF-8 can't be ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    wattprint::cli::run(std::env::args_os(), environment, &mut io::stdout(), &mut io::stderr())
}
