//! Requests for a subresource that carry something else than the object above it.

use super::admission::{Request, kept, version};
use crate::attribution::{Request as Wish, pod_key};
use serde::Deserialize;
use std::sync::Arc;

/// As much of a `Scale` as says how many.
#[derive(Deserialize)]
struct Scale {
    #[serde(default)]
    spec: Replicas,
}

/// The API server leaves 0 out.
#[derive(Default, Deserialize, PartialEq, Eq)]
struct Replicas {
    #[serde(default)]
    replicas: u64,
}

/// As much of an `Eviction` as says whether it is meant.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Eviction {
    delete_options: Option<DeleteOptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteOptions {
    #[serde(default)]
    dry_run: Vec<String>,
}

/// `/scale`: the `Scale` carries uid and version of the object above it. `None` where it changes nothing.
pub(super) fn scale(request: &Request<'_>) -> Option<(Arc<str>, Wish)> {
    let (new, old) = (request.object?, request.old_object?);
    let (uid, base) = version(old)?;
    let new: Scale = serde_json::from_str(new.get()).ok()?;
    let old: Scale = serde_json::from_str(old.get()).ok()?;
    (new.spec != old.spec).then_some((uid, Wish::Scale { base, replicas: new.spec.replicas }))
}

/// `pods/eviction`, which only names its Pod.
pub(super) fn eviction(request: &Request<'_>) -> Option<(Arc<str>, Wish)> {
    let eviction: Eviction = serde_json::from_str(request.object?.get()).ok()?;
    let is_meant = eviction.delete_options.is_none_or(|options| options.dry_run.is_empty());
    let (namespace, name) = (kept(request.namespace.as_deref()?)?, kept(request.name.as_deref()?)?);
    is_meant.then(|| (pod_key(namespace, name), Wish::Evict))
}
