//! Keeps the [`Catalog`] of what the API server serves.
//!
//! An answer of the API server may be incomplete, and may leave out for a moment what it serves. So what appears
//! is taken at once, and what is missing is dropped only after [`GRACE`] of complete answers.

mod answer;
mod changes;
mod known;
mod replicas;
mod schedule;

pub use known::GRACE;

use crate::rules::Catalog;
use crate::telemetry::metrics::Metrics;
use answer::{Answer, NamesNothing};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt as _;
use hyper::header::ACCEPT;
use hyper::http::Request;
use known::KnownTypes;
use kube::Client;
use kube::core::discovery::v2::ACCEPT_AGGREGATED_DISCOVERY_V2;
use replicas::Replicas;
use schedule::Schedule;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long the API server may take to answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long an incomplete answer has to do. The API server asks the servers behind it about once a minute.
const INCOMPLETE: Duration = Duration::from_secs(60);

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

impl From<NamesNothing> for DiscoveryError {
    fn from(NamesNothing: NamesNothing) -> Self {
        Self::Empty
    }
}

/// Makes discovery ask the API server now, for somebody who does not want to wait. May be cloned.
#[derive(Clone, Debug, Default)]
pub struct Prompt(Arc<Notify>);

impl Prompt {
    /// Asks now; at most once a second, however often it is called.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

/// What discovery needs.
#[derive(Debug)]
pub struct Settings {
    /// How often the API server is asked without a cause.
    pub refresh: Duration,
    /// Makes it ask at once.
    pub prompt: Prompt,
    /// Counts questions that were not answered.
    pub metrics: Arc<Metrics>,
}

/// Publishes the catalog on `out` and keeps it current: regularly, when a CustomResourceDefinition or an APIService
/// changes, and when it is prompted. Ends when nobody listens to `out` any more.
pub async fn run(client: Client, settings: Settings, out: watch::Sender<Option<Arc<Catalog>>>) {
    let Settings { refresh, prompt, metrics } = settings;
    let mut changes = std::pin::pin!(changes::watch(&client));
    let mut schedule = Schedule::new(Instant::now());
    let (mut known, mut replicas) = (KnownTypes::default(), Replicas::default());
    let mut retry = backoff();
    let (mut unclear, mut observed) = (BTreeSet::new(), Instant::now());
    loop {
        // What was due, and not done for want of a complete answer, waits for one.
        let due = known.due().filter(|due| *due > observed);
        tokio::select! {
            () = tokio::time::sleep_until(schedule.next(due)) => {}
            Some(changes) = changes.next() => {
                changes.iter().for_each(|change| replicas.forget(change));
                schedule.changed(Instant::now());
                continue;
            }
            () = prompt.0.notified() => {
                schedule.wanted(Instant::now());
                continue;
            }
            () = out.closed() => return,
        }
        let sent = Instant::now();
        let pause = match ask(&client).await {
            Ok(answer) => {
                retry = backoff();
                tell(&mut unclear, &answer);
                let pause = if answer.is_complete() { refresh } else { refresh.min(INCOMPLETE) };
                observed = Instant::now();
                let catalog = known.observe(answer, observed);
                replicas.read(&client, &catalog).await;
                let paths = replicas.paths(&catalog);
                publish(&out, catalog.with_replicas(paths));
                pause
            }
            Err(error) => {
                metrics.discovery_failed();
                tracing::warn!(%error, "Discovery failed");
                retry.next().unwrap_or(refresh)
            }
        };
        schedule.asked(sent, Instant::now() + pause);
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

/// Logs it when the groups that are unclear have changed.
fn tell(unclear: &mut BTreeSet<String>, answer: &Answer) {
    if *unclear == answer.unclear {
        return;
    }
    unclear.clone_from(&answer.unclear);
    if unclear.is_empty() {
        tracing::info!("Discovery is complete again");
    } else {
        tracing::warn!(groups = ?unclear, "Discovery is incomplete, so no resource counts as gone; look at the APIServices of these groups");
    }
}

/// From 1 s to 60 s: half of each pause, and as much again at random.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(Duration::from_secs(30))
        .without_max_times()
        .with_jitter()
        .build()
}

/// Asks once what the API server serves.
///
/// # Errors
/// When it cannot be asked.
pub async fn discover(client: &Client) -> Result<Catalog, DiscoveryError> {
    Ok(KnownTypes::default().observe(ask(client).await?, Instant::now()))
}

async fn ask(client: &Client) -> Result<Answer, DiscoveryError> {
    let both = async { tokio::try_join!(document(client, "/api"), document(client, "/apis")) };
    let (core, groups) = tokio::time::timeout(DEADLINE, both).await.map_err(|_| DiscoveryError::Deadline)??;
    Ok(Answer::read(&core, &groups)?)
}

async fn document(client: &Client, path: &str) -> Result<String, kube::Error> {
    let request = Request::get(path).header(ACCEPT, ACCEPT_AGGREGATED_DISCOVERY_V2);
    client.request_text(request.body(Vec::new()).map_err(kube::Error::HttpError)?).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_back_off_from_a_second_to_a_minute() {
        let pauses: Vec<f64> = backoff().take(20).map(|pause| pause.as_secs_f64()).collect();
        assert!((1.0..=2.0).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[8..].iter().all(|pause| (30.0..=60.0).contains(pause)), "{pauses:?}");
        assert_eq!(pauses.len(), 20, "it never gives up");
        assert!(pauses[8..].windows(2).any(|two| two[0] != two[1]), "without jitter: {pauses:?}");
    }
}
