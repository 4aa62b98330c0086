//! References from one resource to another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The provider that a target writes through.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRef {
    /// API group of the provider.
    #[serde(default = "group")]
    #[schemars(extend("enum" = ["configbutler.ai"]))]
    pub group: String,
    /// Kind of the provider.
    #[serde(default = "git_provider")]
    #[schemars(extend("enum" = ["GitProvider"]))]
    pub kind: String,
    /// Name of the provider. It lives in the namespace of the target.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
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
