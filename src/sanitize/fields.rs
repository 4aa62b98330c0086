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

    #[test]
    fn what_is_stripped_and_what_only_looks_like_it() {
        #[rustfmt::skip]
        let stripped = [
            (ANNOTATIONS, &[
                "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision",
                "deployment.kubernetes.io/max-replicas", "deprecated.daemonset.template.generation",
                "control-plane.alpha.kubernetes.io/leader", "endpoints.kubernetes.io/last-change-trigger-time",
                "autoscaling.alpha.kubernetes.io/conditions", "autoscaling.alpha.kubernetes.io/current-metrics",
                "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller", "pv.kubernetes.io/migrated-to",
                "volume.kubernetes.io/selected-node", "volume.kubernetes.io/storage-provisioner",
                "volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-resizer",
                "kubernetes.io/service-account.uid", "argocd.argoproj.io/tracking-id",
                "argocd.argoproj.io/installation-id", "argocd.argoproj.io/refresh", "reconcile.fluxcd.io/requestedAt",
                "kustomize.toolkit.fluxcd.io/checksum", "kcp.io/cluster", "applyset.kubernetes.io/tooling",
                "applyset.kubernetes.io/contains-group-kinds", "field.cattle.io/publicEndpoints",
                "field.cattle.io/creatorId", "field.cattle.io/projectId", "lifecycle.cattle.io/create.namespace-auth",
                "objectset.rio.cattle.io/applied", "objectset.rio.cattle.io/id", "cattle.io/status",
                "kapp.k14s.io/original", "kapp.k14s.io/original-diff-md5", "kapp.k14s.io/identity",
                "kopf.zalando.org/last-handled-configuration", "openshift.io/sa.scc.mcs",
                "openshift.io/sa.scc.uid-range", "openshift.io/sa.scc.supplemental-groups",
                "kyverno.io/last-applied-patches", "policies.kyverno.io/last-applied-patches",
            ][..]),
            (LABELS, &[
                "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace",
                "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace", "kro.run/owned",
                "kro.run/instance-id", "applyset.kubernetes.io/part-of", "applyset.kubernetes.io/id",
                "velero.io/backup-name", "velero.io/restore-name", "field.cattle.io/projectId",
            ]),
            (FINALIZERS, &[
                "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection",
                "external-provisioner.volume.kubernetes.io/finalizer", "external-attacher/ebs-csi-aws-com",
                "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection",
                "customresourcecleanup.apiextensions.k8s.io", "service.kubernetes.io/load-balancer-cleanup",
                "batch.kubernetes.io/job-tracking", "foregroundDeletion", "orphan",
            ]),
            (METADATA, &[
                "managedFields", "resourceVersion", "uid", "selfLink", "generation", "creationTimestamp",
                "deletionTimestamp", "deletionGracePeriodSeconds", "generateName", "ownerReferences",
            ]),
        ];
        for (table, names) in stripped {
            for name in names {
                assert!(lists(table, name), "{name}");
            }
        }
        #[rustfmt::skip]
        let kept = [
            (ANNOTATIONS, &[
                "kubectl.kubernetes.io/restartedAt", "kubectl.kubernetes.io/default-container",
                "kubernetes.io/change-cause", "storageclass.kubernetes.io/is-default-class",
                "kubernetes.io/service-account.name", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace",
                "helm.sh/resource-policy", "helm.sh/hook", "argocd.argoproj.io/sync-wave",
                "argocd.argoproj.io/sync-options", "argocd.argoproj.io/compare-options", "argocd.argoproj.io/hook",
                "argocd.argoproj.io/hook-delete-policy", "kustomize.toolkit.fluxcd.io/reconcile",
                "kustomize.toolkit.fluxcd.io/prune", "kustomize.toolkit.fluxcd.io/ssa",
                "kustomize.toolkit.fluxcd.io/force", "kustomize.toolkit.fluxcd.io/substitute",
                "cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret", "cert-manager.io/issuer",
                "cert-manager.io/cluster-issuer", "pv.kubernetes.io/provisioned-by", "configbutler.ai/ignore",
            ][..]),
            (LABELS, &[
                "app", "app.kubernetes.io/name", "app.kubernetes.io/managed-by", "helm.sh/chart", "job-name",
                "controller-uid", NAMESPACE_NAME_LABEL, "pod-security.kubernetes.io/enforce",
            ]),
            (FINALIZERS, &["example.com/cleanup", "kubernetes.io/pvc-protection-2", "foregroundDeletion/x"]),
            (METADATA, &["name", "namespace", "labels", "annotations", "finalizers", "clusterName"]),
        ];
        for (table, names) in kept {
            for name in names {
                assert!(!lists(table, name), "{name}");
            }
        }
    }
}
