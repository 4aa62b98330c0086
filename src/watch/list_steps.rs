//! How a list hands over what it gets, and when it may ask for more.
//!
//! A list asks the API server only while it has one of a few places. Whoever takes what has come may be slow for reasons
//! of his own; a list that he keeps waiting has no place, and so keeps no other from going on.

use super::failure::Failure;
use super::list::Position;
use super::object::RawObject;
use futures::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How many steps may wait to be taken.
const ROOM: usize = 16;
/// A list that is kept waiting for so long leaves its place.
const HELD_UP: Duration = Duration::from_millis(250);

/// What happens in a list.
pub(super) enum ListStep {
    /// It begins, perhaps once more: what it has shown so far is worthless. It is asked for only once this was taken.
    Begun,
    /// One of its objects.
    Object(RawObject),
    /// That was all.
    Complete(Position),
    /// It failed at this of its APIs, and will be begun again.
    Failed(usize, Failure),
}

/// Why a list does not go on.
pub(super) enum Stop {
    /// It failed, at this of its APIs.
    Failed(usize, Failure),
    /// Nobody takes its steps any more.
    Unwanted,
}

/// Where a list hands its steps over.
pub(super) struct ListSteps {
    out: mpsc::Sender<ListStep>,
    places: Arc<Semaphore>,
    place: Option<OwnedSemaphorePermit>,
}

/// The steps of a list, which runs by itself until it ends, or nobody takes them any more.
pub(super) fn run<L>(places: Arc<Semaphore>, list: impl FnOnce(ListSteps) -> L) -> impl Stream<Item = ListStep> + Send
where
    L: Future<Output = ()> + Send + 'static,
{
    let (steps, taken) = ListSteps::new(places);
    // It ends with whoever has it.
    let mut running = JoinSet::new();
    running.spawn(list(steps));
    futures::stream::unfold((taken, running), async |(mut taken, mut running)| {
        if let Some(step) = taken.recv().await {
            return Some((step, (taken, running)));
        }
        if let Some(Err(error)) = running.join_next().await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        None
    })
}

impl ListSteps {
    fn new(places: Arc<Semaphore>) -> (Self, mpsc::Receiver<ListStep>) {
        let (out, taken) = mpsc::channel(ROOM);
        (Self { out, places, place: None }, taken)
    }

    /// Waits for a place, unless it has one.
    pub(super) async fn take_place(&mut self) {
        if self.place.is_none() {
            // The semaphore is never closed.
            self.place = Arc::clone(&self.places).acquire_owned().await.ok();
        }
    }

    /// Leaves its place to others.
    pub(super) fn leave_place(&mut self) {
        self.place = None;
    }

    /// Says that the list begins, and waits until that was taken.
    pub(super) async fn begin(&mut self) -> Result<(), Stop> {
        self.leave_place();
        self.say(ListStep::Begun).await?;
        self.out.reserve_many(ROOM).await.map(drop).map_err(|_| Stop::Unwanted)
    }

    /// Hands `step` over, and leaves its place if that takes long. What is no object ends what it had one for.
    pub(super) async fn say(&mut self, step: ListStep) -> Result<(), Stop> {
        if !matches!(step, ListStep::Object(_)) {
            self.leave_place();
        }
        if let Ok(room) = timeout(HELD_UP, self.out.reserve()).await {
            room.map_err(|_| Stop::Unwanted)?.send(step);
            return Ok(());
        }
        self.leave_place();
        self.out.send(step).await.map_err(|_| Stop::Unwanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::poll;
    use std::pin::pin;

    const DEADLINE: Duration = Duration::from_secs(30);

    fn mk_object() -> ListStep {
        ListStep::Object(serde_json::from_str(r#"{"metadata":{"name":"a"}}"#).unwrap())
    }

    #[tokio::test]
    async fn who_is_kept_waiting_has_no_place_until_he_goes_on() {
        let places = Arc::new(Semaphore::new(1));
        let (mut steps, mut taken) = ListSteps::new(Arc::clone(&places));
        steps.take_place().await;
        let mut lister = JoinSet::new();
        lister.spawn(async move {
            for _ in 0..=ROOM {
                steps.take_place().await;
                steps.say(mk_object()).await.ok();
            }
            steps.take_place().await;
        });
        let other = timeout(DEADLINE, places.acquire()).await.expect("a place").unwrap();
        for _ in 0..=ROOM {
            assert!(matches!(timeout(DEADLINE, taken.recv()).await.expect("a step"), Some(ListStep::Object(_))));
        }
        assert!(lister.try_join_next().is_none(), "it waits for its turn");
        drop(other);
        timeout(DEADLINE, lister.join_next()).await.expect("to go on").unwrap().unwrap();
    }

    #[tokio::test]
    async fn nothing_is_asked_for_before_the_beginning_was_taken() {
        let (mut steps, mut taken) = ListSteps::new(Arc::new(Semaphore::new(1)));
        let mut begun = pin!(steps.begin());
        assert!(poll!(begun.as_mut()).is_pending());
        assert!(matches!(taken.recv().await, Some(ListStep::Begun)));
        assert!(poll!(begun.as_mut()).is_ready());
    }

    #[tokio::test]
    async fn a_list_ends_when_nobody_takes_its_steps() {
        let (gone, ended) = tokio::sync::oneshot::channel::<()>();
        let steps = run(Arc::new(Semaphore::new(1)), |_steps| async move {
            std::future::pending::<()>().await;
            drop(gone);
        });
        drop(steps);
        assert!(timeout(DEADLINE, ended).await.expect("an end").is_err());
    }
}
