//! From messages to commits: decides by blob id what differs from the branch, and what is an orphan.
//!
//! Pure: git and the clock stay outside. The index runs ahead of the branch by what the open batch will do.

mod deselected;
mod doubts;
mod seed;
mod sweep;
mod targets;

pub use self::deselected::{Deselected, recognise};
pub use self::doubts::Doubt;
use self::seed::Seed;
pub use self::sweep::{Candidate, Sweep};
use super::author::Authors;
use super::batch::{Batch, BatchLimits};
use super::commit::{Commit, FileChange, Signature};
use super::draft::{Draft, Edit};
use super::foreign::ForeignEdits;
use super::mailbox::Message;
use super::message::Installation;
use super::missed::Missed;
use super::spec::{Identity, PruneMode, TargetSpec};
use super::sweeps::Sweeps;
use super::tree::TreeIndex;
use super::window::Windows;
use crate::change::{Change, Content, SeedScope};
use crate::resource::layout;
use crate::resource::oid::ObjectFormat;
use crate::resource::{BaseFolder, NamespacedName, Oid, RepoPath, ResourceId, ResourceType};
use crate::rules::MessageTemplates;
use crate::sanitize::Manifest;
use crate::telemetry::metrics::AttributedChanges;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Blobs of initial lists are stored in packs of about this many bytes.
const PACK_BYTES: usize = 4 << 20;

/// Collects what is to be committed to one branch.
#[derive(Debug)]
pub struct Stage {
    installation: Arc<Installation>,
    authors: Arc<Authors>,
    attributed: Arc<AttributedChanges>,
    committer: Identity,
    format: ObjectFormat,
    targets: BTreeMap<NamespacedName, TargetSpec>,
    index: TreeIndex,
    windows: Windows,
    batch: Batch,
    seeds: HashMap<Arc<SeedScope>, Seed>,
    seed_doubts: Vec<(Arc<SeedScope>, RepoPath, Doubt)>,
    seed_doubt_bytes: usize,
    blobs: Vec<(NamespacedName, RepoPath, Manifest)>,
    blob_bytes: usize,
    dropped: Vec<(NamespacedName, ResourceId)>,
    /// Targets for which nothing is taken.
    refused: BTreeSet<NamespacedName>,
    foreign: ForeignEdits,
    missed: Missed,
    /// What could not be written since something stood in the way.
    blocked: BTreeSet<RepoPath>,
    /// The types that each target's lists were of.
    kinds: HashSet<(NamespacedName, Arc<ResourceType>)>,
    sweeps: BTreeMap<NamespacedName, Sweeps>,
    /// How many files of each target are laid out as those of objects are.
    files: BTreeMap<NamespacedName, usize>,
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
            authors: Arc::default(),
            attributed: Arc::default(),
            committer,
            format,
            targets: BTreeMap::new(),
            index: TreeIndex::default(),
            windows: Windows::default(),
            batch: Batch::new(limits),
            seeds: HashMap::new(),
            seed_doubts: Vec::new(),
            seed_doubt_bytes: 0,
            blobs: Vec::new(),
            blob_bytes: 0,
            dropped: Vec::new(),
            refused: BTreeSet::new(),
            foreign: ForeignEdits::default(),
            missed: Missed::default(),
            blocked: BTreeSet::new(),
            kinds: HashSet::new(),
            sweeps: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// The stage, which then calls authors as `authors` says, and counts in `attributed` how firmly they are known.
    #[must_use]
    pub fn naming(self, authors: Arc<Authors>, attributed: Arc<AttributedChanges>) -> Self {
        Self { authors, attributed, ..self }
    }

    /// What others edited.
    pub const fn foreign(&mut self) -> &mut ForeignEdits {
        &mut self.foreign
    }

    /// The paths that could not be written and can be now.
    pub fn take_unblocked(&mut self) -> Vec<RepoPath> {
        let (still, free) =
            std::mem::take(&mut self.blocked).into_iter().partition(|path| self.index.obstacle(path).is_some());
        self.blocked = still;
        BTreeSet::into_iter(free).collect()
    }

    /// Whether an object of a type of which `target` has had a list can have its file at `path`.
    #[must_use]
    pub fn is_manifest(&self, target: &NamespacedName, path: &RepoPath) -> bool {
        let Some(TargetSpec { folder, .. }) = self.targets.get(target) else { return false };
        let mut kinds = self.kinds.iter().filter(|(of, _)| of == target);
        kinds.any(|(_, kind)| path.as_str().starts_with(&layout::folder_of(folder, kind, None)))
    }

    /// How many files of each target are laid out as those of objects are.
    #[must_use]
    pub const fn files(&self) -> &BTreeMap<NamespacedName, usize> {
        &self.files
    }

    /// Whether something is to be committed at once.
    #[must_use]
    pub fn has_batch(&self) -> bool {
        !self.batch.drafts().is_empty()
    }

    /// How many changes wait to be committed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.windows.waiting() + self.batch.files()
    }

    /// The folders of all targets.
    pub fn folders(&self) -> impl Iterator<Item = &BaseFolder> + Clone {
        self.targets.values().map(|target| &target.folder)
    }

    /// Replaces the index by what the branch holds. No window may be open, and the open batch must be empty.
    pub fn set_index(&mut self, mut index: TreeIndex) {
        index.inherit(&self.index);
        self.index = index;
        let count = |folder: &BaseFolder| {
            self.index
                .below(&folder.prefix())
                .filter(|(path, _)| layout::type_at(folder, path.as_str()).is_some())
                .count()
        };
        self.files = self.targets.iter().map(|(name, target)| (name.clone(), count(&target.folder))).collect();
    }

    /// What the branch holds, the open windows and the open batch included.
    #[must_use]
    pub const fn index(&self) -> &TreeIndex {
        &self.index
    }

    /// When a window is to be closed or the open batch to be sealed.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.batch.due().into_iter().chain(self.windows.due()).min()
    }

    /// Closes the windows whose time is up; tells whether the open batch is to be sealed then.
    pub fn close_due(&mut self, now: Instant) -> bool {
        let drafts = self.windows.close_due(now);
        self.extend_batch(drafts, now);
        self.batch.due().is_some_and(|due| due <= now)
    }

    /// Closes all windows, before the branch moves or its worker leaves.
    pub fn close_all(&mut self, now: Instant) {
        let drafts = self.windows.close_all();
        self.extend_batch(drafts, now);
    }

    fn extend_batch(&mut self, drafts: Vec<Draft>, now: Instant) {
        drafts.into_iter().for_each(|draft| self.batch.add(draft, now));
    }

    /// The commits of the open batch, made `seconds` after 1970.
    pub fn take_commits(&mut self, seconds: i64) -> Vec<Commit> {
        let drafts = self.batch.take();
        drafts.into_iter().map(|draft| self.commit(draft, seconds)).collect()
    }

    fn commit(&self, draft: Draft, seconds: i64) -> Commit {
        let default = MessageTemplates::default();
        let templates = self.targets.get(draft.target()).map_or(&default, |target| &target.commit.messages);
        let message = self.installation.message(templates, &draft);
        let committer = Signature::new(&self.committer, seconds);
        let target = Some(draft.target().clone());
        let (author, files) = match draft {
            Draft::Changes(_, edits) => {
                // Of several changes of one author, the last one dates the commit.
                let author = edits.iter().filter_map(|edit| self.authors.of(&edit.verdict)).max_by_key(|(_, at)| *at);
                let seen = edits.iter().map(|edit| edit.seconds).max().unwrap_or(seconds);
                let author = author.map(|(identity, at)| Signature::new(&identity, at));
                let files = edits.iter().map(Edit::file).collect();
                (author.unwrap_or_else(|| Signature::new(&self.committer, seen)), files)
            }
            Draft::List(_, files) => (committer.clone(), files),
        };
        Commit { target, author, committer, message, files }
    }

    /// Whether enough blobs wait to be stored to be worth a pack.
    #[must_use]
    pub const fn has_blobs(&self) -> bool {
        self.blob_bytes >= PACK_BYTES
    }

    /// The blobs that must be stored before the commits that point to them.
    pub fn take_blobs(&mut self) -> Vec<Manifest> {
        self.blob_bytes = 0;
        std::mem::take(&mut self.blobs).into_iter().map(|(_, _, manifest)| manifest).collect()
    }

    /// Every file that the open batch and the blobs that wait write, with its target.
    #[must_use]
    pub fn writes(&self) -> Vec<(NamespacedName, RepoPath)> {
        let of_draft = |draft: &Draft| {
            let paths = draft.writes().map(|path| (draft.target().clone(), path.clone()));
            paths.collect::<Vec<_>>()
        };
        let blobs = self.blobs.iter().map(|(target, path, _)| (target.clone(), path.clone()));
        self.batch.drafts().iter().flat_map(of_draft).chain(blobs).collect()
    }

    /// The objects whose content must be asked for again.
    pub fn take_dropped(&mut self) -> Vec<(NamespacedName, ResourceId)> {
        std::mem::take(&mut self.dropped)
    }

    /// Takes in one message. A complete list comes back as a [`Sweep`], to be finished with [`Stage::finish`].
    pub fn take(&mut self, message: Message, now: Now) -> Option<Sweep> {
        match message {
            Message::Change(change) => self.change(*change, now),
            Message::SeedBegin(scope) => self.seed_begin(scope, now),
            Message::SeedItem(scope, item) => self.seed_item(&scope, item),
            Message::SeedKeep(scope, path) => self.seed_keep(&scope, path),
            Message::SeedEnd(scope, sweep) => return self.seed_end(scope, &sweep),
        }
        None
    }

    fn change(&mut self, change: Change, now: Now) {
        // Whatever comes, nothing outside of the target's folder is touched.
        let Some(spec) = self.targets.get(&change.target).filter(|target| target.folder.contains(&change.path)) else {
            return;
        };
        let is_selected = spec.selection.covers(&change.id.kind, change.id.name.namespace.as_deref());
        let may_go = may_go(&change.content, spec.prune.mode);
        if !is_selected || self.refused.contains(&change.target) {
            return;
        }
        self.settle_in_seeds(&change);
        if !may_go {
            return;
        }
        self.kinds.insert((change.target.clone(), Arc::clone(&change.id.kind)));
        if change.is_news {
            self.foreign.object_changed(&change.path);
        }
        let content = match change.content {
            Content::Upsert(manifest) => Some(manifest),
            Content::Delete | Content::Deselect => None,
            Content::Dropped => {
                self.missed.version(&change.path, &change.verdict);
                self.dropped.push((change.target, change.id));
                return;
            }
        };
        let (before, after) = (self.index.get(&change.path), content.as_ref().map(|manifest| self.oid(manifest)));
        if before == after {
            self.missed.settled(&change.path);
            return;
        }
        if !change.is_news && self.is_left_to_others(&change.path, now) {
            self.missed.file(change.path);
            return;
        }
        if content.is_some() && self.is_blocked(&change.path) {
            self.missed.version(&change.path, &change.verdict);
            return;
        }
        let doubt = self.index.doubtful(&change.path).filter(|_| content.is_some());
        let Change { target, id, path, operations, version, verdict, .. } = change;
        // Whoever removes a file is its end, whatever it was to become.
        let verdict = match &content {
            Some(_) => self.missed.judge(verdict, &path, &target, &id),
            None => {
                self.missed.settled(&path);
                verdict
            }
        };
        let candidates = verdict.candidates().iter().cloned().collect();
        let seconds = now.seconds;
        let edit = Edit { path, content, before, after, doubt, id, version, verdict, candidates, seconds };
        if !operations.contains(edit.operation()) {
            return;
        }
        self.apply_to_index(&target, &edit.file());
        self.attributed.count(&target.to_string(), edit.verdict.tier().as_str());
        let window = self.targets.get(&target).map(|target| target.commit.window).unwrap_or_default();
        let drafts = self.windows.add(&target, edit, window, now.instant);
        self.extend_batch(drafts, now.instant);
    }

    fn oid(&self, manifest: &Manifest) -> Oid {
        match self.format {
            ObjectFormat::Sha1 => manifest.oid(),
            ObjectFormat::Sha256 => Oid::of_blob(self.format, manifest.bytes()),
        }
    }

    /// Whether the edit of somebody else at `path` is to stay, although its object differs.
    fn is_left_to_others(&mut self, path: &RepoPath, now: Now) -> bool {
        let held = self.foreign.hold(|_| false, std::iter::once(path), None, now.instant);
        !held.is_empty()
    }

    fn is_blocked(&mut self, path: &RepoPath) -> bool {
        let obstacle = self.index.obstacle(path);
        if let Some(obstacle) = &obstacle {
            tracing::warn!(%path, %obstacle, "Not written: something that is not ours is in the way");
            self.blocked.insert(path.clone());
        }
        obstacle.is_some()
    }

    fn apply_to_index(&mut self, target: &NamespacedName, file: &FileChange) {
        let (had, has) = (self.index.get(file.path()).is_some(), !matches!(file, FileChange::Remove(_)));
        let files = self.files.entry(target.clone()).or_default();
        *files = (*files + usize::from(has)).saturating_sub(usize::from(had));
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

/// Whether a file may become `content` where files are removed as `mode` says.
const fn may_go(content: &Content, mode: PruneMode) -> bool {
    match content {
        Content::Delete => !matches!(mode, PruneMode::Never),
        Content::Deselect => matches!(mode, PruneMode::Always),
        Content::Upsert(_) | Content::Dropped => true,
    }
}

#[cfg(test)]
#[path = "stage_tests.rs"]
mod tests;
