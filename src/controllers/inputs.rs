//! Everything that the reconciler looks at, kept current by watches.

use super::flux::FluxWatch;
use super::namespaces::NamespaceLabels;
use super::outcome::{Kind, ObjectKey};
use super::secret::{SecretState, SecretWatches};
use super::status::{Observed, Reported};
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use crate::resource::{HostPolicy, NamespacedName};
use crate::rules::credentials::referred_secrets;
use crate::rules::flux;
use crate::rules::{Catalog, FluxRepositories, Namespaces};
use futures::FutureExt as _;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use kube::core::DeserializeGuard;
use kube::core::object::HasStatus;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The annotation by which a person asks for everything to be looked at anew; any other value than before does.
const REQUESTED_AT: &str = "reconcile.configbutler.ai/requestedAt";

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
    /// All namespaces.
    pub namespaces: Arc<Namespaces>,
    /// What targets refer to of Flux's.
    pub flux: FluxRepositories,
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
    namespaces: NamespaceLabels,
    flux: FluxWatch,
}

impl fmt::Debug for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("secrets", &self.secrets).finish_non_exhaustive()
    }
}

impl Inputs {
    /// Begins to watch the four kinds in all namespaces, and these. `hosts` says where the app of a Secret may get its tokens.
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
            namespaces: NamespaceLabels::watch(client.clone()),
            flux: FluxWatch::new(client.clone()),
        }
    }

    /// Whether every kind has been listed completely once.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.providers.wait_until_ready().now_or_never().is_some()
            && self.targets.wait_until_ready().now_or_never().is_some()
            && self.watch_rules.wait_until_ready().now_or_never().is_some()
            && self.cluster_watch_rules.wait_until_ready().now_or_never().is_some()
            && self.namespaces.known().is_some()
    }

    /// Returns once any input has changed. May be dropped and called again.
    pub async fn changed(&mut self) {
        tokio::select! {
            Some(()) = self.changes.next() => {}
            () = self.secrets.changed() => {}
            () = self.namespaces.changed() => {}
            () = self.flux.changed() => {}
        }
    }

    /// What is known now. Secrets that are referred to for the first time are pending, and watched from now on; so are
    /// the repositories of Flux, if the cluster serves them.
    pub fn snapshot(&mut self, served: &Catalog) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.providers = take(Kind::GitProvider, &self.providers, &mut snapshot);
        snapshot.targets = take(Kind::GitTarget, &self.targets, &mut snapshot);
        snapshot.watch_rules = take(Kind::WatchRule, &self.watch_rules, &mut snapshot);
        snapshot.cluster_watch_rules = take(Kind::ClusterWatchRule, &self.cluster_watch_rules, &mut snapshot);
        snapshot.namespaces = self.namespaces.known().cloned().unwrap_or_default();
        let is_of_flux = |target: &Arc<GitTarget>| flux::repository_of(target).is_some();
        let kind = flux::kind_in(served).filter(|_| snapshot.targets.iter().any(is_of_flux));
        self.flux.want(kind);
        snapshot.flux = self.flux.repositories();
        self.secrets.want(referred_secrets(&snapshot.providers, &snapshot.targets, &snapshot.flux));
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

fn take<K>(kind: Kind, store: &Guarded<K>, snapshot: &mut Snapshot) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + HasStatus<Status: Serialize> + Clone + 'static,
{
    let mut readable = Vec::new();
    for object in store.state() {
        let key = ObjectKey { kind, namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
        let status = object.0.as_ref().ok().and_then(HasStatus::status);
        let observed = Observed {
            generation: object.meta().generation.unwrap_or_default(),
            resource_version: object.resource_version().unwrap_or_default(),
            uid: object.uid().unwrap_or_default(),
            requested: object.annotations().get(REQUESTED_AT).cloned(),
            reported: status.map(Reported::of).unwrap_or_default(),
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
