//! What follows from an operation on the remote.

use super::{PROOF, Worker};
use crate::git::classify::{self, Class};
use crate::git::clone::Opening;
use crate::git::remote::RemoteResult;
use crate::git::status::{RemoteFailure, RemoteState};
use crate::resource::Oid;
use std::time::Instant;

impl Worker {
    pub(super) async fn finish_remote(&mut self, result: RemoteResult) {
        let is_first_look = self.first_look.take().is_some();
        if !matches!(result, RemoteResult::Pushed { .. }) {
            self.push.ended();
        }
        match result {
            RemoteResult::Pushed { tip, commits } => self.pushed(tip, commits).await,
            RemoteResult::Stale(said) => {
                self.must_fetch = true;
                self.stale = Some(said);
                self.schedule.stale(fastrand::f64(), Instant::now());
            }
            RemoteResult::Fetched(remote) => self.integrate(remote).await,
            RemoteResult::Writable => {
                self.proven();
                self.available();
            }
            RemoteResult::Rejected(said) => self.refused(&said),
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

    /// The server lets us in, but refuses these commits: only people can do something about it.
    fn refused(&mut self, said: &str) {
        let failure = classify::failure(Class::Rejected, said);
        if self.refused_at.is_none() {
            self.warn("PushRejected", &failure.message);
        }
        self.refused_at.get_or_insert(self.spec.revision);
        self.failed(failure, false);
    }

    /// We may write.
    fn proven(&mut self) {
        self.is_writable = true;
        self.prove_at = Instant::now() + PROOF;
    }

    /// The remote was reached: all is well, once we are known to be allowed to write.
    pub(super) fn available(&mut self) {
        if self.schedule.queued() == 0 {
            self.refused_at = None;
        }
        self.push.reached();
        self.ask_for_unread();
        if self.is_writable && self.refused_at.is_none() {
            self.channels.report(|status| status.remote = RemoteState::Available);
        }
    }

    pub(super) fn failed(&mut self, failure: RemoteFailure, is_transient: bool) {
        // What a look, which needs less, finds afterwards proves nothing.
        (self.is_writable, self.prove_at) = (false, Instant::now());
        tracing::warn!(branch = %self.spec.key, reason = failure.reason, detail = failure.message, "Remote cannot be used");
        self.schedule.failed(is_transient, fastrand::f64(), Instant::now());
        self.push.failed();
        self.channels.report_failure(failure);
    }

    async fn pushed(&mut self, tip: Oid, commits: usize) {
        self.base = Some(tip);
        (self.stale, self.refused_at) = (None, None);
        self.proven();
        self.schedule.looked(Instant::now());
        self.schedule.succeeded(self.schedule.queued().saturating_sub(commits), Instant::now());
        self.deselected.pushed(commits);
        tracing::info!(branch = %self.spec.key, commit = %tip.short(), commits, "Pushed");
        self.tell_pushed(tip, commits);
        self.available();
        // Forgotten by a crash before this, the next replay leaves out what the remote has.
        if let Err(error) = self.clone.set_refs(self.tip.unwrap_or(tip), self.base).await {
            self.damaged(&error, "The pushed commit cannot be noted");
        }
        // Together with how the push went.
        self.report_targets();
    }
}
