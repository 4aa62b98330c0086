//! From messages to commits: decides by blob id what differs from the branch, and what is an orphan.
//!
//! Pure: git and the clock stay outside. The index runs ahead of the branch by what the open batch will do.

use super::batch::{Batch, BatchLimits};
use super::commit::{Commit, FileChange, Signature};
use super::mailbox::Message;
use super::message::{self, Installation};
use super::spec::Identity;
use super::tree::TreeIndex;
use crate::change::{Change, Content, SeedItem, SeedScope};
use crate::resource::layout;
use crate::resource::oid::ObjectFormat;
use crate::resource::{BaseFolder, NamespacedName, ObjectName, Oid, Operation, RepoPath, ResourceId};
use crate::sanitize::Manifest;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Blobs of initial lists are stored in packs of about this many bytes.
const PACK_BYTES: usize = 4 << 20;

/// Collects what is to be committed to one branch.
#[derive(Debug)]
pub struct Stage {
    installation: Arc<Installation>,
    committer: Identity,
    format: ObjectFormat,
    targets: BTreeMap<NamespacedName, BaseFolder>,
    index: TreeIndex,
    batch: Batch,
    seeds: HashMap<Arc<SeedScope>, Seed>,
    blobs: Vec<Manifest>,
    blob_bytes: usize,
    dropped: Vec<(NamespacedName, ResourceId)>,
}

/// An initial list while it arrives.
#[derive(Debug, Default)]
struct Seed {
    seen: HashSet<RepoPath>,
    writes: Vec<(RepoPath, Oid)>,
}

/// A complete list: what it writes, and which files of its scope it did not name.
#[derive(Debug)]
pub struct Sweep {
    scope: Arc<SeedScope>,
    writes: Vec<(RepoPath, Oid)>,
    /// Files at paths that an object of the scope would have, with the name of that object; whether such a file really is
    /// that object must be read from its content.
    pub candidates: Vec<(RepoPath, Oid, ObjectName)>,
}

impl Sweep {
    /// What the list was of.
    #[must_use]
    pub fn scope(&self) -> &SeedScope {
        &self.scope
    }
}

/// Now, for deadlines and for signatures.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub instant: Instant,
    /// Seconds since 1970.
    pub seconds: i64,
}

impl Stage {
    /// A stage without targets.
    #[must_use]
    pub fn new(
        installation: Arc<Installation>,
        committer: Identity,
        format: ObjectFormat,
        limits: BatchLimits,
    ) -> Self {
        Self {
            installation,
            committer,
            format,
            targets: BTreeMap::new(),
            index: TreeIndex::default(),
            batch: Batch::new(limits),
            seeds: HashMap::new(),
            blobs: Vec::new(),
            blob_bytes: 0,
            dropped: Vec::new(),
        }
    }

    /// Takes over the targets and the committer. The index must be loaded anew when folders changed.
    pub fn set_targets(&mut self, targets: BTreeMap<NamespacedName, BaseFolder>, committer: Identity) {
        self.seeds.retain(|scope, _| targets.get(&scope.target) == Some(&scope.folder));
        self.targets = targets;
        self.committer = committer;
    }

    /// The folders of all targets.
    pub fn folders(&self) -> impl Iterator<Item = &BaseFolder> + Clone {
        self.targets.values()
    }

    /// Replaces the index by what the branch holds. The open batch must be empty.
    pub fn set_index(&mut self, index: TreeIndex) {
        self.index = index;
    }

    /// What the branch holds, the open batch included.
    #[must_use]
    pub const fn index(&self) -> &TreeIndex {
        &self.index
    }

    /// When the open batch is to be sealed.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.batch.due()
    }

    /// The commits of the open batch.
    pub fn take_commits(&mut self) -> Vec<Commit> {
        self.batch.take()
    }

    /// The blobs that must be stored before the commits that point to them; empty unless `all` or enough to be worth a
    /// pack.
    pub fn take_blobs(&mut self, all: bool) -> Vec<Manifest> {
        if !all && self.blob_bytes < PACK_BYTES {
            return Vec::new();
        }
        self.blob_bytes = 0;
        std::mem::take(&mut self.blobs)
    }

    /// The objects whose content must be asked for again.
    pub fn take_dropped(&mut self) -> Vec<(NamespacedName, ResourceId)> {
        std::mem::take(&mut self.dropped)
    }

    /// Takes in one message. A complete list comes back as a [`Sweep`], to be finished with [`Stage::finish`].
    pub fn take(&mut self, message: Message, now: Now) -> Option<Sweep> {
        match message {
            Message::Change(change) => self.change(*change, now),
            Message::SeedBegin(scope) => {
                // A list that starts again makes what came of the first try worthless.
                if self.targets.get(&scope.target) == Some(&scope.folder) {
                    self.seeds.insert(scope, Seed::default());
                }
            }
            Message::SeedItem(scope, item) => self.seed_item(&scope, item),
            Message::SeedKeep(scope, path) => {
                if let Some(seed) = self.seeds.get_mut(&scope) {
                    seed.seen.insert(path);
                }
            }
            Message::SeedEnd(scope, sweep) => return self.seed_end(scope, sweep),
        }
        None
    }

    fn change(&mut self, change: Change, now: Now) {
        // Whatever comes, nothing outside of the target's folder is touched.
        if !self.targets.get(&change.target).is_some_and(|folder| folder.contains(&change.path)) {
            return;
        }
        let present = self.index.get(&change.path);
        let (operation, file) = match &change.content {
            Content::Upsert(manifest) => {
                let oid = self.oid(manifest);
                if present == Some(oid) || self.is_blocked(&change.path) {
                    return;
                }
                let operation = if present.is_some() { Operation::Update } else { Operation::Create };
                (operation, FileChange::Write(change.path.clone(), manifest.clone()))
            }
            Content::Delete if present.is_some() => (Operation::Delete, FileChange::Remove(change.path.clone())),
            Content::Delete => return,
            Content::Dropped => {
                self.dropped.push((change.target, change.id));
                return;
            }
        };
        if !change.operations.contains(operation) {
            return;
        }
        self.apply_to_index(&file);
        let committer = Signature::new(&self.committer, now.seconds);
        let author = message::author(&change.verdict);
        let commit = Commit {
            author: author.map_or_else(|| committer.clone(), |(identity, at)| Signature::new(&identity, at)),
            committer,
            message: self.installation.change(&change, operation),
            files: vec![file],
            target: Some(change.target),
        };
        self.batch.add(commit, now.instant);
    }

    fn seed_item(&mut self, scope: &Arc<SeedScope>, item: SeedItem) {
        let oid = self.oid(&item.manifest);
        let present = self.index.get(&item.path);
        let operation = if present.is_some() { Operation::Update } else { Operation::Create };
        let wanted = present != Some(oid) && item.operations.contains(operation) && !self.is_blocked(&item.path);
        let Some(seed) = self.seeds.get_mut(scope).filter(|_| scope.folder.contains(&item.path)) else { return };
        if wanted {
            self.blob_bytes += item.manifest.len();
            self.blobs.push(item.manifest);
            seed.writes.push((item.path.clone(), oid));
        }
        seed.seen.insert(item.path);
    }

    fn seed_end(&mut self, scope: Arc<SeedScope>, sweep: bool) -> Option<Sweep> {
        let seed = self.seeds.remove(&scope)?;
        let folder = layout::folder_of(&scope.folder, &scope.kind, scope.namespace.as_deref());
        let orphans = self.index.below(&folder).filter(|(path, _)| sweep && !seed.seen.contains(*path));
        let candidates = orphans
            .filter_map(|(path, oid)| {
                Some((path.clone(), oid, layout::object_at(&scope.folder, &scope.kind, path.as_str())?))
            })
            .collect();
        Some(Sweep { writes: seed.writes, candidates, scope })
    }

    /// Turns a complete list into one commit that writes what differs and removes `orphans`; none if there is nothing to do.
    pub fn finish(&mut self, sweep: Sweep, orphans: Vec<RepoPath>, now: Now) {
        let differs = |(path, oid): &(RepoPath, Oid)| self.index.get(path) != Some(*oid);
        let writes: Vec<_> = sweep.writes.into_iter().filter(differs).collect();
        let (written, deleted) = (writes.len(), orphans.len());
        let files: Vec<FileChange> = writes
            .into_iter()
            .map(|(path, oid)| FileChange::Point(path, oid))
            .chain(orphans.into_iter().map(FileChange::Remove))
            .collect();
        if files.is_empty() {
            return;
        }
        files.iter().for_each(|file| self.apply_to_index(file));
        let committer = Signature::new(&self.committer, now.seconds);
        let commit = Commit {
            target: Some(sweep.scope.target.clone()),
            author: committer.clone(),
            committer,
            message: self.installation.reconcile(written, deleted),
            files,
        };
        self.batch.add(commit, now.instant);
    }

    fn oid(&self, manifest: &Manifest) -> Oid {
        match self.format {
            ObjectFormat::Sha1 => manifest.oid(),
            ObjectFormat::Sha256 => Oid::of_blob(self.format, manifest.bytes()),
        }
    }

    fn is_blocked(&self, path: &RepoPath) -> bool {
        let obstacle = self.index.obstacle(path);
        if let Some(obstacle) = &obstacle {
            tracing::warn!(%path, %obstacle, "Not written: something that is not ours is in the way");
        }
        obstacle.is_some()
    }

    fn apply_to_index(&mut self, file: &FileChange) {
        match file {
            FileChange::Write(path, manifest) => {
                let oid = self.oid(manifest);
                self.index.insert(path.clone(), oid);
            }
            FileChange::Point(path, oid) => self.index.insert(path.clone(), *oid),
            FileChange::Remove(path) => self.index.remove(path),
        }
    }
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
