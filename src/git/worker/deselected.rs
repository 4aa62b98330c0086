//! Sweeping what nothing selects any more, and saying so once nothing can bring it back.

use super::{Worker, now};
use crate::resource::NamespacedName;
use crate::rules::Selection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far the sweeps of what is selected no more have come.
#[derive(Debug, Default)]
pub(super) struct Deselections {
    /// Whether to look for what is left.
    pub(super) is_due: bool,
    /// What is swept here, and how many commits of the journal must be on the remote before it is there, too.
    committed: BTreeMap<NamespacedName, (Arc<Selection>, usize)>,
    /// What is swept on the remote.
    pushed: BTreeMap<NamespacedName, Arc<Selection>>,
}

impl Deselections {
    /// What of `target` is swept for good.
    pub(super) fn swept(&self, target: &NamespacedName) -> Arc<Selection> {
        self.pushed.get(target).cloned().unwrap_or_default()
    }

    /// The remote has the oldest `commits` of the journal.
    pub(super) fn pushed(&mut self, commits: usize) {
        self.committed.values_mut().for_each(|(_, rest)| *rest = rest.saturating_sub(commits));
        self.settle();
    }

    /// The journal has `left` commits, put onto what the remote has.
    pub(super) fn replayed(&mut self, left: usize) {
        self.committed.values_mut().for_each(|(_, rest)| *rest = (*rest).min(left));
        self.settle();
    }

    fn settle(&mut self) {
        let done = self.committed.extract_if(.., |_, (_, rest)| *rest == 0);
        self.pushed.extend(done.map(|(target, (swept, _))| (target, swept)));
    }

    /// The journal is worth nothing.
    pub(super) fn lost(&mut self) {
        self.committed.clear();
        self.is_due = true;
    }

    /// Forgets all but the targets that are `left`.
    pub(super) fn retain(&mut self, left: impl Fn(&NamespacedName) -> bool) {
        self.committed.retain(|target, _| left(target));
        self.pushed.retain(|target, _| left(target));
    }
}

impl Worker {
    /// Removes what nothing selects any more, as far as it may go now.
    pub(super) async fn sweep_deselected(&mut self) {
        // What the remote has may say otherwise, and what is damaged says nothing.
        if !self.deselected.is_due || self.first_look.is_some() || self.repair.is_some() {
            return;
        }
        self.deselected.is_due = false;
        for target in self.stage.unswept().cloned().collect::<Vec<_>>() {
            let Some(mut deselected) = self.stage.deselected(&target) else { continue };
            let Some(files) = self.recognised(std::mem::take(&mut deselected.candidates)).await else {
                self.unread.insert(target);
                continue;
            };
            self.stage.sweep_deselected(deselected, files, now());
            self.tell_lost();
        }
        if !self.stage.has_batch() {
            self.tell_pruned();
            self.note_swept();
        }
    }

    /// Notes what is swept, now that all of it is in the journal.
    pub(super) fn note_swept(&mut self) {
        let unpushed = self.schedule.queued();
        let mut is_news = false;
        for (name, target) in &self.spec.targets {
            let Some(swept) = self.stage.sweeps(name).map(|sweeps| sweeps.swept()) else { continue };
            let known = self.deselected.committed.get(name).map(|(known, _)| known);
            let known = known.or_else(|| self.deselected.pushed.get(name));
            if *swept == target.gone && known.map_or(!swept.is_empty(), |known| known != swept) {
                self.deselected.committed.insert(name.clone(), (Arc::clone(swept), unpushed));
                is_news = true;
            }
        }
        if is_news {
            self.deselected.settle();
            self.report_targets();
        }
    }
}
