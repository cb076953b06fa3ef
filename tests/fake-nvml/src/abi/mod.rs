//! NVML's functions, by name and signature those of nvml.h.
//!
//! Only [`buffers`] touches the caller's memory; everything else works on what it hands over.

#![allow(
    unsafe_code,
    reason = "exporting a symbol is unsafe, as is what a foreign caller's pointer points to"
)]
#![allow(non_snake_case, reason = "NVML names its functions")]

mod accounting;
mod buffers;
mod devices;
mod energy;
mod gpm;
mod mig;
mod processes;
mod system;
mod utilization;

/// Exports functions under their own names. A body may use `SYMBOL`, its function's name, and returns a
/// [`crate::state::Reply`]; the function returns its code.
macro_rules! export {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {
        /// The functions of this file.
        pub(super) const SYMBOLS: &[&str] = &[$(stringify!($name)),*];

        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($($argument: $type),*) -> nvml_wrapper_sys::bindings::nvmlReturn_t {
                #[allow(dead_code, reason = "a function that passes its work on may not need its name")]
                const SYMBOL: &str = stringify!($name);
                let reply = || -> crate::state::Reply { $body };
                reply().err().unwrap_or(crate::code::SUCCESS)
            }
        )*
    };
}
use export;

/// All functions whose calls are counted.
pub(crate) fn symbols() -> impl Iterator<Item = &'static str> {
    [
        system::SYMBOLS,
        devices::SYMBOLS,
        energy::SYMBOLS,
        processes::SYMBOLS,
        utilization::SYMBOLS,
        mig::SYMBOLS,
        accounting::SYMBOLS,
        gpm::SYMBOLS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
