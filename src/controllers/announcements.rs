//! What is told as an event when a resource becomes something else than it was.

use super::events::Announcement;
use super::inputs::Snapshot;
use super::outcome::{Kind, ObjectKey, Outcome};
use super::selection::Selections;
use crate::git::status::Severity;
use crate::resource::NamespacedName;
use crate::rules::{Compiled, SecretsPolicy, Selection};
use k8s_openapi::api::core::v1::ObjectReference;
use std::collections::BTreeMap;

/// What was last told.
#[derive(Debug, Default)]
pub struct Announcements {
    /// By resource: its uid and the reason that its `Ready` had, other than while it was not known.
    told: BTreeMap<ObjectKey, (String, String)>,
    /// Of which targets, by uid, it was told that Secrets are readable there. What a status holds when its target is first
    /// seen was told by an earlier process; what it holds later may be there before it was told.
    warned: BTreeMap<String, bool>,
}

impl Announcements {
    /// What is new in `outcomes`. What a status said before the first call is not.
    pub fn of_outcomes(&mut self, snapshot: &Snapshot, outcomes: &BTreeMap<ObjectKey, Outcome>) -> Vec<Announcement> {
        self.told.retain(|key, (uid, _)| snapshot.observed.get(key).is_some_and(|observed| observed.uid == *uid));
        let mut new = Vec::new();
        for (key, outcome) in outcomes {
            let (Some(observed), Some(ready)) = (snapshot.observed.get(key), outcome.ready()) else { continue };
            let (uid, before) = self.told.entry(key.clone()).or_insert_with(|| {
                let said = observed.reported.ready().filter(|ready| ready.status != "Unknown");
                (observed.uid.clone(), said.map(|ready| ready.reason.clone()).unwrap_or_default())
            });
            if ready.status == "Unknown" || ready.reason == before {
                continue;
            }
            ready.reason.clone_into(before);
            new.push(Announcement {
                object: reference(key, uid),
                severity: if ready.status == "True" { Severity::Normal } else { Severity::Warning },
                reason: ready.reason,
                message: ready.message.clone(),
            });
        }
        new
    }

    /// The targets that get Secrets for the first time, readable for whoever reads the repository.
    pub fn of_secrets(
        &mut self,
        snapshot: &Snapshot,
        compiled: &Compiled,
        selections: &Selections,
    ) -> Vec<Announcement> {
        let mut new = Vec::new();
        for target in &snapshot.targets {
            let name = NamespacedName::of(target.as_ref());
            let uid = target.metadata.uid.as_deref().unwrap_or_default();
            let is_told = self.warned.entry(uid.to_owned()).or_insert_with(|| {
                let stored = target.status.as_ref().map(|status| status.selection.as_slice()).unwrap_or_default();
                has_secrets(&Selection::from_status(stored))
            });
            let is_plain =
                compiled.policies.get(&name).is_some_and(|policy| policy.secrets == SecretsPolicy::Plaintext);
            if !is_plain || *is_told || !has_secrets(&selections.selection(&name)) {
                continue;
            }
            *is_told = true;
            new.push(Announcement {
                object: reference(&ObjectKey::of(Kind::GitTarget, &name), uid),
                severity: Severity::Warning,
                reason: "PlaintextSecrets",
                message: "Secrets are written as they are, so whoever reads the repository can read them; set \
                          spec.secrets.policy to Omit if that is not wanted"
                    .to_owned(),
            });
        }
        new
    }
}

fn has_secrets(selection: &Selection) -> bool {
    selection.iter().any(|one| one.group.is_empty() && one.resource == "secrets")
}

fn reference(key: &ObjectKey, uid: &str) -> ObjectReference {
    let resource = key.kind.api_resource();
    ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()).filter(|namespace| !namespace.is_empty()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::branches::tests::{mk_compiled, mk_snapshot};
    use super::super::outcome::Said;
    use super::super::selection::{Look, TargetLook};
    use super::super::status::{Observed, Reported};
    use super::*;
    use crate::api::status::{SelectedTypes, TargetStatus};
    use crate::rules::catalog::Presence;
    use serde_json::{Map, json};
    use std::sync::Arc;
    use tokio::time::Instant;

    fn mk(status: &'static str, reason: &'static str) -> Outcome {
        let said = Said { status, reason, message: format!("because {reason}") };
        Outcome { conditions: vec![("Ready", said)], rest: Map::new() }
    }

    #[test]
    fn a_reason_is_told_once_until_there_is_another() {
        let key = ObjectKey::of(Kind::GitTarget, &NamespacedName::new("ns", "a"));
        let ready = json!({"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let reported = Reported::of(&json!({"conditions": [ready]}));
        let observed = Observed { uid: "1".to_owned(), reported, ..Observed::default() };
        let mut snapshot = Snapshot { observed: [(key.clone(), observed)].into(), ..Snapshot::default() };
        let mut announcements = Announcements::default();
        let mut tell = |snapshot: &Snapshot, outcome: Outcome| {
            let told = announcements.of_outcomes(snapshot, &[(key.clone(), outcome)].into());
            told.into_iter().map(|told| (told.severity, told.reason)).next()
        };
        let warning = |reason| Some((Severity::Warning, reason));
        assert_eq!(tell(&snapshot, mk("True", "Ready")), None, "its status says so already");
        assert_eq!(tell(&snapshot, mk("Unknown", "Validating")), None);
        assert_eq!(tell(&snapshot, mk("True", "Ready")), None);
        assert_eq!(tell(&snapshot, mk("False", "NetworkError")), warning("NetworkError"));
        assert_eq!(tell(&snapshot, mk("False", "NetworkError")), None);
        assert_eq!(tell(&snapshot, mk("False", "Suspended")), warning("Suspended"));
        assert_eq!(tell(&snapshot, mk("True", "Ready")), Some((Severity::Normal, "Ready")));
        let observed = Observed { uid: "2".to_owned(), ..Observed::default() };
        snapshot.observed.insert(key.clone(), observed);
        assert_eq!(tell(&snapshot, mk("True", "Ready")), Some((Severity::Normal, "Ready")), "one made anew");
    }

    #[test]
    fn a_status_that_is_ahead_of_its_event_does_not_keep_it_back() {
        let mut snapshot = mk_snapshot();
        let compiled = mk_compiled(&snapshot);
        let mut selections = Selections::default();
        let mut announcements = Announcements::default();
        assert!(announcements.of_secrets(&snapshot, &compiled, &selections).is_empty());
        let entries = vec![SelectedTypes { types: vec!["v1/secrets".to_owned()], ..SelectedTypes::default() }];
        let stored = Some(Selection::from_status(&entries));
        let target = Arc::make_mut(&mut snapshot.targets[0]);
        target.status = Some(TargetStatus { selection: entries, ..TargetStatus::default() });
        let look = TargetLook { name: NamespacedName::of(target), uid: "a".to_owned(), stored, swept: None };
        let look = Look { targets: vec![look], rules: Vec::new() };
        selections.observe(look, &|_, _| Presence::Served, Instant::now());
        let told = |announcements: &mut Announcements| {
            let told = announcements.of_secrets(&snapshot, &compiled, &selections);
            told.into_iter().map(|told| told.reason).collect::<Vec<_>>()
        };
        assert_eq!(told(&mut announcements), ["PlaintextSecrets"]);
        assert!(told(&mut announcements).is_empty());
        assert!(told(&mut Announcements::default()).is_empty(), "an earlier process has told it");
    }
}
