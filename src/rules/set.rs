//! The compiled rules: which targets want which objects.

use super::catalog::{Catalog, ReplicasPath};
use super::ignore_fields::IgnoredFields;
use super::selection::Selection;
use crate::resource::{BaseFolder, BranchKey, NamespaceSet, NamespacedName, ObjectName, Operations, ResourceType};
use kube::core::{Selector, SelectorExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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
    /// Of the targets that leave any out.
    ignored: BTreeMap<NamespacedName, Arc<[IgnoredFields]>>,
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

/// What is to become of the objects of one type in one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The target.
    pub target: Arc<Target>,
    /// The namespaces of the objects; all for a type without namespaces.
    pub namespaces: NamespaceSet,
    /// The labels of the objects; `None`: any.
    pub selector: Option<Arc<Selector>>,
    /// What is to become of them.
    pub wish: Wish,
}

/// What a rule wants of the objects that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// That these changes to them come into the target.
    Mirror(Operations),
    /// That what the target has of them stays as it is: the rule is not in effect, or has just ended.
    Keep,
}

impl Wish {
    /// Both wishes for one object. Who mirrors overrules who keeps.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Mirror(one), Self::Mirror(two)) => Self::Mirror(one.union(two)),
            (Self::Mirror(one), Self::Keep) | (Self::Keep, Self::Mirror(one)) => Self::Mirror(one),
            (Self::Keep, Self::Keep) => Self::Keep,
        }
    }

    /// The changes that are wanted.
    #[must_use]
    pub const fn operations(self) -> Operations {
        match self {
            Self::Mirror(operations) => operations,
            Self::Keep => Operations::NONE,
        }
    }
}

/// A part of a type that is watched by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WatchScope {
    /// All its objects.
    All,
    /// The objects of one namespace.
    Namespace(Arc<str>),
}

impl fmt::Display for WatchScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "*",
            Self::Namespace(name) => name,
        })
    }
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
        let mut set = Self { targets, ..Self::default() };
        set.add(wishes);
        set
    }

    fn add(&mut self, wishes: impl IntoIterator<Item = (Arc<ResourceType>, Route)>) {
        let known = std::mem::take(&mut self.kinds).into_iter();
        let known = known.flat_map(|(kind, routes)| routes.into_iter().map(move |route| (Arc::clone(&kind), route)));
        let mut merged: BTreeMap<Arc<ResourceType>, BTreeMap<_, Route>> = BTreeMap::new();
        for (kind, route) in known.chain(wishes) {
            if route.wish != Wish::Keep {
                self.selected.insert(Arc::clone(&kind));
            }
            if !self.targets.contains_key(&route.target.name) || route.namespaces.is_empty() {
                continue;
            }
            let selector = route.selector.as_ref().map(|selector| selector.to_string());
            let key = (route.target.name.clone(), route.namespaces.clone(), selector);
            let wish = route.wish;
            let known = merged.entry(kind).or_default().entry(key).or_insert(route);
            known.wish = known.wish.with(wish);
        }
        self.kinds = merged.into_iter().map(|(kind, routes)| (kind, routes.into_values().collect())).collect();
    }

    /// The set, which then also keeps what `kept` holds by target: what rules selected until a moment ago, or what cannot be
    /// told to be selected no more.
    #[must_use]
    pub fn keeping(mut self, kept: &BTreeMap<NamespacedName, Selection>, catalog: &Catalog) -> Self {
        let kept = kept.iter().filter_map(|(name, kept)| Some((self.targets.get(name)?, kept)));
        let routes: Vec<_> = kept.flat_map(|(target, kept)| kept.routes(target, catalog)).collect();
        self.add(routes);
        self
    }

    /// The set, which then knows which fields targets leave out.
    #[must_use]
    pub fn ignoring(mut self, ignored: BTreeMap<NamespacedName, Arc<[IgnoredFields]>>) -> Self {
        self.ignored = ignored.into_iter().filter(|(_, fields)| !fields.is_empty()).collect();
        self
    }

    /// The fields that `target` leaves out of objects of `kind`: of which objects, each of them says. Other fields than in
    /// another set mean other content, so that the objects are to be looked at anew.
    pub fn ignored(&self, target: &NamespacedName, kind: &ResourceType) -> impl Iterator<Item = &IgnoredFields> {
        self.ignored.get(target).into_iter().flat_map(|fields| fields.iter()).filter(|fields| fields.are_of(kind))
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
        let mirrored = |routes: &[Route]| routes.iter().any(|route| route.wish != Wish::Keep);
        self.kinds.iter().filter(move |(_, routes)| mirrored(routes)).map(|(kind, _)| kind)
    }

    /// The types that some rule selects, in order, also while its target takes no changes yet: those whose admission is
    /// worth recording, so that the first changes already have an author.
    pub fn selected(&self) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.selected.iter()
    }

    /// The parts of `kind` to watch: its namespaces one by one while at most `limit` are wanted, else all of it.
    #[must_use]
    pub fn scopes(&self, kind: &ResourceType, limit: usize) -> BTreeSet<WatchScope> {
        let mirrored = self.routes(kind).iter().filter(|route| route.wish != Wish::Keep);
        let wanted = mirrored.fold(NamespaceSet::NONE, |wanted, route| wanted.union(&route.namespaces));
        match wanted.named() {
            Some(names) if names.len() <= limit => names.iter().cloned().map(WatchScope::Namespace).collect(),
            _ => BTreeSet::from([WatchScope::All]),
        }
    }

    /// What is to become of objects of `kind`: ordered by target.
    #[must_use]
    pub fn routes(&self, kind: &ResourceType) -> &[Route] {
        self.kinds.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every type that has routes, in order, also those that are only kept.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<ResourceType>, &[Route])> {
        self.kinds.iter().map(|(kind, routes)| (kind, routes.as_slice()))
    }

    /// Whether it depends on the labels of the objects of `kind` what becomes of them.
    #[must_use]
    pub fn reads_labels(&self, kind: &ResourceType) -> bool {
        self.routes(kind).iter().any(|route| route.selector.is_some())
    }

    /// Who wants an object of `kind` in `namespace` with `labels`, and what is to become of it. Each target comes once, in
    /// order.
    pub fn wanting<'a>(
        &'a self,
        kind: &ResourceType,
        namespace: Option<&'a str>,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = (&'a Arc<Target>, Wish)> {
        let fits = move |route: &&Route| {
            let selector = route.selector.as_ref();
            route.namespaces.contains(namespace) && selector.is_none_or(|selector| selector.matches(labels))
        };
        let mut routes = self.routes(kind).iter().filter(fits).peekable();
        std::iter::from_fn(move || {
            let first = routes.next()?;
            let mut wish = first.wish;
            while let Some(same) = routes.next_if(|next| next.target.name == first.target.name) {
                wish = wish.with(same.wish);
            }
            Some((&first.target, wish))
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

/// Whether objects of `kind` are Secrets.
pub(super) fn is_secret(kind: &ResourceType) -> bool {
    kind.group.is_empty() && kind.resource == "secrets"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{BranchName, Operation, ProviderKey, RepoUrl};

    fn mk_target(name: &str) -> Arc<Target> {
        Arc::new(Target {
            name: NamespacedName::new("ns", name),
            branch: BranchKey {
                provider: ProviderKey::ours(NamespacedName::new("ns", "provider")),
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

    fn mk_set(wishes: &[(&str, NamespaceSet, Wish)]) -> RuleSet {
        let wishes = wishes.iter().map(|(target, namespaces, wish)| {
            let route =
                Route { target: mk_target(target), namespaces: namespaces.clone(), selector: None, wish: *wish };
            (mk_kind(), route)
        });
        RuleSet::new([mk_target("a"), mk_target("b")], wishes)
    }

    const CREATE: Wish = Wish::Mirror(Operations::NONE.with(Operation::Create));
    const UPDATE: Wish = Wish::Mirror(Operations::NONE.with(Operation::Update));
    const ALL: NamespaceSet = NamespaceSet::ALL;

    fn only(name: &str) -> NamespaceSet {
        NamespaceSet::one(name)
    }

    #[test]
    fn each_target_comes_once_with_all_it_wants() {
        let wishes = [("b", ALL, CREATE), ("a", only("x"), CREATE), ("a", ALL, UPDATE), ("a", only("x"), CREATE)];
        let set = mk_set(&wishes);
        assert_eq!(set.routes(&mk_kind()).len(), 3);
        let no_labels = BTreeMap::new();
        let wanting = |namespace| {
            set.wanting(&mk_kind(), namespace, &no_labels)
                .map(|(target, wanted)| (target.name.name.to_string(), wanted))
                .collect::<Vec<_>>()
        };
        assert_eq!(wanting(Some("x")), [("a".into(), CREATE.with(UPDATE)), ("b".into(), CREATE)]);
        assert_eq!(wanting(Some("y")), [("a".into(), UPDATE), ("b".into(), CREATE)]);
        assert_eq!(wanting(None), [("a".into(), UPDATE), ("b".into(), CREATE)]);
    }

    #[test]
    fn who_keeps_has_nothing_watched_and_yields_to_who_mirrors() {
        let set = mk_set(&[("a", ALL, Wish::Keep)]);
        assert_eq!((set.kinds().count(), set.selected().count(), set.routes(&mk_kind()).len()), (0, 0, 1));
        let set = mk_set(&[("a", ALL, Wish::Keep), ("a", only("x"), CREATE)]);
        let no_labels = BTreeMap::new();
        let wish = |namespace| set.wanting(&mk_kind(), Some(namespace), &no_labels).map(|(_, wish)| wish).next();
        assert_eq!((wish("x"), wish("y")), (Some(CREATE), Some(Wish::Keep)));
        assert_eq!(set.scopes(&mk_kind(), 10), BTreeSet::from([WatchScope::Namespace("x".into())]));
    }

    #[test]
    fn labels_decide_where_a_rule_asks_for_them() {
        let selector = Some(Arc::new(Selector::from_iter([("tier", "web")])));
        let route = Route { target: mk_target("a"), namespaces: ALL, selector, wish: CREATE };
        let set = RuleSet::new([mk_target("a")], [(mk_kind(), route)]);
        assert!(set.reads_labels(&mk_kind()));
        let wanted = |tier: &str| {
            let labels = BTreeMap::from([("tier".to_owned(), tier.to_owned())]);
            set.wanting(&mk_kind(), None, &labels).count()
        };
        assert_eq!((wanted("web"), wanted("db")), (1, 0));
    }

    #[test]
    fn a_few_namespaces_are_watched_one_by_one() {
        let namespace = |name: &str| WatchScope::Namespace(name.into());
        let table: [(&[(&str, NamespaceSet, Wish)], usize, &[WatchScope]); 4] = [
            (&[("a", only("x"), CREATE), ("b", only("x"), CREATE)], 1, &[namespace("x")]),
            (&[("a", only("x"), CREATE), ("b", only("y"), CREATE)], 2, &[namespace("x"), namespace("y")]),
            (&[("a", only("x"), CREATE), ("b", only("y"), CREATE)], 1, &[WatchScope::All]),
            (&[("a", only("x"), CREATE), ("b", ALL, CREATE)], 9, &[WatchScope::All]),
        ];
        for (wishes, limit, expected) in table {
            assert!(mk_set(wishes).scopes(&mk_kind(), limit).iter().eq(expected));
        }
    }

    #[test]
    fn the_order_of_the_wishes_does_not_matter() {
        let mut wishes = [("b", ALL, CREATE), ("a", only("x"), CREATE), ("a", ALL, UPDATE)];
        let set = mk_set(&wishes);
        wishes.reverse();
        assert_eq!(set, mk_set(&wishes));
    }
}
