//! What people can change to get a refused journal replaced, as one number a branch.

use super::inputs::Snapshot;
use crate::api::{ClusterWatchRule, GitProvider, WatchRule};
use crate::git::spec::BranchSpec;
use crate::resource::{NamespacedName, ProviderKey};
use kube::ResourceExt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The annotation by which a person asks for a new start; any other value than before does.
const REQUESTED_AT: &str = "reconcile.configbutler.ai/requestedAt";

/// Sets the revision of each of `specs`: another one whenever the provider, a target or a rule that ends in one of the
/// targets has changed since, or a target's annotation `reconcile.configbutler.ai/requestedAt`.
pub fn stamp(specs: &mut [BranchSpec], snapshot: &Snapshot) {
    for spec in specs {
        let is_ours = |provider: &GitProvider| ProviderKey::ours(name_of(provider)) == spec.key.provider;
        let provider = snapshot.providers.iter().filter(|provider| is_ours(provider));
        let mut parts: Vec<_> = provider.map(|provider| version(provider.as_ref(), None)).collect();
        let is_here = |target: &NamespacedName| spec.targets.contains_key(target);
        for target in snapshot.targets.iter().filter(|target| is_here(&name_of(target.as_ref()))) {
            parts.push(version(target.as_ref(), target.annotations().get(REQUESTED_AT).cloned()));
        }
        let sink =
            |rule: &WatchRule| NamespacedName::new(&rule.namespace().unwrap_or_default(), &rule.spec.sink_ref.name);
        for rule in snapshot.watch_rules.iter().filter(|rule| is_here(&sink(rule))) {
            parts.push(version(rule.as_ref(), None));
        }
        let sink =
            |rule: &ClusterWatchRule| NamespacedName::new(&rule.spec.sink_ref.namespace, &rule.spec.sink_ref.name);
        for rule in snapshot.cluster_watch_rules.iter().filter(|rule| is_here(&sink(rule))) {
            parts.push(version(rule.as_ref(), None));
        }
        // The order in which a watch knows them says nothing.
        parts.sort();
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        spec.revision = hasher.finish();
    }
}

fn name_of(object: &impl ResourceExt) -> NamespacedName {
    NamespacedName::new(&object.namespace().unwrap_or_default(), &object.name_any())
}

/// The generation counts changes of the spec, and of nothing else.
fn version(object: &impl ResourceExt, requested: Option<String>) -> (Option<String>, Option<i64>, Option<String>) {
    (object.uid(), object.meta().generation, requested)
}

#[cfg(test)]
mod tests {
    use super::super::branches::specs;
    use super::super::branches::tests::{mk, mk_compiled, mk_snapshot};
    use super::*;
    use crate::git::spec::Identity;
    use kube::Resource as _;
    use serde_json::json;
    use std::sync::Arc;

    fn revision(snapshot: &Snapshot) -> u64 {
        let committer = Identity { name: "n".into(), email: "e".into() };
        let mut specs = specs(&mk_compiled(snapshot), &snapshot.secrets, &committer);
        stamp(&mut specs, snapshot);
        specs.iter().find(|spec| &*spec.key.provider.name.name == "open").unwrap().revision
    }

    #[test]
    fn what_people_change_about_a_branch_is_another_revision() {
        let mut snapshot = mk_snapshot();
        let rule: Arc<WatchRule> = mk("rule", json!({"sinkRef": {"name": "a"}}));
        snapshot.watch_rules = vec![rule, mk("elsewhere", json!({"sinkRef": {"name": "c"}}))];
        let sink = json!({"sinkRef": {"name": "b", "namespace": "ns"}, "rules": [{"scope": "Cluster"}]});
        let of_cluster: Arc<ClusterWatchRule> = mk("cluster", sink);
        snapshot.cluster_watch_rules = vec![of_cluster];
        let before = revision(&snapshot);
        assert_eq!(revision(&snapshot), before);

        type Change = fn(&mut Snapshot);
        let table: [(&str, bool, Change); 9] = [
            ("provider", true, |s| Arc::make_mut(&mut s.providers[0]).meta_mut().generation = Some(7)),
            ("other provider", false, |s| Arc::make_mut(&mut s.providers[1]).meta_mut().generation = Some(7)),
            ("target", true, |s| Arc::make_mut(&mut s.targets[1]).meta_mut().generation = Some(7)),
            ("other target", false, |s| Arc::make_mut(&mut s.targets[2]).meta_mut().generation = Some(7)),
            ("request", true, |s| {
                Arc::make_mut(&mut s.targets[0]).annotations_mut().insert(REQUESTED_AT.into(), "now".into());
            }),
            ("other annotation", false, |s| {
                Arc::make_mut(&mut s.targets[0]).annotations_mut().insert("x".into(), "now".into());
            }),
            ("rule", true, |s| Arc::make_mut(&mut s.watch_rules[0]).meta_mut().generation = Some(7)),
            ("rule of another branch", false, |s| s.watch_rules.truncate(1)),
            ("cluster rule", true, |s| s.cluster_watch_rules.clear()),
        ];
        for (what, differs, change) in table {
            let mut changed = snapshot.clone();
            change(&mut changed);
            assert_eq!(revision(&changed) != before, differs, "{what}");
        }
    }
}
