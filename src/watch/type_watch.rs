//! The task of one type: its watches, its lists, and the one intake that they feed.
//!
//! Live changes are handed on at once. Lists wait for room at the workers, one object at a time, and hold up nothing but
//! other lists.

use super::failure::Failure;
use super::follow::{FollowStep, follow};
use super::intake::{Delivery, Intake, Source};
use super::list::{ListRequest, ListStep, Position, list};
use super::object::RawObject;
use super::permission::may_watch_everywhere;
use super::plane::Context;
use super::report::FailureReason;
use super::retry::Retry;
use super::scopes::{Scopes, range};
use crate::git::mailbox::Message;
use crate::git::pool::Pool;
use crate::resource::{NamespaceSet, NamespacedName, ResourceId, ResourceType};
use crate::rules::{RuleSet, WatchScope};
use futures::future::BoxFuture;
use futures::stream::{AbortHandle, BoxStream, SelectAll, abortable};
use futures::{FutureExt as _, StreamExt as _};
use kube::Api;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};

/// So long the watches that run may take to show what the list that is to take over from them has shown.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How long a refusal to watch all namespaces counts.
const REFUSAL: Duration = Duration::from_secs(60);

/// What a task is told.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Who wants what has changed.
    Rules(Arc<RuleSet>),
    /// The target needs everything again.
    Reseed(NamespacedName),
    /// The target needs these objects again.
    Objects(NamespacedName, Vec<ResourceId>),
}

/// The watches of one type.
pub(super) struct TypeWatch {
    kind: Arc<ResourceType>,
    context: Context,
    places: Arc<Semaphore>,
    intake: Intake,
    rules: Arc<RuleSet>,
    /// Whether the server streams lists of this type, as far as is known.
    streams: Arc<AtomicBool>,
    scopes: Scopes,
    /// Of the list or watch of each scope.
    stops: HashMap<WatchScope, AbortHandle>,
    /// Complete lists that other watches have to catch up with, and until when.
    waiting: BTreeMap<WatchScope, (Position, Instant)>,
    /// The list beside the watches, and of what it is.
    side: Option<(AbortHandle, NamespaceSet)>,
    lists: SelectAll<BoxStream<'static, (Source, ListStep)>>,
    live: SelectAll<BoxStream<'static, (WatchScope, FollowStep)>>,
    /// Parts of lists that wait for room.
    outbox: VecDeque<Delivery>,
    asked: VecDeque<(NamespacedName, ResourceId)>,
    fetching: Option<BoxFuture<'static, Fetched>>,
    permission: Permission,
}

/// An object that a target has asked for.
struct Fetched {
    target: NamespacedName,
    id: ResourceId,
    object: kube::Result<Option<RawObject>>,
}

/// Whether the type may be watched in all namespaces.
enum Permission {
    Unknown,
    Asked(BoxFuture<'static, bool>),
    Granted,
    Refused(Instant),
}

impl TypeWatch {
    /// Watches of `kind`; none before there are rules.
    pub(super) fn new(kind: Arc<ResourceType>, context: Context, places: Arc<Semaphore>) -> Self {
        let intake = Intake::new(Arc::clone(&kind), Arc::clone(&context.evidence), context.filters_noise);
        Self {
            kind,
            context,
            places,
            intake,
            rules: Arc::default(),
            streams: Arc::new(AtomicBool::new(true)),
            scopes: Scopes::default(),
            stops: HashMap::new(),
            waiting: BTreeMap::new(),
            side: None,
            lists: SelectAll::new(),
            live: SelectAll::new(),
            outbox: VecDeque::new(),
            asked: VecDeque::new(),
            fetching: None,
            permission: Permission::Unknown,
        }
    }

    /// Watches until nobody commands any more.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let deadline = self.waiting.values().map(|(_, until)| *until).min();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some((scope, step)) = self.live.next(), if !self.live.is_empty() => self.followed(scope, step),
                Some((source, step)) = self.lists.next(), if self.outbox.is_empty() && !self.lists.is_empty() => {
                    self.listed(source, step);
                }
                () = room(&self.context.pool, self.outbox.front()), if !self.outbox.is_empty() => self.flush(),
                fetched = resolved(&mut self.fetching), if self.fetching.is_some() => self.fetched(fetched),
                may = answered(&mut self.permission), if matches!(self.permission, Permission::Asked(_)) => {
                    self.permission = if may { Permission::Granted } else { Permission::Refused(Instant::now()) };
                    self.plan();
                }
                () = sleep_until(deadline), if deadline.is_some() => self.overtake(),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Rules(rules) => {
                self.rules = Arc::clone(&rules);
                self.intake.set_rules(rules);
                self.plan();
                self.mend_lists();
            }
            Command::Reseed(target) => {
                self.intake.unseed(&target);
                self.mend_lists();
            }
            Command::Objects(target, ids) => {
                // A target without a list gets them with the list.
                let is_seeded = |id: &ResourceId| self.intake.is_seeded(&target, id.name.namespace.as_deref());
                let ids: Vec<_> = ids.into_iter().filter(is_seeded).map(|id| (target.clone(), id)).collect();
                self.asked.extend(ids);
                self.fetch_next();
            }
        }
    }

    /// Starts and stops watches as the rules want.
    fn plan(&mut self) {
        let apart = self.rules.scopes(&self.kind, usize::MAX);
        let mut wanted = self.rules.scopes(&self.kind, self.context.namespaced_watch_limit);
        if wanted != apart {
            match &self.permission {
                Permission::Granted => {}
                Permission::Refused(since) if since.elapsed() < REFUSAL => wanted = apart,
                Permission::Asked(_) => return,
                Permission::Unknown | Permission::Refused(_) => return self.ask_permission(),
            }
        }
        for scope in self.scopes.want(wanted) {
            tracing::info!(kind = %self.kind, %scope, "Watch started");
            self.start_list(&scope, Duration::ZERO, Retry::default());
        }
        self.settle();
    }

    fn ask_permission(&mut self) {
        let (client, kind) = (self.context.client.clone(), Arc::clone(&self.kind));
        self.permission = Permission::Asked(async move { may_watch_everywhere(&client, &kind).await }.boxed());
    }

    fn api(&self, namespace: Option<&str>) -> Api<RawObject> {
        let (client, resource) = (self.context.client.clone(), self.kind.api_resource());
        match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    fn api_of(&self, scope: &WatchScope) -> Api<RawObject> {
        match scope {
            WatchScope::All => self.api(None),
            WatchScope::Namespace(namespace) => self.api(Some(namespace)),
        }
    }

    fn start_list(&mut self, scope: &WatchScope, wait: Duration, retry: Retry) {
        self.scopes.listing(scope);
        self.waiting.remove(scope);
        let (places, streams) = (Arc::clone(&self.places), Some(Arc::clone(&self.streams)));
        let steps = list(ListRequest { apis: vec![self.api_of(scope)], places, streams, wait, retry });
        let (steps, stop) = abortable(steps);
        let source = Source::Scope(scope.clone());
        self.lists.push(steps.map(move |step| (source.clone(), step)).boxed());
        if let Some(before) = self.stops.insert(scope.clone(), stop) {
            before.abort();
        }
    }

    fn go_live(&mut self, scope: &WatchScope, position: Position) {
        let (steps, stop) = abortable(follow(self.api_of(scope), position));
        let of = scope.clone();
        self.live.push(steps.map(move |step| (of.clone(), step)).boxed());
        self.stops.insert(scope.clone(), stop);
        let (objects, _) = self.intake.count(&range(scope));
        self.scopes.live(scope, objects);
        self.settle();
        self.list_missing();
    }

    /// Stops the watches that nobody needs any more, and tells how the others are.
    fn settle(&mut self) {
        for scope in self.scopes.superfluous() {
            self.stop(&scope);
        }
        self.intake.set_live(self.scopes.followed(), self.scopes.overlaps());
        self.intake.retain(&self.scopes.covered());
        // Nobody is left to show what these have seen first.
        let followed = self.scopes.followed();
        let waiting: Vec<WatchScope> = self.waiting.keys().cloned().collect();
        for scope in waiting {
            if self.intake.is_ahead(&range(&scope).minus(&followed)) {
                self.start_list(&scope, Duration::ZERO, Retry::default());
            }
        }
        self.publish();
    }

    fn stop(&mut self, scope: &WatchScope) {
        tracing::info!(kind = %self.kind, %scope, "Watch stopped");
        if let Some(stop) = self.stops.remove(scope) {
            stop.abort();
        }
        self.waiting.remove(scope);
        self.scopes.remove(scope);
        self.intake.abandon(&Source::Scope(scope.clone()));
    }

    fn publish(&self) {
        self.context.reporter.publish(&self.kind, self.scopes.states());
    }

    /// Begins the lists again that have become worthless, and makes those that are missing.
    fn mend_lists(&mut self) {
        for source in self.intake.take_spoiled() {
            match source {
                Source::Scope(scope) => self.start_list(&scope, Duration::ZERO, Retry::default()),
                Source::Side => self.stop_side_list(),
            }
        }
        self.list_missing();
    }

    fn stop_side_list(&mut self) {
        if let Some((stop, _)) = self.side.take() {
            stop.abort();
        }
        self.intake.abandon(&Source::Side);
    }

    /// Lists what is new to targets where watches run. The others get it with the lists from which their watches go on.
    fn list_missing(&mut self) {
        let missing = self.intake.missing(&self.scopes.followed());
        if self.side.is_some() || missing.is_empty() {
            return;
        }
        let (apis, range) = self.side_apis(&missing);
        let (places, retry) = (Arc::clone(&self.places), Retry::default());
        let request = ListRequest { apis, places, streams: None, wait: Duration::ZERO, retry };
        let (steps, stop) = abortable(list(request));
        self.lists.push(steps.map(|step| (Source::Side, step)).boxed());
        self.side = Some((stop, range));
    }

    /// A few namespaces are listed one by one, many at once where that is allowed.
    fn side_apis(&self, missing: &NamespaceSet) -> (Vec<Api<RawObject>>, NamespaceSet) {
        let lists_all = self.scopes.is_live(&WatchScope::All);
        if let Some(names) = missing.named()
            && (!lists_all || names.len() <= self.context.namespaced_watch_limit)
        {
            return (names.iter().map(|name| self.api(Some(name))).collect(), missing.clone());
        }
        (vec![self.api(None)], NamespaceSet::ALL)
    }

    fn listed(&mut self, source: Source, step: ListStep) {
        match step {
            ListStep::Begun => {
                let range = match &source {
                    Source::Scope(scope) => range(scope),
                    // Whatever else has become missing meanwhile is not in this list.
                    Source::Side => self
                        .side
                        .as_ref()
                        .map_or(NamespaceSet::NONE, |(_, range)| range.intersection(&self.scopes.followed())),
                };
                let deliveries = self.intake.begin(source, range);
                self.deliver(deliveries);
            }
            ListStep::Object(object) => {
                let deliveries = self.intake.listed(&source, &object, Instant::now());
                self.deliver(deliveries);
            }
            ListStep::Complete(position) => {
                let deliveries = self.intake.end(&source, &position.resource_version, Instant::now());
                self.deliver(deliveries);
                self.complete(&source, position);
            }
            ListStep::Failed(failure) => self.failed(&source, &failure),
        }
        self.tell_notices();
    }

    fn complete(&mut self, source: &Source, position: Position) {
        let Source::Scope(scope) = source else {
            tracing::info!(kind = %self.kind, "List for what is new to targets is complete");
            self.side = None;
            return self.list_missing();
        };
        let range = range(scope);
        let (objects, unusable) = self.intake.count(&range);
        tracing::info!(kind = %self.kind, %scope, objects, unusable, "List is complete");
        if self.intake.is_ahead(&range) {
            self.scopes.waiting(scope);
            self.waiting.insert(scope.clone(), (position, Instant::now() + CATCH_UP));
        } else {
            self.go_live(scope, position);
        }
    }

    fn failed(&mut self, source: &Source, failure: &Failure) {
        let error = &failure.message;
        match source {
            Source::Scope(scope) => {
                tracing::warn!(kind = %self.kind, %scope, error, "Watch failed; it is tried again");
                self.scopes.failed(scope, failure);
                self.publish();
                // What was allowed no longer is.
                if *scope == WatchScope::All && failure.reason == FailureReason::Forbidden {
                    self.permission = Permission::Refused(Instant::now());
                    self.plan();
                }
            }
            Source::Side => tracing::warn!(kind = %self.kind, error, "List failed; it is tried again"),
        }
    }

    fn followed(&mut self, scope: WatchScope, step: FollowStep) {
        match step {
            FollowStep::Applied(object) => {
                let deliveries = self.intake.applied(&object, Instant::now());
                self.deliver(deliveries);
            }
            FollowStep::Deleted(object) => {
                let deliveries = self.intake.deleted(&object, Instant::now());
                self.deliver(deliveries);
            }
            FollowStep::Recovered => self.count(&scope),
            FollowStep::Passed(version) => {
                self.intake.passed(&range(&scope), &version);
                self.count(&scope);
            }
            FollowStep::Failed(failure) => self.failed(&Source::Scope(scope), &failure),
            FollowStep::Expired(mut retry) => {
                tracing::info!(kind = %self.kind, %scope, "Watch fell behind; it starts again with a list");
                if self.scopes.is_wanted(&scope) {
                    let wait = retry.wait(Instant::now(), fastrand::f64());
                    self.start_list(&scope, wait, retry);
                } else {
                    self.stop(&scope);
                }
                self.settle();
            }
        }
        self.take_over();
        self.tell_notices();
    }

    fn count(&mut self, scope: &WatchScope) {
        let (objects, _) = self.intake.count(&range(scope));
        self.scopes.live(scope, objects);
        self.publish();
    }

    /// Lets the watches begin whose lists the others have caught up with.
    fn take_over(&mut self) {
        while let Some(scope) = self.waiting.keys().find(|scope| !self.intake.is_ahead(&range(scope))).cloned() {
            if let Some((position, _)) = self.waiting.remove(&scope) {
                self.go_live(&scope, position);
            }
        }
    }

    /// Waits no longer for watches that do not catch up: they end, and the lists that were to take over begin anew.
    fn overtake(&mut self) {
        let now = Instant::now();
        let overdue: Vec<_> = self.waiting.iter().filter(|(_, (_, until))| *until <= now).collect();
        let overdue: Vec<WatchScope> = overdue.into_iter().map(|(scope, _)| scope.clone()).collect();
        for scope in overdue {
            tracing::warn!(kind = %self.kind, %scope, "A watch does not show what a list has shown; it ends");
            for before in self.scopes.predecessors(&scope) {
                self.stop(&before);
            }
            self.start_list(&scope, Duration::ZERO, Retry::default());
        }
        self.settle();
    }

    fn fetch_next(&mut self) {
        if self.fetching.is_some() {
            return;
        }
        let Some((target, id)) = self.asked.pop_front() else { return };
        let api = self.api(id.name.namespace.as_deref());
        let fetch = async move {
            let object = api.get_opt(&id.name.name).await;
            Fetched { target, id, object }
        };
        self.fetching = Some(fetch.boxed());
    }

    fn fetched(&mut self, fetched: Fetched) {
        let Fetched { target, id, object } = fetched;
        self.fetching = None;
        match object {
            Ok(Some(object)) => {
                let delivery = self.intake.asked_for(&object, &target);
                self.deliver(delivery.into_iter().collect());
            }
            // The deletion comes, or came, by the watch.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(object = %id, %target, %error, "Object cannot be read again; all are listed");
                self.asked.retain(|(of, _)| *of != target);
                self.intake.unseed(&target);
                self.mend_lists();
            }
        }
        self.fetch_next();
    }

    fn deliver(&mut self, deliveries: Vec<Delivery>) {
        for delivery in deliveries {
            match delivery.message {
                Message::Change(change) => {
                    // Without a worker the target is on its way out; a new one asks for everything.
                    if let Some(mailbox) = self.context.pool.mailbox(&delivery.target.branch) {
                        mailbox.send(*change);
                    }
                }
                message => self.outbox.push_back(Delivery { message, ..delivery }),
            }
        }
        self.flush();
    }

    /// Hands on the parts of lists for which there is room.
    fn flush(&mut self) {
        while let Some(Delivery { target, message }) = self.outbox.pop_front() {
            let Some(mailbox) = self.context.pool.mailbox(&target.branch) else { continue };
            if let Err(message) = mailbox.offer_seed(message) {
                self.outbox.push_front(Delivery { target, message });
                return;
            }
        }
    }

    fn tell_notices(&mut self) {
        for notice in self.intake.take_notices() {
            // With many of them waiting, one more says nothing new; the log has them all.
            self.context.notices.try_send(notice).ok();
        }
    }
}

/// Waits until there may be room for `delivery`.
async fn room(pool: &Pool, delivery: Option<&Delivery>) {
    if let Some(mailbox) = delivery.and_then(|delivery| pool.mailbox(&delivery.target.branch)) {
        mailbox.seed_room().await;
    }
}

async fn resolved(fetching: &mut Option<BoxFuture<'static, Fetched>>) -> Fetched {
    match fetching {
        Some(fetching) => fetching.await,
        None => std::future::pending().await,
    }
}

async fn answered(permission: &mut Permission) -> bool {
    match permission {
        Permission::Asked(answer) => answer.await,
        _ => std::future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
