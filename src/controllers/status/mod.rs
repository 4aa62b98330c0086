//! Writes the statuses of custom resources: only what differs, a few at a time, again after errors.

mod reported;

pub use self::reported::Reported;
use super::outcome::{ObjectKey, Outcome};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How many patches run at once.
const CONCURRENT: usize = 8;
/// How long the API server may take for one.
const DEADLINE: Duration = Duration::from_secs(10);

/// A custom resource as last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Its `metadata.resourceVersion`.
    pub resource_version: String,
    /// Its `metadata.uid`.
    pub uid: String,
    /// By what value of an annotation a person asks to look at it anew.
    pub requested: Option<String>,
    /// What its status says.
    pub reported: Reported,
}

impl Observed {
    /// Whether its status says of this very generation that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = self.reported.ready();
        ready.is_some_and(|ready| ready.status == "True" && ready.observed_generation == Some(self.generation))
    }
}

/// What was written to a resource, as long as the watch shows it as it was before or as it became thereby.
#[derive(Debug)]
struct Written {
    before: String,
    after: String,
    reported: Reported,
}

impl Written {
    fn concerns(&self, observed: &Observed) -> bool {
        observed.resource_version == self.before || observed.resource_version == self.after
    }
}

#[derive(Debug)]
struct Wanted {
    observed: Observed,
    outcome: Outcome,
    /// Whether numbers alone are worth a patch.
    counts: bool,
}

struct Patched {
    key: ObjectKey,
    result: Result<Written, PatchError>,
}

#[derive(Debug, thiserror::Error)]
enum PatchError {
    #[error("{0}")]
    Request(kube::Error),
    #[error("the API server did not answer in {} s", DEADLINE.as_secs())]
    Deadline,
}

/// Keeps statuses as they should be. The newest report replaces all before.
pub struct Writer {
    client: Client,
    wanted: BTreeMap<ObjectKey, Wanted>,
    written: BTreeMap<ObjectKey, Written>,
    in_flight: FuturesUnordered<BoxFuture<'static, Patched>>,
    busy: BTreeSet<ObjectKey>,
    failures: BTreeMap<ObjectKey, (ExponentialBackoff, Instant)>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("wanted", &self.wanted.len()).field("busy", &self.busy).finish_non_exhaustive()
    }
}

impl Writer {
    /// A writer that has nothing to write.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            wanted: BTreeMap::new(),
            written: BTreeMap::new(),
            in_flight: FuturesUnordered::new(),
            busy: BTreeSet::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Takes in what is to be said about each resource that was `observed`. Numbers alone are worth a patch only where they
    /// `count`.
    pub fn report(
        &mut self,
        observed: &BTreeMap<ObjectKey, Observed>,
        mut outcomes: BTreeMap<ObjectKey, Outcome>,
        count: &BTreeSet<ObjectKey>,
    ) {
        let wanted = observed.iter().filter_map(|(key, observed)| {
            let outcome = outcomes.remove(key)?;
            // Numbers that wait for a place are not forgotten.
            let counts = count.contains(key) || self.wanted.get(key).is_some_and(|wanted| wanted.counts);
            Some((key.clone(), Wanted { observed: observed.clone(), outcome, counts }))
        });
        self.wanted = wanted.collect();
        // Once the watch shows another version, that is the truth.
        self.written.retain(|key, written| observed.get(key).is_some_and(|seen| written.concerns(seen)));
        self.failures.retain(|key, _| observed.contains_key(key));
    }

    /// What the status of the resource says, which was `observed` so: what was written since counts.
    #[must_use]
    pub fn reported<'a>(&'a self, key: &ObjectKey, observed: &'a Observed) -> &'a Reported {
        let written = self.written.get(key).filter(|written| written.concerns(observed));
        written.map_or(&observed.reported, |written| &written.reported)
    }

    /// Whether the status of the resource could not be written, and is tried again.
    #[must_use]
    pub fn is_failing(&self, key: &ObjectKey) -> bool {
        self.failures.contains_key(key)
    }

    /// Writes on; returns after each answer and when a retry is due, never while there is nothing to do. May be
    /// dropped and called again.
    pub async fn progress(&mut self) {
        self.start(Instant::now());
        // With all places taken, the next answer makes way for retries.
        let places = self.in_flight.len() < CONCURRENT;
        let waiting = self.wanted.keys().filter(|key| places && !self.busy.contains(key));
        let retry = waiting.filter_map(|key| self.failures.get(key)).map(|(_, due)| *due).min();
        tokio::select! {
            Some(patched) = self.in_flight.next() => self.finish(patched, Instant::now()),
            () = tokio::time::sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
            else => std::future::pending().await,
        }
    }

    fn start(&mut self, now: Instant) {
        let is_due = |key: &ObjectKey| self.failures.get(key).is_none_or(|(_, due)| *due <= now);
        let keys = self.wanted.keys().filter(|key| !self.busy.contains(key) && is_due(key));
        for key in keys.cloned().collect::<Vec<_>>() {
            if self.in_flight.len() >= CONCURRENT {
                return;
            }
            let Some(Wanted { observed, outcome, counts }) = self.wanted.get(&key) else { continue };
            let before = self.reported(&key, observed);
            let second = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
            match before.next(observed.generation, outcome, second, *counts) {
                None => {
                    self.wanted.remove(&key);
                }
                Some(reported) => {
                    let body = before.patch(&reported);
                    let written = Written {
                        before: observed.resource_version.clone(),
                        after: observed.resource_version.clone(),
                        reported,
                    };
                    self.busy.insert(key.clone());
                    self.in_flight.push(patch(self.client.clone(), key, body, written).boxed());
                }
            }
        }
    }

    fn finish(&mut self, patched: Patched, now: Instant) {
        let Patched { key, result } = patched;
        self.busy.remove(&key);
        match result {
            Ok(written) => {
                self.failures.remove(&key);
                // Another version that came in meanwhile may be older or newer than the patch: then look again.
                if self.wanted.get(&key).is_none_or(|wanted| written.concerns(&wanted.observed)) {
                    self.written.insert(key, written);
                }
            }
            Err(PatchError::Request(kube::Error::Api(status))) if status.code == 404 => {
                self.wanted.remove(&key);
            }
            Err(error) => {
                tracing::warn!(object = %key, %error, "Writing a status failed");
                let (waits, due) = self.failures.entry(key).or_insert_with(|| (backoff(), now));
                *due = now + waits.next().unwrap_or_default();
            }
        }
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(60))
        .without_max_times()
        .with_jitter()
        .build()
}

async fn patch(client: Client, key: ObjectKey, body: Value, written: Written) -> Patched {
    let resource = key.kind.api_resource();
    let api: Api<DynamicObject> = match key.namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let body = Patch::Merge(body);
    let parameters = PatchParams::default();
    let request = api.patch_status(&key.name, &parameters, &body);
    let result = match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(Written { after: answer.resource_version().unwrap_or_default(), ..written }),
        Ok(Err(error)) => Err(PatchError::Request(error)),
        Err(_) => Err(PatchError::Deadline),
    };
    Patched { key, result }
}
