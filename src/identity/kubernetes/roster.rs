//! The pods that are there and those that were until lately.
//!
//! Series of an owner that ended are shown for a while, and so its names stay for longer than that. What hasn't changed stays
//! where it is in memory, as whoever looks at the names compares pointers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::sighting::Sighting;
use crate::identity::{ContainerFacts, OwnerNames, PodFacts};

/// Living pods; the kubelet's own limit is far below.
const MOST_PODS: usize = 10_000;
/// Names of the departed.
const MOST_DEPARTED: usize = 20_000;

/// One pod.
#[derive(Debug, Default)]
struct Known {
    uids: Vec<Box<str>>,
    pod: Arc<PodFacts>,
    containers: Vec<(Box<str>, Arc<ContainerFacts>)>,
}

/// A name that nobody uses any more.
#[derive(Debug)]
enum Departed {
    Pod(Box<str>, Arc<PodFacts>),
    Container(Box<str>, Arc<ContainerFacts>),
}

/// All pods. Times are since some begin, and never fall.
#[derive(Debug)]
pub(super) struct Roster {
    pods: HashMap<Box<str>, Known>,
    /// Until when each is kept, the first to go first.
    departed: VecDeque<(Duration, Departed)>,
    /// How long the departed are kept.
    grace: Duration,
    has_news: bool,
}

impl Roster {
    /// An empty one.
    pub(super) fn new(grace: Duration) -> Self {
        Self { pods: HashMap::new(), departed: VecDeque::new(), grace, has_news: false }
    }

    /// Takes in a pod that is new or has changed.
    pub(super) fn apply(&mut self, seen: Sighting, now: Duration) {
        if !self.pods.contains_key(&seen.key) && self.pods.len() >= MOST_PODS {
            return;
        }
        let known = self.pods.entry(seen.key).or_default();
        let mut before: HashMap<_, _> = std::mem::take(&mut known.containers).into_iter().collect();
        let mut is_new = false;
        for (id, facts) in seen.containers {
            let facts = match before.remove(&id) {
                Some(same) if *same == facts => same,
                _ => {
                    is_new = true;
                    Arc::new(facts)
                }
            };
            known.containers.push((id, facts));
        }
        if *known.pod != seen.facts {
            is_new = true;
            known.pod = Arc::new(seen.facts);
        }
        if known.uids != seen.uids {
            is_new = true;
            known.uids = seen.uids;
        }
        self.has_news |= is_new;
        // What is departed stays on the board, so this is no news.
        for (id, facts) in before {
            self.retire(Departed::Container(id, facts), now);
        }
    }

    /// Takes note that a pod is gone.
    pub(super) fn remove(&mut self, key: &str, now: Duration) {
        let Some(known) = self.pods.remove(key) else { return };
        for uid in known.uids {
            self.retire(Departed::Pod(uid, Arc::clone(&known.pod)), now);
        }
        for (id, facts) in known.containers {
            self.retire(Departed::Container(id, facts), now);
        }
    }

    /// Takes in all pods that there are.
    pub(super) fn replace(&mut self, seen: Vec<Sighting>, now: Duration) {
        let keys: HashSet<Box<str>> = seen.iter().map(|sighting| sighting.key.clone()).collect();
        let gone: Vec<Box<str>> = self.pods.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        for key in gone {
            self.remove(&key, now);
        }
        for sighting in seen {
            self.apply(sighting, now);
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: Duration) {
        while self.departed.front().is_some_and(|(until, _)| *until <= now) {
            self.departed.pop_front();
            self.has_news = true;
        }
    }

    /// Whether there is something that [`Self::take_news`] hasn't told yet.
    pub(super) fn has_news(&self) -> bool {
        self.has_news
    }

    /// Whether no pod is there.
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// All names, if any has changed since this was asked last.
    pub(super) fn take_news(&mut self) -> Option<OwnerNames> {
        if !std::mem::take(&mut self.has_news) {
            return None;
        }
        let mut names = OwnerNames::default();
        for (_, departed) in &self.departed {
            match departed {
                Departed::Pod(uid, facts) => drop(names.pods.insert(uid.clone(), Arc::clone(facts))),
                Departed::Container(id, facts) => {
                    drop(names.containers.insert(id.clone(), Arc::clone(facts)));
                }
            }
        }
        // The living come last: where one has the name of a departed one, as a static pod that was made again, it wins.
        for known in self.pods.values() {
            names.pods.extend(known.uids.iter().map(|uid| (uid.clone(), Arc::clone(&known.pod))));
            let containers = known.containers.iter();
            names.containers.extend(containers.map(|(id, facts)| (id.clone(), Arc::clone(facts))));
        }
        Some(names)
    }

    fn retire(&mut self, departed: Departed, now: Duration) {
        if self.departed.len() >= MOST_DEPARTED {
            self.departed.pop_front();
            self.has_news = true;
        }
        self.departed.push_back((now.saturating_add(self.grace), departed));
    }
}
