//! What a target and the branch that it writes to are called.

use super::branch::BranchName;
use super::url::RepoUrl;
use kube::ResourceExt;
use std::fmt;
use std::sync::Arc;

/// Namespace and name of a custom resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacedName {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl NamespacedName {
    /// A name from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: Arc::from(namespace), name: Arc::from(name) }
    }

    /// What `object` is called; without a namespace where it has none.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(&object.namespace().unwrap_or_default(), &object.name_any())
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A kind of object that says how to reach a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProviderKind {
    /// Ours.
    GitProvider,
    /// That of Flux, of group `source.toolkit.fluxcd.io`.
    GitRepository,
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GitProvider => "GitProvider",
            Self::GitRepository => "GitRepository",
        })
    }
}

/// Which provider: a `GitProvider` and a `GitRepository` may bear the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProviderKey {
    /// Its kind.
    pub kind: ProviderKind,
    /// Its namespace and name.
    pub name: NamespacedName,
}

impl ProviderKey {
    /// The `GitProvider` of this name.
    #[must_use]
    pub const fn ours(name: NamespacedName) -> Self {
        Self { kind: ProviderKind::GitProvider, name }
    }
}

impl fmt::Display for ProviderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Which branch, reached through which provider: the unit that has one clone, one queue and one worker.
///
/// Two providers on one URL have different keys: they share no clone and no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BranchKey {
    /// The provider object.
    pub provider: ProviderKey,
    /// The provider's uid, so that one that was deleted and made anew starts afresh.
    pub provider_uid: Arc<str>,
    /// The repository.
    pub url: RepoUrl,
    /// The branch.
    pub branch: BranchName,
}

impl fmt::Display for BranchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} through {}", self.url, self.branch, self.provider)
    }
}
