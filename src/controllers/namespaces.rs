//! The labels of all namespaces, kept current.

use super::listed::Listed;
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
    listed: Listed<Arc<str>, BTreeMap<String, String>>,
    events: BoxStream<'static, watcher::Result<watcher::Event<Object>>>,
}

impl fmt::Debug for NamespaceLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceLabels").field("listed", &self.listed).finish_non_exhaustive()
    }
}

impl NamespaceLabels {
    /// Begins to watch.
    #[must_use]
    pub fn watch(client: Client) -> Self {
        let api: Api<Object> = Api::all(client);
        let events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        Self { listed: Listed::new(), events }
    }

    /// What is known now; `None` before they have been listed completely once: nobody can tell then which namespaces a
    /// selector matches.
    #[must_use]
    pub const fn known(&self) -> Option<&Arc<Namespaces>> {
        self.listed.known()
    }

    /// Returns once a namespace has come, gone, or got other labels. May be dropped and called again.
    pub async fn changed(&mut self) {
        while let Some(event) = self.events.next().await {
            let has_changed = match event {
                Ok(event) => self.listed.take(event, labels),
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
}

fn labels(namespace: Object) -> (Arc<str>, BTreeMap<String, String>) {
    (Arc::from(namespace.name_any()), namespace.metadata.labels.unwrap_or_default())
}
