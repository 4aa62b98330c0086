//! All watches: one a type, started and stopped as the rules want.

use super::report::Reporter;
use super::type_watch::{Command, TypeWatch};
use crate::attribution::Index;
use crate::change::{Notice, Resync};
use crate::git::pool::Pool;
use crate::resource::ResourceType;
use crate::rules::RuleSet;
use kube::Client;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// How many lists the API server is asked for at the same time.
const LISTS: usize = 8;

/// The watch plane cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PlaneFailed {
    /// A watch ended in a way that it must not.
    #[error("a watch failed: {0}")]
    Stream(#[from] tokio::task::JoinError),
    /// Nobody supplies rules any more.
    #[error("the rules ended")]
    RulesEnded,
}

/// What every watch needs.
#[derive(Clone)]
pub struct Context {
    /// Access to the API server.
    pub client: Client,
    /// Where changes go.
    pub pool: Arc<Pool>,
    /// Where what a person should hear of goes.
    pub notices: mpsc::Sender<Notice>,
    /// Who did what.
    pub evidence: Arc<Index>,
    /// Whether objects that the cluster makes by itself are left out.
    pub filters_noise: bool,
    /// Where it is told how the watches are.
    pub reporter: Reporter,
    /// Up to so many namespaces a type is watched in each of them, beyond that in all at once.
    pub namespaced_watch_limit: usize,
}

struct Plane {
    context: Context,
    places: Arc<Semaphore>,
    types: HashMap<Arc<ResourceType>, Running>,
    tasks: JoinSet<()>,
}

struct Running {
    commands: mpsc::UnboundedSender<Command>,
    task: AbortHandle,
}

/// Watches what `rules` wants, and answers `resyncs`, until it is dropped.
///
/// # Errors
/// When a watch panicked, or the rules ended.
pub async fn run(
    context: Context,
    mut rules: watch::Receiver<Arc<RuleSet>>,
    mut resyncs: mpsc::UnboundedReceiver<Resync>,
) -> Result<(), PlaneFailed> {
    let places = Arc::new(Semaphore::new(LISTS));
    let mut plane = Plane { context, places, types: HashMap::new(), tasks: JoinSet::new() };
    let current = Arc::clone(&rules.borrow_and_update());
    plane.follow(&current);
    loop {
        tokio::select! {
            changed = rules.changed() => {
                changed.map_err(|_| PlaneFailed::RulesEnded)?;
                let current = Arc::clone(&rules.borrow_and_update());
                plane.follow(&current);
            }
            Some(resync) = resyncs.recv() => plane.resync(&resync),
            Some(ended) = plane.tasks.join_next() => match ended {
                Err(error) if !error.is_cancelled() => return Err(error.into()),
                _ => {}
            },
        }
    }
}

impl Plane {
    /// Stops what is no longer wanted, starts what is new, and tells the others.
    fn follow(&mut self, rules: &Arc<RuleSet>) {
        let wanted: HashSet<&Arc<ResourceType>> = rules.kinds().collect();
        self.types.retain(|kind, running| {
            let keep = wanted.contains(kind);
            if !keep {
                tracing::info!(%kind, "Type is not watched any more");
                running.task.abort();
                self.context.reporter.publish(kind, BTreeMap::new());
            }
            keep
        });
        for kind in wanted {
            if !self.types.contains_key(kind) {
                self.start(kind);
            }
            self.tell(kind, Command::Rules(Arc::clone(rules)));
        }
    }

    fn start(&mut self, kind: &Arc<ResourceType>) {
        let watch = TypeWatch::new(Arc::clone(kind), self.context.clone(), Arc::clone(&self.places));
        let (commands, receiver) = mpsc::unbounded_channel();
        let task = self.tasks.spawn(watch.run(receiver));
        self.types.insert(Arc::clone(kind), Running { commands, task });
    }

    fn resync(&self, resync: &Resync) {
        match resync {
            Resync::Target(target) => {
                tracing::info!(%target, "Everything is listed again for a target");
                self.types.keys().for_each(|kind| self.tell(kind, Command::Reseed(target.clone())));
            }
            Resync::Objects { target, ids } => {
                let mut by_kind: HashMap<&Arc<ResourceType>, Vec<_>> = HashMap::new();
                ids.iter().for_each(|id| by_kind.entry(&id.kind).or_default().push(id.clone()));
                for (kind, ids) in by_kind {
                    self.tell(kind, Command::Objects(target.clone(), ids));
                }
            }
        }
    }

    fn tell(&self, kind: &Arc<ResourceType>, command: Command) {
        if let Some(running) = self.types.get(kind)
            && running.commands.send(command).is_err()
        {
            tracing::debug!(%kind, "Watch has ended already");
        }
    }
}
