//! Following what is wanted of the worker, up to its end.

use super::{DRAIN, Ending, HALT, Worker};
use crate::git::spec::{BranchSpec, TargetSpec};
use crate::resource::{BaseFolder, NamespacedName};
use std::collections::BTreeSet;
use std::time::Instant;

impl Worker {
    /// Takes over a changed spec. What waits to be committed waits on, unless it would be committed otherwise.
    pub(super) async fn respec(&mut self) {
        let now = Instant::now();
        let next = self.channels.spec.borrow_and_update().clone();
        let has_same_folders = folders(&self.spec).eq(folders(&next));
        let folder = |name: &NamespacedName| next.targets.get(name).map(|target| &target.folder);
        let revoked = revoked(&self.spec, &next);
        self.stage.drop_targets(|name, target| folder(name) == Some(&target.folder) && !revoked.contains(name));
        let known = &self.spec.targets;
        self.deselected.retain(|name| known.get(name).map(|target| &target.folder) == folder(name));
        let has_same_index = has_same_folders && revoked.is_empty();
        if !has_same_index || !commits_alike(&self.spec, &next) {
            self.seal().await;
        }
        let before = std::mem::replace(&mut self.spec, next);
        self.clone.sign_with(self.spec.signing.clone());
        // Whatever else somebody has changed may have mended what was in the way, even if he has changed it back.
        if before == self.spec || selecting_nothing(&before) != selecting_nothing(&self.spec) {
            self.schedule.set_policy(self.spec.push, now);
        }
        self.schedule.set_poll(self.spec.poll_interval);
        if before.requested != self.spec.requested {
            self.prove_at = now;
            self.schedule.look(now);
        }
        let mut again = self.stage.set_targets(self.spec.targets.clone(), self.spec.committer.clone(), now);
        revoked.iter().for_each(|target| self.stage.miss(target));
        again.extend(revoked);
        self.pardon();
        let targets = &self.spec.targets;
        self.deselected.renew(|name| targets.get(name).map(|target| &target.gone));
        self.deselected.is_due = true;
        if !has_same_index || self.stage.index().attributes().is_none() {
            self.reload().await;
        } else {
            self.report_targets();
        }
        if !has_same_folders {
            self.note_past(&before.targets).await;
        }
        self.channels.request_targets(again);
    }

    /// Asks again for the targets of which files that are to go are held back.
    pub(super) fn ask_for_held_back(&mut self) {
        let targets = self.stage.take_sweeps_due(Instant::now());
        self.deselected.is_due = true;
        self.channels.request_targets(targets);
    }

    /// The branch is not wanted any more: nothing that is not committed yet is.
    pub(super) fn end(&mut self) {
        let now = Instant::now();
        self.stage.drop_targets(|_, _| false);
        let patience = if self.is_halted() { HALT } else { DRAIN };
        self.leaving = Some(self.leaving.map_or(now + patience, |leaving| leaving.min(now + patience)));
    }

    /// Whether nothing more may be pushed.
    pub(super) fn is_halted(&self) -> bool {
        *self.channels.ending.borrow() == Some(Ending::Halt)
    }
}

fn folders(spec: &BranchSpec) -> impl Iterator<Item = (&NamespacedName, &BaseFolder)> {
    spec.targets.iter().map(|(name, target)| (name, &target.folder))
}

/// The targets that let in fewer rules than before: nobody can tell of which rule a change is that waits.
fn revoked(before: &BranchSpec, next: &BranchSpec) -> BTreeSet<NamespacedName> {
    let is_revoked = |(name, target): &(&NamespacedName, &TargetSpec)| {
        before.targets.get(*name).is_some_and(|before| !target.denied.is_subset(&before.denied))
    };
    next.targets.iter().filter(is_revoked).map(|(name, _)| name.clone()).collect()
}

fn selecting_nothing(spec: &BranchSpec) -> BranchSpec {
    let mut spec = spec.clone();
    spec.targets.values_mut().for_each(|target| (target.selection, target.gone) = Default::default());
    spec
}

/// Whether what waits becomes the same commits under both.
fn commits_alike(one: &BranchSpec, other: &BranchSpec) -> bool {
    let policies = |spec: &BranchSpec| spec.targets.values().map(|target| target.commit.clone()).collect::<Vec<_>>();
    one.committer == other.committer && one.signing == other.signing && policies(one) == policies(other)
}
