//! Families of the emissions of making the hardware.

use super::{Family, counter, gauge};
use crate::snapshot::Holder;

/// What the node's hardware caused, then the figures that it comes from.
pub(super) const FAMILIES: &[Family] = &[
    counter(
        "wattprint_node_embodied_emissions_grams_total",
        &["component"],
        "Emissions of making the node's hardware in grams of CO2 equivalent, as far as its life passed while the daemon \
         ran. Component other is the server without its GPUs. Absent unless embodied.enabled is set.",
        |source, out| {
            for totals in &source.snapshot.embodied {
                out.push(&[totals.component.as_str()], &[], totals.emissions.0);
            }
        },
    ),
    counter(
        "wattprint_node_owner_embodied_emissions_grams_total",
        &["component", "kind"],
        "The same by the kind of owner that had the hardware, unallocated where nobody had it; adds up to \
         wattprint_node_embodied_emissions_grams_total.",
        |source, out| {
            for totals in &source.snapshot.embodied {
                for (kind, grams) in Holder::ALL.iter().zip(totals.by_holder) {
                    out.push(&[totals.component.as_str(), kind.as_str()], &[], grams.0);
                }
            }
        },
    ),
    gauge(
        "wattprint_embodied_grams",
        &["part", "device", "bound"],
        "Emissions of making a part of the hardware in grams of CO2 equivalent: the value that is counted, and the \
         low and high ends of what it may be.",
        |source, out| {
            for hardware in &source.snapshot.embodied_parts {
                let figures = &hardware.figures;
                for (bound, kilograms) in
                    [("low", figures.low), ("value", Some(figures.kilograms)), ("high", figures.high)]
                {
                    if let Some(kilograms) = kilograms {
                        out.push(&[hardware.part, &hardware.device, bound], &[], kilograms.in_grams().0);
                    }
                }
            }
        },
    ),
    gauge(
        "wattprint_embodied_info",
        &["part", "device", "name", "source", "boundary"],
        "What a part of the hardware is, who gives the figure and what it covers; always 1.",
        |source, out| {
            for hardware in &source.snapshot.embodied_parts {
                let figures = &hardware.figures;
                let labels = [&*figures.name, &*figures.source, &*figures.boundary];
                out.push(&[hardware.part, &hardware.device], &labels, 1.0);
            }
        },
    ),
];
