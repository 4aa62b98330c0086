//! The labels of all namespaces, kept current.

use crate::rules::Namespaces;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

type Object = PartialObjectMeta<Namespace>;

/// Watches names and labels of all namespaces; nothing else of them leaves the API server.
pub struct NamespaceLabels {
    known: Arc<Namespaces>,
    is_listed: bool,
    listing: Namespaces,
    events: BoxStream<'static, watcher::Result<watcher::Event<Object>>>,
}

impl fmt::Debug for NamespaceLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceLabels").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl NamespaceLabels {
    /// Begins to watch.
    #[must_use]
    pub fn watch(client: Client) -> Self {
        let api: Api<Object> = Api::all(client);
        let events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        Self { known: Arc::default(), is_listed: false, listing: Namespaces::new(), events }
    }

    /// Whether they have been listed completely once. Before, nobody can tell which namespaces a selector matches.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_listed
    }

    /// What is known now.
    #[must_use]
    pub const fn known(&self) -> &Arc<Namespaces> {
        &self.known
    }

    /// Returns once a namespace has come, gone, or got other labels. May be dropped and called again.
    pub async fn changed(&mut self) {
        while let Some(event) = self.events.next().await {
            let has_changed = match event {
                Ok(event) => self.take(event),
                Err(error) => {
                    tracing::warn!(%error, "Watching namespaces failed; may the operator list and watch them?");
                    false
                }
            };
            if has_changed {
                return;
            }
        }
        std::future::pending().await
    }

    /// Takes `event` in, and tells whether it changes anything.
    fn take(&mut self, event: watcher::Event<Object>) -> bool {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                false
            }
            watcher::Event::InitApply(namespace) => {
                let (name, labels) = labels(namespace);
                self.listing.insert(name, labels);
                false
            }
            watcher::Event::InitDone => {
                let listed = Arc::new(std::mem::take(&mut self.listing));
                let has_changed = !self.is_listed || listed != self.known;
                (self.known, self.is_listed) = (listed, true);
                has_changed
            }
            watcher::Event::Apply(namespace) => {
                let (name, labels) = labels(namespace);
                let has_changed = self.known.get(&name) != Some(&labels);
                if has_changed {
                    Arc::make_mut(&mut self.known).insert(name, labels);
                }
                has_changed
            }
            watcher::Event::Delete(namespace) => {
                Arc::make_mut(&mut self.known).remove(namespace.name_any().as_str()).is_some()
            }
        }
    }
}

fn labels(namespace: Object) -> (Arc<str>, BTreeMap<String, String>) {
    (Arc::from(namespace.name_any()), namespace.metadata.labels.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::json;

    fn mk(name: &str, team: &str, annotation: &str) -> Object {
        let metadata = json!({"name": name, "labels": {"team": team}, "annotations": {"touched": annotation}, "resourceVersion": "1"});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    #[test]
    fn only_names_and_labels_are_news() {
        use watcher::Event;
        let events = stream::pending().boxed();
        let mut namespaces =
            NamespaceLabels { known: Arc::default(), is_listed: false, listing: Namespaces::new(), events };
        let steps = [
            (Event::Init, false),
            (Event::InitApply(mk("a", "x", "")), false),
            (Event::InitDone, true),
            (Event::Apply(mk("a", "x", "again")), false),
            (Event::Apply(mk("a", "y", "")), true),
            (Event::Apply(mk("b", "y", "")), true),
            (Event::Init, false),
            (Event::InitApply(mk("a", "y", "")), false),
            (Event::InitApply(mk("b", "y", "")), false),
            (Event::InitDone, false),
            (Event::Delete(mk("b", "y", "")), true),
            (Event::Delete(mk("b", "y", "")), false),
        ];
        for (number, (event, expected)) in steps.into_iter().enumerate() {
            assert_eq!(namespaces.take(event), expected, "step {number}");
            assert_eq!(namespaces.is_complete(), number >= 2);
        }
        assert_eq!(namespaces.known().keys().map(|name| &**name).collect::<Vec<_>>(), ["a"]);
    }
}
