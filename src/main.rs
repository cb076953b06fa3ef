//! The wattprint binary.
fn main() {}
