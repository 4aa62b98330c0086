//! What goes to the workers: live changes at once, parts of lists as there is room for them.

use super::intake::Delivery;
use crate::git::mailbox::Message;
use crate::git::pool::Pool;
use std::collections::VecDeque;
use std::sync::Arc;

/// The parts of lists of one type that wait for room, in order.
#[derive(Debug)]
pub(super) struct Outbox {
    pool: Arc<Pool>,
    waiting: VecDeque<Delivery>,
}

impl Outbox {
    pub(super) const fn new(pool: Arc<Pool>) -> Self {
        Self { pool, waiting: VecDeque::new() }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hands on what can be handed on now.
    pub(super) fn deliver(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match delivery.message {
                Message::Change(change) => {
                    // Without a worker the target is on its way out.
                    if let Some(mailbox) = self.pool.mailbox(&delivery.target.branch) {
                        mailbox.send(*change);
                    }
                }
                message => self.waiting.push_back(Delivery { message, ..delivery }),
            }
        }
        self.flush();
    }

    /// Hands on the parts of lists for which there is room.
    pub(super) fn flush(&mut self) {
        while let Some(Delivery { target, message }) = self.waiting.pop_front() {
            let Some(mailbox) = self.pool.mailbox(&target.branch) else { continue };
            if let Err(message) = mailbox.offer_seed(message) {
                self.waiting.push_front(Delivery { target, message });
                return;
            }
        }
    }

    /// Waits until there may be room for the first part that waits.
    pub(super) async fn room(&self) {
        let first = self.waiting.front();
        if let Some(mailbox) = first.and_then(|delivery| self.pool.mailbox(&delivery.target.branch)) {
            mailbox.seed_room().await;
        }
    }
}
