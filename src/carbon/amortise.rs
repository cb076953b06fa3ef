//! Embodied emissions, spread evenly over the life of the hardware.
//!
//! SCI (ISO/IEC 21031:2024) has M = TE x TS x RS: the emissions of making a part, times the share of its life that
//! passes, times the share of it that somebody has. TE and TS are here; RS comes from who used what. Only time in which
//! the daemon runs counts: neither its downtime nor that of the machine does, nor is the machine's suspend.

use std::sync::Arc;
use std::time::Duration;

use crate::carbon::embodied::{EmbodiedPart, Parts, parts};
use crate::config;
use crate::units::Grams;

/// A Julian year: 365.25 days.
const SECONDS_PER_YEAR: f64 = 31_557_600.0;

/// Which figures are used, and over what time.
#[derive(Clone, Debug)]
pub struct Plan {
    parts: Parts,
    /// In seconds.
    lifespan: f64,
}

impl Plan {
    /// By the settings; none unless embodied emissions are counted, or where the figures in the settings can't all hold,
    /// which [`parts`] tells.
    pub fn new(settings: &config::Embodied) -> Option<Self> {
        settings.enabled.then_some(())?;
        Some(Self { parts: parts(settings).ok()?, lifespan: settings.lifespan_years * SECONDS_PER_YEAR })
    }

    /// The server without its GPUs; none where nothing is known of it.
    pub fn server(&self) -> Option<Amortised> {
        Some(self.amortised(self.parts.server.clone()?))
    }

    /// A GPU of a model; none where nothing is known of it.
    pub fn gpu(&self, model: &str) -> Option<Amortised> {
        Some(self.amortised(self.parts.gpu(model)?))
    }

    fn amortised(&self, part: EmbodiedPart) -> Amortised {
        Amortised { part: Arc::new(part), lifespan: self.lifespan, passed: Duration::ZERO }
    }
}

/// A part whose time passes.
#[derive(Clone, Debug)]
pub struct Amortised {
    part: Arc<EmbodiedPart>,
    /// In seconds.
    lifespan: f64,
    passed: Duration,
}

impl Amortised {
    /// The part.
    pub fn part(&self) -> &Arc<EmbodiedPart> {
        &self.part
    }

    /// Lets time pass and gives its emissions. All that were given add up to those of the whole time, however short each
    /// stretch was. They go on beyond the lifespan, as the part still serves.
    pub fn pass(&mut self, elapsed: Duration) -> Grams {
        let before = self.total();
        self.passed = self.passed.saturating_add(elapsed);
        Grams(self.total() - before)
    }

    fn total(&self) -> f64 {
        self.part.kilograms.in_grams().0 * self.passed.as_secs_f64() / self.lifespan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> config::Embodied {
        config::Embodied { enabled: true, server_kg: Some(1_000.0), ..config::Embodied::default() }
    }

    #[test]
    fn a_server_of_a_tonne_costs_28_5_g_an_hour_over_four_years() {
        let mut server = Plan::new(&settings()).unwrap().server().unwrap();
        let grams = server.pass(Duration::from_secs(3_600)).0;
        assert!((grams - 1_000_000.0 / 35_064.0).abs() < 1e-12, "{grams}");
    }

    #[test]
    fn ten_million_short_ticks_lose_nothing() {
        let mut server = Plan::new(&settings()).unwrap().server().unwrap();
        let tick = Duration::from_nanos(100_000_123);
        let sum: f64 = (0..10_000_000).map(|_| server.pass(tick).0).sum();
        let whole = 1e6 * tick.as_secs_f64() * 1e7 / (4.0 * SECONDS_PER_YEAR);
        assert!((sum / whole - 1.0).abs() < 1e-9, "{sum} isn't {whole}");
    }

    #[test]
    fn a_gpu_of_which_nothing_is_known_has_no_emissions() {
        let plan = Plan::new(&settings()).unwrap();
        assert!(plan.gpu("H100 80GB HBM3").is_some() && plan.gpu("unheard of").is_none());
    }

    #[test]
    fn nothing_is_counted_unless_asked_for() {
        assert!(Plan::new(&config::Embodied::default()).is_none());
    }
}
