//! How many files the sweeps of one target may remove, and what they hold back. Pure: the clock is passed in.

use super::spec::{Prune, PruneMode};
use crate::change::SeedScope;
use crate::resource::RepoPath;
use crate::rules::Selection;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is held back is asked for again after this.
const CYCLE: Duration = Duration::from_secs(5 * 60);

/// The sweeps of one target. All its lists together are one cycle: one that comes again begins another.
#[derive(Debug, Default)]
pub struct Sweeps {
    ended: HashSet<Arc<SeedScope>>,
    removed: usize,
    held: BTreeSet<RepoPath>,
    /// When the next cycle is to be asked for.
    due: Option<Instant>,
    /// What is selected no more and has no file left that is to go.
    swept: Arc<Selection>,
    untold: Told,
}

/// What came of sweeps since that was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Files that were removed.
    pub removed: usize,
    /// Whether another number of files is held back than before.
    pub is_held_otherwise: bool,
}

impl Sweeps {
    /// A list of `scope` is complete.
    pub fn ended(&mut self, scope: &Arc<SeedScope>) {
        if !self.ended.insert(Arc::clone(scope)) {
            self.restart();
            self.ended.insert(Arc::clone(scope));
        }
    }

    /// Begins another cycle.
    pub fn restart(&mut self) {
        self.ended.clear();
        self.removed = 0;
    }

    /// Those of `orphans`, all that a sweep of what `covers` tells has found, that may be removed now: the first in the
    /// order of their paths.
    pub fn admit(
        &mut self,
        prune: Prune,
        covers: impl Fn(&RepoPath) -> bool,
        mut orphans: Vec<RepoPath>,
        now: Instant,
    ) -> Vec<RepoPath> {
        let before = self.held.len();
        self.held.retain(|path| !covers(path));
        if prune.mode != PruneMode::Always {
            orphans.clear();
        }
        orphans.sort_unstable();
        let most = prune.cap.map_or(usize::MAX, |cap| cap.saturating_sub(self.removed));
        let rest = orphans.split_off(orphans.len().min(most));
        self.removed += orphans.len();
        self.held.extend(rest);
        self.untold.removed += orphans.len();
        self.untold.is_held_otherwise |= self.held.len() != before;
        self.schedule(prune, now);
        orphans
    }

    fn schedule(&mut self, prune: Prune, now: Instant) {
        let waits = !self.held.is_empty() && prune.cap != Some(0);
        self.due = waits.then(|| self.due.unwrap_or(now + CYCLE));
    }

    /// Takes over what may be removed now that it was `before`, and forgets what is held back and not `wanted` any more.
    /// Returns whether to ask for everything at once: more may go than before.
    pub fn allow(&mut self, before: Prune, prune: Prune, is_wanted: impl Fn(&RepoPath) -> bool, now: Instant) -> bool {
        self.held.retain(|path| prune.mode == PruneMode::Always && is_wanted(path));
        let most = |prune: Prune| prune.cap.unwrap_or(usize::MAX);
        let is_raised = most(prune) > most(before) && !self.held.is_empty();
        let is_new = prune.mode == PruneMode::Always && before.mode != PruneMode::Always;
        if is_raised || is_new {
            self.restart();
        }
        self.schedule(prune, now);
        is_raised || is_new
    }

    /// Whether the file `path` is held back.
    #[must_use]
    pub fn holds(&self, path: &RepoPath) -> bool {
        self.held.contains(path)
    }

    /// How many files are held back.
    #[must_use]
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// When the next cycle is to be asked for; `None` while nothing waits for it.
    #[must_use]
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether the next cycle is to be asked for now; it then begins.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.restart();
            self.due = Some(now + CYCLE);
        }
        is_due
    }

    /// What is selected no more and has no file left that is to go.
    #[must_use]
    pub const fn swept(&self) -> &Arc<Selection> {
        &self.swept
    }

    /// Of `gone` no file is left that is to go.
    pub fn note_swept(&mut self, gone: Arc<Selection>) {
        self.swept = gone;
    }

    /// What was removed may be there again.
    pub fn forget(&mut self) {
        self.swept = Arc::default();
        self.untold = Told::default();
    }

    /// What came of sweeps since this was last called.
    pub fn take_told(&mut self) -> Told {
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::samples::mk_kind;
    use crate::resource::{BaseFolder, NamespaceSet, NamespacedName};

    fn mk_scope(resource: &str) -> Arc<SeedScope> {
        let mut kind = (*mk_kind("ConfigMap", true)).clone();
        kind.resource = resource.to_owned();
        let (target, folder) = (NamespacedName::new("team", "live"), BaseFolder::new("live").unwrap());
        Arc::new(SeedScope { target, folder, kind: Arc::new(kind), namespaces: NamespaceSet::ALL })
    }

    fn paths(names: &str) -> Vec<RepoPath> {
        names.chars().map(|name| RepoPath::new(&name.to_string()).unwrap()).collect()
    }

    fn names(paths: &[RepoPath]) -> String {
        paths.iter().map(RepoPath::as_str).collect()
    }

    fn mk_prune(mode: PruneMode, cap: impl Into<Option<usize>>) -> Prune {
        Prune { mode, cap: cap.into() }
    }

    const ALWAYS: PruneMode = PruneMode::Always;

    #[test]
    fn the_first_in_order_go_and_the_rest_is_held_back() {
        let table = [
            (mk_prune(ALWAYS, None), "abc", 0),
            (mk_prune(ALWAYS, 3), "abc", 0),
            (mk_prune(ALWAYS, 2), "ab", 1),
            (mk_prune(ALWAYS, 0), "", 3),
            (mk_prune(PruneMode::OnEvent, None), "", 0),
            (mk_prune(PruneMode::Never, 2), "", 0),
        ];
        for (prune, expected, held) in table {
            let (mut sweeps, now) = (Sweeps::default(), Instant::now());
            assert_eq!(names(&sweeps.admit(prune, |_| true, paths("cab"), now)), expected, "{prune:?}");
            assert_eq!(sweeps.held_back(), held, "{prune:?}");
            let waits = held > 0 && prune.cap != Some(0);
            assert_eq!(sweeps.due(), waits.then_some(now + CYCLE), "{prune:?}");
        }
    }

    #[test]
    fn all_lists_of_a_cycle_share_the_cap() {
        let (mut sweeps, now, prune) = (Sweeps::default(), Instant::now(), mk_prune(ALWAYS, 3));
        let is_letter = |path: &RepoPath| path.as_str() >= "a";
        let is_digit = |path: &RepoPath| path.as_str() < "a";
        let list = |sweeps: &mut Sweeps, resource: &str, orphans: &str| {
            sweeps.ended(&mk_scope(resource));
            let admitted = match resource {
                "letters" => sweeps.admit(prune, is_letter, paths(orphans), now),
                _ => sweeps.admit(prune, is_digit, paths(orphans), now),
            };
            (names(&admitted), sweeps.held_back())
        };
        assert_eq!(list(&mut sweeps, "letters", "ab"), ("ab".into(), 0));
        assert_eq!(list(&mut sweeps, "digits", "123"), ("1".into(), 2));
        // The same list again is the next cycle.
        assert_eq!(list(&mut sweeps, "digits", "23"), ("23".into(), 0));
        assert_eq!(list(&mut sweeps, "letters", "cd"), ("c".into(), 1));
        assert_eq!(list(&mut sweeps, "letters", ""), (String::new(), 0), "what a list names is no orphan any more");
        assert_eq!(sweeps.due(), None);
    }

    #[test]
    fn what_is_held_back_is_asked_for_later_and_at_once_when_more_may_go() {
        let (mut sweeps, start) = (Sweeps::default(), Instant::now());
        let none = mk_prune(ALWAYS, 0);
        assert_eq!(names(&sweeps.admit(none, |_| true, paths("abc"), start)), "");
        assert!(!sweeps.take_due(start + CYCLE), "nothing may go");
        let one = mk_prune(ALWAYS, 1);
        assert!(sweeps.allow(none, one, |_| true, start));
        assert_eq!(names(&sweeps.admit(one, |_| true, paths("abc"), start)), "a");
        assert!(!sweeps.take_due(start + CYCLE / 2) && sweeps.take_due(start + CYCLE));
        assert!(!sweeps.take_due(start + CYCLE));
        assert_eq!(names(&sweeps.admit(one, |_| true, paths("bc"), start + CYCLE)), "b");
        assert!(!sweeps.allow(one, none, |_| true, start), "a lower cap asks for nothing");
        assert_eq!(sweeps.due(), None);
        assert!(sweeps.allow(none, mk_prune(ALWAYS, None), |_| true, start));
        let never = mk_prune(PruneMode::Never, None);
        assert!(!sweeps.allow(one, never, |_| true, start));
        assert_eq!(sweeps.held_back(), 0);
        assert!(sweeps.allow(never, one, |_| true, start), "nobody knows what was left");
    }

    #[test]
    fn what_came_of_it_is_told_once() {
        let (mut sweeps, now) = (Sweeps::default(), Instant::now());
        let prune = mk_prune(ALWAYS, 1);
        sweeps.admit(prune, |_| true, paths("abc"), now);
        assert_eq!(sweeps.take_told(), Told { removed: 1, is_held_otherwise: true });
        assert_eq!(sweeps.take_told(), Told::default());
        sweeps.admit(prune, |_| true, paths("bc"), now);
        assert_eq!(sweeps.take_told(), Told::default(), "as many as before are held back");
    }
}
