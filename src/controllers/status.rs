//! Writes conditions into the status of custom resources: only what differs, a few at a time, again after errors.

use super::outcome::{Kind, ObjectKey, Outcome};
use crate::api::{ClusterWatchRule, GitProvider, GitTarget, WatchRule};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How many patches run at once.
const CONCURRENT: usize = 8;
/// How long the API server may take for one.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many characters of a message are kept; what a server says may be longer.
const LONGEST_MESSAGE: usize = 1_000;

/// The parts of a status that the operator writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reported {
    /// The generation that the conditions are about.
    pub observed_generation: Option<i64>,
    /// The conditions.
    pub conditions: Vec<Condition>,
    /// For targets: the tip of the remote branch.
    pub last_commit: Option<String>,
    /// For targets: how many changes were committed, by tier.
    pub attribution: BTreeMap<String, i64>,
}

/// A custom resource as last seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Its `metadata.resourceVersion`.
    pub resource_version: String,
    /// What its status says.
    pub reported: Reported,
}

/// What the status becomes where it said `before`; `None` when it says all that already.
fn next(before: &Reported, generation: i64, outcome: &Outcome, now: Timestamp) -> Option<Reported> {
    let ready = &outcome.ready;
    let mut next = before.clone();
    next.observed_generation = Some(generation);
    if outcome.last_commit.is_some() {
        next.last_commit.clone_from(&outcome.last_commit);
    }
    if !outcome.attribution.is_empty() {
        next.attribution.clone_from(&outcome.attribution);
    }
    let old = next.conditions.iter_mut().find(|condition| condition.type_ == "Ready");
    let since = old.as_ref().filter(|old| old.status == ready.status).map(|old| old.last_transition_time.clone());
    let condition = Condition {
        type_: "Ready".to_owned(),
        status: ready.status.to_owned(),
        reason: ready.reason.to_owned(),
        message: ready.message.chars().take(LONGEST_MESSAGE).collect(),
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or(Time(now)),
    };
    match old {
        Some(old) => *old = condition,
        None => next.conditions.push(condition),
    }
    (next != *before).then_some(next)
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
    wanted: BTreeMap<ObjectKey, (Observed, Outcome)>,
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

    /// Takes in what is to be said about each resource that was `observed`.
    pub fn report(&mut self, observed: &BTreeMap<ObjectKey, Observed>, mut outcomes: BTreeMap<ObjectKey, Outcome>) {
        let wanted = observed.iter().filter_map(|(key, observed)| {
            let outcome = outcomes.remove(key)?;
            Some((key.clone(), (observed.clone(), outcome)))
        });
        self.wanted = wanted.collect();
        // Once the watch shows another version, that is the truth.
        self.written.retain(|key, written| observed.get(key).is_some_and(|seen| written.concerns(seen)));
        self.failures.retain(|key, _| observed.contains_key(key));
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
            let Some((observed, outcome)) = self.wanted.get(&key) else { continue };
            let before = self.written.get(&key).map_or(&observed.reported, |written| &written.reported);
            let second = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
            match next(before, observed.generation, outcome, second) {
                None => {
                    self.wanted.remove(&key);
                }
                Some(reported) => {
                    let before = observed.resource_version.clone();
                    self.busy.insert(key.clone());
                    self.in_flight.push(patch(self.client.clone(), key, before, reported).boxed());
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
                if self.wanted.get(&key).is_none_or(|(observed, _)| written.concerns(observed)) {
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

async fn patch(client: Client, key: ObjectKey, before: String, reported: Reported) -> Patched {
    let resource = match key.kind {
        Kind::GitProvider => resource::<GitProvider>(),
        Kind::GitTarget => resource::<GitTarget>(),
        Kind::WatchRule => resource::<WatchRule>(),
        Kind::ClusterWatchRule => resource::<ClusterWatchRule>(),
    };
    let api: Api<DynamicObject> = match key.namespace.as_str() {
        "" => Api::all_with(client, &resource),
        namespace => Api::namespaced_with(client, namespace, &resource),
    };
    let body = Patch::Merge(body(&reported));
    let parameters = PatchParams::default();
    let request = api.patch_status(&key.name, &parameters, &body);
    let result = match tokio::time::timeout(DEADLINE, request).await {
        Ok(Ok(answer)) => Ok(Written { before, after: answer.resource_version().unwrap_or_default(), reported }),
        Ok(Err(error)) => Err(PatchError::Request(error)),
        Err(_) => Err(PatchError::Deadline),
    };
    Patched { key, result }
}

fn resource<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

fn body(reported: &Reported) -> Value {
    let mut status = json!({"observedGeneration": reported.observed_generation, "conditions": reported.conditions});
    if let Some(commit) = &reported.last_commit {
        status["gitStatus"] = json!({"branchExists": true, "lastCommitSHA": commit});
    }
    if !reported.attribution.is_empty() {
        status["attribution"] = json!(reported.attribution);
    }
    json!({"status": status})
}

#[cfg(test)]
mod tests {
    use super::super::outcome::Ready;
    use super::*;

    fn mk_outcome(status: &'static str, message: &str, last_commit: Option<&str>) -> Outcome {
        let ready = Ready { status, reason: "Reason", message: message.into() };
        Outcome { ready, last_commit: last_commit.map(str::to_owned), attribution: BTreeMap::new() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_status_that_says_it_all_is_left_alone() {
        let outcome = mk_outcome("True", "m", Some("abc"));
        let first = next(&Reported::default(), 1, &outcome, at(1)).unwrap();
        assert_eq!(next(&first, 1, &outcome, at(2)), None);
        assert_eq!(next(&first, 1, &mk_outcome("True", "m", None), at(2)), None, "an unknown tip is no news");
        assert!(next(&first, 2, &outcome, at(2)).is_some());
        assert!(next(&first, 1, &mk_outcome("True", "n", Some("abc")), at(2)).is_some());
        assert!(next(&first, 1, &mk_outcome("True", "m", Some("def")), at(2)).is_some());
    }

    #[test]
    fn counts_are_written_when_there_are_new_ones() {
        let mut outcome = mk_outcome("True", "m", None);
        outcome.attribution = BTreeMap::from([("exact".to_owned(), 3)]);
        let first = next(&Reported::default(), 1, &outcome, at(1)).unwrap();
        assert_eq!(body(&first)["status"]["attribution"], json!({"exact": 3}));
        assert_eq!(next(&first, 1, &outcome, at(2)), None);
        assert_eq!(next(&first, 1, &mk_outcome("True", "m", None), at(2)), None, "no counts are no news");
        outcome.attribution = BTreeMap::from([("exact".to_owned(), 4)]);
        assert!(next(&first, 1, &outcome, at(2)).is_some());
    }

    #[test]
    fn the_time_moves_with_the_status_only() {
        let first = next(&Reported::default(), 1, &mk_outcome("True", "m", None), at(1)).unwrap();
        let second = next(&first, 2, &mk_outcome("True", "n", None), at(2)).unwrap();
        assert_eq!(second.conditions[0].last_transition_time, Time(at(1)));
        let third = next(&second, 2, &mk_outcome("False", "n", None), at(3)).unwrap();
        assert_eq!(third.conditions[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn conditions_of_others_stay_in_place() {
        let mut before = next(&Reported::default(), 1, &mk_outcome("True", "m", None), at(1)).unwrap();
        let other = Condition { type_: "Other".into(), ..before.conditions[0].clone() };
        before.conditions.insert(0, other.clone());
        let after = next(&before, 1, &mk_outcome("False", "m", None), at(2)).unwrap();
        assert_eq!((after.conditions.len(), &after.conditions[0]), (2, &other));
        assert_eq!(after.conditions[1].status, "False");
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let after = next(&Reported::default(), 1, &mk_outcome("True", &"ä".repeat(5_000), None), at(1)).unwrap();
        assert_eq!(after.conditions[0].message.chars().count(), LONGEST_MESSAGE);
    }
}
