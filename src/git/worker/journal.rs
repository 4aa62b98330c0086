//! Making commits, and knowing what the branch holds.

use super::{Worker, now};
use crate::git::cli::GitError;
use std::time::Instant;

impl Worker {
    /// Makes commits of what is due; of everything when the worker leaves.
    pub(super) async fn seal_due(&mut self) {
        if self.leaving.is_some() {
            self.seal().await;
        } else if self.stage.close_due(Instant::now()) {
            self.commit_batch().await;
        }
    }

    /// Makes commits of everything that waits.
    pub(super) async fn seal(&mut self) {
        self.stage.close_all(Instant::now());
        self.commit_batch().await;
    }

    async fn commit_batch(&mut self) {
        if self.repair.is_some() {
            // All of it is asked for again after the repair.
            self.stage.forget();
            self.deselected.lost();
            return;
        }
        if !self.may_write().await {
            return;
        }
        self.store_taken().await;
        self.settle_batch().await;
        let commits = self.stage.take_commits(now().seconds);
        if commits.is_empty() {
            return;
        }
        let ids = match self.clone.commit(self.tip, &commits).await {
            Ok(ids) => ids,
            // The index now says more than the branch holds: the repair loads it anew, and asks for everything again.
            Err(error) => return self.damaged(&error, "Commits cannot be made"),
        };
        self.repairs = 0;
        self.upkeep.written();
        for (id, commit) in ids.iter().zip(&commits) {
            let target = commit.target.as_ref().map(ToString::to_string).unwrap_or_default();
            let path = commit.files.first().map(|file| file.path().as_str()).unwrap_or_default();
            let subject = commit.message.lines().next().unwrap_or_default();
            tracing::info!(%target, path, files = commit.files.len(), commit = %id.short(), subject, "Committed");
        }
        self.push.made(commits.iter().filter_map(|commit| commit.target.clone()));
        self.tip = ids.last().copied().or(self.tip);
        self.schedule.committed(ids.len(), Instant::now());
        self.note_swept();
        self.tell_pruned();
        self.report_journal();
    }

    /// Stores the blobs of lists once they are enough to be worth a pack.
    pub(super) async fn store_blobs(&mut self) {
        if self.stage.has_blobs() && self.may_write().await {
            self.store_taken().await;
        }
    }

    async fn store_taken(&mut self) {
        let blobs = self.stage.take_blobs();
        if blobs.is_empty() {
            return;
        }
        if let Err(error) = self.clone.store(&blobs).await {
            self.damaged(&error, "Blobs cannot be stored");
        }
    }

    /// Looks where the journal stands.
    pub(super) async fn load_journal(&mut self) -> Result<(), GitError> {
        let (tip, base) = (self.clone.tip().await?, self.clone.base().await?);
        if let (None, Some(base)) = (tip, base) {
            // A branch that is gone while its base is there was lost, with whatever it had made.
            tracing::warn!(branch = %self.spec.key, base = %base.short(), "The branch was lost; it starts again from its base");
            self.clone.set_refs(base, Some(base)).await?;
        }
        let tip = tip.or(base);
        let commits = match tip {
            Some(tip) => self.clone.journal_length(base, tip).await?,
            None => 0,
        };
        (self.tip, self.base) = (tip, base);
        self.schedule.recount(commits, Instant::now());
        Ok(())
    }

    /// Loads the index of what the branch holds, and tells which targets can be written.
    pub(super) async fn reload(&mut self) {
        match self.clone.index(self.tip, self.stage.folders()).await {
            Ok(index) => {
                self.stage.set_index(index);
                self.ask_for_unblocked();
                self.observe_attributes();
                self.report_targets();
            }
            Err(error) => self.damaged(&error, "The branch cannot be read"),
        }
    }

    /// Tries what failed on the local disk again; when it works, everything is asked for, since nobody knows what of it
    /// was lost.
    pub(super) async fn repair(&mut self) {
        self.repair = None;
        self.stage.forget();
        self.deselected.lost();
        if let Err(error) = self.clone.check_room("fast-import") {
            return self.damaged(&error, "Nothing is committed");
        }
        if let Err(error) = self.load_journal().await {
            return self.damaged(&error, "The journal cannot be read");
        }
        self.reload().await;
        if self.repair.is_some() {
            return;
        }
        self.must_fetch = true;
        self.schedule.look(Instant::now());
        self.request_everything();
    }

    /// Nobody knows what of it was lost.
    pub(super) fn request_everything(&self) {
        self.channels.request_targets(self.spec.targets.keys().cloned());
    }
}
