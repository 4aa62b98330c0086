//! What may stand in a target's folder because rules select it, or did until a moment ago.

use super::catalog::Catalog;
use super::labels;
use super::set::{Route, Target, Wish};
use crate::api::status::SelectedTypes;
use crate::resource::{NamespaceSet, Operation, ResourceType};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many bytes of JSON the status of a target may hold of its selection with all labels: a third of what the API
/// server's store takes for a whole object.
const LONGEST_STATUS: usize = 512 * 1024;

/// What rules select for one target. Equal selections are equal, in whatever order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection(Vec<Selected>);

/// The objects of one type that a selection holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// The version in which they are written.
    pub version: String,
    /// The namespaces of the objects.
    pub namespaces: NamespaceSet,
    /// Their labels; `None`: any.
    pub selector: Option<Arc<Selector>>,
    /// Whether their files go when they are selected no more.
    pub deletes: bool,
}

impl Selection {
    /// A selection of `selected`.
    #[must_use]
    pub fn new(selected: impl IntoIterator<Item = Selected>) -> Self {
        let mut selected: Vec<Selected> = selected.into_iter().filter(|one| !one.namespaces.is_empty()).collect();
        selected.sort_by_cached_key(|one| {
            let selector = one.selector.as_ref().map(ToString::to_string);
            (
                one.group.clone(),
                one.resource.clone(),
                one.version.clone(),
                one.namespaces.clone(),
                selector,
                one.deletes,
            )
        });
        selected.dedup();
        Self(selected)
    }

    /// Every part of it, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Selected> {
        self.0.iter()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object of `kind`, in whatever version, in `namespace` may belong to it.
    #[must_use]
    pub fn covers(&self, kind: &ResourceType, namespace: Option<&str>) -> bool {
        // Asked for each change; a target may have thousands of parts.
        let key = (&kind.group, &kind.resource);
        let from = self.0.partition_point(|one| (&one.group, &one.resource) < key);
        let of_kind = self.0[from..].iter().take_while(|one| (&one.group, &one.resource) == key);
        of_kind.map(|one| &one.namespaces).any(|namespaces| namespaces.contains(namespace))
    }

    /// Where nothing of `other` reaches, by (group, resource). Versions and labels play no part: they cannot be told from
    /// a namespace.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> BTreeMap<(String, String), NamespaceSet> {
        self.minus(other).by_type()
    }

    /// What of it lies where nothing of `other` reaches. Versions and labels of `other` play no part, as in
    /// [`beyond`](Self::beyond).
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let covered = other.by_type();
        let rest = self.iter().map(|one| {
            let covered = covered.get(&(one.group.clone(), one.resource.clone()));
            let rest = covered.map_or_else(|| one.namespaces.clone(), |covered| one.namespaces.minus(covered));
            Selected { namespaces: rest, ..one.clone() }
        });
        Self::new(rest)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()).cloned())
    }

    /// What keeps it in `target`: a route for every version that is served, since the objects are seen in one of them.
    pub(super) fn routes(&self, target: &Arc<Target>, catalog: &Catalog) -> Vec<(Arc<ResourceType>, Route)> {
        let routes = self.iter().flat_map(|one| {
            catalog.versions(&one.resource, &one.group).iter().map(|kind| {
                let (target, namespaces) = (Arc::clone(target), one.namespaces.clone());
                (Arc::clone(kind), Route { target, namespaces, selector: one.selector.clone(), wish: Wish::Keep })
            })
        });
        routes.collect()
    }

    /// The form in which `GitTarget.status.selection` holds it. Where labels make that longer than half a mebibyte, any
    /// labels stand for them: the more is known to have been selected, the less is forgotten.
    #[must_use]
    pub fn to_status(&self) -> Vec<SelectedTypes> {
        let entries = self.grouped();
        let fits = serde_json::to_string(&entries).is_ok_and(|text| text.len() <= LONGEST_STATUS);
        if fits { entries } else { self.with_any_labels().grouped() }
    }

    /// Types that are selected alike stand together.
    fn grouped(&self) -> Vec<SelectedTypes> {
        let names = |names: &BTreeSet<Arc<str>>| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let mut groups: BTreeMap<_, SelectedTypes> = BTreeMap::new();
        for one in self.iter() {
            let selector = one.selector.as_ref().map(ToString::to_string);
            let group = groups.entry((&one.namespaces, selector, one.deletes)).or_insert_with(|| {
                let (namespaces, except_namespaces) = match &one.namespaces {
                    NamespaceSet::Only(these) => (Some(names(these)), Vec::new()),
                    NamespaceSet::AllBut(others) => (None, names(others)),
                };
                let selector = one.selector.as_ref().map(|selector| LabelSelector::from(Selector::clone(selector)));
                let (types, deletes) = (Vec::new(), one.deletes);
                SelectedTypes { types, namespaces, except_namespaces, object_selector: selector, deletes }
            });
            let slash = if one.group.is_empty() { "" } else { "/" };
            group.types.push(format!("{}{slash}{}/{}", one.group, one.version, one.resource));
        }
        groups.into_values().collect()
    }

    fn with_any_labels(&self) -> Self {
        let mut parts: BTreeMap<_, Selected> = BTreeMap::new();
        for one in self.iter() {
            let part = parts.entry((&one.group, &one.resource, &one.version, one.deletes));
            let any = || Selected { namespaces: NamespaceSet::NONE, selector: None, ..one.clone() };
            let part = part.or_insert_with(any);
            part.namespaces = part.namespaces.union(&one.namespaces);
        }
        Self::new(parts.into_values())
    }

    /// What `GitTarget.status.selection` holds. Labels that cannot be read count as any.
    #[must_use]
    pub fn from_status(entries: &[SelectedTypes]) -> Self {
        let set = |names: &[String]| names.iter().map(|name| Arc::from(name.as_str())).collect();
        Self::new(entries.iter().flat_map(|entry| {
            let namespaces = match &entry.namespaces {
                Some(names) => NamespaceSet::Only(set(names)),
                None => NamespaceSet::AllBut(set(&entry.except_namespaces)),
            };
            let selector = entry.object_selector.as_ref().and_then(|selector| labels::parse(selector).ok().flatten());
            entry.types.iter().filter_map(move |kind| {
                let (version, resource) = kind.rsplit_once('/')?;
                let (group, version) = version.split_once('/').unwrap_or(("", version));
                Some(Selected {
                    group: group.to_owned(),
                    resource: resource.to_owned(),
                    version: version.to_owned(),
                    namespaces: namespaces.clone(),
                    selector: selector.clone(),
                    deletes: entry.deletes,
                })
            })
        }))
    }

    fn by_type(&self) -> BTreeMap<(String, String), NamespaceSet> {
        let mut types: BTreeMap<_, NamespaceSet> = BTreeMap::new();
        for one in self.iter() {
            let known = types.entry((one.group.clone(), one.resource.clone())).or_insert(NamespaceSet::NONE);
            *known = known.union(&one.namespaces);
        }
        types
    }
}

impl Selected {
    /// What `route` selects of `kind`.
    #[must_use]
    pub fn of(kind: &ResourceType, route: &Route) -> Self {
        Self {
            group: kind.group.clone(),
            resource: kind.resource.clone(),
            version: kind.version.clone(),
            namespaces: route.namespaces.clone(),
            selector: route.selector.clone(),
            deletes: route.wish.operations().contains(Operation::Delete),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::mk_type;
    use super::*;

    fn mk_selected(resource: &str, namespaces: NamespaceSet) -> Selected {
        let (group, resource, version) = (String::new(), resource.to_owned(), "v1".to_owned());
        Selected { group, resource, version, namespaces, selector: None, deletes: true }
    }

    #[test]
    fn what_no_rule_reaches_any_more_is_beyond() {
        let before = Selection::new([
            mk_selected("configmaps", NamespaceSet::ALL),
            mk_selected("secrets", NamespaceSet::one("a")),
        ]);
        let after = Selection::new([mk_selected("configmaps", NamespaceSet::one("a"))]);
        let beyond: Vec<_> =
            before.beyond(&after).into_iter().map(|((_, resource), rest)| format!("{resource}: {rest}")).collect();
        assert_eq!(beyond, ["configmaps: * but a", "secrets: a"]);
        assert!(before.beyond(&before).is_empty() && after.beyond(&before).is_empty());
    }

    #[test]
    fn every_version_of_a_type_is_covered() {
        let selection = Selection::new([mk_selected("configmaps", NamespaceSet::one("a"))]);
        let kind = mk_type("", "v2", "configmaps", "ConfigMap", true);
        assert!(selection.covers(&kind, Some("a")));
        assert!(!selection.covers(&kind, Some("b")) && !selection.covers(&kind, None));
    }

    /// What as many rules with labels of this length select of 30 types in 50 namespaces.
    fn mk_many(rules: usize, length: usize) -> Selection {
        let namespaces = NamespaceSet::Only((0..50).map(|number| format!("team-{number:03}").into()).collect());
        Selection::new((0..rules).flat_map(|rule| {
            let labels = [("app.kubernetes.io/name".to_owned(), format!("{rule:0>length$}"))];
            let selector = Some(Arc::new(Selector::from_iter(labels)));
            let of_type = |number| mk_selected(&format!("resources{number}"), namespaces.clone());
            (0..30).map(move |number| Selected { selector: selector.clone(), ..of_type(number) }).collect::<Vec<_>>()
        }))
    }

    #[test]
    fn a_status_holds_what_many_rules_select() {
        for (length, has_labels) in [(10, true), (63, true), (4_000, false)] {
            let selection = mk_many(200, length);
            let status = selection.to_status();
            assert!(serde_json::to_string(&status).unwrap().len() <= LONGEST_STATUS);
            let stored = Selection::from_status(&status);
            assert_eq!(stored == selection, has_labels);
            assert_eq!(stored.by_type(), selection.by_type());
        }
    }
}
