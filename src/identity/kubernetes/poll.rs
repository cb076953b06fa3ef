//! Sources that must be asked: when somebody shows up whose name isn't known, and now and then in any case.

use std::collections::HashMap;
use std::time::Duration;

use super::roster::Roster;
use super::sighting::Sighting;
use crate::identity::{IdentityError, Job, NameSource, Wanted};
use crate::workloads::owner::Owner;

/// How often everything is read again.
const PERIOD: Duration = Duration::from_secs(30);
/// Only every so many looks is one at the list.
const LOOKS_APART: u32 = 3;
/// How often one owner is asked for between two of these. Some are never found: pause containers aren't in any list of pods.
const MOST_TRIES: u8 = 8;

/// A job that reads all pods; `grace` is how long the names of pods stay that are gone.
pub(super) fn job(
    mut read: impl FnMut() -> Result<Vec<Sighting>, IdentityError> + Send + 'static,
    grace: Duration,
) -> Job {
    let mut roster = Roster::new(grace);
    let mut strangers = Strangers::default();
    // It is read at least that often, so this clock is never ahead of the real one.
    let mut now = Duration::ZERO;
    let mut last = Ok(());
    let mut since_read = LOOKS_APART;
    let look = move |look: crate::identity::Look<'_>, board: &crate::identity::NameBoard| {
        if look.is_full {
            now = now.saturating_add(PERIOD);
            strangers = Strangers::default();
        }
        // With much coming and going there is a stranger at each look; a list is long.
        since_read = since_read.saturating_add(1);
        if !look.is_full && (since_read < LOOKS_APART || !strangers.are_among(look.wanted)) {
            return last.clone();
        }
        since_read = 0;
        last = read().map(|seen| {
            roster.replace(seen, now);
            roster.expire(now);
            if let Some(names) = roster.take_news() {
                board.set_owners(NameSource::Kubernetes, names);
            }
        });
        last.clone()
    };
    Job { name: super::NAME, period: PERIOD, look: Box::new(look) }
}

/// Those in pods who have no name yet, and how often they were asked for.
#[derive(Debug, Default)]
struct Strangers {
    tries: HashMap<Box<str>, u8>,
}

impl Strangers {
    /// Whether there is anybody for whom it is worth asking.
    fn are_among(&mut self, wanted: &Wanted) -> bool {
        let unnamed = wanted.owners.iter().filter(|wanted| !wanted.is_named);
        let keys = unnamed.filter_map(|wanted| match &*wanted.owner {
            Owner::Container { id, pod_uid, .. } if !pod_uid.is_empty() => Some(id),
            Owner::Pod { pod_uid } => Some(pod_uid),
            _ => None,
        });
        let mut tries = HashMap::new();
        let mut is_worth_it = false;
        for key in keys {
            let before = self.tries.get(key).copied().unwrap_or(0);
            is_worth_it |= before < MOST_TRIES;
            tries.insert(key.clone(), before.saturating_add(1));
        }
        self.tries = tries;
        is_worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Look, NameBoard, WantedOwner};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn somebody(id: &str, is_named: bool) -> WantedOwner {
        let owner = Owner::Pod { pod_uid: id.into() };
        WantedOwner { owner: Arc::new(owner), pids: Vec::new(), is_named }
    }

    #[test]
    fn it_asks_for_each_stranger_a_few_times_and_keeps_saying_how_it_fared() {
        let (asked, count) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let counted = Arc::clone(&asked);
        let mut job = job(
            move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Err(IdentityError::new("can't be reached", "there"))
            },
            Duration::ZERO,
        );
        let board = NameBoard::new();
        let mut look = |is_full, owners| {
            let wanted = Wanted { generation: 0, owners };
            assert!((job.look)(Look { wanted: &wanted, is_full }, &board).is_err());
            let now = asked.load(Ordering::Relaxed);
            now - count.swap(now, Ordering::Relaxed)
        };
        assert_eq!(look(true, vec![]), 1);
        assert_eq!(look(false, vec![somebody("a", true)]), 0);
        let tries: u32 = (0..40).map(|_| look(false, vec![somebody("a", false)])).sum();
        assert_eq!(tries, u32::from(MOST_TRIES));
        assert_eq!(look(false, vec![somebody("a", false), somebody("b", false)]), 1);
        assert_eq!(look(true, vec![somebody("a", false)]), 1);
    }
}
