//! `GitProvider`: how to reach and authenticate to one repository, and which branches may be written.

use super::access::ProviderAccess;
use super::duration;
use super::refs::SecretRef;
use super::status::ProviderStatus;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

impl GitProviderSpec {
    /// The names of the Secrets that the provider refers to.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let signing = self.commit.as_ref().and_then(|commit| commit.signing.as_ref());
        let secrets = self.secret_ref.as_ref().into_iter().chain(signing.map(|signing| &signing.secret_ref));
        secrets.map(|secret| secret.name.as_str())
    }
}

/// How to reach the repository.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "configbutler.ai",
    version = "v1alpha1",
    kind = "GitProvider",
    namespaced,
    status = "ProviderStatus",
    derive = "PartialEq",
    doc = "How to reach and authenticate to one Git repository, and which of its branches may be written.",
    shortname = "gitp",
    category = "reverser",
    printcolumn = r#"{"name":"READY", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].status"}"#,
    printcolumn = r#"{"name":"REASON", "type":"string", "jsonPath":".status.conditions[?(@.type=='Ready')].reason"}"#,
    printcolumn = r#"{"name":"URL", "type":"string", "jsonPath":".spec.url"}"#,
    printcolumn = r#"{"name":"AGE", "type":"date", "jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct GitProviderSpec {
    /// Address of the repository, as in `https://git.example.com/team/cluster.git`,
    /// `ssh://git@git.example.com/team/cluster.git` or `git@git.example.com:team/cluster.git`. `http://` and `file://`
    /// need the operator's flag `--allow-insecure-transports`. Cannot be changed.
    #[schemars(length(max = 2000))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^(https|ssh|http|file)://[^ ]+$') || self.matches('^[^/: ]+:[^/: ][^ ]*$') || self.matches('^[^/: ]+:/[^/ ][^ ]*$') || self.matches('^[^/: ]*[[][0-9a-fA-F:.]+[]]:[^: ]+$')", "message": "must be https://host/path, ssh://user@host/path or user@host:path, without spaces"},
        {"rule": "!self.matches('^(https|http|file)://[^/]*@')", "message": "must not hold a user name or password: put both into the Secret of spec.secretRef"},
        {"rule": "!self.matches('^ssh://[^/]*:[^/]*@')", "message": "must not hold a password: put a private key into the Secret of spec.secretRef"},
        {"rule": "self == oldSelf", "message": "cannot be changed: make another GitProvider"}
    ]))]
    pub url: String,
    /// The Secret that opens the repository, in the namespace of the provider. Its keys say how: `username` and `password`;
    /// `bearerToken`; `identity`, `sshPrivateKey` or `ssh-privatekey`, with `known_hosts` and, where one locks the key,
    /// the passphrase in `password`; or `githubAppID`, `githubAppInstallationID`, `githubAppPrivateKey` and for a server of
    /// your own `githubAppBaseURL`. Besides, over HTTPS, `ca.crt` or `caFile`, and `tls.crt` with `tls.key`. Absent: the
    /// operator's own credentials where its flag `--ambient-credentials-namespaces` allows that, else none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
    /// The branches that targets may write: exact names, or globs in which `*` stands for any characters,
    /// slashes included.
    #[schemars(length(min = 1, max = 64), extend("items" = {
        "type": "string",
        "maxLength": 200,
        "x-kubernetes-validations": [
            {"rule": "self != '' && !self.matches('[\\\\x00-\\\\x20\\\\x7f~^:?[\\\\\\\\]|^refs/heads/')", "message": "must be the name of a branch such as main, or a glob such as release/*, without refs/heads/; only * is special"}
        ]
    }))]
    pub allowed_branches: Vec<String>,
    /// When commits are pushed.
    #[serde(default)]
    pub push: Push,
    /// How often the remote is looked at for commits of others while nothing is pushed, such as `1m` or `5m`; from
    /// `10s` to `24h`.
    #[serde(default = "poll_interval")]
    #[schemars(length(max = duration::LONGEST_TEXT), extend("x-kubernetes-validations" = duration::checks("10s", "24h", "30s, 1m30s or 5m")))]
    pub poll_interval: String,
    /// How commits are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// Who may write through the provider.
    #[serde(default)]
    pub access_policy: ProviderAccess,
    /// Stops all use of the repository until it is `false` again; no file is removed because of it.
    #[serde(default)]
    pub suspend: bool,
}

/// When commits are pushed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// The longest that a commit waits before it is pushed, such as `500ms`, `10s` or `1m30s`; at most `24h`.
    #[serde(default = "interval")]
    #[schemars(length(max = duration::LONGEST_TEXT), extend("x-kubernetes-validations" = duration::checks("1ms", "24h", "500ms, 10s or 1m30s")))]
    pub interval: String,
    /// Push as soon as so many commits wait.
    #[serde(default = "max_commits")]
    #[schemars(range(min = 1, max = 1_000_000), extend("format" = null))]
    pub max_commits: i32,
}

impl Default for Push {
    fn default() -> Self {
        Self { interval: interval(), max_commits: max_commits() }
    }
}

fn interval() -> String {
    "1m".to_owned()
}

fn poll_interval() -> String {
    "5m".to_owned()
}

const fn max_commits() -> i32 {
    20
}

/// How commits are made.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Commit {
    /// Who commits. The author is the user who made the change. Absent: the operator's own identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Committer>,
    /// Signs every commit with an SSH key. Absent: commits are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
}

/// What signs commits.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// The Secret with the private SSH key under `identity`, `sshPrivateKey` or `ssh-privatekey`, and its passphrase
    /// under `password` if it has one; in the namespace of the provider. While it cannot be used, nothing is committed.
    pub secret_ref: SecretRef,
}

/// Name and e-mail address of the committer.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Committer {
    /// Name of the committer.
    #[schemars(length(max = 200))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[^<>\\\\x00-\\\\x1f\\\\x7f]+$') && self.matches('[^ ]')", "message": "must not be blank nor hold <, > or control characters"}
    ]))]
    pub name: String,
    /// E-mail address of the committer.
    #[schemars(length(max = 200))]
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self.matches('^[^<> \\\\x00-\\\\x1f\\\\x7f]+$')", "message": "must not be empty nor hold <, >, spaces or control characters"}
    ]))]
    pub email: String,
}
