//! What the controllers want of a branch's worker.

pub use super::credentials::Credentials;
use super::signing::SigningKey;
use crate::resource::{BaseFolder, BranchKey, NamespacedName};
use crate::rules::{CommitPolicy, Selection};
pub use crate::rules::{Prune, PruneMode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The desired state of one branch's worker. Equal specs change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchSpec {
    /// Which branch, through which provider.
    pub key: BranchKey,
    /// How to open the repository.
    pub credentials: Credentials,
    /// Who commits.
    pub committer: Identity,
    /// What signs the commits; `None`: nothing does.
    pub signing: Option<SigningKey>,
    /// When to push.
    pub push: PushPolicy,
    /// How long the remote may go without being looked at.
    pub poll_interval: Duration,
    /// Stands for everything that people can change to get a refused journal replaced: the provider, the targets and the
    /// rules that end in them. Another number is another state of these.
    pub revision: u64,
    /// Another number asks for a look at the remote now, and for a proof that we may write.
    pub requested: u64,
    /// Each target that writes to the branch.
    pub targets: BTreeMap<NamespacedName, TargetSpec>,
}

/// What one target of a branch wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSpec {
    /// The folder that it writes.
    pub folder: BaseFolder,
    /// How long an edit of its files by somebody else is left alone, so that it can reach the cluster.
    pub foreign_edit_grace: Duration,
    /// How its commits are made.
    pub commit: CommitPolicy,
    /// Which files are removed.
    pub prune: Prune,
    /// What rules in effect select, and what is kept: whatever comes for other objects is dropped.
    pub selection: Arc<Selection>,
    /// What was selected and is no more. Files of it that [`TargetSpec::selection`] does not cover go.
    pub gone: Arc<Selection>,
    /// Rules that the target's or the provider's owner does not let in, by uid. What waits to be committed when another
    /// one is added may be theirs, and is not committed.
    pub denied: BTreeSet<Arc<str>>,
}

/// A name and an e-mail address as git writes them into a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

/// When local commits are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushPolicy {
    /// The longest that a local commit waits.
    pub interval: Duration,
    /// Push when so many commits wait.
    pub max_commits: usize,
}
