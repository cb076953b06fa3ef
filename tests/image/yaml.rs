//! Rendered manifests, as Helm and kustomize print them.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// What `make test-image` renders the chart to.
const RENDERED: &str = "target/image/rendered.yaml";

/// All documents of the rendered chart.
pub(crate) fn rendered() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(RENDERED);
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `make test-image` renders the chart", path.display()));
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The only document of a kind and, where one is given, of a name.
pub(crate) fn find<'a>(documents: &'a [Value], kind: &str, name: Option<&str>) -> &'a Value {
    let fits = |document: &&Value| {
        document["kind"] == kind && name.is_none_or(|name| document["metadata"]["name"] == name)
    };
    let found: Vec<_> = documents.iter().filter(fits).collect();
    assert_eq!(found.len(), 1, "{kind} {name:?} in the rendered chart");
    found[0]
}

/// The items of a list; none where there is no list.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Panics where an object has a key that nothing here understands: what isn't understood isn't tested.
pub(crate) fn assert_only(what: &str, value: &Value, known: &[&str]) {
    for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
        assert!(
            known.contains(&&**key),
            "{what}.{key}: unknown to this test; say what podman's option for it is"
        );
    }
}
