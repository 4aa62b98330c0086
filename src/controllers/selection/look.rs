//! What the memory of selections looks at.

use super::{Effect, Look, RuleLook, Sink, TargetLook, Terms};
use crate::controllers::inputs::Snapshot;
use crate::controllers::outcome::{Kind, ObjectKey};
use crate::git::status::BranchStatus;
use crate::resource::{BranchKey, NamespacedName};
use crate::rules::{Compiled, RuleOutcome, Selection};
use kube::ResourceExt as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What there is, from all inputs and what they were compiled to.
#[must_use]
pub fn look(snapshot: &Snapshot, compiled: &Compiled, branches: &HashMap<BranchKey, BranchStatus>) -> Look {
    let statuses = branches.iter().flat_map(|(key, branch)| branch.targets.iter().map(move |target| (key, target)));
    let swept: BTreeMap<&NamespacedName, &Arc<Selection>> = statuses
        .filter(|(key, (name, status))| {
            let target = compiled.targets.get(*name);
            target.is_some_and(|target| target.branch == **key && target.base_folder == status.folder)
        })
        .map(|(_, (name, status))| (name, &status.swept))
        .collect();
    let readable = snapshot.targets.iter().map(|target| {
        let name = NamespacedName::of(target.as_ref());
        let entries = target.status.as_ref().map(|status| status.selection.as_slice()).unwrap_or_default();
        let swept = swept.get(&name).copied().cloned();
        let uid = target.uid().unwrap_or_default();
        TargetLook { name, uid, stored: Some(Selection::from_status(entries)), swept }
    });
    let unreadable = unreadable(snapshot, &[Kind::GitTarget]).map(|(key, uid)| {
        let name = NamespacedName::new(&key.namespace, &key.name);
        TargetLook { name, uid: uid.to_owned(), stored: None, swept: None }
    });
    let targets = readable.chain(unreadable).collect();
    let unreadable =
        self::unreadable(snapshot, &[Kind::WatchRule, Kind::ClusterWatchRule]).map(|(key, uid)| RuleLook {
            uid: Arc::from(uid),
            terms: Terms::default(),
            // One of a namespace names targets of that only.
            sink: if key.kind == Kind::WatchRule {
                Sink::Namespace(Arc::from(key.namespace.as_str()))
            } else {
                Sink::Anywhere
            },
            selection: Selection::default(),
            effect: Effect::Kept,
        });
    let rules = compiled.rules.values().map(rule).chain(unreadable).collect();
    Look { targets, rules }
}

fn unreadable<'a>(snapshot: &'a Snapshot, kinds: &'a [Kind]) -> impl Iterator<Item = (&'a ObjectKey, &'a str)> {
    let of_kind = snapshot.unreadable.keys().filter(|key| kinds.contains(&key.kind));
    of_kind.filter_map(|key| Some((key, snapshot.observed.get(key)?.uid.as_str())))
}

fn rule(rule: &RuleOutcome) -> RuleLook {
    let revision = &rule.revision;
    RuleLook {
        uid: Arc::clone(&revision.uid),
        terms: Terms { generation: revision.generation, omits_secrets: revision.omits_secrets },
        sink: Sink::Target(rule.sink.clone()),
        selection: rule.selection.clone(),
        effect: match (rule.in_effect, rule.complete) {
            (true, true) => Effect::Full,
            (true, false) => Effect::Partial,
            (false, _) => Effect::Kept,
        },
    }
}
