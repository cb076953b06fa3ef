//! CRI-O: annotations of the containers in the storage that it shares with podman (CRI-O's pkg/annotations).

use serde_json::Value;

use crate::identity::containers::Known;
use crate::identity::containers::kubernetes;
use crate::identity::containers::tags::{Tags, Wish, get, tags};
use crate::workloads::owner::Runtime;

/// What stands before the keys of CRI-O's annotations.
const CRIO: &str = "io.kubernetes.cri-o.";

/// What the names of its containers begin with in the storage's list.
pub(super) const PREFIX: &str = "k8s_";

/// Whether CRI-O made a container with these annotations.
pub(super) fn is_its(annotations: &Tags) -> bool {
    get(annotations, "io.container.manager") == Some("cri-o")
        // Before 1.10 it didn't say so; podman gives its containers some of CRI-O's annotations, but not this one.
        || get(annotations, "io.container.manager").is_none() && crio(annotations, "Metadata").is_some()
}

/// What the annotations say.
pub(super) fn known(annotations: &Tags, wish: &Wish) -> Known {
    let mut labels = nested(annotations, "Labels");
    // They stand beside the nested ones, too.
    for key in ["io.kubernetes.pod.name", "io.kubernetes.pod.namespace", "io.kubernetes.container.name"] {
        if let (Some(value), None) = (get(annotations, key), get(&labels, key)) {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    let image = crio(annotations, "ImageName").or_else(|| crio(annotations, "Image")).unwrap_or_default();
    let is_sandbox = crio(annotations, "ContainerType") == Some("sandbox");
    let told = kubernetes::from_labels(&labels, is_sandbox, image).unwrap_or(kubernetes::Told {
        is_sandbox,
        image,
        ..kubernetes::Told::default()
    });
    kubernetes::known(Runtime::Crio, told, &labels, &nested(annotations, "Annotations"), wish)
}

fn crio<'a>(annotations: &'a Tags, key: &str) -> Option<&'a str> {
    get(annotations, &format!("{CRIO}{key}"))
}

/// Labels or annotations as JSON in one annotation.
fn nested(annotations: &Tags, key: &str) -> Tags {
    let value: Option<Value> = crio(annotations, key).and_then(|text| serde_json::from_str(text).ok());
    tags(value.as_ref())
}
