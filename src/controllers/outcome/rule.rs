//! The status of a rule of either kind.

use super::{ObjectKey, Outcome, Said, Scene, rejected};
use crate::api::status::{MOST_RESOURCES, Unavailable};
use crate::resource::{NamespaceSet, ResourceType};
use crate::rules::{RuleKey, RuleOutcome, Verdict};
use crate::watch::report::{FailureReason, WatchState};
use serde_json::json;

/// What a rule says that is in effect.
const MIRRORED: &str = "what the rule selects is mirrored to its target";

/// What is to be said about the rule `key`, which was judged so. What happens to its target is said there, not repeated in
/// each of its rules.
pub(super) fn outcome(key: &RuleKey, verdict: &Verdict, scene: &Scene<'_>) -> Outcome {
    let Some(rule) = scene.compiled.rules.get(key) else {
        let ready = rejected(verdict).unwrap_or_else(|| Said::wait("the rule is being looked at"));
        return Outcome::new(ready, Vec::new(), false);
    };
    let watches = watches(rule, scene);
    let (ready, needs_somebody) = ready(key, verdict, rule, &watches, scene);
    let mut outcome = Outcome::new(ready, Vec::new(), needs_somebody);
    let resources = rule.resources.iter().map(|kind| kind.to_string()).take(MOST_RESOURCES);
    outcome.rest.insert("resources".to_owned(), or_null(resources.collect::<Vec<_>>()));
    let unavailable: Vec<_> = watches.unavailable.into_iter().map(|(_, unavailable)| unavailable).collect();
    outcome.rest.insert("unavailable".to_owned(), or_null(unavailable));
    outcome
}

fn or_null<T: serde::Serialize>(list: Vec<T>) -> serde_json::Value {
    if list.is_empty() { serde_json::Value::Null } else { json!(list) }
}

/// How what a rule selects is watched.
struct Watches {
    unavailable: Vec<(FailureReason, Unavailable)>,
    /// Whether a first list is not complete yet.
    are_listing: bool,
}

fn watches(rule: &RuleOutcome, scene: &Scene<'_>) -> Watches {
    let mut watches = Watches { unavailable: Vec::new(), are_listing: false };
    if !rule.in_effect {
        return watches;
    }
    // Nothing is watched for a target that takes no changes yet.
    watches.are_listing = scene.compiled.set.target(&rule.sink).is_none();
    for kind in &rule.resources {
        let namespaces = namespaces(rule, kind);
        if namespaces.is_empty() {
            continue;
        }
        match scene.watches.state(kind, &namespaces) {
            Some(WatchState::Live { .. }) => {}
            None | Some(WatchState::Listing) => watches.are_listing = true,
            Some(WatchState::Failed { reason, message }) if watches.unavailable.len() < MOST_RESOURCES => {
                let (resource, reason_name) = (kind.to_string(), reason.as_str().to_owned());
                watches.unavailable.push((reason, Unavailable { resource, reason: reason_name, message }));
            }
            Some(WatchState::Failed { .. }) => {}
        }
    }
    watches
}

/// The namespaces in which `rule` selects objects of `kind`.
fn namespaces(rule: &RuleOutcome, kind: &ResourceType) -> NamespaceSet {
    let of_kind = rule.selection.iter().filter(|one| one.group == kind.group && one.resource == kind.resource);
    of_kind.fold(NamespaceSet::NONE, |all, one| all.union(&one.namespaces))
}

fn ready(key: &RuleKey, verdict: &Verdict, rule: &RuleOutcome, watches: &Watches, scene: &Scene<'_>) -> (Said, bool) {
    if let Some(rejected) = rejected(verdict) {
        return (rejected, false);
    }
    if let Some((_, first)) = watches.unavailable.first() {
        let more = match watches.unavailable.len() {
            1 => String::new(),
            count => format!("; status.unavailable lists {count} such types"),
        };
        let message = format!("{} cannot be watched ({}): {}{more}", first.resource, first.reason, first.message);
        let is_forbidden = watches.unavailable.iter().any(|(reason, _)| *reason == FailureReason::Forbidden);
        return (Said::no("ResourcesUnavailable", message), is_forbidden);
    }
    // A new list of what was mirrored before, as after a restart, changes nothing for whoever reads this.
    let was_ready = scene.observed(&ObjectKey::from(key)).is_some_and(super::Observed::is_ready);
    if watches.are_listing && !was_ready {
        let ready = Said::wait(format!("what the rule selects is being listed for GitTarget {}", rule.sink));
        return (ready, false);
    }
    (Said::yes("Ready", MIRRORED), false)
}
