//! Who may write through a provider or a target.

use super::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may write through a provider.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProviderAccess {
    /// The namespaces whose targets may use the provider.
    #[serde(default)]
    pub namespaced_rules: NamespacedRules,
    /// Whether what ClusterWatchRules select may be written through the provider. The target must allow it too.
    #[serde(default)]
    pub allow_cluster_rules: bool,
}

/// A choice of namespaces.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.mode != 'FromSelector' || has(self.namespaceSelector)", "message": "mode FromSelector needs a namespaceSelector: add one, or write mode AllNamespaces", "reason": "FieldValueRequired", "fieldPath": ".namespaceSelector"},
    {"rule": "self.mode == 'FromSelector' || !has(self.namespaceSelector)", "message": "only mode FromSelector reads a namespaceSelector: write that mode, or leave the selector out", "reason": "FieldValueForbidden", "fieldPath": ".namespaceSelector"}
]))]
pub struct NamespacedRules {
    /// `SameNamespace`: only the namespace of the provider; `AllNamespaces`; `FromSelector`: those whose labels
    /// `namespaceSelector` matches.
    #[serde(default = "mode")]
    #[schemars(extend("enum" = ["SameNamespace", "AllNamespaces", "FromSelector"]))]
    pub mode: String,
    /// Matches the labels of namespaces, as they are at any time; one without any requirement matches all. With mode
    /// `FromSelector` only, and required there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels::selector")]
    pub namespace_selector: Option<LabelSelector>,
}

impl Default for NamespacedRules {
    fn default() -> Self {
        Self { mode: mode(), namespace_selector: None }
    }
}

fn mode() -> String {
    "SameNamespace".to_owned()
}

/// Who may write to a target.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TargetAccess {
    /// Whether ClusterWatchRules may write here; a GitProvider must allow it too. Absent: yes with a GitProvider, no with
    /// a GitRepository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_cluster_rules: Option<bool>,
}
