//! What goes wrong.

use serde::{Deserialize, Serialize};

/// Calls that fail. All of them do, unless `every`, `device` or the time says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// The function's exact name, or its beginning and `*`. `field:186` is one field's own return code.
    pub symbol: String,
    /// Only on this device or MIG device (its UUID).
    pub device: Option<String>,
    /// What they return.
    pub code: u32,
    /// From when on.
    pub from_ns: u64,
    /// Until when.
    pub until_ns: Option<u64>,
    /// Only each n-th of the calls.
    pub every: Option<u32>,
}

/// Calls that don't return. They sleep, so the process can still be ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hang {
    /// The function's exact name, or its beginning and `*`.
    pub symbol: String,
    /// Only on this device or MIG device (its UUID).
    pub device: Option<String>,
    /// For how long; none: for ever.
    pub seconds: Option<f64>,
    /// Whether they go on once no hang for them is left in the scenario.
    pub releasable: bool,
    /// Calls before this moment aren't held up.
    pub from_ns: u64,
}
