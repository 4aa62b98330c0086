//! All custom resources in, a [`RuleSet`] and a verdict for each of them out.

use super::catalog::Catalog;
use super::flux::FluxRepositories;
use super::outcome::{RuleKey, RuleOutcome};
use super::policy::Policy;
use super::provider::{self, Repository};
use super::routing::{self, Rule, Sinks};
use super::set::{RuleSet, Target};
use super::target::{self, TargetPolicy, Targets};
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use crate::resource::{BranchKey, NamespacedName, ProviderKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Something in a resource itself is wrong.
pub(super) const INVALID_CONFIGURATION: &str = "InvalidConfiguration";
/// A rule, or a part of it, selects nothing.
pub(super) const NO_MATCHING_RESOURCES: &str = "NoMatchingResources";

/// Everything that the rules in effect depend on.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// All providers.
    pub providers: &'a [Arc<GitProvider>],
    /// What there is of Flux's.
    pub flux: &'a FluxRepositories,
    /// All targets.
    pub targets: &'a [Arc<GitTarget>],
    /// All rules of namespaces.
    pub watch_rules: &'a [Arc<WatchRule>],
    /// All rules of the cluster.
    pub cluster_watch_rules: &'a [Arc<ClusterWatchRule>],
    /// All namespaces.
    pub namespaces: &'a Namespaces,
    /// What the API server serves.
    pub catalog: &'a Catalog,
    /// What the administrator of the operator has decided.
    pub policy: &'a Policy,
    /// The targets whose folder git has indexed, on the branch where it has. Only they get routes.
    pub ready: &'a HashSet<Target>,
    /// The targets that were refused write access and have never had it. They win no overlap.
    pub unproven: &'a HashSet<NamespacedName>,
}

/// The labels of every namespace, by its name.
pub type Namespaces = BTreeMap<Arc<str>, BTreeMap<String, String>>;

/// What [`Inputs`] come to.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The routes to the targets that are ready.
    pub set: RuleSet,
    /// The usable repositories, by provider.
    pub repositories: BTreeMap<ProviderKey, Repository>,
    /// The usable targets, ready or not.
    pub targets: BTreeMap<NamespacedName, Arc<Target>>,
    /// How each of these is to be written.
    pub policies: BTreeMap<NamespacedName, TargetPolicy>,
    /// The branches that have lost their last target to a suspension or to a lack of access: not even what waits there is
    /// to be pushed.
    pub halted: HashSet<BranchKey>,
    /// What has come of each rule.
    pub rules: BTreeMap<RuleKey, RuleOutcome>,
    /// What is to be said about each resource.
    pub verdicts: Verdicts,
}

/// A verdict for every resource that was in the [`Inputs`].
#[derive(Clone, Debug, Default)]
pub struct Verdicts {
    /// By provider.
    pub providers: BTreeMap<NamespacedName, Verdict>,
    /// By target.
    pub targets: BTreeMap<NamespacedName, Verdict>,
    /// By rule of a namespace.
    pub watch_rules: BTreeMap<NamespacedName, Verdict>,
    /// By rule of the cluster.
    pub cluster_watch_rules: BTreeMap<Arc<str>, Verdict>,
}

/// Whether a resource is all right.
pub type Verdict = Result<(), Rejection>;

/// What is wrong with a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The reason of its condition, in CamelCase.
    pub reason: &'static str,
    /// One sentence: what is wrong, and what to do.
    pub message: String,
}

/// Judges every resource, and compiles those that are all right. What is wrong with one affects no other, save
/// those that refer to it. A rule of which only some names select something stays in effect for these.
#[must_use]
pub fn compile(inputs: &Inputs<'_>) -> Compiled {
    let providers: target::Providers =
        inputs.providers.iter().map(|p| (name_of(p.as_ref()), provider::judge(p, inputs.policy))).collect();
    let Targets { usable: targets, policies, verdicts: target_verdicts } =
        target::judge_all(inputs.targets, &providers, inputs.policy);

    let mut rules: Vec<Rule<'_>> = inputs.watch_rules.iter().map(|rule| Rule::from(rule.as_ref())).collect();
    rules.extend(inputs.cluster_watch_rules.iter().map(|rule| Rule::from(rule.as_ref())));
    rules.sort_by(|a, b| a.age.cmp(&b.age));
    let sinks = Sinks { usable: &targets, verdicts: &target_verdicts };
    let (routes, rule_verdicts) = routing::route(&rules, &sinks, inputs.catalog, &inputs.policy.wildcards);

    let (mut watch_rules, mut cluster_watch_rules) = (BTreeMap::new(), BTreeMap::new());
    for (rule, verdict) in rules.iter().zip(rule_verdicts) {
        if rule.age.namespace.is_empty() {
            cluster_watch_rules.insert(Arc::from(rule.age.name.as_str()), verdict);
        } else {
            watch_rules.insert(NamespacedName::new(&rule.age.namespace, &rule.age.name), verdict);
        }
    }
    let ready = targets.values().filter(|target| inputs.ready.contains(&***target)).cloned();
    Compiled {
        set: RuleSet::new(ready, routes)
            .scaled_as(inputs.catalog)
            .without(inputs.providers.iter().flat_map(|p| credentials_of(p)).collect()),
        verdicts: Verdicts {
            providers: providers
                .iter()
                .map(|(name, judged)| (name.clone(), judged.as_ref().map(|_| ()).map_err(Clone::clone)))
                .collect(),
            targets: target_verdicts,
            watch_rules,
            cluster_watch_rules,
        },
        repositories: providers
            .into_iter()
            .filter_map(|(name, judged)| judged.ok().map(|repository| (ProviderKey::ours(name), repository)))
            .collect(),
        targets,
        policies,
        halted: HashSet::new(),
        rules: BTreeMap::new(),
    }
}

/// The Secrets that a provider refers to, whether or not the provider is all right otherwise.
fn credentials_of(provider: &GitProvider) -> impl Iterator<Item = NamespacedName> {
    let namespace = provider.namespace().unwrap_or_default();
    provider.spec.secrets().map(move |secret| NamespacedName::new(&namespace, secret))
}

fn name_of(object: &impl ResourceExt) -> NamespacedName {
    NamespacedName::new(&object.namespace().unwrap_or_default(), &object.name_any())
}

/// Orders objects by age; those of the same second by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    created: Option<Time>,
    namespace: String,
    name: String,
}

impl Age {
    pub(super) fn of(object: &impl ResourceExt) -> Self {
        Self {
            created: object.creation_timestamp(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::catalog::tests::mk_catalog;
    use super::super::set::WatchScope;
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn mk<K: DeserializeOwned>(metadata: &Value, mut spec: Value, change: Value) -> K {
        let Value::Object(change) = change else { panic!("{change} is no object") };
        spec.as_object_mut().unwrap().extend(change);
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn metadata(namespace: &str, name: &str, age: u8) -> Value {
        json!({"namespace": namespace, "name": name, "uid": name, "creationTimestamp": format!("2026-01-01T00:00:{age:02}Z")})
    }

    /// A usable provider, with `change` put over its spec.
    pub(crate) fn mk_provider(namespace: &str, name: &str, change: Value) -> GitProvider {
        let spec = json!({"url": "https://git.example.com/r", "allowedBranches": ["main"]});
        mk(&metadata(namespace, name, 0), spec, change)
    }

    /// A usable target of the provider `main`, made at second `age`, with `change` put over its spec.
    pub(crate) fn mk_target(namespace: &str, name: &str, age: u8, change: Value) -> Arc<GitTarget> {
        Arc::new(mk(
            &metadata(namespace, name, age),
            json!({"providerRef": {"name": "main"}, "baseFolder": name}),
            change,
        ))
    }

    fn mk_rule(namespace: &str, name: &str, age: u8, spec: Value) -> Arc<WatchRule> {
        Arc::new(mk(&metadata(namespace, name, age), json!({"sinkRef": {"name": "a"}}), spec))
    }

    fn mk_cluster_rule(name: &str, age: u8, spec: Value) -> Arc<ClusterWatchRule> {
        let metadata = json!({"name": name, "creationTimestamp": format!("2026-01-01T00:00:{age:02}Z")});
        Arc::new(mk(&metadata, json!({"sinkRef": {"name": "a", "namespace": "ns"}}), spec))
    }

    fn compile_rules(rules: &[Arc<WatchRule>], cluster_rules: &[Arc<ClusterWatchRule>]) -> Compiled {
        let unready = compile_with(rules, cluster_rules, &HashSet::new());
        let ready = unready.targets.values().map(|target| Target::clone(target)).collect();
        compile_with(rules, cluster_rules, &ready)
    }

    fn compile_with(
        rules: &[Arc<WatchRule>],
        cluster_rules: &[Arc<ClusterWatchRule>],
        ready: &HashSet<Target>,
    ) -> Compiled {
        let elsewhere = json!({"url": "https://git.example.com/other"});
        compile(&Inputs {
            flux: &FluxRepositories::CrdAbsent,
            namespaces: &BTreeMap::new(),
            unproven: &HashSet::new(),
            providers: &[
                Arc::new(mk_provider("ns", "main", json!({}))),
                Arc::new(mk_provider("other", "main", elsewhere)),
            ],
            targets: &[
                mk_target("ns", "a", 0, json!({})),
                mk_target("ns", "bad", 0, json!({"branch": "develop"})),
                mk_target("other", "a", 0, json!({})),
            ],
            watch_rules: rules,
            cluster_watch_rules: cluster_rules,
            catalog: &mk_catalog(),
            policy: &Policy::default(),
            ready,
        })
    }

    /// Each route as `type -> target from namespace`.
    fn routes(compiled: &Compiled) -> Vec<String> {
        let set = &compiled.set;
        let lines = set.kinds().flat_map(|kind| {
            set.routes(kind)
                .iter()
                .map(move |route| format!("{kind} -> {} from {}", route.target.name, route.namespaces))
        });
        lines.collect()
    }

    fn rejection(verdict: Option<&Verdict>) -> (&'static str, &str) {
        verdict
            .unwrap()
            .as_ref()
            .map_or_else(|rejection| (rejection.reason, rejection.message.as_str()), |()| ("Ready", ""))
    }

    #[test]
    fn a_rule_of_a_namespace_gets_its_own_namespace() {
        let rules = [
            mk_rule("ns", "r", 0, json!({"rules": [{"resources": ["configmaps"], "apiGroups": [""]}]})),
            mk_rule(
                "other",
                "r",
                0,
                json!({"rules": [{"resources": ["secrets"], "operations": ["CREATE", "DELETE"]}]}),
            ),
        ];
        let compiled = compile_rules(&rules, &[]);
        assert_eq!(routes(&compiled), ["v1/configmaps -> ns/a from ns", "v1/secrets -> other/a from other"]);
        assert!(compiled.verdicts.watch_rules.values().all(Result::is_ok));
        let secrets = mk_catalog().versions("secrets", "")[0].clone();
        assert_eq!(compiled.set.scopes(&secrets, 1), BTreeSet::from([WatchScope::Namespace("other".into())]));
        assert!(!compiled.set.routes(&secrets)[0].wish.operations().contains(crate::resource::Operation::Update));
    }

    #[test]
    fn operations_narrow_what_is_mirrored() {
        use crate::resource::{Operation, Operations};
        let (create, delete) = (Operations::NONE.with(Operation::Create), Operations::NONE.with(Operation::Delete));
        let table = [
            (json!([]), Operations::ALL),
            (json!(["*"]), Operations::ALL),
            (json!(["CREATE", "*"]), Operations::ALL),
            (json!(["CREATE"]), create),
            (json!(["CREATE", "DELETE"]), create.union(delete)),
        ];
        for (operations, expected) in table {
            let rule = json!({"rules": [{"resources": ["secrets"], "operations": operations}]});
            let compiled = compile_rules(&[mk_rule("ns", "r", 0, rule)], &[]);
            let secrets = mk_catalog().versions("secrets", "")[0].clone();
            assert_eq!(compiled.set.routes(&secrets)[0].wish.operations(), expected, "{operations}");
        }
    }

    #[test]
    fn a_rule_without_rules_gets_the_preset() {
        let compiled = compile_rules(&[mk_rule("ns", "r", 0, json!({}))], &[]);
        let from_ns = ["v1/configmaps", "v1/secrets", "apps/v1/deployments", "rbac.authorization.k8s.io/v1/roles"];
        assert_eq!(routes(&compiled), from_ns.map(|kind| format!("{kind} -> ns/a from ns")));

        let compiled = compile_rules(&[], &[mk_cluster_rule("r", 0, json!({}))]);
        let everywhere = [
            "v1/configmaps",
            "v1/namespaces",
            "v1/secrets",
            "apps/v1/deployments",
            "rbac.authorization.k8s.io/v1/clusterroles",
            "rbac.authorization.k8s.io/v1/roles",
        ];
        assert_eq!(routes(&compiled), everywhere.map(|kind| format!("{kind} -> ns/a from *")));
        assert!(compiled.verdicts.cluster_watch_rules["r"].is_ok());
    }

    #[test]
    fn a_target_that_is_not_ready_has_no_routes_and_its_rules_no_error() {
        let compiled = compile_with(&[mk_rule("ns", "r", 0, json!({}))], &[], &HashSet::new());
        assert_eq!((compiled.set.kinds().count(), compiled.set.targets().count()), (0, 0));
        assert_eq!(compiled.set.selected().count(), 4);
        assert!(compiled.verdicts.watch_rules.values().all(Result::is_ok));
        assert!(compiled.targets.contains_key(&NamespacedName::new("ns", "a")));
    }

    #[test]
    fn a_bad_rule_is_judged_and_the_others_carry_on() {
        let table = [
            (json!({"sinkRef": {"name": "nobody"}}), "SinkNotFound", "GitTarget ns/nobody does not exist"),
            (json!({"sinkRef": {"name": "bad"}}), "SinkNotReady", "GitTarget ns/bad is not usable"),
            (json!({"sinkRef": {"name": "a", "kind": "Bucket"}}), INVALID_CONFIGURATION, "spec.sinkRef"),
            (json!({"rules": [{"operations": ["CONNECT"]}]}), INVALID_CONFIGURATION, "CONNECT"),
            (json!({"rules": [{"resources": ["unicorns"]}]}), NO_MATCHING_RESOURCES, "unicorns is not served"),
            (json!({"rules": [{"apiGroups": ["nowhere"]}]}), NO_MATCHING_RESOURCES, "selects nothing"),
        ];
        let good = mk_rule("ns", "good", 9, json!({"rules": [{"resources": ["secrets"]}]}));
        for (spec, reason, message) in table {
            let compiled = compile_rules(&[mk_rule("ns", "r", 0, spec.clone()), Arc::clone(&good)], &[]);
            let (found, text) = rejection(compiled.verdicts.watch_rules.get(&NamespacedName::new("ns", "r")));
            assert_eq!(found, reason, "{spec}");
            assert!(text.contains(message), "{spec}: {text}");
            assert_eq!(routes(&compiled), ["v1/secrets -> ns/a from ns"], "{spec}");
        }
        let bad_scope = mk_cluster_rule("r", 0, json!({"rules": [{"scope": "Galaxy"}]}));
        let compiled = compile_rules(&[], &[bad_scope]);
        assert_eq!(rejection(compiled.verdicts.cluster_watch_rules.get("r")).0, INVALID_CONFIGURATION);
    }

    #[test]
    fn a_rule_stays_in_effect_for_what_it_resolves() {
        let resources = ["a1", "a2", "a3", "a4", "a5", "a6", "deploymets", "secrets"];
        let rule = mk_rule("ns", "r", 0, json!({"rules": [{"resources": resources}]}));
        let compiled = compile_rules(&[rule], &[]);
        assert_eq!(routes(&compiled), ["v1/secrets -> ns/a from ns"]);
        let (reason, message) = rejection(compiled.verdicts.watch_rules.values().next());
        assert_eq!(reason, NO_MATCHING_RESOURCES);
        assert!(message.contains("and 2 more; what else it selects is mirrored"), "{message}");
    }

    #[test]
    fn one_folder_holds_one_version_of_a_resource() {
        let widgets = |versions: &[&str]| json!({"rules": [{"resources": ["widgets"], "apiVersions": versions}]});
        let names = |age_v1, age_v2| {
            let rules = [mk_rule("ns", "v1", age_v1, widgets(&["v1"])), mk_rule("ns", "v2", age_v2, widgets(&["v2"]))];
            let compiled = compile_rules(&rules, &[]);
            let reason = |name| rejection(compiled.verdicts.watch_rules.get(&NamespacedName::new("ns", name))).0;
            (routes(&compiled), reason("v1"), reason("v2"))
        };
        assert_eq!(names(0, 1), (vec!["example.com/v1/widgets -> ns/a from ns".into()], "Ready", "VersionConflict"));
        assert_eq!(names(1, 0), (vec!["example.com/v2/widgets -> ns/a from ns".into()], "VersionConflict", "Ready"));
        assert_eq!(names(1, 1), (vec!["example.com/v1/widgets -> ns/a from ns".into()], "Ready", "VersionConflict"));

        let follows = [mk_rule("ns", "v1", 5, widgets(&["v1"])), mk_rule("ns", "any", 0, widgets(&[]))];
        let compiled = compile_rules(&follows, &[]);
        assert_eq!(routes(&compiled), ["example.com/v1/widgets -> ns/a from ns"]);
        assert!(compiled.verdicts.watch_rules.values().all(Result::is_ok));

        let other_target = [mk_rule("ns", "v1", 0, widgets(&["v1"])), mk_rule("other", "v2", 1, widgets(&["v2"]))];
        let compiled = compile_rules(&other_target, &[]);
        assert_eq!(routes(&compiled).len(), 2);
        assert!(compiled.verdicts.watch_rules.values().all(Result::is_ok));
    }

    #[test]
    fn a_cluster_rule_has_the_whole_type_watched() {
        let rule = mk_rule("ns", "r", 0, json!({"rules": [{"resources": ["secrets"]}]}));
        let cluster_rule =
            mk_cluster_rule("c", 0, json!({"rules": [{"scope": "Namespaced", "resources": ["secrets"]}]}));
        let compiled = compile_rules(&[rule], &[cluster_rule]);
        assert_eq!(routes(&compiled), ["v1/secrets -> ns/a from ns", "v1/secrets -> ns/a from *"]);
        let secrets = mk_catalog().versions("secrets", "")[0].clone();
        assert_eq!(compiled.set.scopes(&secrets, 10), BTreeSet::from([WatchScope::All]));
        assert_eq!(compiled.set.wanting(&secrets, Some("ns"), &BTreeMap::new()).count(), 1);
    }

    #[test]
    fn every_resource_gets_a_verdict() {
        let compiled = compile_rules(&[mk_rule("ns", "r", 0, json!({}))], &[mk_cluster_rule("r", 0, json!({}))]);
        let verdicts = &compiled.verdicts;
        assert_eq!((verdicts.providers.len(), verdicts.targets.len()), (2, 3));
        assert_eq!((verdicts.watch_rules.len(), verdicts.cluster_watch_rules.len()), (1, 1));
        assert_eq!((compiled.repositories.len(), compiled.targets.len()), (2, 2));
    }
}
