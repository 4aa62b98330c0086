//! Every request of the operator's account, as the API server's audit log has them.

use super::account;
use super::control_plane::ControlPlane;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The log, in the folder of the control plane.
pub(crate) const LOG: &str = "audit.log";

/// What the API server is told to log: only requests of the operator's account, with the answer's begin and end.
pub(crate) fn policy() -> Value {
    let group = format!("system:serviceaccounts:{}", account::NAMESPACE);
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": [group]}, {"level": "None"}],
    })
}

/// A stage of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    #[serde(rename = "auditID")]
    id: String,
    /// `ResponseStarted` of a watch, `ResponseComplete` of everything.
    stage: String,
    /// `get`, `list`, `watch`, `patch`, ...
    pub(crate) verb: String,
    #[serde(rename = "requestURI")]
    pub(crate) uri: String,
    #[serde(default)]
    object_ref: Object,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    api_group: String,
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    resource: String,
    #[serde(default)]
    namespace: String,
}

impl Entry {
    /// `group/version/resource`, or the path of what is no resource.
    pub(crate) fn what(&self) -> String {
        let Object { api_group, api_version, resource, .. } = &self.object_ref;
        if resource.is_empty() {
            return self.uri.split('?').next().unwrap_or_default().to_owned();
        }
        let group = if api_group.is_empty() { "core" } else { api_group };
        format!("{group}/{api_version}/{resource}")
    }
}

/// Everything that was logged so far, oldest first.
pub(crate) fn entries(cluster: &ControlPlane) -> Result<Vec<Entry>> {
    let log = std::fs::read_to_string(cluster.dir().join(LOG)).context("reading the audit log")?;
    // The last line may be half written.
    let complete = log.rfind('\n').map_or("", |end| &log[..end]);
    complete.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The watches that are open, by what they watch; each with the namespaces, where an empty one stands for all of them.
pub(crate) fn open_watches(entries: &[Entry]) -> BTreeMap<String, Vec<String>> {
    let ended: BTreeSet<&str> =
        entries.iter().filter(|entry| entry.stage == "ResponseComplete").map(|entry| entry.id.as_str()).collect();
    let mut open: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.verb == "watch" && entry.stage == "ResponseStarted") {
        if !ended.contains(entry.id.as_str()) {
            open.entry(entry.what()).or_default().push(entry.object_ref.namespace.clone());
        }
    }
    open
}
