//! The areas that generation is reported for.

use std::sync::Arc;

use serde::Deserialize;

use crate::carbon::zones::rows;

const ZONES: &str = include_str!("../../../../data/entsoe_zones.csv");

/// One area.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Area {
    /// Its grid zone, as it is labelled.
    pub(super) zone: Arc<str>,
    /// Its energy identification code.
    pub(super) eic: Arc<str>,
}

/// A row of `entsoe_zones.csv`.
#[derive(Debug, Deserialize)]
struct Row {
    zone: String,
    eic: String,
}

/// The area of a grid zone or with an EIC code. One that isn't in the table is labelled with its code.
///
/// # Errors
/// What is wrong with the text.
pub(super) fn find(text: &str) -> Result<Area, String> {
    let row = rows::<Row>(ZONES).find(|row| row.zone.eq_ignore_ascii_case(text) || row.eic == text);
    match row {
        Some(row) => Ok(Area { zone: row.zone.into(), eic: row.eic.into() }),
        None if text.len() != 16 => Err(format!(
            "entsoe has no zone {text}: give one such as DE, FR, DK-DK1, SE-SE3 or IT-NORD, or an area's EIC code of \
             16 characters"
        )),
        None if is_eic(text) => Ok(Area { zone: text.into(), eic: text.into() }),
        None => Err(format!("{text} isn't an EIC code: its check character is wrong")),
    }
}

/// Whether the last character is the one that the 15 before it ask for: 36 minus their sum weighted by 16 to 2, modulo
/// 37, with a hyphen for 36 (ENTSO-E, EIC Reference Manual).
fn is_eic(code: &str) -> bool {
    let value = |c: char| match c {
        '-' => Some(36),
        '0'..='9' | 'A'..='Z' => c.to_digit(36),
        _ => None,
    };
    let Some(values) = code.chars().map(value).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    let [body @ .., check] = values.as_slice() else {
        return false;
    };
    let sum: u32 = body.iter().zip((2..=16).rev()).map(|(value, weight)| value * weight).sum();
    body.len() == 15 && *check == 36 - (sum + 36) % 37
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::carbon::zones::by_zone;

    #[derive(Debug, Deserialize)]
    struct WholeRow {
        zone: String,
        eic: String,
        name: String,
        source: String,
        licence: String,
    }

    #[test]
    fn each_row_is_complete_and_its_code_has_the_right_check_character() {
        let table: Vec<WholeRow> =
            csv::Reader::from_reader(ZONES.as_bytes()).into_deserialize().map(|row| row.unwrap()).collect();
        assert!(table.len() > 50, "{}", table.len());
        let (mut zones, mut codes) = (HashSet::new(), HashSet::new());
        for row in table {
            assert!(is_eic(&row.eic), "{row:?}");
            for text in [&row.name, &row.source, &row.licence] {
                assert!(!text.trim().is_empty(), "{row:?}");
            }
            // A country is one that the yearly table has too; Kosovo isn't in any of its sources.
            let country = row.zone.split('-').next().unwrap();
            assert!(country == "XK" || by_zone(country, None).is_some(), "{row:?}");
            assert!(zones.insert(row.zone.clone()) && codes.insert(row.eic.clone()), "{row:?} stands twice");
        }
    }

    #[test]
    fn zones_and_codes_are_found_and_slips_are_told() {
        for (text, zone, eic) in [
            ("FR", "FR", "10YFR-RTE------C"),
            ("de", "DE", "10Y1001A1001A82H"),
            ("dk-dk2", "DK-DK2", "10YDK-2--------M"),
            ("10Y1001A1001A46L", "SE-SE3", "10Y1001A1001A46L"),
            // The control area of TransnetBW, which isn't a zone of the table.
            ("10YDE-ENBW-----N", "10YDE-ENBW-----N", "10YDE-ENBW-----N"),
        ] {
            assert_eq!(find(text), Ok(Area { zone: zone.into(), eic: eic.into() }), "{text}");
        }
        for (text, part) in [
            ("US-CA", "no zone US-CA"),
            ("GB", "no zone GB"),
            ("", "no zone"),
            ("10YDE-ENBW-----M", "check character"),
            ("10YDE_ENBW-----N", "check character"),
            ("10YDE-ENBW----é", "check character"),
        ] {
            assert!(find(text).unwrap_err().contains(part), "{text}");
        }
    }
}
