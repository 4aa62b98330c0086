//! The queue between the watch plane and one branch's worker, bounded in bytes.
//!
//! Initial lists wait for room: that is the backpressure. Live changes never wait; over the budget they lose their
//! content and come back by a resync.

use crate::change::{Change, Content, SeedItem, SeedScope};
use crate::resource::{NamespaceSet, RepoPath};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Content of initial lists that may wait.
const SEED_BYTES: usize = 8 << 20;
/// Content of live changes and lists together, above which live changes lose theirs.
const TOTAL_BYTES: usize = 32 << 20;

/// What a message takes besides its content: names, path, evidence.
const ENVELOPE: usize = 512;

/// One thing for the worker to do.
#[derive(Debug)]
pub enum Message {
    /// A live change.
    Change(Box<Change>),
    /// An initial list starts.
    SeedBegin(Arc<SeedScope>),
    /// One object of it.
    SeedItem(Arc<SeedScope>, SeedItem),
    /// An object of the list whose file is to stay as it is.
    SeedKeep(Arc<SeedScope>, RepoPath),
    /// The list is complete: files of its scope that it did not name are orphans, and those in these namespaces are to go.
    SeedEnd(Arc<SeedScope>, NamespaceSet),
}

impl Message {
    fn bytes(&self) -> usize {
        let content = match self {
            Self::Change(change) => match &change.content {
                Content::Upsert(manifest) => manifest.len(),
                Content::Delete | Content::Deselect | Content::Dropped => 0,
            },
            Self::SeedItem(_, item) => item.manifest.len(),
            Self::SeedBegin(_) | Self::SeedKeep(..) | Self::SeedEnd(..) => 0,
        };
        content + ENVELOPE
    }
}

/// The queue of one worker. Many senders, one receiver.
#[derive(Debug, Default)]
pub struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
    drained: Notify,
    closing: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Message>,
    bytes: usize,
    closed: bool,
}

impl Mailbox {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every mutation below leaves the state consistent, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a live change, at once. Over the budget its content is dropped.
    pub fn send(&self, mut change: Change) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        if let Content::Upsert(manifest) = &change.content
            && state.bytes.saturating_add(manifest.len()) > TOTAL_BYTES
        {
            change.content = Content::Dropped;
        }
        let message = Message::Change(Box::new(change));
        state.bytes += message.bytes();
        state.queue.push_back(message);
        drop(state);
        self.arrived.notify_one();
    }

    /// Queues a part of a list if there is room, else gives it back. A closed mailbox takes everything, and forgets it.
    ///
    /// # Errors
    /// The message, when there is no room for it.
    pub fn offer_seed(&self, message: Message) -> Result<(), Message> {
        let mut state = self.state();
        if state.closed {
            return Ok(());
        }
        if state.bytes >= SEED_BYTES {
            return Err(message);
        }
        state.bytes += message.bytes();
        state.queue.push_back(message);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits until there may be room for a part of a list.
    pub async fn seed_room(&self) {
        loop {
            let drained = self.drained.notified();
            {
                let state = self.state();
                if state.closed || state.bytes < SEED_BYTES {
                    return;
                }
            }
            drained.await;
        }
    }

    /// Queues a part of a list, as soon as there is room.
    pub async fn send_seed(&self, message: Message) {
        let mut message = message;
        while let Err(refused) = self.offer_seed(message) {
            message = refused;
            self.seed_room().await;
        }
    }

    /// Takes what is queued, at most `limit` messages; waits for the first. `None` once the mailbox is closed and empty.
    pub async fn receive(&self, limit: usize) -> Option<Vec<Message>> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state();
                if !state.queue.is_empty() {
                    let count = state.queue.len().min(limit);
                    let messages: Vec<Message> = state.queue.drain(..count).collect();
                    state.bytes -= messages.iter().map(Message::bytes).sum::<usize>();
                    drop(state);
                    self.drained.notify_waiters();
                    return Some(messages);
                }
                if state.closed {
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// How many messages wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state().queue.len()
    }

    /// Takes no more messages; those that are queued can still be received.
    pub fn close(&self) {
        self.state().closed = true;
        self.arrived.notify_one();
        self.drained.notify_waiters();
        self.closing.notify_waiters();
    }

    /// Resolves once the mailbox is closed.
    pub async fn closed(&self) {
        let closing = self.closing.notified();
        if !self.state().closed {
            closing.await;
        }
    }
}
