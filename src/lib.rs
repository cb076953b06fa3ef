//! wattprint: power and CO2e of every process, container, pod, job, service and VM of a node.
//!
//! Data runs one way, down this list; each room knows only rooms above it.

pub mod units;

mod pem;

pub mod config;

pub mod workloads;

pub mod meters;

pub mod gpu;

pub mod identity;

pub mod carbon;

pub mod attribution;

pub mod ledger;

pub mod snapshot;

pub mod sampler;

pub mod journal;

pub mod web;

pub mod cli;

#[cfg(test)]
mod logged;
