//! What a branch's worker tells the controllers.

use crate::resource::{BaseFolder, NamespacedName, Oid};
use std::collections::BTreeMap;

/// The state of one branch's worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BranchStatus {
    /// Whether the remote can be read and written, as far as is known.
    pub remote: RemoteState,
    /// The targets whose folder is indexed, so that changes for them can be taken; with the reason why not.
    pub targets: BTreeMap<NamespacedName, TargetStatus>,
    /// The tip of the branch on the remote, once known.
    pub pushed: Option<Oid>,
    /// Commits made here that are not on the remote yet.
    pub unpushed: usize,
}

/// Something about a branch that a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The target that it is about.
    pub target: NamespacedName,
    /// The reason of an event, in CamelCase.
    pub reason: &'static str,
    /// One sentence: what happened, and what follows from it.
    pub message: String,
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
}

/// Whether one target of the branch can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Its folder is indexed: changes are taken.
    Ready,
    /// Its folder cannot be written: one sentence says why and what to do.
    Refused(String),
}
