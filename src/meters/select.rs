//! Which meter is booked where several cover the same slot, and what happens when it fails.
//!
//! A slot is a socket or a die of one component. It remembers until when its energy is booked, and takes a
//! meter's energy only if that was drawn after this time: so nothing is booked twice, whatever fails and comes
//! back. When the chosen meter fails, what the next best says of the time is held back for a grace: a counter
//! that comes back in time covers it all itself; otherwise the substitute is booked, and when the meter comes
//! back later, its first interval overlaps what is booked already and is left out, but for the energy by which it
//! proves that its substitute said too little.

use std::time::Duration;

use crate::meters::{GRACE, MeterId};
use crate::units::{Microjoules, Watts};

/// A counter that answers is given this long to move for the first time before the model is booked: some are
/// brought up to date once a second only.
const FIRST_MOVE: Duration = Duration::from_secs(2);

/// What a meter of a slot says in one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It counted energy since some time before.
    Moved {
        /// How much.
        energy: Microjoules,
        /// When the interval began, with suspend.
        since: Duration,
    },
    /// It answers, but shows no energy yet.
    Standing,
    /// It has shown no energy for so long that it must be dead.
    Stalled,
    /// It doesn't answer, or nothing that can be believed.
    Silent,
}

/// One meter's word on its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Who says it.
    pub id: MeterId,
    /// What it says.
    pub status: Status,
}

/// A part of the energy to book.
#[derive(Clone, Debug, PartialEq)]
pub struct Booking {
    /// The meter, or `None` for the model.
    pub meter: Option<MeterId>,
    /// How much.
    pub energy: Microjoules,
    /// The time that it was drawn in.
    pub elapsed: Duration,
    /// The model's idle power.
    pub idle: Option<Watts>,
    /// Energy of an outage that the meter proves now, beyond what was booked in its place.
    pub is_late: bool,
}

impl Booking {
    /// Joins another part by the same meter to this one.
    fn extend(&mut self, other: &Self) {
        let weight = |booking: &Self| booking.elapsed.as_secs_f64();
        if let (Some(mine), Some(theirs)) = (self.idle, other.idle) {
            let time = weight(self) + weight(other);
            if time > 0.0 {
                self.idle = Some(Watts((mine.0 * weight(self) + theirs.0 * weight(other)) / time));
            }
        }
        self.energy += other.energy;
        self.elapsed += other.elapsed;
    }
}

/// Books one slot's energy.
#[derive(Clone, Debug)]
pub struct Slot {
    chosen: Option<MeterId>,
    booked_until: Duration,
    failing_since: Option<Duration>,
    pending: Vec<Booking>,
    pending_until: Duration,
    /// When the last interval ended that a meter covered itself, and what was booked in its place since.
    covered_until: Duration,
    substituted: Microjoules,
}

impl Slot {
    /// A slot whose energy is booked elsewhere, or not at all, until the given time (with suspend).
    pub const fn new(booked_until: Duration) -> Self {
        Self {
            chosen: None,
            booked_until,
            failing_since: None,
            pending: Vec::new(),
            pending_until: booked_until,
            covered_until: booked_until,
            substituted: Microjoules::ZERO,
        }
    }

    /// The meter in use; `None` for the model.
    pub const fn chosen(&self) -> Option<&MeterId> {
        self.chosen.as_ref()
    }

    /// Until when its energy is booked.
    pub const fn booked_until(&self) -> Duration {
        self.booked_until
    }

    /// One tick: what each meter of the slot says, best meter first, and the model's share of this tick.
    /// Returns what to book now, which may reach back over several ticks, or nothing.
    pub fn tick(&mut self, offers: &[Offer], model: Option<&Booking>, now: Duration) -> Vec<Booking> {
        let chosen = self.chosen.as_ref().and_then(|id| offers.iter().position(|offer| offer.id == *id));
        // The chosen meter itself, or a better one, has energy: it takes over, or goes on.
        let eligible = chosen.map_or(offers, |index| offers.get(..=index).unwrap_or(offers));
        let moved = eligible.iter().find_map(|offer| match offer.status {
            Status::Moved { energy, since } => Some((&offer.id, energy, since)),
            _ => None,
        });
        if let Some((id, energy, since)) = moved {
            let returns = self.chosen.as_ref() == Some(id);
            let own = || Booking {
                meter: Some(id.clone()),
                energy,
                elapsed: now.saturating_sub(since),
                idle: None,
                is_late: false,
            };
            let mut booked = Vec::new();
            let mut covers = true;
            if since == self.booked_until || (since > self.booked_until && returns) {
                // It covers all that was held back; or it jumped, and what it missed is unknown.
                self.pending.clear();
                booked.push(own());
            } else if since >= self.held_until() {
                // Another meter takes over where the held back energy ends.
                booked.append(&mut self.pending);
                booked.push(own());
            } else {
                // A part of it is booked already, by something else: that goes on for this one tick.
                self.hold_back(offers, Some(id), model, now);
                booked.append(&mut self.pending);
                self.substituted += booked.iter().map(|booking| booking.energy).sum();
                booked.extend(self.proven(id, energy, since, now));
                covers = false;
            }
            self.chosen = Some(id.clone());
            self.settle(now);
            if covers {
                self.covered_until = now;
                self.substituted = Microjoules::ZERO;
            }
            return booked;
        }
        let latest = self.hold_back(offers, None, model, now);
        let status = chosen.and_then(|index| offers.get(index)).map(|offer| offer.status);
        let failing_since = *self.failing_since.get_or_insert(now);
        let failing_for = now.saturating_sub(failing_since);
        let may_begin = chosen.is_none() && offers.iter().any(|offer| offer.status == Status::Standing);
        let wait = match status {
            Some(Status::Standing) => true,
            None if may_begin => failing_for < FIRST_MOVE,
            Some(Status::Silent) => failing_for < GRACE,
            Some(Status::Stalled | Status::Moved { .. }) | None => false,
        };
        if wait || self.pending.is_empty() {
            if !wait {
                self.chosen = None;
            }
            return Vec::new();
        }
        if let Some(latest) = latest {
            self.chosen = latest;
        }
        let until = self.pending_until;
        self.settle(until);
        self.substituted += self.pending.iter().map(|booking| booking.energy).sum();
        std::mem::take(&mut self.pending)
    }

    /// What a meter that returns has counted in an outage beyond what was booked in its place, if its interval is
    /// just the outage.
    fn proven(
        &mut self,
        id: &MeterId,
        energy: Microjoules,
        since: Duration,
        now: Duration,
    ) -> Option<Booking> {
        let late = energy.saturating_sub(self.substituted);
        if since != self.covered_until || late.is_zero() {
            return None;
        }
        self.substituted += late;
        let elapsed = now.saturating_sub(since);
        Some(Booking { meter: Some(id.clone()), energy: late, elapsed, idle: None, is_late: true })
    }

    /// The end of the energy that is booked or held back.
    fn held_until(&self) -> Duration {
        if self.pending.is_empty() { self.booked_until } else { self.pending_until }
    }

    fn settle(&mut self, until: Duration) {
        self.booked_until = until;
        self.pending_until = until;
        self.failing_since = None;
    }

    /// Adds to the pending energy what the best substitute says of the time since, and tells which it was.
    fn hold_back(
        &mut self,
        offers: &[Offer],
        except: Option<&MeterId>,
        model: Option<&Booking>,
        now: Duration,
    ) -> Option<Option<MeterId>> {
        let held_until = self.held_until();
        if now <= held_until {
            return None;
        }
        let substitute = offers.iter().filter(|offer| Some(&offer.id) != except).find_map(|offer| {
            let Status::Moved { energy, since } = offer.status else {
                return None;
            };
            (since >= held_until).then(|| Booking {
                meter: Some(offer.id.clone()),
                energy,
                elapsed: now.saturating_sub(since),
                idle: None,
                is_late: false,
            })
        });
        let piece = substitute.or_else(|| model.cloned())?;
        let meter = piece.meter.clone();
        match self.pending.iter_mut().find(|booking| booking.meter == meter) {
            Some(booking) => booking.extend(&piece),
            None => self.pending.push(piece),
        }
        self.pending_until = now;
        Some(meter)
    }
}

#[cfg(test)]
mod tests;
