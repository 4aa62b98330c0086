//! How many watches there are to be, and who gets them when there are too few.

use super::policy::PlanLimits;
use crate::resource::{NamespaceSet, ResourceType};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The watches of the rules that have asked so far.
pub(super) struct Plan {
    limits: PlanLimits,
    wanted: BTreeMap<Arc<ResourceType>, NamespaceSet>,
    watches: usize,
}

impl Plan {
    /// A plan without watches.
    pub(super) const fn new(limits: PlanLimits) -> Self {
        Self { limits, wanted: BTreeMap::new(), watches: 0 }
    }

    /// Takes in objects of `kind` in `namespaces`. Says `false`, and changes nothing, where that would be too much.
    pub(super) fn take(&mut self, kind: &Arc<ResourceType>, namespaces: &NamespaceSet) -> bool {
        let before = self.wanted.get(kind).cloned().unwrap_or(NamespaceSet::NONE);
        let after = before.union(namespaces);
        let (fewer, more) = (watches(&before, self.limits), watches(&after, self.limits));
        let watches = self.watches - fewer + more;
        // Who asks for no more than is watched anyhow is never too many.
        let fits = more <= fewer || watches <= self.limits.max_watches;
        if fits {
            self.watches = watches;
            self.wanted.insert(Arc::clone(kind), after);
        }
        fits
    }
}

/// How many watches it takes to see the objects of a type in `namespaces`.
pub(super) fn watches(namespaces: &NamespaceSet, limits: PlanLimits) -> usize {
    let named = namespaces.named().map(std::collections::BTreeSet::len);
    named.filter(|names| *names <= limits.namespaced_watch_limit).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::mk_type;
    use super::*;

    #[test]
    fn watches_are_counted_as_they_are_made() {
        let limits = PlanLimits { namespaced_watch_limit: 2, max_watches: 3 };
        let kind = |resource: &str| Arc::new(mk_type("", "v1", resource, "Kind", true));
        let mut plan = Plan::new(limits);
        let steps = [
            ("a", NamespaceSet::one("x"), true, 1),
            ("a", NamespaceSet::one("x"), true, 1),
            ("a", NamespaceSet::one("y"), true, 2),
            ("b", NamespaceSet::NONE, true, 2),
            ("b", NamespaceSet::one("x"), true, 3),
            ("c", NamespaceSet::one("x"), false, 3),
            ("b", NamespaceSet::one("y"), false, 3),
            // The third namespace has the whole type watched: one watch instead of two.
            ("a", NamespaceSet::one("z"), true, 2),
            ("a", NamespaceSet::ALL, true, 2),
            ("c", NamespaceSet::ALL, true, 3),
            ("d", NamespaceSet::ALL, false, 3),
            ("a", NamespaceSet::one("w"), true, 3),
        ];
        for (step, (resource, namespaces, fits, watches)) in steps.into_iter().enumerate() {
            assert_eq!((plan.take(&kind(resource), &namespaces), plan.watches), (fits, watches), "{step}");
        }
    }
}
