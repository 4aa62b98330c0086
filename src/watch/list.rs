//! One list, from taking a place among those that run until it is complete: streamed where the server can, else in pages.
//!
//! A server that refuses to stream, or does not know the parameter and so never says where the list ends, is asked for
//! pages; that is remembered for its type.

use super::failure::Failure;
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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

/// What happens in a list.
pub(super) enum ListStep {
    /// It begins, perhaps once more: what it has shown so far is worthless. It is asked for only when the next step is.
    Begun,
    /// One of its objects.
    Object(RawObject),
    /// That was all.
    Complete(Position),
    /// It failed at this of its APIs, and will be begun again.
    Failed(usize, Failure),
}

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
    /// Lists run while they hold a place: the API server answers more of them with 429.
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
    let lister = Lister { state: State::Waiting(request.wait), request };
    futures::stream::unfold(lister, |lister| async { lister.step().await })
}

struct Lister {
    request: ListRequest,
    state: State,
}

enum State {
    Waiting(Duration),
    /// With whether a stream may be tried.
    Placed(OwnedSemaphorePermit, bool),
    Streaming {
        place: OwnedSemaphorePermit,
        connection: Connection,
        waited: Duration,
    },
    Paging {
        place: OwnedSemaphorePermit,
        pages: Pages,
    },
    Over,
}

#[derive(Default)]
struct Pages {
    /// Which of the lists.
    at: usize,
    objects: std::vec::IntoIter<RawObject>,
    next: Next,
}

#[derive(Default)]
enum Next {
    #[default]
    First,
    Page(String),
    /// The list is complete, as of this version.
    Done(String),
}

impl Lister {
    async fn step(mut self) -> Option<(ListStep, Self)> {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Over) {
                State::Waiting(wait) => {
                    tokio::time::sleep(wait).await;
                    // The semaphore is never closed.
                    let place = Arc::clone(&self.request.places).acquire_owned().await.ok()?;
                    self.state = State::Placed(place, true);
                    Some(ListStep::Begun)
                }
                State::Placed(place, may_stream) => self.start(place, may_stream).await,
                State::Streaming { place, connection, waited } => self.stream(place, connection, waited).await,
                State::Paging { place, pages } => self.page(place, pages).await,
                State::Over => return None,
            };
            if let Some(step) = step {
                return Some((step, self));
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> Option<ListStep> {
        self.fail_at(0, failure)
    }

    fn fail_at(&mut self, at: usize, failure: Failure) -> Option<ListStep> {
        self.state = State::Waiting(self.request.retry.wait(Instant::now(), fastrand::f64()));
        Some(ListStep::Failed(at, failure))
    }

    async fn start(&mut self, place: OwnedSemaphorePermit, may_stream: bool) -> Option<ListStep> {
        let streams = self.request.streams.as_ref().is_some_and(|streams| streams.load(Ordering::Relaxed));
        let [api] = self.request.apis.as_slice() else { return self.turn_pages(place) };
        if !streams || !may_stream {
            return self.turn_pages(place);
        }
        // Without a version: as of now, not as of whenever the server's cache was last filled.
        match timeout(SILENCE, api.watch(&WatchParams::streaming_lists(), "")).await {
            Ok(Ok(connection)) => {
                let connection = connection.boxed();
                self.state = State::Streaming { place, connection, waited: Duration::ZERO };
                None
            }
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 415 | 422) => {
                self.never_stream(&status.message);
                self.turn_pages(place)
            }
            Ok(Err(error)) => self.fail(Failure::of(&error)),
            Err(_) => {
                self.never_stream("no answer");
                self.turn_pages(place)
            }
        }
    }

    fn turn_pages(&mut self, place: OwnedSemaphorePermit) -> Option<ListStep> {
        self.state = State::Paging { place, pages: Pages::default() };
        None
    }

    fn never_stream(&self, reason: &str) {
        if let Some(streams) = &self.request.streams {
            streams.store(false, Ordering::Relaxed);
        }
        let url = self.request.apis.first().map(Api::resource_url);
        tracing::info!(url, reason, "The server does not stream this list; it is asked for in pages");
    }

    /// The list that was streamed so far is begun again, in pages.
    fn begin_again(&mut self, place: OwnedSemaphorePermit) -> Option<ListStep> {
        self.state = State::Placed(place, false);
        Some(ListStep::Begun)
    }

    async fn stream(
        &mut self,
        place: OwnedSemaphorePermit,
        mut connection: Connection,
        waited: Duration,
    ) -> Option<ListStep> {
        let asked = Instant::now();
        let event = timeout(SILENCE, connection.next()).await;
        let waited = waited + asked.elapsed();
        match event {
            Ok(Some(Ok(WatchEvent::Added(object)))) if waited < PATIENCE => {
                self.state = State::Streaming { place, connection, waited };
                Some(ListStep::Object(object))
            }
            Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) if bookmark.metadata.annotations.contains_key(END) => {
                let (resource_version, retry) = (bookmark.metadata.resource_version, self.request.retry.clone());
                Some(ListStep::Complete(Position { resource_version, connection: Some(connection), retry }))
            }
            Ok(Some(Ok(WatchEvent::Bookmark(_)))) if waited < PATIENCE => {
                self.state = State::Streaming { place, connection, waited };
                None
            }
            // What was listed has changed before the list was complete: a plain list is simpler to judge. So it is with
            // one that was cut off.
            Ok(Some(Ok(WatchEvent::Modified(_) | WatchEvent::Deleted(_))) | None) => self.begin_again(place),
            Ok(Some(Ok(WatchEvent::Error(status)))) => self.fail(Failure::refused(status.code, &status.message)),
            Ok(Some(Err(error))) => self.fail(Failure::of(&error)),
            Ok(Some(Ok(WatchEvent::Added(_) | WatchEvent::Bookmark(_)))) | Err(_) => {
                self.never_stream("it does not say where the list ends");
                self.begin_again(place)
            }
        }
    }

    async fn page(&mut self, place: OwnedSemaphorePermit, mut pages: Pages) -> Option<ListStep> {
        if let Some(object) = pages.objects.next() {
            self.state = State::Paging { place, pages };
            return Some(ListStep::Object(object));
        }
        if let Next::Done(resource_version) = &pages.next {
            if pages.at + 1 == self.request.apis.len() {
                let (resource_version, retry) = (resource_version.clone(), self.request.retry.clone());
                return Some(ListStep::Complete(Position { resource_version, connection: None, retry }));
            }
            pages = Pages { at: pages.at + 1, ..Pages::default() };
        }
        let continue_token = match &pages.next {
            Next::Page(token) => Some(token.clone()),
            Next::First | Next::Done(_) => None,
        };
        let parameters = ListParams { limit: Some(PAGE), continue_token, ..ListParams::default() };
        let api = self.request.apis.get(pages.at)?;
        let page = match timeout(ANSWER, api.list(&parameters)).await {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => return self.fail_at(pages.at, Failure::of(&error)),
            Err(_) => return self.fail_at(pages.at, Failure::failed("the API server does not answer")),
        };
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        pages.next = match (text(page.metadata.continue_), text(page.metadata.resource_version)) {
            (Some(token), _) => Next::Page(token),
            (None, Some(version)) => Next::Done(version),
            (None, None) => return self.fail_at(pages.at, Failure::failed("the list has no resourceVersion")),
        };
        pages.objects = page.items.into_iter();
        self.state = State::Paging { place, pages };
        None
    }
}
