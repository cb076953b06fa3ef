//! The GPUs of one node: found, read and booked once per tick.

use crate::gpu::{GpuSettings, GpuTick, Now};

/// Owns all backends and workers of a node.
#[derive(Debug)]
pub struct GpuBank {}

impl GpuBank {
    /// Sets up the backends that are switched on. Nothing is loaded or opened before the first tick.
    pub fn new(settings: &GpuSettings, now: Now) -> Self {
        let _ = (settings, now);
        Self {}
    }

    /// Asks every device for a reading, and looks for devices where that is due. Doesn't wait.
    pub fn ask(&mut self) {}

    /// Gathers the answers, waiting for late ones up to half a tick.
    pub fn collect(&mut self) -> GpuTick {
        GpuTick::default()
    }

    /// Gives back all handles, so that the driver can be unloaded, and leaves the devices alone until
    /// [`Self::resume`], or for as long as the settings say.
    pub fn release(&mut self) {}

    /// Takes the devices in again.
    pub fn resume(&mut self) {}

    /// Whether every GPU was found and had time to show its energy, or can't for now.
    pub fn is_settled(&self) -> bool {
        true
    }

    /// Why only a new container can make the devices readable again, once that is certain.
    pub fn needs_new_container(&self) -> Option<&str> {
        None
    }
}
