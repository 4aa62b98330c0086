//! The tables of what is stripped from every object.
//!
//! They are deny-lists: what is not named here is kept. A name that ends with `*` stands for all that start
//! with what is before it.

/// Members of `metadata` that the API server assigns.
pub(super) const METADATA: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    // A restored object would name an owner by a uid that no longer exists, and be collected as garbage.
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Finalizers that a controller of the cluster adds by itself.
pub(super) const FINALIZERS: &[&str] = &[
    "batch.kubernetes.io/job-tracking",
    "customresourcecleanup.apiextensions.k8s.io",
    "external-attacher/*",
    "external-provisioner.volume.kubernetes.io/finalizer",
    "foregroundDeletion",
    "kubernetes.io/pv-protection",
    "kubernetes.io/pvc-protection",
    "orphan",
    "service.kubernetes.io/load-balancer-cleanup",
    "snapshot.storage.kubernetes.io/*",
];

/// Annotations that describe a state, a copy or a bookkeeping, and no intent.
pub(super) const ANNOTATIONS: &[&str] = &[
    // Kubernetes itself.
    "applyset.kubernetes.io/*",
    "autoscaling.alpha.kubernetes.io/conditions",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "control-plane.alpha.kubernetes.io/leader",
    "deployment.kubernetes.io/*",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/*",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubernetes.io/service-account.uid",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "pv.kubernetes.io/migrated-to",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-resizer",
    // Tools that apply.
    "argocd.argoproj.io/installation-id",
    "argocd.argoproj.io/refresh",
    "argocd.argoproj.io/tracking-id",
    "kapp.k14s.io/identity",
    "kapp.k14s.io/original*",
    "kopf.zalando.org/last-handled-configuration",
    "kustomize.toolkit.fluxcd.io/checksum",
    "reconcile.fluxcd.io/requestedAt",
    // Platforms and policies.
    "cattle.io/status",
    "field.cattle.io/creatorId",
    "field.cattle.io/projectId",
    "field.cattle.io/publicEndpoints",
    "kcp.io/cluster",
    "kyverno.io/last-applied-patches",
    "lifecycle.cattle.io/*",
    "objectset.rio.cattle.io/*",
    "openshift.io/sa.scc.*",
    "policies.kyverno.io/last-applied-patches",
];

/// Labels that a tool puts on what it has applied.
pub(super) const LABELS: &[&str] = &[
    "applyset.kubernetes.io/*",
    "field.cattle.io/projectId",
    "helm.toolkit.fluxcd.io/*",
    "kro.run/*",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
    "velero.io/backup-name",
    "velero.io/restore-name",
];

/// The label by which the API server repeats the name of a Namespace.
pub(super) const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Whether `table` names `name`, or a prefix of it.
pub(super) fn lists(table: &[&str], name: &str) -> bool {
    table.iter().any(|entry| entry.strip_suffix('*').map_or(*entry == name, |prefix| name.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_a_prefix_and_nothing_else_does() {
        assert!(lists(ANNOTATIONS, "deployment.kubernetes.io/revision"));
        assert!(lists(ANNOTATIONS, "openshift.io/sa.scc.mcs"));
        assert!(lists(ANNOTATIONS, "kapp.k14s.io/original-diff-md5"));
        assert!(lists(LABELS, "velero.io/backup-name"));
        assert!(!lists(LABELS, "velero.io/backup-name-2"));
        assert!(!lists(ANNOTATIONS, "deployment.kubernetes.io"));
        assert!(!lists(ANNOTATIONS, "kubernetes.io/change-cause"));
        assert!(!lists(FINALIZERS, "example.com/orphan"));
    }
}
