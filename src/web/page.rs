//! The status page: what a person wants to know first, in plain HTML that needs nothing else.

mod gpus;
mod grid;

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use super::{VERSION, api};
use crate::meters::Component;
use crate::snapshot::{Snapshot, Title, WorkloadTotals};
use crate::units::{Grams, Microjoules, Watts};
use crate::workloads::owner::Owner;

/// Forbids scripts and everything from elsewhere; only the page's own style is left.
pub(super) const SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// How many workloads the page shows.
const TOP: usize = 10;

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:60em;margin:0 auto;padding:0 1em}\
    .wide{overflow-x:auto}table{border-collapse:collapse}\
    th,td{border-bottom:1px solid #999;padding:.2em .8em .2em 0;text-align:left;vertical-align:top}\
    td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}";

/// The page. `now` is on the snapshot's monotonic clock.
pub(super) fn render(snapshot: Option<&Snapshot>, telemetry_path: &str, now: Duration) -> String {
    let mut html = String::with_capacity(8 * 1024);
    // Writing to a String can't fail.
    let _ = write_page(&mut html, snapshot, telemetry_path, now);
    html
}

fn write_page(
    html: &mut String,
    snapshot: Option<&Snapshot>,
    telemetry_path: &str,
    now: Duration,
) -> fmt::Result {
    write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"10\">\
         <title>wattprint</title><style>{STYLE}</style></head><body>\n\
         <h1>wattprint {VERSION}</h1>\n"
    )?;
    match snapshot {
        None => html.write_str("<p>The first sample isn't there yet.</p>\n")?,
        Some(snapshot) => {
            write_node(html, snapshot, now)?;
            gpus::write(html, snapshot)?;
            write_workloads(html, snapshot)?;
            write_meters(html, snapshot)?;
            write_collectors(html, snapshot)?;
        }
    }
    html.write_str("<h2>Endpoints</h2>\n<ul>\n")?;
    for (path, what) in [
        (telemetry_path, "metrics for Prometheus"),
        (api::SNAPSHOT, "the same and more as JSON"),
        ("/-/healthy", "whether sampling makes progress"),
        ("/-/ready", "whether there is a first sample"),
    ] {
        writeln!(html, "<li><a href=\"{0}\">{0}</a>: {what}</li>", Escaped(path))?;
    }
    html.write_str("</ul>\n</body></html>\n")
}

fn write_node(html: &mut String, snapshot: &Snapshot, now: Duration) -> fmt::Result {
    let age = now.saturating_sub(snapshot.monotonic);
    writeln!(
        html,
        "<p>Sample {} of {:.1} s ago; one every {} s.</p>",
        snapshot.sequence,
        age.as_secs_f64(),
        snapshot.interval.as_secs_f64(),
    )?;
    grid::write(html, snapshot)?;
    html.write_str("<h2>Node</h2>\n")?;
    let mut columns = vec![("Component", false), ("Power", true), ("Energy", true)];
    columns.extend(masses(snapshot).map(|kind| (kind.title(), true)));
    columns.push(("Quality", false));
    open_table(html, &columns)?;
    let mut sums = masses(snapshot).map(|kind| (kind, None)).collect::<Vec<_>>();
    for component in Component::ALL {
        let totals = snapshot.components.iter().find(|totals| totals.component == component);
        let embodied = snapshot.embodied.iter().find(|totals| totals.component == component);
        if totals.is_none() && embodied.is_none() {
            continue;
        }
        write!(
            html,
            "<tr><td>{}</td>{}{}",
            component.as_str(),
            Number(totals.and_then(|totals| totals.power).map(Power)),
            Number(totals.map(|totals| Energy(totals.energy))),
        )?;
        for (kind, sum) in &mut sums {
            let grams = match kind {
                MassKind::Location => totals.map(|totals| totals.emissions),
                MassKind::Market => totals.and_then(|totals| totals.market_emissions),
                MassKind::Embodied => embodied.map(|totals| totals.emissions),
            };
            *sum = added(*sum, grams);
            match (kind, grams) {
                // Making it is in the component `other`.
                (MassKind::Embodied, None) => html.write_str("<td></td>")?,
                _ => write!(html, "{}", Number(grams.map(Mass)))?,
            }
        }
        writeln!(html, "<td>{}</td></tr>", totals.map_or("", |totals| totals.quality.as_str()))?;
    }
    let power = snapshot.components.iter().filter_map(|totals| totals.power).reduce(|a, b| a + b);
    let energy = snapshot.components.iter().map(|totals| totals.energy).sum();
    write!(html, "<tr><th>All</th>{}{}", Number(power.map(Power)), Number(Some(Energy(energy))))?;
    for (_, sum) in sums {
        write!(html, "{}", Number(sum.map(Mass)))?;
    }
    html.write_str("<td></td></tr>\n")?;
    close_table(html)?;
    html.write_str("<p>Energy and CO2e since the daemon started.")?;
    if snapshot.market.is_some() {
        html.write_str(" Market-based CO2e is another view of the same energy, not to be added.")?;
    }
    html.write_str("</p>\n")
}

/// A column of CO2e.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MassKind {
    Location,
    Market,
    Embodied,
}

impl MassKind {
    const fn title(self) -> &'static str {
        match self {
            Self::Location => "CO2e",
            Self::Market => "Market-based CO2e",
            Self::Embodied => "Embodied CO2e",
        }
    }
}

/// The kinds that are counted here.
fn masses(snapshot: &Snapshot) -> impl Iterator<Item = MassKind> {
    let market = snapshot.market.is_some().then_some(MassKind::Market);
    let embodied = (!snapshot.embodied.is_empty()).then_some(MassKind::Embodied);
    [Some(MassKind::Location), market, embodied].into_iter().flatten()
}

fn added(sum: Option<Grams>, grams: Option<Grams>) -> Option<Grams> {
    let Some(grams) = grams else { return sum };
    let mut sum = sum.unwrap_or_default();
    sum += grams;
    Some(sum)
}

fn write_workloads(html: &mut String, snapshot: &Snapshot) -> fmt::Result {
    let mut live: Vec<(Watts, &WorkloadTotals)> = snapshot
        .workloads
        .iter()
        .filter(|totals| !totals.ended)
        .map(|totals| (power(totals), totals))
        .collect();
    live.sort_by(|(a, _), (b, _)| b.0.total_cmp(&a.0));
    writeln!(
        html,
        "<h2>Workloads</h2>\n<p>{} of {} running ones, by power.</p>",
        live.len().min(TOP),
        live.len()
    )?;
    let mut columns = vec![("Kind", false), ("Name", false), ("Power", true), ("Energy", true)];
    columns.extend(masses(snapshot).map(|kind| (kind.title(), true)));
    open_table(html, &columns)?;
    for (power, totals) in live.into_iter().take(TOP) {
        let energy = totals.energy.iter().map(|cell| cell.energy).sum();
        write!(
            html,
            "<tr><td>{}</td><td>{}</td>{}{}",
            totals.owner.kind().as_str(),
            Escaped(&name(totals)),
            Number(Some(Power(power))),
            Number(Some(Energy(energy))),
        )?;
        for kind in masses(snapshot) {
            let cells = totals.components.iter();
            let sum = match kind {
                MassKind::Location => cells.map(|cell| Some(cell.emissions)).fold(None, added),
                MassKind::Market => cells.map(|cell| cell.market_emissions).fold(None, added),
                MassKind::Embodied => {
                    totals.embodied.iter().map(|cell| Some(cell.emissions)).fold(None, added)
                }
            };
            write!(html, "{}", Number(sum.map(Mass)))?;
        }
        html.write_str("</tr>\n")?;
    }
    close_table(html)
}

fn power(totals: &WorkloadTotals) -> Watts {
    totals.components.iter().filter_map(|cell| cell.power).fold(Watts::default(), |sum, power| sum + power)
}

/// What a person calls the owner.
fn name(totals: &WorkloadTotals) -> String {
    let title = Title::of(&totals.owner, totals.facts.as_ref(), &totals.title.container_id);
    let joined =
        |parts: [&str; 3]| parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    match &*totals.owner {
        Owner::Container { .. } | Owner::Pod { .. } => {
            let pod = match (&*title.namespace, &*title.pod) {
                (_, "") => String::new(),
                ("", pod) => format!("pod {pod}"),
                (namespace, pod) => format!("pod {namespace}/{pod}"),
            };
            joined([&title.container, &title.container_id, &pod])
        }
        Owner::Unit { unit } => unit.to_string(),
        Owner::Job { manager, id, .. } => {
            joined([&format!("{} {id}", manager.as_str()), &title.job_name, &title.user])
        }
        Owner::Vm { name } => name.to_string(),
        Owner::System => "system".to_owned(),
    }
}

fn write_meters(html: &mut String, snapshot: &Snapshot) -> fmt::Result {
    html.write_str("<h2>Meters</h2>\n")?;
    open_table(
        html,
        &[("Meter", false), ("State", false), ("Feeds", false), ("Quality", false), ("Why", false)],
    )?;
    for meter in &snapshot.meters {
        writeln!(
            html,
            "<tr><td>{} {} {}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            Escaped(meter.id.meter),
            meter.id.domain.as_str(),
            Escaped(&meter.id.device),
            if meter.up { "up" } else { "down" },
            meter.feeds.map_or("nothing", Component::as_str),
            meter.quality.as_str(),
            Escaped(&meter.reason),
        )?;
    }
    close_table(html)
}

fn write_collectors(html: &mut String, snapshot: &Snapshot) -> fmt::Result {
    html.write_str("<h2>Collectors</h2>\n")?;
    open_table(html, &[("Collector", false), ("State", false), ("Took", true)])?;
    for status in &snapshot.collectors {
        let state = match &status.last_error {
            Some(error) => error,
            None if status.success => "ok",
            None => "failed",
        };
        let took = status.duration.map(|took| format!("{:.1} ms", took.as_secs_f64() * 1e3));
        writeln!(
            html,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td></tr>",
            Escaped(status.collector),
            Escaped(state),
            took.unwrap_or_default(),
        )?;
    }
    close_table(html)
}

/// Begins a table; `true` marks a column of numbers.
fn open_table(html: &mut String, columns: &[(&str, bool)]) -> fmt::Result {
    html.write_str("<div class=\"wide\"><table>\n<tr>")?;
    for (title, number) in columns {
        let class = if *number { " class=\"n\"" } else { "" };
        write!(html, "<th{class}>{title}</th>")?;
    }
    html.write_str("</tr>\n")
}

fn close_table(html: &mut String) -> fmt::Result {
    html.write_str("</table></div>\n")
}

/// A cell with a number, or with a dash where it isn't known.
struct Number<T>(Option<T>);

impl<T: Display> Display for Number<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(number) => write!(f, "<td class=\"n\">{number}</td>"),
            None => f.write_str("<td class=\"n\">unknown</td>"),
        }
    }
}

struct Power(Watts);

impl Display for Power {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} W", self.0.0)
    }
}

struct Energy(Microjoules);

impl Display for Energy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let watt_hours = self.0.as_joules() / 3600.0;
        if watt_hours < 1000.0 {
            write!(f, "{watt_hours:.3} Wh")
        } else {
            write!(f, "{:.3} kWh", watt_hours / 1000.0)
        }
    }
}

struct Mass(Grams);

impl Display for Mass {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} g", self.0.0)
    }
}

/// Text that is safe in an element and in a quoted attribute.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // Control characters aren't allowed in HTML, not even escaped.
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fixture;

    #[test]
    fn shows_totals_names_and_reasons() {
        let snapshot = fixture::snapshot();
        let html = render(Some(&snapshot), "/metrics", snapshot.monotonic + Duration::from_secs(2));
        for expected in [
            VERSION,
            "of 2.0 s ago",
            "<tr><td>cpu</td><td class=\"n\">42.00 W</td>",
            "<td class=\"n\">unknown</td>",
            "0123456789ab pod 6f1d",
            "ssh.service",
            "slurm 4711",
            "no permission to read energy_uj",
            "/proc isn&#39;t readable",
            "<h2>GPUs</h2>",
            "<td class=\"n\">83 %</td><td class=\"n\">3</td><td>sm_util</td>",
            "<td>call hangs</td>",
            "<th class=\"n\">Market-based CO2e</th><th class=\"n\">Embodied CO2e</th>",
            "<tr><td>other</td><td class=\"n\">unknown</td><td class=\"n\">unknown</td>",
            "href=\"/metrics\"",
            "href=\"/api/v1/snapshot\"",
            "href=\"/-/healthy\"",
        ] {
            assert!(html.contains(expected), "{expected} isn't in {html}");
        }
        assert!(!html.contains("gone.service"), "an ended workload is among those running");
    }

    #[test]
    fn names_can_not_become_markup() {
        let html = render(Some(&fixture::snapshot()), "/metrics", Duration::ZERO);
        assert!(html.contains("&lt;script&gt;&quot;&amp;&#39;\u{fffd}"), "{html}");
        assert!(!html.contains("<script"));
    }

    #[test]
    fn has_something_to_say_before_the_first_sample() {
        let html = render(None, "/metrics", Duration::ZERO);
        assert!(html.contains("isn't there yet") && html.contains("href=\"/metrics\""));
    }
}
