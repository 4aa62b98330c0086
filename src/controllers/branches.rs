//! From usable targets to what git's workers are to do.

use super::inputs::Snapshot;
use super::secret::SecretState;
use super::selection::Selections;
use crate::git::credentials::Authentication;
use crate::git::signing::SigningKey;
use crate::git::spec::{BranchSpec, Credentials, Identity, PushPolicy, TargetSpec};
use crate::git::status::{BranchStatus, TargetState};
use crate::resource::{BranchKey, NamespacedName, ProviderKey};
use crate::rules::{Compiled, Repository, Target};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The targets that every worker in `statuses` reports as ready.
#[must_use]
pub fn ready(statuses: &HashMap<BranchKey, BranchStatus>) -> HashSet<Target> {
    targets(statuses, |state| *state == TargetState::Ready)
}

/// The targets that any worker in `statuses` knows, whether or not their folders can be written now.
#[must_use]
pub fn known(statuses: &HashMap<BranchKey, BranchStatus>) -> HashSet<Target> {
    targets(statuses, |_| true)
}

fn targets(statuses: &HashMap<BranchKey, BranchStatus>, are: impl Fn(&TargetState) -> bool) -> HashSet<Target> {
    let targets = statuses.iter().flat_map(|(key, status)| status.targets.iter().map(move |target| (key, target)));
    let targets = targets.filter(|(_, (_, status))| are(&status.state));
    targets
        .map(|(key, (name, status))| Target {
            name: name.clone(),
            branch: key.clone(),
            base_folder: status.folder.clone(),
        })
        .collect()
}

/// The branches that usable targets write. A repository whose credentials are not at hand has none.
#[must_use]
pub fn specs(
    snapshot: &Snapshot,
    compiled: &Compiled,
    selections: &Selections,
    operator: &Identity,
) -> Vec<BranchSpec> {
    let secrets = &snapshot.secrets;
    let mut denied = denied(compiled);
    let mut specs: HashMap<BranchKey, BranchSpec> = HashMap::new();
    for target in compiled.targets.values() {
        let key = &target.branch;
        let Some(repository) = compiled.repositories.get(&key.provider) else { continue };
        let Some(policy) = compiled.policies.get(&target.name) else { continue };
        let Ok(credentials) = credentials(repository, &key.provider, secrets) else { continue };
        // Nothing is committed unsigned where a signature is wanted.
        let Ok(signing) = signing(repository, &key.provider, secrets) else { continue };
        let spec = specs.entry(key.clone()).or_insert_with(|| BranchSpec {
            key: key.clone(),
            credentials,
            committer: repository.committer.as_ref().map_or_else(
                || operator.clone(),
                |(name, email)| Identity { name: name.clone(), email: email.clone() },
            ),
            signing,
            push: PushPolicy { interval: repository.push_interval, max_commits: repository.push_max_commits },
            poll_interval: repository.poll_interval,
            revision: 0,
            requested: 0,
            targets: BTreeMap::new(),
        });
        let wanted = TargetSpec {
            folder: target.base_folder.clone(),
            foreign_edit_grace: policy.foreign_edit_grace,
            commit: policy.commit.clone(),
            prune: policy.prune,
            selection: Arc::new(selections.selection(&target.name)),
            gone: selections.gone(&target.name),
            denied: denied.remove(&target.name).unwrap_or_default(),
        };
        spec.targets.insert(target.name.clone(), wanted);
    }
    specs.into_values().collect()
}

/// The uids of the rules that each target does not let in.
fn denied(compiled: &Compiled) -> BTreeMap<NamespacedName, BTreeSet<Arc<str>>> {
    let mut denied: BTreeMap<NamespacedName, BTreeSet<Arc<str>>> = BTreeMap::new();
    for (_, rule) in compiled.rules.iter().filter(|(key, _)| compiled.verdicts.is_denied(key)) {
        denied.entry(rule.sink.clone()).or_default().insert(Arc::clone(&rule.revision.uid));
    }
    denied
}

/// Why a Secret is of no use yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle<'a> {
    /// The Secret is being read.
    Pending,
    /// There is no such Secret.
    Missing,
    /// The API server refuses to show it: its words.
    Unreadable(&'a str),
    /// It does not serve its purpose: what is wrong.
    Invalid(String),
}

/// What opens `repository`, the one of `provider`.
///
/// # Errors
/// Why nothing does yet.
pub fn credentials<'a>(
    repository: &Repository,
    provider: &ProviderKey,
    secrets: &'a BTreeMap<NamespacedName, SecretState>,
) -> Result<Credentials, Obstacle<'a>> {
    let Some(secret) = repository.secret.as_ref() else {
        let authentication = if repository.ambient { Authentication::Ambient } else { Authentication::None };
        return Ok(Credentials { authentication, ..Credentials::default() });
    };
    let found = found(secret, provider, secrets)?;
    match found.suits(repository.url.scheme()) {
        Ok(()) => Ok(found.clone()),
        Err(problem) => Err(Obstacle::Invalid(problem.to_owned())),
    }
}

/// What signs the commits of `repository`, the one of `provider`; `None` where nothing is to.
///
/// # Errors
/// Why what is to sign them cannot yet.
pub fn signing<'a>(
    repository: &Repository,
    provider: &ProviderKey,
    secrets: &'a BTreeMap<NamespacedName, SecretState>,
) -> Result<Option<SigningKey>, Obstacle<'a>> {
    let Some(secret) = repository.signing.as_ref() else { return Ok(None) };
    let Authentication::Ssh(key) = &found(secret, provider, secrets)?.authentication else {
        return Err(Obstacle::Invalid("it holds no SSH key".to_owned()));
    };
    SigningKey::new(&key.private_key).map(Some).map_err(|problem| Obstacle::Invalid(problem.to_string()))
}

fn found<'a>(
    secret: &str,
    provider: &ProviderKey,
    secrets: &'a BTreeMap<NamespacedName, SecretState>,
) -> Result<&'a Credentials, Obstacle<'a>> {
    match secrets.get(&NamespacedName::new(&provider.name.namespace, secret)).unwrap_or(&SecretState::Pending) {
        SecretState::Pending => Err(Obstacle::Pending),
        SecretState::Missing => Err(Obstacle::Missing),
        SecretState::Unreadable(error) => Err(Obstacle::Unreadable(error)),
        SecretState::Invalid(problem) => Err(Obstacle::Invalid(problem.to_string())),
        SecretState::Found(found) => Ok(found),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::controllers::secret::InvalidSecret;
    use crate::git::credentials::OpenKey;
    use crate::git::status::TargetStatus;
    use crate::rules::{self, Catalog, compile};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use std::time::Duration;

    pub(in super::super) fn mk<K: DeserializeOwned>(name: &str, spec: Value) -> Arc<K> {
        let object = json!({"metadata": {"namespace": "ns", "name": name, "uid": name}, "spec": spec});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    /// One open repository and one with a Secret, with two targets on one branch of the former and one of the latter.
    pub(in super::super) fn mk_snapshot() -> Snapshot {
        let open = json!({"url": "https://git.example.com/open", "allowedBranches": ["*"]});
        let closed = json!({
            "url": "https://git.example.com/closed", "allowedBranches": ["*"], "secretRef": {"name": "login"},
            "push": {"interval": "5s", "maxCommits": 7}, "pollInterval": "30s", "commit": {"committer": {"name": "Bot", "email": "bot@example.com"}}
        });
        let target = |provider: &str, folder: &str| json!({"providerRef": {"name": provider}, "baseFolder": folder});
        Snapshot {
            providers: vec![mk("open", open), mk("closed", closed)],
            targets: vec![mk("a", target("open", "a")), mk("b", target("open", "b")), mk("c", target("closed", "c"))],
            ..Snapshot::default()
        }
    }

    pub(in super::super) fn mk_compiled(snapshot: &Snapshot) -> Compiled {
        compile(&rules::Inputs {
            providers: &snapshot.providers,
            targets: &snapshot.targets,
            watch_rules: &snapshot.watch_rules,
            cluster_watch_rules: &snapshot.cluster_watch_rules,
            flux: &snapshot.flux,
            namespaces: &snapshot.namespaces,
            access: &BTreeMap::new(),
            catalog: &Catalog::default(),
            policy: &rules::Policy::default(),
            ready: &HashSet::new(),
            known: &HashSet::new(),
        })
    }

    pub(in super::super) fn mk_ssh() -> Credentials {
        Credentials::ssh(OpenKey::of_seed(&[7; 32]), None)
    }

    /// As [`mk_snapshot`], with commits of the open repository to be signed by what the Secret `key` holds.
    pub(in super::super) fn mk_signing_snapshot() -> Snapshot {
        let open = json!({
            "url": "https://git.example.com/open", "allowedBranches": ["*"],
            "commit": {"signing": {"secretRef": {"name": "key"}}}
        });
        let mut snapshot = mk_snapshot();
        snapshot.providers[0] = mk("open", open);
        snapshot
    }

    #[test]
    fn nothing_is_committed_unsigned_where_a_signature_is_wanted() {
        let mut snapshot = mk_signing_snapshot();
        let key = NamespacedName::new("ns", "key");
        for state in [SecretState::Pending, SecretState::Missing, SecretState::Found(Credentials::basic("u", "p"))] {
            snapshot.secrets.insert(key.clone(), state);
            assert_eq!(specs(&snapshot, &mk_compiled(&snapshot), &Selections::default(), &operator()), []);
        }
        snapshot.secrets.insert(key, SecretState::Found(mk_ssh()));
        let specs = specs(&snapshot, &mk_compiled(&snapshot), &Selections::default(), &operator());
        assert!(matches!(specs.as_slice(), [spec] if spec.signing.is_some()), "{specs:?}");
    }

    fn operator() -> Identity {
        Identity { name: "Operator".into(), email: "operator@example.com".into() }
    }

    #[test]
    fn targets_of_one_branch_share_a_worker() {
        let mut snapshot = mk_snapshot();
        let login = Credentials::basic("u", "p");
        snapshot.secrets.insert(NamespacedName::new("ns", "login"), SecretState::Found(login.clone()));
        let mut specs = specs(&snapshot, &mk_compiled(&snapshot), &Selections::default(), &operator());
        specs.sort_by_key(|spec| spec.targets.len());
        let [closed, open] = specs.as_slice() else { panic!("{specs:?}") };
        assert_eq!(open.targets.values().map(|target| target.folder.to_string()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((&open.credentials, &open.committer), (&Credentials::default(), &operator()));
        assert_eq!(open.push, PushPolicy { interval: Duration::from_secs(60), max_commits: 20 });
        assert!(open.targets.values().all(|target| target.foreign_edit_grace == Duration::from_secs(300)));
        assert_eq!((open.poll_interval, closed.poll_interval), (Duration::from_secs(300), Duration::from_secs(30)));
        assert_eq!(closed.credentials, login);
        assert_eq!(closed.committer, Identity { name: "Bot".into(), email: "bot@example.com".into() });
        assert_eq!(closed.push, PushPolicy { interval: Duration::from_secs(5), max_commits: 7 });
        assert_eq!(&*closed.key.provider_uid, "closed");
    }

    #[test]
    fn without_its_credentials_a_repository_is_not_touched() {
        let mut snapshot = mk_snapshot();
        let states = [
            SecretState::Pending,
            SecretState::Missing,
            SecretState::Invalid(InvalidSecret::Empty),
            SecretState::Unreadable("x".into()),
        ];
        for state in states {
            snapshot.secrets.insert(NamespacedName::new("ns", "login"), state);
            assert_eq!(specs(&snapshot, &mk_compiled(&snapshot), &Selections::default(), &operator()).len(), 1);
        }
        snapshot.secrets.clear();
        assert_eq!(specs(&snapshot, &mk_compiled(&snapshot), &Selections::default(), &operator()).len(), 1);
    }

    #[test]
    fn only_what_the_worker_of_that_branch_reports_is_ready() {
        let compiled = mk_compiled(&mk_snapshot());
        let (a, b) = (NamespacedName::new("ns", "a"), NamespacedName::new("ns", "b"));
        let key = compiled.targets[&a].branch.clone();
        let mk_status = |name: &NamespacedName, state| {
            let folder = compiled.targets[name].base_folder.clone();
            (name.clone(), TargetStatus { folder, state, swept: Arc::default(), held_back: 0 })
        };
        let targets = [mk_status(&a, TargetState::Ready), mk_status(&b, TargetState::Refused("no".into()))].into();
        let status = BranchStatus { targets, ..BranchStatus::default() };
        let statuses = HashMap::from([(key.clone(), status)]);
        let [a, b] = [a, b].map(|name| Target::clone(&compiled.targets[&name]));
        assert_eq!(ready(&statuses), HashSet::from([a.clone()]));
        assert_eq!(known(&statuses), HashSet::from([a, b]));
    }
}
