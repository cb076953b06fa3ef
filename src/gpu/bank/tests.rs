//! The bank over scripted backends: threads and channels are real, the clock is set by hand.

mod devices;
mod errors;
mod property;
mod renewal;
mod rig;
mod searches;
mod world;
