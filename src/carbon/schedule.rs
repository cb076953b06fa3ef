//! When a source is asked next: a fleet spreads evenly, and leaves alone whoever can't answer.
//!
//! Nothing here reads a clock. Waits are lengths of time, each bounded, so a wall clock that steps by hours neither
//! silences a source nor makes anybody ask twice.

use std::time::Duration;

use fastrand::Rng;

use crate::carbon::grid::{FetchError, FetchResult};
use crate::carbon::providers::Pace;
use crate::units::UnixTime;

/// No source is asked more often than this, whatever its pace says.
const SHORTEST: Duration = Duration::from_secs(1);
/// With data of an earlier run there is no hurry: the first requests are spread over a period, but not over more than this.
const KEPT_SPREAD: Duration = Duration::from_secs(300);
/// The longest random wait after the first failure; it doubles with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(5);
/// The longest random wait after any failure that may pass by itself.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(15 * 60);
/// The wait after a failure that somebody has to mend.
const SLOW: Duration = Duration::from_secs(3600);
/// The wait after a file couldn't be read: somebody may be about to put it there, and no provider is bothered.
const FILE: Duration = Duration::from_secs(60);
/// The longest that a provider's own word (`Retry-After`) is obeyed.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// So much later than its turn a request may begin without losing the next one; see [`Schedule::aligned`].
const SLACK: Duration = Duration::from_secs(5);
/// No round of requests takes longer than this; where it seems to, the wall clock was set in between.
const LONGEST_ROUND: Duration = Duration::from_secs(120);
/// From this many failures in a row on, a credential that was good once counts as withdrawn.
const WITHDRAWN: u32 = 8;

/// A number that stays the same for the same texts on every machine and in every version, and differs for others:
/// FNV-1a (Fowler, Noll and Vo) of 64 bits.
pub(crate) fn identity(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// When one source is asked by one node.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    floor: Duration,
    period: Duration,
    /// The node's turn within each period of the wall clock.
    phase: Duration,
    /// The node's turn after a start, from 0 up to 1.
    turn: f64,
    rng: Rng,
    failures: u32,
    succeeded: bool,
}

impl Schedule {
    /// The schedule of the node and source that `identity` stands for. `rng` jitters what happens to many nodes at the
    /// same moment, so it must differ between nodes.
    pub(super) fn new(pace: Pace, identity: u64, rng: Rng) -> Self {
        let floor = pace.floor.max(SHORTEST);
        let period = pace.period.max(floor);
        let mut fixed = Rng::with_seed(identity);
        let phase = Duration::from_millis(fixed.u64(0..millis(period)));
        Self { floor, period, phase, turn: fixed.f64(), rng, failures: 0, succeeded: false }
    }

    /// How long to wait for the first request: some part of `startup_spread`, or, with data kept from an earlier run,
    /// of a period or 5 min, whichever is shorter. Each node has its own, and the same at each start.
    pub(super) fn first(&self, has_data: bool, startup_spread: Duration) -> Duration {
        let spread = if has_data { self.period.min(KEPT_SPREAD) } else { startup_spread };
        spread.mul_f64(self.turn)
    }

    /// How long to wait for the next request after a round that began at `asked` and ended `now`, both by the wall
    /// clock, and failed or didn't.
    ///
    /// After success the node waits for its turn in the next period; a well-formed answer without a value doesn't
    /// change that. After a failure that may pass it waits for a random part of a time that doubles from 5 s to 15 min,
    /// on top of the floor. Where it asked too much, the random part is as long as a period or 5 min at least, on top of
    /// what the provider asks for (up to 1 h). A failure that somebody must mend makes it wait 45 to 75 min, an
    /// unreadable file up to 1 min. 401 after success is first taken for asking too much, since Electricity Maps answers
    /// so when calls overlap.
    pub(super) fn next(&mut self, asked: UnixTime, now: UnixTime, failure: Option<&FetchError>) -> Duration {
        self.succeeded |= failure.is_none();
        let Some(error) = failure.filter(|error| error.result != FetchResult::Empty) else {
            self.failures = 0;
            return self.aligned(asked, now);
        };
        self.failures = self.failures.saturating_add(1);
        let passing_auth = self.succeeded && self.failures < WITHDRAWN;
        match error.result {
            FetchResult::File => FILE.min(self.period).mul_f64(0.75 + 0.25 * self.rng.f64()),
            FetchResult::Auth if passing_auth => self.ease_off(error.retry_after.unwrap_or_default()),
            FetchResult::RateLimited => self.ease_off(error.retry_after.unwrap_or_default()),
            FetchResult::Auth
            | FetchResult::Forbidden
            | FetchResult::NotFound
            | FetchResult::Rejected
            | FetchResult::ZoneMismatch
            | FetchResult::Redirect => {
                let slow = SLOW.mul_f64(0.75 + 0.5 * self.rng.f64());
                slow.max(self.back_off(error.retry_after))
            }
            FetchResult::Server
            | FetchResult::Timeout
            | FetchResult::Network
            | FetchResult::Tls
            | FetchResult::TooLarge
            | FetchResult::Decode
            | FetchResult::Empty
            | FetchResult::NotAsked
            | FetchResult::Success => self.back_off(error.retry_after),
        }
    }

    /// Until the node's next turn on the wall clock, the floor being counted from the beginning of the last round.
    ///
    /// Where floor and period are equal, a request that began a bit after its turn would always be too late for the
    /// next one. So that one may begin as late itself.
    fn aligned(&self, asked: UnixTime, now: UnixTime) -> Duration {
        let took = Some(now.since(asked)).filter(|took| *took <= LONGEST_ROUND).unwrap_or_default();
        let least = self.floor.saturating_sub(took);
        let earliest = now.after(least);
        let (period, phase) = (millis(self.period), millis(self.phase));
        let from = earliest.before(SLACK.min(self.floor / 2)).as_millis();
        let since_turn = (from % period + period - phase) % period;
        let turn = UnixTime::from_millis(from.saturating_add((period - since_turn) % period));
        turn.since(now).max(least)
    }

    fn back_off(&mut self, retry_after: Option<Duration>) -> Duration {
        match retry_after {
            Some(asked_for) => self.ease_off(asked_for),
            None => self.floor + self.longest_back_off().mul_f64(self.rng.f64()),
        }
    }

    /// Leaves alone who is asked too much. Since everybody may have been told the same moment, they don't return at once.
    fn ease_off(&mut self, asked_for: Duration) -> Duration {
        let jitter = self.longest_back_off().max(self.period.min(KEPT_SPREAD));
        asked_for.min(LONGEST_RETRY_AFTER).max(self.floor) + jitter.mul_f64(self.rng.f64())
    }

    fn longest_back_off(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        FIRST_BACK_OFF.saturating_mul(1 << doublings).min(LONGEST_BACK_OFF)
    }
}

fn millis(time: Duration) -> u64 {
    UnixTime::since_epoch(time).as_millis()
}

#[cfg(test)]
// Its figures are for the documentation.
#[allow(clippy::print_stdout)]
mod fleet;
#[cfg(test)]
mod tests;
