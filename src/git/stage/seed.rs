//! Initial lists while they arrive: what they bring, and what comes live meanwhile.

use super::{Doubt, Now, Stage};
use crate::change::{Change, SeedItem, SeedScope};
use crate::git::spec::TargetSpec;
use crate::resource::{Oid, Operation, RepoPath, layout};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// An initial list while it arrives.
#[derive(Debug)]
pub(super) struct Seed {
    /// When it began; `None` once it is known that not everything in it could be judged.
    pub(super) begun: Option<Instant>,
    pub(super) seen: HashSet<RepoPath>,
    /// Those of them that are to stay as they are.
    pub(super) kept: HashSet<RepoPath>,
    /// Those that a live change came for: it wins over what the list says, whichever comes first.
    pub(super) settled: HashSet<RepoPath>,
    pub(super) writes: Vec<(RepoPath, Oid)>,
}

impl Seed {
    fn new(begun: Instant) -> Self {
        let (seen, kept, settled) = (HashSet::new(), HashSet::new(), HashSet::new());
        Self { begun: Some(begun), seen, kept, settled, writes: Vec::new() }
    }
}

impl Stage {
    /// A list that starts again makes what came of the first try worthless.
    pub(super) fn seed_begin(&mut self, scope: Arc<SeedScope>, now: Now) {
        let is_known = self.targets.get(&scope.target).is_some_and(|target| target.folder == scope.folder);
        if !is_known || self.refused.contains(&scope.target) {
            return;
        }
        self.kinds.insert((scope.target.clone(), Arc::clone(&scope.kind)));
        // Of what the two would both be about, the earlier one will not be completed.
        self.seeds.retain(|other, _| {
            let is_other = other.target != scope.target || other.kind != scope.kind;
            is_other || other.namespaces.intersection(&scope.namespaces).is_empty()
        });
        self.seeds.insert(scope, Seed::new(now.instant));
    }

    /// The file at `path` is to stay as it is.
    pub(super) fn seed_keep(&mut self, scope: &Arc<SeedScope>, path: RepoPath) {
        if let Some(seed) = self.seeds.get_mut(scope) {
            seed.seen.insert(path.clone());
            seed.kept.insert(path);
        }
    }

    /// What the lists that are under way say of the file of `change` is older, and no reason to remove it.
    pub(super) fn settle_in_seeds(&mut self, change: &Change) {
        let namespace = change.id.name.namespace.as_deref();
        for (scope, seed) in &mut self.seeds {
            if scope.target == change.target && scope.kind == change.id.kind && scope.namespaces.contains(namespace) {
                seed.seen.insert(change.path.clone());
                seed.settled.insert(change.path.clone());
            }
        }
    }

    pub(super) fn seed_item(&mut self, scope: &Arc<SeedScope>, item: SeedItem) {
        let SeedItem { path, manifest, operations } = item;
        let selects = |target: &TargetSpec| {
            let of = layout::type_at(&scope.folder, path.as_str());
            of.is_some_and(|(_, namespace)| target.selection.covers(&scope.kind, namespace.as_deref()))
        };
        if !scope.folder.contains(&path) || !self.targets.get(&scope.target).is_some_and(selects) {
            return;
        }
        let Some(seed) = self.seeds.get_mut(scope) else { return };
        seed.seen.insert(path.clone());
        if seed.settled.contains(&path) {
            return;
        }
        let (oid, present) = (self.oid(&manifest), self.index.get(&path));
        if present == Some(oid) {
            self.missed.settled(&path);
            // Whoever wrote it: these are the bytes that we would write.
            self.index.insert(path, oid);
            return;
        }
        let operation = if present.is_some() { Operation::Update } else { Operation::Create };
        if !operations.contains(operation) || self.is_blocked(&path) {
            return;
        }
        match self.index.doubtful(&path) {
            Some(existing) => {
                self.seed_doubt_bytes += manifest.len();
                self.seed_doubts.push((Arc::clone(scope), path, Doubt { existing, manifest }));
            }
            None => self.overwrite(scope, path, manifest),
        }
    }
}
