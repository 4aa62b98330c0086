//! The one place that derives conditions, and whatever else a status says.

pub mod condition;
mod provider;
mod rule;
mod target;

pub use self::condition::Said;
use super::inputs::Snapshot;
use super::selection::Selections;
use super::status::Observed;
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use crate::git::status::BranchStatus;
use crate::resource::{BranchKey, NamespacedName, ProviderKey};
use crate::rules::{Compiled, RuleKey, VALIDATING, Verdict};
use crate::watch::report::WatchReport;
use kube::core::ApiResource;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// The kinds that have conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GitProvider`.
    GitProvider,
    /// `GitTarget`.
    GitTarget,
    /// `WatchRule`.
    WatchRule,
    /// `ClusterWatchRule`.
    ClusterWatchRule,
}

impl Kind {
    /// The kind as the API server knows it.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        match self {
            Self::GitProvider => ApiResource::erase::<GitProvider>(&()),
            Self::GitTarget => ApiResource::erase::<GitTarget>(&()),
            Self::WatchRule => ApiResource::erase::<WatchRule>(&()),
            Self::ClusterWatchRule => ApiResource::erase::<ClusterWatchRule>(&()),
        }
    }
}

/// Which custom resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for resources of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// The resource `name` of a kind that lives in namespaces.
    #[must_use]
    pub fn of(kind: Kind, name: &NamespacedName) -> Self {
        Self { kind, namespace: name.namespace.to_string(), name: name.name.to_string() }
    }
}

impl From<&RuleKey> for ObjectKey {
    fn from(key: &RuleKey) -> Self {
        match key {
            RuleKey::Namespaced(name) => Self::of(Kind::WatchRule, name),
            RuleKey::Cluster(name) => {
                Self { kind: Kind::ClusterWatchRule, namespace: String::new(), name: name.to_string() }
            }
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{:?} {}", self.kind, self.name),
            namespace => write!(f, "{:?} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// What is to be said about one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its conditions by type, in order, `Ready` first. Of `Reconciling` and `Stalled` those that are not here do not hold.
    pub conditions: Vec<(&'static str, Said)>,
    /// What else its status says: `null` for what is to be taken out; what is not named stays.
    pub rest: Map<String, Value>,
}

impl Outcome {
    /// An outcome of `ready` and what `more` conditions say. Where not `ready` needs somebody, even though its reason may
    /// pass by itself, that is said too.
    fn new(ready: Said, more: Vec<(&'static str, Said)>, needs_somebody: bool) -> Self {
        let abnormal = condition::abnormal(&ready, needs_somebody);
        let conditions = std::iter::once((condition::READY, ready)).chain(more).chain(abnormal).collect();
        Self { conditions, rest: Map::new() }
    }

    /// What `Ready` says.
    #[must_use]
    pub fn ready(&self) -> Option<&Said> {
        self.conditions.iter().find(|(kind, _)| *kind == condition::READY).map(|(_, said)| said)
    }
}

/// Everything that statuses are derived from.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The resources.
    pub snapshot: &'a Snapshot,
    /// What they were compiled to.
    pub compiled: &'a Compiled,
    /// How the branches are.
    pub branches: &'a HashMap<BranchKey, BranchStatus>,
    /// How the watches are.
    pub watches: &'a WatchReport,
    /// What has been selected.
    pub selections: &'a Selections,
}

impl Scene<'_> {
    fn observed(&self, key: &ObjectKey) -> Option<&Observed> {
        self.snapshot.observed.get(key)
    }
}

/// What is to be said about every resource of the scene.
#[must_use]
pub fn derive(scene: &Scene<'_>) -> BTreeMap<ObjectKey, Outcome> {
    let verdicts = &scene.compiled.verdicts;
    let mut outcomes = BTreeMap::new();
    for (name, verdict) in &verdicts.providers {
        let ready = provider::ready(verdict, &ProviderKey::ours(name.clone()), scene);
        outcomes.insert(ObjectKey::of(Kind::GitProvider, name), Outcome::new(ready, Vec::new(), false));
    }
    for (name, verdict) in &verdicts.targets {
        outcomes.insert(ObjectKey::of(Kind::GitTarget, name), target::outcome(name, verdict, scene));
    }
    let namespaced = verdicts.watch_rules.iter();
    let namespaced = namespaced.map(|(name, verdict)| (RuleKey::Namespaced(name.clone()), verdict));
    let of_cluster = verdicts.cluster_watch_rules.iter();
    let of_cluster = of_cluster.map(|(name, verdict)| (RuleKey::Cluster(name.clone()), verdict));
    for (key, verdict) in namespaced.chain(of_cluster) {
        let at = ObjectKey::from(&key);
        let outcome = rule::outcome(&key, verdict, scene);
        outcomes.insert(at, outcome);
    }
    for (key, error) in &scene.snapshot.unreadable {
        let ready = Said::no("InvalidConfiguration", format!("cannot be read, correct it: {error}"));
        outcomes.insert(key.clone(), Outcome::new(ready, Vec::new(), false));
    }
    outcomes
}

/// What a rejection says as `Ready`.
fn rejected(verdict: &Verdict) -> Option<Said> {
    verdict.as_ref().err().map(|rejection| match rejection.reason {
        VALIDATING => Said::wait(&rejection.message),
        reason => Said::no(reason, &rejection.message),
    })
}

#[cfg(test)]
mod tests;
