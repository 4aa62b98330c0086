//! What a branch's worker tells the controllers.

use crate::resource::{BaseFolder, NamespacedName, Oid};
use crate::rules::Selection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of one branch's worker. Whoever waits for changes is not woken for those of [`BranchStatus::counts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BranchStatus {
    /// Whether the remote can be read and written, as far as is known.
    pub remote: RemoteState,
    /// The targets whose folder is indexed, so that changes for them can be taken; with the reason why not.
    pub targets: BTreeMap<NamespacedName, TargetStatus>,
    /// The tip of the branch on the remote, once known.
    pub pushed: Option<Oid>,
    /// Whether the remote has the branch, once known.
    pub branch_exists: Option<bool>,
    /// How the last push went; `None` while nothing was to be pushed yet.
    pub push: Option<PushState>,
    /// What moves all the time.
    pub counts: Counts,
}

/// Numbers about a branch's worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes that wait to be committed.
    pub queued: usize,
    /// Commits made here that are not on the remote yet.
    pub unpushed: usize,
    /// When the remote last told where the branch stands, in seconds since 1970.
    pub last_look: Option<i64>,
    /// When the remote last took a push, in seconds since 1970.
    pub last_push: Option<i64>,
    /// The files of each target that are laid out as those of objects are.
    pub files: BTreeMap<NamespacedName, usize>,
}

/// How the last push went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushState {
    /// The remote has everything.
    Success,
    /// It did not work, or not yet again.
    Failed,
    /// Commits wait for the next.
    Pending,
}

/// Something about a branch that a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchEvent {
    /// The target that it is about.
    pub target: NamespacedName,
    /// Whether it went as it should.
    pub severity: Severity,
    /// The reason of an event, in CamelCase.
    pub reason: &'static str,
    /// One sentence: what happened, and what follows from it.
    pub message: String,
}

/// Whether what happened is as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is.
    Normal,
    /// Somebody should look at it.
    Warning,
}

/// Whether the remote can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RemoteState {
    /// Not tried yet.
    #[default]
    Checking,
    /// The last operation worked, and it is proven that we may write.
    Available,
    /// The last operation failed; it is tried again.
    Failed(RemoteFailure),
}

/// Why an operation on the remote failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFailure {
    /// The reason of a condition, in CamelCase: `AuthenticationFailed`, `RepositoryNotFound`, `NetworkError`,
    /// `GitOperationFailed`.
    pub reason: &'static str,
    /// One sentence: what happened, and what to do.
    pub message: String,
}

/// The state of one target of the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// Its folder. A target that was deleted and made anew may have another.
    pub folder: BaseFolder,
    /// Whether that folder can be written.
    pub state: TargetState,
    /// What of [`TargetSpec::gone`](super::spec::TargetSpec::gone) has no files left that are to go: all of it or nothing.
    pub swept: Arc<Selection>,
    /// Files that are to go, and stay since as many as one comparison may remove have gone.
    pub held_back: usize,
}

/// Whether one target of the branch can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Its folder is indexed: changes are taken.
    Ready,
    /// Its folder cannot be written: one sentence says why and what to do.
    Refused(String),
}
