//! What has come of a rule.

use super::selection::Selection;
use crate::resource::{NamespacedName, ResourceType};
use std::fmt;
use std::sync::Arc;

/// Which rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleKey {
    /// That of a namespace.
    Namespaced(NamespacedName),
    /// That of the cluster.
    Cluster(Arc<str>),
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespaced(name) => write!(f, "WatchRule {name}"),
            Self::Cluster(name) => write!(f, "ClusterWatchRule {name}"),
        }
    }
}

/// What people have said that a rule shall select. As long as that is equal, another selection comes from the cluster:
/// from labels of namespaces, or from the types that it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The uid of the rule.
    pub uid: Arc<str>,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Whether its target takes no Secrets.
    pub omits_secrets: bool,
}

/// What has come of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOutcome {
    /// What it was made of.
    pub revision: Revision,
    /// The target that it writes to, whether or not that exists.
    pub sink: NamespacedName,
    /// Whether what it selects is mirrored. If not, the rule is suspended, denied or invalid, or its target is not
    /// usable: what it has selected stays as it is, and there are `Keep` routes for as much of that as `selection` names.
    pub in_effect: bool,
    /// Whether `selection` is all that the rule means. If not, some of it cannot be told, as with a misspelt name: what the
    /// rule selected before stays as it is.
    pub complete: bool,
    /// The types that it selects, in order.
    pub resources: Vec<Arc<ResourceType>>,
    /// What it selects, whether that is mirrored or only kept.
    pub selection: Selection,
}
