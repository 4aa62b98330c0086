//! The compiled rules: which targets want which objects.

use super::catalog::{Catalog, ReplicasPath};
use crate::resource::{BaseFolder, BranchKey, NamespacedName, ObjectName, Operations, ResourceType};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// An immutable snapshot of all rules in effect. Equal sets ask for the same watches and route alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    targets: BTreeMap<NamespacedName, Arc<Target>>,
    kinds: BTreeMap<Arc<ResourceType>, Vec<Route>>,
    selected: BTreeSet<Arc<ResourceType>>,
    /// Secrets with credentials of our own.
    credentials: BTreeSet<NamespacedName>,
    /// Of the selected types that can be scaled.
    replicas: BTreeMap<Arc<ResourceType>, ReplicasPath>,
}

/// A target that takes changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The `GitTarget`.
    pub name: NamespacedName,
    /// The branch that it writes.
    pub branch: BranchKey,
    /// The folder below which it writes.
    pub base_folder: BaseFolder,
}

/// One target's wish for the objects of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Who wants them.
    pub target: Arc<Target>,
    /// The only namespace it wants them from; `None`: all, or the type has no namespaces.
    pub namespace: Option<Arc<str>>,
    /// Which changes it wants.
    pub operations: Operations,
}

/// How much of a type has to be watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WatchScope {
    /// All its objects.
    All,
    /// The objects of one namespace.
    Namespace(Arc<str>),
}

impl RuleSet {
    /// A set of `targets`, which take changes, and of wishes. Wishes of one target for one namespace are merged; those
    /// of a target that takes no changes yet count as selected only.
    #[must_use]
    pub fn new(
        targets: impl IntoIterator<Item = Arc<Target>>,
        wishes: impl IntoIterator<Item = (Arc<ResourceType>, Route)>,
    ) -> Self {
        let targets: BTreeMap<_, _> = targets.into_iter().map(|target| (target.name.clone(), target)).collect();
        let mut selected = BTreeSet::new();
        let mut merged: BTreeMap<Arc<ResourceType>, BTreeMap<_, Route>> = BTreeMap::new();
        for (kind, route) in wishes {
            selected.insert(Arc::clone(&kind));
            if !targets.contains_key(&route.target.name) {
                continue;
            }
            let key = (route.target.name.clone(), route.namespace.clone());
            let operations = route.operations;
            let known = merged.entry(kind).or_default().entry(key).or_insert(route);
            known.operations = known.operations.union(operations);
        }
        Self {
            targets,
            kinds: merged.into_iter().map(|(kind, routes)| (kind, routes.into_values().collect())).collect(),
            selected,
            credentials: BTreeSet::new(),
            replicas: BTreeMap::new(),
        }
    }

    /// The set, which then knows where the objects of its types have their replicas.
    #[must_use]
    pub fn scaled_as(mut self, catalog: &Catalog) -> Self {
        let path = |kind: &Arc<ResourceType>| Some((Arc::clone(kind), catalog.replicas_path(kind)?));
        self.replicas = self.selected.iter().filter_map(path).collect();
        self
    }

    /// Where objects of `kind` have the replicas that `/scale` sets; `None` for a type without it.
    #[must_use]
    pub fn replicas_path(&self, kind: &ResourceType) -> Option<&ReplicasPath> {
        self.replicas.get(kind)
    }

    /// The set, which then never wants the Secrets named `credentials`: with what pushes to a repository nobody shall
    /// find there.
    #[must_use]
    pub fn without(mut self, credentials: BTreeSet<NamespacedName>) -> Self {
        self.credentials = credentials;
        self
    }

    /// Whether no rule can want the object `name` of `kind`, because it holds credentials of our own.
    #[must_use]
    pub fn is_withheld(&self, kind: &ResourceType, name: &ObjectName) -> bool {
        let namespace = name.namespace.as_deref().unwrap_or_default();
        is_secret(kind) && self.credentials.contains(&NamespacedName::new(namespace, &name.name))
    }

    /// Whether the two sets keep back different objects of `kind`.
    #[must_use]
    pub fn withholds_otherwise(&self, other: &Self, kind: &ResourceType) -> bool {
        is_secret(kind) && self.credentials != other.credentials
    }

    /// The types to watch, in order.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.kinds.keys()
    }

    /// The types that some rule selects, in order, also while its target takes no changes yet: those whose admission is
    /// worth recording, so that the first changes already have an author.
    pub fn selected(&self) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.selected.iter()
    }

    /// The part of `kind` to watch: one namespace while only rules of that namespace want the type.
    #[must_use]
    pub fn scope(&self, kind: &ResourceType) -> WatchScope {
        let namespaces: BTreeSet<_> = self.routes(kind).iter().map(|route| &route.namespace).collect();
        match namespaces.first() {
            Some(Some(namespace)) if namespaces.len() == 1 => WatchScope::Namespace(Arc::clone(namespace)),
            _ => WatchScope::All,
        }
    }

    /// Who wants objects of `kind`: ordered by target, at most one route for a target and namespace.
    #[must_use]
    pub fn routes(&self, kind: &ResourceType) -> &[Route] {
        self.kinds.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Who wants the objects of `kind` in `namespace`, and which changes to them. Each target comes once, in order.
    pub fn wanting<'a>(
        &'a self,
        kind: &ResourceType,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<Target>, Operations)> {
        let wants = move |route: &&Route| route.namespace.is_none() || route.namespace.as_deref() == namespace;
        let mut routes = self.routes(kind).iter().filter(wants).peekable();
        std::iter::from_fn(move || {
            let first = routes.next()?;
            let mut operations = first.operations;
            while let Some(same) = routes.next_if(|next| next.target.name == first.target.name) {
                operations = operations.union(same.operations);
            }
            Some((&first.target, operations))
        })
    }

    /// The targets that take changes, in order, whether or not a rule names them.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.targets.values()
    }

    /// The target of this name, if it takes changes.
    #[must_use]
    pub fn target(&self, name: &NamespacedName) -> Option<&Arc<Target>> {
        self.targets.get(name)
    }
}

fn is_secret(kind: &ResourceType) -> bool {
    kind.group.is_empty() && kind.resource == "secrets"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{BranchName, Operation, RepoUrl};

    fn mk_target(name: &str) -> Arc<Target> {
        Arc::new(Target {
            name: NamespacedName::new("ns", name),
            branch: BranchKey {
                provider: NamespacedName::new("ns", "provider"),
                provider_uid: "uid".into(),
                url: RepoUrl::parse("https://git.example.com/r", false).unwrap(),
                branch: BranchName::new("main").unwrap(),
            },
            base_folder: BaseFolder::new(name).unwrap(),
        })
    }

    fn mk_kind() -> Arc<ResourceType> {
        Arc::new(super::super::catalog::tests::mk_type("", "v1", "configmaps", "ConfigMap", true))
    }

    fn mk_set(wishes: &[(&str, Option<&str>, Operations)]) -> RuleSet {
        let wishes = wishes.iter().map(|(target, namespace, operations)| {
            (
                mk_kind(),
                Route { target: mk_target(target), namespace: namespace.map(Arc::from), operations: *operations },
            )
        });
        RuleSet::new([mk_target("a"), mk_target("b")], wishes)
    }

    const CREATE: Operations = Operations::NONE.with(Operation::Create);
    const UPDATE: Operations = Operations::NONE.with(Operation::Update);

    #[test]
    fn each_target_comes_once_with_all_it_wants() {
        let set =
            mk_set(&[("b", None, CREATE), ("a", Some("x"), CREATE), ("a", None, UPDATE), ("a", Some("x"), CREATE)]);
        assert_eq!(set.routes(&mk_kind()).len(), 3);
        let wanting = |namespace| {
            set.wanting(&mk_kind(), namespace)
                .map(|(target, wanted)| (target.name.name.to_string(), wanted))
                .collect::<Vec<_>>()
        };
        assert_eq!(wanting(Some("x")), [("a".into(), CREATE.union(UPDATE)), ("b".into(), CREATE)]);
        assert_eq!(wanting(Some("y")), [("a".into(), UPDATE), ("b".into(), CREATE)]);
        assert_eq!(wanting(None), [("a".into(), UPDATE), ("b".into(), CREATE)]);
    }

    #[test]
    fn one_namespace_is_watched_alone_two_as_all() {
        let table: [(&[(&str, Option<&str>, Operations)], WatchScope); 4] = [
            (&[("a", Some("x"), CREATE)], WatchScope::Namespace("x".into())),
            (&[("a", Some("x"), CREATE), ("b", Some("x"), CREATE)], WatchScope::Namespace("x".into())),
            (&[("a", Some("x"), CREATE), ("b", Some("y"), CREATE)], WatchScope::All),
            (&[("a", Some("x"), CREATE), ("b", None, CREATE)], WatchScope::All),
        ];
        for (wishes, expected) in table {
            assert_eq!(mk_set(wishes).scope(&mk_kind()), expected);
        }
    }

    #[test]
    fn the_order_of_the_wishes_does_not_matter() {
        let mut wishes = [("b", None, CREATE), ("a", Some("x"), CREATE), ("a", None, UPDATE)];
        let set = mk_set(&wishes);
        wishes.reverse();
        assert_eq!(set, mk_set(&wishes));
    }
}
