//! What energy and hardware cause.

use std::ops::AddAssign;

use crate::carbon::pricing::Rates;
use crate::units::{Grams, Litres, Microjoules, Pue};

/// Emissions by how they are counted, and water. The kinds are never added up: location and market are two views of the
/// same electricity (GHG Protocol Scope 2), embodied emissions are another scope. One that isn't counted stays 0 and
/// isn't shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Footprint {
    /// Location-based emissions of the electricity, the facility's overhead included.
    pub location: Grams,
    /// Market-based emissions of the same electricity.
    pub market: Grams,
    /// Emissions of making the hardware.
    pub embodied: Grams,
    /// Water that the site used.
    pub water: Litres,
}

impl Footprint {
    /// That of energy.
    pub fn of(energy: Microjoules, rates: &Rates) -> Self {
        // The overhead is in the rates already.
        let once = Pue(1.0);
        Self {
            location: rates.location.emissions(energy, once),
            market: rates.market.map(|rate| rate.emissions(energy, once)).unwrap_or_default(),
            embodied: Grams::default(),
            water: rates.water.map(|rate| rate.water(energy)).unwrap_or_default(),
        }
    }
}

impl AddAssign for Footprint {
    fn add_assign(&mut self, other: Self) {
        self.location += other.location;
        self.market += other.market;
        self.embodied += other.embodied;
        self.water += other.water;
    }
}
