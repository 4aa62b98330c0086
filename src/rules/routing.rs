//! Turns rules into routes: which types each of them wants, in one version a target and resource.

use super::catalog::Catalog;
use super::compile::{Age, INVALID_CONFIGURATION, NO_MATCHING_RESOURCES, Rejection, Verdict};
use super::selector::{Problem, Reach, Selected, Selection, resolve};
use super::set::{Route, Target, Wish};
use super::wildcards::Wildcards;
use crate::api::{ClusterWatchRule, GROUP, WatchRule};
use crate::resource::{NamespaceSet, NamespacedName, Operation, Operations, ResourceType};
use kube::ResourceExt as _;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many problems a message lists.
const LISTED: usize = 5;

/// What became of each target.
pub(super) struct Sinks<'a> {
    pub(super) usable: &'a BTreeMap<NamespacedName, Arc<Target>>,
    pub(super) verdicts: &'a BTreeMap<NamespacedName, Verdict>,
}

/// A rule of either kind, in one form.
pub(super) struct Rule<'a> {
    pub(super) age: Age,
    sink: NamespacedName,
    sink_is_ours: bool,
    namespaces: NamespaceSet,
    parts: Vec<(Selection<'a>, &'a [String])>,
    bad_scope: bool,
}

impl<'a> From<&'a WatchRule> for Rule<'a> {
    fn from(rule: &'a WatchRule) -> Self {
        let namespace = rule.namespace().unwrap_or_default();
        let reference = &rule.spec.sink_ref;
        let parts = rule.spec.rules.iter().flatten().map(|part| {
            let selection = Selection {
                reach: Reach::OwnNamespace,
                api_groups: &part.api_groups,
                api_versions: &part.api_versions,
                resources: &part.resources,
            };
            (selection, part.operations.as_slice())
        });
        Self {
            age: Age::of(rule),
            sink: NamespacedName::new(&namespace, &reference.name),
            sink_is_ours: reference.group == GROUP && reference.kind == "GitTarget",
            namespaces: NamespaceSet::one(&namespace),
            parts: or_preset(parts.collect(), &[Reach::OwnNamespace]),
            bad_scope: false,
        }
    }
}

impl<'a> From<&'a ClusterWatchRule> for Rule<'a> {
    fn from(rule: &'a ClusterWatchRule) -> Self {
        let reference = &rule.spec.sink_ref;
        let parts = rule.spec.rules.iter().flatten().map(|part| {
            let selection = Selection {
                reach: if part.scope == "Cluster" { Reach::Cluster } else { Reach::AllNamespaces },
                api_groups: &part.api_groups,
                api_versions: &part.api_versions,
                resources: &part.resources,
            };
            (selection, part.operations.as_slice())
        });
        let known = |scope: &str| matches!(scope, "Cluster" | "Namespaced");
        Self {
            age: Age::of(rule),
            sink: NamespacedName::new(&reference.namespace, &reference.name),
            sink_is_ours: reference.group == GROUP && reference.kind == "GitTarget",
            namespaces: NamespaceSet::ALL,
            parts: or_preset(parts.collect(), &[Reach::AllNamespaces, Reach::Cluster]),
            bad_scope: rule.spec.rules.iter().flatten().any(|part| !known(&part.scope)),
        }
    }
}

type Part<'a> = (Selection<'a>, &'a [String]);

fn or_preset<'a>(parts: Vec<Part<'a>>, reaches: &[Reach]) -> Vec<Part<'a>> {
    if !parts.is_empty() {
        return parts;
    }
    let preset =
        |reach: &Reach| (Selection { reach: *reach, api_groups: &[], api_versions: &[], resources: &[] }, &[][..]);
    reaches.iter().map(preset).collect()
}

/// A rule with what it wants, before versions are settled.
struct Claim<'a> {
    rule: &'a Rule<'a>,
    target: Arc<Target>,
    selected: Vec<(Selected, Operations)>,
    problems: Vec<Problem>,
}

/// The wishes of `rules` (in order of age), and a verdict for each, in the order given.
pub(super) fn route(
    rules: &[Rule<'_>],
    sinks: &Sinks<'_>,
    catalog: &Catalog,
    wildcards: &Wildcards,
) -> (Vec<(Arc<ResourceType>, Route)>, Vec<Verdict>) {
    let wishes: Vec<_> = rules.iter().map(|rule| wish(rule, sinks, catalog, wildcards)).collect();
    let versions = settle_versions(wishes.iter().flatten());
    let mut routes = Vec::new();
    let verdicts = wishes.into_iter().map(|wish| wish.and_then(|wish| take(&wish, &versions, catalog, &mut routes)));
    let verdicts = verdicts.collect();
    (routes, verdicts)
}

fn wish<'a>(
    rule: &'a Rule<'a>,
    sinks: &Sinks<'_>,
    catalog: &Catalog,
    wildcards: &Wildcards,
) -> Result<Claim<'a>, Rejection> {
    let invalid = |message: String| Rejection { reason: INVALID_CONFIGURATION, message };
    if !rule.sink_is_ours {
        return Err(invalid(format!("spec.sinkRef must name a GitTarget of group {GROUP}")));
    }
    if rule.bad_scope {
        return Err(invalid("spec.rules: scope must be Cluster or Namespaced".to_owned()));
    }
    let Some(target) = sinks.usable.get(&rule.sink) else {
        let sink = &rule.sink;
        return Err(if sinks.verdicts.contains_key(sink) {
            let message = format!("GitTarget {sink} is not usable; its own status says what to correct");
            Rejection { reason: "SinkNotReady", message }
        } else {
            let message = format!("GitTarget {sink} does not exist; create it or correct spec.sinkRef");
            Rejection { reason: "SinkNotFound", message }
        });
    };
    let (mut selected, mut problems) = (Vec::new(), Vec::new());
    for (selection, operations) in &rule.parts {
        let operations = parse_operations(operations).map_err(invalid)?;
        let resolved = resolve(selection, catalog, wildcards);
        selected.extend(resolved.selected.into_iter().map(|selected| (selected, operations)));
        problems.extend(resolved.problems);
    }
    Ok(Claim { rule, target: Arc::clone(target), selected, problems })
}

fn parse_operations(names: &[String]) -> Result<Operations, String> {
    let mut operations = if names.is_empty() { Operations::ALL } else { Operations::NONE };
    for name in names {
        operations = match name.as_str() {
            "CREATE" => operations.with(Operation::Create),
            "UPDATE" => operations.with(Operation::Update),
            "DELETE" => operations.with(Operation::Delete),
            "*" => Operations::ALL,
            _ => return Err(format!("spec.rules: operation {name:?} is none of CREATE, UPDATE, DELETE and *")),
        };
    }
    Ok(operations)
}

/// (target, resource, group) -> the version that the oldest rule naming one names.
type Versions = BTreeMap<(NamespacedName, String, String), String>;

fn key(target: &Target, kind: &ResourceType) -> (NamespacedName, String, String) {
    (target.name.clone(), kind.resource.clone(), kind.group.clone())
}

/// One folder holds one version of a resource: else each object would have two files.
fn settle_versions<'a>(wishes: impl Iterator<Item = &'a Claim<'a>>) -> Versions {
    let mut versions = Versions::new();
    for wish in wishes {
        for (selected, _) in wish.selected.iter().filter(|(selected, _)| selected.version_is_named) {
            versions.entry(key(&wish.target, &selected.kind)).or_insert_with(|| selected.kind.version.clone());
        }
    }
    versions
}

fn take(
    wish: &Claim<'_>,
    versions: &Versions,
    catalog: &Catalog,
    routes: &mut Vec<(Arc<ResourceType>, Route)>,
) -> Verdict {
    let mut conflicts = Vec::new();
    for (selected, operations) in &wish.selected {
        let kind = &selected.kind;
        let settled = versions.get(&key(&wish.target, kind)).filter(|settled| **settled != kind.version);
        let kind = match settled {
            None => kind,
            Some(settled) if selected.version_is_named => {
                conflicts.push(format!("{kind} (an older rule has {settled})"));
                continue;
            }
            // A rule that names no version follows one that does.
            Some(settled) => {
                let served =
                    catalog.versions(&kind.resource, &kind.group).iter().find(|served| served.version == *settled);
                served.unwrap_or(kind)
            }
        };
        let (target, namespaces) = (Arc::clone(&wish.target), wish.rule.namespaces.clone());
        let route = Route { target, namespaces, selector: None, wish: Wish::Mirror(*operations) };
        routes.push((Arc::clone(kind), route));
    }
    verdict(wish, &conflicts)
}

fn verdict(wish: &Claim<'_>, conflicts: &[String]) -> Verdict {
    if !wish.problems.is_empty() {
        let problems: Vec<_> = wish.problems.iter().map(ToString::to_string).collect();
        let rest = if wish.selected.is_empty() { "" } else { "; what else it selects is mirrored" };
        let message = format!("correct spec.rules: {}{rest}", list(&problems));
        return Err(Rejection { reason: NO_MATCHING_RESOURCES, message });
    }
    if !conflicts.is_empty() {
        let sink = &wish.rule.sink;
        let message =
            format!("GitTarget {sink} holds one version of a resource: drop {} from apiVersions", list(conflicts));
        return Err(Rejection { reason: "VersionConflict", message });
    }
    if wish.selected.is_empty() {
        let message = "spec.rules selects nothing that this cluster serves; name other groups, versions or resources";
        return Err(Rejection { reason: NO_MATCHING_RESOURCES, message: message.to_owned() });
    }
    Ok(())
}

fn list(items: &[String]) -> String {
    let mut text = items.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if items.len() > LISTED {
        text.push_str(&format!(" and {} more", items.len() - LISTED));
    }
    text
}
