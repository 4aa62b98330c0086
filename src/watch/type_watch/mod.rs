//! The task of one type: its watches, its lists, and the one intake that they feed.
//!
//! Live changes are handed on at once. Lists wait for room at the workers, one object at a time, and hold up nothing but
//! other lists of the type.

mod asked;
mod pauses;
mod side_list;

use super::failure::Failure;
use super::follow::{FollowStep, follow};
use super::intake::{Intake, Source};
use super::list::{ListRequest, Position, list};
use super::list_steps::ListStep;
use super::object::RawObject;
use super::outbox::Outbox;
use super::permission::may_watch_everywhere;
use super::plane::Context;
use super::report::FailureReason;
use super::retry::Retry;
use super::scopes::{Scopes, range};
use crate::resource::{NamespaceSet, NamespacedName, ResourceId, ResourceType};
use crate::rules::{RuleSet, WatchScope};
use asked::Asked;
use futures::future::BoxFuture;
use futures::stream::{AbortHandle, BoxStream, SelectAll, abortable};
use futures::{FutureExt as _, StreamExt as _};
use kube::Api;
use pauses::Pauses;
use side_list::SideList;
use std::collections::{BTreeMap, HashMap};
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
    /// The list beside the watches.
    side: Option<SideList>,
    pauses: Pauses,
    lists: SelectAll<BoxStream<'static, (Source, ListStep)>>,
    live: SelectAll<BoxStream<'static, (WatchScope, FollowStep)>>,
    outbox: Outbox,
    asked: Asked,
    permission: Permission,
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
        let outbox = Outbox::new(Arc::clone(&context.pool));
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
            pauses: Pauses::default(),
            lists: SelectAll::new(),
            live: SelectAll::new(),
            outbox,
            asked: Asked::default(),
            permission: Permission::Unknown,
        }
    }

    /// Watches until nobody commands any more.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        loop {
            let deadline = self.waiting.values().map(|(_, until)| *until).min();
            let resumption = self.pauses.next_end();
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                Some((scope, step)) = self.live.next(), if !self.live.is_empty() => self.followed(scope, step),
                Some((source, step)) = self.lists.next(), if self.outbox.is_empty() && !self.lists.is_empty() => {
                    self.listed(source, step);
                }
                () = self.outbox.room(), if !self.outbox.is_empty() => self.outbox.flush(),
                fetched = self.asked.fetched(), if self.asked.is_fetching() => self.fetched(fetched),
                may = answered(&mut self.permission), if matches!(self.permission, Permission::Asked(_)) => {
                    self.permission = if may { Permission::Granted } else { Permission::Refused(Instant::now()) };
                    self.plan();
                }
                () = sleep_until(deadline), if deadline.is_some() => self.overtake(),
                () = sleep_until(resumption), if resumption.is_some() => self.resume_lists(),
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
                // A target without a list gets them with the list. In one that is under way they may be settled already.
                let is_told = |id: &ResourceId| self.intake.is_told(&target, id.name.namespace.as_deref());
                let ids: Vec<_> = ids.into_iter().filter(is_told).map(|id| (target.clone(), id)).collect();
                self.ask(ids);
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
        self.back_in_reach(&range(scope));
    }

    /// Stops the watches that nobody needs any more, and tells how the others are.
    fn settle(&mut self) {
        for scope in self.scopes.superfluous() {
            self.stop(&scope);
        }
        let followed = self.scopes.followed();
        self.intake.set_live(followed.clone(), self.scopes.overlaps());
        self.intake.retain(&self.scopes.covered());
        // Nobody is left to show what these have seen first.
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

    fn listed(&mut self, source: Source, step: ListStep) {
        match step {
            ListStep::Begun => {
                let range = match &source {
                    Source::Scope(scope) => range(scope),
                    // Whatever else has become missing meanwhile is not in this list.
                    Source::Side => self
                        .side
                        .as_ref()
                        .map_or(NamespaceSet::NONE, |side| side.range().intersection(&self.scopes.followed())),
                };
                let deliveries = self.intake.begin(source, range);
                self.outbox.deliver(deliveries);
            }
            ListStep::Object(object) => {
                let deliveries = self.intake.listed(&source, &object, Instant::now());
                self.outbox.deliver(deliveries);
                let asked = self.intake.take_asked();
                self.ask(asked);
            }
            ListStep::Complete(position) => {
                let deliveries = self.intake.end(&source, &position.resource_version, Instant::now());
                self.outbox.deliver(deliveries);
                self.complete(&source, position);
            }
            ListStep::Failed(at, failure) => match &source {
                Source::Side => self.side_list_failed(at, &failure),
                Source::Scope(scope) => {
                    // Its next beginning makes it anew; until then nothing has to be remembered for it.
                    self.intake.abandon(&source);
                    self.failed(scope, &failure);
                }
            },
        }
        self.tell_notices();
    }

    fn complete(&mut self, source: &Source, position: Position) {
        let Source::Scope(scope) = source else {
            tracing::info!(kind = %self.kind, "List for what is new to targets is complete");
            let listed = self.side.take().map_or(NamespaceSet::NONE, |side| side.range());
            return self.back_in_reach(&listed);
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

    fn failed(&mut self, scope: &WatchScope, failure: &Failure) {
        tracing::warn!(kind = %self.kind, %scope, error = failure.message, "Watch failed; it is tried again");
        self.scopes.failed(scope, failure);
        self.publish();
        if *scope == WatchScope::All && failure.reason == FailureReason::Forbidden {
            self.watch_apart();
        }
    }

    /// What was allowed in all namespaces no longer is.
    fn watch_apart(&mut self) {
        self.permission = Permission::Refused(Instant::now());
        self.plan();
    }

    fn followed(&mut self, scope: WatchScope, step: FollowStep) {
        match step {
            FollowStep::Applied(object) => {
                let deliveries = self.intake.applied(&object, Instant::now());
                self.outbox.deliver(deliveries);
            }
            FollowStep::Deleted(object) => {
                let deliveries = self.intake.deleted(&object, Instant::now());
                self.outbox.deliver(deliveries);
            }
            FollowStep::Recovered => {
                self.count(&scope);
                self.back_in_reach(&range(&scope));
            }
            FollowStep::Passed(version) => {
                self.intake.passed(&range(&scope), &version);
                self.count(&scope);
            }
            FollowStep::Failed(failure) => self.failed(&scope, &failure),
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

    fn tell_notices(&mut self) {
        for notice in self.intake.take_notices() {
            // With many of them waiting, one more says nothing new; the log has them all.
            self.context.notices.try_send(notice).ok();
        }
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
