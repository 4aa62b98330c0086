//! Everything that the reconciler looks at, kept current by watches.

use super::outcome::{Kind, ObjectKey};
use super::secret::{SecretState, SecretWatches};
use super::status::{Observed, Reported};
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, ProviderStatus, RuleStatus, TargetStatus, WatchRule};
use crate::resource::{HostPolicy, NamespacedName};
use futures::FutureExt as _;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One look at all custom resources and the Secrets that they refer to.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All readable providers.
    pub providers: Vec<Arc<GitProvider>>,
    /// All readable targets.
    pub targets: Vec<Arc<GitTarget>>,
    /// All readable rules of namespaces.
    pub watch_rules: Vec<Arc<WatchRule>>,
    /// All readable rules of the cluster.
    pub cluster_watch_rules: Vec<Arc<ClusterWatchRule>>,
    /// The resources that do not parse, each with what is wrong.
    pub unreadable: BTreeMap<ObjectKey, String>,
    /// What each resource reports at the moment.
    pub observed: BTreeMap<ObjectKey, Observed>,
    /// By name of the Secret.
    pub secrets: BTreeMap<NamespacedName, SecretState>,
}

type Guarded<K> = Store<DeserializeGuard<K>>;

/// The watches of all inputs. They make progress only while [`Inputs::changed`] is awaited.
pub struct Inputs {
    providers: Guarded<GitProvider>,
    targets: Guarded<GitTarget>,
    watch_rules: Guarded<WatchRule>,
    cluster_watch_rules: Guarded<ClusterWatchRule>,
    changes: SelectAll<BoxStream<'static, ()>>,
    secrets: SecretWatches,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Begins to watch the four kinds in all namespaces. `hosts` says where the app of a Secret may get its tokens.
    #[must_use]
    pub fn watch(client: &Client, hosts: HostPolicy) -> Self {
        let mut changes = SelectAll::new();
        Self {
            providers: watch_kind(client, &mut changes),
            targets: watch_kind(client, &mut changes),
            watch_rules: watch_kind(client, &mut changes),
            cluster_watch_rules: watch_kind(client, &mut changes),
            changes,
            secrets: SecretWatches::new(client.clone(), hosts),
        }
    }

    /// Whether every kind has been listed completely once.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.providers.wait_until_ready().now_or_never().is_some()
            && self.targets.wait_until_ready().now_or_never().is_some()
            && self.watch_rules.wait_until_ready().now_or_never().is_some()
            && self.cluster_watch_rules.wait_until_ready().now_or_never().is_some()
    }

    /// Returns once any input has changed. May be dropped and called again.
    pub async fn changed(&mut self) {
        tokio::select! {
            Some(()) = self.changes.next() => {}
            () = self.secrets.changed() => {}
        }
    }

    /// What is known now. Secrets that are referred to for the first time are pending, and watched from now on.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.providers = take(Kind::GitProvider, &self.providers, provider_status, &mut snapshot);
        snapshot.targets = take(Kind::GitTarget, &self.targets, target_status, &mut snapshot);
        snapshot.watch_rules = take(Kind::WatchRule, &self.watch_rules, watch_rule_status, &mut snapshot);
        snapshot.cluster_watch_rules =
            take(Kind::ClusterWatchRule, &self.cluster_watch_rules, cluster_watch_rule_status, &mut snapshot);
        let referred = snapshot.providers.iter().flat_map(|provider| {
            let namespace = provider.namespace().unwrap_or_default();
            provider.spec.secrets().map(move |secret| NamespacedName::new(&namespace, secret))
        });
        self.secrets.want(referred.collect());
        snapshot.secrets = self.secrets.states().clone();
        snapshot
    }
}

fn watch_kind<K>(client: &Client, changes: &mut SelectAll<BoxStream<'static, ()>>) -> Guarded<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    // One resource that does not parse must not hide all others.
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let events = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
    let wakes = events.filter_map(|event| async move {
        match event {
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => Some(()),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            Err(error) => {
                // An expired version only means to list again; the watcher does that.
                if !matches!(&error, watcher::Error::WatchError(status) if status.code == 410) {
                    tracing::warn!(kind = %K::kind(&()), %error, "Watching a custom resource failed; is its definition installed?");
                }
                None
            }
        }
    });
    changes.push(wakes.boxed());
    store
}

fn take<K>(kind: Kind, store: &Guarded<K>, status: fn(&K) -> Option<Reported>, snapshot: &mut Snapshot) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let mut readable = Vec::new();
    for object in store.state() {
        let key = ObjectKey { kind, namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
        let reported = object.0.as_ref().ok().and_then(status);
        let observed = Observed {
            generation: object.meta().generation.unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            reported: reported.unwrap_or_default(),
        };
        snapshot.observed.insert(key.clone(), observed);
        match &object.0 {
            Ok(object) => readable.push(Arc::new(object.clone())),
            Err(invalid) => {
                snapshot.unreadable.insert(key, invalid.error.clone());
            }
        }
    }
    readable
}

fn provider_status(object: &GitProvider) -> Option<Reported> {
    object.status.clone().map(Reported::from)
}

fn target_status(object: &GitTarget) -> Option<Reported> {
    object.status.clone().map(Reported::from)
}

fn watch_rule_status(object: &WatchRule) -> Option<Reported> {
    object.status.clone().map(Reported::from)
}

fn cluster_watch_rule_status(object: &ClusterWatchRule) -> Option<Reported> {
    object.status.clone().map(Reported::from)
}

impl From<ProviderStatus> for Reported {
    fn from(status: ProviderStatus) -> Self {
        Self { observed_generation: status.observed_generation, conditions: status.conditions, ..Self::default() }
    }
}

impl From<RuleStatus> for Reported {
    fn from(status: RuleStatus) -> Self {
        Self { observed_generation: status.observed_generation, conditions: status.conditions, ..Self::default() }
    }
}

impl From<TargetStatus> for Reported {
    fn from(status: TargetStatus) -> Self {
        let last_commit = status.git_status.and_then(|git| git.last_commit_sha);
        let TargetStatus { observed_generation, conditions, attribution, .. } = status;
        Self { observed_generation, conditions, last_commit, attribution }
    }
}
