//! What is told as an event when a resource becomes something else than it was.

use super::events::Announcement;
use super::inputs::Snapshot;
use super::outcome::{Kind, ObjectKey, Outcome};
use super::selection::Selections;
use crate::git::status::Severity;
use crate::resource::NamespacedName;
use crate::rules::{Compiled, SecretsPolicy, Selection};
use k8s_openapi::api::core::v1::ObjectReference;
use std::collections::{BTreeMap, BTreeSet};

/// What was last told.
#[derive(Debug, Default)]
pub struct Announcements {
    /// By resource: its uid and the reason that its `Ready` had, other than while it was not known.
    told: BTreeMap<ObjectKey, (String, String)>,
    /// The uids of targets of which it was told that Secrets are readable there.
    warned: BTreeSet<String>,
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
            let is_plain =
                compiled.policies.get(&name).is_some_and(|policy| policy.secrets == SecretsPolicy::Plaintext);
            if !is_plain || self.warned.contains(uid) || !has_secrets(&selections.selection(&name)) {
                continue;
            }
            self.warned.insert(uid.to_owned());
            // An earlier process has told it then.
            let stored = target.status.as_ref().map(|status| status.selection.as_slice()).unwrap_or_default();
            if has_secrets(&Selection::from_status(stored)) {
                continue;
            }
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
    use super::super::outcome::Said;
    use super::super::status::{Observed, Reported};
    use super::*;
    use serde_json::{Map, json};

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
}
