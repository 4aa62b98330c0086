//! Resolves what one rule selects against what the API server serves.

use super::catalog::Catalog;
use super::presets::{CLUSTER_WIDE_V1, DESIRED_STATE_V1};
use super::wildcards::Wildcards;
use crate::resource::ResourceType;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

/// Which types a rule may select at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Types with a namespace, for a rule that lives in one.
    OwnNamespace,
    /// Types with a namespace, in all namespaces.
    AllNamespaces,
    /// Types without a namespace.
    Cluster,
}

/// The part of a rule that selects types. Empty lists select as the docs of the API say.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Which types may be selected.
    pub reach: Reach,
    /// API groups; empty, or with `*`: all.
    pub api_groups: &'a [String],
    /// API versions; empty, or with `*`: the preferred one of each resource.
    pub api_versions: &'a [String],
    /// Resources; empty: the preset.
    pub resources: &'a [String],
}

/// A type that a rule selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The type.
    pub kind: Arc<ResourceType>,
    /// Whether the rule insists on this version.
    pub version_is_named: bool,
    /// Whether the rule names the type, rather than that a wildcard or the preset holds it.
    pub is_named: bool,
}

/// What a [`Selection`] comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The types, one version of each, in order.
    pub selected: Vec<Selected>,
    /// The names that select nothing.
    pub problems: Vec<Problem>,
}

/// A name in `resources` that selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// No such resource.
    NotServed {
        /// The name as written.
        name: String,
        /// A served name like it, once somebody has looked for one ([`Problem::with_nearest`]).
        nearest: Option<String>,
    },
    /// `*.group`.
    AllOfGroup {
        /// The group.
        group: String,
    },
    /// Served, but not so that it can be mirrored.
    Unwatchable {
        /// The name as written.
        name: String,
    },
    /// Nobody can tell at the moment whether it is served.
    Unclear {
        /// The name as written.
        name: String,
        /// The group that does not answer.
        group: String,
    },
    /// Served, but in none of the groups that the rule names.
    OtherGroup {
        /// The name as written.
        name: String,
        /// The served `plural.group`.
        served: String,
    },
    /// Served, but in none of the versions that the rule names.
    OtherVersion {
        /// The name as written.
        name: String,
        /// The served versions.
        served: Vec<String>,
    },
    /// Served, but the rule cannot reach types of its scope.
    OutOfReach {
        /// The name as written.
        name: String,
        /// What the rule reaches.
        reach: Reach,
    },
}

impl Problem {
    /// The problem, which then says which served name may have been meant. That is a search through the whole catalog: only
    /// for what is shown.
    #[must_use]
    pub fn with_nearest(mut self, catalog: &Catalog) -> Self {
        if let Self::NotServed { name, nearest: nearest @ None } = &mut self {
            *nearest = catalog.nearest(name);
        }
        self
    }

    /// The problem, which may be that somebody has written `group/resource`, where `resource` is this.
    fn of_group_and_resource(self, resource: Option<&str>, catalog: &Catalog) -> Self {
        match (self, resource) {
            (Self::NotServed { name, .. }, Some(resource)) if !catalog.versions(resource, &name).is_empty() => {
                Self::NotServed { nearest: Some(format!("{resource}.{name}")), name: format!("{name}/{resource}") }
            }
            (problem, _) => problem,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotServed { name, nearest: Some(nearest) } => {
                write!(f, "{name} is not served (did you mean {nearest}?)")
            }
            Self::NotServed { name, nearest: None } if name.is_empty() => f.write_str("a name is empty"),
            Self::NotServed { name, nearest: None } => write!(f, "{name} is not served"),
            Self::Unwatchable { name } => write!(f, "{name} is served, but cannot be listed and watched"),
            Self::Unclear { name, group } => {
                write!(f, "{name} is not served at the moment (the API server behind group {group} does not answer)")
            }
            Self::AllOfGroup { group } => write!(f, "*.{group} is no name (write * and the group in apiGroups)"),
            Self::OtherGroup { name, served } => write!(f, "{name} is not in these apiGroups (served as {served})"),
            Self::OtherVersion { name, served } => {
                write!(f, "{name} is not in these apiVersions (served: {})", served.join(", "))
            }
            Self::OutOfReach { name, reach: Reach::OwnNamespace } => {
                write!(f, "{name} has no namespace (use a ClusterWatchRule)")
            }
            Self::OutOfReach { name, reach: Reach::AllNamespaces } => {
                write!(f, "{name} has no namespace (use scope Cluster)")
            }
            Self::OutOfReach { name, reach: Reach::Cluster } => {
                write!(f, "{name} has a namespace (use scope Namespaced)")
            }
        }
    }
}

/// What `selection` comes to in this cluster, where `wildcards` say what is selected without being named.
///
/// A name selects the resource in whatever group serves it, unless `apiGroups` narrows that; a name with a group
/// (`plural.group`, `plural.*`) overrides `apiGroups`. Wildcards and the preset pass over what is not there.
#[must_use]
pub fn resolve(selection: &Selection<'_>, catalog: &Catalog, wildcards: &Wildcards) -> Resolved {
    let mut found = Found { selection, wildcards, selected: BTreeMap::new(), problems: Vec::new() };
    if selection.resources.is_empty() {
        if wildcards.watch_all {
            found.add_wildcard(catalog);
        } else {
            found.add_preset(catalog);
        }
    }
    let mut seen = HashSet::new();
    for written in selection.resources.iter().filter(|written| seen.insert(written.as_str())) {
        // Admission rules name subresources as `plural/subresource`; a mirror holds the parent.
        let (name, rest) = written.split_once('/').map_or((written.as_str(), None), |(name, rest)| (name, Some(rest)));
        if name == "*" {
            found.add_wildcard(catalog);
        } else if let Err(problem) = found.add_named(name, catalog)
            && let problem = problem.of_group_and_resource(rest, catalog)
            && !found.problems.contains(&problem)
        {
            found.problems.push(problem);
        }
    }
    Resolved { selected: found.selected.into_values().collect(), problems: found.problems }
}

struct Found<'a> {
    selection: &'a Selection<'a>,
    wildcards: &'a Wildcards,
    selected: BTreeMap<(String, String), Selected>,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add_preset(&mut self, catalog: &Catalog) {
        let cluster_wide = if self.selection.reach == Reach::Cluster { CLUSTER_WIDE_V1 } else { &[] };
        for (group, resource) in DESIRED_STATE_V1.iter().chain(cluster_wide) {
            self.add_if_it_fits(catalog.versions(resource, group));
        }
    }

    fn add_wildcard(&mut self, catalog: &Catalog) {
        for versions in catalog.resources() {
            if versions.first().is_some_and(|served| !self.wildcards.pass_over(served)) {
                self.add_if_it_fits(versions);
            }
        }
    }

    fn add_if_it_fits(&mut self, versions: &[Arc<ResourceType>]) {
        let fits = versions.first().is_some_and(|served| self.in_groups(served) && self.in_reach(served));
        if fits && let Some(selected) = self.version(versions) {
            self.add(selected);
        }
    }

    fn add_named(&mut self, name: &str, catalog: &Catalog) -> Result<(), Problem> {
        let (plural, group) = name.split_once('.').map_or((name, None), |(plural, group)| (plural, Some(group)));
        let served: Vec<_> = match group {
            None | Some("*") => catalog.plural(plural).collect(),
            Some(group) => {
                Some(catalog.versions(plural, group)).filter(|versions| !versions.is_empty()).into_iter().collect()
            }
        };
        let named = || name.to_owned();
        if let ("*", Some(group)) = (plural, group) {
            return Err(Problem::AllOfGroup { group: group.to_owned() });
        }
        let Some(first) = served.first().and_then(|versions| versions.first()) else {
            return Err(absent(name, plural, group, catalog));
        };
        let in_groups: Vec<_> =
            served.iter().filter(|versions| group.is_some() || self.in_groups(&versions[0])).collect();
        if in_groups.is_empty() {
            return Err(Problem::OtherGroup { name: named(), served: first.plural_group() });
        }
        let in_reach: Vec<_> = in_groups.into_iter().filter(|versions| self.in_reach(&versions[0])).collect();
        if in_reach.is_empty() {
            return Err(Problem::OutOfReach { name: named(), reach: self.selection.reach });
        }
        let selected: Vec<_> = in_reach.iter().filter_map(|versions| self.version(versions)).collect();
        if selected.is_empty() {
            let served = in_reach.iter().flat_map(|versions| versions.iter().map(|served| served.version.clone()));
            return Err(Problem::OtherVersion { name: named(), served: served.collect() });
        }
        selected.into_iter().for_each(|selected| self.add(Selected { is_named: true, ..selected }));
        Ok(())
    }

    fn add(&mut self, selected: Selected) {
        let is_named = selected.is_named;
        let key = (selected.kind.resource.clone(), selected.kind.group.clone());
        self.selected.entry(key).or_insert(selected).is_named |= is_named;
    }

    fn in_groups(&self, served: &ResourceType) -> bool {
        let groups = self.selection.api_groups;
        groups.is_empty() || groups.iter().any(|group| group == "*" || *group == served.group)
    }

    fn in_reach(&self, served: &ResourceType) -> bool {
        served.namespaced != (self.selection.reach == Reach::Cluster)
    }

    /// The preferred one of the versions that the rule admits.
    fn version(&self, versions: &[Arc<ResourceType>]) -> Option<Selected> {
        let wanted = self.selection.api_versions;
        let any = wanted.is_empty() || wanted.iter().any(|version| version == "*");
        let kind = versions.iter().find(|served| any || wanted.contains(&served.version))?;
        Some(Selected { kind: Arc::clone(kind), version_is_named: !any, is_named: false })
    }
}

/// Why there is nothing called `name`, that is `plural` of `group` if it names one.
fn absent(name: &str, plural: &str, group: Option<&str>, catalog: &Catalog) -> Problem {
    let name = name.to_owned();
    match group.filter(|group| *group != "*") {
        group if catalog.is_unwatchable(plural, group) => Problem::Unwatchable { name },
        Some(group) if catalog.is_unclear(group) => Problem::Unclear { name, group: group.to_owned() },
        _ => Problem::NotServed { nearest: None, name },
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::tests::mk_catalog;
    use super::*;

    fn resolve_lists(
        reach: Reach,
        groups: &[&str],
        versions: &[&str],
        resources: &[&str],
    ) -> (Vec<String>, Vec<String>) {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (api_groups, api_versions, resources) = (owned(groups), owned(versions), owned(resources));
        let selection =
            Selection { reach, api_groups: &api_groups, api_versions: &api_versions, resources: &resources };
        let catalog = mk_catalog();
        let resolved = resolve(&selection, &catalog, &Wildcards::default());
        let selected = resolved.selected.iter().map(|selected| selected.kind.to_string()).collect();
        let problems = resolved.problems.into_iter().map(|problem| problem.with_nearest(&catalog).to_string());
        (selected, problems.collect())
    }

    #[test]
    fn names_wildcards_and_the_preset_select_types() {
        use Reach::{AllNamespaces, Cluster, OwnNamespace};
        let widgets = "example.com/v2/widgets";
        let table: &[(Reach, &[&str], &[&str], &[&str], &[&str])] = &[
            (OwnNamespace, &[], &[], &["deployments"], &["apps/v1/deployments"]),
            (OwnNamespace, &[], &[], &["deployments/scale"], &["apps/v1/deployments"]),
            (OwnNamespace, &[], &[], &["deployments/*", "deployments"], &["apps/v1/deployments"]),
            (OwnNamespace, &[], &[], &["configmaps"], &["v1/configmaps", "example.com/v1/configmaps"]),
            (OwnNamespace, &[""], &[], &["configmaps"], &["v1/configmaps"]),
            (OwnNamespace, &["*"], &[], &["configmaps"], &["v1/configmaps", "example.com/v1/configmaps"]),
            (OwnNamespace, &[""], &[], &["configmaps.example.com"], &["example.com/v1/configmaps"]),
            (OwnNamespace, &[""], &[], &["configmaps.*"], &["v1/configmaps", "example.com/v1/configmaps"]),
            (OwnNamespace, &[], &[], &["widgets"], &[widgets]),
            (OwnNamespace, &[], &["*"], &["widgets"], &[widgets]),
            (OwnNamespace, &[], &["v1"], &["widgets"], &["example.com/v1/widgets"]),
            (OwnNamespace, &[], &["v1", "v2"], &["widgets"], &[widgets]),
            (OwnNamespace, &["example.com"], &[], &["*"], &["example.com/v1/configmaps", widgets]),
            (
                OwnNamespace,
                &["example.com"],
                &["v1"],
                &["*/*"],
                &["example.com/v1/configmaps", "example.com/v1/widgets"],
            ),
            (OwnNamespace, &[""], &[], &["*"], &["v1/configmaps", "v1/secrets"]),
            (OwnNamespace, &[""], &[], &["*", "pods"], &["v1/configmaps", "v1/pods", "v1/secrets"]),
            (AllNamespaces, &["", "events.k8s.io"], &[], &["events"], &["v1/events", "events.k8s.io/v1/events"]),
            (
                OwnNamespace,
                &[],
                &[],
                &[],
                &["v1/configmaps", "apps/v1/deployments", "rbac.authorization.k8s.io/v1/roles", "v1/secrets"],
            ),
            (OwnNamespace, &["apps"], &[], &[], &["apps/v1/deployments"]),
            (Cluster, &[], &[], &[], &["rbac.authorization.k8s.io/v1/clusterroles", "v1/namespaces"]),
            (Cluster, &[], &[], &["*"], &["rbac.authorization.k8s.io/v1/clusterroles", "v1/namespaces", "v1/nodes"]),
        ];
        for (reach, groups, versions, resources, expected) in table {
            let (selected, problems) = resolve_lists(*reach, groups, versions, resources);
            assert_eq!(selected, *expected, "{reach:?} {groups:?} {versions:?} {resources:?}");
            assert!(problems.is_empty(), "{problems:?}");
        }
    }

    #[test]
    fn a_name_that_selects_nothing_is_explained_and_stops_no_other() {
        use Reach::{AllNamespaces, Cluster, OwnNamespace};
        let table: &[(Reach, &[&str], &[&str], &str, &str)] = &[
            (OwnNamespace, &[], &[], "deploymets", "deploymets is not served (did you mean deployments?)"),
            (OwnNamespace, &[], &[], "unicorns/status", "unicorns is not served"),
            (
                OwnNamespace,
                &["apps", ""],
                &[],
                "roles",
                "roles is not in these apiGroups (served as roles.rbac.authorization.k8s.io)",
            ),
            (
                OwnNamespace,
                &[],
                &["v1", "v3"],
                "widgets.nowhere",
                "widgets.nowhere is not served (did you mean widgets.example.com?)",
            ),
            (
                OwnNamespace,
                &[],
                &["v7", "v1"],
                "clusterroles",
                "clusterroles has no namespace (use a ClusterWatchRule)",
            ),
            (AllNamespaces, &[], &["v1"], "clusterroles", "clusterroles has no namespace (use scope Cluster)"),
            (Cluster, &[], &["v1"], "roles", "roles has a namespace (use scope Namespaced)"),
        ];
        for (reach, groups, versions, name, expected) in table {
            let other = if *reach == Cluster { "nodes" } else { "secrets" };
            let (selected, problems) = resolve_lists(*reach, groups, versions, &[name, other, name]);
            assert_eq!(problems, [*expected]);
            assert_eq!(selected, [format!("v1/{other}")]);
        }
        let (selected, problems) = resolve_lists(OwnNamespace, &[], &["v7"], &["widgets"]);
        assert_eq!(
            (selected.len(), problems),
            (0, vec!["widgets is not in these apiVersions (served: v2, v1)".to_owned()])
        );
    }

    #[test]
    fn a_name_that_is_not_served_is_told_once_and_searched_for_only_when_shown() {
        let resources: Vec<_> =
            (0..600).map(|number| ["deploymets", "configmapps", "secrets"][number % 3].to_owned()).collect();
        let selection =
            Selection { reach: Reach::OwnNamespace, api_groups: &[], api_versions: &[], resources: &resources };
        let problems = resolve(&selection, &mk_catalog(), &Wildcards::default()).problems;
        let expected =
            ["deploymets", "configmapps"].map(|name| Problem::NotServed { name: name.into(), nearest: None });
        assert_eq!(problems, expected);
        let nearest = |problem: Problem| match problem.with_nearest(&mk_catalog()) {
            Problem::NotServed { nearest, .. } => nearest,
            problem => panic!("{problem:?}"),
        };
        assert_eq!(problems.into_iter().filter_map(nearest).collect::<Vec<_>>(), ["deployments", "configmaps"]);
    }

    #[test]
    fn only_a_rule_that_names_versions_insists_on_one() {
        let resources = ["widgets".to_owned()];
        let versions = ["v1".to_owned()];
        let mut selection =
            Selection { reach: Reach::OwnNamespace, api_groups: &[], api_versions: &versions, resources: &resources };
        assert!(resolve(&selection, &mk_catalog(), &Wildcards::default()).selected[0].version_is_named);
        selection.api_versions = &[];
        assert!(!resolve(&selection, &mk_catalog(), &Wildcards::default()).selected[0].version_is_named);
    }
}
