//! Following a remote whose branch has moved, and giving up a journal.

use super::Worker;
use crate::git::classify::{self, Class};
use crate::git::cli::GitError;
use crate::git::clone::RemoteTip;
use crate::resource::{Oid, RepoPath};
use std::collections::BTreeSet;
use std::time::Instant;

impl Worker {
    /// Puts the journal onto what the remote has now.
    pub(super) async fn integrate(&mut self, remote: RemoteTip) {
        let seen = Instant::now();
        self.must_fetch = false;
        self.schedule.looked(seen);
        self.push.looked();
        self.push.branch_exists = Some(remote.exists);
        let stale = self.stale.take();
        if remote.tip == self.base {
            return match stale {
                // It refuses to move the branch although nothing has come between: trying at once would not help.
                Some(said) => self.failed(classify::failure(Class::Rejected, &said), true),
                None => {
                    self.available();
                    self.schedule.reached(Instant::now());
                }
            };
        }
        self.seal().await;
        match self.follow(remote, seen).await {
            Ok(()) => self.available(),
            Err(error) => {
                self.must_fetch = true;
                self.schedule.failed(true, fastrand::f64(), Instant::now());
                self.damaged(&error, "The journal cannot be put onto the remote's commits");
            }
        }
    }

    async fn follow(&mut self, remote: RemoteTip, seen: Instant) -> Result<(), GitError> {
        let keeps_base = match (self.base, remote.tip) {
            (Some(base), Some(tip)) => self.clone.contains(tip, base).await?,
            (base, _) => base.is_none(),
        };
        if keeps_base && self.is_outrun(remote.tip).await? {
            self.give_up(remote.tip, "another replica has written to the branch meanwhile").await?;
            return Ok(());
        }
        let foreign = match (self.base, remote.tip) {
            (Some(base), Some(tip)) if remote.exists => self.foreign_paths(base, tip, keeps_base).await?,
            _ => BTreeSet::new(),
        };
        let (tip, commits) =
            self.clone.replay(self.base, self.tip, remote.tip, &foreign, &self.spec.credentials).await?;
        let onto = remote.tip.map(|tip| tip.short());
        tracing::info!(branch = %self.spec.key, onto, commits, "Remote has moved; journal follows");
        (self.tip, self.base) = (tip, remote.tip);
        self.schedule.replayed(commits, Instant::now());
        if !foreign.is_empty() {
            // A replay spares what others have edited, also where a sweep has removed it.
            self.deselected.doubted().iter().for_each(|target| self.stage.sweep_again(target));
        }
        self.deselected.replayed(commits);
        // Before anything else, so that the remote has not moved again. A journal that was refused may be replaced first.
        if self.refused_at.is_none() {
            self.use_remote_if_due(Some(seen));
        }
        self.note_foreign(foreign);
        self.reload().await;
        if !keeps_base {
            self.tell_rewritten(remote);
        }
        if !remote.exists {
            // Nobody edited these files: the branch that held them is gone.
            self.request_everything();
        }
        Ok(())
    }

    /// Whether the remote has commits of this installation that are not known here while others wait here: what waits is
    /// older than what is there.
    async fn is_outrun(&self, onto: Option<Oid>) -> Result<bool, GitError> {
        let (Some(onto), Some(tip)) = (onto, self.tip) else { return Ok(false) };
        if self.clone.journal_length(Some(onto), tip).await? == 0 {
            return Ok(false);
        }
        let known: Vec<Oid> = self.base.into_iter().chain([tip]).collect();
        let history = self.clone.history(onto, &known, self.stage.folders(), &self.instance).await?;
        Ok(!history.ours.is_empty())
    }

    /// The paths that others changed between `base` and `tip`; all that differ, if the history was rewritten.
    async fn foreign_paths(&self, base: Oid, tip: Oid, keeps_base: bool) -> Result<BTreeSet<RepoPath>, GitError> {
        let mut paths = self.clone.differences(base, tip, self.stage.folders()).await?;
        if keeps_base && !paths.is_empty() {
            let history = self.clone.history(tip, &[base], self.stage.folders(), &self.instance).await?;
            paths.retain(|path| history.foreign.contains(path));
        }
        Ok(paths)
    }

    /// Takes the journal off the branch, keeps it under a ref that nothing pushes, and asks for everything again.
    pub(super) async fn give_up(&mut self, onto: Option<Oid>, why: &'static str) -> Result<(), GitError> {
        if let Some(tip) = self.tip {
            let kept = self.clone.put_aside(tip, jiff::Timestamp::now()).await?;
            let commits = self.schedule.queued();
            tracing::warn!(branch = %self.spec.key, commit = %tip.short(), commits, kept, why, "Journal was put aside");
            let message = format!(
                "{commits} commits that were not pushed are kept as {kept} in the clone, since {why}; what differs is written anew"
            );
            self.warn("JournalPutAside", &message);
        }
        self.clone.restart(onto).await?;
        (self.tip, self.base) = (onto, onto);
        self.stage.forget();
        self.deselected.lost();
        self.push.lost();
        self.schedule.recount(0, Instant::now());
        self.schedule.look(Instant::now());
        self.reload().await;
        self.request_everything();
        Ok(())
    }

    /// Replaces a journal that the server refuses, once people have changed what it came from.
    pub(super) async fn replace_refused(&mut self) {
        let is_refused = self.refused_at.is_some_and(|revision| revision != self.spec.revision);
        if !is_refused || !self.remote.is_idle() || self.repair.is_some() {
            return;
        }
        self.refused_at = None;
        self.seal().await;
        self.must_fetch = true;
        if let Err(error) = self.give_up(self.base, "the server refuses them").await {
            self.damaged(&error, "The refused journal cannot be put aside");
        }
        self.report_journal();
    }

    fn tell_rewritten(&self, remote: RemoteTip) {
        let message = match (remote.exists, remote.tip) {
            (true, _) => {
                "the history of the branch was rewritten on the remote; only what was not pushed yet stands on it anew"
            }
            (false, Some(_)) => "the branch was deleted on the remote; it starts again from the default branch",
            (false, None) => "the branch was deleted on the remote; it starts again without history",
        };
        tracing::warn!(branch = %self.spec.key, exists = remote.exists, "History was rewritten on the remote");
        self.warn("HistoryRewritten", message);
    }
}
