//! Rules of both kinds in one form, and what they mean in this cluster, whether or not they are in effect.

use super::catalog::Catalog;
use super::compile::{Age, Inputs, Namespaces};
use super::labels;
use super::outcome::{Revision, RuleKey};
use super::selector::{self, Problem, Reach, Resolved, resolve};
use super::wildcards::Wildcards;
use crate::api::{ClusterWatchRule, GROUP, WatchRule};
use crate::resource::{NamespaceSet, NamespacedName, Operation, Operations};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt;
use kube::core::Selector;
use std::sync::Arc;

/// A rule of either kind, as written.
pub(super) struct Rule<'a> {
    pub(super) key: RuleKey,
    pub(super) age: Age,
    pub(super) revision: Revision,
    pub(super) sink: NamespacedName,
    pub(super) suspended: bool,
    sink_is_ours: bool,
    object_selector: Option<&'a LabelSelector>,
    parts: Vec<Part<'a>>,
}

/// One item of `spec.rules`.
struct Part<'a> {
    /// `None` where `scope` is none that there is.
    reach: Option<Reach>,
    namespaces: Where<'a>,
    operations: &'a [String],
    api_groups: &'a [String],
    api_versions: &'a [String],
    resources: &'a [String],
}

#[derive(Clone, Copy)]
enum Where<'a> {
    /// In the namespace of the rule, which this is.
    Own(&'a str),
    /// In all namespaces, and in none.
    Anywhere,
    /// In those whose labels match.
    Matching(&'a LabelSelector),
}

/// What a rule means in this cluster.
pub(super) struct Meaning {
    /// What it wants.
    pub(super) wants: Vec<Want>,
    /// The names that select nothing.
    pub(super) problems: Vec<Problem>,
    /// What is wrong with the rule itself; parts with a fault want nothing.
    pub(super) faults: Vec<String>,
    /// The labels of the objects; `None`: any.
    pub(super) selector: Option<Arc<Selector>>,
}

/// One type that a rule wants.
pub(super) struct Want {
    pub(super) selected: selector::Selected,
    pub(super) namespaces: NamespaceSet,
    pub(super) operations: Operations,
}

/// All rules, the oldest first.
pub(super) fn by_age<'a>(inputs: &Inputs<'a>) -> Vec<Rule<'a>> {
    let mut rules: Vec<Rule<'a>> = inputs.watch_rules.iter().map(|rule| of_namespace(rule)).collect();
    rules.extend(inputs.cluster_watch_rules.iter().map(|rule| of_cluster(rule)));
    rules.sort_by(|a, b| a.age.cmp(&b.age));
    rules
}

fn revision(rule: &impl ResourceExt) -> Revision {
    Revision {
        uid: Arc::from(rule.uid().unwrap_or_default()),
        generation: rule.meta().generation.unwrap_or_default(),
        omits_secrets: false,
    }
}

fn of_namespace(rule: &WatchRule) -> Rule<'_> {
    let namespace = rule.metadata.namespace.as_deref().unwrap_or_default();
    let reference = &rule.spec.sink_ref;
    let parts = rule.spec.rules.iter().flatten().map(|part| Part {
        reach: Some(Reach::OwnNamespace),
        namespaces: Where::Own(namespace),
        operations: &part.operations,
        api_groups: &part.api_groups,
        api_versions: &part.api_versions,
        resources: &part.resources,
    });
    Rule {
        key: RuleKey::Namespaced(NamespacedName::new(namespace, &rule.name_any())),
        age: Age::of(rule),
        revision: revision(rule),
        sink: NamespacedName::new(namespace, &reference.name),
        suspended: rule.spec.suspend,
        sink_is_ours: reference.group == GROUP && reference.kind == "GitTarget",
        object_selector: rule.spec.object_selector.as_ref(),
        parts: or_everything(parts.collect(), &[(Reach::OwnNamespace, Where::Own(namespace))]),
    }
}

fn of_cluster(rule: &ClusterWatchRule) -> Rule<'_> {
    let reference = &rule.spec.sink_ref;
    let parts = rule.spec.rules.iter().flatten().map(|part| Part {
        reach: match part.scope.as_str() {
            "Cluster" => Some(Reach::Cluster),
            "Namespaced" => Some(Reach::AllNamespaces),
            _ => None,
        },
        namespaces: part.namespace_selector.as_ref().map_or(Where::Anywhere, Where::Matching),
        operations: &part.operations,
        api_groups: &part.api_groups,
        api_versions: &part.api_versions,
        resources: &part.resources,
    });
    let everything = [(Reach::AllNamespaces, Where::Anywhere), (Reach::Cluster, Where::Anywhere)];
    Rule {
        key: RuleKey::Cluster(Arc::from(rule.name_any())),
        age: Age::of(rule),
        revision: revision(rule),
        sink: NamespacedName::new(&reference.namespace, &reference.name),
        suspended: rule.spec.suspend,
        sink_is_ours: reference.group == GROUP && reference.kind == "GitTarget",
        object_selector: rule.spec.object_selector.as_ref(),
        parts: or_everything(parts.collect(), &everything),
    }
}

/// A rule without `rules` is one without `resources`, wherever it reaches.
fn or_everything<'a>(parts: Vec<Part<'a>>, reaches: &[(Reach, Where<'a>)]) -> Vec<Part<'a>> {
    if !parts.is_empty() {
        return parts;
    }
    let whole = |(reach, namespaces): &(Reach, Where<'a>)| Part {
        reach: Some(*reach),
        namespaces: *namespaces,
        operations: &[],
        api_groups: &[],
        api_versions: &[],
        resources: &[],
    };
    reaches.iter().map(whole).collect()
}

impl Rule<'_> {
    /// What it means. Nothing that is wrong with it keeps the rest of it from being understood.
    pub(super) fn meaning(&self, catalog: &Catalog, wildcards: &Wildcards, namespaces: &Namespaces) -> Meaning {
        let mut meaning = Meaning { wants: Vec::new(), problems: Vec::new(), faults: Vec::new(), selector: None };
        if !self.sink_is_ours {
            meaning.faults.push(format!("spec.sinkRef must name a GitTarget of group {GROUP}"));
        }
        match self.object_selector.map(labels::parse).transpose() {
            Ok(selector) => meaning.selector = selector.flatten(),
            Err(problem) => meaning.faults.push(format!("spec.objectSelector: {problem}")),
        }
        for (index, part) in self.parts.iter().enumerate() {
            let faults = &mut meaning.faults;
            let mut fault = |field: &str, problem: &str| faults.push(format!("spec.rules[{index}].{field}: {problem}"));
            let operations = operations(part.operations).unwrap_or_else(|problem| {
                fault("operations", &problem);
                Operations::ALL
            });
            let Some(reach) = part.reach else {
                fault("scope", "it must be Cluster or Namespaced");
                continue;
            };
            let namespaces = match (part.namespaces, reach) {
                (Where::Own(namespace), _) => NamespaceSet::one(namespace),
                (Where::Anywhere, _) => NamespaceSet::ALL,
                (Where::Matching(_), Reach::Cluster) => {
                    fault("namespaceSelector", "objects of scope Cluster have no namespace: leave it out");
                    continue;
                }
                (Where::Matching(selector), _) => match labels::namespaces(selector, namespaces) {
                    Ok(namespaces) => namespaces,
                    Err(problem) => {
                        fault("namespaceSelector", &problem);
                        continue;
                    }
                },
            };
            let Resolved { selected, problems } = resolve(&part.selection(reach), catalog, wildcards);
            meaning.problems.extend(problems);
            meaning.wants.extend(selected.into_iter().map(|selected| Want {
                selected,
                namespaces: namespaces.clone(),
                operations,
            }));
        }
        meaning
    }
}

impl Part<'_> {
    fn selection(&self, reach: Reach) -> selector::Selection<'_> {
        let Self { api_groups, api_versions, resources, .. } = *self;
        selector::Selection { reach, api_groups, api_versions, resources }
    }
}

fn operations(names: &[String]) -> Result<Operations, String> {
    let mut operations = if names.is_empty() { Operations::ALL } else { Operations::NONE };
    for name in names {
        operations = match name.as_str() {
            "CREATE" => operations.with(Operation::Create),
            "UPDATE" => operations.with(Operation::Update),
            "DELETE" => operations.with(Operation::Delete),
            "*" => Operations::ALL,
            _ => return Err(format!("{name:?} is none of CREATE, UPDATE, DELETE and *")),
        };
    }
    Ok(operations)
}
