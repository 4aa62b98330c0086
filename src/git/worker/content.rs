//! Taking messages in, and looking at the content of files that somebody else has made.

use super::{Worker, now};
use crate::change::Resync;
use crate::git::classify;
use crate::git::commit::Commit;
use crate::git::mailbox::Message;
use crate::git::stage::Sweep;
use crate::resource::{NamespacedName, Oid, RepoPath, ResourceId};
use crate::sanitize;
use std::collections::BTreeMap;

impl Worker {
    pub(super) async fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.settle_lists(matches!(message, Message::SeedEnd(..))).await;
            // A list is finished before the changes that came after it are looked at.
            if let Some(sweep) = self.stage.take(message, now()) {
                let orphans = self.orphans(&sweep).await;
                self.stage.finish(sweep, orphans, now());
                self.tell_lost();
            }
        }
        self.store_blobs(false).await;
        for (target, ids) in group_by_target(self.stage.take_dropped()) {
            self.channels.request(Resync::Objects { target, ids });
        }
    }

    /// Which candidates of a sweep really are the object that their path says. One whose content cannot be read stays.
    async fn orphans(&self, sweep: &Sweep) -> Vec<RepoPath> {
        let kind = &sweep.scope().kind;
        let existing = self.read_existing(sweep.candidates.iter().map(|(_, oid, _)| *oid).collect()).await;
        let orphans = sweep.candidates.iter().zip(existing);
        let orphans = orphans.filter(|((_, _, name), content)| sanitize::identifies(content, kind, name));
        orphans.map(|((path, _, _), _)| path.clone()).collect()
    }

    /// Of the files that a list would overwrite, those that describe the same object in other words stay as they are.
    async fn settle_lists(&mut self, all: bool) {
        let doubts = self.stage.take_seed_doubts(all);
        let existing = self.read_existing(doubts.iter().map(|(_, _, doubt)| doubt.existing).collect()).await;
        for ((scope, path, doubt), existing) in doubts.into_iter().zip(existing) {
            if !sanitize::same_object(&existing, &doubt.manifest) {
                self.stage.overwrite(&scope, path, doubt.manifest);
            }
        }
    }

    /// The same for the files that `commits`, the open batch, would overwrite.
    pub(super) async fn settle_batch(&mut self, commits: &mut Vec<Commit>) {
        let doubts = self.stage.take_doubts();
        let existing = self.read_existing(doubts.iter().map(|(_, doubt)| doubt.existing).collect()).await;
        for ((path, doubt), existing) in doubts.into_iter().zip(existing) {
            if sanitize::same_object(&existing, &doubt.manifest) {
                tracing::info!(%path, "Left alone: the file says the same in other words");
                self.stage.adopt(commits, &path, &doubt);
            }
        }
    }

    /// The content of blobs; of all nothing, if it cannot be had.
    async fn read_existing(&self, ids: Vec<Oid>) -> Vec<Vec<u8>> {
        if ids.is_empty() {
            return Vec::new();
        }
        self.clone.read_blobs(&ids, &self.spec.credentials).await.unwrap_or_else(|error| {
            let detail = classify::describe(&error).message;
            tracing::warn!(branch = %self.spec.key, %error, detail, "Files on the branch cannot be read");
            vec![Vec::new(); ids.len()]
        })
    }
}

fn group_by_target(dropped: Vec<(NamespacedName, ResourceId)>) -> BTreeMap<NamespacedName, Vec<ResourceId>> {
    let mut groups: BTreeMap<NamespacedName, Vec<ResourceId>> = BTreeMap::new();
    for (target, id) in dropped {
        groups.entry(target).or_default().push(id);
    }
    groups
}
