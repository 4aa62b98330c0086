//! `WatchRule`: which objects of its own namespace are mirrored, and where to.

use super::labels;
use super::refs::TargetRef;
use super::status::RuleStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to watch in the rule's namespace.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "configbutler.ai",
    version = "v1alpha1",
    kind = "WatchRule",
    namespaced,
    status = "RuleStatus",
    derive = "PartialEq",
    doc = "Which objects of its own namespace are mirrored, and the target that they are written to.",
    shortname = "wr",
    category = "reverser",
    printcolumn = r#"{"name":"READY", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"REASON", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"TARGET", "type":"string", "jsonPath":".spec.sinkRef.name"}"#,
    printcolumn = r#"{"name":"AGE", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct WatchRuleSpec {
    /// The target that the objects are written to, in the namespace of the rule.
    pub sink_ref: TargetRef,
    /// What to watch: whatever any of these selects. Absent: the types that describe a desired state, such as
    /// deployments, services and configmaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub rules: Option<Vec<ResourceRule>>,
    /// Only objects whose labels it matches are mirrored. When an object's labels no longer match, its file is removed.
    /// Absent: all objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels::selector")]
    pub object_selector: Option<LabelSelector>,
    /// Stops all mirroring by this rule until it is `false` again; no file is removed because of it.
    #[serde(default)]
    pub suspend: bool,
}

/// One selection of resource types.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRule {
    /// Which changes are mirrored: `CREATE`, `UPDATE`, `DELETE`, or `*` for all. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("items" = {"type": "string", "enum": ["CREATE", "UPDATE", "DELETE", "*"]}))]
    pub operations: Vec<String>,
    /// API groups: the empty string for the core group, `*` for all. Absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub api_groups: Vec<String>,
    /// API versions, such as `v1`; `*` for the preferred one. Absent: the preferred one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub api_versions: Vec<String>,
    /// Resources: `deployments`, `roles.rbac.authorization.k8s.io`, or `*` for all but short-lived ones. Absent: the
    /// types that describe a desired state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 317)))]
    pub resources: Vec<String>,
}
