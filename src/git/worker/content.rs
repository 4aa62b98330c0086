//! Taking messages in, and looking at the content of files that somebody else has made.

use super::{Worker, now};
use crate::change::Resync;
use crate::git::classify::{self, Class};
use crate::git::mailbox::Message;
use crate::git::stage::{Candidate, Sweep, recognise};
use crate::resource::{NamespacedName, Oid, ResourceId};
use crate::sanitize;
use std::collections::BTreeMap;

impl Worker {
    pub(super) async fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.settle_lists(matches!(message, Message::SeedEnd(..))).await;
            // A list is finished before the changes that came after it are looked at.
            if let Some(mut sweep) = self.stage.take(message, now()) {
                let orphans = self.orphans(&mut sweep).await;
                self.stage.finish(sweep, orphans, now());
                self.tell_lost();
            }
        }
        if !self.stage.has_batch() {
            self.tell_pruned();
        }
        self.store_blobs().await;
        for (target, ids) in group_by_target(self.stage.take_dropped()) {
            self.channels.request(Resync::Objects { target, ids });
        }
    }

    /// Which candidates of a sweep really are the object that their path says. None where content cannot be read now.
    async fn orphans(&mut self, sweep: &mut Sweep) -> Vec<Candidate> {
        let orphans = self.recognised(std::mem::take(&mut sweep.candidates)).await;
        orphans.unwrap_or_else(|| {
            self.unread.insert(sweep.scope().target.clone());
            Vec::new()
        })
    }

    /// Those of `candidates` that really are the object that their path says; `None` while that cannot be read.
    pub(super) async fn recognised(&mut self, candidates: Vec<Candidate>) -> Option<Vec<Candidate>> {
        let existing =
            self.read_existing(candidates.iter().filter_map(|candidate| candidate.doubtful).collect()).await?;
        let mut existing = existing.into_iter();
        let is_known = |candidate: Candidate| match candidate.doubtful {
            Some(_) => recognise(candidate, &existing.next().unwrap_or_default()),
            None => Some(candidate),
        };
        Some(candidates.into_iter().filter_map(is_known).collect())
    }

    /// Of the files that a list would overwrite, those that describe the same object in other words stay as they are, and
    /// those that cannot be read now wait for another list.
    async fn settle_lists(&mut self, all: bool) {
        let doubts = self.stage.take_seed_doubts(all);
        let existing = self.read_existing(doubts.iter().map(|(_, _, doubt)| doubt.existing).collect()).await;
        let Some(existing) = existing else {
            for (scope, ..) in &doubts {
                self.unread.insert(scope.target.clone());
                self.stage.undecided(scope);
            }
            return;
        };
        for ((scope, path, doubt), existing) in doubts.into_iter().zip(existing) {
            if !sanitize::same_object(&existing, &doubt.manifest) {
                self.stage.overwrite(&scope, path, doubt.manifest);
            }
        }
    }

    /// The same for the files that the open batch would overwrite.
    pub(super) async fn settle_batch(&mut self) {
        let doubts = self.stage.take_doubts();
        let existing = self.read_existing(doubts.iter().map(|(_, doubt)| doubt.existing).collect()).await;
        // An object that changed is written whatever stands there.
        let Some(existing) = existing else { return };
        for ((path, doubt), existing) in doubts.into_iter().zip(existing) {
            if sanitize::same_object(&existing, &doubt.manifest) {
                tracing::info!(%path, "Left alone: the file says the same in other words");
                self.stage.adopt(&path, &doubt);
            }
        }
    }

    /// The content of blobs; of those that the remote does not give out nothing. `None` while it cannot be asked.
    async fn read_existing(&self, ids: Vec<Oid>) -> Option<Vec<Vec<u8>>> {
        if ids.is_empty() {
            return Some(Vec::new());
        }
        match self.clone.read_blobs(&ids, &self.spec.credentials).await {
            Ok(existing) => Some(existing),
            Err(error) => {
                let detail = classify::describe(&error).message;
                tracing::warn!(branch = %self.spec.key, %error, detail, "Files on the branch cannot be read");
                let is_out_of_reach = matches!(Class::of(&error), Class::Transient | Class::Auth | Class::NotFound);
                (!is_out_of_reach).then(|| vec![Vec::new(); ids.len()])
            }
        }
    }

    /// Asks again for the targets of which files could not be read, now that they can.
    pub(super) fn ask_for_unread(&mut self) {
        self.deselected.is_due |= !self.unread.is_empty();
        self.channels.request_targets(std::mem::take(&mut self.unread));
    }
}

fn group_by_target(dropped: Vec<(NamespacedName, ResourceId)>) -> BTreeMap<NamespacedName, Vec<ResourceId>> {
    let mut groups: BTreeMap<NamespacedName, Vec<ResourceId>> = BTreeMap::new();
    for (target, id) in dropped {
        groups.entry(target).or_default().push(id);
    }
    groups
}
