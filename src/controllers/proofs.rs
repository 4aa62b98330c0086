//! Which targets have had write access, and which were refused it: who takes a folder from whom depends on that.

use super::branches::credentials;
use super::inputs::Snapshot;
use super::outcome::{Kind, ObjectKey};
use crate::git::spec::Credentials;
use crate::git::status::{BranchStatus, RemoteState};
use crate::resource::{BranchKey, NamespacedName};
use crate::rules::{Compiled, Repository, Target, WriteAccess};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The failures that tell of no access, rather than of a bad moment.
const DENIALS: [&str; 2] = ["AuthenticationFailed", "RepositoryNotFound"];

/// What is known of the access of targets.
#[derive(Debug, Default)]
pub struct Proofs {
    /// By uid.
    proven: BTreeSet<String>,
    /// With what the access was tried. Anything else deserves another try.
    denied: BTreeMap<NamespacedName, Tried>,
}

#[derive(Debug, PartialEq)]
struct Tried {
    uid: String,
    generation: i64,
    requested: Option<String>,
    repository: Repository,
    credentials: Option<Credentials>,
}

impl Proofs {
    /// Takes in how the branches are.
    pub fn observe(&mut self, snapshot: &Snapshot, compiled: &Compiled, branches: &HashMap<BranchKey, BranchStatus>) {
        for (name, target) in &compiled.targets {
            let remote = branches.get(&target.branch).map(|branch| &branch.remote);
            let is_denied = matches!(remote, Some(RemoteState::Failed(failure)) if DENIALS.contains(&failure.reason));
            let Some(tried) = tried(target, snapshot, compiled) else { continue };
            if self.denied.get(name).is_some_and(|denied| *denied != tried) {
                self.denied.remove(name);
            }
            if remote == Some(&RemoteState::Available) {
                self.denied.remove(name);
                self.proven.insert(tried.uid);
            } else if is_denied && !self.proven.contains(&tried.uid) {
                self.denied.insert(name.clone(), tried);
            }
        }
        let observed = |name: &NamespacedName| snapshot.observed.get(&ObjectKey::of(Kind::GitTarget, name));
        self.denied.retain(|name, denied| {
            let now = observed(name).map(|now| (&now.uid, now.generation, &now.requested));
            now == Some((&denied.uid, denied.generation, &denied.requested)) && denied.is_current(snapshot, compiled)
        });
        let uids: BTreeSet<_> = snapshot.observed.values().map(|observed| &observed.uid).collect();
        self.proven.retain(|uid| uids.contains(uid));
    }

    /// What is known of each target; of those that are not there, nothing. Also what an earlier process has proven counts, and
    /// is remembered: the status says so only until the remote is asked anew.
    pub fn access(&mut self, snapshot: &Snapshot) -> BTreeMap<NamespacedName, WriteAccess> {
        let targets = || snapshot.observed.iter().filter(|(key, _)| key.kind == Kind::GitTarget);
        let written = targets().filter(|(_, observed)| observed.reported.has_written());
        self.proven.extend(written.map(|(_, observed)| observed.uid.clone()));
        let proven = targets().filter(|(_, observed)| self.proven.contains(&observed.uid));
        let proven = proven.map(|(key, _)| (NamespacedName::new(&key.namespace, &key.name), WriteAccess::Proven));
        self.denied.keys().map(|name| (name.clone(), WriteAccess::Denied)).chain(proven).collect()
    }
}

fn tried(target: &Target, snapshot: &Snapshot, compiled: &Compiled) -> Option<Tried> {
    let observed = snapshot.observed.get(&ObjectKey::of(Kind::GitTarget, &target.name))?;
    let repository = compiled.repositories.get(&target.branch.provider)?.clone();
    Some(Tried {
        uid: observed.uid.clone(),
        generation: observed.generation,
        requested: observed.requested.clone(),
        credentials: credentials(&repository, &target.branch.provider, &snapshot.secrets).ok(),
        repository,
    })
}

impl Tried {
    /// Whether the provider is still what it was. One that lost an overlap is among the usable targets no more.
    fn is_current(&self, snapshot: &Snapshot, compiled: &Compiled) -> bool {
        compiled.repositories.iter().any(|(key, repository)| {
            *repository == self.repository && credentials(repository, key, &snapshot.secrets).ok() == self.credentials
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::branches::tests::{mk_compiled, mk_snapshot};
    use super::super::status::{Observed, Reported};
    use super::*;
    use crate::git::status::RemoteFailure;
    use serde_json::json;

    fn name() -> NamespacedName {
        NamespacedName::new("ns", "a")
    }

    fn observed(snapshot: &mut Snapshot) -> &mut Observed {
        snapshot.observed.entry(ObjectKey::of(Kind::GitTarget, &name())).or_default()
    }

    fn failed(reason: &'static str) -> RemoteState {
        RemoteState::Failed(RemoteFailure { reason, message: String::new() })
    }

    fn see(proofs: &mut Proofs, snapshot: &Snapshot, remote: RemoteState) -> bool {
        let compiled = mk_compiled(snapshot);
        let branch = compiled.targets[&name()].branch.clone();
        let status = BranchStatus { remote, ..BranchStatus::default() };
        proofs.access(snapshot);
        proofs.observe(snapshot, &compiled, &HashMap::from([(branch, status)]));
        proofs.access(snapshot).get(&name()) == Some(&WriteAccess::Denied)
    }

    #[test]
    fn who_was_refused_has_to_change_something() {
        let mut snapshot = mk_snapshot();
        observed(&mut snapshot).uid = "1".to_owned();
        let mut proofs = Proofs::default();
        assert!(!see(&mut proofs, &snapshot, RemoteState::Checking));
        assert!(!see(&mut proofs, &snapshot, failed("NetworkError")), "a bad moment says nothing");
        assert!(see(&mut proofs, &snapshot, failed("AuthenticationFailed")));
        assert!(see(&mut proofs, &snapshot, RemoteState::Checking), "one that lost its folder is not tried any more");
        observed(&mut snapshot).generation = 2;
        assert!(!see(&mut proofs, &snapshot, RemoteState::Checking));
        assert!(see(&mut proofs, &snapshot, failed("RepositoryNotFound")));
        observed(&mut snapshot).requested = Some("now".to_owned());
        assert!(!see(&mut proofs, &snapshot, RemoteState::Checking));
        assert!(!see(&mut proofs, &snapshot, RemoteState::Available));
        assert!(!see(&mut proofs, &snapshot, failed("AuthenticationFailed")), "it has had access");
    }

    #[test]
    fn what_an_earlier_process_has_proven_counts() {
        let mut snapshot = mk_snapshot();
        let condition = json!({"type": "Available", "status": "True", "reason": "Available", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        observed(&mut snapshot).reported = Reported::of(&json!({"conditions": [condition]}));
        let mut proofs = Proofs::default();
        let proven = BTreeMap::from([(name(), WriteAccess::Proven)]);
        assert_eq!(proofs.access(&snapshot), proven, "before anything is compiled");
        observed(&mut snapshot).reported = Reported::default();
        assert!(!see(&mut proofs, &snapshot, failed("AuthenticationFailed")));
        assert_eq!(proofs.access(&snapshot), proven, "although the status says it no more");
        assert_eq!(Proofs::default().access(&snapshot), BTreeMap::new());
    }
}
