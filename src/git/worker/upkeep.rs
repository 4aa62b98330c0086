//! Keeping the clone in shape while nobody waits for it.

use super::Worker;
use crate::git::classify;
use crate::git::cli::GitError;
use crate::git::clone::BranchClone;
use crate::git::clone::policy::ClonePolicy;
use crate::git::spec::Credentials;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Traffic that has paused for so long is no burst.
const PAUSE: Duration = Duration::from_secs(1);
/// A history that is too long is looked at again after this, if it could not be cut.
const AGAIN: Duration = Duration::from_secs(3600);

/// What is done beside the worker's other work, at most one thing at a time.
#[derive(Debug)]
pub(super) struct Upkeep {
    policy: ClonePolicy,
    /// Ends with the worker.
    task: JoinSet<Result<Outcome, GitError>>,
    /// Packs that were made since the last count.
    packs: usize,
    last_commit: Instant,
    /// Whether something was committed since the clone was last looked after.
    is_untidy: bool,
    /// Whether its history is longer than it is to be.
    is_outgrown: bool,
    /// Not before this is the history looked at.
    renewal: Instant,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The clone is repacked; whether its history is longer than it is to be.
    Repacked { is_outgrown: bool },
    /// A clone to take its place.
    Renewed(Box<BranchClone>),
}

impl Upkeep {
    pub(super) fn new(policy: ClonePolicy, clone: &BranchClone) -> Self {
        let now = Instant::now();
        Self {
            policy,
            task: JoinSet::new(),
            packs: clone.packs(),
            last_commit: now,
            is_untidy: true,
            is_outgrown: false,
            renewal: now,
        }
    }

    /// A batch was written.
    pub(super) fn written(&mut self) {
        self.packs += 1;
        self.is_untidy = true;
        self.last_commit = Instant::now();
    }

    /// When there is something to do next.
    fn due(&self) -> Option<Instant> {
        if !self.task.is_empty() || !self.is_untidy {
            return None;
        }
        let is_over = self.packs >= self.policy.most_packs;
        // Traffic without a pause must not end in a thousand packs either.
        let pause = if self.packs >= 4 * self.policy.most_packs { Duration::ZERO } else { PAUSE };
        Some(self.last_commit + if is_over { pause.min(self.policy.idle) } else { self.policy.idle })
    }

    fn start(&mut self, work: impl Future<Output = Result<Outcome, GitError>> + Send + 'static) {
        self.task.spawn(work);
    }

    /// Resolves when what is under way has ended; never, while nothing is. Cancel-safe.
    pub(super) async fn finished(&mut self) -> Result<Outcome, GitError> {
        let Some(ended) = self.task.join_next().await else { return std::future::pending().await };
        ended.unwrap_or_else(|error| Err(GitError::Process { command: "repack".into(), source: error.into() }))
    }
}

impl Worker {
    /// When the clone is to be looked after next; never while it is damaged, or somebody waits for us to leave.
    pub(super) fn upkeep_due(&self) -> Option<Instant> {
        let may = self.tip.is_some() && self.repair.is_none() && self.leaving.is_none();
        self.upkeep.due().filter(|_| may)
    }

    pub(super) fn tidy_if_due(&mut self) {
        let now = Instant::now();
        if self.upkeep.is_outgrown && self.upkeep.task.is_empty() && self.is_pushed() {
            self.upkeep.is_outgrown = false;
            self.upkeep.start(renew(self.clone.clone(), self.spec.credentials.clone()));
        }
        let is_due = self.upkeep_due().is_some_and(|due| due <= now);
        let (Some(tip), true) = (self.tip, is_due) else { return };
        self.upkeep.is_untidy = false;
        self.upkeep.packs = 0;
        if let Err(error) = self.clone.trim_logs() {
            tracing::debug!(%error, "The logs of the refs stay long");
        }
        let (clone, may_renew) = (self.clone.clone(), now >= self.upkeep.renewal);
        self.upkeep.start(async move {
            clone.repack().await?;
            Ok(Outcome::Repacked { is_outgrown: may_renew && clone.is_outgrown(tip).await? })
        });
    }

    pub(super) async fn finish_upkeep(&mut self, result: Result<Outcome, GitError>) {
        match result {
            Ok(Outcome::Repacked { is_outgrown }) => {
                self.upkeep.packs += self.clone.packs();
                self.upkeep.is_outgrown = is_outgrown;
            }
            Ok(Outcome::Renewed(next)) => {
                self.upkeep.renewal = Instant::now() + AGAIN;
                // Whatever has come meanwhile is looked at the next time.
                if self.is_pushed()
                    && self.remote.is_idle()
                    && let Err(error) = self.replace_clone(*next).await
                {
                    self.damaged(&error, "The clone cannot be replaced");
                }
            }
            Err(error) => {
                let detail = classify::describe(&error).message;
                tracing::warn!(branch = %self.spec.key, %error, detail, "The clone is not looked after");
                self.upkeep.renewal = Instant::now() + AGAIN;
            }
        }
    }

    fn is_pushed(&self) -> bool {
        self.tip == self.base && self.schedule.queued() == 0
    }

    async fn replace_clone(&mut self, next: BranchClone) -> Result<(), GitError> {
        if self.clone.replace_with(next).await? {
            tracing::info!(branch = %self.spec.key, "The clone was replaced by one with less history");
            self.upkeep = Upkeep { renewal: Instant::now(), ..Upkeep::new(self.upkeep.policy, &self.clone) };
        }
        Ok(())
    }
}

async fn renew(clone: BranchClone, credentials: Credentials) -> Result<Outcome, GitError> {
    Ok(Outcome::Renewed(Box::new(clone.renewed(credentials).await?)))
}
