//! The single owner of one branch: its clone, its open batch, its pushes.
//!
//! Commits are made at once, whether or not the remote is up; one operation on the remote runs beside them.

use super::batch::BatchLimits;
use super::classify::{self, Class};
use super::cli::{Git, GitError};
use super::clone::BranchClone;
use super::mailbox::{Mailbox, Message};
use super::message::Installation;
use super::remote::{self, Remote, RemoteResult};
use super::schedule::PushSchedule;
use super::spec::BranchSpec;
use super::stage::{Now, Stage, Sweep};
use super::status::{BranchStatus, RemoteState, TargetState, TargetStatus};
use crate::change::Resync;
use crate::resource::{BaseFolder, NamespacedName, Oid, RepoPath, ResourceId};
use crate::sanitize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// How long a worker that is told to leave may take to push what it has.
const DRAIN: Duration = Duration::from_secs(25);
/// How many messages are taken in before deadlines are looked at again.
const AT_ONCE: usize = 256;

/// What all workers share.
#[derive(Debug)]
pub struct Settings {
    /// The git binary.
    pub git: Git,
    /// Where clones live.
    pub work_dir: PathBuf,
    /// What commits name as their origin.
    pub installation: Arc<Installation>,
    /// How large a batch may become.
    pub batch: BatchLimits,
    /// The least time between two pushes of a branch.
    pub push_spacing: Duration,
    /// The longest that a commit waits, whatever its provider says.
    pub push_ceiling: Duration,
}

/// The channels between a worker and the rest.
#[derive(Debug)]
pub struct Channels {
    /// What is wanted of it.
    pub spec: watch::Receiver<BranchSpec>,
    /// Its queue; closing it makes the worker push what it has and end.
    pub mailbox: Arc<Mailbox>,
    /// What it tells.
    pub status: watch::Sender<BranchStatus>,
    /// Rung whenever the status changed.
    pub status_changed: Arc<Notify>,
    /// What it asks for.
    pub resync: mpsc::UnboundedSender<Resync>,
}

/// Runs the worker of one branch until its mailbox is closed and everything is pushed, or the time for that is up.
pub async fn run(settings: Arc<Settings>, mut channels: Channels) {
    let Some(clone) = open(&settings, &mut channels).await else { return };
    tracing::info!(branch = %channels.spec.borrow().key, directory = %clone.directory().display(), "Clone is open");
    let mut worker = Worker::new(&settings, channels, clone);
    worker.start().await;
    while !worker.is_finished() {
        worker.step().await;
    }
    tracing::info!(branch = %worker.spec.key, unpushed = worker.schedule.queued(), "Worker ended");
}

/// Opens the clone, trying again until it works or the worker is told to leave.
async fn open(settings: &Settings, channels: &mut Channels) -> Option<BranchClone> {
    let mut retries = PushSchedule::new(channels.spec.borrow().push, settings.push_spacing, settings.push_ceiling);
    loop {
        let spec = channels.spec.borrow_and_update().clone();
        let opened = tokio::select! {
            opened = BranchClone::open(&settings.git, &settings.work_dir, &spec.key, spec.credentials.as_ref()) => opened,
            () = channels.mailbox.closed() => return None,
        };
        let error = match opened {
            Ok(clone) => return Some(clone),
            Err(error) => error,
        };
        let failure = classify::describe(&error);
        tracing::warn!(branch = %spec.key, %error, reason = failure.reason, detail = failure.message, "Clone cannot be made");
        channels.report(|status| status.remote = RemoteState::Failed(failure));
        retries.failed(Class::of(&error) == Class::Transient, fastrand::f64(), Instant::now());
        let retry_at = retries.due().unwrap_or_else(Instant::now);
        tokio::select! {
            () = tokio::time::sleep_until(retry_at.into()) => {}
            Ok(()) = channels.spec.changed() => {}
            () = channels.mailbox.closed() => return None,
        }
    }
}

impl Channels {
    fn report(&self, update: impl FnOnce(&mut BranchStatus)) {
        let changed = self.status.send_if_modified(|status| {
            let before = status.clone();
            update(status);
            *status != before
        });
        if changed {
            self.status_changed.notify_one();
        }
    }

    fn request(&self, resync: Resync) {
        if self.resync.send(resync).is_err() {
            tracing::debug!("Nobody answers resyncs: the program is leaving");
        }
    }
}

struct Worker {
    channels: Channels,
    clone: BranchClone,
    spec: BranchSpec,
    stage: Stage,
    schedule: PushSchedule,
    remote: Remote,
    tip: Option<Oid>,
    base: Option<Oid>,
    must_fetch: bool,
    leaving: Option<Instant>,
}

impl Worker {
    fn new(settings: &Settings, channels: Channels, clone: BranchClone) -> Self {
        let spec = channels.spec.borrow().clone();
        let installation = Arc::clone(&settings.installation);
        Self {
            stage: Stage::new(installation, spec.committer.clone(), clone.format(), settings.batch),
            schedule: PushSchedule::new(spec.push, settings.push_spacing, settings.push_ceiling),
            remote: Remote::default(),
            tip: None,
            base: None,
            must_fetch: true,
            leaving: None,
            spec,
            channels,
            clone,
        }
    }

    /// Looks where the journal stands, and what the remote has become since. Changes are taken only afterwards, so that
    /// they are compared with what the branch really holds; a remote that is down holds nothing up.
    async fn start(&mut self) {
        if let Err(error) = self.load_journal().await {
            self.local_failure(&error, "Journal cannot be read");
        }
        let result = remote::fetch(self.clone.clone(), self.spec.credentials.clone()).await;
        self.finish_remote(result).await;
        self.respec().await;
    }

    async fn load_journal(&mut self) -> Result<(), GitError> {
        self.tip = self.clone.tip().await?;
        self.base = self.clone.base().await?;
        if let Some(tip) = self.tip {
            self.schedule.committed(self.clone.journal_length(self.base, tip).await?, Instant::now());
        }
        Ok(())
    }

    fn is_finished(&self) -> bool {
        let Some(deadline) = self.leaving else { return false };
        let idle = self.remote.is_idle() && self.stage.due().is_none();
        let hopeless = self.remote.is_idle() && self.remote_due(Instant::now()).is_some_and(|due| due > deadline);
        Instant::now() >= deadline || hopeless || (idle && self.schedule.queued() == 0)
    }

    async fn step(&mut self) {
        let remote_due = self.remote_due(Instant::now()).filter(|_| self.remote.is_idle());
        let wake = [self.stage.due(), remote_due, self.leaving].into_iter().flatten().min();
        tokio::select! {
            biased;
            result = self.remote.finished() => self.finish_remote(result).await,
            Ok(()) = self.channels.spec.changed() => self.respec().await,
            messages = self.channels.mailbox.receive(AT_ONCE), if self.leaving.is_none() => match messages {
                Some(messages) => self.take(messages).await,
                None => self.leaving = Some(Instant::now() + DRAIN),
            },
            () = sleep_until(wake) => {}
        }
        let now = Instant::now();
        if self.stage.due().is_some_and(|due| due <= now || self.leaving.is_some()) {
            self.seal().await;
        }
        if self.remote.is_idle() && self.remote_due(now).is_some_and(|due| due <= now) {
            self.use_remote(now);
        }
    }

    /// When the remote is to be used next. Who leaves does not wait for company.
    fn remote_due(&self, now: Instant) -> Option<Instant> {
        let due = self.schedule.due()?;
        Some(if self.leaving.is_some() && !self.schedule.is_retrying() { now } else { due })
    }

    fn use_remote(&mut self, now: Instant) {
        let (clone, auth) = (self.clone.clone(), self.spec.credentials.clone());
        match self.tip {
            Some(tip) if !self.must_fetch && self.schedule.queued() > 0 => {
                self.schedule.started(now);
                self.remote.start(remote::push(clone, tip, self.schedule.queued(), auth));
            }
            _ => self.remote.start(remote::fetch(clone, auth)),
        }
    }

    async fn take(&mut self, messages: Vec<Message>) {
        for message in messages {
            // A list is finished before the changes that came after it are looked at.
            if let Some(sweep) = self.stage.take(message, now()) {
                let orphans = self.orphans(&sweep).await;
                self.stage.finish(sweep, orphans, now());
            }
        }
        self.store_blobs(false).await;
        let dropped = self.stage.take_dropped();
        for (target, ids) in group_by_target(dropped) {
            self.channels.request(Resync::Objects { target, ids });
        }
    }

    async fn store_blobs(&mut self, all: bool) {
        let blobs = self.stage.take_blobs(all);
        if blobs.is_empty() {
            return;
        }
        if let Err(error) = self.clone.store(&blobs).await {
            self.local_failure(&error, "Blobs cannot be stored");
        }
    }

    /// Which candidates of a sweep really are the object that their path says. One whose content cannot be read stays.
    async fn orphans(&self, sweep: &Sweep) -> Vec<RepoPath> {
        if sweep.candidates.is_empty() {
            return Vec::new();
        }
        let ids: Vec<Oid> = sweep.candidates.iter().map(|(_, oid, _)| *oid).collect();
        let contents = match self.clone.read_blobs(&ids, self.spec.credentials.as_ref()).await {
            Ok(contents) => contents,
            Err(error) => {
                let detail = classify::describe(&error).message;
                tracing::warn!(branch = %self.spec.key, %error, detail, "Orphans stay: their content cannot be read");
                return Vec::new();
            }
        };
        let kind = &sweep.scope().kind;
        let is_object = |content: &[u8], name| sanitize::identifies(content, kind, name);
        let orphans = sweep.candidates.iter().zip(contents).filter(|((_, _, name), content)| is_object(content, name));
        orphans.map(|((path, _, _), _)| path.clone()).collect()
    }

    /// Makes commits of the open batch.
    async fn seal(&mut self) {
        self.store_blobs(true).await;
        let commits = self.stage.take_commits();
        if commits.is_empty() {
            return;
        }
        let ids = match self.clone.commit(self.tip, &commits).await {
            Ok(ids) => ids,
            Err(error) => return self.recover(&error).await,
        };
        for (id, commit) in ids.iter().zip(&commits) {
            let target = commit.target.as_ref().map(ToString::to_string).unwrap_or_default();
            let path = commit.files.first().map(|file| file.path().as_str()).unwrap_or_default();
            let subject = commit.message.lines().next().unwrap_or_default();
            tracing::info!(%target, path, files = commit.files.len(), commit = %id.short(), subject, "Committed");
        }
        self.tip = ids.last().copied().or(self.tip);
        self.schedule.committed(ids.len(), Instant::now());
        self.report_journal();
    }

    /// After a failed batch the index says more than the branch holds: load it anew, and ask for everything again.
    async fn recover(&mut self, error: &GitError) {
        self.local_failure(error, "Commits cannot be made");
        self.load_index().await;
        for target in self.spec.targets.keys() {
            self.channels.request(Resync::Target(target.clone()));
        }
    }

    fn local_failure(&self, error: &GitError, message: &str) {
        let failure = classify::describe(error);
        tracing::error!(branch = %self.spec.key, %error, detail = failure.message, "{message}");
        self.channels.report(|status| status.remote = RemoteState::Failed(failure));
    }

    async fn load_index(&mut self) {
        match self.clone.index(self.tip, self.stage.folders()).await {
            Ok(index) => self.stage.set_index(index),
            Err(error) => self.local_failure(&error, "The branch cannot be read"),
        }
    }

    /// Takes over a changed spec: targets, credentials, committer, push policy.
    async fn respec(&mut self) {
        self.seal().await;
        self.spec = self.channels.spec.borrow_and_update().clone();
        self.schedule.set_policy(self.spec.push, Instant::now());
        self.stage.set_targets(self.spec.targets.clone(), self.spec.committer.clone());
        self.load_index().await;
        let state = |folder: &BaseFolder| match self.stage.index().obstacle_to_folder(folder) {
            Some(obstacle) => TargetState::Refused(format!(
                "{obstacle:?} on the branch is no folder, so nothing can be written below it; remove it or choose another spec.baseFolder"
            )),
            None => TargetState::Ready,
        };
        let status = |folder: &BaseFolder| TargetStatus { folder: folder.clone(), state: state(folder) };
        let targets = self.spec.targets.iter().map(|(name, folder)| (name.clone(), status(folder))).collect();
        self.channels.report(|status| status.targets = targets);
    }

    fn report_journal(&self) {
        let (pushed, unpushed) = (self.base, self.schedule.queued());
        self.channels.report(|status| {
            status.pushed = pushed;
            status.unpushed = unpushed;
        });
    }

    async fn finish_remote(&mut self, result: RemoteResult) {
        let now = Instant::now();
        match result {
            RemoteResult::Pushed { tip, commits } => {
                self.base = Some(tip);
                self.schedule.succeeded(self.schedule.queued().saturating_sub(commits), now);
                if let Err(error) = self.clone.set_refs(self.tip.unwrap_or(tip), self.base).await {
                    self.local_failure(&error, "The pushed commit cannot be noted");
                }
                tracing::info!(branch = %self.spec.key, commit = %tip.short(), commits, "Pushed");
                self.channels.report(|status| status.remote = RemoteState::Available);
            }
            RemoteResult::Stale => {
                self.must_fetch = true;
                self.schedule.replayed(self.schedule.queued(), now);
            }
            RemoteResult::Fetched(tip) => self.integrate(tip).await,
            RemoteResult::Rejected(sentence) => {
                self.schedule.failed(false, fastrand::f64(), now);
                let failure = classify::failure(Class::Rejected, &sentence);
                tracing::warn!(branch = %self.spec.key, detail = failure.message, "Push was rejected");
                self.channels.report(|status| status.remote = RemoteState::Failed(failure));
            }
            RemoteResult::Failed { error, may_have_landed } => {
                self.must_fetch |= may_have_landed;
                self.schedule.failed(Class::of(&error) == Class::Transient, fastrand::f64(), now);
                let failure = classify::describe(&error);
                tracing::warn!(branch = %self.spec.key, %error, detail = failure.message, "Remote cannot be used");
                self.channels.report(|status| status.remote = RemoteState::Failed(failure));
            }
        }
        self.report_journal();
    }

    /// Puts the journal onto what the remote has now.
    async fn integrate(&mut self, remote_tip: Option<Oid>) {
        self.must_fetch = false;
        self.channels.report(|status| status.remote = RemoteState::Available);
        let now = Instant::now();
        // Without the branch on the remote there is nothing to put it onto: the next push creates it.
        let Some(onto) = remote_tip.filter(|tip| Some(*tip) != self.base) else {
            return self.schedule.reached(now);
        };
        self.seal().await;
        if let Err(error) = self.replay(onto).await {
            self.local_failure(&error, "The journal cannot be put onto the remote's commits");
            self.must_fetch = true;
            self.schedule.failed(true, fastrand::f64(), now);
        }
    }

    async fn replay(&mut self, onto: Oid) -> Result<(), GitError> {
        let tree = self.clone.index(Some(onto), self.stage.folders()).await?;
        let (tip, commits) = self.clone.replay(self.base, self.tip, onto, tree).await?;
        tracing::info!(branch = %self.spec.key, onto = %onto.short(), commits, "Remote has moved; journal follows");
        (self.tip, self.base) = (Some(tip), Some(onto));
        self.schedule.replayed(commits, Instant::now());
        self.load_index().await;
        Ok(())
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

fn group_by_target(dropped: Vec<(NamespacedName, ResourceId)>) -> BTreeMap<NamespacedName, Vec<ResourceId>> {
    let mut groups: BTreeMap<NamespacedName, Vec<ResourceId>> = BTreeMap::new();
    for (target, id) in dropped {
        groups.entry(target).or_default().push(id);
    }
    groups
}
