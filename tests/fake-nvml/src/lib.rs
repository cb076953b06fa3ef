//! A libnvidia-ml.so.1 without hardware, driven by a scenario.
//!
//! The crate is two things. As a shared library it has NVML's ABI and answers from a [`scenario::Scenario`], a JSON
//! file that may be replaced at any time. As a Rust library it lets a test write that file, work out what the
//! answers must be ([`scenario::Device::energy_mj_at`]), put the shared library in place ([`library_in`]), take
//! symbols out of it ([`patch`]) and read how often each one was called ([`calls`]).
//!
//! Nothing advances with the calls: every answer follows from the scenario and the system's clocks, so that a test
//! knows the truth without asking.

mod abi;
mod call;
pub mod calls;
mod clock;
pub mod code;
mod locate;
mod obstacles;
pub mod patch;
mod presets;
pub mod scenario;
mod state;
mod truth;

pub use clock::monotonic_ns;
pub use locate::{SCENARIO_FILE, library_in};
