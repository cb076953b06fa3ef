//! The storage that podman and CRI-O share: which containers there are (containers/storage's containers.go).
//!
//! `<root>/<driver>-containers/containers.json` lists them, `volatile-containers.json` beside it or below the run root those
//! that are removed when they end, and `<id>/userdata/config.json` is the bundle of each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::identity::containers::podman_db::Database;
use crate::identity::containers::reading::{MOST_CONFIG, MOST_LIST, Reading, Seen};
use crate::identity::containers::tags::{Wish, tags, text_at, texts_at};
use crate::identity::containers::{Known, crio, podman};

/// Settings of the system; the first is the distribution's.
const SETTINGS: [&str; 2] = ["/usr/share/containers/storage.conf", "/etc/containers/storage.conf"];

/// One storage, as it is at one look.
#[derive(Debug)]
pub(super) struct Store {
    graph_root: PathBuf,
    run_root: PathBuf,
    /// By id.
    rows: HashMap<String, Row>,
    database: Option<Database>,
    /// The list and the database.
    seen: Vec<Seen>,
}

/// One container of the list.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: String,
    /// Its image, as it was asked for.
    pub(super) image: String,
    /// Where its bundle is, if not below the run root.
    directory: PathBuf,
}

/// The roots of the system's storage: what is set, and what holds otherwise.
pub(super) fn system_roots(reading: &mut Reading<'_>) -> (PathBuf, PathBuf) {
    let mut roots = (PathBuf::from("/var/lib/containers/storage"), PathBuf::from("/run/containers/storage"));
    for settings in SETTINGS {
        let text = reading.text(Path::new(settings), MOST_CONFIG).unwrap_or_default();
        let settings: toml::Table = toml::from_str(&text).unwrap_or_default();
        let Some(storage) = settings.get("storage") else { continue };
        for (key, root) in [("graphroot", &mut roots.0), ("runroot", &mut roots.1)] {
            let set = storage.get(key).and_then(toml::Value::as_str).map(PathBuf::from);
            if let Some(set) = set.filter(|set| set.is_absolute()) {
                *root = set;
            }
        }
    }
    roots
}

impl Store {
    /// Reads the lists of a storage.
    pub(super) fn open(reading: &mut Reading<'_>, graph_root: PathBuf, run_root: PathBuf) -> Self {
        let before = reading.take_seen();
        let mut rows = HashMap::new();
        for root in [&graph_root, &run_root] {
            let directories = reading.directories(root).into_iter().filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-containers"))
            });
            for directory in directories.collect::<Vec<_>>() {
                for list in ["containers.json", "volatile-containers.json"] {
                    let list = reading.json(&directory.join(list), MOST_LIST).unwrap_or_default();
                    rows.extend(
                        list.as_array().into_iter().flatten().filter_map(|row| Row::of(row, &directory)),
                    );
                }
            }
        }
        // A user's database may be made so that it takes minutes to answer, or all memory; the lists have the names.
        let is_asked = !rows.is_empty() && !reading.is_of_user();
        let database = is_asked.then(|| Database::open(reading, &graph_root, &run_root)).flatten();
        let seen = reading.take_seen();
        reading.add_seen(&before);
        Self { graph_root, run_root, rows, database, seen }
    }

    /// What podman or CRI-O say of a container.
    pub(super) fn find(&self, reading: &mut Reading<'_>, id: &str, wish: &Wish) -> Option<Known> {
        let row = self.rows.get(id)?;
        reading.add_seen(&self.seen);
        let bundle = self.bundle(reading, row, id);
        let record = self.database.as_ref().and_then(|database| database.container(id));
        // CRI-O keeps its containers here, too, and only the bundle tells its from podman's.
        if bundle.is_none() && record.is_none() && row.name.starts_with(crio::PREFIX) {
            return None;
        }
        let bundle = bundle.unwrap_or_default();
        let annotations = tags(bundle.pointer("/annotations"));
        if crio::is_its(&annotations) {
            return Some(crio::known(&annotations, wish));
        }
        Some(podman::known(row, record.unwrap_or_default(), &bundle, &annotations, wish))
    }

    /// The container's OCI configuration: below the storage, or below the run root (`/run/.../userdata`).
    fn bundle(&self, reading: &mut Reading<'_>, row: &Row, id: &str) -> Option<Value> {
        let file = Path::new(id).join("userdata/config.json");
        let volatile = row.directory.strip_prefix(&self.graph_root).ok();
        let places = [Some(row.directory.clone()), volatile.map(|driver| self.run_root.join(driver))];
        places.into_iter().flatten().find_map(|place| reading.json(&place.join(&file), MOST_CONFIG))
    }
}

impl Row {
    fn of(row: &Value, directory: &Path) -> Option<(String, Self)> {
        let name = texts_at(row, "/names").next().unwrap_or_default().to_owned();
        let metadata: Value = serde_json::from_str(text_at(row, "/metadata")).unwrap_or_default();
        let image = text_at(&metadata, "/image-name").to_owned();
        Some((row.get("id")?.as_str()?.to_owned(), Self { name, image, directory: directory.to_owned() }))
    }
}
