//! The passes over `metadata`, and over the metadata of templates.

use super::fields::{ANNOTATIONS, FINALIZERS, LABELS, METADATA, NAMESPACE_NAME_LABEL, lists};
use super::json::{Document, Kind, NodeId};
use crate::resource::ResourceType;

/// Strips what the API server assigned, and the finalizers that the cluster adds by itself.
pub(super) fn metadata(document: &mut Document<'_>, metadata: NodeId) {
    document.remove_members(metadata, |_, key, _| METADATA.contains(&key));
    let Some(finalizers) = document.get(metadata, "finalizers") else { return };
    let system = |document: &Document<'_>, element: NodeId| {
        document.string(element).is_some_and(|name| lists(FINALIZERS, &name))
    };
    let doomed: Vec<_> = document.elements(finalizers).filter(|&element| system(document, element)).collect();
    doomed.iter().for_each(|&element| document.remove(element));
    if !doomed.is_empty() {
        remove_if_empty(document, finalizers);
    }
}

/// Strips the annotations of the table, and those that are a copy of an object: what a copy holds may be
/// stale, and may be secret.
pub(super) fn annotations(document: &mut Document<'_>, metadata: NodeId) {
    let Some(annotations) = document.get(metadata, "annotations") else { return };
    if document
        .remove_members(annotations, |document, key, value| lists(ANNOTATIONS, key) || is_object_copy(document, value))
    {
        remove_if_empty(document, annotations);
    }
}

/// Whether the value of an annotation is itself a Kubernetes object, as JSON.
fn is_object_copy(document: &Document<'_>, value: NodeId) -> bool {
    let Some(text) = document.string(value).filter(|text| text.trim_start().starts_with('{')) else { return false };
    Document::parse(&text).is_ok_and(|copy| {
        let is_string = |key| copy.get(copy.root(), key).is_some_and(|node| copy.kind(node) == Kind::String);
        is_string("apiVersion") && is_string("kind")
    })
}

/// Strips the labels of the table.
pub(super) fn labels(document: &mut Document<'_>, metadata: NodeId, kind: &ResourceType) {
    let Some(labels) = document.get(metadata, "labels") else { return };
    let namespace = kind.group.is_empty() && kind.kind == "Namespace";
    if document.remove_members(labels, |_, key, _| lists(LABELS, key) || (namespace && key == NAMESPACE_NAME_LABEL)) {
        remove_if_empty(document, labels);
    }
}

/// Strips what the types of the API server leave in templates: an empty `creationTimestamp` in nested
/// metadata, and the `status` of volume claim templates.
pub(super) fn nested_nulls(document: &mut Document<'_>) {
    let mut doomed = Vec::new();
    for member in document.all_members_below_root() {
        match document.string(member.key).as_deref() {
            Some("metadata") => {
                let timestamp = document.get(member.value, "creationTimestamp");
                doomed.extend(timestamp.filter(|&node| document.kind(node) == Kind::Null));
            }
            Some("volumeClaimTemplates") => {
                doomed.extend(document.elements(member.value).filter_map(|claim| document.get(claim, "status")));
            }
            _ => {}
        }
    }
    doomed.into_iter().for_each(|node| document.remove(node));
}

/// Takes out a container of which a pass has taken everything; what came empty stays.
fn remove_if_empty(document: &mut Document<'_>, container: NodeId) {
    if document.is_empty(container) {
        document.remove(container);
    }
}
