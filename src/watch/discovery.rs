//! Keeps the [`Catalog`] of what the API server serves.
//!
//! An answer of the API server may be incomplete, and may leave out for a moment what it serves. So what appears
//! is taken at once, and what is missing is dropped only after [`GRACE`].

use crate::resource::ResourceType;
use crate::rules::Catalog;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::{Stream, StreamExt as _};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::core::discovery::v2::{
    APIGroupDiscovery, APIGroupDiscoveryList, APIResourceDiscovery, APISubresourceDiscovery,
};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a type must be missing from complete answers before it counts as gone.
pub const GRACE: Duration = Duration::from_secs(60);
/// How long the API server may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// After a definition has changed, the API server takes a moment to serve accordingly: looks after such waits.
const AFTER_CHANGE: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(4)];

/// What is written to a subresource and changes the object above it, besides objects of the type itself: replicas, the
/// eviction of a Pod, and the node that it is bound to.
const CHANGE_THEIR_PARENT: [&str; 3] = ["Scale", "Eviction", "Binding"];

/// Why the API server could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The request failed.
    #[error("asking the API server for its resources failed: {0}")]
    Request(#[from] kube::Error),
    /// No answer in time.
    #[error("the API server did not say in {} s which resources it serves", DEADLINE.as_secs())]
    Deadline,
    /// The server is too old, or not ready.
    #[error("the API server named no resources; aggregated discovery (Kubernetes 1.30) is needed")]
    Empty,
}

/// Publishes the catalog on `out` and keeps it current: every `refresh`, and when a
/// CustomResourceDefinition changes. Ends when nobody listens to `out` any more.
pub async fn run(client: Client, refresh: Duration, out: watch::Sender<Option<Arc<Catalog>>>) {
    let mut definitions = std::pin::pin!(definition_changes(client.clone()));
    let mut known = KnownTypes::default();
    let mut retry = backoff();
    let mut looks: Vec<Instant> = Vec::new();
    loop {
        let next = match ask(&client).await {
            Ok(answer) => {
                retry = backoff();
                publish(&out, known.observe(answer, Instant::now()));
                refresh
            }
            Err(error) => {
                tracing::warn!(%error, "Discovery failed");
                retry.next().unwrap_or(refresh)
            }
        };
        let now = Instant::now();
        looks.retain(|look| *look > now);
        let wake = [Some(now + next), known.due().filter(|due| *due > now), looks.iter().min().copied()];
        let wake = wake.into_iter().flatten().min().unwrap_or(now + next);
        tokio::select! {
            () = tokio::time::sleep_until(wake) => {}
            Some(()) = definitions.next() => {
                looks = AFTER_CHANGE[1..].iter().map(|wait| Instant::now() + *wait).collect();
                tokio::time::sleep(AFTER_CHANGE[0]).await;
            }
            () = out.closed() => return,
        }
    }
}

fn publish(out: &watch::Sender<Option<Arc<Catalog>>>, catalog: Catalog) {
    out.send_if_modified(|current| {
        let changed = current.as_deref() != Some(&catalog);
        if changed {
            tracing::info!(resources = catalog.resources().count(), "Discovered what the API server serves");
            *current = Some(Arc::new(catalog));
        }
        changed
    });
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(60))
        .without_max_times()
        .with_jitter()
        .build()
}

/// One item for each change of a definition, several at once counting as one.
fn definition_changes(client: Client) -> impl Stream<Item = ()> {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client);
    let events = watcher(api, watcher::Config::default()).default_backoff().filter_map(|event| async move {
        match event {
            Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => Some(()),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            Err(error) => {
                tracing::warn!(%error, "Watching CustomResourceDefinitions failed");
                None
            }
        }
    });
    events.ready_chunks(1_000).map(|_| ())
}

/// Asks once what the API server serves.
///
/// # Errors
/// When it cannot be asked.
pub async fn discover(client: &Client) -> Result<Catalog, DiscoveryError> {
    Ok(KnownTypes::default().observe(ask(client).await?, Instant::now()))
}

async fn ask(client: &Client) -> Result<Answer, DiscoveryError> {
    let both =
        async { tokio::try_join!(client.list_core_api_versions_aggregated(), client.list_api_groups_aggregated()) };
    let (core, groups) = tokio::time::timeout(DEADLINE, both).await.map_err(|_| DiscoveryError::Deadline)??;
    // A server without aggregated discovery answers with another kind, which reads as a list without items.
    if core.items.is_empty() || groups.items.is_empty() {
        return Err(DiscoveryError::Empty);
    }
    Ok(Answer::from_lists(core, groups))
}

/// What the API server says that it serves.
#[derive(Clone, Debug, Default)]
struct Answer {
    /// The types that can be listed and watched, the versions of a resource in order of preference; with the
    /// subresources through which their objects can be changed.
    types: Vec<(ResourceType, Vec<String>)>,
    /// Whether every group answered.
    complete: bool,
}

impl Answer {
    fn from_lists(core: APIGroupDiscoveryList, groups: APIGroupDiscoveryList) -> Self {
        let mut answer = Self { types: Vec::new(), complete: true };
        for group in core.items.into_iter().chain(groups.items) {
            answer.add(group);
        }
        answer
    }

    fn add(&mut self, group: APIGroupDiscovery) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        for version in group.versions {
            let Some(number) = version.version else { continue };
            // "Stale": the server behind this group did not answer; what is listed may be old or missing.
            self.complete &= version.freshness.as_deref() != Some("Stale");
            self.types.extend(version.resources.into_iter().filter_map(|resource| watchable(resource, &name, &number)));
        }
    }
}

fn watchable(resource: APIResourceDiscovery, group: &str, version: &str) -> Option<(ResourceType, Vec<String>)> {
    if !["list", "watch"].iter().all(|verb| resource.verbs.iter().any(|served| served == verb)) {
        return None;
    }
    let kind = ResourceType {
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.resource?,
        kind: resource.response_kind.and_then(|kind| kind.kind)?,
        namespaced: resource.scope.as_deref() == Some("Namespaced"),
    };
    let changes_it = |subresource: &APISubresourceDiscovery| {
        let writes = subresource.verbs.iter().any(|verb| ["create", "update", "patch"].contains(&verb.as_str()));
        let served = subresource.response_kind.as_ref().and_then(|kind| kind.kind.as_deref());
        writes && served.is_some_and(|served| served == kind.kind || CHANGE_THEIR_PARENT.contains(&served))
    };
    let doors = resource.subresources.iter().filter(|subresource| changes_it(subresource));
    let mut names: Vec<String> = doors.filter_map(|subresource| subresource.subresource.clone()).collect();
    names.sort();
    Some((kind, names))
}

/// The types that count as served.
#[derive(Debug, Default)]
struct KnownTypes {
    /// By (group, resource); the versions in order of preference.
    resources: BTreeMap<(String, String), Vec<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    kind: ResourceType,
    subresources: Vec<String>,
    /// When the first complete answer came that lacked it.
    missing_since: Option<Instant>,
}

impl KnownTypes {
    /// Takes `answer` in, and tells what counts as served at `now`.
    fn observe(&mut self, answer: Answer, now: Instant) -> Catalog {
        let mut before = std::mem::take(&mut self.resources);
        for (kind, subresources) in answer.types {
            let versions = self.resources.entry((kind.group.clone(), kind.resource.clone())).or_default();
            versions.push(Known { kind, subresources, missing_since: None });
        }
        // Resources that are missing altogether must be looked at as well.
        for key in before.keys() {
            self.resources.entry(key.clone()).or_default();
        }
        for (key, versions) in &mut self.resources {
            for (place, old) in before.remove(key).unwrap_or_default().into_iter().enumerate() {
                if versions.iter().any(|new| new.kind.version == old.kind.version) {
                    continue;
                }
                let missing_since = old.missing_since.or_else(|| answer.complete.then_some(now));
                let gone = answer.complete && missing_since.is_some_and(|since| now.duration_since(since) >= GRACE);
                if !gone {
                    // In its old place, or the preferred version would change for a moment.
                    versions.insert(place.min(versions.len()), Known { missing_since, ..old });
                }
            }
        }
        self.resources.retain(|_, versions| !versions.is_empty());
        let known = || self.resources.values().flatten();
        Catalog::new(known().map(|known| known.kind.clone()))
            .with_subresources(known().map(|known| (known.kind.clone(), known.subresources.clone())))
    }

    /// When the next missing type may be dropped.
    fn due(&self) -> Option<Instant> {
        self.resources.values().flatten().filter_map(|known| known.missing_since).min().map(|since| since + GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mk_answer(types: &[(&str, &str)], complete: bool) -> Answer {
        let types = types.iter().map(|(version, resource)| {
            let kind = ResourceType {
                group: "example.com".into(),
                version: (*version).into(),
                resource: (*resource).into(),
                kind: "Any".into(),
                namespaced: true,
            };
            (kind, vec!["status".to_owned()])
        });
        Answer { types: types.collect(), complete }
    }

    fn names(catalog: &Catalog) -> Vec<String> {
        catalog.resources().flatten().map(|kind| format!("{}/{}", kind.version, kind.resource)).collect()
    }

    #[test]
    fn what_is_missing_goes_after_a_minute_of_complete_answers() {
        let (all, less) = (&[("v1", "a"), ("v1", "b")], &[("v1", "a")]);
        let steps: &[(u64, bool, &[(&str, &str)], &[&str])] = &[
            (0, true, all, &["v1/a", "v1/b"]),
            (100, false, less, &["v1/a", "v1/b"]),
            (200, true, less, &["v1/a", "v1/b"]),
            (259, true, less, &["v1/a", "v1/b"]),
            (260, false, less, &["v1/a", "v1/b"]),
            (261, true, less, &["v1/a"]),
            (262, true, all, &["v1/a", "v1/b"]),
            (300, true, less, &["v1/a", "v1/b"]),
            (310, true, all, &["v1/a", "v1/b"]),
            (365, true, less, &["v1/a", "v1/b"]),
            (424, true, less, &["v1/a", "v1/b"]),
            (425, true, less, &["v1/a"]),
        ];
        let start = Instant::now();
        let mut known = KnownTypes::default();
        for (seconds, complete, types, expected) in steps {
            let catalog = known.observe(mk_answer(types, *complete), start + Duration::from_secs(*seconds));
            assert_eq!(names(&catalog), *expected, "at {seconds}");
        }
        assert_eq!(known.due(), None);
    }

    #[test]
    fn a_version_that_is_missing_for_a_moment_stays_preferred() {
        let start = Instant::now();
        let mut known = KnownTypes::default();
        known.observe(mk_answer(&[("v3", "a"), ("v2", "a"), ("v1", "a")], true), start);
        let catalog = known.observe(mk_answer(&[("v2", "a"), ("v1", "a")], true), start);
        assert_eq!(names(&catalog), ["v3/a", "v2/a", "v1/a"]);
        assert_eq!(known.due(), Some(start + GRACE));
        let catalog = known.observe(mk_answer(&[("v1", "a"), ("v3", "a")], true), start);
        assert_eq!(names(&catalog), ["v1/a", "v2/a", "v3/a"]);
    }

    #[test]
    fn only_what_can_be_listed_and_watched_is_taken() {
        let list = |freshness: &str| {
            serde_json::from_value(json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "freshness": freshness, "resources": [
                {"resource": "deployments", "responseKind": {"kind": "Deployment"}, "scope": "Namespaced", "verbs": ["list", "watch"],
                 "subresources": [
                    {"subresource": "status", "responseKind": {"kind": "Deployment"}, "verbs": ["get", "patch"]},
                    {"subresource": "scale", "responseKind": {"kind": "Scale"}, "verbs": ["get", "update"]},
                    {"subresource": "log", "responseKind": {"kind": "Deployment"}, "verbs": ["get"]},
                    {"subresource": "token", "responseKind": {"kind": "TokenRequest"}, "verbs": ["create"]}]},
                {"resource": "bindings", "responseKind": {"kind": "Binding"}, "scope": "Namespaced", "verbs": ["create"]},
                {"resource": "metrics", "responseKind": {"kind": "Metric"}, "scope": "Cluster", "verbs": ["list"]}
            ]}]}]}))
            .unwrap()
        };
        let answer = Answer::from_lists(APIGroupDiscoveryList::default(), list("Current"));
        assert!(answer.complete);
        let [(kind, subresources)] = answer.types.as_slice() else { panic!("{answer:?}") };
        assert_eq!(kind.to_string(), "apps/v1/deployments");
        assert!(kind.namespaced);
        assert_eq!(subresources, &["scale", "status"], "what changes a Deployment");
        let kind = kind.clone();
        assert_eq!(
            KnownTypes::default().observe(answer.clone(), Instant::now()).subresources(&kind),
            ["scale", "status"]
        );
        assert!(!Answer::from_lists(APIGroupDiscoveryList::default(), list("Stale")).complete);
    }
}
