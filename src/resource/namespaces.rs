//! Sets of namespaces, also those that no list can name in full.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Some, all, or all but some namespaces. Objects without a namespace belong to a set that is not a mere list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NamespaceSet {
    /// Exactly these.
    Only(BTreeSet<Arc<str>>),
    /// Every namespace but these, those that do not exist yet and no namespace included. Never empty-handed: without
    /// exceptions it is everything.
    AllBut(BTreeSet<Arc<str>>),
}

impl NamespaceSet {
    /// Every namespace, and no namespace.
    pub const ALL: Self = Self::AllBut(BTreeSet::new());
    /// No namespace at all.
    pub const NONE: Self = Self::Only(BTreeSet::new());

    /// The set of one namespace.
    #[must_use]
    pub fn one(namespace: &str) -> Self {
        Self::Only(BTreeSet::from([Arc::from(namespace)]))
    }

    /// Whether it is every namespace.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::ALL
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether objects in `namespace`, or without one, belong to it.
    #[must_use]
    pub fn contains(&self, namespace: Option<&str>) -> bool {
        match self {
            Self::Only(names) => namespace.is_some_and(|name| names.contains(name)),
            Self::AllBut(names) => namespace.is_none_or(|name| !names.contains(name)),
        }
    }

    /// The namespaces, if they are but a list.
    #[must_use]
    pub const fn named(&self) -> Option<&BTreeSet<Arc<str>>> {
        match self {
            Self::Only(names) => Some(names),
            Self::AllBut(_) => None,
        }
    }

    /// The namespace, if it is but one.
    #[must_use]
    pub fn single(&self) -> Option<&Arc<str>> {
        self.named().filter(|names| names.len() == 1)?.first()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => Self::Only(a | b),
            (Self::AllBut(a), Self::AllBut(b)) => Self::AllBut(a & b),
            (Self::AllBut(but), Self::Only(names)) | (Self::Only(names), Self::AllBut(but)) => {
                Self::AllBut(but - names)
            }
        }
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => Self::Only(a - b),
            (Self::Only(a), Self::AllBut(b)) => Self::Only(a & b),
            (Self::AllBut(a), Self::Only(b)) => Self::AllBut(a | b),
            (Self::AllBut(a), Self::AllBut(b)) => Self::Only(b - a),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.minus(&Self::ALL.minus(other))
    }
}

impl fmt::Display for NamespaceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &BTreeSet<Arc<str>>| names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
        match self {
            Self::Only(names) => f.write_str(&list(names)),
            Self::AllBut(names) if names.is_empty() => f.write_str("*"),
            Self::AllBut(names) => write!(f, "* but {}", list(names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_set() -> impl Strategy<Value = NamespaceSet> {
        let names = proptest::collection::btree_set("[a-d]", 0..4);
        (any::<bool>(), names).prop_map(|(but, names)| {
            let names = names.into_iter().map(Arc::from).collect();
            if but { NamespaceSet::AllBut(names) } else { NamespaceSet::Only(names) }
        })
    }

    proptest! {
        #[test]
        fn sets_are_what_their_members_say(a in any_set(), b in any_set(), name in proptest::option::of("[a-e]")) {
            let name = name.as_deref();
            let (in_a, in_b) = (a.contains(name), b.contains(name));
            prop_assert_eq!(a.union(&b).contains(name), in_a || in_b);
            prop_assert_eq!(a.minus(&b).contains(name), in_a && !in_b);
            prop_assert_eq!(a.intersection(&b).contains(name), in_a && in_b);
            prop_assert!(a.minus(&a).is_empty() && a.union(&NamespaceSet::ALL.minus(&a)).is_all());
        }
    }

    #[test]
    fn one_namespace_is_told_from_several() {
        assert_eq!(NamespaceSet::one("a").single().map(|name| &**name), Some("a"));
        assert_eq!(NamespaceSet::ALL.single(), None);
        assert_eq!(NamespaceSet::one("a").union(&NamespaceSet::one("b")).single(), None);
        assert_eq!(NamespaceSet::ALL.minus(&NamespaceSet::one("a")).to_string(), "* but a");
    }
}
