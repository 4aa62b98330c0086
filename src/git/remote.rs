//! The one operation on the remote that runs beside the worker's other work.

use super::classify::Class;
use super::cli::GitError;
use super::clone::{BranchClone, RemoteTip};
use super::push::PushOutcome;
use super::spec::Credentials;
use crate::resource::Oid;
use std::pin::Pin;

/// What came of an operation on the remote.
#[derive(Debug)]
pub enum RemoteResult {
    /// The remote has everything up to `tip`.
    Pushed {
        /// What was pushed.
        tip: Oid,
        /// How many commits the journal had then.
        commits: usize,
    },
    /// The remote's branch has other commits, or would not move; what was said.
    Stale(String),
    /// The server refuses the commits; its sentence.
    Rejected(String),
    /// The server lacks commits that this clone lacks too: only one with the whole history can push.
    TooShallow,
    /// Where the branch stands on the remote; everything up to there is here now.
    Fetched(RemoteTip),
    /// The remote would take a push.
    Writable,
    /// It did not work.
    Failed {
        /// Why.
        error: GitError,
        /// Whether a push may have reached the remote all the same.
        may_have_landed: bool,
    },
}

type Operation = Pin<Box<dyn Future<Output = RemoteResult> + Send + Sync>>;

/// At most one operation on the remote.
#[derive(Default)]
pub struct Remote(Option<Operation>);

impl Remote {
    /// Whether nothing is under way.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.0.is_none()
    }

    /// Starts an operation; nothing may be under way.
    pub fn start(&mut self, operation: impl Future<Output = RemoteResult> + Send + Sync + 'static) {
        self.0 = Some(Box::pin(operation));
    }

    /// Resolves when the operation that is under way has ended; never, while there is none. Cancel-safe.
    pub async fn finished(&mut self) -> RemoteResult {
        match &mut self.0 {
            Some(operation) => {
                let result = operation.await;
                self.0 = None;
                result
            }
            None => std::future::pending().await,
        }
    }
}

/// What is pushed, and onto what.
#[derive(Clone, Copy, Debug)]
pub struct Push {
    /// The commit that the branch is to stand at.
    pub tip: Oid,
    /// How many commits the journal has up to there.
    pub commits: usize,
    /// Where the branch stands as far as we know.
    pub base: Option<Oid>,
    /// Whether that was seen just now: else the remote is asked again.
    pub is_base_fresh: bool,
}

/// Pushes the journal.
pub async fn push(clone: BranchClone, push: Push, credentials: Credentials) -> RemoteResult {
    let Push { tip, commits, base, is_base_fresh } = push;
    let outcome = if is_base_fresh {
        clone.push_unseen(tip, &credentials).await
    } else {
        clone.push(tip, base, &credentials).await
    };
    match outcome {
        PushOutcome::Pushed => RemoteResult::Pushed { tip, commits },
        PushOutcome::Stale(said) => RemoteResult::Stale(said),
        PushOutcome::TooShallow => RemoteResult::TooShallow,
        PushOutcome::Rejected(sentence) => RemoteResult::Rejected(sentence),
        PushOutcome::Unknown(error) => {
            let may_have_landed = matches!(Class::of(&error), Class::Transient | Class::Bug);
            RemoteResult::Failed { error, may_have_landed }
        }
    }
}

/// Looks where the branch stands and fetches it, unless that is `known`.
pub async fn fetch(clone: BranchClone, known: Option<Oid>, credentials: Credentials) -> RemoteResult {
    match clone.fetch(known, &credentials).await {
        Ok(tip) => RemoteResult::Fetched(tip),
        Err(error) => RemoteResult::Failed { error, may_have_landed: false },
    }
}

/// Finds out whether the remote would take a push, without pushing anything.
pub async fn probe(clone: BranchClone, credentials: Credentials) -> RemoteResult {
    match clone.probe(&credentials).await {
        Ok(()) => RemoteResult::Writable,
        Err(error) => RemoteResult::Failed { error, may_have_landed: false },
    }
}
