//! Nothing is written in clear that belongs under a filter.

use super::Worker;
use crate::git::attributes::{AttributeFiles, Filtered};
use crate::git::cli::GitError;
use crate::resource::{NamespacedName, RepoPath};

impl Worker {
    /// Refuses the targets that are about to write what belongs under a filter, before anything of it is stored. Returns
    /// whether the rest may be written.
    pub(super) async fn may_write(&mut self) -> bool {
        let Some(files) = self.stage.index().attributes() else {
            // Nobody knows what the branch holds: a repair that is under way asks for everything again.
            self.stage.drop_batch();
            self.deselected.is_due = true;
            return false;
        };
        if files.is_empty() {
            return true;
        }
        let files: AttributeFiles = files.clone();
        let writes: Vec<(NamespacedName, RepoPath)> = self.stage.writes();
        let unknown = self.guard.unknown(writes.iter().map(|(_, path)| path));
        let filtered = match self.filtered(&files, &unknown).await {
            Ok(filtered) => filtered,
            Err(error) => {
                self.stage.drop_batch();
                self.deselected.is_due = true;
                self.damaged(&error, "The attributes of files cannot be read, so nothing is written");
                return false;
            }
        };
        for filtered in &filtered {
            let Some((target, _)) = writes.iter().find(|(_, path)| *path == filtered.path) else { continue };
            if self.guard.refusal(target).is_none() {
                tracing::warn!(%target, path = %filtered.path, attribute = filtered.attribute, "Target refused: a path belongs under a filter");
            }
            self.stage.refuse(target);
            self.guard.refuse(target.clone(), filtered.clone());
        }
        let is_filtered = |path: &RepoPath| filtered.iter().any(|filtered| filtered.path == *path);
        self.guard.allow(unknown.into_iter().filter(|path| !is_filtered(path)));
        if !filtered.is_empty() {
            self.report_targets();
        }
        true
    }

    async fn filtered(&mut self, files: &AttributeFiles, paths: &[RepoPath]) -> Result<Vec<Filtered>, GitError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        if !self.guard.has_files() {
            self.clone.fetch_attributes(files, &self.spec.credentials).await?;
            self.guard.note_files();
        }
        self.clone.filtered(files, paths).await
    }

    /// Takes over the attributes that the branch has now. Where they were others, what was refused, or left out of the
    /// journal, is asked for again.
    pub(super) fn observe_attributes(&mut self) {
        let Some(files) = self.stage.index().attributes() else { return };
        if self.guard.observe(files) {
            tracing::info!(branch = %self.spec.key, "The branch has other attributes now");
            self.stage.pardon();
            self.deselected.is_due = true;
            self.request_everything();
        }
    }

    /// Lets everybody try again: what somebody has changed may be what was in the way.
    pub(super) fn pardon(&mut self) {
        self.stage.pardon();
        self.channels.request_targets(self.guard.pardon());
    }
}
