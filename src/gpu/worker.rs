//! Threads that call drivers: one for each device, and one for each backend that finds them.
//!
//! A call may never return, so nobody waits for a thread or joins one: it is asked through one channel and answers
//! through another, with the number that it was started under. It ends when its requests are closed, at once or
//! after the call that it hangs in, and says so last of all.
//!
//! The threads have stacks of the usual size: nobody knows how much a driver's library needs, an overflow would end
//! the daemon, and what isn't touched costs nothing.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::gpu::{
    BackendFailure, DeviceFailure, DeviceReader, DeviceReading, Found, GpuBackend, Now, Search, Tick,
};

/// What a thread says. `generation` is its number.
#[derive(Debug)]
pub(super) enum Event {
    /// A device answered.
    Read {
        /// Who.
        generation: u64,
        /// When the call returned.
        returned: Tick,
        /// What it read.
        result: Result<Box<DeviceReading>, DeviceFailure>,
    },
    /// A backend answered.
    Searched {
        /// Who.
        generation: u64,
        /// What came of it.
        outcome: Searched,
    },
    /// The thread is about to end, and what it owned is dropped.
    Ended {
        /// Who.
        generation: u64,
    },
}

/// What came of a search.
#[derive(Debug)]
pub(super) enum Searched {
    /// There is no driver.
    Absent(BackendFailure),
    /// There is one; no search was asked for.
    Present,
    /// The search succeeded.
    Found(Search),
    /// It failed.
    Failed(BackendFailure),
}

/// What a backend is asked.
#[derive(Debug)]
enum Request {
    /// Whether there is a driver.
    Look,
    /// To search, if there is a driver; perhaps with everything forgotten before.
    Find { anew: bool },
    /// To forget everything.
    Forget,
    /// To drop what nobody needs: that may hang as well as any call.
    Discard(Vec<Found>),
}

/// Says that its thread ends, even if that is by a panic.
struct Farewell {
    generation: u64,
    events: Sender<Event>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Ended { generation: self.generation });
    }
}

/// The thread of one device. Dropping this lets the thread end.
#[derive(Debug)]
pub(super) struct Worker {
    generation: u64,
    requests: SyncSender<()>,
}

impl Worker {
    /// Starts a thread that owns `reader`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        name: String,
        generation: u64,
        reader: DeviceReader,
        now: Now,
        events: Sender<Event>,
    ) -> io::Result<Self> {
        let (requests, inbox) = sync_channel(1);
        let farewell = Farewell { generation, events };
        thread::Builder::new().name(name).spawn(move || work(&farewell, reader, &now, &inbox))?;
        Ok(Self { generation, requests })
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Asks for a reading. False if the thread is gone.
    pub(super) fn ask(&self) -> bool {
        self.requests.try_send(()).is_ok()
    }
}

fn work(farewell: &Farewell, mut reader: DeviceReader, now: &Now, inbox: &Receiver<()>) {
    while inbox.recv().is_ok() {
        let result = reader(now).map(Box::new);
        let read = Event::Read { generation: farewell.generation, returned: now.get(), result };
        if farewell.events.send(read).is_err() {
            return;
        }
    }
}

/// The thread of one backend. Dropping this lets the thread end.
#[derive(Debug)]
pub(super) struct Supervisor {
    generation: u64,
    requests: Sender<Request>,
}

impl Supervisor {
    /// Starts a thread that owns `backend`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(
        generation: u64,
        backend: Box<dyn GpuBackend>,
        events: Sender<Event>,
    ) -> io::Result<Self> {
        let (requests, inbox) = channel();
        let farewell = Farewell { generation, events };
        thread::Builder::new()
            .name(format!("gpu-{}", backend.name()))
            .spawn(move || supervise(&farewell, backend, &inbox))?;
        Ok(Self { generation, requests })
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Asks whether there is a driver. False if the thread is gone; so below.
    pub(super) fn look(&self) -> bool {
        self.requests.send(Request::Look).is_ok()
    }

    /// Asks for a search.
    pub(super) fn find(&self, anew: bool) -> bool {
        self.requests.send(Request::Find { anew }).is_ok()
    }

    /// Asks it to forget the library.
    pub(super) fn forget(&self) -> bool {
        self.requests.send(Request::Forget).is_ok()
    }

    /// Has readers dropped that nobody needs.
    pub(super) fn discard(&self, found: Vec<Found>) {
        if !found.is_empty() {
            let _ = self.requests.send(Request::Discard(found));
        }
    }
}

fn supervise(farewell: &Farewell, mut backend: Box<dyn GpuBackend>, inbox: &Receiver<Request>) {
    while let Ok(request) = inbox.recv() {
        let outcome = match request {
            Request::Look => backend.absent().map_or(Searched::Present, Searched::Absent),
            Request::Find { anew } => search(&mut *backend, anew),
            Request::Forget => {
                backend.forget();
                continue;
            }
            Request::Discard(found) => {
                drop(found);
                continue;
            }
        };
        let searched = Event::Searched { generation: farewell.generation, outcome };
        if farewell.events.send(searched).is_err() {
            return;
        }
    }
}

fn search(backend: &mut dyn GpuBackend, anew: bool) -> Searched {
    if anew {
        backend.forget();
    }
    if let Some(failure) = backend.absent() {
        return Searched::Absent(failure);
    }
    backend.find().map_or_else(Searched::Failed, Searched::Found)
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Duration;

    use super::*;
    use crate::gpu::Consequence;

    /// What a library may put on the stack.
    const DEEP: usize = 768 * 1024;
    /// No answer takes this long, however busy the machine is.
    const NEVER: Duration = Duration::from_secs(30);

    #[inline(never)]
    fn deep() -> u8 {
        let buffer = black_box([1u8; DEEP]);
        buffer[black_box(DEEP / 2)]
    }

    struct Deep;

    impl GpuBackend for Deep {
        fn name(&self) -> &'static str {
            "deep"
        }

        fn absent(&self) -> Option<BackendFailure> {
            assert_eq!(deep(), 1);
            None
        }

        fn find(&mut self) -> Result<Search, BackendFailure> {
            Ok(Search::default())
        }

        fn forget(&mut self) {}
    }

    #[test]
    fn drivers_have_the_usual_stack() {
        let now = Now::new(|| Tick { monotonic: Duration::ZERO, boottime: Duration::ZERO });
        let (events, inbox) = channel();
        let reader: DeviceReader = Box::new(|_| {
            let reason = if deep() == 1 { "deep" } else { "shallow" };
            Err(DeviceFailure { consequence: Consequence::Transient, reason: reason.into() })
        });
        let worker = Worker::start("gpu-test".to_owned(), 1, reader, now, events.clone()).unwrap();
        assert!(worker.ask());
        let Event::Read { generation: 1, result: Err(failure), .. } = inbox.recv_timeout(NEVER).unwrap()
        else {
            panic!("another event");
        };
        assert_eq!(&*failure.reason, "deep");
        let supervisor = Supervisor::start(2, Box::new(Deep), events).unwrap();
        assert!(supervisor.look());
        let event = inbox.recv_timeout(NEVER).unwrap();
        assert!(matches!(event, Event::Searched { generation: 2, outcome: Searched::Present }));
    }
}
