//! What the API server serves.

use crate::resource::ResourceType;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The keys that lead to the number of replicas in an object.
pub type ReplicasPath = Arc<[String]>;

/// The types that can be listed and watched, with all their served versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// By (resource, group); the versions of each in the server's order of preference.
    types: BTreeMap<(String, String), Vec<Arc<ResourceType>>>,
    /// Of the types that have any.
    subresources: BTreeMap<ResourceType, Vec<String>>,
    /// Short for a plural, such as `cm`: the names that the API server's own clients know.
    short_names: BTreeMap<String, ResourceType>,
    /// Where objects have their replicas, of the types that have them elsewhere than the built-in ones.
    replicas: BTreeMap<ResourceType, ReplicasPath>,
    absences: Absences,
}

/// What is known of the resources that a [`Catalog`] does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Absences {
    /// Whether they were missing for so long, and from so complete answers, that they are gone.
    pub are_proven: bool,
    /// Those that are served, but cannot be both listed and watched; by (resource, group).
    pub unwatchable: BTreeSet<(String, String)>,
    /// The groups of which the API server cannot tell at the moment what they serve.
    pub unclear_groups: BTreeSet<String>,
}

/// Whether the cluster has a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It can be listed and watched.
    Served,
    /// It has not been seen, or cannot be watched; there may be objects of it all the same.
    Unknown,
    /// Complete answers lacked it for long enough: it has no objects.
    Gone,
}

impl Catalog {
    /// A catalog of `types`, the versions of each resource in the server's order of preference.
    #[must_use]
    pub fn new(types: impl IntoIterator<Item = ResourceType>) -> Self {
        let mut catalog = Self::default();
        for served in types {
            let versions = catalog.types.entry((served.resource.clone(), served.group.clone())).or_default();
            if versions.iter().all(|known| known.version != served.version) {
                versions.push(Arc::new(served));
            }
        }
        catalog
    }

    /// The catalog, which then knows the `subresources` of some of its types.
    #[must_use]
    pub fn with_subresources(mut self, subresources: impl IntoIterator<Item = (ResourceType, Vec<String>)>) -> Self {
        self.subresources = subresources.into_iter().filter(|(_, names)| !names.is_empty()).collect();
        self
    }

    /// The catalog, which then knows the short names of some of its types. The first that has one keeps it.
    #[must_use]
    pub fn with_short_names(mut self, short_names: impl IntoIterator<Item = (ResourceType, Vec<String>)>) -> Self {
        for (kind, names) in short_names {
            for name in names {
                self.short_names.entry(name).or_insert_with(|| kind.clone());
            }
        }
        self
    }

    /// The catalog, which then knows where the objects of some custom types have their replicas.
    #[must_use]
    pub fn with_replicas(mut self, replicas: BTreeMap<ResourceType, ReplicasPath>) -> Self {
        self.replicas = replicas;
        self
    }

    /// The catalog, which then knows what it means that it lacks something.
    #[must_use]
    pub fn with_absences(mut self, absences: Absences) -> Self {
        self.absences = absences;
        self
    }

    /// Whether there is `resource` of `group`, in any version.
    #[must_use]
    pub fn presence(&self, group: &str, resource: &str) -> Presence {
        if !self.versions(resource, group).is_empty() {
            Presence::Served
        } else if self.absences.are_proven && !self.is_unwatchable(resource, Some(group)) {
            Presence::Gone
        } else {
            Presence::Unknown
        }
    }

    /// Whether `resource`, of `group` or of whatever group, is served, but cannot be mirrored since it cannot be both listed
    /// and watched.
    #[must_use]
    pub fn is_unwatchable(&self, resource: &str, group: Option<&str>) -> bool {
        let from = (resource.to_owned(), group.unwrap_or_default().to_owned());
        let mut found = self.absences.unwatchable.range(from..).take_while(|(plural, _)| plural == resource);
        found.next().is_some_and(|(_, of)| group.is_none_or(|group| group == of))
    }

    /// Whether the API server cannot tell at the moment what `group` serves: the server behind it does not answer.
    #[must_use]
    pub fn is_unclear(&self, group: &str) -> bool {
        self.absences.unclear_groups.contains(group)
    }

    /// Where objects of `kind` have the replicas that their subresource `scale` sets; `None` for a type without it.
    #[must_use]
    pub fn replicas_path(&self, kind: &ResourceType) -> Option<ReplicasPath> {
        let is_scalable = self.subresources(kind).iter().any(|name| name == "scale");
        let of_built_in = || ["spec", "replicas"].map(str::to_owned).into();
        is_scalable.then(|| self.replicas.get(kind).cloned().unwrap_or_else(of_built_in))
    }

    /// The subresources of `kind` through which its objects can be changed, such as `scale`, in order.
    #[must_use]
    pub fn subresources(&self, kind: &ResourceType) -> &[String] {
        self.subresources.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// Every resource with its versions, the preferred one first.
    pub fn resources(&self) -> impl Iterator<Item = &[Arc<ResourceType>]> {
        self.types.values().map(Vec::as_slice)
    }

    /// The versions of one resource, the preferred one first; empty when it is not served.
    #[must_use]
    pub fn versions(&self, resource: &str, group: &str) -> &[Arc<ResourceType>] {
        self.types.get(&(resource.to_owned(), group.to_owned())).map(Vec::as_slice).unwrap_or_default()
    }

    /// The resources of this plural in any group, each with its versions, the preferred one first.
    pub fn plural(&self, resource: &str) -> impl Iterator<Item = &[Arc<ResourceType>]> {
        let from = (resource.to_owned(), String::new());
        self.types
            .range(from..)
            .take_while(move |((plural, _), _)| plural == resource)
            .map(|(_, versions)| versions.as_slice())
    }

    /// The served name that `text`, a plural or `plural.group`, was most likely meant to be.
    #[must_use]
    pub fn nearest(&self, text: &str) -> Option<String> {
        let text = text.to_ascii_lowercase();
        let (plural, group) =
            text.split_once('.').map_or((text.as_str(), None), |(plural, group)| (plural, Some(group)));
        if let Some(meant) = self.short_names.get(plural).filter(|meant| group.is_none_or(|group| group == meant.group))
        {
            return Some(if group.is_some() { meant.plural_group() } else { meant.resource.clone() });
        }
        let candidates = self.resources().filter_map(<[_]>::first).filter_map(|served| {
            let most = plural.len() / 3;
            let distance = match served.kind.eq_ignore_ascii_case(plural) {
                true => 0,
                // So many are put in or taken out in any case.
                false if compared(plural).count().abs_diff(compared(&served.resource).count()) > most => return None,
                false => edits(plural, &served.resource),
            };
            (distance <= most).then(|| (distance, group.map_or(0, |group| edits(group, &served.group)), served))
        });
        let (_, _, served) =
            candidates.min_by_key(|(distance, group, served)| (*distance, *group, served.plural_group()))?;
        Some(if group.is_some() { served.plural_group() } else { served.resource.clone() })
    }
}

/// As much of a name as is compared.
fn compared(name: &str) -> impl Iterator<Item = char> {
    name.chars().take(64)
}

/// How many characters must be put in, taken out or replaced to make `to` of `from`.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = compared(to).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in compared(from).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A catalog like that of a small cluster, with one resource in two versions and one plural in two groups.
    pub(crate) fn mk_catalog() -> Catalog {
        let served = [
            ("", "v1", "configmaps", "ConfigMap", true),
            ("", "v1", "secrets", "Secret", true),
            ("", "v1", "pods", "Pod", true),
            ("", "v1", "events", "Event", true),
            ("", "v1", "namespaces", "Namespace", false),
            ("", "v1", "nodes", "Node", false),
            ("events.k8s.io", "v1", "events", "Event", true),
            ("apps", "v1", "deployments", "Deployment", true),
            ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", false),
            ("rbac.authorization.k8s.io", "v1", "roles", "Role", true),
            ("example.com", "v2", "widgets", "Widget", true),
            ("example.com", "v1", "widgets", "Widget", true),
            ("example.com", "v1", "configmaps", "ConfigMap", true),
        ];
        Catalog::new(
            served.map(|(group, version, resource, kind, namespaced)| {
                mk_type(group, version, resource, kind, namespaced)
            }),
        )
    }

    pub(crate) fn mk_type(group: &str, version: &str, resource: &str, kind: &str, namespaced: bool) -> ResourceType {
        ResourceType {
            group: group.into(),
            version: version.into(),
            resource: resource.into(),
            kind: kind.into(),
            namespaced,
        }
    }

    #[test]
    fn versions_keep_the_order_of_the_server() {
        let catalog = mk_catalog();
        let versions: Vec<_> = catalog.versions("widgets", "example.com").iter().map(|t| t.version.as_str()).collect();
        assert_eq!(versions, ["v2", "v1"]);
        assert!(catalog.versions("widgets", "").is_empty());
    }

    #[test]
    fn a_plural_may_be_served_by_several_groups() {
        let catalog = mk_catalog();
        let groups = |plural| catalog.plural(plural).map(|versions| versions[0].group.clone()).collect::<Vec<_>>();
        assert_eq!(groups("events"), ["", "events.k8s.io"]);
        assert_eq!(groups("configmaps"), ["", "example.com"]);
        assert_eq!(groups("configmap"), [""; 0]);
    }

    #[test]
    fn only_what_was_proven_absent_is_gone() {
        let absences = |are_proven| Absences {
            are_proven,
            unwatchable: BTreeSet::from([("nodes".to_owned(), "metrics.k8s.io".to_owned())]),
            unclear_groups: BTreeSet::from(["down.example.com".to_owned()]),
        };
        let catalog = mk_catalog().with_absences(absences(true));
        let table = [
            ("example.com", "gadgets", Presence::Gone, Presence::Unknown),
            ("example.com", "widgets", Presence::Served, Presence::Served),
            ("metrics.k8s.io", "nodes", Presence::Unknown, Presence::Unknown),
            ("metrics.k8s.io", "pods", Presence::Gone, Presence::Unknown),
        ];
        for (group, resource, proven, unproven) in table {
            assert_eq!(catalog.presence(group, resource), proven, "{resource}.{group}");
            let catalog = mk_catalog().with_absences(absences(false));
            assert_eq!(catalog.presence(group, resource), unproven, "{resource}.{group}");
        }
        assert!(catalog.is_unclear("down.example.com") && !catalog.is_unclear("example.com"));
    }

    #[test]
    fn a_typo_finds_the_name_that_was_meant() {
        let table = [
            ("deploymets", Some("deployments")),
            ("deployment", Some("deployments")),
            ("Deployment", Some("deployments")),
            ("Widget", Some("widgets")),
            ("roles.rbac.authorisation.k8s.io", Some("roles.rbac.authorization.k8s.io")),
            ("deployments.extensions", Some("deployments.apps")),
            ("configmaps.exmaple.com", Some("configmaps.example.com")),
            ("unicorns", None),
            ("", None),
        ];
        for (typo, expected) in table {
            assert_eq!(mk_catalog().nearest(typo).as_deref(), expected, "{typo}");
        }
    }
}
