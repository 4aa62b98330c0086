//! `GitTarget`: the branch and the folder that rules write to.

use super::access::TargetAccess;
use super::duration;
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
    printcolumn = r#"{"name":"LAST COMMIT", "type":"string", "jsonPath":".status.gitStatus.lastCommitSHA"}"#,
    printcolumn = r#"{"name":"LAST PUSH", "type":"date", "jsonPath":".status.workerStatus.lastPushTime"}"#,
    printcolumn = r#"{"name":"QUEUED", "type":"integer", "jsonPath":".status.workerStatus.queuedEvents"}"#,
    printcolumn = r#"{"name":"AGE", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct GitTargetSpec {
    /// The provider of the repository.
    pub provider_ref: ProviderRef,
    /// The branch that is written; the provider must allow it. Cannot be changed.
    #[serde(default = "branch")]
    #[schemars(length(max = 200))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self != '' && !self.matches('[\\\\x00-\\\\x20\\\\x7f~^:?*[\\\\\\\\]|[.][.]|@[{]|//|^[-/]|^refs/heads/|[./]$|(^|/)[.]|[.]lock(/|$)|^(@|HEAD)$')", "message": "must be the name of a branch, such as main or clusters/eu, as git allows it and without refs/heads/"},
        {"rule": "self == oldSelf", "message": "cannot be changed: make another GitTarget"}
    ]))]
    pub branch: String,
    /// The folder below which files are written, as in `clusters/eu`; `.` is the root of the repository. It must not
    /// overlap the folder of another target on the same branch. Cannot be changed.
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == '.' || self.split('/').all(part, !(part.lowerAscii() in ['', '.', '..', '.git', '.gitmodules', '.gitattributes', '.gitignore']))", "message": "must be a relative path without empty parts, `.`, `..` and Git's own files; the root is written as a single dot"},
        {"rule": "self == '.' || !self.matches('[\\\\x00-\\\\x1f\\\\x7f\\\\\\\\]| (/|$)|[^./][.]+(/|$)')", "message": "must not hold control characters or backslashes, and no part may end in a dot or a space"},
        {"rule": "self == oldSelf", "message": "cannot be changed: make another GitTarget"}
    ]))]
    pub base_folder: String,
    /// How long a commit of somebody else that changes or removes files of this target is left alone, so that what
    /// applies from the folder can bring it into the cluster, such as `5m`; at most `24h`. If the object then still differs, it is
    /// written again; `0s`: at once. An object that changes in the cluster is written at once in any case.
    #[serde(default = "foreign_edit_grace")]
    #[schemars(length(max = duration::LONGEST_TEXT), extend("x-kubernetes-validations" = duration::checks("0s", "24h", "0s, 30s or 5m")))]
    pub foreign_edit_grace: String,
    /// How commits are made.
    #[serde(default)]
    pub commit: CommitSettings,
    /// Who may write to the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_policy: Option<TargetAccess>,
    /// Fields that are never written, since something in the cluster keeps changing them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore_fields: Vec<IgnoreFields>,
    /// What is written of Secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Secrets>,
    /// Which files are removed.
    #[serde(default)]
    pub prune: Prune,
    /// Stops all writing until it is `false` again; no file is removed because of it.
    #[serde(default)]
    pub suspend: bool,
}

/// Fields of some objects that are never written.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct IgnoreFields {
    /// API group of the objects; the empty string for the core group.
    #[schemars(length(max = 253))]
    pub group: String,
    /// Resource of the objects, as in `deployments`.
    #[schemars(length(max = 63))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')", "message": "must be the plural name of one resource in lower case, such as deployments"}
    ]))]
    pub resource: String,
    /// Namespace of the objects. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name of the object. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
    /// JSON pointers (RFC 6901) to the fields, as in `/spec/replicas` or `/metadata/annotations/example.com~1checksum`:
    /// `~1` stands for a slash within a name and `~0` for a tilde. Items of lists are counted from 0.
    #[schemars(length(min = 1, max = 64), extend("items" = {
        "type": "string",
        "maxLength": 512,
        "x-kubernetes-validations": [
            {"rule": "self.matches('^(/([^/~]|~[01])*)+$')", "message": "must be a JSON pointer such as /spec/replicas; within a name, / is written as ~1 and ~ as ~0"},
            {"rule": "!(self in ['/apiVersion', '/kind', '/metadata', '/metadata/name', '/metadata/namespace'])", "message": "must not take away apiVersion, kind, metadata.name or metadata.namespace: a file without them is no object"}
        ]
    }))]
    pub json_pointers: Vec<String>,
}

/// What is written of Secrets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    /// `Plaintext`: Secrets as they are stored, readable for whoever reads the repository; `Omit`: none. Absent: what the
    /// operator's flag `--secrets-policy` says; where that is `Omit`, a target cannot loosen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["Plaintext", "Omit"]))]
    pub policy: Option<String>,
}

/// Which files are removed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Prune {
    /// `Always`: the files of objects that are gone or no longer selected; `OnEvent`: only those of objects that were seen
    /// to be deleted; `Never`: none.
    #[serde(default = "prune_mode")]
    #[schemars(extend("enum" = ["Always", "OnEvent", "Never"]))]
    pub mode: String,
    /// How many files one comparison with the cluster may remove; the rest waits for the next. `0`: none. Absent: as many
    /// as the operator's flag `--deletes-cap-per-cycle` says, or all; the smaller of both counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000), extend("format" = null))]
    pub max_deletes_per_cycle: Option<i32>,
}

impl Default for Prune {
    fn default() -> Self {
        Self { mode: prune_mode(), max_deletes_per_cycle: None }
    }
}

fn prune_mode() -> String {
    "Always".to_owned()
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
    #[schemars(length(max = duration::LONGEST_TEXT), extend("x-kubernetes-validations" = duration::checks("0s", "60s", "0s, 500ms or 10s")))]
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
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([^{}\\\\x00-\\\\x09\\\\x0b-\\\\x1f\\\\x7f]|[{][{]|[}][}]|[{](operation|kind|name|namespace|apiVersion|resource|user|target)[}])+$')", "message": "must be text with the placeholders {operation}, {kind}, {name}, {namespace}, {apiVersion}, {resource}, {user} or {target}, and with other braces doubled"}
    ]))]
    pub change: Option<String>,
    /// For several changes of one author, with `{operation}`, `{count}`, `{created}`, `{updated}`, `{deleted}`,
    /// `{namespace}`, `{user}` and `{target}`. One line for each object follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([^{}\\\\x00-\\\\x09\\\\x0b-\\\\x1f\\\\x7f]|[{][{]|[}][}]|[{](operation|count|created|updated|deleted|namespace|user|target)[}])+$')", "message": "must be text with the placeholders {operation}, {count}, {created}, {updated}, {deleted}, {namespace}, {user} or {target}, and with other braces doubled"}
    ]))]
    pub group: Option<String>,
    /// For what a complete list brought, with `{operation}`, `{count}`, `{written}`, `{deleted}`, `{kind}`, `{namespace}`,
    /// `{apiVersion}`, `{resource}` and `{target}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^([^{}\\\\x00-\\\\x09\\\\x0b-\\\\x1f\\\\x7f]|[{][{]|[}][}]|[{](operation|count|written|deleted|kind|namespace|apiVersion|resource|target)[}])+$')", "message": "must be text with the placeholders {operation}, {count}, {written}, {deleted}, {kind}, {namespace}, {apiVersion}, {resource} or {target}, and with other braces doubled"}
    ]))]
    pub seed: Option<String>,
}

fn branch() -> String {
    "main".to_owned()
}
