//! From what rules mean to routes and verdicts: who is in effect, in which version, and as far as watches last.

use super::catalog::Catalog;
use super::compile::{INVALID_CONFIGURATION, Inputs, NO_MATCHING_RESOURCES, Rejection, SUSPENDED, VALIDATING, Verdict};
use super::outcome::{Revision, RuleKey, RuleOutcome};
use super::plan::Plan;
use super::policy::PlanLimits;
use super::rule::{self, Meaning, Rule, Want};
use super::selection::{Selected, Selection};
use super::set::{Route, Target, Wish, is_secret};
use super::target::Targets;
use crate::resource::{NamespacedName, Operation, ResourceType};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many of several names or types a message lists.
const LISTED: usize = 5;

/// What becomes of the rules.
#[derive(Default)]
pub(super) struct Routed {
    pub(super) routes: Vec<(Arc<ResourceType>, Route)>,
    pub(super) outcomes: BTreeMap<RuleKey, RuleOutcome>,
    pub(super) verdicts: BTreeMap<RuleKey, Verdict>,
}

/// A rule with what it means, before versions are settled and watches are dealt out.
struct Claim<'a> {
    rule: &'a Rule<'a>,
    meaning: Meaning,
    /// Where it writes, if that can be written.
    target: Option<&'a Arc<Target>>,
    omits_secrets: bool,
    /// Whether it names Secrets although its target takes none.
    names_secrets: bool,
    /// Why it is not in effect.
    refusal: Option<Rejection>,
}

/// Routes all rules.
pub(super) fn route(inputs: &Inputs<'_>, targets: &Targets) -> Routed {
    let rules = rule::by_age(inputs);
    let claims: Vec<_> = rules.iter().map(|rule| claim(rule, inputs, targets)).collect();
    let versions = settle_versions(&claims);
    let mut plan = Plan::new(inputs.policy.limits);
    let mut routed = Routed::default();
    for claim in &claims {
        let taken = take(claim, &versions, inputs.catalog, &mut plan, &mut routed.routes);
        let verdict = claim.refusal.clone().map_or_else(|| verdict(claim, &taken, inputs), Err);
        let Rule { key, revision, sink, .. } = claim.rule;
        let outcome = RuleOutcome {
            revision: Revision { omits_secrets: claim.omits_secrets, ..revision.clone() },
            sink: sink.clone(),
            in_effect: claim.refusal.is_none(),
            complete: claim.meaning.faults.is_empty() && claim.meaning.problems.is_empty(),
            resources: taken.resources,
            selection: taken.selection,
        };
        routed.outcomes.insert(key.clone(), outcome);
        routed.verdicts.insert(key.clone(), verdict);
    }
    routed
}

fn claim<'a>(rule: &'a Rule<'a>, inputs: &Inputs<'_>, targets: &'a Targets) -> Claim<'a> {
    let policy = inputs.policy;
    let mut meaning = rule.meaning(inputs.catalog, &policy.wildcards, inputs.namespaces);
    let omits_secrets = targets.without_secrets.contains(&rule.sink);
    let mut names_secrets = false;
    if omits_secrets {
        meaning.wants.retain(|want| {
            names_secrets |= is_secret(&want.selected.kind) && want.selected.is_named;
            !is_secret(&want.selected.kind)
        });
    }
    let refusal = refusal(rule, &meaning, targets);
    Claim { rule, meaning, target: targets.usable.get(&rule.sink), omits_secrets, names_secrets, refusal }
}

fn refusal(rule: &Rule<'_>, meaning: &Meaning, targets: &Targets) -> Option<Rejection> {
    if rule.suspended {
        let message = "spec.suspend is true: nothing that the rule selects is written or removed until it is false";
        return Some(Rejection { reason: SUSPENDED, message: message.to_owned() });
    }
    if !meaning.faults.is_empty() {
        let message = format!("correct {}", list(&meaning.faults));
        return Some(Rejection { reason: INVALID_CONFIGURATION, message });
    }
    let sink = &rule.sink;
    match (targets.verdicts.get(sink), &rule.key) {
        (None, _) => {
            let message = format!("GitTarget {sink} does not exist; create it or correct spec.sinkRef");
            Some(Rejection { reason: "SinkNotFound", message })
        }
        (Some(Err(rejection)), _) if rejection.reason == VALIDATING => {
            let message = format!("GitTarget {sink} is being looked at: {}", rejection.message);
            Some(Rejection { reason: VALIDATING, message })
        }
        (Some(Err(rejection)), _) => {
            let reason = rejection.reason;
            let message = format!("GitTarget {sink} is not usable ({reason}); its own status says what to correct");
            Some(Rejection { reason: "SinkNotReady", message })
        }
        (Some(Ok(())), RuleKey::Cluster(_)) => targets.cluster_rules.get(sink)?.clone().err(),
        (Some(Ok(())), RuleKey::Namespaced(_)) => None,
    }
}

/// (target, resource, group) -> the version that the oldest rule naming one names.
type Versions = BTreeMap<(NamespacedName, String, String), String>;

fn key(sink: &NamespacedName, kind: &ResourceType) -> (NamespacedName, String, String) {
    (sink.clone(), kind.resource.clone(), kind.group.clone())
}

/// One folder holds one version of a resource: else each object would have two files.
fn settle_versions(claims: &[Claim<'_>]) -> Versions {
    let mut versions = Versions::new();
    for claim in claims.iter().filter(|claim| claim.refusal.is_none()) {
        for Want { selected, .. } in claim.meaning.wants.iter().filter(|want| want.selected.version_is_named) {
            let settled = versions.entry(key(&claim.rule.sink, &selected.kind));
            settled.or_insert_with(|| selected.kind.version.clone());
        }
    }
    versions
}

/// What a rule has got.
#[derive(Default)]
struct Taken {
    resources: Vec<Arc<ResourceType>>,
    selection: Selection,
    /// Types that an older rule has in another version.
    conflicts: Vec<String>,
    /// Types for which no watch is left.
    too_many: Vec<String>,
    is_mirrored: bool,
}

fn take(
    claim: &Claim<'_>,
    versions: &Versions,
    catalog: &Catalog,
    plan: &mut Plan,
    routes: &mut Vec<(Arc<ResourceType>, Route)>,
) -> Taken {
    let mut taken = Taken::default();
    let (mut selected, mut kept) = (Vec::new(), Vec::new());
    for Want { selected: want, namespaces, operations } in &claim.meaning.wants {
        let settled = versions.get(&key(&claim.rule.sink, &want.kind)).filter(|settled| **settled != want.kind.version);
        let served = catalog.versions(&want.kind.resource, &want.kind.group).iter();
        // A rule that names no version follows one that does.
        let kind = settled.and_then(|settled| served.into_iter().find(|served| served.version == *settled));
        let kind = kind.unwrap_or(&want.kind);
        let one = Selected {
            group: kind.group.clone(),
            resource: kind.resource.clone(),
            version: kind.version.clone(),
            namespaces: namespaces.clone(),
            selector: claim.meaning.selector.clone(),
            deletes: operations.contains(Operation::Delete),
        };
        taken.resources.push(Arc::clone(kind));
        selected.push(one.clone());
        let conflict = settled.filter(|_| want.version_is_named && claim.refusal.is_none());
        if let Some(settled) = conflict {
            taken.conflicts.push(format!("{} ({settled} was named first)", want.kind));
        }
        let mirrors = claim.refusal.is_none() && conflict.is_none();
        match claim.target {
            Some(target) if mirrors && plan.take(kind, namespaces) => {
                taken.is_mirrored = true;
                let (selector, wish) = (one.selector, Wish::Mirror(*operations));
                let route = Route { target: Arc::clone(target), namespaces: one.namespaces, selector, wish };
                routes.push((Arc::clone(kind), route));
            }
            Some(_) => {
                taken.too_many.extend(mirrors.then(|| kind.plural_group()));
                kept.push(one);
            }
            None => {}
        }
    }
    if let Some(target) = claim.target {
        routes.extend(Selection::new(kept).routes(target, catalog));
    }
    taken.resources.sort();
    taken.resources.dedup();
    taken.selection = Selection::new(selected);
    taken
}

/// What is to be said of a rule in effect.
fn verdict(claim: &Claim<'_>, taken: &Taken, inputs: &Inputs<'_>) -> Verdict {
    let sink = &claim.rule.sink;
    let mut complaints = Vec::new();
    let secrets = claim
        .names_secrets
        .then(|| format!("GitTarget {sink} takes no secrets (its spec.secrets.policy or --secrets-policy is Omit)"));
    let problems = &claim.meaning.problems;
    let count = problems.len() + usize::from(claim.names_secrets);
    if count > 0 {
        let shown = problems.iter().map(|problem| problem.clone().with_nearest(inputs.catalog).to_string());
        let message = format!("correct spec.rules: {}", list_first(shown.chain(secrets), count));
        complaints.push((NO_MATCHING_RESOURCES, message));
    } else if claim.meaning.wants.is_empty() {
        let message = "spec.rules selects nothing that this cluster serves; name other groups, versions or resources";
        complaints.push((NO_MATCHING_RESOURCES, message.to_owned()));
    }
    if !taken.conflicts.is_empty() {
        let conflicts = list(&taken.conflicts);
        let message = format!("GitTarget {sink} holds one version of a resource: drop {conflicts} from apiVersions");
        complaints.push(("VersionConflict", message));
    }
    if !taken.too_many.is_empty() {
        let PlanLimits { max_watches, namespaced_watch_limit } = inputs.policy.limits;
        let message = format!(
            "--max-watches={max_watches} leaves no watch for {}, whose files stay as they are: select less, raise it, or \
             lower --namespaced-watch-limit={namespaced_watch_limit}",
            list(&taken.too_many)
        );
        complaints.push(("TooManyResources", message));
    }
    let Some((reason, _)) = complaints.first() else { return Ok(()) };
    let mut message = complaints.iter().map(|(_, message)| message.as_str()).collect::<Vec<_>>().join("; ");
    if taken.is_mirrored {
        message.push_str("; what else it selects is mirrored");
    }
    Err(Rejection { reason, message })
}

fn list(items: &[String]) -> String {
    list_first(items.iter().cloned(), items.len())
}

/// Lists the first of `count` items; the others are not even made.
fn list_first(items: impl Iterator<Item = String>, count: usize) -> String {
    let mut text = items.take(LISTED).collect::<Vec<_>>().join(", ");
    if count > LISTED {
        text.push_str(&format!(" and {} more", count - LISTED));
    }
    text
}
