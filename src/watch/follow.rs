//! The events after a list: one watch, connected again whenever it ends, for as long as the server remembers.

use super::failure::{Failure, is_expired};
use super::list::{Connection, Position};
use super::object::RawObject;
use super::retry::Retry;
use futures::{Stream, StreamExt as _};
use kube::api::WatchParams;
use kube::core::WatchEvent;
use kube::{Api, Resource as _};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long the server may take to begin a watch.
const ANSWER: Duration = Duration::from_secs(60);
/// The client asks the server to end each watch after 290 s; one that is silent for longer is dead.
const SILENCE: Duration = Duration::from_secs(300);
/// A watch that ends sooner has failed.
const SHORT: Duration = Duration::from_secs(1);

/// What a watch shows.
pub(super) enum FollowStep {
    /// It works again after a failure.
    Recovered,
    /// An object was added or changed.
    Applied(RawObject),
    /// An object is gone.
    Deleted(RawObject),
    /// Nothing up to this version is left to be shown.
    Passed(String),
    /// It failed, and is tried again.
    Failed(Failure),
    /// The server has forgotten what came next: only a list helps.
    Expired(Retry),
}

/// Follows what happens after `position`. It ends once it has expired.
pub(super) fn follow(api: Api<RawObject>, position: Position) -> impl Stream<Item = FollowStep> + Send + 'static {
    let Position { resource_version, connection, retry } = position;
    let connection = connection.map(|events| (events, Instant::now()));
    let follower =
        Follower { api, resource_version, connection, retry, wait: Duration::ZERO, failed: false, expired: false };
    futures::stream::unfold(follower, |follower| async { follower.step().await })
}

struct Follower {
    api: Api<RawObject>,
    resource_version: String,
    /// With when it was made.
    connection: Option<(Connection, Instant)>,
    retry: Retry,
    /// Before it is connected again.
    wait: Duration,
    failed: bool,
    expired: bool,
}

impl Follower {
    async fn step(mut self) -> Option<(FollowStep, Self)> {
        if self.expired {
            return None;
        }
        loop {
            let step = match self.connection.take() {
                None => self.connect().await,
                Some((events, since)) => self.listen(events, since).await,
            };
            if let Some(step) = step {
                return Some((step, self));
            }
        }
    }

    fn fail(&mut self, failure: Failure) -> FollowStep {
        self.wait = self.retry.wait(Instant::now(), fastrand::f64());
        self.failed = true;
        FollowStep::Failed(failure)
    }

    fn expire(&mut self) -> FollowStep {
        self.expired = true;
        FollowStep::Expired(self.retry.clone())
    }

    async fn connect(&mut self) -> Option<FollowStep> {
        tokio::time::sleep(std::mem::take(&mut self.wait)).await;
        let opened = timeout(ANSWER, self.api.watch(&WatchParams::default(), &self.resource_version)).await;
        let events = match opened {
            Ok(Ok(events)) => events.boxed(),
            Ok(Err(error)) if is_expired(&error) => return Some(self.expire()),
            Ok(Err(error)) => return Some(self.fail(Failure::of(&error))),
            Err(_) => return Some(self.fail(Failure::failed("the API server does not answer"))),
        };
        self.connection = Some((events, Instant::now()));
        std::mem::take(&mut self.failed).then_some(FollowStep::Recovered)
    }

    async fn listen(&mut self, mut events: Connection, since: Instant) -> Option<FollowStep> {
        let step = match timeout(SILENCE, events.next()).await {
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => {
                self.passed(&object);
                FollowStep::Applied(object)
            }
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => {
                self.passed(&object);
                FollowStep::Deleted(object)
            }
            Ok(Some(Ok(WatchEvent::Bookmark(bookmark)))) => {
                self.resource_version = bookmark.metadata.resource_version;
                FollowStep::Passed(self.resource_version.clone())
            }
            Ok(Some(Ok(WatchEvent::Error(status)))) if status.code == 410 => return Some(self.expire()),
            Ok(Some(Ok(WatchEvent::Error(status)))) => {
                return Some(self.fail(Failure::refused(status.code, &status.message)));
            }
            Ok(Some(Err(error))) => return Some(self.fail(Failure::of(&error))),
            // The server ends every watch after a while.
            Ok(None) if since.elapsed() >= SHORT => return None,
            Ok(None) => return Some(self.fail(Failure::failed("the API server ends the watch at once"))),
            Err(_) => return None,
        };
        self.connection = Some((events, since));
        Some(step)
    }

    /// Goes on from the version of `object` when it is connected again.
    fn passed(&mut self, object: &RawObject) {
        if let Some(version) = object.meta().resource_version.as_ref().filter(|version| !version.is_empty()) {
            self.resource_version.clone_from(version);
        }
    }
}
