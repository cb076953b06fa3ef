//! Pure functions from energy deltas and usage deltas to shares. Every split is exact to the microjoule.

pub mod apportion;
pub mod baseline;
pub mod cpu;
pub mod dram;
pub mod gpu;
