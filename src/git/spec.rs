//! What the controllers want of a branch's worker.

pub use super::credentials::Credentials;
use super::signing::SigningKey;
use crate::resource::{BaseFolder, BranchKey, NamespacedName};
use crate::rules::CommitPolicy;
use std::collections::BTreeMap;
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
    /// The folder of each target that writes to the branch.
    pub targets: BTreeMap<NamespacedName, BaseFolder>,
    /// How the commits of each target are made; as by default where none is named.
    pub policies: BTreeMap<NamespacedName, CommitPolicy>,
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
