//! The declarations: name, meaning, labels and source of every exported figure.

mod daemon;
mod embodied;
mod grid;
mod hardware;
mod owners;

use super::{Family, Kind, Samples, Source};

/// The labels of a container.
const CONTAINER: [&str; 5] = ["namespace", "pod", "container", "container_id", "runtime"];

/// The owner's labels, then those of the family.
const fn with<const A: usize, const B: usize, const N: usize>(
    owner: [&'static str; A],
    own: [&'static str; B],
) -> [&'static str; N] {
    assert!(N == A + B);
    let mut all = [""; N];
    let mut at = 0;
    while at < N {
        all[at] = if at < A { owner[at] } else { own[at - A] };
        at += 1;
    }
    all
}

pub(super) const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(Source<'_>, &mut Samples),
) -> Family {
    Family { name, help, kind: Kind::Counter, labels, samples }
}

pub(super) const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
    samples: fn(Source<'_>, &mut Samples),
) -> Family {
    Family { name, help, kind: Kind::Gauge, labels, samples }
}

/// All families, in the order of the text.
pub fn families() -> impl Iterator<Item = &'static Family> {
    let rest = [hardware::FAMILIES, grid::FAMILIES, embodied::FAMILIES, daemon::FAMILIES];
    owners::FAMILIES.into_iter().chain(rest).flatten()
}

/// A count as a float: Prometheus has no other numbers, and is exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
fn count(number: u64) -> f64 {
    number as f64
}
