//! Labels and annotations, and what of them stands on the `_info` families.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::identity::{Details, label_name};

/// Longer words are cut here: names in runtimes are far shorter, and labels of images may hold whole documents.
const MOST_BYTES: usize = 256;

/// Labels or annotations: keys and values.
pub(super) type Tags = BTreeMap<String, String>;

/// Which labels and annotations are wanted as labels of `_info` families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Keys of labels.
    pub labels: Vec<String>,
    /// Keys of annotations.
    pub annotations: Vec<String>,
}

impl Wish {
    /// What labels and annotations say.
    pub(super) fn details(&self, image: &str, labels: &Tags, annotations: &Tags) -> Details {
        let marked = |name: &str| {
            let key = format!("wattprint.io/{name}");
            word(get(labels, &key).or_else(|| get(annotations, &key)).unwrap_or_default())
        };
        let mut details = Details {
            image: word(image),
            phase: marked("phase"),
            model: marked("model"),
            variant: marked("variant"),
            ..Details::default()
        };
        compose(&mut details, labels);
        for (prefix, keys, tags) in
            [("label", &self.labels, labels), ("annotation", &self.annotations, annotations)]
        {
            for key in keys {
                if let Some(value) = get(tags, key) {
                    add(&mut details, label_name(prefix, key), value);
                }
            }
        }
        details
    }
}

/// The project or stack that made a container (Compose specification; Docker's labels for swarm services).
fn compose(details: &mut Details, labels: &Tags) {
    let project = get(labels, "com.docker.compose.project");
    let service = get(labels, "com.docker.compose.service");
    let swarm = get(labels, "com.docker.swarm.service.name");
    if let Some(project) = project {
        details.owner_kind = "Compose".into();
        let name = service.map_or_else(|| project.to_owned(), |service| format!("{project}/{service}"));
        details.owner_name = word(&name);
        add(details, "compose_project".into(), project);
        if let Some(service) = service {
            add(details, "compose_service".into(), service);
        }
    } else if let Some(service) = swarm {
        details.owner_kind = "Service".into();
        details.owner_name = word(service);
        add(details, "swarm_service".into(), service);
    }
}

fn add(details: &mut Details, name: Box<str>, value: &str) {
    if !details.extra.iter().any(|(known, _)| *known == name) {
        details.extra.push((name, word(value)));
    }
}

/// What a key says, if anything.
pub(super) fn get<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    tags.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// The texts in a JSON object; whatever else is in it is left out.
pub(super) fn tags(value: Option<&Value>) -> Tags {
    let pairs = value.and_then(Value::as_object).into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The text at a JSON pointer; empty where there is none.
pub(super) fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The texts of a list at a JSON pointer.
pub(super) fn texts_at<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a str> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A text of bearable length.
pub(super) fn word(text: &str) -> Box<str> {
    let text = text.trim();
    let end = (0..=MOST_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().into()
}
