//! People who ask, by an annotation, for something to be looked at anew.

use super::inputs::Snapshot;
use super::outcome::{Kind, ObjectKey};
use crate::resource::{NamespacedName, ProviderKey};
use crate::rules::{Compiled, RuleKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been asked for, and was acted on.
#[derive(Debug, Default)]
pub struct Requests {
    /// By resource: its uid, and the value that was acted on.
    seen: BTreeMap<ObjectKey, (String, Option<String>)>,
    /// By target: the last value that was acted on for it.
    handled: BTreeMap<NamespacedName, String>,
}

impl Requests {
    /// The targets that somebody asks to look at anew: their own, or those of a provider or a rule. What is seen for the
    /// first time is looked at anyway.
    pub fn take(&mut self, snapshot: &Snapshot, compiled: &Compiled) -> Vec<NamespacedName> {
        let mut asked = Vec::new();
        let before = std::mem::take(&mut self.seen);
        for (key, observed) in &snapshot.observed {
            self.seen.insert(key.clone(), (observed.uid.clone(), observed.requested.clone()));
            let Some(value) = &observed.requested else { continue };
            let known = before.get(key).filter(|(uid, _)| *uid == observed.uid);
            let is_new = known.is_some_and(|(_, known)| known.as_ref() != Some(value));
            if is_new || (known.is_none() && key.kind == Kind::GitTarget) {
                let targets = targets_of(key, compiled);
                self.handled.extend(targets.iter().map(|target| (target.clone(), value.clone())));
                asked.extend(targets.into_iter().filter(|_| is_new));
            }
        }
        self.handled.retain(|name, _| snapshot.observed.contains_key(&ObjectKey::of(Kind::GitTarget, name)));
        asked.sort();
        asked.dedup();
        asked
    }

    /// The last value that was acted on for each target.
    #[must_use]
    pub const fn handled(&self) -> &BTreeMap<NamespacedName, String> {
        &self.handled
    }
}

fn targets_of(key: &ObjectKey, compiled: &Compiled) -> Vec<NamespacedName> {
    let name = NamespacedName::new(&key.namespace, &key.name);
    let sink = |rule: &RuleKey| compiled.rules.get(rule).map(|rule| rule.sink.clone()).into_iter().collect();
    match key.kind {
        Kind::GitTarget => vec![name],
        Kind::GitProvider => {
            let provider = ProviderKey::ours(name);
            let targets = compiled.targets.iter().filter(|(_, target)| target.branch.provider == provider);
            targets.map(|(name, _)| name.clone()).collect()
        }
        Kind::WatchRule => sink(&RuleKey::Namespaced(name)),
        Kind::ClusterWatchRule => sink(&RuleKey::Cluster(Arc::from(key.name.as_str()))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::branches::tests::{mk_compiled, mk_snapshot};
    use super::super::status::Observed;
    use super::*;

    fn ask(snapshot: &mut Snapshot, kind: Kind, name: &str, uid: &str, value: &str) {
        let key = ObjectKey::of(kind, &NamespacedName::new("ns", name));
        let observed = Observed { uid: uid.to_owned(), requested: Some(value.to_owned()), ..Observed::default() };
        snapshot.observed.insert(key, observed);
    }

    #[test]
    fn a_new_value_is_acted_on_once() {
        let mut snapshot = mk_snapshot();
        let compiled = mk_compiled(&snapshot);
        for name in ["a", "b", "c"] {
            snapshot
                .observed
                .insert(ObjectKey::of(Kind::GitTarget, &NamespacedName::new("ns", name)), Observed::default());
        }
        let mut requests = Requests::default();
        let mut take = |snapshot: &Snapshot| {
            let asked = requests.take(snapshot, &compiled);
            let handled = requests.handled().iter().map(|(name, value)| format!("{}={value}", name.name));
            (asked.iter().map(|name| name.name.to_string()).collect::<String>(), handled.collect::<Vec<_>>().join(" "))
        };
        let own = |asked: &str, handled: &str| (asked.to_owned(), handled.to_owned());
        ask(&mut snapshot, Kind::GitTarget, "a", "", "1");
        ask(&mut snapshot, Kind::GitProvider, "open", "", "1");
        assert_eq!(take(&snapshot), own("", "a=1"), "at the start all is looked at anyway");
        assert_eq!(take(&snapshot), own("", "a=1"));
        ask(&mut snapshot, Kind::GitTarget, "a", "", "2");
        assert_eq!(take(&snapshot), own("a", "a=2"));
        ask(&mut snapshot, Kind::GitProvider, "open", "", "3");
        assert_eq!(take(&snapshot), own("ab", "a=3 b=3"));
        assert_eq!(take(&snapshot), own("", "a=3 b=3"));
        ask(&mut snapshot, Kind::GitTarget, "a", "other", "4");
        assert_eq!(take(&snapshot), own("", "a=4 b=3"), "one made anew is looked at anyway");
        snapshot.observed.clear();
        assert_eq!(take(&snapshot), own("", ""));
    }
}
