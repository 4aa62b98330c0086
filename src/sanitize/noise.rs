//! Objects that the cluster makes by itself, and that restore themselves: not worth a file.

use super::json::{Document, NodeId};
use super::kinds::is_generated_token;
use crate::resource::ResourceType;
use std::borrow::Cow;
use std::fmt;

/// Why an object is not worth a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Noise {
    /// Another object controls it and makes it anew.
    Controlled,
    /// The cluster keeps one of it by itself: in every namespace, or once.
    Singleton,
    /// A release that Helm has stored.
    HelmRelease,
    /// A token by which machines join the cluster.
    BootstrapToken,
    /// A token that was generated for a ServiceAccount.
    GeneratedToken,
    /// A Namespace that every cluster has.
    SystemNamespace,
    /// A role or binding that the API server keeps as it is.
    BootstrapRbac,
    /// An APIService that the API server registers by itself.
    Automanaged,
    /// A lock by which replicas elect a leader.
    LeaderElection,
    /// A PriorityClass that every cluster has.
    SystemPriorityClass,
    /// A Lease by which a machine or an API server shows that it lives.
    Heartbeat,
}

impl Noise {
    /// The reason in one word, for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Controlled => "Controlled",
            Self::Singleton => "Singleton",
            Self::HelmRelease => "HelmRelease",
            Self::BootstrapToken => "BootstrapToken",
            Self::GeneratedToken => "GeneratedToken",
            Self::SystemNamespace => "SystemNamespace",
            Self::BootstrapRbac => "BootstrapRbac",
            Self::Automanaged => "Automanaged",
            Self::LeaderElection => "LeaderElection",
            Self::SystemPriorityClass => "SystemPriorityClass",
            Self::Heartbeat => "Heartbeat",
        }
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why `document`, an object of type `kind`, is not worth a file; `None` when it is.
///
/// It must be asked before the passes run: it looks at what they take out.
#[must_use]
pub fn noise(document: &Document<'_>, kind: &ResourceType) -> Option<Noise> {
    let metadata = document.find(&["metadata"])?;
    by_metadata(document, metadata).or_else(|| by_kind(document, metadata, kind))
}

fn by_metadata(document: &Document<'_>, metadata: NodeId) -> Option<Noise> {
    let member = |of: &str, key: &str| document.get(document.get(metadata, of)?, key);
    let owners = document.get(metadata, "ownerReferences");
    let controls = |owner: NodeId| document.get(owner, "controller").is_some_and(|node| document.raw(node) == "true");
    if owners.is_some_and(|owners| document.elements(owners).any(controls)) {
        return Some(Noise::Controlled);
    }
    if member("annotations", "control-plane.alpha.kubernetes.io/leader").is_some() {
        return Some(Noise::LeaderElection);
    }
    let bootstrapping = member("labels", "kubernetes.io/bootstrapping").and_then(|node| document.string(node));
    if bootstrapping.as_deref() == Some("rbac-defaults")
        || member("annotations", "rbac.authorization.kubernetes.io/autoupdate").is_some()
    {
        return Some(Noise::BootstrapRbac);
    }
    member("labels", "kube-aggregator.kubernetes.io/automanaged").map(|_| Noise::Automanaged)
}

fn by_kind(document: &Document<'_>, metadata: NodeId, kind: &ResourceType) -> Option<Noise> {
    let text = |node: Option<NodeId>| node.and_then(|node| document.string(node)).unwrap_or(Cow::Borrowed(""));
    let name = text(document.get(metadata, "name"));
    let namespace = || text(document.get(metadata, "namespace"));
    let label = |key: &str| document.get(metadata, "labels").and_then(|labels| document.get(labels, key));
    match (kind.group.as_str(), kind.kind.as_str(), name.as_ref()) {
        (
            "",
            "ConfigMap",
            "kube-root-ca.crt"
            | "openshift-service-ca.crt"
            | "istio-ca-root-cert"
            | "extension-apiserver-authentication",
        ) => Some(Noise::Singleton),
        ("", "ServiceAccount", "default") if is_unmodified(document, kind) => Some(Noise::Singleton),
        ("", "Service", "kubernetes") if namespace() == "default" => Some(Noise::Singleton),
        ("", "Namespace", "default" | "kube-system" | "kube-public" | "kube-node-lease") => {
            Some(Noise::SystemNamespace)
        }
        ("", "Secret", _) => match text(document.find(&["type"])).as_ref() {
            "helm.sh/release.v1" => Some(Noise::HelmRelease),
            "bootstrap.kubernetes.io/token" => Some(Noise::BootstrapToken),
            _ => is_generated_token(document).then_some(Noise::GeneratedToken),
        },
        // A Service controls these without being named as their owner.
        ("", "Endpoints", _) if text(label("endpoints.kubernetes.io/managed-by")) == "endpoint-controller" => {
            Some(Noise::Controlled)
        }
        ("networking.k8s.io", "IPAddress", _)
            if text(label("ipaddress.kubernetes.io/managed-by")) == "ipallocator.k8s.io" =>
        {
            Some(Noise::Controlled)
        }
        ("coordination.k8s.io", "Lease", _)
            if namespace() == "kube-node-lease" || label("apiserver.kubernetes.io/identity").is_some() =>
        {
            Some(Noise::Heartbeat)
        }
        ("scheduling.k8s.io", "PriorityClass", name) if name.starts_with("system-") => Some(Noise::SystemPriorityClass),
        _ => None,
    }
}

/// Whether the passes leave nothing of a ServiceAccount but its name.
fn is_unmodified(account: &Document<'_>, kind: &ResourceType) -> bool {
    let mut rest = account.clone();
    super::strip(&mut rest, kind);
    let only = |node: Option<NodeId>, keys: &[&str]| {
        let mut members = node.into_iter().flat_map(|node| rest.members(node));
        members.all(|member| rest.string(member.key).is_some_and(|key| keys.contains(&key.as_ref())))
    };
    only(Some(rest.root()), &["apiVersion", "kind", "metadata"])
        && only(rest.find(&["metadata"]), &["name", "namespace"])
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::mk_kind;
    use super::*;
    use serde_json::{Value, json};

    fn reason(group: &str, kind: &str, object: &Value) -> Option<Noise> {
        noise(&Document::parse(&object.to_string()).unwrap(), &mk_kind(group, kind))
    }

    fn named(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "shop"}})
    }

    #[test]
    fn what_the_cluster_makes_by_itself_is_noise() {
        let with = |member: &str, value: Value| json!({"metadata": {"name": "x", member: value}});
        let secret = |kind: &str, name: &str, annotations: Value| json!({"metadata": {"name": name, "annotations": annotations}, "type": kind, "data": {}});
        let token = "kubernetes.io/service-account-token";
        let rbac = "rbac.authorization.k8s.io";
        for (group, kind, object, expected) in [
            (
                "apps",
                "ReplicaSet",
                with("ownerReferences", json!([{"uid": "a"}, {"uid": "b", "controller": true}])),
                Noise::Controlled,
            ),
            ("", "ConfigMap", named("kube-root-ca.crt"), Noise::Singleton),
            ("", "ConfigMap", named("openshift-service-ca.crt"), Noise::Singleton),
            ("", "ConfigMap", named("istio-ca-root-cert"), Noise::Singleton),
            ("", "ConfigMap", named("extension-apiserver-authentication"), Noise::Singleton),
            ("", "Service", json!({"metadata": {"name": "kubernetes", "namespace": "default"}}), Noise::Singleton),
            ("", "ServiceAccount", named("default"), Noise::Singleton),
            (
                "",
                "ServiceAccount",
                json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "uid": "u",
                    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
                    "secrets": [{"name": "default-token-x7k2p"}], "imagePullSecrets": [{"name": "default-dockercfg-x7k2p"}]}),
                Noise::Singleton,
            ),
            ("", "Secret", secret("helm.sh/release.v1", "sh.helm.release.v1.web.v1", json!({})), Noise::HelmRelease),
            (
                "",
                "Secret",
                secret("bootstrap.kubernetes.io/token", "bootstrap-token-abcdef", json!({})),
                Noise::BootstrapToken,
            ),
            (
                "",
                "Secret",
                secret(token, "ci-token-x7k2p", json!({"kubernetes.io/service-account.name": "ci"})),
                Noise::GeneratedToken,
            ),
            ("", "Namespace", named("default"), Noise::SystemNamespace),
            ("", "Namespace", named("kube-system"), Noise::SystemNamespace),
            ("", "Namespace", named("kube-public"), Noise::SystemNamespace),
            ("", "Namespace", named("kube-node-lease"), Noise::SystemNamespace),
            (
                rbac,
                "ClusterRole",
                with("labels", json!({"kubernetes.io/bootstrapping": "rbac-defaults"})),
                Noise::BootstrapRbac,
            ),
            (
                rbac,
                "Role",
                with("annotations", json!({"rbac.authorization.kubernetes.io/autoupdate": "true"})),
                Noise::BootstrapRbac,
            ),
            (
                "apiregistration.k8s.io",
                "APIService",
                with("labels", json!({"kube-aggregator.kubernetes.io/automanaged": "onstart"})),
                Noise::Automanaged,
            ),
            (
                "",
                "ConfigMap",
                with("annotations", json!({"control-plane.alpha.kubernetes.io/leader": "{}"})),
                Noise::LeaderElection,
            ),
            ("scheduling.k8s.io", "PriorityClass", named("system-node-critical"), Noise::SystemPriorityClass),
            ("scheduling.k8s.io", "PriorityClass", named("system-cluster-critical"), Noise::SystemPriorityClass),
            (
                "",
                "Endpoints",
                with("labels", json!({"endpoints.kubernetes.io/managed-by": "endpoint-controller"})),
                Noise::Controlled,
            ),
            (
                "networking.k8s.io",
                "IPAddress",
                with("labels", json!({"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"})),
                Noise::Controlled,
            ),
            (
                "coordination.k8s.io",
                "Lease",
                json!({"metadata": {"name": "node-1", "namespace": "kube-node-lease"}}),
                Noise::Heartbeat,
            ),
            (
                "coordination.k8s.io",
                "Lease",
                with("labels", json!({"apiserver.kubernetes.io/identity": "kube-apiserver"})),
                Noise::Heartbeat,
            ),
        ] {
            assert_eq!(reason(group, kind, &object), Some(expected), "{kind} {object}");
        }
    }

    #[test]
    fn what_somebody_made_is_not() {
        let account = |member: &str, value: Value| {
            let mut account = named("default");
            account[member] = value;
            account
        };
        let token = |name: &str, annotations: Value| json!({"metadata": {"name": name, "annotations": annotations}, "type": "kubernetes.io/service-account-token"});
        let labelled = |labels: Value| json!({"metadata": {"name": "default", "labels": labels}});
        for (group, kind, object) in [
            (
                "apps",
                "ReplicaSet",
                json!({"metadata": {"name": "x", "ownerReferences": [{"uid": "a", "controller": false}, {"uid": "b"}]}}),
            ),
            ("", "ConfigMap", named("web")),
            ("", "Secret", named("kube-root-ca.crt")),
            ("example.com", "ConfigMap", named("kube-root-ca.crt")),
            ("", "Service", named("kubernetes")),
            ("", "Service", json!({"metadata": {"name": "web", "namespace": "default"}})),
            ("", "ServiceAccount", named("builder")),
            ("", "ServiceAccount", labelled(json!({"team": "a"}))),
            (
                "",
                "ServiceAccount",
                json!({"metadata": {"name": "default", "annotations": {"eks.amazonaws.com/role-arn": "arn"}}}),
            ),
            ("", "ServiceAccount", account("automountServiceAccountToken", json!(false))),
            ("", "ServiceAccount", account("imagePullSecrets", json!([{"name": "registry"}]))),
            ("", "ServiceAccount", account("secrets", json!([{"name": "default-token-x7k2p"}, {"name": "mine"}]))),
            ("", "Secret", json!({"metadata": {"name": "x"}, "type": "Opaque"})),
            ("", "Secret", token("ci", json!({"kubernetes.io/service-account.name": "builder"}))),
            ("", "Secret", token("builder-token-x7k2p", json!({}))),
            (
                "",
                "Secret",
                token(
                    "builder-token-x7k2p",
                    json!({"kubernetes.io/service-account.name": "builder",
                "kubectl.kubernetes.io/last-applied-configuration": "{}"}),
                ),
            ),
            ("", "Namespace", named("shop")),
            ("example.com", "Namespace", named("default")),
            (
                "rbac.authorization.k8s.io",
                "ClusterRole",
                json!({"metadata": {"name": "x", "labels": {"kubernetes.io/bootstrapping": "no"}}}),
            ),
            ("scheduling.k8s.io", "PriorityClass", named("high")),
            ("", "Endpoints", labelled(json!({"endpoints.kubernetes.io/managed-by": "somebody"}))),
            ("networking.k8s.io", "IPAddress", labelled(json!({"ipaddress.kubernetes.io/managed-by": "somebody"}))),
            ("coordination.k8s.io", "Lease", named("node-1")),
            ("example.com", "PriorityClass", named("system-x")),
            ("", "ConfigMap", json!({})),
            (
                "",
                "ConfigMap",
                json!({"metadata": {"name": 1, "labels": [], "annotations": "x", "ownerReferences": {"controller": true}}}),
            ),
        ] {
            assert_eq!(reason(group, kind, &object), None, "{kind} {object}");
        }
    }

    #[test]
    fn a_reason_is_one_word() {
        assert_eq!(Noise::HelmRelease.to_string(), "HelmRelease");
    }
}
