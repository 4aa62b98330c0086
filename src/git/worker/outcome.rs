//! What follows from an operation on the remote.

use super::Worker;
use crate::git::classify::{self, Class};
use crate::git::cli::GitError;
use crate::git::clone::Opening;
use crate::git::remote::RemoteResult;
use crate::git::status::{RemoteFailure, RemoteState};
use crate::resource::Oid;
use std::time::Instant;

impl Worker {
    pub(super) async fn finish_remote(&mut self, result: RemoteResult) {
        let is_first_look = self.first_look.take().is_some();
        match result {
            RemoteResult::Pushed { tip, commits } => self.pushed(tip, commits).await,
            RemoteResult::Stale(said) => {
                self.must_fetch = true;
                self.stale = Some(said);
                self.schedule.stale(fastrand::f64(), Instant::now());
            }
            RemoteResult::Fetched(tip) => self.integrate(tip).await,
            RemoteResult::Rejected(said) => self.failed(classify::failure(Class::Rejected, &said), false),
            RemoteResult::TooShallow => {
                tracing::warn!(branch = %self.spec.key, "The remote lacks the history that this clone begins with");
                self.reopening = Some(Opening::Whole);
            }
            RemoteResult::Failed { error, .. } if Class::of(&error) == Class::Corrupt => {
                self.damaged(&error, "The clone cannot be read");
            }
            RemoteResult::Failed { error, may_have_landed } => {
                self.must_fetch |= may_have_landed;
                tracing::debug!(%error, "Operation on the remote failed");
                self.failed(classify::describe(&error), Class::of(&error) == Class::Transient);
            }
        }
        if is_first_look {
            self.report_targets();
        }
        self.report_journal();
    }

    fn failed(&mut self, failure: RemoteFailure, is_transient: bool) {
        tracing::warn!(branch = %self.spec.key, reason = failure.reason, detail = failure.message, "Remote cannot be used");
        self.schedule.failed(is_transient, fastrand::f64(), Instant::now());
        self.channels.report_failure(failure);
    }

    async fn pushed(&mut self, tip: Oid, commits: usize) {
        self.base = Some(tip);
        self.stale = None;
        self.schedule.succeeded(self.schedule.queued().saturating_sub(commits), Instant::now());
        tracing::info!(branch = %self.spec.key, commit = %tip.short(), commits, "Pushed");
        self.channels.report(|status| status.remote = RemoteState::Available);
        // Forgotten by a crash before this, the next replay leaves out what the remote has.
        if let Err(error) = self.clone.set_refs(self.tip.unwrap_or(tip), self.base).await {
            self.damaged(&error, "The pushed commit cannot be noted");
        }
    }

    /// Puts the journal onto what the remote has now.
    async fn integrate(&mut self, remote_tip: Option<Oid>) {
        self.must_fetch = false;
        let stale = self.stale.take();
        // Without the branch on the remote there is nothing to put it onto: the next push creates it.
        let Some(onto) = remote_tip.filter(|tip| Some(*tip) != self.base) else {
            return match stale {
                // It refuses to move the branch although nothing has come between: trying at once would not help.
                Some(said) => self.failed(classify::failure(Class::Rejected, &said), true),
                None => {
                    self.channels.report(|status| status.remote = RemoteState::Available);
                    self.schedule.reached(Instant::now());
                }
            };
        };
        self.seal().await;
        match self.replay(onto).await {
            Ok(()) => self.channels.report(|status| status.remote = RemoteState::Available),
            Err(error) => {
                self.must_fetch = true;
                self.damaged(&error, "The journal cannot be put onto the remote's commits");
            }
        }
    }

    async fn replay(&mut self, onto: Oid) -> Result<(), GitError> {
        let (tip, commits) = self.clone.replay(self.base, self.tip, onto, &self.spec.credentials).await?;
        tracing::info!(branch = %self.spec.key, onto = %onto.short(), commits, "Remote has moved; journal follows");
        (self.tip, self.base) = (Some(tip), Some(onto));
        self.schedule.replayed(commits, Instant::now());
        self.reload().await;
        Ok(())
    }
}
