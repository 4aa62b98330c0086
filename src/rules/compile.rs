//! All custom resources in, a [`RuleSet`] and a verdict for each of them out.

use super::access::Providers;
use super::catalog::Catalog;
use super::claims::WriteAccess;
use super::credentials::referred_secrets;
use super::flux::FluxRepositories;
use super::outcome::{RuleKey, RuleOutcome};
use super::policy::Policy;
use super::provider::Repository;
use super::routing::{self, Routed};
use super::set::{RuleSet, Target};
use super::target::{self, TargetPolicy};
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use crate::resource::{BranchKey, NamespacedName, ProviderKey, ProviderKind};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Something in a resource itself is wrong.
pub(super) const INVALID_CONFIGURATION: &str = "InvalidConfiguration";
/// A person has said that it is not to be used.
pub(super) const SUSPENDED: &str = "Suspended";
/// Somebody else does not let it in.
pub(super) const ACCESS_DENIED: &str = "AccessDenied";
/// A rule, or a part of it, selects nothing.
pub(super) const NO_MATCHING_RESOURCES: &str = "NoMatchingResources";

/// Nothing is wrong, but not everything is known yet: no verdict that says no to anything.
pub const VALIDATING: &str = "Validating";

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
    /// These, and those whose folder cannot be written at the moment: what waits to be pushed may be theirs.
    pub known: &'a HashSet<Target>,
    /// What is known of the access of targets; of those that are not there, nothing.
    pub access: &'a BTreeMap<NamespacedName, WriteAccess>,
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
    /// The branches that have lost their last target, one that was written, to a suspension or to a lack of access: not
    /// even what waits there is to be pushed.
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
    let providers = Providers::judge(inputs);
    let targets = target::judge_all(inputs, &providers);
    let Routed { routes, outcomes, verdicts } = routing::route(inputs, &targets);
    let ready = targets.usable.values().filter(|target| inputs.ready.contains(&***target)).cloned();
    let ignored = targets.policies.iter().map(|(name, policy)| (name.clone(), Arc::clone(&policy.ignored)));
    Compiled {
        set: RuleSet::new(ready, routes)
            .scaled_as(inputs.catalog)
            .ignoring(ignored.collect())
            .without(referred_secrets(inputs.providers, inputs.targets, inputs.flux)),
        verdicts: Verdicts::of(&providers, targets.verdicts, verdicts),
        repositories: providers
            .judged
            .into_iter()
            .filter_map(|(key, judged)| Some((key, judged.usable()?.clone())))
            .collect(),
        targets: targets.usable,
        policies: targets.policies,
        halted: targets.halted,
        rules: outcomes,
    }
}

impl Verdicts {
    /// Whether somebody does not let `rule` in.
    #[must_use]
    pub fn is_denied(&self, rule: &RuleKey) -> bool {
        let verdict = match rule {
            RuleKey::Namespaced(name) => self.watch_rules.get(name),
            RuleKey::Cluster(name) => self.cluster_watch_rules.get(name),
        };
        matches!(verdict, Some(Err(rejection)) if rejection.reason == ACCESS_DENIED)
    }

    fn of(
        providers: &Providers<'_>,
        targets: BTreeMap<NamespacedName, Verdict>,
        rules: BTreeMap<RuleKey, Verdict>,
    ) -> Self {
        let ours = providers.judged.iter().filter(|(key, _)| key.kind == ProviderKind::GitProvider);
        let providers = ours.map(|(key, judged)| (key.name.clone(), judged.verdict())).collect();
        let mut verdicts = Self { providers, targets, ..Self::default() };
        for (key, verdict) in rules {
            match key {
                RuleKey::Namespaced(name) => _ = verdicts.watch_rules.insert(name, verdict),
                RuleKey::Cluster(name) => _ = verdicts.cluster_watch_rules.insert(name, verdict),
            }
        }
        verdicts
    }
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
