//! What connects a worker with the rest of the program.

use crate::change::Resync;
use crate::git::mailbox::Mailbox;
use crate::git::spec::BranchSpec;
use crate::git::status::{BranchEvent, BranchStatus, Counts, RemoteFailure, RemoteState, Severity};
use crate::resource::{BranchKey, NamespacedName};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};

/// How a worker that is not wanted any more ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It drops what is not committed, and pushes the rest.
    Release,
    /// It drops what is not committed, and pushes nothing more: the rest waits until the branch is wanted again.
    Halt,
}

/// The channels between a worker and the rest.
#[derive(Debug)]
pub struct Channels {
    /// What is wanted of it.
    pub spec: watch::Receiver<BranchSpec>,
    /// Its queue; closing it makes the worker push what it has and end.
    pub mailbox: Arc<Mailbox>,
    /// Set before the queue is closed when not all of that is wanted.
    pub ending: watch::Receiver<Option<Ending>>,
    /// What it tells.
    pub status: watch::Sender<BranchStatus>,
    /// Rung whenever the status changed.
    pub status_changed: Arc<Notify>,
    /// What it asks for.
    pub resync: mpsc::UnboundedSender<Resync>,
    /// What people should hear of.
    pub events: mpsc::UnboundedSender<BranchEvent>,
}

impl Channels {
    /// Which branch the worker is of.
    #[must_use]
    pub fn key(&self) -> BranchKey {
        self.spec.borrow().key.clone()
    }

    pub(super) fn report(&self, update: impl FnOnce(&mut BranchStatus)) {
        let changed = self.status.send_if_modified(|status| {
            let before = status.clone();
            update(status);
            // Counts wake nobody.
            BranchStatus { counts: before.counts.clone(), ..status.clone() } != before
        });
        if changed {
            self.status_changed.notify_one();
        }
    }

    /// Updates what moves all the time, for whoever looks by himself.
    pub(super) fn count(&self, update: impl FnOnce(&mut Counts)) {
        self.status.send_if_modified(|status| {
            update(&mut status.counts);
            false
        });
    }

    pub(super) fn report_failure(&self, failure: RemoteFailure) {
        self.report(|status| status.remote = RemoteState::Failed(failure));
    }

    pub(super) fn tell(&self, target: &NamespacedName, severity: Severity, reason: &'static str, message: &str) {
        let event = BranchEvent { target: target.clone(), severity, reason, message: message.to_owned() };
        if self.events.send(event).is_err() {
            tracing::debug!("Nobody publishes events: the program is leaving");
        }
    }

    pub(super) fn request_targets(&self, targets: impl IntoIterator<Item = NamespacedName>) {
        targets.into_iter().for_each(|target| self.request(Resync::Target(target)));
    }

    pub(super) fn request(&self, resync: Resync) {
        if self.resync.send(resync).is_err() {
            tracing::debug!("Nobody answers resyncs: the program is leaving");
        }
    }
}
