//! The ValidatingWebhookConfiguration: which calls the API server is to make.
//!
//! Every mirrored type is pinned to the version that is watched: then the API server shows each object to the webhook
//! as it shows it to the watch, and both come to the same content hash. A wildcard in the same entry would undo that.

use crate::rules::{Catalog, RuleSet};
use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The name of the operator's entry in the ValidatingWebhookConfiguration.
pub const ENTRY: &str = "attribution.configbutler.ai";

/// What to register.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Name of the ValidatingWebhookConfiguration.
    pub configuration: String,
    /// Where the API server finds the webhook.
    pub endpoint: Endpoint,
    /// The certificates, as PEM, that the webhook's own is checked against; `None`: those of the API server's system.
    pub ca_bundle: Option<String>,
    /// The user name of the operator's own service account, whose writes nobody needs to hear of.
    pub service_account: Option<String>,
}

/// Where the API server finds the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// At an `https://` address.
    Url(String),
    /// Behind a Service.
    Service {
        /// Namespace of the Service.
        namespace: String,
        /// Name of the Service.
        name: String,
        /// Path of the request.
        path: String,
        /// Port of the Service.
        port: u16,
    },
}

impl Endpoint {
    /// The same with one more segment of the path.
    #[must_use]
    pub fn below(self, segment: &str) -> Self {
        let longer = |path: &str| format!("{}/{segment}", path.trim_end_matches('/'));
        match self {
            Self::Url(url) => Self::Url(longer(&url)),
            Self::Service { namespace, name, path, port } => {
                Self::Service { namespace, name, path: longer(&path), port }
            }
        }
    }
}

/// The rules that cover exactly what `rules` selects, with the subresources that `catalog` knows: one a group, version
/// and scope, in order. Empty when nothing is selected.
#[must_use]
pub fn exact_rules(rules: &RuleSet, catalog: &Catalog) -> Vec<Value> {
    let mut resources: BTreeMap<(&str, &str, bool), Vec<String>> = BTreeMap::new();
    for kind in rules.selected() {
        let resources = resources.entry((&kind.group, &kind.version, kind.namespaced)).or_default();
        resources.push(kind.resource.clone());
        resources.extend(catalog.subresources(kind).iter().map(|name| format!("{}/{name}", kind.resource)));
    }
    let rules = resources.into_iter().map(|((group, version, namespaced), resources)| {
        let scope = if namespaced { "Namespaced" } else { "Cluster" };
        rule(group, version, &resources, scope)
    });
    rules.collect()
}

/// The rules that cover everything, for those who do not let the operator edit them.
#[must_use]
pub fn broad_rules() -> Vec<Value> {
    vec![rule("*", "*", &["*", "*/scale", "*/status"].map(str::to_owned), "*")]
}

fn rule(group: &str, version: &str, resources: &[String], scope: &str) -> Value {
    json!({
        "apiGroups": [group],
        "apiVersions": [version],
        "resources": resources,
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "scope": scope,
    })
}

/// The whole configuration with `rules`; without any it has no entry, so that the API server makes no call.
#[must_use]
pub fn configuration(registration: &Registration, rules: &[Value]) -> Value {
    document(registration, if rules.is_empty() { json!([]) } else { json!([entry(registration, rules)]) })
}

/// What the operator applies to a configuration whose rules belong to somebody else: the authority alone.
#[must_use]
pub fn authority(registration: &Registration) -> Value {
    document(registration, json!([{"name": ENTRY, "clientConfig": with_authority(json!({}), registration)}]))
}

fn document(registration: &Registration, webhooks: Value) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": registration.configuration},
        "webhooks": webhooks,
    })
}

fn with_authority(mut client_config: Value, registration: &Registration) -> Value {
    if let Some(pem) = &registration.ca_bundle {
        client_config["caBundle"] = json!(base64::prelude::BASE64_STANDARD.encode(pem));
    }
    client_config
}

fn entry(registration: &Registration, rules: &[Value]) -> Value {
    let client = match &registration.endpoint {
        Endpoint::Url(url) => json!({"url": url}),
        Endpoint::Service { namespace, name, path, port } => {
            json!({"service": {"namespace": namespace, "name": name, "path": path, "port": port}})
        }
    };
    json!({
        "name": ENTRY,
        "clientConfig": with_authority(client, registration),
        "rules": rules,
        "matchPolicy": "Equivalent",
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
        "matchConditions": match_conditions(registration.service_account.as_deref(), rules == broad_rules()),
    })
}

/// What keeps calls away that could prove nothing. An expression that fails on some request silently keeps that call
/// away too, so each tests for presence before it looks.
fn match_conditions(service_account: Option<&str>, is_broad: bool) -> Vec<Value> {
    let metadata = ["labels", "annotations", "finalizers"]
        .map(|field| format!("object.metadata.?{field} != oldObject.metadata.?{field}"))
        .join(" || ");
    let mut conditions = vec![
        ("no-dry-run", "!has(request.dryRun) || !request.dryRun".to_owned()),
        ("no-no-op", "request.operation != 'UPDATE' || object != oldObject".to_owned()),
        (
            "status-only-with-metadata",
            format!("!has(request.subResource) || request.subResource != 'status' || {metadata}"),
        ),
    ];
    if let Some(name) = service_account {
        conditions.push(("not-the-operator", format!("request.userInfo.username != '{name}'")));
    }
    if is_broad {
        // While nobody answers, each call takes a second: the heartbeats of nodes and leaders must not.
        let is = |resource: &str, groups: &str| {
            format!("request.resource.resource == '{resource}' && request.resource.group in [{groups}]")
        };
        let (lease, event) = (is("leases", "'coordination.k8s.io'"), is("events", "'', 'events.k8s.io'"));
        conditions.push(("no-heartbeats", format!("!({lease}) && !({event})")));
    }
    conditions.into_iter().map(|(name, expression)| json!({"name": name, "expression": expression})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{
        BaseFolder, BranchKey, BranchName, NamespaceSet, NamespacedName, Operations, ProviderKey, RepoUrl, ResourceType,
    };
    use crate::rules::{Route, Target, Wish};
    use std::sync::Arc;

    fn mk_kind(group: &str, version: &str, resource: &str, namespaced: bool) -> ResourceType {
        ResourceType {
            group: group.into(),
            version: version.into(),
            resource: resource.into(),
            kind: "Any".into(),
            namespaced,
        }
    }

    /// Rules of a target that takes no changes yet.
    fn mk_rules(kinds: &[ResourceType]) -> RuleSet {
        let target = Arc::new(Target {
            name: NamespacedName::new("ns", "target"),
            branch: BranchKey {
                provider: ProviderKey::ours(NamespacedName::new("ns", "provider")),
                provider_uid: "uid".into(),
                url: RepoUrl::parse("https://git.example.com/r", false).unwrap(),
                branch: BranchName::new("main").unwrap(),
            },
            base_folder: BaseFolder::root(),
        });
        let route = |kind: &ResourceType| {
            let route = Route {
                target: Arc::clone(&target),
                namespaces: NamespaceSet::ALL,
                selector: None,
                wish: Wish::Mirror(Operations::NONE),
            };
            (Arc::new(kind.clone()), route)
        };
        RuleSet::new([], kinds.iter().map(route))
    }

    fn mk_registration(endpoint: Endpoint) -> Registration {
        Registration {
            configuration: "reverser".into(),
            endpoint,
            ca_bundle: Some("PEM".into()),
            service_account: Some("system:serviceaccount:ns:reverser".into()),
        }
    }

    fn url() -> Endpoint {
        Endpoint::Url("https://127.0.0.1:1/x".into())
    }

    #[test]
    fn every_type_is_pinned_and_nothing_is_a_wildcard() {
        let kinds = [
            mk_kind("", "v1", "configmaps", true),
            mk_kind("", "v1", "pods", true),
            mk_kind("", "v1", "namespaces", false),
            mk_kind("apps", "v1", "deployments", true),
            mk_kind("example.com", "v2", "widgets", true),
        ];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let catalog = Catalog::new(kinds.clone()).with_subresources([
            (kinds[1].clone(), names(&["binding", "eviction", "status"])),
            (kinds[3].clone(), names(&["scale", "status"])),
            (mk_kind("example.com", "v1", "widgets", true), names(&["scale"])),
            (mk_kind("apps", "v1", "statefulsets", true), names(&["scale"])),
        ]);
        let lines: Vec<_> = exact_rules(&mk_rules(&kinds), &catalog)
            .iter()
            .map(|rule| {
                format!("{} {} {} {}", rule["apiGroups"], rule["apiVersions"], rule["resources"], rule["scope"])
            })
            .collect();
        assert_eq!(
            lines,
            [
                r#"[""] ["v1"] ["namespaces"] "Cluster""#,
                r#"[""] ["v1"] ["configmaps","pods","pods/binding","pods/eviction","pods/status"] "Namespaced""#,
                r#"["apps"] ["v1"] ["deployments","deployments/scale","deployments/status"] "Namespaced""#,
                r#"["example.com"] ["v2"] ["widgets"] "Namespaced""#,
            ]
        );
    }

    #[test]
    fn nothing_mirrored_means_nothing_called() {
        let rules = exact_rules(&RuleSet::default(), &Catalog::default());
        assert_eq!(configuration(&mk_registration(url()), &rules)["webhooks"], json!([]));
    }

    #[test]
    fn the_webhook_can_never_block_a_request() {
        let endpoint = Endpoint::Service { namespace: "ns".into(), name: "svc".into(), path: "/x".into(), port: 443 };
        let entry = entry(&mk_registration(endpoint), &broad_rules());
        assert_eq!(entry["failurePolicy"], "Ignore");
        assert_eq!(entry["timeoutSeconds"], 1);
        assert_eq!(entry["sideEffects"], "None");
        assert_eq!(entry["clientConfig"]["service"]["port"], 443);
        assert_eq!(entry["clientConfig"]["caBundle"], "UEVN");
    }

    #[test]
    fn without_an_account_of_its_own_no_user_is_left_out() {
        assert_eq!(match_conditions(Some("x"), false).len(), match_conditions(None, false).len() + 1);
    }

    #[test]
    fn a_rule_for_everything_leaves_out_the_heartbeats_and_an_exact_one_does_not() {
        let has = |rules: &[Value]| {
            let entry = entry(&mk_registration(url()), rules);
            entry["matchConditions"].as_array().unwrap().iter().any(|condition| condition["name"] == "no-heartbeats")
        };
        assert!(has(&broad_rules()));
        assert!(!has(&[rule("coordination.k8s.io", "v1", &["leases".to_owned()], "Namespaced")]));
    }

    #[test]
    fn of_a_configuration_of_somebody_else_only_the_authority_is_ours() {
        let webhooks = authority(&mk_registration(url()))["webhooks"].clone();
        assert_eq!(webhooks, json!([{"name": ENTRY, "clientConfig": {"caBundle": "UEVN"}}]));
    }
}
