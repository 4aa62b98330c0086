//! Judges a `GitProvider`.

use super::compile::{INVALID_CONFIGURATION, Namespaces, Rejection, SUSPENDED, Verdict};
use super::labels;
use super::policy::Policy;
use crate::api::access::NamespacedRules;
use crate::api::{GitProvider, duration};
use crate::resource::{BranchPattern, NamespaceSet, RepoUrl};
use kube::ResourceExt as _;
use std::sync::Arc;
use std::time::Duration;

/// The longest push interval: beyond a day a branch is no mirror any more.
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest poll interval: more often would be a burden to the server.
const SHORTEST_POLL: Duration = Duration::from_secs(10);

/// A repository as its provider describes it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// The provider's uid.
    pub provider_uid: Arc<str>,
    /// Where it is.
    pub url: RepoUrl,
    /// The Secret that holds the credentials, in the namespace of the provider.
    pub secret: Option<Arc<str>>,
    /// Whether git may use the operator's own credentials. Never where there is a Secret.
    pub ambient: bool,
    /// Which branches may be written.
    pub allowed_branches: Vec<BranchPattern>,
    /// The longest that a commit waits for its push.
    pub push_interval: Duration,
    /// Push when so many commits wait.
    pub push_max_commits: usize,
    /// The Secret that holds the key that signs commits, in the namespace of the provider.
    pub signing: Option<Arc<str>>,
    /// How long the remote may go without being looked at.
    pub poll_interval: Duration,
    /// Name and e-mail address of the committer, if the provider names one.
    pub committer: Option<(String, String)>,
}

/// A provider of either kind, judged.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// The repository, also of a provider that is suspended; or what is wrong.
    pub(super) repository: Result<Repository, Rejection>,
    /// Whether nothing is to be written through it.
    pub(super) suspended: bool,
    /// The namespaces whose targets may use it.
    pub(super) admitted: NamespaceSet,
    /// Whether what rules of the cluster select may be written through it.
    pub(super) admits_cluster_rules: bool,
}

impl Judged {
    /// What is to be said about it.
    pub(super) fn verdict(&self) -> Verdict {
        if self.suspended {
            let message = "spec.suspend is true: nothing is written through the provider until it is false";
            return Err(Rejection { reason: SUSPENDED, message: message.to_owned() });
        }
        self.repository.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// The repository, if it can be used.
    pub(super) fn usable(&self) -> Option<&Repository> {
        self.repository.as_ref().ok().filter(|_| !self.suspended)
    }
}

/// Checks everything in `provider` that needs no other object but the `namespaces`.
pub(super) fn judge(provider: &GitProvider, policy: &Policy, namespaces: &Namespaces) -> Judged {
    let own = provider.namespace().unwrap_or_default();
    let access = &provider.spec.access_policy;
    let admitted = admitted(&access.namespaced_rules, &own, namespaces);
    Judged {
        repository: admitted.as_ref().map_err(Clone::clone).and_then(|_| repository(provider, policy)),
        suspended: provider.spec.suspend,
        // Who is let in cannot be told: nobody from elsewhere.
        admitted: admitted.unwrap_or_else(|_| NamespaceSet::one(&own)),
        admits_cluster_rules: access.allow_cluster_rules,
    }
}

fn admitted(rules: &NamespacedRules, own: &str, namespaces: &Namespaces) -> Result<NamespaceSet, Rejection> {
    let invalid = |message: String| Rejection {
        reason: INVALID_CONFIGURATION,
        message: format!("spec.accessPolicy.namespacedRules{message}"),
    };
    match (rules.mode.as_str(), &rules.namespace_selector) {
        ("SameNamespace", None) => Ok(NamespaceSet::one(own)),
        ("AllNamespaces", None) => Ok(NamespaceSet::ALL),
        ("SameNamespace" | "AllNamespaces", Some(_)) => Err(invalid(format!(
            ".namespaceSelector is read by mode FromSelector only: write that instead of {}, or leave the selector out",
            rules.mode
        ))),
        ("FromSelector", Some(selector)) => labels::namespaces(selector, namespaces)
            .map_err(|problem| invalid(format!(".namespaceSelector: {problem}"))),
        ("FromSelector", None) => Err(invalid(": mode FromSelector needs a namespaceSelector".to_owned())),
        (mode, _) => Err(invalid(format!(".mode {mode:?} is none of SameNamespace, AllNamespaces and FromSelector"))),
    }
}

fn repository(provider: &GitProvider, policy: &Policy) -> Result<Repository, Rejection> {
    let spec = &provider.spec;
    let invalid = |field: &str, problem: &dyn std::fmt::Display| Rejection {
        reason: INVALID_CONFIGURATION,
        message: format!("{field} is not usable: {problem}"),
    };
    let url = policy.hosts.parse(&spec.url).map_err(|error| invalid("spec.url", &error))?;
    if spec.allowed_branches.is_empty() || spec.allowed_branches.iter().any(String::is_empty) {
        return Err(invalid("spec.allowedBranches", &"name at least one branch or glob, and no empty one"));
    }
    let push_interval = duration::parse(&spec.push.interval).map_err(|error| invalid("spec.push.interval", &error))?;
    if push_interval.is_zero() || push_interval > LONGEST_INTERVAL {
        return Err(invalid("spec.push.interval", &"it must be longer than nothing and at most 24h"));
    }
    let push_max_commits = usize::try_from(spec.push.max_commits).ok().filter(|commits| *commits > 0);
    let push_max_commits = push_max_commits.ok_or_else(|| invalid("spec.push.maxCommits", &"it must be at least 1"))?;
    let poll_interval = duration::parse(&spec.poll_interval).map_err(|error| invalid("spec.pollInterval", &error))?;
    if !(SHORTEST_POLL..=LONGEST_INTERVAL).contains(&poll_interval) {
        return Err(invalid("spec.pollInterval", &"it must be from 10s to 24h"));
    }
    let committer = spec.commit.as_ref().and_then(|commit| commit.committer.as_ref());
    if committer.is_some_and(|committer| !is_ident(&committer.name) || !is_ident(&committer.email)) {
        let problem = "name and email must not be empty nor hold <, > or control characters";
        return Err(invalid("spec.commit.committer", &problem));
    }
    let signing = spec.commit.as_ref().and_then(|commit| commit.signing.as_ref());
    Ok(Repository {
        provider_uid: Arc::from(provider.metadata.uid.as_deref().unwrap_or_default()),
        url,
        secret: spec.secret_ref.as_ref().map(|secret| Arc::from(secret.name.as_str())),
        ambient: spec.secret_ref.is_none()
            && provider.namespace().is_some_and(|namespace| policy.ambient_namespaces.contains(&namespace)),
        allowed_branches: spec.allowed_branches.iter().map(|pattern| BranchPattern::new(pattern)).collect(),
        push_interval,
        push_max_commits,
        signing: signing.map(|signing| Arc::from(signing.secret_ref.name.as_str())),
        poll_interval,
        committer: committer.map(|committer| (committer.name.clone(), committer.email.clone())),
    })
}

/// Whether git takes `text` as a name or an e-mail address without changing it.
fn is_ident(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= 200 && !text.chars().any(|c| c.is_control() || c == '<' || c == '>')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{HostPattern, HostPolicy};
    use serde_json::{Value, json};

    /// A usable provider, with `change` put over its spec.
    fn mk_provider(namespace: &str, name: &str, change: Value) -> GitProvider {
        let mut spec = json!({"url": "https://git.example.com/r", "allowedBranches": ["main"]});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_provider_is_checked_without_the_schemas_help() {
        let table = [
            (json!({"url": "ftp://x/y"}), "spec.url"),
            (json!({"url": "ssh://git:secret@example.com/y"}), "password"),
            (json!({"url": "http://example.com/y"}), "--allow-insecure-transports"),
            (json!({"url": "https://a:b@example.com/y"}), "password"),
            (json!({"allowedBranches": []}), "spec.allowedBranches"),
            (json!({"allowedBranches": [""]}), "spec.allowedBranches"),
            (json!({"push": {"interval": "1d"}}), "spec.push.interval"),
            (json!({"push": {"interval": "0s"}}), "spec.push.interval"),
            (json!({"push": {"interval": "25h"}}), "spec.push.interval"),
            (json!({"push": {"maxCommits": 0}}), "spec.push.maxCommits"),
            (json!({"push": {"maxCommits": -3}}), "spec.push.maxCommits"),
            (json!({"pollInterval": "1d"}), "spec.pollInterval"),
            (json!({"pollInterval": "9s"}), "spec.pollInterval"),
            (json!({"pollInterval": "25h"}), "spec.pollInterval"),
            (json!({"commit": {"committer": {"name": "a\nb", "email": "a@b"}}}), "spec.commit.committer"),
            (json!({"commit": {"committer": {"name": "a", "email": " "}}}), "spec.commit.committer"),
            (json!({"commit": {"committer": {"name": "a <b>", "email": "a@b"}}}), "spec.commit.committer"),
        ];
        for (change, expected) in table {
            let rejection = repository(&mk_provider("ns", "a", change.clone()), &Policy::default()).unwrap_err();
            assert_eq!(rejection.reason, INVALID_CONFIGURATION, "{change}");
            assert!(rejection.message.contains(expected), "{change}: {}", rejection.message);
        }
    }

    #[test]
    fn defaults_and_settings_arrive() {
        let plain = repository(&mk_provider("ns", "a", json!({})), &Policy::default()).unwrap();
        assert_eq!((plain.push_interval, plain.push_max_commits), (Duration::from_secs(60), 20));
        assert_eq!(plain.poll_interval, Duration::from_secs(300));
        assert_eq!((&plain.secret, &plain.committer), (&None, &None));
        let hosts = HostPolicy { allow_insecure: true, allowed: Vec::new() };
        let insecure = Policy { hosts, ambient_namespaces: ["ns".to_owned()].into(), ..Policy::default() };
        let settings = json!({
            "url": "file:///tmp/r", "secretRef": {"name": "s"}, "push": {"interval": "500ms", "maxCommits": 3}, "pollInterval": "10s",
            "commit": {"committer": {"name": "A B", "email": "a@b"}, "signing": {"secretRef": {"name": "key"}}}
        });
        let set = repository(&mk_provider("ns", "a", settings), &insecure).unwrap();
        assert_eq!((set.push_interval, set.push_max_commits), (Duration::from_millis(500), 3));
        assert_eq!(set.poll_interval, Duration::from_secs(10));
        assert_eq!((set.secret.as_deref(), set.ambient), (Some("s"), false));
        let ambient = |namespace| repository(&mk_provider(namespace, "a", json!({})), &insecure).unwrap().ambient;
        assert!(ambient("ns") && !ambient("other"));
        assert_eq!(set.committer, Some(("A B".into(), "a@b".into())));
    }

    #[test]
    fn hosts_that_are_not_listed_are_refused() {
        let hosts = HostPolicy { allow_insecure: false, allowed: vec![HostPattern::new("*.example.org")] };
        let policy = Policy { hosts, ..Policy::default() };
        let judged = |url: &str| repository(&mk_provider("ns", "a", json!({"url": url})), &policy);
        assert!(judged("https://git.example.org/r").is_ok());
        let message = judged("https://git.example.com/r").unwrap_err().message;
        assert!(message.contains("git.example.com") && message.contains("--allowed-git-hosts"), "{message}");
    }
}
