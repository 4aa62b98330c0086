//! All workers: starts those that are wanted, lets go those that are not.

use super::clone::{place, stale};
use super::mailbox::Mailbox;
use super::spec::BranchSpec;
use super::status::{BranchEvent, BranchStatus};
use super::worker::{self, Channels, Ending, Settings};
use crate::change::Resync;
use crate::resource::BranchKey;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

/// A worker ended in a way that it must not.
#[derive(Debug, thiserror::Error)]
#[error("the worker of a branch failed: {0}")]
pub struct WorkerFailed(#[from] tokio::task::JoinError);

/// The workers of all branches.
#[derive(Debug)]
pub struct Pool {
    resync: mpsc::UnboundedSender<Resync>,
    events: mpsc::UnboundedSender<BranchEvent>,
    changed: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    workers: HashMap<BranchKey, Handle>,
    /// Held by a branch's worker while it lives, so that one that is wanted again waits for its predecessor to leave the
    /// clone.
    clones: HashMap<BranchKey, Arc<tokio::sync::Mutex<()>>>,
    /// The workers that are about to end, so that they can be halted still.
    ending: HashMap<BranchKey, watch::Sender<Option<Ending>>>,
    /// `None` once the pool is closed.
    start: Option<mpsc::UnboundedSender<Start>>,
}

#[derive(Debug)]
struct Handle {
    spec: watch::Sender<BranchSpec>,
    status: watch::Receiver<BranchStatus>,
    mailbox: Arc<Mailbox>,
    ending: watch::Sender<Option<Ending>>,
}

/// A worker to be started.
#[derive(Debug)]
pub struct Start {
    channels: Channels,
    clone: Arc<tokio::sync::Mutex<()>>,
}

impl Pool {
    /// An empty pool, and what [`run`] needs to run its workers. Workers ask for content through `resync`, and tell
    /// what people should hear of through `events`.
    #[must_use]
    pub fn new(
        resync: mpsc::UnboundedSender<Resync>,
        events: mpsc::UnboundedSender<BranchEvent>,
    ) -> (Self, mpsc::UnboundedReceiver<Start>) {
        let (start, starts) = mpsc::unbounded_channel();
        let state =
            State { workers: HashMap::new(), clones: HashMap::new(), ending: HashMap::new(), start: Some(start) };
        (Self { resync, events, changed: Arc::default(), state: Mutex::new(state) }, starts)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every mutation below leaves the state consistent, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the workers what `branches` says, which is the whole desired set: starts what is new, tells what changed,
    /// lets the others push what they have and end. Those of `halted` branches end without another push; what they have
    /// committed is pushed when the branch comes back.
    pub fn apply(&self, branches: Vec<BranchSpec>, halted: &HashSet<BranchKey>) {
        let mut state = self.state();
        if state.start.is_none() {
            return;
        }
        let mut wanted: HashMap<BranchKey, BranchSpec> =
            branches.into_iter().map(|spec| (spec.key.clone(), spec)).collect();
        let State { workers, ending, .. } = &mut *state;
        let mut unwanted = Vec::new();
        workers.retain(|key, handle| match wanted.remove(key) {
            Some(spec) => {
                handle.spec.send_if_modified(|current| {
                    let changed = *current != spec;
                    *current = spec;
                    changed
                });
                true
            }
            None => {
                unwanted.push((key.clone(), handle.ending.clone(), Arc::clone(&handle.mailbox)));
                false
            }
        });
        for (key, end, mailbox) in unwanted {
            let how = if halted.contains(&key) { Ending::Halt } else { Ending::Release };
            end.send_replace(Some(how));
            mailbox.close();
            ending.insert(key, end);
        }
        ending.retain(|key, end| {
            if halted.contains(key) {
                end.send_if_modified(|how| how.replace(Ending::Halt) != Some(Ending::Halt));
            }
            !end.is_closed()
        });
        // The lock of a clone that has neither a worker nor one that waits for it.
        let State { workers, clones, .. } = &mut *state;
        clones.retain(|key, lock| workers.contains_key(key) || Arc::strong_count(lock) > 1);
        for spec in wanted.into_values() {
            self.start(&mut state, spec);
        }
    }

    fn start(&self, state: &mut State, spec: BranchSpec) {
        let key = spec.key.clone();
        let clone = Arc::clone(state.clones.entry(key.clone()).or_default());
        let (spec, wanted) = watch::channel(spec);
        let (report, status) = watch::channel(BranchStatus::default());
        let (ending, ends) = watch::channel(None);
        let mailbox = Arc::<Mailbox>::default();
        let channels = Channels {
            spec: wanted,
            mailbox: Arc::clone(&mailbox),
            ending: ends,
            status: report,
            status_changed: Arc::clone(&self.changed),
            resync: self.resync.clone(),
            events: self.events.clone(),
        };
        state.workers.insert(key, Handle { spec, status, mailbox, ending });
        if let Some(start) = &state.start
            && start.send(Start { channels, clone }).is_err()
        {
            tracing::debug!("Nobody starts workers: the program is leaving");
        }
    }

    /// The queue of a branch's worker, while there is one.
    #[must_use]
    pub fn mailbox(&self, key: &BranchKey) -> Option<Arc<Mailbox>> {
        self.state().workers.get(key).map(|handle| Arc::clone(&handle.mailbox))
    }

    /// What every worker tells.
    #[must_use]
    pub fn statuses(&self) -> HashMap<BranchKey, BranchStatus> {
        let state = self.state();
        let status = |handle: &Handle| {
            let mut status = handle.status.borrow().clone();
            status.counts.queued += handle.mailbox.waiting();
            status
        };
        state.workers.iter().map(|(key, handle)| (key.clone(), status(handle))).collect()
    }

    /// Resolves once any status has changed since the last call. For one caller.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Lets all workers push what they have and end; [`run`] ends with the last of them.
    pub fn close(&self) {
        let mut state = self.state();
        state.start = None;
        for (_, handle) in state.workers.drain() {
            handle.mailbox.close();
        }
    }
}

/// Runs the workers of a pool until it is closed and all have ended.
///
/// # Errors
/// When a worker panicked.
pub async fn run(settings: Arc<Settings>, mut starts: mpsc::UnboundedReceiver<Start>) -> Result<(), WorkerFailed> {
    let mut workers = JoinSet::new();
    let mut owners: HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>> = HashMap::new();
    let first = tokio::time::Instant::now() + settings.clones.sweep;
    let mut sweeps = tokio::time::interval_at(first, settings.clones.sweep);
    loop {
        tokio::select! {
            start = starts.recv() => match start {
                Some(Start { channels, clone }) => {
                    let settings = Arc::clone(&settings);
                    let folder = place::folder_of(&settings.places.work_dir, &channels.key());
                    owners.insert(folder.clone(), Arc::downgrade(&clone));
                    workers.spawn(async move {
                        let _owner = clone.lock_owned().await;
                        worker::run(settings, channels).await;
                        stale::touch(&folder);
                    });
                }
                None => break,
            },
            Some(ended) = workers.join_next() => ended?,
            _ = sweeps.tick() => sweep(&settings, &mut owners).await,
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    Ok(())
}

/// Removes the clones that nobody has wanted for long. None is started meanwhile.
async fn sweep(settings: &Settings, owners: &mut HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>) {
    owners.retain(|_, owner| owner.strong_count() > 0);
    let found = stale::list(&settings.places.work_dir, settings.clones.ttl);
    let found = found.unwrap_or_else(|error| {
        tracing::warn!(%error, "Clones that nobody wants cannot be listed");
        Vec::new()
    });
    for clone in found {
        let owner = owners.get(&clone).and_then(Weak::upgrade);
        // A worker holds it while it lives.
        let is_used = owner.is_some_and(|owner| owner.try_lock().is_err());
        if !is_used && let Err(error) = stale::remove(&settings.git, &clone).await {
            tracing::warn!(%error, directory = %clone.display(), "A clone that nobody wants stays");
        }
    }
}
