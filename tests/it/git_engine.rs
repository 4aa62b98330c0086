//! The git engine against the real git and a real smart-HTTP remote, without a cluster.

use crate::support::git_server::{Fault, GitServer};
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use crate::support::scratch::ScratchDir;
use gitops_reverser::attribution::Verdict;
use gitops_reverser::change::{Change, Content, ObjectVersion, Resync, SeedItem, SeedScope};
use gitops_reverser::git::batch::BatchLimits;
use gitops_reverser::git::cli::Git;
use gitops_reverser::git::mailbox::{Mailbox, Message};
use gitops_reverser::git::message::Installation;
use gitops_reverser::git::pool::{self, Pool};
use gitops_reverser::git::spec::{BasicAuth, BranchSpec, Identity, PushPolicy};
use gitops_reverser::git::status::{BranchStatus, RemoteState, TargetState};
use gitops_reverser::git::worker::Settings;
use gitops_reverser::resource::{
    BaseFolder, BranchKey, BranchName, NamespacedName, ObjectName, Operations, RepoUrl, ResourceId, ResourceType,
    layout,
};
use gitops_reverser::sanitize::Manifest;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(30);

fn target() -> NamespacedName {
    NamespacedName::new("team", "mirror")
}

fn kind() -> Arc<ResourceType> {
    Arc::new(ResourceType {
        group: String::new(),
        version: "v1".into(),
        resource: "configmaps".into(),
        kind: "ConfigMap".into(),
        namespaced: true,
    })
}

fn manifest(name: &str, value: &str) -> Manifest {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: shop\ndata:\n  key: {value}\n"
    );
    Manifest::new(text.into_bytes())
}

fn path(name: &str) -> String {
    format!("base/core/v1/configmaps/shop/{name}.yaml")
}

/// One engine with one branch, as an operator process has it.
struct Engine {
    pool: Arc<Pool>,
    task: JoinHandle<Result<(), pool::WorkerFailed>>,
    key: BranchKey,
    resyncs: mpsc::UnboundedReceiver<Resync>,
}

impl Engine {
    async fn start(work_dir: &ScratchDir, url: &str, password: &str) -> Self {
        gitops_reverser::telemetry::logging::init("info").ok();
        let (resync, resyncs) = mpsc::unbounded_channel();
        let (pool, starts) = Pool::new(resync);
        let installation = Installation {
            cluster_uid: "cluster".into(),
            namespace: "reverser".into(),
            name: "release".into(),
            instance_id: "instance".into(),
        };
        let settings = Settings {
            git: Git::find(true).await.unwrap(),
            work_dir: work_dir.path().to_owned(),
            installation: Arc::new(installation),
            batch: BatchLimits { files: 200, bytes: 1 << 20 },
            push_spacing: Duration::ZERO,
            push_ceiling: Duration::from_millis(100),
        };
        let task = tokio::spawn(pool::run(Arc::new(settings), starts));
        let key = BranchKey {
            provider: NamespacedName::new("team", "provider"),
            provider_uid: "uid".into(),
            url: RepoUrl::parse(url, true).unwrap(),
            branch: BranchName::new("main").unwrap(),
        };
        let engine = Self { pool: Arc::new(pool), task, key, resyncs };
        engine.pool.apply(vec![engine.spec(password)]);
        engine
    }

    fn spec(&self, password: &str) -> BranchSpec {
        BranchSpec {
            key: self.key.clone(),
            credentials: Some(BasicAuth { username: "git".into(), password: password.into() }),
            committer: Identity { name: "Reverser".into(), email: "reverser@example.invalid".into() },
            push: PushPolicy { interval: Duration::from_millis(100), max_commits: 20 },
            targets: [(target(), BaseFolder::new("base").unwrap())].into(),
        }
    }

    fn status(&self) -> BranchStatus {
        self.pool.statuses().remove(&self.key).unwrap()
    }

    async fn ready(&self) -> Arc<Mailbox> {
        eventually(SOON, "the target to be ready", async || {
            Ok(self.status().targets.get(&target()).filter(|target| target.state == TargetState::Ready).map(|_| ()))
        })
        .await
        .unwrap();
        self.pool.mailbox(&self.key).unwrap()
    }

    /// Leaves as on SIGTERM.
    async fn stop(self) {
        self.pool.close();
        tokio::time::timeout(SOON, self.task).await.expect("the engine ends").unwrap().unwrap();
    }
}

fn change(name: &str, content: Content) -> Change {
    let id = ResourceId { kind: kind(), name: ObjectName::new(Some("shop"), name) };
    Change {
        target: target(),
        path: layout::manifest_path(&BaseFolder::new("base").unwrap(), &id).unwrap(),
        id,
        content,
        operations: Operations::ALL,
        version: ObjectVersion::default(),
        verdict: Verdict::none(),
    }
}

fn upsert(name: &str, value: &str) -> Change {
    change(name, Content::Upsert(manifest(name, value)))
}

async fn seed(mailbox: &Mailbox, objects: &[(&str, &str)]) {
    let scope = Arc::new(SeedScope {
        target: target(),
        folder: BaseFolder::new("base").unwrap(),
        kind: kind(),
        namespace: None,
    });
    mailbox.send_seed(Message::SeedBegin(Arc::clone(&scope))).await;
    for (name, value) in objects {
        let Change { path, operations, .. } = upsert(name, value);
        let item = SeedItem { path, manifest: manifest(name, value), operations };
        mailbox.send_seed(Message::SeedItem(Arc::clone(&scope), item)).await;
    }
    mailbox.send_seed(Message::SeedEnd(scope, true)).await;
}

async fn commits(repo: &RemoteRepo, count: usize) {
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

fn content(value: &str, name: &str) -> Option<String> {
    Some(String::from_utf8(manifest(name, value).bytes().to_vec()).unwrap())
}

async fn mk_remote(name: &str) -> (GitServer, RemoteRepo, ScratchDir) {
    let server = GitServer::start().await.unwrap();
    let repo = server.create_repo(name);
    (server, repo, ScratchDir::new().unwrap())
}

#[tokio::test]
async fn an_empty_remote_gets_one_commit_a_change_and_a_restart_none() {
    let (server, repo, work_dir) = mk_remote("empty").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
    mailbox.send(upsert("a", "2"));
    mailbox.send(upsert("a", "3"));
    mailbox.send(upsert("a", "3"));
    mailbox.send(change("b", Content::Delete));
    mailbox.send(change("never-there", Content::Delete));
    commits(&repo, 4).await;
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    assert_eq!(repo.files("main"), [path("a")]);
    let log = repo.log("main");
    let subjects: Vec<_> = log.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "[RECONCILE] 2 files written, 0 deleted",
            "[UPDATE] ConfigMap/a in ns/shop by user/unknown",
            "[UPDATE] ConfigMap/a in ns/shop by user/unknown",
            "[DELETE] ConfigMap/b in ns/shop by user/unknown",
        ]
    );
    engine.stop().await;

    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "3")]).await;
    mailbox.send(upsert("a", "4"));
    commits(&repo, 5).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_complete_list_removes_orphans_but_nothing_foreign() {
    let (server, repo, work_dir) = mk_remote("orphans").await;
    let dave = "Dave <dave@example.com>";
    for (name, value) in [("gone", "1"), ("stays", "1")] {
        repo.commit_file("main", &path(name), &content(value, name).unwrap(), dave);
    }
    let foreign = [
        ("base/README.md".to_owned(), "hello\n"),
        (path("notes"), "not a manifest\n"),
        ("other/core/v1/configmaps/shop/gone.yaml".to_owned(), "x: y\n"),
        ("base/core/v1/secrets/shop/gone.yaml".to_owned(), "x: y\n"),
    ];
    for (path, text) in &foreign {
        repo.commit_file("main", path, text, dave);
    }
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    seed(&*engine.ready().await, &[("stays", "1")]).await;
    commits(&repo, 7).await;
    assert_eq!(repo.log("main")[6].changes, [('D', path("gone"))]);
    for (path, text) in &foreign {
        assert_eq!(repo.read("main", path).as_deref(), Some(*text));
    }
    engine.stop().await;
}

#[tokio::test]
async fn foreign_commits_are_kept_and_ours_land_on_top() {
    let (server, repo, work_dir) = mk_remote("foreign").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    repo.commit_file("main", "README.md", "hello\n", "Dave <dave@example.com>");
    repo.commit_file("main", &path("b"), &content("2", "b").unwrap(), "Dave <dave@example.com>");
    mailbox.send(upsert("a", "2"));
    // The remote has this already: nothing of it is left after the replay.
    mailbox.send(upsert("b", "2"));
    commits(&repo, 4).await;
    mailbox.send(upsert("b", "3"));
    commits(&repo, 5).await;
    assert_eq!(repo.read("main", "README.md").as_deref(), Some("hello\n"));
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    assert_eq!(repo.read("main", &path("b")), content("3", "b"));
    engine.stop().await;
}

#[tokio::test]
async fn what_happens_while_the_remote_is_down_arrives_afterwards_across_a_restart() {
    let (server, repo, work_dir) = mk_remote("down").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    eventually(SOON, "the failure to be told", async || {
        let status = engine.status();
        let told = matches!(&status.remote, RemoteState::Failed(failure) if failure.reason == "NetworkError");
        Ok((told && status.unpushed == 1).then_some(()))
    })
    .await
    .unwrap();
    // As after a kill: nothing is said to the engine.
    engine.task.abort();
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "3"));
    server.set_fault(None);
    commits(&repo, 3).await;
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn leaving_pushes_what_is_queued() {
    let (server, repo, work_dir) = mk_remote("leaving").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    for number in 0..300 {
        mailbox.send(upsert("a", &number.to_string()));
    }
    engine.stop().await;
    assert_eq!(repo.log("main").len(), 300);
}

#[tokio::test]
async fn a_wrong_password_is_told_and_a_new_one_is_used_at_once() {
    let (server, repo, work_dir) = mk_remote("password").await;
    let engine = Engine::start(&work_dir, repo.url(), "wrong").await;
    eventually(SOON, "the refusal to be told", async || {
        let told =
            matches!(engine.status().remote, RemoteState::Failed(failure) if failure.reason == "AuthenticationFailed");
        Ok(told.then_some(()))
    })
    .await
    .unwrap();
    engine.pool.apply(vec![engine.spec(server.password())]);
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    engine.stop().await;
}

#[tokio::test]
async fn what_stands_in_the_way_of_a_file_is_not_replaced() {
    let (server, repo, work_dir) = mk_remote("obstacle").await;
    repo.commit_file("main", "base/core/v1", "a file where a folder must be\n", "Dave <dave@example.com>");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mut blocked = upsert("a", "1");
    blocked.path = gitops_reverser::resource::RepoPath::new("base/free.yaml").unwrap();
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    mailbox.send(blocked);
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), ["base/core/v1", "base/free.yaml"]);
    engine.stop().await;
}

#[tokio::test]
async fn a_branch_that_does_not_exist_starts_from_the_default_branch() {
    let (server, repo, work_dir) = mk_remote("default").await;
    let trunk = repo.commit_file("trunk", "README.md", "hello\n", "Dave <dave@example.com>");
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 2).await;
    assert_eq!(repo.log("main")[0].oid, trunk);
    engine.stop().await;
}

#[tokio::test]
async fn content_over_the_budget_is_asked_for_again() {
    let (server, repo, work_dir) = mk_remote("budget").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    let large = "x".repeat(1 << 20);
    for number in 0..40 {
        mailbox.send(upsert(&format!("large-{number}"), &large));
    }
    let Some(Resync::Objects { target: asking, ids }) = engine.resyncs.recv().await else { panic!("nothing asked") };
    assert_eq!(asking, target());
    assert!(ids.iter().all(|id| id.name.name.starts_with("large-")));
    engine.stop().await;
}
