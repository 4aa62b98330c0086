//! The types that a rule without `resources` selects, and those that no wildcard selects.

/// Desired state, version 1: `(group, resource)` of the types by which people and their tools say what a cluster
/// should run. A change of this list changes what existing rules mirror, so it gets a new version.
pub const DESIRED_STATE_V1: &[(&str, &str)] = &[
    ("", "configmaps"),
    ("", "limitranges"),
    ("", "resourcequotas"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("apps", "daemonsets"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "networkpolicies"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("storage.k8s.io", "storageclasses"),
];

/// What a cluster-wide rule's preset holds besides: without its namespaces a mirror could not be restored.
pub const CLUSTER_WIDE_V1: &[(&str, &str)] = &[("", "namespaces")];

/// What no wildcard selects: short-lived, or written by the cluster itself. A rule may name them.
pub const EXCLUDED_FROM_WILDCARDS: &[(&str, &str)] = &[
    ("", "endpoints"),
    ("", "events"),
    ("", "pods"),
    ("apps", "controllerrevisions"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("coordination.k8s.io", "leases"),
    ("discovery.k8s.io", "endpointslices"),
    ("events.k8s.io", "events"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
];
