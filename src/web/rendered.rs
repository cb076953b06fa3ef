//! Every form of a snapshot, made at most once and shared by all who ask.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::grid::GridForms;
use super::metrics::{self, OwnProcess};
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::units::UnixTime;

/// The forms of one snapshot. The first who asks for one makes it, on the thread that serves; others wait
/// for that instead of making it again.
#[derive(Debug)]
pub(super) struct Rendered {
    snapshot: Arc<Snapshot>,
    text: OnceLock<Result<Bytes, String>>,
    gzip: OnceLock<Result<Bytes, String>>,
    json: OnceLock<Result<Bytes, String>>,
    grid: Arc<GridForms>,
}

impl Rendered {
    fn new(snapshot: Arc<Snapshot>, previous: Option<&Self>) -> Self {
        let series: Vec<_> = snapshot.grid_state.series().cloned().collect();
        let grid = GridForms::of(
            &series,
            UnixTime::since_epoch(snapshot.unix_time),
            previous.map(|previous| &previous.grid),
        );
        Self { snapshot, text: OnceLock::new(), gzip: OnceLock::new(), json: OnceLock::new(), grid }
    }

    /// The metrics as text.
    pub(super) fn text(&self) -> Result<Bytes, String> {
        let make = || {
            let own = OwnProcess::read().ok();
            let text = metrics::encode(&self.snapshot, own.as_ref()).map_err(|error| error.to_string())?;
            Ok(Bytes::from(text))
        };
        self.text.get_or_init(make).clone()
    }

    /// The metrics as text, compressed.
    pub(super) fn gzip(&self) -> Result<Bytes, String> {
        self.gzip.get_or_init(|| compress(&self.text()?)).clone()
    }

    /// The snapshot as JSON.
    pub(super) fn json(&self) -> Result<Bytes, String> {
        let make = || {
            let json = serde_json::to_vec(&*self.snapshot).map_err(|error| error.to_string())?;
            Ok(Bytes::from(json))
        };
        self.json.get_or_init(make).clone()
    }

    /// What live sources say.
    pub(super) fn grid(&self) -> &GridForms {
        &self.grid
    }
}

// The fastest level: of 1.7 MB of metrics it leaves 56 kB, the usual level 6 leaves 47 kB in ten times the time.
pub(super) fn compress(text: &[u8]) -> Result<Bytes, String> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder.write_all(text).map_err(|error| error.to_string())?;
    let compressed = encoder.finish().map_err(|error| error.to_string())?;
    Ok(Bytes::from(compressed))
}

/// Finds the forms of the latest snapshot.
#[derive(Debug)]
pub(super) struct Renderer {
    snapshots: Arc<SnapshotCell>,
    current: Mutex<Option<Arc<Rendered>>>,
}

impl Renderer {
    pub(super) fn new(snapshots: Arc<SnapshotCell>) -> Self {
        Self { snapshots, current: Mutex::new(None) }
    }

    /// The latest snapshot itself.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.latest()
    }

    /// The forms of the latest snapshot; `None` before the first one.
    pub(super) fn latest(&self) -> Option<Arc<Rendered>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked up under the lock, so that an older snapshot never replaces a newer one.
        let latest = self.snapshots.latest()?;
        match &*current {
            Some(rendered) if Arc::ptr_eq(&rendered.snapshot, &latest) => Some(Arc::clone(rendered)),
            previous => {
                let rendered = Arc::new(Rendered::new(latest, previous.as_deref()));
                Some(Arc::clone(current.insert(rendered)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::fixture;

    #[test]
    fn a_snapshot_is_encoded_once() {
        let cell = Arc::new(SnapshotCell::new());
        let renderer = Renderer::new(Arc::clone(&cell));
        assert!(renderer.latest().is_none());
        cell.publish(Arc::new(fixture::snapshot()));
        let first = renderer.latest().unwrap().text().unwrap();
        let texts = std::thread::scope(|scope| {
            let ask = || renderer.latest().unwrap().text().unwrap();
            [scope.spawn(ask), scope.spawn(ask)].map(|thread| thread.join().unwrap())
        });
        assert!(texts.iter().all(|text| text.as_ptr() == first.as_ptr()));

        cell.publish(Arc::new(fixture::snapshot()));
        assert_ne!(renderer.latest().unwrap().text().unwrap().as_ptr(), first.as_ptr());
    }
}
