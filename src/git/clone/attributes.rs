//! What the branch's `.gitattributes` say about paths.

use super::BranchClone;
use crate::git::attributes::{self, AttributeFiles, Filtered};
use crate::git::cli::{GitCommand, GitError};
use crate::git::commit::{Commit, FileChange};
use crate::git::spec::Credentials;
use crate::git::tree::TreeIndex;
use crate::resource::{Oid, RepoPath};
use std::collections::{BTreeSet, HashSet};

/// An index that holds nothing but `.gitattributes`; what a killed process left of it is removed like git's own leftovers.
const INDEX: &str = "tmp_attributes_index";

impl BranchClone {
    /// Makes sure that all of `files` are here; those that are not are fetched. To git, one that it does not find is one
    /// that says nothing.
    ///
    /// # Errors
    /// When git fails, or not all of them can be had: then nothing is known of any path.
    pub async fn fetch_attributes(&self, files: &AttributeFiles, credentials: &Credentials) -> Result<(), GitError> {
        let ids: Vec<Oid> = files.values().copied().collect();
        for (content, (path, oid)) in self.read_blobs(&ids, credentials).await?.iter().zip(files) {
            if Oid::of_blob(self.format(), content) != *oid {
                return Err(GitError::unreadable("cat-file", format!("{path} cannot be read").as_bytes()));
            }
        }
        Ok(())
    }

    /// Those of `paths` that `files`, which are here, put under a filter, whether or not they exist.
    ///
    /// # Errors
    /// When git fails: then nothing is known of any path.
    pub async fn filtered(&self, files: &AttributeFiles, paths: &[RepoPath]) -> Result<Vec<Filtered>, GitError> {
        if files.is_empty() || paths.is_empty() {
            return Ok(Vec::new());
        }
        let index = self.git_dir().join(INDEX);
        let with_index = |command: GitCommand| {
            // What the administrator's configuration says about attributes is about other repositories.
            let command = command.index_file(&index).config("core.attributesFile", "/dev/null");
            // Git 2.39 has no --source, and finds nothing in folders that a sparse index has folded up.
            command.config("index.sparse", "false").config("core.sparseCheckout", "false")
        };
        let update = with_index(self.command("update-index")).flag("-z").flag("--index-info");
        let answer = match update.input(attributes::index_info(files)).run().await.and_then(|output| output.success()) {
            Ok(_) => {
                let check = with_index(self.command("check-attr")).flag("--cached").flag("-z").flag("--stdin");
                let check = attributes::HARMFUL.iter().fold(check, |check, attribute| check.flag(attribute));
                check.input(attributes::questions(paths)).run().await.and_then(|output| output.success())
            }
            Err(error) => Err(error),
        };
        if let Err(source) = std::fs::remove_file(&index) {
            tracing::debug!(error = %source, "A scratch index stays");
        }
        let answer = answer?.stdout;
        attributes::parse(&answer, paths).ok_or_else(|| GitError::unreadable("check-attr", &answer))
    }

    /// Takes out of `journal` what the attributes of `tree` put under a filter: it was written before they were known.
    pub(super) async fn leave_out_filtered(
        &self,
        journal: &mut [Commit],
        tree: &TreeIndex,
        credentials: &Credentials,
    ) -> Result<(), GitError> {
        let Some(files) = tree.attributes().filter(|files| !files.is_empty()) else { return Ok(()) };
        let files_of = journal.iter().flat_map(|commit| &commit.files);
        let written = files_of.filter(|file| !matches!(file, FileChange::Remove(_)));
        let paths: BTreeSet<RepoPath> = written.map(|file| file.path().clone()).collect();
        let paths: Vec<RepoPath> = paths.into_iter().collect();
        self.fetch_attributes(files, credentials).await?;
        let filtered: HashSet<RepoPath> =
            self.filtered(files, &paths).await?.into_iter().map(|filtered| filtered.path).collect();
        for path in &filtered {
            tracing::warn!(%path, "Not replayed: it has come under a filter");
        }
        for commit in journal {
            commit.files.retain(|file| !filtered.contains(file.path()));
        }
        Ok(())
    }
}
