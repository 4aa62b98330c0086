//! What people have changed and asked for about a branch, as numbers.

use super::inputs::Snapshot;
use super::outcome::{Kind, ObjectKey};
use crate::git::spec::BranchSpec;
use crate::resource::{NamespacedName, ProviderKind};
use kube::ResourceExt as _;
use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Sets what stands for people's changes in each of `specs`. The revision is another one whenever the provider, a target
/// or a rule that ends in one of the targets has changed since, or somebody asks by an annotation for one of them to be
/// looked at anew; the requests are, when somebody asks.
pub fn stamp(specs: &mut [BranchSpec], snapshot: &Snapshot) {
    for spec in specs {
        let concerns = |target: &NamespacedName| spec.targets.contains_key(target);
        let mut objects = vec![ObjectKey::of(Kind::GitProvider, &spec.key.provider.name)];
        objects.retain(|_| spec.key.provider.kind == ProviderKind::GitProvider);
        objects.extend(spec.targets.keys().map(|target| ObjectKey::of(Kind::GitTarget, target)));
        for rule in &snapshot.watch_rules {
            let namespace = rule.namespace().unwrap_or_default();
            if concerns(&NamespacedName::new(&namespace, &rule.spec.sink_ref.name)) {
                objects.push(ObjectKey { kind: Kind::WatchRule, namespace, name: rule.name_any() });
            }
        }
        for rule in &snapshot.cluster_watch_rules {
            let sink = &rule.spec.sink_ref;
            if concerns(&NamespacedName::new(&sink.namespace, &sink.name)) {
                let (namespace, name) = (String::new(), rule.name_any());
                objects.push(ObjectKey { kind: Kind::ClusterWatchRule, namespace, name });
            }
        }
        // The order in which a watch knows them says nothing.
        objects.sort();
        let observed: Vec<_> = objects.iter().filter_map(|key| snapshot.observed.get(key)).collect();
        // The generation counts changes of the spec, and of nothing else.
        spec.revision = hash(observed.iter().map(|observed| (&observed.uid, observed.generation, &observed.requested)));
        spec.requested = hash(observed.iter().filter_map(|observed| observed.requested.as_ref()));
    }
}

fn hash(parts: impl Iterator<Item = impl Hash>) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.for_each(|part| part.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::branches::specs;
    use super::super::branches::tests::{mk, mk_compiled, mk_snapshot};
    use super::super::selection::Selections;
    use super::super::status::Observed;
    use super::*;
    use crate::git::spec::Identity;
    use serde_json::json;

    /// Revision and requests of the branch of the open repository.
    fn stamps(snapshot: &Snapshot) -> (u64, u64) {
        let committer = Identity { name: "n".into(), email: "e".into() };
        let mut specs = specs(snapshot, &mk_compiled(snapshot), &Selections::default(), &committer);
        stamp(&mut specs, snapshot);
        let spec = specs.iter().find(|spec| &*spec.key.provider.name.name == "open").unwrap();
        (spec.revision, spec.requested)
    }

    fn key(kind: Kind, name: &str) -> ObjectKey {
        let namespace = if kind == Kind::ClusterWatchRule { String::new() } else { "ns".to_owned() };
        ObjectKey { kind, namespace, name: name.to_owned() }
    }

    #[test]
    fn what_people_change_about_a_branch_is_another_revision() {
        let mut snapshot = mk_snapshot();
        snapshot.watch_rules =
            vec![mk("rule", json!({"sinkRef": {"name": "a"}})), mk("elsewhere", json!({"sinkRef": {"name": "c"}}))];
        let sink = json!({"sinkRef": {"name": "b", "namespace": "ns"}, "rules": [{"scope": "Cluster"}]});
        snapshot.cluster_watch_rules = vec![mk("cluster", sink)];
        let (provider, target, rule) = (Kind::GitProvider, Kind::GitTarget, Kind::WatchRule);
        let of_branch =
            [(provider, "open"), (target, "a"), (target, "b"), (rule, "rule"), (Kind::ClusterWatchRule, "cluster")];
        let elsewhere = [(provider, "closed"), (target, "c"), (rule, "elsewhere")];
        for (kind, name) in of_branch.into_iter().chain(elsewhere) {
            snapshot.observed.insert(key(kind, name), Observed::default());
        }
        let before = stamps(&snapshot);
        assert_eq!(stamps(&snapshot), before);
        for (concerns, objects) in [(true, &of_branch[..]), (false, &elsewhere[..])] {
            for (kind, name) in objects {
                let change = |change: fn(&mut Observed)| {
                    let mut changed = snapshot.clone();
                    change(changed.observed.get_mut(&key(*kind, name)).unwrap());
                    let after = stamps(&changed);
                    (after.0 != before.0, after.1 != before.1)
                };
                assert_eq!(change(|observed| observed.generation = 7), (concerns, false), "{name}");
                assert_eq!(change(|observed| observed.uid = "7".into()), (concerns, false), "{name}");
                assert_eq!(change(|observed| observed.requested = Some("7".into())), (concerns, concerns), "{name}");
                assert_eq!(change(|observed| observed.resource_version = "7".into()), (false, false), "{name}");
            }
        }
    }
}
