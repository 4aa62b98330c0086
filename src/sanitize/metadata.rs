//! The passes over `metadata`, and over the metadata of templates.

use super::copy::is_object;
use super::fields::{ANNOTATIONS, FINALIZERS, LABELS, METADATA, NAMESPACE_NAME_LABEL, lists};
use super::json::{Document, Kind, NodeId};
use crate::resource::ResourceType;

/// Strips what the API server assigned, and the finalizers that the cluster adds by itself.
pub(super) fn metadata(document: &mut Document<'_>, metadata: NodeId) {
    document.remove_members(metadata, |_, key, _| METADATA.contains(&key));
    if let Some(finalizers) = document.get(metadata, "finalizers") {
        document.remove_elements(finalizers, |document, element| {
            document.string(element).is_some_and(|name| lists(FINALIZERS, &name))
        });
    }
}

/// Strips the annotations of the table, and those that are a copy of an object.
pub(super) fn annotations(document: &mut Document<'_>, metadata: NodeId) {
    if let Some(annotations) = document.get(metadata, "annotations") {
        document.prune_members(annotations, |document, key, value| {
            lists(ANNOTATIONS, key) || document.string(value).is_some_and(|text| is_object(&text))
        });
    }
}

/// Strips the labels of the table.
pub(super) fn labels(document: &mut Document<'_>, metadata: NodeId, kind: &ResourceType) {
    if let Some(labels) = document.get(metadata, "labels") {
        let namespace = kind.group.is_empty() && kind.kind == "Namespace";
        document.prune_members(labels, |_, key, _| lists(LABELS, key) || (namespace && key == NAMESPACE_NAME_LABEL));
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
