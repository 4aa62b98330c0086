//! One watch: list, then events, of one type in one scope; again from the start when somebody needs a list.

use super::intake::{Delivery, Intake};
use super::object::RawObject;
use super::plane::Context;
use crate::change::Notice;
use crate::git::mailbox::Message;
use crate::git::pool::Pool;
use crate::resource::{NamespacedName, ResourceId, ResourceType};
use crate::rules::{RuleSet, WatchScope};
use futures::StreamExt as _;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many objects a page of a list has.
const PAGE: u32 = 500;

/// What a stream is told.
#[derive(Clone, Debug)]
pub enum Command {
    /// Who wants what has changed.
    Rules(Arc<RuleSet>),
    /// The target needs everything again.
    Reseed(NamespacedName),
    /// The target needs these objects again.
    Objects(NamespacedName, Vec<ResourceId>),
}

/// One watch of one type.
#[derive(Debug)]
pub struct Stream {
    kind: Arc<ResourceType>,
    api: Api<RawObject>,
    pool: Arc<Pool>,
    notices: mpsc::Sender<Notice>,
    /// Bounds the lists that run at the same time: the API server answers more with 429.
    lists: Arc<Semaphore>,
    listing: Option<OwnedSemaphorePermit>,
    intake: Intake,
}

impl Stream {
    /// A watch of `kind` in `scope`, for those that `rules` names.
    #[must_use]
    pub fn new(
        context: &Context,
        kind: &Arc<ResourceType>,
        scope: &WatchScope,
        lists: Arc<Semaphore>,
        intake: Intake,
    ) -> Self {
        let Context { client, pool, notices, .. } = context.clone();
        let resource = kind.api_resource();
        let api = match scope {
            WatchScope::All => Api::all_with(client, &resource),
            WatchScope::Namespace(namespace) => Api::namespaced_with(client, namespace, &resource),
        };
        Self { kind: Arc::clone(kind), api, pool, notices, lists, listing: None, intake }
    }

    /// Watches until nobody commands any more.
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let config = watcher::Config::default().page_size(PAGE);
            let mut events = pin!(watcher(self.api.clone(), config).default_backoff());
            loop {
                tokio::select! {
                    biased;
                    command = commands.recv() => {
                        let Some(command) = command else { return };
                        if self.obey(command).await {
                            // The list that is cut off gives its place to others.
                            self.listing = None;
                            break;
                        }
                    }
                    Some(event) = events.next() => self.take(event).await,
                }
            }
        }
    }

    /// Carries out a command; returns whether the watch has to start again with a list.
    async fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Rules(rules) => self.intake.set_rules(rules),
            Command::Reseed(target) => self.intake.unseed(&target),
            // A target without a list gets them with the list.
            Command::Objects(target, _) if !self.intake.is_seeded(&target) => false,
            Command::Objects(target, ids) => {
                for id in ids {
                    if let Err(error) = self.fetch(&target, &id).await {
                        tracing::warn!(object = %id, %target, %error, "Object cannot be read again; all are listed");
                        return self.intake.unseed(&target);
                    }
                }
                false
            }
        }
    }

    async fn fetch(&mut self, target: &NamespacedName, id: &ResourceId) -> Result<(), kube::Error> {
        let api = match &id.name.namespace {
            Some(namespace) => {
                Api::namespaced_with(self.api.clone().into_client(), namespace, &self.kind.api_resource())
            }
            None => self.api.clone(),
        };
        // The deletion of one that is gone comes, or came, by the watch.
        let object: Option<RawObject> = api.get_opt(&id.name.name).await?;
        let delivery = object.and_then(|object| self.intake.asked_for(&object, target));
        self.deliver(delivery.into_iter().collect()).await;
        Ok(())
    }

    async fn take(&mut self, event: Result<watcher::Event<RawObject>, watcher::Error>) {
        let now = Instant::now();
        let deliveries = match event {
            Ok(watcher::Event::Init) => {
                // Whoever holds a place while waiting for one would wait for himself. The semaphore is never closed.
                self.listing = None;
                self.listing = Arc::clone(&self.lists).acquire_owned().await.ok();
                self.intake.begin()
            }
            Ok(watcher::Event::InitApply(object)) => self.intake.listed(&object, now),
            Ok(watcher::Event::InitDone) => {
                self.listing = None;
                let deliveries = self.intake.end(now);
                let (objects, unusable) = (self.intake.len(), self.intake.unusable());
                tracing::info!(kind = %self.kind, objects, unusable, "List is complete");
                deliveries
            }
            Ok(watcher::Event::Apply(object)) => self.intake.applied(&object, now),
            Ok(watcher::Event::Delete(object)) => self.intake.deleted(&object, now),
            Err(error) => {
                self.listing = None;
                match &error {
                    watcher::Error::WatchError(status) if status.code == 410 => {
                        tracing::info!(kind = %self.kind, "Watch fell behind; it starts again with a list");
                    }
                    _ => tracing::warn!(kind = %self.kind, %error, "Watch failed; it is tried again"),
                }
                return;
            }
        };
        self.deliver(deliveries).await;
        for notice in self.intake.take_notices() {
            // With many of them waiting, one more says nothing new; the log has them all.
            self.notices.try_send(notice).ok();
        }
    }

    async fn deliver(&self, deliveries: Vec<Delivery>) {
        for Delivery { target, message } in deliveries {
            // Without a worker the target is on its way out; a new one asks for everything.
            let Some(mailbox) = self.pool.mailbox(&target.branch) else { continue };
            match message {
                Message::Change(change) => mailbox.send(*change),
                seed => mailbox.send_seed(seed).await,
            }
        }
    }
}
