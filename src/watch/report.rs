//! How the watches are, for whoever tells people.

use crate::resource::{NamespaceSet, ResourceType};
use crate::rules::WatchScope;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// How every watch is. A type without an entry is not watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchReport(BTreeMap<Arc<ResourceType>, BTreeMap<WatchScope, WatchState>>);

/// How the watch of one type is, in one scope or in several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Its first list has not been complete yet.
    Listing,
    /// It follows.
    Live {
        /// How many objects it knows. What comes and goes while nothing else changes is counted in only now and then.
        objects: usize,
    },
    /// It is tried again and again, in vain. What is mirrored stays as it is meanwhile.
    Failed {
        /// What kind of failure.
        reason: FailureReason,
        /// The failure, and where only some namespaces have it, which: a sentence without an end.
        message: String,
    },
}

/// Why a watch cannot follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    /// The operator may not list or watch the type.
    Forbidden,
    /// The API server does not serve the type at the moment.
    NotServed,
    /// Anything else.
    WatchFailed,
}

impl FailureReason {
    /// The name for conditions and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "Forbidden",
            Self::NotServed => "NotServed",
            Self::WatchFailed => "WatchFailed",
        }
    }
}

impl WatchReport {
    /// How the objects of `kind` in `namespaces` are watched: as the worst of the watches that reach there. `None`: not.
    #[must_use]
    pub fn state(&self, kind: &ResourceType, namespaces: &NamespaceSet) -> Option<WatchState> {
        let reaches = |scope: &WatchScope| match scope {
            WatchScope::All => true,
            WatchScope::Namespace(name) => namespaces.contains(Some(name)),
        };
        let states = self.0.get(kind)?.iter().filter(|(scope, _)| reaches(scope));
        states.map(|(_, state)| state.clone()).reduce(WatchState::worse)
    }

    /// Every watched type, with the state of each of its watches.
    pub fn watches(&self) -> impl Iterator<Item = (&Arc<ResourceType>, &WatchScope, &WatchState)> {
        self.0.iter().flat_map(|(kind, scopes)| scopes.iter().map(move |(scope, state)| (kind, scope, state)))
    }

    /// The report, in which the watches of `kind` are as `scopes` says; none: it is not watched.
    fn set(&mut self, kind: &Arc<ResourceType>, scopes: BTreeMap<WatchScope, WatchState>) {
        if scopes.is_empty() {
            self.0.remove(kind);
        } else {
            self.0.insert(Arc::clone(kind), scopes);
        }
    }
}

impl WatchState {
    fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Live { objects: one }, Self::Live { objects: two }) => Self::Live { objects: one + two },
            (failed @ Self::Failed { .. }, _) | (_, failed @ Self::Failed { .. }) => failed,
            (Self::Listing, _) | (_, Self::Listing) => Self::Listing,
        }
    }
}

/// Publishes the report.
#[derive(Clone, Debug)]
pub struct Reporter(watch::Sender<Arc<WatchReport>>);

impl Reporter {
    /// Publishes on `out`.
    #[must_use]
    pub const fn new(out: watch::Sender<Arc<WatchReport>>) -> Self {
        Self(out)
    }

    /// The watches of `kind` are now as `scopes` says; none: it is not watched any more.
    pub fn publish(&self, kind: &Arc<ResourceType>, scopes: BTreeMap<WatchScope, WatchState>) {
        self.0.send_if_modified(|report| {
            if report.0.get(kind).map_or(scopes.is_empty(), |known| *known == scopes) {
                return false;
            }
            Arc::make_mut(report).set(kind, scopes);
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_kind() -> Arc<ResourceType> {
        let text = str::to_owned;
        let (group, version, resource, kind) = (text(""), text("v1"), text("configmaps"), text("ConfigMap"));
        Arc::new(ResourceType { group, version, resource, kind, namespaced: true })
    }

    fn failed() -> WatchState {
        WatchState::Failed { reason: FailureReason::Forbidden, message: "no".to_owned() }
    }

    #[test]
    fn the_worst_watch_that_reaches_there_speaks() {
        let (out, report) = watch::channel(Arc::<WatchReport>::default());
        let reporter = Reporter::new(out);
        let live = |objects| WatchState::Live { objects };
        let scopes = [("a", live(1)), ("b", live(2)), ("c", WatchState::Listing), ("d", failed())];
        let scopes = scopes.map(|(name, state)| (WatchScope::Namespace(name.into()), state));
        reporter.publish(&mk_kind(), scopes.into());
        let set = |names: &[&str]| NamespaceSet::Only(names.iter().map(|name| Arc::from(*name)).collect());
        let table: [(&[&str], Option<WatchState>); 6] = [
            (&["a"], Some(live(1))),
            (&["a", "b"], Some(live(3))),
            (&["a", "c"], Some(WatchState::Listing)),
            (&["a", "c", "d"], Some(failed())),
            (&["e"], None),
            (&[], None),
        ];
        for (names, expected) in table {
            assert_eq!(report.borrow().state(&mk_kind(), &set(names)), expected, "{names:?}");
        }
        assert_eq!(report.borrow().state(&mk_kind(), &NamespaceSet::ALL), Some(failed()));
    }

    #[test]
    fn only_news_is_published() {
        let (out, mut report) = watch::channel(Arc::<WatchReport>::default());
        let reporter = Reporter::new(out);
        reporter.publish(&mk_kind(), BTreeMap::new());
        assert!(!report.has_changed().unwrap());
        let scopes = BTreeMap::from([(WatchScope::All, WatchState::Live { objects: 1 })]);
        reporter.publish(&mk_kind(), scopes.clone());
        assert_eq!(report.borrow_and_update().watches().count(), 1);
        reporter.publish(&mk_kind(), scopes);
        assert!(!report.has_changed().unwrap());
        reporter.publish(&mk_kind(), BTreeMap::new());
        assert_eq!(report.borrow_and_update().watches().count(), 0);
    }
}
