//! The GitRepositories of Flux, watched while the cluster serves them and a target refers to one.

use crate::resource::{NamespacedName, ResourceType};
use crate::rules::{FluxRepositories, FluxRepository};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use kube::api::DynamicObject;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

type Known = BTreeMap<NamespacedName, Arc<FluxRepository>>;

/// Watches the GitRepositories of all namespaces.
pub struct FluxWatch {
    client: Client,
    watched: Option<Watched>,
}

struct Watched {
    kind: Arc<ResourceType>,
    known: Result<Known, String>,
    listing: Known,
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

    /// Watches them as `kind`, the version of it that the API server prefers; `None`: not at all.
    pub fn want(&mut self, kind: Option<&Arc<ResourceType>>) {
        if self.watched.as_ref().map(|watched| &watched.kind) == kind {
            return;
        }
        self.watched = kind.map(|kind| {
            let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind.api_resource());
            let events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            let known = Err("they are being listed".to_owned());
            Watched { kind: Arc::clone(kind), known, listing: Known::new(), events }
        });
    }

    /// What is known now.
    #[must_use]
    pub fn repositories(&self) -> FluxRepositories {
        match self.watched.as_ref().map(|watched| &watched.known) {
            None => FluxRepositories::CrdAbsent,
            Some(Ok(known)) => FluxRepositories::Listed(known.values().cloned().collect()),
            Some(Err(problem)) => FluxRepositories::Unreadable(problem.clone()),
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
        match event {
            Ok(watcher::Event::Init) => {
                self.listing.clear();
                false
            }
            Ok(watcher::Event::InitApply(object)) => {
                let (name, repository) = read(&object);
                self.listing.insert(name, repository);
                false
            }
            Ok(watcher::Event::InitDone) => {
                let listed = Ok(std::mem::take(&mut self.listing));
                let has_changed = listed != self.known;
                self.known = listed;
                has_changed
            }
            Ok(watcher::Event::Apply(object)) => {
                let (name, repository) = read(&object);
                let Ok(known) = &mut self.known else { return false };
                known.get(&name) != Some(&repository) && {
                    known.insert(name, repository);
                    true
                }
            }
            Ok(watcher::Event::Delete(object)) => {
                let (name, _) = read(&object);
                self.known.as_mut().is_ok_and(|known| known.remove(&name).is_some())
            }
            Err(error) => {
                tracing::warn!(%error, "Watching GitRepositories failed");
                // What was read stays good while the API server cannot be asked.
                let Err(known) = &mut self.known else { return false };
                let problem = error.to_string();
                let has_changed = *known != problem;
                *known = problem;
                has_changed
            }
        }
    }
}

fn read(object: &DynamicObject) -> (NamespacedName, Arc<FluxRepository>) {
    let repository = FluxRepository::of(object);
    (repository.name.clone(), Arc::new(repository))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::json;

    fn mk(name: &str, url: &str, artifact: &str) -> DynamicObject {
        let object = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"namespace": "ns", "name": name, "uid": name},
            "spec": {"url": url}, "status": {"artifact": artifact}
        });
        serde_json::from_value(object).unwrap()
    }

    fn mk_watched() -> Watched {
        let text = str::to_owned;
        let (group, version) = (text("source.toolkit.fluxcd.io"), text("v1"));
        let (resource, kind) = (text("gitrepositories"), text("GitRepository"));
        let kind = Arc::new(ResourceType { group, version, resource, kind, namespaced: true });
        let events = stream::pending().boxed();
        Watched { kind, known: Err("they are being listed".to_owned()), listing: Known::new(), events }
    }

    fn failure() -> watcher::Error {
        watcher::Error::NoResourceVersion
    }

    #[test]
    fn only_what_a_spec_says_is_news() {
        use watcher::Event;
        let mut watched = mk_watched();
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
            (Ok(Event::Delete(mk("a", "https://h/b", "2"))), false),
        ];
        for (number, (event, expected)) in steps.into_iter().enumerate() {
            assert_eq!(watched.take(event), expected, "step {number}");
        }
        assert_eq!(watched.known, Ok(Known::new()));
    }
}
