//! How dirty the electricity was: from energy to grams of CO2 equivalent.
//!
//! [`providers`] ask live sources in threads of their own, as often as `schedule` says, and put what they get as
//! [`series`] on the [`grid::GridBoard`]. [`pricing`] picks the figure that holds at a moment: the preferred source's,
//! else the next one's, else the embedded yearly average ([`zones`], [`factors`]). Every figure says what it covers (life
//! cycle or direct emissions), who says so and how good it is; figures of different kinds are never mixed.

pub mod amortise;
mod data_file;
pub mod embodied;
pub mod equivalences;
pub mod factors;
pub mod fetch;
pub mod forecast;
pub mod fuels;
pub mod grid;
pub mod http;
pub mod market;
pub mod pricing;
pub mod provider_pue;
pub mod providers;
pub mod pue;
pub(crate) mod schedule;
pub mod secret;
pub mod series;
pub mod whatif;
pub mod zones;
