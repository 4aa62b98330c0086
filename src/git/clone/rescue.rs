//! Making a clone anew without losing the journal of the old one.

use super::{BASE, BranchClone};
use crate::git::cli::GitError;
use crate::git::commit::{Commit, FileChange};
use crate::git::journal;
use crate::git::spec::Credentials;
use crate::resource::Oid;
use std::collections::{BTreeSet, HashSet};

/// How many earlier tips are tried when the last one cannot be read.
const TRIED: usize = 200;

impl BranchClone {
    /// Makes the clone anew from the remote, with as much of the journal as can be read on top. What cannot be rescued
    /// stays beside, for people.
    pub(super) async fn remake(&self, is_full: bool, credentials: &Credentials) -> Result<Self, GitError> {
        let next = self.create(is_full, credentials).await?;
        // What the old one holds is told by files that can be written anew.
        let rescued = match self.configure() {
            Ok(()) => self.rescue_into(&next, credentials).await,
            Err(error) => Err(error),
        };
        let is_whole = match rescued {
            Ok(Rescue { commits, is_whole }) => {
                if commits > 0 || !is_whole {
                    tracing::warn!(branch = %self.key, commits, is_whole, "Commits of the old clone are on the new one");
                }
                is_whole
            }
            Err(error) => {
                tracing::warn!(branch = %self.key, %error, "The journal of the old clone cannot be read");
                false
            }
        };
        next.publish(!is_whole)
    }

    async fn rescue_into(&self, next: &Self, credentials: &Credentials) -> Result<Rescue, GitError> {
        let base = self.known_base().await;
        let Some((mut commits, is_last)) = self.readable_journal(base).await? else {
            return Ok(Rescue { commits: 0, is_whole: self.logged(&self.key.branch.to_ref()).is_empty() });
        };
        let mut is_whole = is_last;
        // A push may have landed although nobody heard of it.
        let ids: Vec<Oid> = commits.iter().map(|(id, _)| *id).collect();
        let there = next.existing(&ids).await?;
        let landed = commits.iter().rposition(|(id, _)| there.contains(id)).map_or(0, |at| at + 1);
        commits.drain(..landed);
        let mut commits: Vec<Commit> = commits.into_iter().map(|(_, commit)| commit).collect();
        let blobs: BTreeSet<Oid> = commits.iter().flat_map(|commit| &commit.files).filter_map(pointed_at).collect();
        let blobs: Vec<Oid> = blobs.into_iter().collect();
        let here = self.existing(&blobs).await?;
        is_whole &= here.len() == blobs.len();
        for commit in &mut commits {
            commit.files.retain(|file| pointed_at(file).is_none_or(|blob| here.contains(&blob)));
        }
        commits.retain(|commit| !commit.files.is_empty());
        if commits.is_empty() {
            return Ok(Rescue { commits: 0, is_whole });
        }
        self.copy_into(next, &here).await?;
        let count = next.graft(commits, next.base().await?, &BTreeSet::new(), credentials).await?.1;
        Ok(Rescue { commits: count, is_whole })
    }

    /// The journal up to the last tip that can be read, and whether that is the branch's own.
    async fn readable_journal(&self, base: Option<Oid>) -> Result<Option<(Vec<(Oid, Commit)>, bool)>, GitError> {
        // Without a base everything would be ours, and of a history that was cut that is not true.
        if base.is_none() && self.git_dir().join("shallow").exists() {
            return Ok(None);
        }
        let tip = self.tip().await.ok().flatten();
        let earlier = self.logged(&self.key.branch.to_ref());
        let last = tip.or_else(|| earlier.first().copied());
        for tip in tip.into_iter().chain(earlier).take(TRIED) {
            if Some(tip) == base {
                // All that came after it is lost, unless there was nothing.
                return Ok(Some((Vec::new(), Some(tip) == last)));
            }
            if !self.follows(base, tip).await? {
                continue;
            }
            match journal::read(&self.git, &self.git_dir(), base, tip, None).await {
                Ok(commits) => return Ok(Some((commits, Some(tip) == last))),
                Err(error) => tracing::debug!(%error, tip = %tip.short(), "Cannot be read"),
            }
        }
        Ok(None)
    }

    async fn follows(&self, base: Option<Oid>, tip: Oid) -> Result<bool, GitError> {
        let Some(base) = base else { return Ok(true) };
        match self.contains(tip, base).await {
            // What cannot be walked leads nowhere.
            Err(GitError::Failed { .. }) => Ok(false),
            known => known,
        }
    }

    async fn known_base(&self) -> Option<Oid> {
        match self.base().await {
            Ok(Some(base)) => Some(base),
            _ => match self.logged(BASE).first() {
                Some(base) => Some(*base),
                None => self.resolve(&self.tracking()).await.ok().flatten(),
            },
        }
    }

    /// Which of these objects are here.
    async fn existing(&self, ids: &[Oid]) -> Result<HashSet<Oid>, GitError> {
        let input: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let asked = self.command("cat-file").flag("--batch-check=%(objectname) %(objecttype)").offline();
        let answer = asked.input(input.into_bytes()).run().await?.success()?.text();
        let present = |line: &str| {
            let (id, kind) = line.split_once(' ')?;
            id.parse().ok().filter(|_| kind != "missing")
        };
        Ok(answer.lines().filter_map(present).collect())
    }

    /// Writes objects as a pack of the other clone.
    async fn copy_into(&self, next: &Self, objects: &HashSet<Oid>) -> Result<(), GitError> {
        let input: String = objects.iter().map(|id| format!("{id}\n")).collect();
        let packs = next.git_dir().join("objects/pack");
        std::fs::create_dir_all(&packs).map_err(|source| Self::io("pack-objects", source))?;
        let name = packs.join("pack").to_string_lossy().into_owned();
        let pack = self.command("pack-objects").flag("--quiet").flag("--non-empty").operand(name).offline();
        pack.input(input.into_bytes()).run().await?.success().map(drop)
    }
}

/// What became of a journal.
struct Rescue {
    /// How many commits were put onto the new clone.
    commits: usize,
    /// Whether nothing of it is lost.
    is_whole: bool,
}

fn pointed_at(file: &FileChange) -> Option<Oid> {
    match file {
        FileChange::Point(_, oid) => Some(*oid),
        FileChange::Write(..) | FileChange::Remove(_) => None,
    }
}
