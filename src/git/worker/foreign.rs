//! Looking after what others edit in our folders.

use super::Worker;
use crate::git::cli::GitError;
use crate::git::spec::TargetSpec;
use crate::git::status::Severity;
use crate::resource::{NamespacedName, RepoPath};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Worker {
    /// Gives edits of others their time.
    pub(super) fn note_foreign(&mut self, paths: BTreeSet<RepoPath>) {
        let now = Instant::now();
        if let Some(first) = paths.first() {
            tracing::info!(branch = %self.spec.key, files = paths.len(), %first, "Edited by others; they get time to reach the cluster");
        }
        for path in paths {
            if let Some((_, target)) = target_of(&self.spec.targets, &path) {
                self.stage.foreign().note(path, target.foreign_edit_grace, now);
            }
        }
    }

    /// Finds out what others did in the folders of targets that are new here, as far as the history held tells.
    pub(super) async fn note_past(&mut self, before: &BTreeMap<NamespacedName, TargetSpec>) {
        let Some(base) = self.base else { return };
        let now = Instant::now();
        let of_new = |(name, target): &(&NamespacedName, &TargetSpec)| {
            before.get(*name).is_none_or(|known| known.folder != target.folder)
        };
        let new: Vec<TargetSpec> = self.spec.targets.iter().filter(of_new).map(|(_, target)| target.clone()).collect();
        for target in new {
            let prefix = target.folder.prefix();
            let is_empty = self.stage.index().below(&prefix).next().is_none();
            match self.clone.history(base, &[], [&target.folder].into_iter(), &self.instance).await {
                Ok(history) if !history.ours.is_empty() => self.note_foreign(history.foreign),
                // Nothing of ours was ever there: what is in the folder is taken over.
                Ok(history) if history.is_complete || is_empty => {}
                Ok(_) => self.stage.foreign().note_unknown(prefix, target.foreign_edit_grace, now),
                Err(error) => self.distrust(&error, prefix, &target, now),
            }
        }
    }

    fn distrust(&mut self, error: &GitError, prefix: String, target: &TargetSpec, now: Instant) {
        tracing::warn!(branch = %self.spec.key, %error, "The history cannot be read: every difference may be an edit");
        self.stage.foreign().note_unknown(prefix, target.foreign_edit_grace, now);
    }

    /// Asks again for the targets of which an edit has had its time.
    pub(super) fn ask_for_overdue(&mut self) {
        self.deselected.is_due = true;
        let mut overdue = Vec::new();
        for path in self.stage.foreign().take_due(Instant::now()) {
            let target = target_of(&self.spec.targets, &path);
            if target.is_some_and(|(name, _)| self.stage.is_manifest(name, &path)) {
                overdue.push(path);
            } else {
                self.stage.foreign().dismiss(&path);
            }
        }
        self.ask_for_targets_of(&overdue);
    }

    /// Asks again for what could not be written before somebody made way.
    pub(super) fn ask_for_unblocked(&mut self) {
        let free = self.stage.take_unblocked();
        self.ask_for_targets_of(&free);
    }

    fn ask_for_targets_of(&self, paths: &[RepoPath]) {
        let targets = paths.iter().filter_map(|path| target_of(&self.spec.targets, path));
        let names: BTreeSet<_> = targets.map(|(name, _)| name.clone()).collect();
        self.channels.request_targets(names);
    }

    /// Tells of files that are left to others from now on.
    pub(super) fn tell_lost(&mut self) {
        for path in self.stage.foreign().take_lost() {
            let Some((target, _)) = target_of(&self.spec.targets, &path) else { continue };
            tracing::warn!(%target, %path, "Somebody else writes a file again and again; it is left alone");
            let message = format!(
                "{path} was edited by somebody else again and again and written anew three times within an hour; it is left alone until its object changes"
            );
            self.channels.tell(target, Severity::Warning, "ForeignEdits", &message);
        }
    }
}

fn target_of<'a>(
    targets: &'a BTreeMap<NamespacedName, TargetSpec>,
    path: &RepoPath,
) -> Option<(&'a NamespacedName, &'a TargetSpec)> {
    targets.iter().find(|(_, target)| target.folder.contains(path))
}
