//! One list, until it is complete: streamed where the server can, else in pages.
//!
//! A server that refuses to stream, or does not know the parameter and so never says where the list ends, is asked for
//! pages; that is remembered for its type.

use super::failure::Failure;
use super::list_steps::{self, ListStep, ListSteps, Stop};
use super::object::RawObject;
use super::retry::Retry;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use kube::core::WatchEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How many objects a page has.
const PAGE: u32 = 500;
/// How long the server may take for a page, or to begin a stream.
const ANSWER: Duration = Duration::from_secs(60);
/// A stream that is silent for so long before its list is complete will never say that it is.
const SILENCE: Duration = Duration::from_secs(10);
/// So long is waited for a streamed list in all, not counting the time in which nobody took what had come.
const PATIENCE: Duration = Duration::from_secs(120);
/// What marks the bookmark at the end of a streamed list.
const END: &str = "k8s.io/initial-events-end";

/// The events of a watch.
pub(super) type Connection = BoxStream<'static, kube::Result<WatchEvent<RawObject>>>;

/// Where a watch goes on after a list.
pub(super) struct Position {
    /// The version that the list shows.
    pub(super) resource_version: String,
    /// The events after it, where they come already.
    pub(super) connection: Option<Connection>,
    /// What has failed before.
    pub(super) retry: Retry,
}

/// What to list, and how.
pub(super) struct ListRequest {
    /// One after the other.
    pub(super) apis: Vec<Api<RawObject>>,
    /// Who asks for a part of a list has a place: the API server answers more of them with 429.
    pub(super) places: Arc<Semaphore>,
    /// Whether the server streams lists of this type; `None`: pages are wanted.
    pub(super) streams: Option<Arc<AtomicBool>>,
    /// How long to wait first.
    pub(super) wait: Duration,
    /// What has failed before.
    pub(super) retry: Retry,
}

/// The steps of a list. It ends when it is complete.
pub(super) fn list(request: ListRequest) -> impl Stream<Item = ListStep> + Send + 'static {
    list_steps::run(Arc::clone(&request.places), |steps| Lister { request, steps }.run())
}

struct Lister {
    request: ListRequest,
    steps: ListSteps,
}

impl Lister {
    async fn run(mut self) {
        let mut wait = self.request.wait;
        loop {
            tokio::time::sleep(wait).await;
            let said = match self.once().await {
                Ok(position) => return drop(self.steps.say(ListStep::Complete(position)).await),
                Err(Stop::Failed(at, failure)) => self.steps.say(ListStep::Failed(at, failure)).await,
                Err(Stop::Unwanted) => return,
            };
            if said.is_err() {
                return;
            }
            wait = self.request.retry.wait(Instant::now(), fastrand::f64());
        }
    }

    async fn once(&mut self) -> Result<Position, Stop> {
        self.steps.begin().await?;
        let streams = self.request.streams.as_ref().is_some_and(|streams| streams.load(Ordering::Relaxed));
        if streams && let [api] = self.request.apis.as_slice() {
            let api = api.clone();
            if let Some(position) = self.stream(&api).await? {
                return Ok(position);
            }
            self.steps.begin().await?;
        }
        self.pages().await
    }

    fn never_stream(&self, reason: &str) {
        if let Some(streams) = &self.request.streams {
            streams.store(false, Ordering::Relaxed);
        }
        let url = self.request.apis.first().map(Api::resource_url);
        tracing::info!(url, reason, "The server does not stream this list; it is asked for in pages");
    }

    /// A list that is streamed; `None` if pages are better.
    async fn stream(&mut self, api: &Api<RawObject>) -> Result<Option<Position>, Stop> {
        self.steps.take_place().await;
        // Without a version: as of now, not as of whenever the server's cache was last filled.
        let mut connection = match timeout(SILENCE, api.watch(&WatchParams::streaming_lists(), "")).await {
            Ok(Ok(connection)) => connection.boxed(),
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 415 | 422) => {
                self.never_stream(&status.message);
                return Ok(None);
            }
            Ok(Err(error)) => return Err(Stop::Failed(0, Failure::of(&error))),
            Err(_) => {
                self.never_stream("no answer");
                return Ok(None);
            }
        };
        let mut waited = Duration::ZERO;
        loop {
            self.steps.take_place().await;
            let asked = Instant::now();
            let event = timeout(SILENCE, connection.next()).await;
            waited += asked.elapsed();
            match event {
                Ok(Some(Ok(WatchEvent::Added(object)))) if waited < PATIENCE => {
                    self.steps.say(ListStep::Object(object)).await?;
                }
                Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) if bookmark.metadata.annotations.contains_key(END) => {
                    let (resource_version, retry) = (bookmark.metadata.resource_version, self.request.retry.clone());
                    return Ok(Some(Position { resource_version, connection: Some(connection), retry }));
                }
                Ok(Some(Ok(WatchEvent::Bookmark(_)))) if waited < PATIENCE => {}
                // What was listed has changed before the list was complete: a plain list is simpler to judge. So it is
                // with one that was cut off.
                Ok(Some(Ok(WatchEvent::Modified(_) | WatchEvent::Deleted(_))) | None) => return Ok(None),
                Ok(Some(Ok(WatchEvent::Error(status)))) => {
                    return Err(Stop::Failed(0, Failure::refused(status.code, &status.message)));
                }
                Ok(Some(Err(error))) => return Err(Stop::Failed(0, Failure::of(&error))),
                Ok(Some(Ok(WatchEvent::Added(_) | WatchEvent::Bookmark(_)))) | Err(_) => {
                    self.never_stream("it does not say where the list ends");
                    return Ok(None);
                }
            }
        }
    }

    async fn pages(&mut self) -> Result<Position, Stop> {
        let mut resource_version = String::new();
        for (at, api) in self.request.apis.iter().enumerate() {
            let mut continue_token = None;
            loop {
                let parameters = ListParams { limit: Some(PAGE), continue_token, ..ListParams::default() };
                self.steps.take_place().await;
                let page = timeout(ANSWER, api.list(&parameters)).await;
                self.steps.leave_place();
                let page = match page {
                    Ok(Ok(page)) => page,
                    Ok(Err(error)) => return Err(Stop::Failed(at, Failure::of(&error))),
                    Err(_) => return Err(Stop::Failed(at, Failure::failed("the API server does not answer"))),
                };
                for object in page.items {
                    self.steps.say(ListStep::Object(object)).await?;
                }
                let text = |text: Option<String>| text.filter(|text| !text.is_empty());
                match (text(page.metadata.continue_), text(page.metadata.resource_version)) {
                    (Some(token), _) => continue_token = Some(token),
                    (None, Some(version)) => {
                        resource_version = version;
                        break;
                    }
                    (None, None) => return Err(Stop::Failed(at, Failure::failed("the list has no resourceVersion"))),
                }
            }
        }
        Ok(Position { resource_version, connection: None, retry: self.request.retry.clone() })
    }
}
