//! The single owner of one branch: its clone, its open batch, its pushes.
//!
//! Commits are made at once, whether or not the remote is up; one operation on the remote runs beside them.

mod attributes;
mod channels;
mod content;
mod deselected;
mod foreign;
mod integrate;
mod journal;
mod outcome;
mod report;
mod spec;
mod upkeep;

pub use self::channels::{Channels, Ending};
use self::deselected::Deselections;
use self::report::PushRecord;
use self::upkeep::Upkeep;
use super::attributes::AttributeGuard;
use super::author::Authors;
use super::batch::BatchLimits;
use super::classify::{self, Class};
use super::cli::{Git, GitError};
use super::clone::policy::ClonePolicy;
use super::clone::{BranchClone, Opened, Opening};
use super::mailbox::Mailbox;
use super::message::Installation;
use super::places::Places;
use super::remote::{self, Push, Remote};
use super::schedule::{self, PushSchedule};
use super::spec::BranchSpec;
use super::stage::{Now, Stage};
use crate::resource::{NamespacedName, Oid};
use crate::telemetry::metrics::AttributedChanges;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a worker that is told to leave may take to push what it has.
const DRAIN: Duration = Duration::from_secs(25);
/// How long the first look at the remote may keep changes waiting: a remote that is down must not hold them up.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// How long a worker that is halted waits for the push under way; then it is killed, as in a crash.
const HALT: Duration = Duration::from_secs(10);
/// How long a proof that we may write holds.
const PROOF: Duration = Duration::from_secs(60 * 60);
/// A clone that is damaged again so soon is not made anew at once.
const LASTING: Duration = Duration::from_secs(3600);
/// After so many repairs in vain the clone is opened again, as at a start.
const REPAIRS: u32 = 4;
/// How long after the remote was seen a journal that was put onto it may be pushed without another look.
const FRESH: Duration = Duration::from_secs(5);
/// How many messages are taken in before deadlines are looked at again.
const AT_ONCE: usize = 256;

/// What all workers share.
#[derive(Debug)]
pub struct Settings {
    /// The git binary.
    pub git: Git,
    /// Where clones and credentials are.
    pub places: Places,
    /// What commits name as their origin.
    pub installation: Arc<Installation>,
    /// How authors are called.
    pub authors: Arc<Authors>,
    /// Where changes are counted by how firmly their author is known.
    pub attributed: Arc<AttributedChanges>,
    /// How clones are made and kept.
    pub clones: ClonePolicy,
    /// How large a batch may become.
    pub batch: BatchLimits,
    /// The least time between two pushes of a branch.
    pub push_spacing: Duration,
    /// The longest that a commit waits, whatever its provider says.
    pub push_ceiling: Duration,
}

/// Runs the worker of one branch until its mailbox is closed and everything is pushed, or the time for that is up. A
/// clone that cannot be worked with any more is opened again.
pub async fn run(settings: Arc<Settings>, mut channels: Channels) {
    let mut opening = Opening::AsItIs;
    let mut is_first = true;
    let mut wait = Duration::ZERO;
    loop {
        let Some(opened) = open(&settings, &mut channels, opening, wait, !is_first).await else { return };
        let opened_at = Instant::now();
        tracing::info!(branch = %channels.spec.borrow().key, directory = %opened.clone.directory().display(), "Clone is open");
        let mut worker = Worker::new(&settings, channels, opened.clone);
        worker.start(opened.is_new).await;
        if !is_first {
            worker.stage.miss_everything();
            worker.request_everything();
        }
        while !worker.is_finished() && worker.reopening.is_none() {
            worker.step().await;
        }
        let Some(next) = worker.reopening else {
            tracing::info!(branch = %worker.spec.key, unpushed = worker.schedule.queued(), "Worker ended");
            return;
        };
        let again = !is_first && opened_at.elapsed() < LASTING;
        wait = if again { schedule::retry_after(false, 1, fastrand::f64()) } else { Duration::ZERO };
        (opening, channels, is_first) = (next, worker.channels, false);
    }
}

/// Opens the clone after `wait`, trying again until it works or the worker is told to leave. With `discards`, nothing that
/// comes meanwhile waits for it: whoever lists for this branch lists for others, too, and all is asked for afterwards.
async fn open(
    settings: &Settings,
    channels: &mut Channels,
    opening: Opening,
    mut wait: Duration,
    discards: bool,
) -> Option<Opened> {
    let mut failures = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            Ok(()) = channels.spec.changed() => {}
            () = channels.mailbox.closed() => return None,
            () = discard(&channels.mailbox), if discards => return None,
        }
        let spec = channels.spec.borrow_and_update().clone();
        let (key, credentials, signing) = (&spec.key, &spec.credentials, spec.signing.clone());
        let opens =
            BranchClone::open(&settings.git, &settings.places, settings.clones, key, opening, credentials, signing);
        let error = tokio::select! {
            opened = opens => match opened {
                Ok(opened) => return Some(opened),
                Err(error) => error,
            },
            Ok(()) = channels.spec.changed() => {
                wait = Duration::ZERO;
                continue;
            }
            () = channels.mailbox.closed() => return None,
            () = discard(&channels.mailbox), if discards => return None,
        };
        let failure = classify::describe(&error);
        tracing::warn!(branch = %spec.key, %error, reason = failure.reason, detail = failure.message, "Clone cannot be made");
        channels.report_failure(failure);
        failures += 1;
        wait = schedule::retry_after(Class::of(&error) == Class::Transient, failures, fastrand::f64());
    }
}

/// Resolves once the mailbox is closed.
async fn discard(mailbox: &Mailbox) {
    while mailbox.receive(AT_ONCE).await.is_some() {}
}

struct Worker {
    channels: Channels,
    clone: BranchClone,
    spec: BranchSpec,
    stage: Stage,
    guard: AttributeGuard,
    schedule: PushSchedule,
    remote: Remote,
    tip: Option<Oid>,
    base: Option<Oid>,
    /// Whether the remote may have what is not known here.
    must_fetch: bool,
    /// What the server said when it last took the branch for another.
    stale: Option<String>,
    /// Until when the first look at the remote keeps changes waiting; `None` once that is over.
    first_look: Option<Instant>,
    /// When what failed on the local disk is tried again, and how often it has failed in a row.
    repair: Option<Instant>,
    repairs: u32,
    upkeep: Upkeep,
    /// How the clone is to be opened again, once it cannot be worked with any more.
    reopening: Option<Opening>,
    leaving: Option<Instant>,
    /// Names this installation in its commits.
    instance: String,
    /// Whether we may write, as far as the last use of the remote tells, and when that has to be proven next.
    is_writable: bool,
    prove_at: Instant,
    /// The revision of the spec at which the server refused the journal; `None` while it does not.
    refused_at: Option<u64>,
    /// Targets of which files could not be read when a list came: it decided less than it should have.
    unread: BTreeSet<NamespacedName>,
    deselected: Deselections,
    push: PushRecord,
}

impl Worker {
    fn new(settings: &Settings, channels: Channels, clone: BranchClone) -> Self {
        let spec = channels.spec.borrow().clone();
        let installation = Arc::clone(&settings.installation);
        Self {
            stage: Stage::new(installation, spec.committer.clone(), clone.format(), settings.batch)
                .naming(Arc::clone(&settings.authors), Arc::clone(&settings.attributed)),
            guard: AttributeGuard::default(),
            schedule: PushSchedule::new(spec.push, settings.push_spacing, settings.push_ceiling),
            remote: Remote::default(),
            tip: None,
            base: None,
            must_fetch: true,
            stale: None,
            first_look: Some(Instant::now() + FIRST_LOOK),
            repair: None,
            repairs: 0,
            upkeep: Upkeep::new(settings.clones, &clone),
            reopening: None,
            leaving: None,
            instance: settings.installation.instance_id.clone(),
            is_writable: false,
            prove_at: Instant::now(),
            refused_at: None,
            unread: BTreeSet::new(),
            deselected: Deselections::default(),
            push: PushRecord::default(),
            spec,
            channels,
            clone,
        }
    }

    /// Looks where the journal stands and, unless the clone was made just now, begins to look what the remote has become
    /// since.
    async fn start(&mut self, is_new: bool) {
        if let Err(error) = self.load_journal().await {
            self.damaged(&error, "The journal cannot be read");
        }
        if is_new {
            (self.first_look, self.must_fetch) = (None, false);
            self.schedule.looked(Instant::now());
            self.push.looked();
            self.push.branch_exists = self.clone.had_branch();
        } else {
            self.remote.start(remote::fetch(self.clone.clone(), self.base, self.spec.credentials.clone()));
        }
        self.respec().await;
        self.note_past(&BTreeMap::new()).await;
        self.report_journal();
    }

    fn is_finished(&self) -> bool {
        let Some(deadline) = self.leaving else { return false };
        let now = Instant::now();
        if self.is_halted() {
            return self.remote.is_idle() || now >= deadline;
        }
        let idle = self.remote.is_idle() && self.stage.due().is_none();
        let hopeless = self.remote.is_idle() && self.remote_due(now).is_some_and(|due| due > deadline);
        now >= deadline || hopeless || (idle && self.schedule.queued() == 0)
    }

    async fn step(&mut self) {
        let remote_due = self.remote_due(Instant::now()).filter(|_| self.remote.is_idle());
        let deadlines = [self.first_look, self.repair, self.leaving];
        let sweeps = self.stage.sweeps_due();
        let works = [self.stage.due(), remote_due, self.upkeep_due(), self.stage.foreign().due(), sweeps];
        tokio::select! {
            biased;
            result = self.remote.finished() => self.finish_remote(result).await,
            result = self.upkeep.finished() => self.finish_upkeep(result).await,
            Ok(()) = self.channels.ending.changed() => self.end(),
            // Who is to leave takes no more orders.
            Ok(()) = self.channels.spec.changed(), if self.leaving.is_none() => self.respec().await,
            messages = self.channels.mailbox.receive(AT_ONCE), if self.leaving.is_none() => match messages {
                Some(messages) => {
                    // What they are judged by was there before them.
                    if self.channels.spec.has_changed().is_ok_and(|changed| changed) {
                        self.respec().await;
                    }
                    self.take(messages).await;
                }
                None if self.channels.ending.borrow().is_some() => self.end(),
                None => self.leaving = Some(Instant::now() + DRAIN),
            },
            () = sleep_until(deadlines.into_iter().chain(works).flatten().min()) => {}
        }
        self.replace_refused().await;
        // A long batch must not put off a push that is due, nor the other way round.
        self.use_remote_if_due(None);
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= Instant::now());
        if is_due(self.first_look) {
            self.first_look = None;
            self.report_targets();
        }
        if is_due(self.repair) {
            self.repair().await;
        }
        if is_due(self.stage.foreign().due()) {
            self.ask_for_overdue();
        }
        if is_due(self.stage.sweeps_due()) {
            self.ask_for_held_back();
        }
        self.sweep_deselected().await;
        self.tidy_if_due();
        if is_due(self.stage.due()) || (self.leaving.is_some() && self.stage.due().is_some()) {
            self.seal_due().await;
            self.use_remote_if_due(None);
        }
        let queued = self.stage.waiting();
        self.channels.count(|counts| counts.queued = queued);
    }

    /// When the remote is to be used next. Who leaves does not wait for company.
    fn remote_due(&self, now: Instant) -> Option<Instant> {
        if self.is_halted() {
            return None;
        }
        if self.leaving.is_some() && !self.schedule.is_retrying() {
            return (self.schedule.queued() > 0).then_some(now);
        }
        let proof = Some(self.prove_at).filter(|_| self.may_prove());
        self.schedule.due().into_iter().chain(proof).min()
    }

    /// After a failure the remote is looked at first.
    const fn may_prove(&self) -> bool {
        self.leaving.is_none() && !self.schedule.is_retrying()
    }

    /// `seen` is when the remote was seen to stand at what the journal follows on, if nothing was done since but that.
    fn use_remote_if_due(&mut self, seen: Option<Instant>) {
        let now = Instant::now();
        if !self.remote.is_idle() || self.remote_due(now).is_none_or(|due| due > now) {
            return;
        }
        let (clone, credentials) = (self.clone.clone(), self.spec.credentials.clone());
        let is_proof_due = self.may_prove() && self.prove_at <= now && !self.must_fetch;
        let is_push_due = self.leaving.is_some() || self.schedule.due().is_some_and(|due| due <= now);
        match self.tip {
            Some(tip) if is_push_due && !self.must_fetch && self.schedule.queued() > 0 => {
                self.schedule.started(now);
                self.push.started();
                let is_base_fresh = seen.is_some_and(|seen| seen.elapsed() < FRESH);
                let push = Push { tip, commits: self.schedule.queued(), base: self.base, is_base_fresh };
                self.remote.start(remote::push(clone, push, credentials));
            }
            _ if is_proof_due => self.remote.start(remote::probe(clone, credentials)),
            _ => self.remote.start(remote::fetch(clone, self.base, credentials)),
        }
    }

    /// Something on the local disk does not work: no target is ready until a repair has worked.
    fn damaged(&mut self, error: &GitError, message: &str) {
        let failure = classify::describe(error);
        tracing::error!(branch = %self.spec.key, %error, detail = failure.message, "{message}");
        self.channels.report_failure(failure);
        self.channels.report(|status| status.targets.clear());
        self.repairs = self.repairs.saturating_add(1);
        self.reopening = match Class::of(error) {
            Class::Corrupt => Some(Opening::Anew),
            Class::Disk => None,
            // What a git that was killed left, a lock for instance, goes when a clone is opened.
            _ => (self.repairs > REPAIRS).then_some(Opening::AsItIs),
        };
        self.repair = Some(Instant::now() + schedule::backoff(self.repairs, fastrand::f64()));
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), seconds: jiff::Timestamp::now().as_second() }
}
