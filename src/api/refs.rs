//! References from one resource to another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The provider that a target writes through.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.kind != 'GitProvider' || self.group == 'configbutler.ai'", "message": "goes with kind GitRepository: write that kind, or leave group out", "fieldPath": ".group"},
    {"rule": "self.kind != 'GitRepository' || self.group == 'source.toolkit.fluxcd.io'", "message": "must be source.toolkit.fluxcd.io with kind GitRepository", "fieldPath": ".group"},
    {"rule": "self.kind != 'GitRepository' || !has(self.namespace)", "message": "a GitRepository is looked for in the namespace of the target only: leave namespace out", "reason": "FieldValueForbidden", "fieldPath": ".namespace"}
]))]
pub struct ProviderRef {
    /// API group of the provider: `source.toolkit.fluxcd.io` for a GitRepository of Flux.
    #[serde(default = "group")]
    #[schemars(extend("enum" = ["configbutler.ai", "source.toolkit.fluxcd.io"]))]
    pub group: String,
    /// Kind of the provider: `GitProvider`, or `GitRepository` for one of Flux.
    #[serde(default = "git_provider")]
    #[schemars(extend("enum" = ["GitProvider", "GitRepository"]))]
    pub kind: String,
    /// Name of the provider.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the provider. Absent: that of the target. The `accessPolicy` of a GitProvider must let the namespace
    /// of the target in; a GitRepository is used by targets of its own namespace only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// The target that a rule of a namespace writes to.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API group of the target.
    #[serde(default = "group")]
    #[schemars(extend("enum" = ["configbutler.ai"]))]
    pub group: String,
    /// Kind of the target.
    #[serde(default = "git_target")]
    #[schemars(extend("enum" = ["GitTarget"]))]
    pub kind: String,
    /// Name of the target. It lives in the namespace of the rule.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The target that a rule of the whole cluster writes to.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NamespacedTargetRef {
    /// API group of the target.
    #[serde(default = "group")]
    #[schemars(extend("enum" = ["configbutler.ai"]))]
    pub group: String,
    /// Kind of the target.
    #[serde(default = "git_target")]
    #[schemars(extend("enum" = ["GitTarget"]))]
    pub kind: String,
    /// Name of the target.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the target.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
}

/// A Secret in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn group() -> String {
    super::GROUP.to_owned()
}

fn git_provider() -> String {
    "GitProvider".to_owned()
}

fn git_target() -> String {
    "GitTarget".to_owned()
}
