//! The one place that derives conditions.

use super::branches::{Obstacle, credentials, signing};
use super::inputs::Snapshot;
use super::secret::SecretState;
use crate::git::status::{BranchStatus, RemoteState, TargetState};
use crate::resource::{BranchKey, NamespacedName, ProviderKey};
use crate::rules::{Compiled, Target, Verdict};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// The kinds that have conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GitProvider`.
    GitProvider,
    /// `GitTarget`.
    GitTarget,
    /// `WatchRule`.
    WatchRule,
    /// `ClusterWatchRule`.
    ClusterWatchRule,
}

/// Which custom resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for resources of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{:?} {}", self.kind, self.name),
            namespace => write!(f, "{:?} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// What is to be said about one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its `Ready` condition.
    pub ready: Ready,
    /// For targets: the commit at the tip of the remote branch, if known.
    pub last_commit: Option<String>,
    /// For targets: how many changes were committed, by tier; empty where there is nothing new to say.
    pub attribution: BTreeMap<String, i64>,
}

/// The condition `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// One sentence: what is, and what to do.
    pub message: String,
}

impl Ready {
    fn yes(message: impl Into<String>) -> Self {
        Self { status: "True", reason: "Ready", message: message.into() }
    }

    fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "False", reason, message: message.into() }
    }

    fn wait(message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason: "Validating", message: message.into() }
    }
}

/// What is to be said about every resource of `snapshot`.
#[must_use]
pub fn derive(
    snapshot: &Snapshot,
    compiled: &Compiled,
    branches: &HashMap<BranchKey, BranchStatus>,
) -> BTreeMap<ObjectKey, Outcome> {
    let verdicts = &compiled.verdicts;
    let mut outcomes = BTreeMap::new();
    let mut say = |kind, namespace: &str, name: &str, ready, last_commit| {
        let key = ObjectKey { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        outcomes.insert(key, Outcome { ready, last_commit, attribution: BTreeMap::new() });
    };
    for (name, verdict) in &verdicts.providers {
        let ready = provider(verdict, &ProviderKey::ours(name.clone()), compiled, &snapshot.secrets);
        say(Kind::GitProvider, &name.namespace, &name.name, ready, None);
    }
    for (name, verdict) in &verdicts.targets {
        let branch = compiled.targets.get(name).and_then(|target| branches.get(&target.branch));
        let ready = match (verdict, compiled.targets.get(name)) {
            (Err(rejection), _) => Ready::no(rejection.reason, &rejection.message),
            (Ok(()), Some(usable)) => target(usable, compiled, &snapshot.secrets, branch),
            (Ok(()), None) => Ready::wait("the target is being looked at"),
        };
        let tip = branch.and_then(|branch| branch.pushed).map(|tip| tip.to_string());
        say(Kind::GitTarget, &name.namespace, &name.name, ready, tip);
    }
    for (name, verdict) in &verdicts.watch_rules {
        say(Kind::WatchRule, &name.namespace, &name.name, rule(verdict), None);
    }
    for (name, verdict) in &verdicts.cluster_watch_rules {
        say(Kind::ClusterWatchRule, "", name, rule(verdict), None);
    }
    for (key, error) in &snapshot.unreadable {
        let ready = Ready::no("InvalidConfiguration", format!("cannot be read, correct it: {error}"));
        outcomes.insert(key.clone(), Outcome { ready, last_commit: None, attribution: BTreeMap::new() });
    }
    outcomes
}

fn provider(
    verdict: &Verdict,
    name: &ProviderKey,
    compiled: &Compiled,
    secrets: &BTreeMap<NamespacedName, SecretState>,
) -> Ready {
    let repository = match (verdict, compiled.repositories.get(name)) {
        (Err(rejection), _) => return Ready::no(rejection.reason, &rejection.message),
        (Ok(()), None) => return Ready::wait("the provider is being looked at"),
        (Ok(()), Some(repository)) => repository,
    };
    let secret = |secret: Option<&str>| format!("Secret {}/{}", name.name.namespace, secret.unwrap_or_default());
    if let Err(obstacle) = credentials(repository, name, secrets) {
        return no_secret(
            obstacle,
            &secret(repository.secret.as_deref()),
            "open the repository",
            "username and password",
        );
    }
    match signing(repository, name, secrets) {
        Ok(_) => Ready::yes("targets can use the repository"),
        Err(obstacle) => {
            let ready = no_secret(obstacle, &secret(repository.signing.as_deref()), "sign commits", "identity");
            Ready { message: format!("{}; nothing is committed until then", ready.message), ..ready }
        }
    }
}

/// Why a provider has to wait for `secret`, which is to serve a purpose, as with these keys.
fn no_secret(obstacle: Obstacle<'_>, secret: &str, purpose: &str, keys: &str) -> Ready {
    match obstacle {
        Obstacle::Pending => Ready::wait(format!("{secret} is being read")),
        Obstacle::Missing => {
            let message = format!("{secret} does not exist; create it, as with the keys {keys}");
            Ready::no("SecretNotFound", message)
        }
        Obstacle::Unreadable(error) => {
            let message = format!("{secret} cannot be read; allow the operator to list and watch it: {error}");
            Ready::no("SecretNotFound", message)
        }
        Obstacle::Invalid(problem) => {
            Ready::no("InvalidSecret", format!("{secret} does not {purpose}: {problem}; correct it"))
        }
    }
}

fn target(
    target: &Target,
    compiled: &Compiled,
    secrets: &BTreeMap<NamespacedName, SecretState>,
    branch: Option<&BranchStatus>,
) -> Ready {
    let provider_name = &target.branch.provider;
    let provider = provider(&Ok(()), provider_name, compiled, secrets);
    match provider.status {
        "True" => {}
        "False" => {
            let message = format!("{provider_name} is not ready ({}): {}", provider.reason, provider.message);
            return Ready::no("ProviderNotReady", message);
        }
        _ => return Ready::wait(format!("{provider_name} is not ready yet")),
    }
    let Some(branch) = branch else { return Ready::wait("work on the branch is about to start") };
    if let RemoteState::Failed(failure) = &branch.remote {
        return Ready::no(failure.reason, &failure.message);
    }
    let status = branch.targets.get(&target.name).filter(|status| status.folder == target.base_folder);
    match (status.map(|status| &status.state), &branch.remote) {
        (Some(TargetState::Refused(reason)), _) => Ready::no("FolderRefused", reason),
        (Some(TargetState::Ready), RemoteState::Available) => Ready::yes("changes are written to the branch"),
        _ => Ready::wait("the branch is being fetched"),
    }
}

/// What happens to a rule's target is said there, not repeated in each of its rules.
fn rule(verdict: &Verdict) -> Ready {
    match verdict {
        Ok(()) => Ready::yes("what the rule selects is mirrored to its target"),
        Err(rejection) => Ready::no(rejection.reason, &rejection.message),
    }
}

#[cfg(test)]
mod tests {
    use super::super::branches::tests::{mk, mk_compiled, mk_signing_snapshot, mk_snapshot, mk_ssh};
    use super::*;
    use crate::controllers::secret::InvalidSecret;
    use crate::git::credentials::BadKey;
    use crate::git::spec::Credentials;
    use crate::git::status::RemoteFailure;
    use crate::git::status::TargetStatus;
    use crate::resource::Oid;
    use serde_json::json;
    use std::sync::Arc;

    type Said = (&'static str, &'static str);

    fn key(kind: Kind, name: &str) -> ObjectKey {
        ObjectKey { kind, namespace: "ns".into(), name: name.into() }
    }

    /// Status and reason of `kind` `name`, whose message must hold `part`.
    fn said(outcomes: &BTreeMap<ObjectKey, Outcome>, kind: Kind, name: &str, part: &str) -> Said {
        let ready = &outcomes[&key(kind, name)].ready;
        assert!(ready.message.contains(part), "{}", ready.message);
        assert!(!ready.message.ends_with('.') && !ready.message.contains('\n'), "{}", ready.message);
        (ready.status, ready.reason)
    }

    #[test]
    fn a_provider_is_ready_with_its_credentials() {
        let found = SecretState::Found(Credentials::basic("u", "hunter2"));
        let table: [(SecretState, Said, Said, &str); 5] = [
            (found, ("True", "Ready"), ("Unknown", "Validating"), ""),
            (SecretState::Pending, ("Unknown", "Validating"), ("Unknown", "Validating"), "Secret ns/login"),
            (
                SecretState::Missing,
                ("False", "SecretNotFound"),
                ("False", "ProviderNotReady"),
                "create it, as with the keys",
            ),
            (
                SecretState::Unreadable("403".into()),
                ("False", "SecretNotFound"),
                ("False", "ProviderNotReady"),
                "allow the operator",
            ),
            (
                SecretState::Invalid(InvalidSecret::NoUsername),
                ("False", "InvalidSecret"),
                ("False", "ProviderNotReady"),
                "no key username",
            ),
        ];
        for (state, provider, target, part) in table {
            let mut snapshot = mk_snapshot();
            snapshot.secrets.insert(NamespacedName::new("ns", "login"), state);
            let outcomes = derive(&snapshot, &mk_compiled(&snapshot), &HashMap::new());
            assert_eq!(said(&outcomes, Kind::GitProvider, "closed", part), provider);
            assert_eq!(said(&outcomes, Kind::GitTarget, "c", ""), target);
            assert_eq!(said(&outcomes, Kind::GitProvider, "open", ""), ("True", "Ready"));
            assert!(!format!("{outcomes:?}{snapshot:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_provider_that_cannot_sign_says_so() {
        let login = SecretState::Found(Credentials::basic("u", "p"));
        let table: [(SecretState, Said, &str); 5] = [
            (SecretState::Found(mk_ssh()), ("True", "Ready"), "can use"),
            (SecretState::Pending, ("Unknown", "Validating"), "Secret ns/key is being read; nothing is committed"),
            (SecretState::Missing, ("False", "SecretNotFound"), "the keys identity; nothing is committed"),
            (login, ("False", "InvalidSecret"), "does not sign commits: it holds no SSH key; correct it; nothing is"),
            (
                SecretState::Invalid(InvalidSecret::PrivateKey { key: "identity", problem: BadKey::WrongPassphrase }),
                ("False", "InvalidSecret"),
                "its key identity cannot be used: the passphrase under the key password does not open it",
            ),
        ];
        for (state, expected, part) in table {
            let mut snapshot = mk_signing_snapshot();
            snapshot.secrets.insert(NamespacedName::new("ns", "key"), state);
            let outcomes = derive(&snapshot, &mk_compiled(&snapshot), &HashMap::new());
            assert_eq!(said(&outcomes, Kind::GitProvider, "open", part), expected);
        }
    }

    #[test]
    fn a_target_is_what_its_branch_is() {
        let failed = |reason| RemoteState::Failed(RemoteFailure { reason, message: "the remote says no".into() });
        let refused = || Some(TargetState::Refused("a symlink is in the way".into()));
        let table: [(Option<(RemoteState, Option<TargetState>)>, Said, &str); 8] = [
            (None, ("Unknown", "Validating"), "about to start"),
            (Some((RemoteState::Checking, None)), ("Unknown", "Validating"), "being fetched"),
            (Some((RemoteState::Checking, Some(TargetState::Ready))), ("Unknown", "Validating"), "being fetched"),
            (Some((RemoteState::Available, None)), ("Unknown", "Validating"), "being fetched"),
            (Some((RemoteState::Available, Some(TargetState::Ready))), ("True", "Ready"), "written"),
            (Some((RemoteState::Available, refused())), ("False", "FolderRefused"), "symlink"),
            (Some((failed("AuthenticationFailed"), None)), ("False", "AuthenticationFailed"), "says no"),
            (Some((failed("NetworkError"), Some(TargetState::Ready))), ("False", "NetworkError"), "says no"),
        ];
        let tip = "0123456789012345678901234567890123456789";
        for (branch, expected, part) in table {
            let snapshot = mk_snapshot();
            let compiled = mk_compiled(&snapshot);
            let name = NamespacedName::new("ns", "a");
            let known = branch.is_some();
            let folder = &compiled.targets[&name].base_folder;
            let status = branch.map(|(remote, target)| BranchStatus {
                remote,
                targets: target
                    .map(|state| TargetStatus { folder: folder.clone(), state, swept: Arc::default(), held_back: 0 })
                    .map(|target| (name.clone(), target))
                    .into_iter()
                    .collect(),
                pushed: Some(tip.parse::<Oid>().unwrap()),
                ..BranchStatus::default()
            });
            let branches = status.map(|status| (compiled.targets[&name].branch.clone(), status)).into_iter().collect();
            let outcomes = derive(&snapshot, &compiled, &branches);
            assert_eq!(said(&outcomes, Kind::GitTarget, "a", part), expected);
            assert_eq!(outcomes[&key(Kind::GitTarget, "a")].last_commit.as_deref(), known.then_some(tip));
        }
    }

    #[test]
    fn rejections_and_unreadable_resources_are_passed_on() {
        let mut snapshot = mk_snapshot();
        snapshot.targets.push(mk("bad", json!({"providerRef": {"name": "nobody"}, "baseFolder": "x"})));
        snapshot.watch_rules.push(mk("lost", json!({"sinkRef": {"name": "nobody"}})));
        snapshot.unreadable.insert(key(Kind::WatchRule, "odd"), "missing field `sinkRef`".into());
        let outcomes = derive(&snapshot, &mk_compiled(&snapshot), &HashMap::new());
        assert_eq!(said(&outcomes, Kind::GitTarget, "bad", "nobody"), ("False", "ProviderNotFound"));
        assert_eq!(said(&outcomes, Kind::WatchRule, "lost", "nobody"), ("False", "SinkNotFound"));
        assert_eq!(said(&outcomes, Kind::WatchRule, "odd", "sinkRef"), ("False", "InvalidConfiguration"));
        assert_eq!(outcomes.len(), 2 + 4 + 1 + 1);
    }
}
