//! Who may connect and ask, and who gives way once all places are taken.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Limits;

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A header has begun, or the connection is new.
    Header,
    /// An answer is on its way.
    Answer,
    /// The answer has gone out; the next header hasn't begun.
    Idle,
}

#[derive(Debug)]
struct Connection {
    phase: Phase,
    /// Tells two answers in a row from one long one.
    changes: u64,
    /// Since when it has been without a request, or its answer under way. The first bytes of a header don't
    /// count: else a client that sends some of them now and then would never be the one to give way.
    since: Instant,
    /// The server has taken over all of the answer.
    answered: bool,
    /// The answer has a place among those in flight.
    counted: bool,
    task: Option<AbortHandle>,
}

impl Connection {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.changes = self.changes.wrapping_add(1);
        self.answered = false;
        if phase != Phase::Header {
            self.since = Instant::now();
        }
    }

    /// Its answer, if any, has been under way for so long that others go first.
    fn gives_way(&self, after: Duration) -> bool {
        self.phase != Phase::Answer || self.since.elapsed() >= after
    }
}

#[derive(Debug, Default)]
struct Table {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    /// How many of the connections are `counted`.
    requests: usize,
}

impl Table {
    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.requests -= usize::from(connection.counted);
        Some(connection)
    }

    /// Without a request for longest; if none is, the answer under way for longest.
    fn to_cut(&self, after: Duration) -> Option<u64> {
        let candidates = self.connections.iter().filter(|(_, connection)| connection.gives_way(after));
        candidates
            .min_by_key(|(_, connection)| (connection.phase == Phase::Answer, connection.since))
            .map(|(id, _)| *id)
    }

    /// The counted answer that has been under way for longest.
    fn longest_counted(&mut self, after: Duration) -> Option<&mut Connection> {
        let counted = self.connections.values_mut().filter(|connection| connection.counted);
        counted.filter(|connection| connection.gives_way(after)).min_by_key(|connection| connection.since)
    }
}

/// The places for connections and for requests in flight.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    table: Mutex<Table>,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, table: Mutex::default() })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection; where none is free, another connection is cut. `None` if none gives way.
    pub(super) fn connect(self: &Arc<Self>) -> Option<Arc<Client>> {
        let mut table = self.table();
        let cut = if table.connections.len() < self.limits.max_connections {
            None
        } else {
            let id = table.to_cut(self.limits.yield_after)?;
            table.remove(id).and_then(|connection| connection.task)
        };
        let id = table.next;
        table.next = id.wrapping_add(1);
        table.connections.insert(
            id,
            Connection {
                phase: Phase::Header,
                changes: 0,
                since: Instant::now(),
                answered: false,
                counted: false,
                task: None,
            },
        );
        drop(table);
        if let Some(task) = cut {
            task.abort();
        }
        Some(Arc::new(Client { places: Arc::clone(self), id }))
    }
}

/// One connection's place, free again once dropped. After the connection had to give way, all it is told is
/// without effect.
#[derive(Debug)]
pub(super) struct Client {
    places: Arc<Places>,
    id: u64,
}

impl Client {
    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        self.places.table().connections.get_mut(&self.id).map(act)
    }

    /// What to stop when the connection has to give way.
    pub(super) fn runs_as(&self, task: AbortHandle) {
        let had_to_go = self.with(|connection| connection.task = Some(task.clone())).is_none();
        if had_to_go {
            task.abort();
        }
    }

    /// The phase and how often it has changed.
    pub(super) fn phase(&self) -> (Phase, u64) {
        self.with(|connection| (connection.phase, connection.changes)).unwrap_or((Phase::Idle, 0))
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        self.with(|connection| {
            if connection.phase == Phase::Idle {
                connection.enter(Phase::Header);
            }
        });
    }

    /// A header is complete; its answer is on its way.
    pub(super) fn answer(&self) {
        self.with(|connection| connection.enter(Phase::Answer));
    }

    /// A place for this connection's request among those in flight; where none is free, the one of an answer
    /// that takes long. A connection has one at most.
    pub(super) fn count(&self) -> bool {
        let limits = self.places.limits;
        let mut table = self.places.table();
        if table.connections.get(&self.id).is_none_or(|connection| connection.counted) {
            return true;
        }
        if table.requests < limits.max_requests {
            table.requests += 1;
        } else if let Some(longest) = table.longest_counted(limits.yield_after) {
            longest.counted = false;
        } else {
            return false;
        }
        if let Some(connection) = table.connections.get_mut(&self.id) {
            connection.counted = true;
        }
        true
    }

    /// The server has taken over all of the answer.
    pub(super) fn answered(&self) {
        self.with(|connection| connection.answered = true);
    }

    /// All that the server had to send was handed to the socket.
    pub(super) fn flushed(&self) {
        let mut table = self.places.table();
        let Some(connection) = table.connections.get_mut(&self.id) else { return };
        if connection.phase == Phase::Answer && connection.answered {
            connection.enter(Phase::Idle);
            if std::mem::take(&mut connection.counted) {
                table.requests -= 1;
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.places.table().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn places(max_connections: usize, max_requests: usize, yield_after: Duration) -> Arc<Places> {
        Places::new(Limits { max_connections, max_requests, yield_after, ..Limits::default() })
    }

    fn is_there(client: &Client) -> bool {
        client.with(|_| ()).is_some()
    }

    /// A task that never ends by itself.
    fn task() -> (tokio::task::JoinHandle<()>, AbortHandle) {
        let task = tokio::spawn(std::future::pending());
        let handle = task.abort_handle();
        (task, handle)
    }

    #[tokio::test]
    async fn who_has_been_without_a_request_for_longest_is_cut() {
        let places = places(3, 9, LONG);
        let [first, second, third] = [(); 3].map(|()| places.connect().unwrap());
        let (ended, handle) = task();
        second.runs_as(handle);
        first.answer();
        third.answer();
        third.answered();
        third.flushed();
        // Half a header doesn't make the second one any younger.
        second.received();
        let fourth = places.connect().unwrap();
        assert!(ended.await.unwrap_err().is_cancelled());
        assert!(is_there(&first) && !is_there(&second) && is_there(&third));
        let fifth = places.connect().unwrap();
        assert!(!is_there(&third));
        for client in [&fourth, &fifth] {
            client.answer();
        }
        assert!(places.connect().is_none(), "an answer that has just begun was cut");
        drop(first);
        assert!(places.connect().is_some());
    }

    #[tokio::test]
    async fn the_longest_answer_is_cut_where_all_are_answered() {
        let places = places(2, 9, Duration::ZERO);
        let clients = [(); 2].map(|()| places.connect().unwrap());
        clients[1].answer();
        clients[0].answer();
        let _third = places.connect().unwrap();
        assert!(is_there(&clients[0]) && !is_there(&clients[1]));
    }

    #[test]
    fn a_request_counts_until_it_is_flushed() {
        let places = places(9, 1, LONG);
        let [first, second] = [(); 2].map(|()| places.connect().unwrap());
        first.answer();
        assert!(first.count());
        assert!(first.count(), "one connection takes two places");
        second.answer();
        assert!(!second.count());
        first.flushed();
        assert!(!second.count(), "the body hadn't been taken over yet");
        first.answered();
        first.flushed();
        assert!(second.count());
        first.answer();
        assert!(!first.count());
        drop(second);
        assert!(first.count());
    }

    #[test]
    fn a_long_answer_gives_its_place_away_and_stays() {
        let places = places(9, 1, Duration::ZERO);
        let [first, second] = [(); 2].map(|()| places.connect().unwrap());
        for client in [&first, &second] {
            client.answer();
            assert!(client.count());
        }
        assert!(is_there(&first));
        // Its end frees no place that it no longer has.
        drop(first);
        assert_eq!(places.table().requests, 1);
        drop(second);
        assert_eq!(places.table().requests, 0);
    }
}
