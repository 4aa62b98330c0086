//! What changes what the API server serves: definitions of custom resources, and API services.

use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt as _};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The definition of this name.
    Definition(String),
    /// Any of the definitions.
    Definitions,
    /// An API service.
    Service,
}

/// The changes, those that come together in one item. A kind that may not be watched is left to the regular look.
pub(super) fn watch(client: &Client) -> impl Stream<Item = Vec<Change>> + use<> {
    let mut both: SelectAll<BoxStream<'static, Change>> = SelectAll::new();
    both.push(events::<CustomResourceDefinition>(client, Change::Definition, Change::Definitions));
    both.push(events::<APIService>(client, |_| Change::Service, Change::Service));
    both.ready_chunks(1_000)
}

fn events<K>(client: &Client, one: fn(String) -> Change, any: Change) -> BoxStream<'static, Change>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
    let mut failing = false;
    let events = watcher(api, watcher::Config::default()).default_backoff().filter_map(move |event| {
        let change = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => Some(one(object.name_any())),
            Ok(watcher::Event::InitDone) => Some(any.clone()),
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => None,
            // An expired version only means to list again; the watcher does that.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => None,
            Err(error) => {
                // Once: while the reason lasts it comes again and again.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(kind = %K::kind(&()), %error, "Changes of what the API server serves are seen late, since this kind cannot be watched");
                }
                return std::future::ready(None);
            }
        };
        failing &= change.is_none();
        std::future::ready(change)
    });
    events.boxed()
}
