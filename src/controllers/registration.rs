//! Keeps the operator's entry in a ValidatingWebhookConfiguration equal to what is mirrored.
//!
//! Every type is pinned to the version that is watched: then the API server shows each object to the webhook as it
//! shows it to the watch, and both come to the same content hash. A wildcard would undo that.

use crate::resource::ResourceType;
use crate::rules::RuleSet;
use crate::sanitize::FIELD_MANAGER;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use base64::Engine as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What to register.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Name of the ValidatingWebhookConfiguration.
    pub configuration: String,
    /// Name of the entry in it, such as `attribution.configbutler.ai`.
    pub webhook: String,
    /// Where the API server finds the webhook.
    pub endpoint: Endpoint,
    /// The certificates, as PEM, that the webhook's own is checked against.
    pub ca_bundle: String,
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

/// Applies the entry for each new set of rules, the first of them the one that is sent after this was called. Ends
/// when no more can come.
pub async fn run(client: Client, settings: Registration, mut rules: watch::Receiver<Arc<RuleSet>>) {
    let api: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let mut applied: Option<Value> = None;
    let mut retry: Option<ExponentialBackoff> = None;
    while retry.is_some() || rules.changed().await.is_ok() {
        let wanted = configuration(&settings, &rules.borrow_and_update());
        if applied.as_ref() == Some(&wanted) {
            retry = None;
            continue;
        }
        let patch = Patch::Apply(&wanted);
        let request = api.patch(&settings.configuration, &parameters, &patch);
        match tokio::time::timeout(DEADLINE, request).await {
            Ok(Ok(configuration)) => {
                let webhooks = configuration.webhooks.iter().flatten().count();
                tracing::info!(configuration = configuration.name_any(), webhooks, "Registered for admission");
                (applied, retry) = (Some(wanted), None);
                continue;
            }
            Ok(Err(error)) => tracing::warn!(%error, "Registering for admission failed"),
            Err(_) => tracing::warn!(seconds = DEADLINE.as_secs(), "The API server did not answer a registration"),
        }
        let wait = retry.get_or_insert_with(backoff).next().unwrap_or_default();
        tokio::time::sleep(wait).await;
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(30))
        .without_max_times()
        .with_jitter()
        .build()
}

fn configuration(settings: &Registration, rules: &RuleSet) -> Value {
    let watched = admission_rules(rules.selected().map(AsRef::as_ref));
    let webhooks = if watched.is_empty() { json!([]) } else { json!([entry(settings, &watched)]) };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": settings.configuration},
        "webhooks": webhooks,
    })
}

fn entry(settings: &Registration, rules: &[Value]) -> Value {
    let mut client = match &settings.endpoint {
        Endpoint::Url(url) => json!({"url": url}),
        Endpoint::Service { namespace, name, path, port } => {
            json!({"service": {"namespace": namespace, "name": name, "path": path, "port": port}})
        }
    };
    client["caBundle"] = json!(base64::prelude::BASE64_STANDARD.encode(&settings.ca_bundle));
    json!({
        "name": settings.webhook,
        "clientConfig": client,
        "rules": rules,
        "matchPolicy": "Equivalent",
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "timeoutSeconds": 1,
        "admissionReviewVersions": ["v1"],
        "matchConditions": [
            {"name": "no-dry-run", "expression": "!has(request.dryRun) || !request.dryRun"},
            {"name": "no-no-op", "expression": "request.operation != 'UPDATE' || object != oldObject"},
        ],
    })
}

/// One rule a group, version and scope.
fn admission_rules<'a>(kinds: impl Iterator<Item = &'a ResourceType>) -> Vec<Value> {
    let mut resources: BTreeMap<(&str, &str, bool), Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        resources.entry((&kind.group, &kind.version, kind.namespaced)).or_default().push(&kind.resource);
    }
    let rules = resources.into_iter().map(|((group, version, namespaced), resources)| {
        json!({
            "apiGroups": [group],
            "apiVersions": [version],
            "resources": resources,
            "operations": ["CREATE", "UPDATE", "DELETE"],
            "scope": if namespaced { "Namespaced" } else { "Cluster" },
        })
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_kind(group: &str, version: &str, resource: &str, namespaced: bool) -> ResourceType {
        ResourceType {
            group: group.into(),
            version: version.into(),
            resource: resource.into(),
            kind: "Any".into(),
            namespaced,
        }
    }

    fn mk_settings(endpoint: Endpoint) -> Registration {
        Registration {
            configuration: "reverser".into(),
            webhook: "a.example.com".into(),
            endpoint,
            ca_bundle: "PEM".into(),
        }
    }

    #[test]
    fn every_type_is_pinned_and_nothing_is_a_wildcard() {
        let kinds = [
            mk_kind("", "v1", "configmaps", true),
            mk_kind("", "v1", "secrets", true),
            mk_kind("", "v1", "namespaces", false),
            mk_kind("apps", "v1", "deployments", true),
            mk_kind("example.com", "v2", "widgets", true),
        ];
        let rules = admission_rules(kinds.iter());
        let lines: Vec<_> = rules
            .iter()
            .map(|rule| {
                format!("{} {} {} {}", rule["apiGroups"], rule["apiVersions"], rule["resources"], rule["scope"])
            })
            .collect();
        assert_eq!(
            lines,
            [
                r#"[""] ["v1"] ["namespaces"] "Cluster""#,
                r#"[""] ["v1"] ["configmaps","secrets"] "Namespaced""#,
                r#"["apps"] ["v1"] ["deployments"] "Namespaced""#,
                r#"["example.com"] ["v2"] ["widgets"] "Namespaced""#,
            ]
        );
    }

    #[test]
    fn nothing_mirrored_means_nothing_called() {
        let settings = mk_settings(Endpoint::Url("https://127.0.0.1:1/x".into()));
        assert_eq!(configuration(&settings, &RuleSet::default())["webhooks"], json!([]));
    }

    #[test]
    fn the_webhook_can_never_block_a_request() {
        let endpoint = Endpoint::Service { namespace: "ns".into(), name: "svc".into(), path: "/x".into(), port: 443 };
        let entry = entry(&mk_settings(endpoint), &[json!({})]);
        assert_eq!(entry["failurePolicy"], "Ignore");
        assert_eq!(entry["timeoutSeconds"], 1);
        assert_eq!(entry["sideEffects"], "None");
        assert_eq!(entry["clientConfig"]["service"]["port"], 443);
        assert_eq!(entry["clientConfig"]["caBundle"], "UEVN");
    }
}
