//! How many git processes may run at once: in all, and for one repository's server.
//!
//! An operation on a remote takes a permit of its repository, one of those that all remotes share, and one of all; a
//! local command takes one of all only. The remotes share fewer than there are, so that however many of them are slow,
//! what is local (making commits, looking at the clone) never waits for a network.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Running git processes, as far as no flag says otherwise.
const IN_ALL: usize = 24;
/// Of these, for one repository.
const PER_REPOSITORY: usize = 5;

/// The permits of all git processes of this program.
#[derive(Debug)]
pub struct ProcessLimits {
    all: Arc<Semaphore>,
    remotes: Arc<Semaphore>,
    per_repository: usize,
    repositories: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self::new(IN_ALL, PER_REPOSITORY)
    }
}

/// Held while a process runs.
#[derive(Debug)]
pub struct Permit {
    _held: Vec<OwnedSemaphorePermit>,
}

impl ProcessLimits {
    /// At most `all` processes, and `per_repository` of them on one repository; each at least 1. A quarter of them, and
    /// at least one where there are two, is kept for local commands.
    #[must_use]
    pub fn new(all: usize, per_repository: usize) -> Self {
        let all = all.max(1);
        let local_only = (all / 4).max(1);
        Self {
            all: Arc::new(Semaphore::new(all)),
            remotes: Arc::new(Semaphore::new(all.saturating_sub(local_only).max(1))),
            per_repository: per_repository.max(1),
            repositories: Mutex::default(),
        }
    }

    /// Waits for its turn; `repository` names what is talked to, if anything is.
    pub async fn acquire(&self, repository: Option<&str>) -> Permit {
        let mut wanted = Vec::with_capacity(3);
        if let Some(repository) = repository {
            // In this order a branch that waits for its turn at a slow server keeps nothing from the others.
            wanted.push(self.of_repository(repository));
            wanted.push(Arc::clone(&self.remotes));
        }
        wanted.push(Arc::clone(&self.all));
        let mut held = Vec::with_capacity(wanted.len());
        for semaphore in wanted {
            // None of them is ever closed.
            held.extend(semaphore.acquire_owned().await.ok());
        }
        Permit { _held: held }
    }

    fn of_repository(&self, repository: &str) -> Arc<Semaphore> {
        // A panic elsewhere leaves the map as it was.
        let mut repositories = self.repositories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = repositories.get(repository).and_then(Weak::upgrade) {
            return known;
        }
        // One that nobody holds or waits for has all its permits: it can be made anew.
        repositories.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(self.per_repository));
        repositories.insert(repository.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn try_now(limits: &ProcessLimits, repository: Option<&str>) -> Option<Permit> {
        limits.acquire(repository).now_or_never()
    }

    #[test]
    fn one_repository_has_its_share_and_no_more() {
        let limits = ProcessLimits::new(24, 2);
        let held: Vec<_> = (0..2).map(|_| try_now(&limits, Some("a")).unwrap()).collect();
        assert!(try_now(&limits, Some("a")).is_none());
        assert!(try_now(&limits, Some("b")).is_some() && try_now(&limits, None).is_some());
        drop(held);
        assert!(try_now(&limits, Some("a")).is_some());
    }

    #[test]
    fn remotes_leave_room_for_what_is_local() {
        for (all, remotes) in [(1, 1), (2, 1), (4, 3), (24, 18)] {
            let limits = ProcessLimits::new(all, 5);
            let held: Vec<_> = (0..all).map_while(|n| try_now(&limits, Some(&n.to_string()))).collect();
            assert_eq!(held.len(), remotes, "of {all}");
            let local: Vec<_> = (0..all).map_while(|_| try_now(&limits, None)).collect();
            assert_eq!(local.len(), all - remotes, "of {all}");
        }
    }

    #[test]
    fn who_waits_for_its_own_server_keeps_nothing_from_the_others() {
        let limits = ProcessLimits::new(3, 1);
        let _held = try_now(&limits, Some("slow")).unwrap();
        let mut waiting = Box::pin(limits.acquire(Some("slow")));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(try_now(&limits, Some("other")).is_some());
    }
}
