//! Which watches of one type run, which are wanted, and which have to go on until others have taken over. Pure.

use super::failure::Failure;
use super::report::{FailureReason, WatchState};
use crate::resource::NamespaceSet;
use crate::rules::WatchScope;
use std::collections::{BTreeMap, BTreeSet};

/// How far a watch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its list is not complete.
    Listing,
    /// Its list is complete, but has shown what another watch has yet to show.
    Waiting,
    /// It follows.
    Live,
}

#[derive(Debug)]
struct Running {
    phase: Phase,
    state: WatchState,
    /// Failures since it last worked.
    failures: u32,
}

impl Running {
    fn works(&self) -> bool {
        self.phase == Phase::Live && self.failures == 0
    }
}

/// The watches of one type.
#[derive(Debug, Default)]
pub(super) struct Scopes {
    wanted: BTreeSet<WatchScope>,
    running: BTreeMap<WatchScope, Running>,
}

/// The namespaces that a watch of `scope` covers.
pub(super) fn range(scope: &WatchScope) -> NamespaceSet {
    match scope {
        WatchScope::All => NamespaceSet::ALL,
        WatchScope::Namespace(name) => NamespaceSet::one(name),
    }
}

fn overlap(one: &WatchScope, other: &WatchScope) -> bool {
    one == other || *one == WatchScope::All || *other == WatchScope::All
}

impl Scopes {
    /// From now on, watches of `wanted` are. Returns those that have to be started.
    pub(super) fn want(&mut self, wanted: BTreeSet<WatchScope>) -> Vec<WatchScope> {
        self.wanted = wanted;
        let new: Vec<_> = self.wanted.iter().filter(|scope| !self.running.contains_key(*scope)).cloned().collect();
        for scope in &new {
            let running = Running { phase: Phase::Listing, state: WatchState::Listing, failures: 0 };
            self.running.insert(scope.clone(), running);
        }
        new
    }

    /// The watches that nobody needs any more: neither wanted, nor the only ones that follow where a wanted one has yet to.
    /// One that is forbidden has nothing more to show.
    pub(super) fn superfluous(&self) -> Vec<WatchScope> {
        let unwanted = self.running.iter().filter(|(scope, _)| !self.wanted.contains(*scope));
        let is_needed = |scope: &WatchScope, running: &Running| {
            let mut successors = self.wanted.iter().filter(|wanted| overlap(scope, wanted));
            let is_forbidden = matches!(running.state, WatchState::Failed { reason: FailureReason::Forbidden, .. });
            running.phase == Phase::Live && !is_forbidden && successors.any(|successor| !self.is_live(successor))
        };
        unwanted.filter(|(scope, running)| !is_needed(scope, running)).map(|(scope, _)| scope.clone()).collect()
    }

    /// The watches that are not wanted and run where `scope` is to take over.
    pub(super) fn predecessors(&self, scope: &WatchScope) -> Vec<WatchScope> {
        let unwanted = self.running.keys().filter(|other| !self.wanted.contains(*other) && *other != scope);
        unwanted.filter(|other| overlap(scope, other)).cloned().collect()
    }

    pub(super) fn is_wanted(&self, scope: &WatchScope) -> bool {
        self.wanted.contains(scope)
    }

    fn is_live(&self, scope: &WatchScope) -> bool {
        self.running.get(scope).is_some_and(|running| running.phase == Phase::Live)
    }

    /// Whether the watch of `scope` follows, and has not failed since it last worked.
    pub(super) fn works(&self, scope: &WatchScope) -> bool {
        self.running.get(scope).is_some_and(Running::works)
    }

    pub(super) fn remove(&mut self, scope: &WatchScope) {
        self.running.remove(scope);
    }

    fn set(&mut self, scope: &WatchScope, phase: Phase) {
        if let Some(running) = self.running.get_mut(scope) {
            running.phase = phase;
        }
    }

    /// The watch of `scope` needs a list.
    pub(super) fn listing(&mut self, scope: &WatchScope) {
        self.set(scope, Phase::Listing);
    }

    /// The list of `scope` is complete, but others have to catch up with it.
    pub(super) fn waiting(&mut self, scope: &WatchScope) {
        self.set(scope, Phase::Waiting);
    }

    /// The watch of `scope` follows, and knows so many objects.
    pub(super) fn live(&mut self, scope: &WatchScope, objects: usize) {
        if let Some(running) = self.running.get_mut(scope) {
            *running = Running { phase: Phase::Live, state: WatchState::Live { objects }, failures: 0 };
        }
    }

    /// The watch of `scope` has failed. Whatever may be over at the next try is told only when that fails too.
    pub(super) fn failed(&mut self, scope: &WatchScope, failure: &Failure) {
        let Some(running) = self.running.get_mut(scope) else { return };
        running.failures += 1;
        if running.failures > 1 || failure.reason != FailureReason::WatchFailed {
            let place = match scope {
                WatchScope::All => String::new(),
                WatchScope::Namespace(name) => format!("in namespace {name}, "),
            };
            let (reason, message) = (failure.reason, format!("{place}{}", failure.message));
            running.state = WatchState::Failed { reason, message };
        }
    }

    /// The namespaces in which some watch follows. One that has failed counts: it goes on where it was.
    pub(super) fn followed(&self) -> NamespaceSet {
        self.ranges(|running| running.phase == Phase::Live)
    }

    /// The namespaces in which some watch follows and works: the API server is likely to answer there.
    pub(super) fn in_reach(&self) -> NamespaceSet {
        self.ranges(Running::works)
    }

    fn ranges(&self, is_meant: impl Fn(&Running) -> bool) -> NamespaceSet {
        let meant = self.running.iter().filter(|(_, running)| is_meant(running));
        meant.fold(NamespaceSet::NONE, |all, (scope, _)| all.union(&range(scope)))
    }

    /// The namespaces in which some watch runs.
    pub(super) fn covered(&self) -> NamespaceSet {
        self.ranges(|_| true)
    }

    /// Whether several watches run in one place.
    pub(super) fn overlaps(&self) -> bool {
        self.running.contains_key(&WatchScope::All) && self.running.len() > 1
    }

    /// How each of them is.
    pub(super) fn states(&self) -> BTreeMap<WatchScope, WatchState> {
        self.running.iter().map(|(scope, running)| (scope.clone(), running.state.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(names: &[&str]) -> BTreeSet<WatchScope> {
        names.iter().map(|name| WatchScope::Namespace((*name).into())).collect()
    }

    fn all() -> BTreeSet<WatchScope> {
        BTreeSet::from([WatchScope::All])
    }

    fn one(name: &str) -> WatchScope {
        WatchScope::Namespace(name.into())
    }

    /// Watches of `names` that follow.
    fn mk_live(wanted: BTreeSet<WatchScope>) -> Scopes {
        let mut scopes = Scopes::default();
        for scope in scopes.want(wanted) {
            scopes.live(&scope, 1);
        }
        scopes
    }

    #[test]
    fn what_runs_stays_until_the_new_one_follows() {
        let mut scopes = mk_live(namespaces(&["a", "b"]));
        assert_eq!(scopes.want(all()), [WatchScope::All]);
        assert!(scopes.superfluous().is_empty() && scopes.overlaps());
        scopes.waiting(&WatchScope::All);
        assert!(scopes.superfluous().is_empty());
        assert_eq!(scopes.followed().to_string(), "a, b");
        scopes.live(&WatchScope::All, 3);
        assert_eq!(scopes.superfluous(), [one("a"), one("b")]);

        let mut scopes = mk_live(all());
        assert_eq!(scopes.want(namespaces(&["a", "b"])), [one("a"), one("b")]);
        scopes.live(&one("a"), 1);
        assert!(scopes.superfluous().is_empty(), "b is not there yet");
        scopes.live(&one("b"), 1);
        assert_eq!(scopes.superfluous(), [WatchScope::All]);
    }

    #[test]
    fn what_nothing_takes_over_from_goes_at_once() {
        let mut scopes = mk_live(namespaces(&["a", "b"]));
        assert!(scopes.want(namespaces(&["b"])).is_empty());
        assert_eq!(scopes.superfluous(), [one("a")]);
        // It did not follow when the wish changed back: nobody needs its list.
        let mut scopes = mk_live(namespaces(&["a"]));
        scopes.want(all());
        assert!(scopes.want(namespaces(&["a"])).is_empty());
        assert_eq!(scopes.superfluous(), [WatchScope::All]);
        // It has to begin anew by itself.
        let mut scopes = mk_live(namespaces(&["a"]));
        scopes.want(all());
        scopes.listing(&one("a"));
        assert_eq!((scopes.superfluous(), scopes.predecessors(&WatchScope::All)), (vec![one("a")], vec![one("a")]));
    }

    #[test]
    fn one_failure_that_may_pass_is_not_told() {
        let mut scopes = mk_live(namespaces(&["a"]));
        let state = |scopes: &Scopes| scopes.states()[&one("a")].clone();
        scopes.failed(&one("a"), &Failure::failed("reset"));
        assert_eq!(state(&scopes), WatchState::Live { objects: 1 });
        scopes.failed(&one("a"), &Failure::failed("reset"));
        let message = "in namespace a, reset".to_owned();
        assert_eq!(state(&scopes), WatchState::Failed { reason: FailureReason::WatchFailed, message });
        scopes.live(&one("a"), 2);
        scopes.failed(&one("a"), &Failure::refused(403, "no"));
        assert!(matches!(state(&scopes), WatchState::Failed { reason: FailureReason::Forbidden, .. }));
    }

    #[test]
    fn a_watch_that_fails_is_out_of_reach_until_it_works_again() {
        let mut scopes = mk_live(namespaces(&["a", "b"]));
        assert_eq!(scopes.in_reach().to_string(), "a, b");
        scopes.failed(&one("a"), &Failure::failed("reset"));
        assert_eq!((scopes.in_reach().to_string(), scopes.works(&one("a"))), ("b".to_owned(), false));
        assert_eq!(scopes.followed().to_string(), "a, b", "it goes on where it was");
        scopes.live(&one("a"), 1);
        assert_eq!(scopes.in_reach().to_string(), "a, b");
    }

    #[test]
    fn nobody_waits_for_a_watch_that_is_forbidden() {
        let mut scopes = mk_live(all());
        scopes.failed(&WatchScope::All, &Failure::failed("reset"));
        scopes.want(namespaces(&["a", "b"]));
        scopes.live(&one("a"), 1);
        assert!(scopes.superfluous().is_empty(), "that may pass");
        scopes.failed(&WatchScope::All, &Failure::refused(403, "no"));
        assert_eq!(scopes.superfluous(), [WatchScope::All], "though b is not there yet");
    }
}
