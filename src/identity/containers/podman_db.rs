//! podman's own database: `db.sql` (SQLite, since podman 4.8) or `libpod/bolt_state.db` (BoltDB, before) below its storage.
//!
//! Both are read into memory, so that podman is never kept waiting. Only root's are: those of users hold what users put there.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::limits::Limit;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use crate::identity::containers::bolt::Bolt;
use crate::identity::containers::reading::{MOST_CONFIG, MOST_DATABASE, Reading};
use crate::identity::containers::tags::{Tags, tags, text_at};

/// Steps of SQLite's virtual machine between two looks at the time, and how many of these looks a query gets: looking up a
/// row by its key takes some ten steps, a made-up view could take forever.
const STEPS: i32 = 1000;
const MOST_LOOKS: u32 = 1000;
/// Where the header of an SQLite file says that writers keep a log beside it (SQLite's fileformat2, 1.3.3).
const JOURNAL_MODE: std::ops::Range<usize> = 18..20;

/// What podman knows of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Its name.
    pub(super) name: String,
    /// The name of its pod.
    pub(super) pod: String,
    /// Whether it only holds the pod's namespaces.
    pub(super) is_infra: bool,
    /// The image, as it was asked for.
    pub(super) image: String,
    /// Its labels, and those of its pod where it has no such label.
    pub(super) labels: Tags,
}

/// The database as it was at one moment.
#[derive(Debug)]
pub(super) enum Database {
    Sqlite(Connection),
    Bolt(Vec<u8>),
}

impl Database {
    /// Reads the database of a storage: below the run root where nothing is to outlive a boot.
    pub(super) fn open(reading: &mut Reading<'_>, graph_root: &Path, run_root: &Path) -> Option<Self> {
        let sqlite = [graph_root, run_root].into_iter().find_map(|root| {
            // What a writer was at when it ended isn't undone here, so such a file isn't read.
            let bytes = reading.settled_bytes(&root.join("db.sql"), MOST_DATABASE)?;
            open_sqlite(bytes).map(Self::Sqlite)
        });
        sqlite.or_else(|| {
            let path = graph_root.join("libpod/bolt_state.db");
            reading.settled_bytes(&path, MOST_DATABASE).map(Self::Bolt)
        })
    }

    /// What it says of a container.
    pub(super) fn container(&self, id: &str) -> Option<Record> {
        let config = self.config("ContainerConfig", "ctr", id)?;
        if text_at(&config, "/id") != id {
            return None;
        }
        let mut record = Record {
            name: text_at(&config, "/name").to_owned(),
            pod: String::new(),
            // The name of the field in the files; in libpod it is IsInfra.
            is_infra: config.get("pause").and_then(Value::as_bool).unwrap_or(false),
            image: text_at(&config, "/rootfsImageName").to_owned(),
            labels: tags(config.get("labels")),
        };
        let pod_id = text_at(&config, "/pod");
        if let Some(pod) =
            Some(pod_id).filter(|id| !id.is_empty()).and_then(|id| self.config("PodConfig", "pod", id))
        {
            record.pod = text_at(&pod, "/name").to_owned();
            for (key, value) in tags(pod.get("labels")) {
                record.labels.entry(key).or_insert(value);
            }
        }
        Some(record)
    }

    /// The configuration of a container or a pod: from this table, or from this bucket.
    fn config(&self, table: &str, bucket: &str, id: &str) -> Option<Value> {
        let json = match self {
            Self::Sqlite(connection) => {
                let query = format!("SELECT JSON FROM {table} WHERE ID = ?1");
                let row = connection.query_row(&query, params![id], |row| row.get::<_, String>(0));
                row.optional().ok().flatten()?.into_bytes()
            }
            Self::Bolt(bytes) => {
                let path = [bucket.as_bytes(), id.as_bytes(), b"config"];
                Bolt::open(bytes)?.get(&path).filter(|json| json.len() <= MOST_CONFIG)?.to_owned()
            }
        };
        serde_json::from_slice(&json).ok()
    }
}

fn open_sqlite(mut bytes: Vec<u8>) -> Option<Connection> {
    // A database in memory can't have a log beside it. podman closes its own after each command, which empties the log.
    bytes.get_mut(JOURNAL_MODE)?.fill(1);
    let mut connection = Connection::open_in_memory().ok()?;
    let length = bytes.len();
    connection.deserialize_read_exact("main", bytes.as_slice(), length, true).ok()?;
    let looks = AtomicU32::new(0);
    let is_over = move || looks.fetch_add(1, Ordering::Relaxed) >= MOST_LOOKS;
    connection.progress_handler(STEPS, Some(is_over)).ok()?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(MOST_CONFIG).ok()?).ok()?;
    Some(connection)
}
