//! What a complete list says of the files that it did not name.

use super::seed::Seed;
use super::{Now, Stage};
use crate::change::SeedScope;
use crate::git::commit::FileChange;
use crate::git::draft::Draft;
use crate::git::spec::PruneMode;
use crate::resource::{BaseFolder, NamespaceSet, ObjectName, Oid, RepoPath, ResourceId, ResourceType, layout};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// A complete list: what it writes, and which files of its scope it did not name.
#[derive(Debug)]
pub struct Sweep {
    scope: Arc<SeedScope>,
    begun: Option<Instant>,
    writes: Vec<(RepoPath, Oid)>,
    /// Files that are to go if they are what their paths say.
    pub candidates: Vec<Candidate>,
}

/// A file that goes if it is the object that its path says.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The file.
    pub path: RepoPath,
    /// What it holds; `None` if we have made that, maybe a moment ago: then it is what it should be.
    pub doubtful: Option<Oid>,
    /// The type of the object, in the version that the path says.
    pub kind: Arc<ResourceType>,
    /// The object.
    pub name: ObjectName,
    /// The file of the same object in the version that is listed. Without that this one stays.
    pub(super) successor: Option<RepoPath>,
}

impl Sweep {
    /// What the list was of.
    #[must_use]
    pub fn scope(&self) -> &SeedScope {
        &self.scope
    }
}

impl Stage {
    pub(super) fn seed_end(&mut self, scope: Arc<SeedScope>, sweep: &NamespaceSet) -> Option<Sweep> {
        let seed = self.seeds.remove(&scope)?;
        self.missed.listed(&scope);
        let candidates = self.candidates(&scope, &seed, sweep);
        let Seed { begun, settled, mut writes, .. } = seed;
        writes.retain(|(path, _)| !settled.contains(path));
        Some(Sweep { begun, writes, candidates, scope })
    }

    /// The files of the type, in whatever version, that the list did not name.
    fn candidates(&self, scope: &SeedScope, seed: &Seed, sweep: &NamespaceSet) -> Vec<Candidate> {
        let target = self.targets.get(&scope.target);
        let Some(target) = target.filter(|target| target.prune.mode == PruneMode::Always) else { return Vec::new() };
        let mut candidates = Vec::new();
        for kind in self.versions(&scope.folder, &scope.kind) {
            let is_listed = kind.version == scope.kind.version;
            let folder = layout::folder_of(&scope.folder, &kind, scope.namespaces.single().map(|name| &**name));
            for (path, _) in self.index.below(&folder).filter(|(path, _)| !seed.seen.contains(*path)) {
                let Some(name) = layout::object_at(&scope.folder, &kind, path.as_str()) else { continue };
                let namespace = name.namespace.as_deref();
                if !sweep.contains(namespace) || !target.selection.covers(&kind, namespace) {
                    continue;
                }
                let mut successor = None;
                if !is_listed {
                    let id = ResourceId { kind: Arc::clone(&scope.kind), name: name.clone() };
                    // Who has no file in the version that is listed keeps this one, whatever the list says.
                    let Ok(listed) = layout::manifest_path(&scope.folder, &id) else { continue };
                    if seed.kept.contains(&listed) {
                        continue;
                    }
                    successor = seed.seen.contains(&listed).then_some(listed);
                }
                let (path, kind, doubtful) = (path.clone(), Arc::clone(&kind), self.index.doubtful(path));
                candidates.push(Candidate { path, doubtful, kind, name, successor });
            }
        }
        candidates
    }

    /// The type `kind` in each version of which the branch may hold files below `folder`.
    pub(super) fn versions(&self, folder: &BaseFolder, kind: &ResourceType) -> Vec<Arc<ResourceType>> {
        let group = layout::group_folder(folder, &kind.group);
        let versions = self.index.folders_in(&group).into_iter().filter_map(|version| {
            let kind = ResourceType { version: layout::decode(version)?, ..kind.clone() };
            Some(Arc::new(kind))
        });
        versions.collect()
    }

    /// Turns a complete list into one commit that writes what differs and removes `orphans`; none if there is nothing to do.
    pub fn finish(&mut self, sweep: Sweep, mut orphans: Vec<Candidate>, now: Now) {
        let differs = |(path, oid): &(RepoPath, Oid)| self.index.get(path) != Some(*oid);
        let mut writes: Vec<_> = sweep.writes.into_iter().filter(differs).collect();
        let differing = writes.iter().map(|(path, _)| path).chain(orphans.iter().map(|orphan| &orphan.path));
        let held = self.foreign.hold(|path| covers(&sweep.scope, path), differing, sweep.begun, now.instant);
        writes.retain(|(path, _)| !held.contains(path));
        let written: HashSet<&RepoPath> = writes.iter().map(|(path, _)| path).collect();
        let has_file = |path: &RepoPath| written.contains(path) || self.index.get(path).is_some();
        orphans.retain(|orphan| !held.contains(&orphan.path) && orphan.successor.as_ref().is_none_or(has_file));
        let orphans = self.admit(&sweep.scope, orphans, now.instant);
        writes.iter().for_each(|(path, _)| self.missed.settled(path));
        held.into_iter().for_each(|path| self.missed.file(path));
        let files: Vec<FileChange> = writes
            .into_iter()
            .map(|(path, oid)| FileChange::Point(path, oid))
            .chain(orphans.into_iter().map(FileChange::Remove))
            .collect();
        self.add_list(sweep.scope, files, now.instant);
    }

    fn admit(&mut self, scope: &Arc<SeedScope>, orphans: Vec<Candidate>, now: Instant) -> Vec<RepoPath> {
        let prune = self.targets.get(&scope.target).map(|target| target.prune).unwrap_or_default();
        let sweeps = self.sweeps.entry(scope.target.clone()).or_default();
        sweeps.ended(scope);
        let paths = orphans.into_iter().map(|orphan| orphan.path).collect();
        sweeps.admit(prune, |path| covers_type(scope, path), paths, now)
    }

    /// One commit of what a complete list, or the end of a selection, comes to.
    pub(super) fn add_list(&mut self, scope: Arc<SeedScope>, files: Vec<FileChange>, now: Instant) {
        if files.is_empty() {
            return;
        }
        // What was changed before the list was complete is committed before it.
        let mut drafts = self.windows.close_over(files.iter().map(FileChange::path));
        files.iter().for_each(|file| self.apply_to_index(&scope.target, file));
        drafts.push(Draft::List(scope, files));
        self.extend_batch(drafts, now);
    }
}

/// Whether a list can be about the file `path`.
fn covers(scope: &SeedScope, path: &RepoPath) -> bool {
    let name = layout::object_at(&scope.folder, &scope.kind, path.as_str());
    name.is_some_and(|name| scope.namespaces.contains(name.namespace.as_deref()))
}

/// The same for the files of the type in whatever version.
fn covers_type(scope: &SeedScope, path: &RepoPath) -> bool {
    let version = path.as_str().strip_prefix(&layout::group_folder(&scope.folder, &scope.kind.group));
    let version = version.and_then(|rest| rest.split('/').next()).and_then(layout::decode);
    version.is_some_and(|version| {
        let kind = ResourceType { version, ..(*scope.kind).clone() };
        let name = layout::object_at(&scope.folder, &kind, path.as_str());
        name.is_some_and(|name| scope.namespaces.contains(name.namespace.as_deref()))
    })
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
