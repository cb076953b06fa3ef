//! How dirty the electricity was: from energy to grams of CO2 equivalent.
//!
//! [`zones`] looks up embedded yearly averages by grid zone or cloud region; [`factors`] picks the one that
//! applies from the settings. Every factor says what it covers (life cycle or direct emissions), of which year
//! it is and who published it: factors of different basis or vintage aren't comparable.

pub mod factors;
pub mod zones;
