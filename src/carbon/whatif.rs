//! What the same work would emit elsewhere: grid zones and cloud regions ranked by the grams of one amount of energy.
//!
//! Life-cycle and direct figures are ranked apart, never against each other. The factors are yearly averages.

use std::sync::Arc;

use serde::Serialize;

use super::provider_pue::{self, SourcedPue};
use super::zones::{self, WORLD, ZoneFactor};
use crate::config::Basis;
use crate::units::{Grams, Microjoules, Pue};

/// Somewhere that the work could run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// The grid zone (`FR`), or `provider:region`.
    pub code: Arc<str>,
    /// The zone's English name, or the region's place.
    pub name: Arc<str>,
    /// Which of the two it is.
    pub kind: PlaceKind,
    /// The grid's factor there.
    pub factor: ZoneFactor,
    /// The facility's overhead; absent where it isn't known, and then 1.0 is used.
    pub pue: Option<SourcedPue>,
}

impl Place {
    /// What `energy` of IT equipment emits here, with the facility's overhead.
    pub fn emissions(&self, energy: Microjoules) -> Grams {
        let pue = self.pue.as_ref().map_or(Pue(1.0), |pue| pue.ratio);
        self.factor.intensity.emissions(energy, pue)
    }
}

/// Kinds of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// A country, state, province or bidding zone.
    Zone,
    /// A region of a cloud provider.
    CloudRegion,
}

/// Where the work runs now.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The grid zone, or `provider:region`, in any case of letters.
    pub code: String,
    /// The facility's own overhead; otherwise what is published for the provider.
    pub pue: Option<SourcedPue>,
}

/// A place that is in none of the tables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code:?} is neither in the table of grid zones nor in that of cloud regions{near}; give a zone (FR, US-CA, SE-SE3, \
     \"world\") or provider:region (aws:eu-west-3; providers: alibaba, aws, azure, gcp, oci)"
)]
pub struct UnknownPlace {
    /// What was asked for.
    pub code: String,
    /// Near misses as `; did you mean ...?`, or empty.
    pub near: String,
}

/// A place in a ranking.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// From 1, the least emissions first; places with equal emissions share a rank.
    pub rank: usize,
    /// The place.
    pub place: Place,
    /// What the work emits there.
    pub grams: Grams,
    /// Against the place where the work runs now; absent if that isn't on this basis, or isn't given.
    pub against: Option<Difference>,
}

/// How much more is emitted than elsewhere; negative for less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The difference.
    pub grams: Grams,
    /// The same as a share of what is emitted elsewhere.
    pub ratio: f64,
}

/// All places that are known on one basis, the least emissions first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// What the figures count.
    pub basis: Basis,
    /// The places.
    pub standings: Vec<Standing>,
    /// Where among them the work runs now.
    pub from: Option<usize>,
}

impl Ranking {
    /// The first `limit` places, the one where the work runs now and the last one; all for a limit of 0.
    pub fn shown(&self, limit: usize) -> Vec<&Standing> {
        let last = self.standings.len().saturating_sub(1);
        let wanted = |index: usize| limit == 0 || index < limit || index == last || Some(index) == self.from;
        self.standings.iter().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, one)| one).collect()
    }

    /// Where the work runs now.
    pub fn origin(&self) -> Option<&Standing> {
        self.standings.get(self.from?)
    }

    /// What a move to the best place would save, and from where: the place where the work runs now, else the median.
    ///
    /// `None` where nothing is ranked.
    pub fn saving(&self) -> Option<Saving<'_>> {
        let best = self.standings.first()?;
        let from = self.origin().or_else(|| self.standings.get(self.standings.len() / 2))?;
        Some(Saving { from, best, grams: Grams(from.grams.0 - best.grams.0) })
    }
}

/// What a move saves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saving<'a> {
    /// The place that is left.
    pub from: &'a Standing,
    /// The best place.
    pub best: &'a Standing,
    /// The difference, 0 or more.
    pub grams: Grams,
}

/// Ranks the places known on `basis` by what `energy` emits there; with `only`, those of one kind. The place where the
/// work runs now is always among them, if it is known on that basis.
pub fn rank(energy: Microjoules, basis: Basis, only: Option<PlaceKind>, from: Option<&Origin>) -> Ranking {
    let is_origin =
        |place: &Place| from.is_some_and(|from| place.code.eq_ignore_ascii_case(from.code.trim()));
    let mut places: Vec<(Grams, Place)> = places(basis)
        .filter_map(|mut place| {
            let origin = is_origin(&place);
            if let Some(own) = from.filter(|_| origin).and_then(|from| from.pue.clone()) {
                place.pue = Some(own);
            }
            // The average of all places isn't one to move to.
            let candidate = only.is_none_or(|kind| kind == place.kind) && &*place.code != WORLD;
            (origin || candidate).then(|| (place.emissions(energy), place))
        })
        .collect();
    places.sort_by(|(a, x), (b, y)| a.0.total_cmp(&b.0).then_with(|| x.code.cmp(&y.code)));
    let from = places.iter().position(|(_, place)| is_origin(place));
    let there = from.and_then(|index| places.get(index)).map(|(grams, _)| *grams);
    let mut standings: Vec<Standing> = Vec::with_capacity(places.len());
    for (grams, place) in places {
        let rank = match standings.last() {
            Some(before) if before.grams == grams => before.rank,
            _ => standings.len().saturating_add(1),
        };
        let against = there.map(|there| {
            let more = grams.0 - there.0;
            Difference { grams: Grams(more), ratio: more / there.0 }
        });
        standings.push(Standing { rank, place, grams, against });
    }
    Ranking { basis, standings, from }
}

/// The bases on which a place is known, the life cycle first.
///
/// # Errors
/// It is known on none.
pub fn bases(code: &str) -> Result<Vec<Basis>, UnknownPlace> {
    let code = code.trim();
    let found: Vec<Basis> = [Basis::Lifecycle, Basis::Direct]
        .into_iter()
        .filter(|basis| places(*basis).any(|place| place.code.eq_ignore_ascii_case(code)))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let meant = match code.split_once(':') {
        Some((provider, region)) => zones::cloud_suggestions(provider, region),
        None => zones::suggestions(code),
    };
    Err(UnknownPlace { code: code.to_owned(), near: zones::did_you_mean(&meant) })
}

/// All places that are known on this basis.
fn places(basis: Basis) -> impl Iterator<Item = Place> {
    let zones = zones::all(basis).map(|factor| Place {
        code: Arc::clone(&factor.zone),
        name: Arc::clone(&factor.name),
        kind: PlaceKind::Zone,
        factor,
        pue: None,
    });
    let regions = zones::all_cloud_regions(basis).map(|region| Place {
        code: format!("{}:{}", region.provider, region.region).into(),
        name: region.city.into(),
        kind: PlaceKind::CloudRegion,
        pue: provider_pue::of(&region.provider),
        factor: region.factor,
    });
    zones.chain(regions)
}

#[cfg(test)]
mod tests;
