//! `GitTarget`: the branch and the folder that rules write to.

use super::refs::ProviderRef;
use super::status::TargetStatus;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where to write.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[kube(
    group = "configbutler.ai",
    version = "v1alpha1",
    kind = "GitTarget",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    doc = "The branch and the folder of a repository that rules write to.",
    shortname = "gitt",
    category = "reverser",
    printcolumn = r#"{"name":"READY", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"REASON", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"BRANCH", "type":"string", "jsonPath":".spec.branch"}"#,
    printcolumn = r#"{"name":"FOLDER", "type":"string", "jsonPath":".spec.baseFolder"}"#,
    printcolumn = r#"{"name":"LAST COMMIT", "type":"string", "jsonPath":".status.lastCommit"}"#,
    printcolumn = r#"{"name":"AGE", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct GitTargetSpec {
    /// The provider of the repository.
    pub provider_ref: ProviderRef,
    /// The branch that is written; the provider must allow it. Cannot be changed.
    #[serde(default = "branch")]
    #[schemars(length(min = 1, max = 200))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "cannot be changed: make another GitTarget"}
    ]))]
    pub branch: String,
    /// The folder below which files are written, as in `clusters/eu`; `.` is the root of the repository. It must not
    /// overlap the folder of another target on the same branch. Cannot be changed.
    #[schemars(length(min = 1, max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == '.' || self.split('/').all(part, !(part.lowerAscii() in ['', '.', '..', '.git']))", "message": "must be a relative path without empty parts, `.`, `..` and .git; the root is written as a single dot"},
        {"rule": "self == oldSelf", "message": "cannot be changed: make another GitTarget"}
    ]))]
    pub base_folder: String,
    /// How long a commit of somebody else that changes or removes files of this target is left alone, so that what
    /// applies from the folder can bring it into the cluster, such as `5m`. If the object then still differs, it is
    /// written again; `0s`: at once. An object that changes in the cluster is written at once in any case.
    #[serde(default = "foreign_edit_grace")]
    #[schemars(length(min = 1, max = 40))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$')", "message": "must be a duration such as 0s, 30s or 5m"}
    ]))]
    pub foreign_edit_grace: String,
    /// How commits are made.
    #[serde(default)]
    pub commit: CommitSettings,
}

fn foreign_edit_grace() -> String {
    "5m".to_owned()
}

/// How commits are made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CommitSettings {
    /// How long changes of one author wait for more of theirs, to become one commit: until nothing came for so long,
    /// five times as long in any case, or until somebody else changes one of the files. `0s`: each change is a commit of
    /// its own. At most `60s`. What nobody is proven to have done is grouped too.
    #[serde(default = "window")]
    #[schemars(length(min = 1, max = 40))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) <= duration('60s')", "message": "must be a duration of at most 60s, such as 0s, 500ms or 10s"}
    ]))]
    pub window: String,
    /// The messages of commits. Each begins with what its template says; the trailers that follow are always the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<CommitMessages>,
}

impl Default for CommitSettings {
    fn default() -> Self {
        Self { window: window(), message: None }
    }
}

fn window() -> String {
    "0s".to_owned()
}

/// Templates of commit messages: text with placeholders, as in `{operation} {kind}/{name}`. The first line is the
/// subject. A brace that is to stay is doubled. Lines that look like the operator's own trailers are left out.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CommitMessages {
    /// For one change, with `{operation}`, `{kind}`, `{name}`, `{namespace}`, `{apiVersion}`, `{resource}`, `{user}` and
    /// `{target}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([^{}\\\\x00-\\\\x09\\\\x0b-\\\\x1f\\\\x7f]|[{][{]|[}][}]|[{](operation|kind|name|namespace|apiVersion|resource|user|target)[}])+$')", "message": "must be text with the placeholders {operation}, {kind}, {name}, {namespace}, {apiVersion}, {resource}, {user} or {target}, and with other braces doubled"}
    ]))]
    pub change: Option<String>,
    /// For several changes of one author, with `{operation}`, `{count}`, `{created}`, `{updated}`, `{deleted}`,
    /// `{namespace}`, `{user}` and `{target}`. One line for each object follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([^{}\\\\x00-\\\\x09\\\\x0b-\\\\x1f\\\\x7f]|[{][{]|[}][}]|[{](operation|count|created|updated|deleted|namespace|user|target)[}])+$')", "message": "must be text with the placeholders {operation}, {count}, {created}, {updated}, {deleted}, {namespace}, {user} or {target}, and with other braces doubled"}
    ]))]
    pub group: Option<String>,
    /// For what a complete list brought, with `{operation}`, `{count}`, `{written}`, `{deleted}`, `{kind}`, `{namespace}`,
    /// `{apiVersion}`, `{resource}` and `{target}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([^{}\\\\x00-\\\\x09\\\\x0b-\\\\x1f\\\\x7f]|[{][{]|[}][}]|[{](operation|count|written|deleted|kind|namespace|apiVersion|resource|target)[}])+$')", "message": "must be text with the placeholders {operation}, {count}, {written}, {deleted}, {kind}, {namespace}, {apiVersion}, {resource} or {target}, and with other braces doubled"}
    ]))]
    pub seed: Option<String>,
}

fn branch() -> String {
    "main".to_owned()
}
