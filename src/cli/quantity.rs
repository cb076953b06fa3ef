//! Quantities as people write them on the command line (`120kWh`, `1.5 MWh`, `350 W`, `15`), and masses as they read
//! them.
//!
//! The case of a unit is free except for the prefix `M`: `mWh` and `mJ` would be a billionth of what was meant.

use std::time::Duration;

use crate::units::{Grams, Microjoules, Watts, floor_to_u64};

/// Joules in a watt-hour, by definition.
const WATT_HOUR: f64 = 3_600.0;
const HOUR_SECONDS: f64 = 3_600.0;

/// Units of energy in joules.
const ENERGIES: &[(&str, f64)] = &[
    ("J", 1.0),
    ("kJ", 1e3),
    ("MJ", 1e6),
    ("GJ", 1e9),
    ("Wh", WATT_HOUR),
    ("kWh", 1e3 * WATT_HOUR),
    ("MWh", 1e6 * WATT_HOUR),
    ("GWh", 1e9 * WATT_HOUR),
];

/// Units of power in watts.
const POWERS: &[(&str, f64)] = &[("W", 1.0), ("kW", 1e3), ("MW", 1e6), ("GW", 1e9)];

/// The most hours that are taken: a century.
const MAX_HOURS: f64 = 876_600.0;

/// A quantity that can't be used; says what can.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum QuantityError {
    /// Not a number above 0, or no unit of this kind.
    #[error("must be a number above 0 and a unit, such as {example} (units: {units})")]
    Form { example: &'static str, units: String },
    /// More than [`Microjoules`] hold.
    #[error("is more than 5.1 GWh (18 TJ), the most that can be counted")]
    TooMuch,
    /// Not a time that a piece of work takes.
    #[error("must be a number of hours above 0 and at most {MAX_HOURS}")]
    Hours,
}

/// The energy that a text means, to the microjoule.
///
/// # Errors
/// Not a number above 0 with a unit of energy, or more than 5.1 GWh.
pub(super) fn energy(text: &str) -> Result<Microjoules, QuantityError> {
    let joules = amount(text, ENERGIES).ok_or_else(|| form("120kWh", ENERGIES))?;
    counted(joules)
}

/// The power that a text means.
///
/// # Errors
/// Not a number above 0 with a unit of power.
pub(super) fn power(text: &str) -> Result<Watts, QuantityError> {
    amount(text, POWERS).map(Watts).ok_or_else(|| form("8kW", POWERS))
}

/// The time that a number of hours means; `h` may follow it.
///
/// # Errors
/// Not a number above 0, or more than a century.
pub(super) fn hours(text: &str) -> Result<Duration, QuantityError> {
    let number = text.trim().trim_end_matches('h').trim_end();
    let hours = number.parse::<f64>().ok().filter(|hours| *hours > 0.0 && *hours <= MAX_HOURS);
    hours
        .and_then(|hours| Duration::try_from_secs_f64(hours * HOUR_SECONDS).ok())
        .filter(|time| !time.is_zero())
        .ok_or(QuantityError::Hours)
}

/// The energy of this power over this time.
///
/// # Errors
/// More than 5.1 GWh, or less than a microjoule.
pub(super) fn over(power: Watts, time: Duration) -> Result<Microjoules, QuantityError> {
    counted(power.0 * time.as_secs_f64())
}

/// A mass in the unit that fits, with three figures: `850 g`, `5.30 kg`, `-1.25 t`.
pub(super) fn mass(grams: Grams) -> String {
    let (value, unit) = match grams.0.abs() {
        size if size < 999.5 => (grams.0, "g"),
        size if size < 999.5e3 => (grams.0 / 1e3, "kg"),
        _ => (grams.0 / 1e6, "t"),
    };
    format!("{} {unit}", figures(value))
}

/// A number with three figures, or all of those before its point.
pub(super) fn figures(value: f64) -> String {
    let decimals = match value.abs() {
        size if size == 0.0 || size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// Joules as the integer that energy is everywhere else.
fn counted(joules: f64) -> Result<Microjoules, QuantityError> {
    match Microjoules::new(floor_to_u64((joules * 1e6).round())) {
        Microjoules::ZERO => Err(form("120kWh", ENERGIES)),
        // The conversion stops at the top.
        Microjoules::MAX => Err(QuantityError::TooMuch),
        energy => Ok(energy),
    }
}

/// A number above 0 and a unit of these, in the unit that is worth 1.
fn amount(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    // No unit begins with the letter of an exponent.
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E'))?;
    let (number, unit) = text.split_at(unit_at);
    let means = |known: &str| known == unit || (known.eq_ignore_ascii_case(unit) && !unit.starts_with('m'));
    let (_, worth) = units.iter().find(|(known, _)| means(known))?;
    let value = number.trim_end().parse::<f64>().ok()? * worth;
    (value > 0.0 && value.is_finite()).then_some(value)
}

fn form(example: &'static str, units: &[(&str, f64)]) -> QuantityError {
    let units: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    QuantityError::Form { example, units: units.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energies_are_exact_to_the_microjoule() {
        for (text, microjoules) in [
            ("120kWh", 432_000_000_000_000),
            (" 1.5 MWh ", 5_400_000_000_000_000),
            ("3.6MJ", 3_600_000_000_000),
            ("500 Wh", 1_800_000_000_000),
            ("1e3J", 1_000_000_000),
            ("2E-6 J", 2),
            ("1 kwh", 3_600_000_000_000),
            ("1KWH", 3_600_000_000_000),
            ("0.1 kJ", 100_000_000),
            ("2 GJ", 2_000_000_000_000_000),
            ("5 GWh", 18_000_000_000_000_000_000),
        ] {
            assert_eq!(energy(text), Ok(Microjoules::new(microjoules)), "{text}");
        }
    }

    #[test]
    fn powers_are_watts() {
        for (text, watts) in [("8kW", 8_000.0), ("350 W", 350.0), ("1.2MW", 1_200_000.0), ("2 gw", 2e9)] {
            assert_eq!(power(text), Ok(Watts(watts)), "{text}");
        }
    }

    #[test]
    fn what_is_not_meant_is_refused() {
        let bad = "|kWh|120|0kWh|-1kWh|nan kWh|inf kWh|1,5 kWh|1 200 kWh|12 kW|1 mWh|1 mJ|1e400kWh|1e-9 J|1 kWh/d|٣kWh";
        for text in bad.split('|') {
            assert!(matches!(energy(text), Err(QuantityError::Form { .. })), "{text}: {:?}", energy(text));
        }
        for text in ["", "W", "8", "0 W", "-8kW", "8 kWh", "8 mW", "8 J"] {
            assert!(matches!(power(text), Err(QuantityError::Form { .. })), "{text}: {:?}", power(text));
        }
        for text in ["6 GWh", "18.5e6 MJ", "1e300 J"] {
            assert_eq!(energy(text), Err(QuantityError::TooMuch), "{text}");
        }
        for text in ["", "h", "0", "-1", "nan", "1e9", "1 day", "1e-20"] {
            assert_eq!(hours(text), Err(QuantityError::Hours), "{text}");
        }
    }

    #[test]
    fn power_over_hours_is_energy() {
        let fifteen = hours("15").unwrap();
        assert_eq!(hours("15 h"), Ok(fifteen));
        assert_eq!(hours("0.5"), Ok(Duration::from_secs(1_800)));
        assert_eq!(over(Watts(8_000.0), fifteen), energy("120kWh"));
        assert_eq!(over(Watts(1e9), fifteen), Err(QuantityError::TooMuch));
    }

    #[test]
    fn masses_have_the_unit_that_fits() {
        for (grams, text) in [
            (0.0, "0 g"),
            (0.123, "0.12 g"),
            (5.3, "5.30 g"),
            (99.96, "100 g"),
            (850.0, "850 g"),
            (999.7, "1.00 kg"),
            (5_301.6, "5.30 kg"),
            (-41_296.0, "-41.3 kg"),
            (999_600.0, "1.00 t"),
            (1.25e9, "1250 t"),
        ] {
            assert_eq!(mass(Grams(grams)), text, "{grams}");
        }
    }

    #[test]
    fn the_errors_say_what_is_allowed() {
        assert_eq!(
            energy("12").unwrap_err().to_string(),
            "must be a number above 0 and a unit, such as 120kWh (units: J, kJ, MJ, GJ, Wh, kWh, MWh, GWh)"
        );
        assert_eq!(
            power("12").unwrap_err().to_string(),
            "must be a number above 0 and a unit, such as 8kW (units: W, kW, MW, GW)"
        );
    }
}
