//! Claims and volumes: which one got which.

use crate::sanitize::intent::{Intent, Manager, last_applied};
use crate::sanitize::json::Document;

/// Where the volume controller notes who provisions the volume of a claim; nobody does for one that exists.
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];

/// Strips the name of a volume that was made for this PersistentVolumeClaim: a new one will have another name.
pub(super) fn claim(document: &mut Document<'_>) {
    let Some(name) = document.find(&["spec", "volumeName"]) else { return };
    let has = |annotation: &&str| document.find(&["metadata", "annotations", annotation]).is_some();
    if !PROVISIONER.iter().any(has) {
        return;
    }
    let applied = last_applied(document);
    // The controller that binds is a manager of the name as well.
    if !Intent::read(document, applied.as_deref()).asks_for("volumeName", Manager::Apply) {
        document.remove(name);
    }
}

/// Strips from a PersistentVolume what ties it to one incarnation of its claim; name and namespace stay.
pub(super) fn volume(document: &mut Document<'_>) {
    if let Some(claim) = document.find(&["spec", "claimRef"]) {
        document.remove_members(claim, |_, key, _| matches!(key, "uid" | "resourceVersion"));
    }
}
