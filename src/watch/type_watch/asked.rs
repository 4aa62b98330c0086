//! Single objects that targets need again, read one by one.

use super::TypeWatch;
use crate::resource::{NamespacedName, ResourceId};
use crate::watch::object::RawObject;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::collections::VecDeque;

/// The objects that have to be read.
#[derive(Default)]
pub(super) struct Asked {
    queue: VecDeque<(NamespacedName, ResourceId)>,
    fetching: Option<BoxFuture<'static, Fetched>>,
}

/// An object as it is now.
pub(super) struct Fetched {
    target: NamespacedName,
    id: ResourceId,
    object: kube::Result<Option<RawObject>>,
}

impl Asked {
    pub(super) const fn is_fetching(&self) -> bool {
        self.fetching.is_some()
    }

    /// The object that is being read.
    pub(super) async fn fetched(&mut self) -> Fetched {
        let fetched = match &mut self.fetching {
            Some(fetching) => fetching.await,
            None => std::future::pending().await,
        };
        self.fetching = None;
        fetched
    }
}

impl TypeWatch {
    /// Reads these objects for these targets.
    pub(super) fn ask(&mut self, objects: Vec<(NamespacedName, ResourceId)>) {
        self.asked.queue.extend(objects);
        self.fetch_next();
    }

    fn fetch_next(&mut self) {
        if self.asked.is_fetching() {
            return;
        }
        let Some((target, id)) = self.asked.queue.pop_front() else { return };
        let api = self.api(id.name.namespace.as_deref());
        let fetch = async move {
            let object = api.get_opt(&id.name.name).await;
            Fetched { target, id, object }
        };
        self.asked.fetching = Some(fetch.boxed());
    }

    pub(super) fn fetched(&mut self, fetched: Fetched) {
        let Fetched { target, id, object } = fetched;
        match object {
            Ok(Some(object)) if self.intake.is_outdated(&object) => self.asked.queue.push_back((target, id)),
            Ok(Some(object)) => {
                let delivery = self.intake.asked_for(&object, &target);
                self.outbox.deliver(delivery.into_iter().collect());
            }
            // The deletion comes, or came, by the watch.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(object = %id, %target, %error, "Object cannot be read again; all are listed");
                self.asked.queue.retain(|(of, _)| *of != target);
                self.intake.unseed(&target);
                self.mend_lists();
            }
        }
        self.fetch_next();
    }
}
