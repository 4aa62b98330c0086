//! Nodes: what the cluster has found out about a machine.

use crate::sanitize::json::{Document, NodeId};

/// Keys of the taints by which the cluster repeats the conditions of a machine, and that it is unschedulable.
const CONDITIONS: [&str; 7] = [
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
];

/// Strips the taints that come and go with the state of the machine.
pub(super) fn node(document: &mut Document<'_>) {
    if let Some(taints) = document.find(&["spec", "taints"]) {
        document.remove_elements(taints, is_condition);
    }
}

fn is_condition(document: &Document<'_>, taint: NodeId) -> bool {
    let key = document.get(taint, "key").and_then(|node| document.string(node));
    key.is_some_and(|key| CONDITIONS.contains(&key.as_ref()))
}
