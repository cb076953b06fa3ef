//! The platform's XML: a generation and load document (IEC 62325-451-6), or an acknowledgement that says why there is
//! none (IEC 62325-451-1).
//!
//! Elements are known by their local names, since the namespaces' versions change. A document type declaration is
//! refused, and with it all entities.

use std::collections::BTreeSet;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use roxmltree::{Document, Node};

use super::super::time;
use crate::carbon::grid::FetchResult;
use crate::carbon::http::brief;
use crate::units::UnixTime;

/// ENTSO-E's list has 25 types.
const MAX_TYPES: usize = 64;
/// A week of quarters.
const MAX_POSITIONS: u32 = 700;
/// A generator of this many megawatts isn't on Earth.
const MAX_MEGAWATTS: f64 = 1e7;

/// The power of all plants of one type over a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Output {
    /// The code of the type.
    pub(super) psr_type: String,
    /// When.
    pub(super) time: Range<UnixTime>,
    /// The mean power; not below 0.
    pub(super) megawatts: f64,
}

/// A generation document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Contents {
    /// What was generated.
    pub(super) outputs: Vec<Output>,
    /// All types that the document has a series of, even one without values.
    pub(super) reported: BTreeSet<String>,
    /// Points that had to be left out, as their quantity isn't a believable number.
    pub(super) unusable: usize,
}

/// Why there is nothing to be had.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    /// The kind.
    pub(super) result: FetchResult,
    /// What it is.
    pub(super) text: String,
    /// Whether the platform itself says so.
    pub(super) is_acknowledgement: bool,
}

impl Fault {
    fn new(result: FetchResult, text: impl Into<String>) -> Self {
        Self { result, text: text.into(), is_acknowledgement: false }
    }

    fn malformed(what: &str) -> Self {
        Self::new(FetchResult::Decode, format!("not the XML that was expected: {what}"))
    }
}

/// Reads a document about the area with this EIC code.
///
/// A part that isn't understood fails the whole: without the series of a coal plant, say, the rest would look clean.
///
/// # Errors
/// It isn't such a document, is about another area, or says that there is no data.
pub(super) fn read(body: &[u8], eic: &str) -> Result<Contents, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::malformed("not UTF-8"))?;
    let document = Document::parse(text).map_err(|error| Fault::malformed(&error.to_string()))?;
    let root = document.root_element();
    match root.tag_name().name() {
        "GL_MarketDocument" => generation(root, eic),
        "Acknowledgement_MarketDocument" => Err(acknowledgement(root)),
        other => Err(Fault::malformed(&format!("it is a {}", brief(other)))),
    }
}

fn generation(root: Node<'_, '_>, eic: &str) -> Result<Contents, Fault> {
    let mut contents = Contents::default();
    for series in children(root, "TimeSeries") {
        let Some(area) = text(series, "inBiddingZone_Domain.mRID") else {
            // What plants of this type consumed, such as pumps: not generation.
            if text(series, "outBiddingZone_Domain.mRID").is_some() {
                continue;
            }
            return Err(Fault::malformed("a series names no bidding zone"));
        };
        if area != eic {
            let text = format!("it is about {} and not {eic}", brief(area));
            return Err(Fault::new(FetchResult::ZoneMismatch, text));
        }
        let psr_type = child(series, "MktPSRType").and_then(|kind| text(kind, "psrType"));
        let psr_type = psr_type.ok_or_else(|| Fault::malformed("a series without psrType"))?;
        if text(series, "quantity_Measure_Unit.name").is_some_and(|unit| unit != "MAW") {
            return Err(Fault::malformed("a series that isn't in megawatts (MAW)"));
        }
        contents.reported.insert(psr_type.to_owned());
        if contents.reported.len() > MAX_TYPES {
            return Err(Fault::malformed("more types of plants than there are"));
        }
        // A03: blocks of variable size, where a position that is left out has the value of the one before it.
        let in_blocks = text(series, "curveType") == Some("A03");
        for period in children(series, "Period") {
            read_period(period, psr_type, in_blocks, &mut contents)?;
        }
    }
    Ok(contents)
}

fn read_period(
    period: Node<'_, '_>,
    psr_type: &str,
    in_blocks: bool,
    contents: &mut Contents,
) -> Result<(), Fault> {
    let border =
        |name| child(period, "timeInterval").and_then(|interval| text(interval, name)).and_then(time);
    let (Some(start), Some(end)) = (border("start"), border("end")) else {
        return Err(Fault::malformed("a period without a time interval"));
    };
    let step = text(period, "resolution").and_then(resolution);
    let step = step.ok_or_else(|| Fault::malformed("a resolution other than PT15M, PT30M and PT60M"))?;
    let at = |position: u32| start.after(step * position.saturating_sub(1)).min(end);
    // What a position says: nothing where its quantity can't be used, so that no earlier one takes its place.
    let mut points: Vec<(u32, Option<f64>)> = Vec::new();
    for point in children(period, "Point") {
        let position =
            number::<u32>(point, "position").filter(|position| (1..=MAX_POSITIONS).contains(position));
        let position = position.ok_or_else(|| Fault::malformed("a point without a position"))?;
        let quantity = number::<f64>(point, "quantity").filter(|megawatts| megawatts.abs() <= MAX_MEGAWATTS);
        contents.unusable += usize::from(quantity.is_none());
        points.push((position, quantity));
    }
    // Stable, so that of two points at one position the last one comes last; the one before it gets no time.
    points.sort_by_key(|(position, _)| *position);
    let next = points.iter().skip(1).map(|(position, _)| Some(*position)).chain([None]);
    for ((position, quantity), next) in points.iter().zip(next) {
        let block_end = next.map_or(end, at);
        let until = if in_blocks { block_end } else { block_end.min(at(position + 1)) };
        let time = at(*position)..until;
        if let Some(megawatts) = quantity.filter(|_| time.start < time.end) {
            // Plants that draw more than they give generate nothing.
            let megawatts = megawatts.max(0.0);
            contents.outputs.push(Output { psr_type: psr_type.to_owned(), time, megawatts });
        }
    }
    Ok(())
}

/// The reasons of an acknowledgement. Code 999 stands for many things, so only its text tells that there is no data.
fn acknowledgement(root: Node<'_, '_>) -> Fault {
    let reasons: Vec<String> = children(root, "Reason")
        .map(|reason| {
            let code = text(reason, "code").unwrap_or("?");
            format!("{} (reason {})", brief(text(reason, "text").unwrap_or("no text")), brief(code))
        })
        .collect();
    let says_no_data = |reason: &String| reason.to_lowercase().contains("no matching data");
    let no_data = !reasons.is_empty() && reasons.iter().all(says_no_data);
    let text = if reasons.is_empty() { "refused without a reason".to_owned() } else { reasons.join("; ") };
    Fault {
        result: if no_data { FetchResult::Empty } else { FetchResult::Rejected },
        text: brief(&text),
        is_acknowledgement: true,
    }
}

fn resolution(text: &str) -> Option<Duration> {
    let minutes = match text {
        "PT15M" => 15,
        "PT30M" => 30,
        "PT60M" | "PT1H" => 60,
        _ => return None,
    };
    Some(Duration::from_secs(minutes * 60))
}

fn children<'a, 'input>(node: Node<'a, 'input>, name: &str) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    children(node, name).next()
}

/// The text of a child, without white space around; none where it is empty.
fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text().map(str::trim).filter(|text| !text.is_empty())
}

fn number<T: FromStr>(node: Node<'_, '_>, name: &str) -> Option<T> {
    text(node, name)?.parse().ok()
}

#[cfg(test)]
mod tests;
