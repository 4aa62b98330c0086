//! What the operator reports about each resource.

use super::labels;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many entries of each list of [`RuleStatus`] are written at most.
pub const MOST_RESOURCES: usize = 500;

/// Status of a provider.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProviderStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` says whether the provider can be used and, if not, why and what to do. `Reconciling` and `Stalled` are
    /// there while it is not ready: they say whether it may become so by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// Status of a rule.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RuleStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` says whether the rule is in effect and, if not, why and what to do. `Reconciling` and `Stalled` are there
    /// while it is not ready: they say whether it may become so by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The types that the rule selects, each as in `apps/v1/deployments` or `v1/configmaps`; at most 500 are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_RESOURCES))]
    pub resources: Vec<String>,
    /// Those of them that cannot be watched; at most 500 are listed. Their files stay as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MOST_RESOURCES))]
    pub unavailable: Vec<Unavailable>,
}

/// A type that cannot be watched.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Unavailable {
    /// The type, as in `resources`.
    pub resource: String,
    /// Why, in one word: `Forbidden`, `NotServed` or `WatchFailed`.
    pub reason: String,
    /// Why, and what to do, in one sentence.
    pub message: String,
}

/// Status of a target.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The `metadata.generation` that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready` says whether the target can be written and, if not, why and what to do; `Available` whether the remote
    /// takes pushes, `Active` whether somebody writes, `Synced` whether all is there. `Reconciling` and `Stalled` are
    /// there while it is not ready: they say whether it may become so by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// What the remote was last seen to hold. Absent while it cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_status: Option<GitStatus>,
    /// What is being written. Absent while nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_status: Option<WorkerStatus>,
    /// How many objects have a file in the folder. Brought up to date every half minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracked_objects: Option<i64>,
    /// How many changes were committed since the operator started, by how firmly their author is known: `exact`,
    /// `version`, `relisted`, `inferred`, `ambiguous`, `none`. Brought up to date every half minute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attribution: BTreeMap<String, i64>,
    /// What rules select or keep. What was in it and no rule selects any more is removed from the folder, also after a
    /// restart of the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<SelectedTypes>,
    /// The last value of the annotation `reconcile.configbutler.ai/requestedAt` that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_request: Option<String>,
}

/// The branch on the remote, as last seen.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GitStatus {
    /// Whether the branch is there. It is made with the first commit.
    pub branch_exists: bool,
    /// The commit at its tip. Brought up to date every half minute, and at once when changes of this target have arrived
    /// there and none did in the half minute before.
    #[serde(rename = "lastCommitSHA", default, skip_serializing_if = "Option::is_none")]
    pub last_commit_sha: Option<String>,
    /// When that was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub last_checked: Option<Time>,
}

/// How far writing has come, of all targets on the branch together. Numbers are brought up to date every half minute.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerStatus {
    /// Whether the branch is being written.
    pub active: bool,
    /// How many changes wait to be committed.
    pub queued_events: i64,
    /// How many commits wait to be pushed.
    pub unpushed_commits: i64,
    /// When a push last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub last_push_time: Option<Time>,
    /// How the last push went: `Success`, `Failed`, or `Pending` while commits wait for the next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Success", "Failed", "Pending"]))]
    pub last_push_status: Option<String>,
}

/// Objects that rules select or keep: those of each of some types in the same namespaces, with the same labels.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SelectedTypes {
    /// The types, each as in `apps/v1/deployments` or `v1/configmaps`.
    pub types: Vec<String>,
    /// The namespaces. Absent: all, and objects without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// Namespaces that are left out where `namespaces` is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except_namespaces: Vec<String>,
    /// Matches the labels of the objects. Absent: any, or that the labels of all rules together are too long to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels::stored_selector")]
    pub object_selector: Option<LabelSelector>,
    /// Whether files of objects that are gone are removed.
    pub deletes: bool,
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// The schema of a list of `metav1.Condition`, one of each type.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string", "maxLength": 316, "description": "What the condition is about, in CamelCase."},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The `metadata.generation` that the condition is about."
                },
                "lastTransitionTime": {
                    "type": "string", "format": "date-time", "description": "When the status last became another one."
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024, "description": "Why, in one word in CamelCase."
                },
                "message": {
                    "type": "string", "maxLength": 32768, "description": "Why, and what to do, in one sentence."
                }
            }
        }
    })
}
