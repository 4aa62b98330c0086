//! Files that somebody else has made, and that may say in other words what they are to say.

use super::{PACK_BYTES, Stage};
use crate::change::SeedScope;
use crate::git::draft::{Draft, Edit};
use crate::resource::{Oid, RepoPath};
use crate::sanitize::Manifest;
use std::sync::Arc;

/// A file that somebody else made, and what is to stand in it. If it describes the same object, it is left alone,
/// comments and all.
#[derive(Clone, Debug)]
pub struct Doubt {
    /// The blob that is there.
    pub existing: Oid,
    /// What is to be there.
    pub manifest: Manifest,
}

impl Stage {
    /// What the commits of the open batch overwrite, each the first time, and somebody else has made.
    pub fn take_doubts(&mut self) -> Vec<(RepoPath, Doubt)> {
        let mut doubts = Vec::new();
        self.batch.retain(|draft| {
            if let Draft::Changes(_, edits) = draft {
                for edit in edits {
                    if let (Some(existing), Some(manifest)) = (edit.doubt.take(), &edit.content) {
                        doubts.push((edit.path.clone(), Doubt { existing, manifest: manifest.clone() }));
                    }
                }
            }
            true
        });
        doubts
    }

    /// Takes out of the open batch the write that `doubt` is about: the file says the same already.
    pub fn adopt(&mut self, path: &RepoPath, doubt: &Doubt) {
        let is_it = |edit: &Edit| edit.path == *path && edit.content.as_ref() == Some(&doubt.manifest);
        let mut found = false;
        self.batch.retain(|draft| {
            if let Draft::Changes(_, edits) = draft
                && let Some(at) = edits.iter().position(is_it).filter(|_| !found)
            {
                edits.remove(at);
                found = true;
            }
            true
        });
        if found && self.index.get(path) == Some(self.oid(&doubt.manifest)) {
            self.index.leave(path.clone(), doubt.existing);
        }
    }

    /// The files of lists that somebody else has made; none unless `all` or enough to be worth a look.
    pub fn take_seed_doubts(&mut self, all: bool) -> Vec<(Arc<SeedScope>, RepoPath, Doubt)> {
        if !all && self.seed_doubt_bytes < PACK_BYTES {
            return Vec::new();
        }
        self.seed_doubt_bytes = 0;
        std::mem::take(&mut self.seed_doubts)
    }

    /// Notes that not all that a list differs in could be looked at: it proves nothing about what it does not write.
    pub fn undecided(&mut self, scope: &Arc<SeedScope>) {
        if let Some(seed) = self.seeds.get_mut(scope) {
            seed.begun = None;
        }
    }

    /// Writes a file of a list that says something else than `manifest`.
    pub fn overwrite(&mut self, scope: &Arc<SeedScope>, path: RepoPath, manifest: Manifest) {
        let oid = self.oid(&manifest);
        if let Some(seed) = self.seeds.get_mut(scope) {
            self.blob_bytes += manifest.len();
            seed.writes.push((path.clone(), oid));
            self.blobs.push((scope.target.clone(), path, manifest));
        }
    }
}
