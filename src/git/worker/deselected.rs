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

    /// What waited to be on the remote may be left out there. Returns the targets of which it was.
    pub(super) fn doubted(&mut self) -> Vec<NamespacedName> {
        let doubted: Vec<_> = std::mem::take(&mut self.committed).into_keys().collect();
        self.is_due |= !doubted.is_empty();
        doubted
    }

    /// Forgets what is not `gone` of its target now: it says nothing of what will be.
    pub(super) fn renew<'a>(&mut self, gone: impl Fn(&NamespacedName) -> Option<&'a Arc<Selection>>) {
        self.committed.retain(|target, (swept, _)| gone(target) == Some(swept));
        self.pushed.retain(|target, swept| gone(target) == Some(swept));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::NamespaceSet;
    use crate::rules::Selected;

    fn mk_gone(namespace: &str) -> Arc<Selection> {
        let (group, resource, version) = (String::new(), "configmaps".to_owned(), "v1".to_owned());
        let namespaces = NamespaceSet::one(namespace);
        Arc::new(Selection::new([Selected { group, resource, version, namespaces, selector: None, deletes: true }]))
    }

    #[test]
    fn what_was_swept_before_does_not_answer_for_what_is_to_go_now() {
        let target = NamespacedName::new("ns", "a");
        let (gone, later) = (mk_gone("x"), mk_gone("y"));
        let mut deselections = Deselections::default();
        deselections.committed.insert(target.clone(), (Arc::clone(&gone), 1));
        deselections.renew(|_| Some(&gone));
        deselections.pushed(1);
        assert_eq!(deselections.swept(&target), gone);
        deselections.renew(|_| Some(&later));
        assert!(deselections.swept(&target).is_empty());
    }

    #[test]
    fn what_may_be_left_out_on_the_remote_is_swept_again() {
        let target = NamespacedName::new("ns", "a");
        let mut deselections = Deselections::default();
        assert!(deselections.doubted().is_empty() && !deselections.is_due);
        deselections.committed.insert(target.clone(), (mk_gone("x"), 1));
        assert_eq!(deselections.doubted(), std::slice::from_ref(&target));
        deselections.replayed(0);
        assert!(deselections.is_due && deselections.swept(&target).is_empty());
    }
}
