//! Jobs, and Pods that nobody controls.

use crate::sanitize::json::{Document, NodeId};

/// Labels by which a Job finds its Pods: one is its uid.
const JOB_LABELS: [&str; 4] =
    ["batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"];

/// Members of a Pod's `spec` that the scheduler, an admission plugin or `kubectl debug` has set.
const POD_FIELDS: [&str; 5] = ["ephemeralContainers", "nodeName", "overhead", "preemptionPolicy", "priority"];

/// What the names of volumes start with that hold the token of the ServiceAccount.
const TOKEN_VOLUMES: [&str; 2] = ["kube-api-access-", "default-token-"];

/// Strips the selector that a Job was given, and the labels that it selects.
pub(super) fn job(document: &mut Document<'_>) {
    let Some(spec) = document.find(&["spec"]) else { return };
    if document.get(spec, "manualSelector").is_some_and(|node| document.raw(node) == "true") {
        return;
    }
    document.remove_members(spec, |_, key, _| key == "selector");
    // A Job without labels is shown with those of its template.
    for path in [&["spec", "template", "metadata", "labels"][..], &["metadata", "labels"]] {
        if let Some(labels) = document.find(path) {
            document.prune_members(labels, |_, key, _| JOB_LABELS.contains(&key));
        }
    }
}

/// Strips what was decided about a Pod after somebody had asked for it.
pub(super) fn pod(document: &mut Document<'_>) {
    let Some(spec) = document.find(&["spec"]) else { return };
    document.remove_members(spec, |_, key, _| POD_FIELDS.contains(&key));
    if let Some(volumes) = document.get(spec, "volumes") {
        document.remove_elements(volumes, is_token_volume);
    }
    if let Some(tolerations) = document.get(spec, "tolerations") {
        document.remove_elements(tolerations, is_default_toleration);
    }
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| document.get(spec, list));
    let containers: Vec<NodeId> = lists.flat_map(|list| document.elements(list)).collect();
    for container in containers {
        if let Some(mounts) = document.get(container, "volumeMounts") {
            document.remove_elements(mounts, is_token_volume);
        }
    }
}

/// Whether a volume, or a mount of one, is that of the ServiceAccount's token.
fn is_token_volume(document: &Document<'_>, volume: NodeId) -> bool {
    let name = document.get(volume, "name").and_then(|node| document.string(node));
    name.is_some_and(|name| TOKEN_VOLUMES.iter().any(|start| name.starts_with(start)))
}

/// Whether it is one of the two that the API server adds: to stay 300 s on a node that is not ready, or not reached.
fn is_default_toleration(document: &Document<'_>, toleration: NodeId) -> bool {
    let is = |key: &str, values: &[&str]| {
        let value = document.get(toleration, key).and_then(|node| document.string(node));
        value.is_some_and(|value| values.contains(&value.as_ref()))
    };
    is("key", &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"])
        && is("operator", &["Exists"])
        && is("effect", &["NoExecute"])
        && document.get(toleration, "tolerationSeconds").is_some_and(|node| document.raw(node) == "300")
}
