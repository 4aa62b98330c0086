//! The GitRepositories of Flux, watched while the cluster serves them and a target refers to one.

use super::listed::Listed;
use crate::resource::{NamespacedName, ResourceType};
use crate::rules::{FluxRepositories, FluxRepository};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::fmt;
use std::sync::Arc;

/// Watches the GitRepositories of all namespaces.
pub struct FluxWatch {
    client: Client,
    watched: Option<Watched>,
}

struct Watched {
    kind: Arc<ResourceType>,
    listed: Listed<NamespacedName, Arc<FluxRepository>>,
    /// Why there is no list yet.
    problem: Option<String>,
    events: BoxStream<'static, watcher::Result<watcher::Event<DynamicObject>>>,
}

impl fmt::Debug for FluxWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.watched.as_ref().map(|watched| &watched.kind);
        f.debug_struct("FluxWatch").field("watched", &kind).finish_non_exhaustive()
    }
}

impl FluxWatch {
    /// Watches nothing yet.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client, watched: None }
    }

    /// Watches them as `kind`, the version of it that the API server prefers; `None`: not at all. What is known in one
    /// version counts until they are listed in the next.
    pub fn want(&mut self, kind: Option<&Arc<ResourceType>>) {
        if self.watched.as_ref().map(|watched| &watched.kind) == kind {
            return;
        }
        let before = self.watched.take();
        self.watched = kind.map(|kind| {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind.api_resource());
            let events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            let listed = before.map_or_else(Listed::new, |before| before.listed);
            Watched { kind: Arc::clone(kind), listed, problem: None, events }
        });
    }

    /// What is known now.
    #[must_use]
    pub fn repositories(&self) -> FluxRepositories {
        let Some(watched) = &self.watched else { return FluxRepositories::CrdAbsent };
        match (watched.listed.known(), &watched.problem) {
            (Some(known), _) => FluxRepositories::Listed(known.values().cloned().collect()),
            (None, Some(problem)) => FluxRepositories::Unreadable(problem.clone()),
            (None, None) => FluxRepositories::Pending,
        }
    }

    /// Returns once they have changed. May be dropped and called again.
    pub async fn changed(&mut self) {
        let Some(watched) = &mut self.watched else { return std::future::pending().await };
        while let Some(event) = watched.events.next().await {
            if watched.take(event) {
                return;
            }
        }
        std::future::pending().await
    }
}

impl Watched {
    /// Takes `event` in, and tells whether it changes anything.
    fn take(&mut self, event: watcher::Result<watcher::Event<DynamicObject>>) -> bool {
        let error = match event {
            Ok(event) => return self.listed.take(event, |object| read(&object)),
            Err(error) => error,
        };
        tracing::warn!(%error, "Watching GitRepositories failed");
        let problem = Some(error.to_string());
        // What was read stays good while the API server cannot be asked.
        let has_changed = self.listed.known().is_none() && problem != self.problem;
        self.problem = problem;
        has_changed
    }
}

fn read(object: &DynamicObject) -> (NamespacedName, Arc<FluxRepository>) {
    let repository = FluxRepository::of(object);
    (repository.name.clone(), Arc::new(repository))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mk(name: &str, url: &str, artifact: &str) -> DynamicObject {
        let object = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"namespace": "ns", "name": name, "uid": name},
            "spec": {"url": url}, "status": {"artifact": artifact}
        });
        serde_json::from_value(object).unwrap()
    }

    fn mk_kind(version: &str) -> Arc<ResourceType> {
        let (group, version) = ("source.toolkit.fluxcd.io".to_owned(), version.to_owned());
        let (resource, kind) = ("gitrepositories".to_owned(), "GitRepository".to_owned());
        Arc::new(ResourceType { group, version, resource, kind, namespaced: true })
    }

    /// One that watches them as `v1`. Nothing is asked of anybody before it is polled.
    fn mk_watch() -> FluxWatch {
        let client = Client::try_from(kube::Config::new("http://localhost".parse().unwrap())).unwrap();
        let mut watch = FluxWatch::new(client);
        watch.want(Some(&mk_kind("v1")));
        watch
    }

    fn take(watch: &mut FluxWatch, event: watcher::Result<watcher::Event<DynamicObject>>) -> bool {
        watch.watched.as_mut().unwrap().take(event)
    }

    fn failure() -> watcher::Error {
        watcher::Error::NoResourceVersion
    }

    #[tokio::test]
    async fn only_what_a_spec_says_is_news() {
        use watcher::Event;
        let mut watch = mk_watch();
        let steps = [
            (Err(failure()), true),
            (Err(failure()), false),
            (Ok(Event::Init), false),
            (Ok(Event::InitApply(mk("a", "https://h/a", "1"))), false),
            (Ok(Event::InitDone), true),
            (Ok(Event::Apply(mk("a", "https://h/a", "2"))), false),
            (Ok(Event::Apply(mk("a", "https://h/b", "2"))), true),
            (Err(failure()), false),
            (Ok(Event::Delete(mk("a", "https://h/b", "2"))), true),
        ];
        for (number, (event, expected)) in steps.into_iter().enumerate() {
            assert_eq!(take(&mut watch, event), expected, "step {number}");
        }
        assert_eq!(watch.repositories(), FluxRepositories::Listed(Vec::new()));
    }

    #[tokio::test]
    async fn what_is_known_stays_until_more_is_known() {
        use watcher::Event;
        let mut watch = mk_watch();
        assert_eq!(watch.repositories(), FluxRepositories::Pending);
        take(&mut watch, Err(failure()));
        assert_eq!(watch.repositories(), FluxRepositories::Unreadable(failure().to_string()));
        for event in [Event::Init, Event::InitApply(mk("a", "https://h/a", "1")), Event::InitDone] {
            take(&mut watch, Ok(event));
        }
        let listed = FluxRepositories::Listed(vec![read(&mk("a", "https://h/a", "1")).1]);
        assert_eq!(watch.repositories(), listed);
        watch.want(Some(&mk_kind("v2")));
        take(&mut watch, Err(failure()));
        take(&mut watch, Ok(Event::Init));
        assert_eq!(watch.repositories(), listed, "which are being listed in another version");
        take(&mut watch, Ok(Event::InitDone));
        assert_eq!(watch.repositories(), FluxRepositories::Listed(Vec::new()));
        watch.want(None);
        assert_eq!(watch.repositories(), FluxRepositories::CrdAbsent);
    }
}
