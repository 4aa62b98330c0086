//! The end of a selection: files of what rules selected once and select no more.

use super::sweep::Candidate;
use super::{Now, Stage};
use crate::change::SeedScope;
use crate::git::commit::FileChange;
use crate::git::spec::{PruneMode, TargetSpec};
use crate::resource::{BaseFolder, NamespaceSet, NamespacedName, RepoPath, ResourceType, layout};
use crate::rules::Selection;
use crate::sanitize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What of one target is selected no more.
#[derive(Debug)]
pub struct Deselected {
    target: NamespacedName,
    folder: BaseFolder,
    gone: Arc<Selection>,
    /// Files that are to go if they are what their paths say. Their type may have no kind: then nobody knows it any more.
    pub candidates: Vec<Candidate>,
}

impl Stage {
    /// The targets of which files may be left that nothing selects any more.
    pub fn unswept(&self) -> impl Iterator<Item = &NamespacedName> {
        let is_unswept = |name: &NamespacedName, gone: &Arc<Selection>| {
            !self.refused.contains(name)
                && self.sweeps.get(name).map_or(!gone.is_empty(), |sweeps| sweeps.swept() != gone)
        };
        self.targets.iter().filter(move |(name, target)| is_unswept(name, &target.gone)).map(|(name, _)| name)
    }

    /// What of `target` is selected no more.
    #[must_use]
    pub fn deselected(&self, target: &NamespacedName) -> Option<Deselected> {
        let (name, TargetSpec { folder, gone, selection, prune, .. }) = self.targets.get_key_value(target)?;
        let deleting = Selection::new(gone.iter().filter(|selected| selected.deletes).cloned());
        let mut candidates = Vec::new();
        if prune.mode == PruneMode::Always {
            for ((group, resource), namespaces) in deleting.beyond(selection) {
                candidates.extend(self.left_of(folder, &self.type_of(name, group, resource), &namespaces));
            }
        }
        Some(Deselected { target: name.clone(), folder: folder.clone(), gone: Arc::clone(gone), candidates })
    }

    /// The type as lists have told it, or without a kind.
    fn type_of(&self, target: &NamespacedName, group: String, resource: String) -> ResourceType {
        let mut known = self.kinds.iter().filter(|(of, kind)| of == target && kind.group == group);
        let known = known.find(|(_, kind)| kind.resource == resource).map(|(_, kind)| ResourceType::clone(kind));
        let (version, kind) = (String::new(), String::new());
        known.unwrap_or(ResourceType { group, version, resource, kind, namespaced: true })
    }

    fn left_of(&self, folder: &BaseFolder, kind: &ResourceType, namespaces: &NamespaceSet) -> Vec<Candidate> {
        let mut found = Vec::new();
        for kind in self.versions(folder, kind) {
            let flat = Arc::new(ResourceType { namespaced: false, ..(*kind).clone() });
            let prefix = layout::folder_of(folder, &kind, None);
            for (path, _) in self.index.below(&prefix) {
                let scoped = layout::object_at(folder, &kind, path.as_str()).map(|name| (&kind, name));
                let name = scoped.or_else(|| {
                    let name = layout::object_at(folder, &flat, path.as_str())?;
                    kind.kind.is_empty().then_some((&flat, name))
                });
                let Some((kind, name)) = name else { continue };
                if namespaces.contains(name.namespace.as_deref()) {
                    let (path, kind, doubtful) = (path.clone(), Arc::clone(kind), self.index.doubtful(path));
                    found.push(Candidate { path, doubtful, kind, name, successor: None });
                }
            }
        }
        // A type has namespaces or not: what lies as if it had none beside what has some is not ours.
        let has_namespaces = found.iter().any(|candidate| candidate.name.namespace.is_some());
        found.retain(|candidate| candidate.name.namespace.is_some() || !has_namespaces);
        found
    }

    /// Removes `files`, one commit a type; tells whether none is left that is to go.
    pub fn sweep_deselected(&mut self, deselected: Deselected, files: Vec<Candidate>, now: Now) -> bool {
        let Deselected { target, folder, gone, .. } = deselected;
        let paths: BTreeSet<RepoPath> = files.iter().map(|file| file.path.clone()).collect();
        // Nothing was listed, so nothing is known of other edits.
        let held = self.foreign.hold(|_| false, paths.iter(), None, now.instant);
        let waits = held.iter().any(|path| !self.foreign.is_lost(path));
        let free = paths.into_iter().filter(|path| !held.contains(path)).collect();
        let Some(TargetSpec { prune, selection, .. }) = self.targets.get(&target) else { return false };
        let (prune, selection) = (*prune, Arc::clone(selection));
        let sweeps = self.sweeps.entry(target.clone()).or_default();
        let admitted: BTreeSet<RepoPath> = sweeps
            .admit(prune, |path| is_beyond(&folder, &gone, &selection, path), free, now.instant)
            .into_iter()
            .collect();
        let is_done = !waits && !files.iter().any(|file| sweeps.holds(&file.path));
        if is_done {
            sweeps.note_swept(gone);
        }
        let mut by_type: BTreeMap<Arc<ResourceType>, Vec<FileChange>> = BTreeMap::new();
        for Candidate { path, kind, .. } in files.into_iter().filter(|file| admitted.contains(&file.path)) {
            by_type.entry(kind).or_default().push(FileChange::Remove(path));
        }
        for (kind, files) in by_type {
            let (target, folder, namespaces) = (target.clone(), folder.clone(), NamespaceSet::ALL);
            self.add_list(Arc::new(SeedScope { target, folder, kind, namespaces }), files, now.instant);
        }
        is_done
    }
}

/// Whether the file at `path` is of something that `gone` holds and `selection` does not.
pub(super) fn is_beyond(folder: &BaseFolder, gone: &Selection, selection: &Selection, path: &RepoPath) -> bool {
    layout::type_at(folder, path.as_str()).is_some_and(|(kind, namespace)| {
        let covers = |selection: &Selection| selection.covers(&kind, namespace.as_deref());
        covers(gone) && !covers(selection)
    })
}

/// The candidate, with its kind, if `content` is the object that its path says. Of a type that nobody knows any more the
/// kind is what the content says, if its plural can be the name of the resource.
#[must_use]
pub fn recognise(mut candidate: Candidate, content: &[u8]) -> Option<Candidate> {
    let kind = sanitize::kind_of(content, &candidate.kind.api_version(), &candidate.name)?;
    if candidate.kind.kind.is_empty() {
        is_plural(&candidate.kind.resource, &kind).then_some(())?;
        Arc::make_mut(&mut candidate.kind).kind = kind;
        return Some(candidate);
    }
    (candidate.kind.kind == kind).then_some(candidate)
}

/// Whether `resource` is what people, and Kubernetes, make of `kind` in the plural.
pub(super) fn is_plural(resource: &str, kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let with = |stem: &str, ending: &str| resource.strip_prefix(stem) == Some(ending);
    ["", "s", "es"].iter().any(|ending| with(&kind, ending))
        || kind.strip_suffix('y').is_some_and(|stem| with(stem, "ies"))
}
