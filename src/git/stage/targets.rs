//! Whose changes are taken, and what is dropped when they are not any more.

use super::Stage;
use crate::git::spec::{Identity, TargetSpec};
use crate::git::sweeps::{Sweeps, Told};
use crate::git::tree::TreeIndex;
use crate::git::window::Windows;
use crate::resource::{NamespacedName, RepoPath, layout};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

impl Stage {
    /// Drops what is not committed for targets that are not to be `kept`, and forgets them.
    pub fn drop_targets(&mut self, kept: impl Fn(&NamespacedName, &TargetSpec) -> bool) {
        let dropped = self.targets.iter().filter(|(name, target)| !kept(name, target));
        for name in dropped.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.targets.remove(&name);
            self.drop_target(&name);
            self.refused.remove(&name);
            self.kinds.retain(|(of, _)| *of != name);
            self.sweeps.remove(&name);
            self.files.remove(&name);
        }
    }

    /// Takes over the targets and the committer. The index must be loaded anew when folders changed, with nothing open.
    /// Returns the targets whose lists are to be asked for: they may have more files removed than before, or select again
    /// what was on its way out.
    pub fn set_targets(
        &mut self,
        targets: BTreeMap<NamespacedName, TargetSpec>,
        committer: Identity,
        now: Instant,
    ) -> BTreeSet<NamespacedName> {
        let before = std::mem::replace(&mut self.targets, targets);
        self.committer = committer;
        let Self { targets, missed, sweeps, .. } = self;
        let is_in_folder = |path: &RepoPath| targets.values().any(|target| target.folder.contains(path));
        missed.retain(|target| targets.contains_key(target), is_in_folder);
        let mut freer = BTreeSet::new();
        for (name, new) in targets {
            let Some(old) = before.get(name).filter(|old| old.folder == new.folder) else { continue };
            let sweeps = sweeps.entry(name.clone()).or_default();
            let is_wanted = |path: &RepoPath| {
                let of = layout::type_at(&new.folder, path.as_str());
                of.is_some_and(|(kind, namespace)| {
                    [&new.selection, &new.gone].iter().any(|selection| selection.covers(&kind, namespace.as_deref()))
                })
            };
            // What comes back while it goes may have lost files and changes of which nobody else knows.
            let comes_back = !old.gone.minus(&old.selection).minus(&old.gone.minus(&new.selection)).is_empty();
            if sweeps.allow(old.prune, new.prune, is_wanted, now) || comes_back {
                freer.insert(name.clone());
            }
        }
        freer
    }

    /// Lets what is selected no more be swept again: what was removed may be there still.
    pub fn sweep_again(&mut self, target: &NamespacedName) {
        if let Some(sweeps) = self.sweeps.get_mut(target) {
            sweeps.forget();
        }
    }

    /// The sweeps of a target.
    #[must_use]
    pub fn sweeps(&self, target: &NamespacedName) -> Option<&Sweeps> {
        self.sweeps.get(target)
    }

    /// When files that are held back are to be asked for next.
    #[must_use]
    pub fn sweeps_due(&self) -> Option<Instant> {
        self.sweeps.values().filter_map(Sweeps::due).min()
    }

    /// The targets of which files that were held back are to be asked for now.
    pub fn take_sweeps_due(&mut self, now: Instant) -> Vec<NamespacedName> {
        let due = self.sweeps.iter_mut().filter_map(|(name, sweeps)| sweeps.take_due(now).then(|| name.clone()));
        due.collect()
    }

    /// What came of the sweeps of each target since this was last called.
    pub fn take_told(&mut self) -> Vec<(NamespacedName, Told, usize)> {
        let told = self.sweeps.iter_mut().map(|(name, sweeps)| (name.clone(), sweeps.take_told(), sweeps.held_back()));
        told.filter(|(_, told, _)| *told != Told::default()).collect()
    }

    /// Drops what is about to be written for `target`, and takes nothing more for it.
    pub fn refuse(&mut self, target: &NamespacedName) {
        self.refused.insert(target.clone());
        self.miss(target);
        self.sweep_again(target);
        self.drop_target(target);
    }

    fn drop_target(&mut self, target: &NamespacedName) {
        self.windows.forget(target);
        self.batch.retain(|draft| draft.target() != target);
        self.seeds.retain(|scope, _| scope.target != *target);
        self.seed_doubts.retain(|(scope, _, _)| scope.target != *target);
        self.blobs.retain(|(other, _, _)| other != target);
    }

    /// Takes changes for all targets again; what they missed must be asked for.
    pub fn pardon(&mut self) {
        self.refused.clear();
    }

    /// Drops everything that is not committed yet.
    pub fn forget(&mut self) {
        self.drop_batch();
        self.windows = Windows::default();
        self.index = TreeIndex::default();
    }

    /// Drops what is about to be written; somebody must ask for it again.
    pub fn drop_batch(&mut self) {
        self.miss_everything();
        self.batch.take();
        self.seeds.clear();
        self.seed_doubts.clear();
        self.blobs.clear();
        (self.seed_doubt_bytes, self.blob_bytes) = (0, 0);
    }

    /// Nobody knows what may be lost of `target`: until its next lists, nobody is the only author of a change.
    pub fn miss(&mut self, target: &NamespacedName) {
        self.missed.target(target);
    }

    /// Nobody knows what may be lost of any target: until its next lists, nobody is the only author of a change.
    pub fn miss_everything(&mut self) {
        self.targets.keys().for_each(|target| self.missed.target(target));
        self.sweeps.values_mut().for_each(Sweeps::forget);
    }
}
