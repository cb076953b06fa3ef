//! Who ran: the cgroup tree, live processes, and the owner that a cgroup path names.
//!
//! [`WorkloadReader`] is the door: one call per tick gives the CPU time of every cgroup that matters, of every
//! process, and the memory that owners hold.

pub mod cgroup;
mod counter_file;
pub mod hierarchy;
mod join;
pub mod owner;
pub mod owners;
pub mod pid_namespace;
pub mod process;
mod procfile;
mod reader;
mod tree;
mod usage;

pub use reader::{ReaderSettings, WorkloadReader};
pub use usage::{ProcessIdentity, ProcessUsage, ReadFailure, UsageNode, WorkloadTick};
