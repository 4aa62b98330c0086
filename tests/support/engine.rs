//! The git engine as an operator process has it, against one branch of a real remote, without a cluster.

// A test that cannot go on has failed, and a panic says where.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::git_server::GitServer;
use super::poll::eventually;
use super::remote_repo::{RemoteRepo, git_command};
use super::scratch::ScratchDir;
use gitops_reverser::attribution::Verdict;
use gitops_reverser::change::{Change, Content, ObjectVersion, Resync, SeedItem, SeedScope};
use gitops_reverser::git::batch::BatchLimits;
use gitops_reverser::git::cli::{Git, Patience, ProcessLimits};
use gitops_reverser::git::clone::policy::ClonePolicy;
use gitops_reverser::git::mailbox::{Mailbox, Message};
use gitops_reverser::git::message::Installation;
use gitops_reverser::git::places::Places;
use gitops_reverser::git::pool::{self, Pool};
use gitops_reverser::git::spec::{BranchSpec, Credentials, Identity, Prune, PushPolicy, TargetSpec};
use gitops_reverser::git::status::{BranchEvent, BranchStatus, RemoteFailure, RemoteState, Severity, TargetState};
use gitops_reverser::git::worker::Settings;
use gitops_reverser::resource::{
    BaseFolder, BranchKey, BranchName, NamespaceSet, NamespacedName, ObjectName, Operations, ProviderKey, RepoUrl,
    ResourceId, ResourceType, layout,
};
use gitops_reverser::rules::{CommitPolicy, Selected, Selection};
use gitops_reverser::sanitize::Manifest;
use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) fn target() -> NamespacedName {
    NamespacedName::new("team", "mirror")
}

pub(crate) fn kind() -> Arc<ResourceType> {
    Arc::new(ResourceType {
        group: String::new(),
        version: "v1".into(),
        resource: "configmaps".into(),
        kind: "ConfigMap".into(),
        namespaced: true,
    })
}

/// Rules that select ConfigMaps in `namespaces`.
pub(crate) fn selected(namespaces: NamespaceSet) -> Selected {
    let ResourceType { group, version, resource, .. } = ResourceType::clone(&kind());
    Selected { group, resource, version, namespaces, selector: None, deletes: true }
}

pub(crate) fn manifest(name: &str, value: &str) -> Manifest {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n  key: {value}\n"
    );
    Manifest::new(text.into_bytes())
}

pub(crate) fn path(name: &str) -> String {
    format!("base/core/v1/configmaps/shop/{name}.yaml")
}

/// One engine with one branch, as an operator process has it.
pub(crate) struct Engine {
    pub(crate) pool: Arc<Pool>,
    task: JoinHandle<Result<(), pool::WorkerFailed>>,
    pub(crate) key: BranchKey,
    pub(crate) resyncs: mpsc::UnboundedReceiver<Resync>,
    pub(crate) events: mpsc::UnboundedReceiver<BranchEvent>,
}

impl Engine {
    pub(crate) async fn start(work_dir: &ScratchDir, url: &str, password: &str) -> Self {
        Self::start_as(work_dir, url, password, |_, _| {}).await
    }

    /// Starts with other settings or another spec than usual.
    pub(crate) async fn start_as(
        work_dir: &ScratchDir,
        url: &str,
        password: &str,
        adapt: impl FnOnce(&mut Installation, &mut BranchSpec),
    ) -> Self {
        let git = Git::find(true).await.unwrap();
        Self::start_using(git, work_dir, url, Credentials::basic("git", password), mk_policy(), adapt).await
    }

    /// The same with a git that gives remotes less time.
    pub(crate) async fn start_impatient(work_dir: &ScratchDir, url: &str, password: &str, patience: Patience) -> Self {
        let git = Git::find(true).await.unwrap().with_patience(patience);
        Self::start_using(git, work_dir, url, Credentials::basic("git", password), mk_policy(), |_, _| {}).await
    }

    /// The same with other clones and numbers of processes.
    pub(crate) async fn start_with(
        work_dir: &ScratchDir,
        url: &str,
        password: &str,
        clones: ClonePolicy,
        limits: ProcessLimits,
    ) -> Self {
        let git = Git::find(true).await.unwrap().with_limits(limits);
        Self::start_using(git, work_dir, url, Credentials::basic("git", password), clones, |_, _| {}).await
    }

    /// The same with another git and other credentials.
    pub(crate) async fn start_through(git: Git, work_dir: &ScratchDir, url: &str, credentials: Credentials) -> Self {
        Self::start_using(git, work_dir, url, credentials, mk_policy(), |_, _| {}).await
    }

    async fn start_using(
        git: Git,
        work_dir: &ScratchDir,
        url: &str,
        credentials: Credentials,
        clones: ClonePolicy,
        adapt: impl FnOnce(&mut Installation, &mut BranchSpec),
    ) -> Self {
        gitops_reverser::telemetry::logging::init("info").ok();
        let (resync, resyncs) = mpsc::unbounded_channel();
        let (tell, events) = mpsc::unbounded_channel();
        let (pool, starts) = Pool::new(resync, tell);
        let mut installation = Installation {
            cluster_uid: "cluster".into(),
            namespace: "reverser".into(),
            name: "release".into(),
            instance_id: "instance".into(),
        };
        let key = BranchKey {
            provider: ProviderKey::ours(NamespacedName::new("team", "provider")),
            provider_uid: "uid".into(),
            url: RepoUrl::parse(url, true).unwrap(),
            branch: BranchName::new("main").unwrap(),
        };
        let mut spec = mk_spec(&key, credentials);
        adapt(&mut installation, &mut spec);
        let settings = Settings {
            git,
            places: Places::take(&work_dir.path().join("clones")).unwrap(),
            installation: Arc::new(installation),
            authors: Arc::default(),
            attributed: Arc::default(),
            clones,
            batch: BatchLimits { files: 200, bytes: 1 << 20 },
            push_spacing: Duration::ZERO,
            push_ceiling: Duration::from_millis(100),
        };
        let task = tokio::spawn(pool::run(Arc::new(settings), starts));
        let engine = Self { pool: Arc::new(pool), task, key, resyncs, events };
        engine.apply(vec![spec]);
        engine
    }

    /// Makes `branches` all that is wanted.
    pub(crate) fn apply(&self, branches: Vec<BranchSpec>) {
        self.pool.apply(branches, &HashSet::new());
    }

    /// What is wanted of it unless told otherwise.
    pub(crate) fn spec(&self, password: &str) -> BranchSpec {
        self.spec_with(Credentials::basic("git", password))
    }

    /// The same with other credentials.
    pub(crate) fn spec_with(&self, credentials: Credentials) -> BranchSpec {
        mk_spec(&self.key, credentials)
    }

    pub(crate) fn status(&self) -> BranchStatus {
        self.pool.statuses().remove(&self.key).unwrap()
    }

    pub(crate) async fn ready(&self) -> Arc<Mailbox> {
        eventually(SOON, "the target to be ready", async || {
            Ok(self.status().targets.get(&target()).filter(|target| target.state == TargetState::Ready).map(|_| ()))
        })
        .await
        .unwrap();
        self.pool.mailbox(&self.key).unwrap()
    }

    /// The next event of this reason; others are left out.
    pub(crate) async fn event(&mut self, reason: &str) -> BranchEvent {
        let next = async {
            loop {
                match self.events.recv().await.unwrap() {
                    event if event.reason == reason => return event,
                    event => assert_ne!(event.severity, Severity::Warning, "{event:?}"),
                }
            }
        };
        tokio::time::timeout(SOON, next).await.unwrap_or_else(|_| panic!("no event {reason}"))
    }

    /// Waits until everything of its target is asked for.
    pub(crate) async fn asked(&mut self) {
        let asked = tokio::time::timeout(SOON, self.resyncs.recv()).await.expect("the target to be asked for");
        assert_eq!(asked, Some(Resync::Target(target())));
    }

    /// Ends as by a kill: without a word.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Leaves as on SIGTERM.
    pub(crate) async fn stop(self) {
        self.pool.close();
        tokio::time::timeout(SOON, self.task).await.expect("the engine ends").unwrap().unwrap();
    }
}

fn mk_spec(key: &BranchKey, credentials: Credentials) -> BranchSpec {
    let mirrored = TargetSpec {
        folder: BaseFolder::new("base").unwrap(),
        foreign_edit_grace: Duration::from_secs(300),
        commit: CommitPolicy::default(),
        prune: Prune::default(),
        selection: Arc::new(Selection::new([selected(NamespaceSet::ALL)])),
        gone: Arc::default(),
        denied: BTreeSet::new(),
    };
    BranchSpec {
        key: key.clone(),
        credentials,
        signing: None,
        committer: Identity { name: "Reverser".into(), email: "reverser@example.invalid".into() },
        push: PushPolicy { interval: Duration::from_millis(100), max_commits: 20 },
        poll_interval: Duration::from_secs(300),
        revision: 0,
        requested: 0,
        targets: [(target(), mirrored)].into(),
    }
}

/// How the engine's clones are made. The machine that runs the tests may be nearly full.
pub(crate) fn mk_policy() -> ClonePolicy {
    ClonePolicy { least_free_percent: 0, ..ClonePolicy::default() }
}

pub(crate) fn change(name: &str, content: Content) -> Change {
    let id = ResourceId { kind: kind(), name: ObjectName::new(Some("shop"), name) };
    Change {
        target: target(),
        path: layout::manifest_path(&BaseFolder::new("base").unwrap(), &id).unwrap(),
        id,
        content,
        is_news: true,
        operations: Operations::ALL,
        version: ObjectVersion::default(),
        verdict: Verdict::none(),
    }
}

pub(crate) fn upsert(name: &str, value: &str) -> Change {
    change(name, Content::Upsert(manifest(name, value)))
}

pub(crate) async fn seed(mailbox: &Mailbox, objects: &[(&str, &str)]) {
    let scope = Arc::new(SeedScope {
        target: target(),
        folder: BaseFolder::new("base").unwrap(),
        kind: kind(),
        namespaces: NamespaceSet::ALL,
    });
    mailbox.send_seed(Message::SeedBegin(Arc::clone(&scope))).await;
    for (name, value) in objects {
        let Change { path, operations, .. } = upsert(name, value);
        let item = SeedItem { path, manifest: manifest(name, value), operations };
        mailbox.send_seed(Message::SeedItem(Arc::clone(&scope), item)).await;
    }
    mailbox.send_seed(Message::SeedEnd(scope, NamespaceSet::ALL)).await;
}

pub(crate) async fn commits(repo: &RemoteRepo, count: usize) {
    eventually(SOON, &format!("{count} commits on the remote"), async || {
        let found = repo.head("main").map(|_| repo.log("main").len()).unwrap_or_default();
        if found > count {
            panic!("{found} commits instead of {count}: {:#?}", repo.log("main"));
        }
        Ok((found == count).then_some(()))
    })
    .await
    .unwrap();
}

pub(crate) fn content(value: &str, name: &str) -> Option<String> {
    Some(String::from_utf8(manifest(name, value).bytes().to_vec()).unwrap())
}

pub(crate) async fn mk_remote(name: &str) -> (GitServer, RemoteRepo, ScratchDir) {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo(name);
    (server, repo, ScratchDir::new().unwrap())
}

/// Plain git in the engine's only clone.
pub(crate) fn in_clone(work_dir: &ScratchDir, arguments: &[&str]) -> String {
    let output = git_command().arg("-C").arg(clone_of(work_dir)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Waits until the status tells a failure of the remote that passes `check`.
pub(crate) async fn failure(engine: &Engine, check: impl Fn(&RemoteFailure) -> bool) {
    eventually(SOON, "the failure to be told", async || {
        let told = matches!(&engine.status().remote, RemoteState::Failed(failure) if check(failure));
        Ok(told.then_some(()))
    })
    .await
    .unwrap();
}

pub(crate) async fn unpushed(engine: &Engine, count: usize) {
    eventually(SOON, "commits in the journal", async || Ok((engine.status().counts.unpushed == count).then_some(())))
        .await
        .unwrap();
}

/// The engine's only clone, whatever lies beside it while one is made.
pub(crate) fn clone_of(work_dir: &ScratchDir) -> PathBuf {
    let beside = [".new", ".old", ".damaged"];
    let mut found = clone_folders(work_dir);
    found.retain(|path| !beside.iter().any(|suffix| path.to_string_lossy().ends_with(suffix)));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// All folders where clones lie.
pub(crate) fn clone_folders(work_dir: &ScratchDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(work_dir.path().join("clones/repos")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}
