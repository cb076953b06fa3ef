//! The rankings for a person.

use std::collections::BTreeSet;
use std::io::{self, Write};

use crate::carbon::equivalences::Equivalent;
use crate::carbon::whatif::{Difference, Standing};
use crate::cli::quantity::{figures, mass};
use crate::cli::regions::{List, Move, Report};
use crate::config::Basis;

/// The equivalents that are shown; JSON has all.
const EQUIVALENTS: [&str; 3] = ["car_eu_km", "car_us_km", "tree_month"];

/// Longer names are cut.
const NAME: usize = 28;

/// Columns whose text is aligned to the left: the place and its name.
const LEFT: [usize; 2] = [1, 2];

/// Writes the lists, one after the other, and what isn't in them.
pub(super) fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} kWh of IT energy", figures(report.energy_kwh))?;
    for list in &report.lists {
        write_list(list, out)?;
    }
    let shown = report.lists.iter().flat_map(|list| &list.ranking);
    let overheads: BTreeSet<String> = shown
        .filter_map(|one| one.place.pue.as_ref())
        .map(|pue| format!("PUE {}: {}", pue.ratio.0, pue.source))
        .collect();
    writeln!(out)?;
    for overhead in overheads {
        writeln!(out, "{overhead}")?;
    }
    for caveat in report.caveats {
        writeln!(out, "{caveat}")?;
    }
    Ok(())
}

fn write_list(list: &List<'_>, out: &mut dyn Write) -> io::Result<()> {
    let what = match list.basis {
        Basis::Lifecycle => "Life-cycle emissions (fuel supply and building the plants counted)",
        Basis::Direct => "Direct emissions (only what leaves the stacks)",
    };
    writeln!(out, "\n{what}: {} places", list.places)?;
    if let Some(reason) = &list.no_comparison {
        writeln!(out, "{reason}")?;
    }
    let against = list.from.map_or(String::new(), |from| format!("against {}", from.place.code));
    let header = ["rank", "place", "name", "g/kWh", "year", "PUE", "CO2e", &against].map(str::to_owned);
    let rows = list.ranking.iter().map(|one| cells(one, list.from));
    let table: Vec<[String; 8]> = std::iter::once(header).chain(rows).collect();
    write_table(&table, out)?;
    match &list.saving {
        Some(saving) => write_saving(saving, list.from.is_some(), out),
        None => Ok(()),
    }
}

fn cells(one: &Standing, from: Option<&Standing>) -> [String; 8] {
    let place = &one.place;
    let against = match one.against {
        _ if from.is_some_and(|from| from.place.code == place.code) => "from here".to_owned(),
        Some(difference) => more(difference),
        None => String::new(),
    };
    [
        one.rank.to_string(),
        place.code.to_string(),
        place.name.chars().take(NAME).collect(),
        figures(place.factor.intensity.0),
        place.factor.year.to_string(),
        place.pue.as_ref().map_or("-".to_owned(), |pue| pue.ratio.0.to_string()),
        mass(one.grams),
        against,
    ]
}

/// `+1.20 kg (+25 %)`.
fn more(difference: Difference) -> String {
    let sign = if difference.grams.0 > 0.0 { "+" } else { "" };
    format!("{sign}{} ({:+.0} %)", mass(difference.grams), difference.ratio * 100.0)
}

fn write_table(table: &[[String; 8]], out: &mut dyn Write) -> io::Result<()> {
    let mut widths = [0; 8];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in table {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if LEFT.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let line: Vec<String> = cells.collect();
        writeln!(out, "  {}", line.join("  ").trim_end())?;
    }
    Ok(())
}

fn write_saving(saving: &Move<'_>, asked: bool, out: &mut dyn Write) -> io::Result<()> {
    let Move { from, to, grams, equivalents } = saving;
    if from == to {
        return writeln!(out, "{from} is the best place of this list");
    }
    let median = if asked { "" } else { ", the median place," };
    write!(out, "From {from}{median} to {to}: {} less", mass(*grams))?;
    let like: Vec<String> = EQUIVALENTS
        .iter()
        .filter_map(|name| equivalents.iter().find(|one| &*one.name == *name))
        .map(phrase)
        .collect();
    if !like.is_empty() {
        write!(out, ", about {}", like.join(", or "))?;
    }
    writeln!(out)
}

fn phrase(one: &Equivalent) -> String {
    format!("{} {} {}", figures(one.amount), one.unit, one.label)
}
