//! The reconciler: one look at everything, the whole desired state out, again after each change.

use super::branches;
use super::inputs::Inputs;
use super::outcome::{self, Kind, ObjectKey, Outcome};
use super::revision;
use super::status::Writer;
use crate::attribution::Tier;
use crate::git::pool::Pool;
use crate::git::spec::Identity;
use crate::resource::NamespacedName;
use crate::rules::{self, Catalog, FluxRepositories, Policy, RuleSet, compile};
use crate::telemetry::metrics::AttributedChanges;
use kube::Client;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A change is acted upon when nothing else has changed for so long,
const QUIET: Duration = Duration::from_millis(50);
/// and after so long in any case.
const LATEST: Duration = Duration::from_millis(500);

/// How often the counts in the statuses of targets are brought up to date: they alone are worth no more patches.
const COUNTS: Duration = Duration::from_secs(30);

/// What the reconciler works on.
pub struct Context {
    /// For the custom resources, their statuses, and Secrets.
    pub client: Client,
    /// Does the work on branches.
    pub pool: Arc<Pool>,
    /// What the API server serves, once known.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// Where the compiled rules go. The first is sent even when it is empty.
    pub rules: watch::Sender<Arc<RuleSet>>,
    /// How firmly the authors of committed changes are known.
    pub attributed: Arc<AttributedChanges>,
    /// Who commits where a provider does not say.
    pub committer: Identity,
    /// What providers may do.
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

/// Reconciles until it is dropped, which it may be at any time. Begins when every kind has been listed and the
/// catalog is known.
///
/// # Errors
/// When an input has ended for good.
pub async fn run(context: Context) -> Result<(), Error> {
    let Context { client, pool, mut catalog, rules, attributed, committer, policy } = context;
    let mut inputs = Inputs::watch(&client, policy.hosts.clone());
    let mut writer = Writer::new(client);
    while !inputs.complete() {
        inputs.changed().await;
    }
    catalog.wait_for(Option::is_some).await.map_err(|_| Error::DiscoveryEnded)?;
    let mut published = None;
    let (mut counted, mut count_due) = (BTreeMap::new(), Instant::now());
    loop {
        let snapshot = inputs.snapshot();
        let served = catalog.borrow_and_update().clone().unwrap_or_default();
        let ready = branches::ready(&pool.statuses());
        let compiled = compile(&rules::Inputs {
            providers: &snapshot.providers,
            targets: &snapshot.targets,
            watch_rules: &snapshot.watch_rules,
            cluster_watch_rules: &snapshot.cluster_watch_rules,
            flux: &FluxRepositories::CrdAbsent,
            namespaces: &BTreeMap::new(),
            unproven: &HashSet::new(),
            catalog: &served,
            policy: &policy,
            ready: &ready,
        });
        let mut specs = branches::specs(&compiled, &snapshot.secrets, &committer);
        revision::stamp(&mut specs, &snapshot);
        pool.apply(specs, &HashSet::new());
        if published.as_deref() != Some(&compiled.set) {
            let set = Arc::new(compiled.set.clone());
            rules.send_replace(Arc::clone(&set));
            published = Some(set);
        }
        let mut outcomes = outcome::derive(&snapshot, &compiled, &pool.statuses());
        if count_due <= Instant::now() {
            count_due = Instant::now() + COUNTS;
            counted = count(&outcomes, &attributed);
        }
        for (key, counts) in &counted {
            if let Some(outcome) = outcomes.get_mut(key) {
                outcome.attribution.clone_from(counts);
            }
        }
        writer.report(&snapshot.observed, outcomes);
        change(&mut inputs, &mut catalog, &pool, &mut writer, count_due).await?;
    }
}

/// The counts of every target of which changes were committed, each with all tiers: a status may hold older ones.
fn count(
    outcomes: &BTreeMap<ObjectKey, Outcome>,
    attributed: &AttributedChanges,
) -> BTreeMap<ObjectKey, BTreeMap<String, i64>> {
    let of = |key: &ObjectKey| {
        let counts = attributed.of(&NamespacedName::new(&key.namespace, &key.name).to_string());
        let number = |tier: Tier| i64::try_from(counts.get(tier.as_str()).copied().unwrap_or_default());
        let all = Tier::ALL.map(|tier| (tier.as_str().to_owned(), number(tier).unwrap_or(i64::MAX)));
        (!counts.is_empty()).then(|| (key.clone(), BTreeMap::from(all)))
    };
    outcomes.keys().filter(|key| key.kind == Kind::GitTarget).filter_map(of).collect()
}

/// Returns at `latest`, or when something has changed and then nothing for a moment. Statuses are written meanwhile.
async fn change(
    inputs: &mut Inputs,
    catalog: &mut watch::Receiver<Option<Arc<Catalog>>>,
    pool: &Pool,
    writer: &mut Writer,
    latest: Instant,
) -> Result<(), Error> {
    let mut changed: Option<(Instant, Instant)> = None;
    loop {
        let due = changed.map(|(first, last)| (last + QUIET).min(first + LATEST));
        tokio::select! {
            () = inputs.changed() => {}
            result = catalog.changed() => result.map_err(|_| Error::DiscoveryEnded)?,
            () = pool.changed() => {}
            () = writer.progress() => continue,
            () = tokio::time::sleep_until(latest) => return Ok(()),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Ok(()),
        }
        let now = Instant::now();
        changed = Some((changed.map_or(now, |(first, _)| first), now));
    }
}
