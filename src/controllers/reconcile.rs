//! The reconciler: one look at everything, the whole desired state out, again after each change.

use super::announcements::Announcements;
use super::branches;
use super::events::Announcement;
use super::inputs::{Inputs, Snapshot};
use super::numbers::{self, Numbers};
use super::outcome::{self, Kind, ObjectKey, Outcome, Scene};
use super::proofs::Proofs;
use super::publication::{Missing, Publication};
use super::requests::Requests;
use super::revision;
use super::selection::{self, Selections};
use super::status::{Observed, Writer};
use crate::attribution::Tier;
use crate::change::Resync;
use crate::git::pool::Pool;
use crate::git::spec::Identity;
use crate::resource::NamespacedName;
use crate::rules::{self, Catalog, Compiled, FluxRepositories, Policy, RuleSet, compile};
use crate::telemetry::metrics::AttributedChanges;
use crate::watch::discovery::Prompt;
use crate::watch::report::WatchReport;
use kube::Client;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A change is acted upon when nothing else has changed for so long,
const QUIET: Duration = Duration::from_millis(50);
/// and after so long in any case.
const LATEST: Duration = Duration::from_millis(500);

/// What the reconciler works on.
pub struct Context {
    /// For the custom resources, their statuses, and Secrets.
    pub client: Client,
    /// Does the work on branches.
    pub pool: Arc<Pool>,
    /// What the API server serves, once known.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// Makes discovery look now.
    pub discovery: Prompt,
    /// How the watches are.
    pub watches: watch::Receiver<Arc<WatchReport>>,
    /// Where the compiled rules go. The first is sent even when it is empty.
    pub rules: watch::Sender<Arc<RuleSet>>,
    /// Makes the watches list anew.
    pub resync: mpsc::UnboundedSender<Resync>,
    /// Where what is to become an event goes.
    pub announcements: mpsc::Sender<Announcement>,
    /// How firmly the authors of committed changes are known.
    pub attributed: Arc<AttributedChanges>,
    /// Who commits where a provider does not say.
    pub committer: Identity,
    /// What the administrator has decided.
    pub policy: Policy,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("committer", &self.committer).finish_non_exhaustive()
    }
}

/// Why the reconciler cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody looks any more at what the API server serves.
    #[error("discovery has ended, so rules cannot be resolved any more")]
    DiscoveryEnded,
}

/// Reconciles until it is dropped, which it may be at any time. Begins when every kind has been listed, the catalog is
/// known, and the repositories of Flux have been read or cannot be, if a target names one.
///
/// # Errors
/// When an input has ended for good.
pub async fn run(mut context: Context) -> Result<(), Error> {
    let mut inputs = Inputs::watch(&context.client, context.policy.hosts.clone());
    let mut writer = Writer::new(context.client.clone());
    while !inputs.complete() {
        inputs.changed().await;
    }
    let catalog = context.catalog.wait_for(Option::is_some).await.map_err(|_| Error::DiscoveryEnded)?.clone();
    let served = catalog.unwrap_or_default();
    // A target that Flux's list would show to be usable must not lose its folder for want of it.
    while inputs.snapshot(&served).flux == FluxRepositories::Pending {
        inputs.changed().await;
    }
    let mut memory = Memory::default();
    loop {
        let next = look(&mut context, &mut memory, &mut inputs, &mut writer);
        change(&mut inputs, &mut context, &mut memory, &mut writer, next).await?;
    }
}

/// What one look leaves for the next.
#[derive(Debug, Default)]
struct Memory {
    selections: Selections,
    requests: Requests,
    proofs: Proofs,
    announcements: Announcements,
    numbers: Numbers,
    publication: Publication,
}

/// Looks at everything, and tells everybody what is wanted of them. Returns when to look again if nothing changes.
fn look(context: &mut Context, memory: &mut Memory, inputs: &mut Inputs, writer: &mut Writer) -> Instant {
    let now = Instant::now();
    let served = context.catalog.borrow_and_update().clone().unwrap_or_default();
    let snapshot = inputs.snapshot(&served);
    let statuses = context.pool.statuses();
    let mut compiled = compile(&rules::Inputs {
        providers: &snapshot.providers,
        flux: &snapshot.flux,
        targets: &snapshot.targets,
        watch_rules: &snapshot.watch_rules,
        cluster_watch_rules: &snapshot.cluster_watch_rules,
        namespaces: &snapshot.namespaces,
        catalog: &served,
        policy: &context.policy,
        ready: &branches::ready(&statuses),
        known: &branches::known(&statuses),
        access: &memory.proofs.access(&snapshot),
    });
    memory.proofs.observe(&snapshot, &compiled, &statuses);
    let presence = |group: &str, resource: &str| served.presence(group, resource);
    memory.selections.observe(selection::look(&snapshot, &compiled, &statuses), &presence, now);
    let kept = compiled.targets.keys().map(|name| (name.clone(), memory.selections.kept(name))).collect();
    compiled.set = compiled.set.keeping(&kept, &served);

    let mut specs = branches::specs(&snapshot, &compiled, &memory.selections, &context.committer);
    revision::stamp(&mut specs, &snapshot);
    context.pool.apply(specs, &compiled.halted);
    answer_requests(context, memory, &snapshot, &compiled);

    let watches = Arc::clone(&context.watches.borrow_and_update());
    let branches = context.pool.statuses();
    let scene = Scene {
        snapshot: &snapshot,
        compiled: &compiled,
        branches: &branches,
        watches: &watches,
        selections: &memory.selections,
    };
    let mut outcomes = outcome::derive(&scene);
    add_numbers(&mut outcomes, memory, &context.attributed);
    announce(context, memory, &snapshot, &compiled, &outcomes);
    let worth = memory.numbers.worth(&outcomes, now);
    writer.report(&snapshot.observed, outcomes, &worth);
    memory.publication.want(&compiled.set, || missing(&snapshot, &compiled, &memory.selections, writer), now);
    publish(context, memory, writer);
    let due = [memory.numbers.due(), memory.selections.due(), memory.publication.due()];
    due.into_iter().flatten().min().unwrap_or(now + numbers::SPACING)
}

/// What rules select and the statuses of their targets do not hold yet.
fn missing(snapshot: &Snapshot, compiled: &Compiled, selections: &Selections, writer: &Writer) -> Vec<Missing> {
    let missing = compiled.targets.keys().filter_map(|name| {
        let target = ObjectKey::of(Kind::GitTarget, name);
        let observed = snapshot.observed.get(&target)?;
        let selection = selections.selection(name);
        let is_missing = !selection::lost(&selection, &writer.reported(&target, observed).selection()).is_empty();
        is_missing.then(|| Missing { target, observed: observed.clone(), selection })
    });
    missing.collect()
}

fn publish(context: &Context, memory: &mut Memory, writer: &Writer) {
    let stored = |target: &ObjectKey, observed: &Observed| {
        (!writer.is_failing(target)).then(|| writer.reported(target, observed).selection())
    };
    memory.publication.proceed(&context.rules, stored, Instant::now());
}

fn answer_requests(context: &Context, memory: &mut Memory, snapshot: &Snapshot, compiled: &Compiled) {
    let asked = memory.requests.take(snapshot, compiled);
    if asked.is_empty() {
        return;
    }
    context.discovery.ask();
    for target in asked {
        tracing::info!(target = %target, "Looking at everything anew, as somebody asked");
        if context.resync.send(Resync::Target(target)).is_err() {
            tracing::debug!("Nobody lists any more: the program is leaving");
        }
    }
}

fn add_numbers(outcomes: &mut BTreeMap<ObjectKey, Outcome>, memory: &Memory, attributed: &AttributedChanges) {
    for (key, outcome) in outcomes.iter_mut().filter(|(key, _)| key.kind == Kind::GitTarget) {
        let name = NamespacedName::new(&key.namespace, &key.name);
        let counts = attributed.of(&name.to_string());
        if !counts.is_empty() {
            // All tiers: a status may hold older counts.
            let count = |tier: Tier| counts.get(tier.as_str()).copied().unwrap_or_default();
            let counts = Tier::ALL.map(|tier| (tier.as_str(), count(tier)));
            outcome.rest.insert("attribution".to_owned(), json!(BTreeMap::from(counts)));
        }
        if let Some(value) = memory.requests.handled().get(&name) {
            outcome.rest.insert("lastHandledRequest".to_owned(), json!(value));
        }
    }
}

fn announce(
    context: &Context,
    memory: &mut Memory,
    snapshot: &Snapshot,
    compiled: &Compiled,
    outcomes: &BTreeMap<ObjectKey, Outcome>,
) {
    let mut new = memory.announcements.of_outcomes(snapshot, outcomes);
    new.extend(memory.announcements.of_secrets(snapshot, compiled, &memory.selections));
    for announcement in new {
        if let Err(error) = context.announcements.try_send(announcement) {
            tracing::warn!(%error, "An event is left out");
        }
    }
}

/// Returns at `latest`, or when something has changed and then nothing for a moment. Statuses are written meanwhile, and
/// rules that wait for them take effect.
async fn change(
    inputs: &mut Inputs,
    context: &mut Context,
    memory: &mut Memory,
    writer: &mut Writer,
    latest: Instant,
) -> Result<(), Error> {
    let mut changed: Option<(Instant, Instant)> = None;
    loop {
        let due = changed.map(|(first, last)| (last + QUIET).min(first + LATEST));
        tokio::select! {
            () = inputs.changed() => {}
            result = context.catalog.changed() => result.map_err(|_| Error::DiscoveryEnded)?,
            Ok(()) = context.watches.changed() => {}
            () = context.pool.changed() => {}
            () = writer.progress() => {
                publish(context, memory, writer);
                continue;
            }
            () = tokio::time::sleep_until(latest) => return Ok(()),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Ok(()),
        }
        let now = Instant::now();
        changed = Some((changed.map_or(now, |(first, _)| first), now));
    }
}
