//! `GitRepository` of Flux (`source.toolkit.fluxcd.io`) as a provider.

use super::catalog::Catalog;
use super::compile::{INVALID_CONFIGURATION, Rejection};
use super::policy::Policy;
use super::provider::{Judged, Repository};
use crate::api::git_provider::Push;
use crate::api::{GitTarget, duration};
use crate::resource::{BranchPattern, NamespaceSet, NamespacedName, ResourceType};
use kube::ResourceExt as _;
use kube::core::DynamicObject;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How long the remote may go without being looked at: the default of our own providers.
const POLL_INTERVAL: Duration = Duration::from_secs(300);

/// The API group of [`FluxRepository`].
pub const FLUX_GROUP: &str = "source.toolkit.fluxcd.io";

/// The type of [`FluxRepository`] in its preferred version; `None` while it is not served.
#[must_use]
pub fn kind_in(served: &Catalog) -> Option<&Arc<ResourceType>> {
    served.versions("gitrepositories", FLUX_GROUP).first()
}

/// The repository of Flux that `target` names, if it names one.
#[must_use]
pub fn repository_of(target: &GitTarget) -> Option<NamespacedName> {
    let reference = &target.spec.provider_ref;
    let is_of_flux = reference.kind == "GitRepository" && reference.group == FLUX_GROUP;
    is_of_flux.then(|| NamespacedName::new(&target.namespace().unwrap_or_default(), &reference.name))
}

/// What is known of the Flux repositories of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FluxRepositories {
    /// The cluster does not know the kind.
    #[default]
    CrdAbsent,
    /// They are being read for the first time.
    Pending,
    /// They cannot be read: why, and what to do.
    Unreadable(String),
    /// All of them.
    Listed(Vec<Arc<FluxRepository>>),
}

/// A `GitRepository`, of which only what matters here was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluxRepository {
    /// Its namespace and name.
    pub name: NamespacedName,
    /// Its uid.
    pub uid: Arc<str>,
    /// What it says; or the field that does not say it, and what is wrong with that.
    pub spec: Result<FluxSpec, String>,
}

/// What a `GitRepository` says, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FluxSpec {
    /// `spec.url`.
    pub url: String,
    /// `spec.secretRef.name`.
    pub secret: Option<String>,
    /// `spec.provider`; empty where it is absent.
    pub provider: String,
    /// Whether there is a `spec.proxySecretRef`.
    pub has_proxy: bool,
    /// `spec.suspend`.
    pub suspend: bool,
}

impl FluxRepository {
    /// Reads an object of the API server.
    #[must_use]
    pub fn of(object: &DynamicObject) -> Self {
        let spec = object.data.get("spec").unwrap_or(&Value::Null);
        Self::read(NamespacedName::of(object), &object.uid().unwrap_or_default(), spec)
    }

    /// Reads the `spec` of the object `name`. Whatever it holds besides is passed over: the definition is not ours.
    #[must_use]
    pub fn read(name: NamespacedName, uid: &str, spec: &Value) -> Self {
        Self { name, uid: Arc::from(uid), spec: read(spec) }
    }
}

/// Checks `repository`, which is used as a provider with the defaults of ours.
pub(super) fn judge(repository: &FluxRepository, policy: &Policy) -> Judged {
    let spec = repository.spec.clone();
    Judged {
        suspended: spec.as_ref().is_ok_and(|spec| spec.suspend),
        admitted: NamespaceSet::one(&repository.name.namespace),
        // Flux knows no such setting: the target decides alone.
        admits_cluster_rules: true,
        repository: spec
            .and_then(|spec| check(&spec, &repository.uid, policy))
            .map_err(|message| Rejection { reason: INVALID_CONFIGURATION, message }),
    }
}

fn check(spec: &FluxSpec, uid: &Arc<str>, policy: &Policy) -> Result<Repository, String> {
    match (spec.provider.as_str(), &spec.secret) {
        ("" | "generic", _) | ("github", Some(_)) => {}
        ("github", None) => {
            return Err("spec.provider github needs a spec.secretRef with the keys of a GitHub App".to_owned());
        }
        (provider, _) => {
            return Err(format!(
                "spec.provider {provider} is not supported, since it signs in as a workload of a cloud: make a GitProvider \
                 with a Secret for this target"
            ));
        }
    }
    if spec.has_proxy {
        let message = "spec.proxySecretRef is not supported: make a GitProvider for this target, and give the operator its \
                       proxy by environment";
        return Err(message.to_owned());
    }
    let url = policy.hosts.parse(&spec.url).map_err(|error| format!("spec.url is not usable: {error}"))?;
    let defaults = Push::default();
    Ok(Repository {
        provider_uid: Arc::clone(uid),
        url,
        secret: spec.secret.as_deref().map(Arc::from),
        // What Flux reads without a Secret it reads from a public repository.
        ambient: false,
        allowed_branches: vec![BranchPattern::new("*")],
        push_interval: duration::parse(&defaults.interval).map_err(|error| error.to_string())?,
        push_max_commits: usize::try_from(defaults.max_commits).unwrap_or(1),
        signing: None,
        poll_interval: POLL_INTERVAL,
        committer: None,
    })
}

fn read(spec: &Value) -> Result<FluxSpec, String> {
    let text = |at: &str| match spec.pointer(at) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("spec{} is no text", at.replace('/', "."))),
    };
    let suspend = match spec.get("suspend") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(suspend)) => *suspend,
        Some(_) => return Err("spec.suspend is neither true nor false".to_owned()),
    };
    Ok(FluxSpec {
        url: text("/url")?.filter(|url| !url.is_empty()).ok_or("spec.url is missing")?,
        secret: text("/secretRef/name")?,
        provider: text("/provider")?.unwrap_or_default(),
        has_proxy: spec.get("proxySecretRef").is_some_and(|reference| !reference.is_null()),
        suspend,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(spec: &Value) -> Judged {
        let repository = FluxRepository::read(NamespacedName::new("ns", "flux"), "uid", spec);
        judge(&repository, &Policy { ambient_namespaces: ["ns".to_owned()].into(), ..Policy::default() })
    }

    #[test]
    fn what_flux_needs_to_read_is_enough_to_write() {
        let spec = json!({
            "url": "https://git.example.com/r", "secretRef": {"name": "login"}, "interval": "1m", "provider": "generic",
            "ref": {"branch": "dev"}, "timeout": "60s", "whatever": {"comes": ["later"]}
        });
        let repository = judged(&spec).repository.unwrap();
        assert_eq!(
            (repository.url.as_str(), repository.secret.as_deref()),
            ("https://git.example.com/r", Some("login"))
        );
        assert_eq!((repository.push_interval, repository.push_max_commits), (Duration::from_secs(60), 20));
        assert_eq!((repository.poll_interval, &*repository.provider_uid), (Duration::from_secs(300), "uid"));
        assert!(!judged(&json!({"url": "https://git.example.com/r"})).repository.unwrap().ambient);
        let of_app = json!({"url": "https://git.example.com/r", "provider": "github", "secretRef": {"name": "app"}});
        assert!(judged(&of_app).repository.is_ok());
        assert!(judged(&json!({"url": "https://git.example.com/r", "suspend": true})).usable().is_none());
    }

    #[test]
    fn what_does_not_suffice_is_said() {
        let table = [
            (json!({}), "spec.url is missing"),
            (json!(null), "spec.url is missing"),
            (json!("text"), "spec.url is missing"),
            (json!({"url": ""}), "spec.url is missing"),
            (json!({"url": 7}), "spec.url is no text"),
            (json!({"url": "http://git.example.com/r"}), "--allow-insecure-transports"),
            (json!({"url": "https://127.0.0.1/r"}), "spec.url is not usable"),
            (
                json!({"url": "https://git.example.com/r", "secretRef": {"name": ["x"]}}),
                "spec.secretRef.name is no text",
            ),
            (json!({"url": "https://git.example.com/r", "suspend": "yes"}), "spec.suspend is neither"),
            (json!({"url": "https://git.example.com/r", "provider": "azure"}), "provider azure is not supported"),
            (
                json!({"url": "https://git.example.com/r", "provider": "aws", "secretRef": {"name": "s"}}),
                "aws is not supported",
            ),
            (json!({"url": "https://git.example.com/r", "provider": "gcp"}), "make a GitProvider"),
            (json!({"url": "https://git.example.com/r", "provider": "github"}), "needs a spec.secretRef"),
            (json!({"url": "https://git.example.com/r", "proxySecretRef": {"name": "p"}}), "spec.proxySecretRef"),
        ];
        for (spec, expected) in table {
            let rejection = judged(&spec).repository.unwrap_err();
            assert_eq!(rejection.reason, INVALID_CONFIGURATION);
            assert!(rejection.message.contains(expected), "{spec}: {}", rejection.message);
        }
    }
}
