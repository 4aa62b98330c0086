//! The git engine while the remote, the network or somebody else gets in its way: afterwards every change is exactly one
//! commit, the content is right, and what is foreign is intact.

use crate::support::engine::{
    Engine, SOON, change, commits, content, failure, manifest, mk_remote, path, target, unpushed, upsert,
};
use crate::support::git_server::{Fault, GitServer, Kind};
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use crate::support::scratch::ScratchDir;
use gitops_reverser::change::{Change, Content};
use gitops_reverser::git::cli::Patience;
use gitops_reverser::git::status::{RemoteState, TargetState};
use gitops_reverser::resource::{BaseFolder, BranchKey, NamespacedName, ProviderKey, layout};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ERIN: &str = "Erin <erin@example.com>";
/// Short enough for a test that waits for it, long enough for a busy machine.
const SHORT: Patience = Patience { stalled: Duration::from_secs(3), transfer: Duration::from_secs(20) };

/// An engine on a branch with a foreign file, and what was sent through it.
struct Flow {
    server: GitServer,
    repo: RemoteRepo,
    engine: Engine,
    work_dir: ScratchDir,
    /// How often each object was changed, and its value now.
    sent: BTreeMap<String, (usize, Option<String>)>,
    foreign: BTreeMap<String, String>,
    /// How often the configuration was touched.
    touches: usize,
}

impl Flow {
    async fn start(name: &str) -> Self {
        let (server, repo, work_dir) = mk_remote(name).await;
        repo.commit_file("main", "README.md", "theirs\n", ERIN);
        let engine = Engine::start_impatient(&work_dir, repo.url(), server.password(), SHORT).await;
        engine.ready().await;
        let foreign = [("README.md".to_owned(), "theirs\n".to_owned())].into();
        let mut flow = Self { server, repo, engine, work_dir, sent: BTreeMap::new(), foreign, touches: 0 };
        flow.write("first", "0");
        flow.complete().await;
        flow
    }

    fn write(&mut self, name: &str, value: &str) {
        self.engine.pool.mailbox(&self.engine.key).unwrap().send(upsert(name, value));
        let (times, now) = self.sent.entry(name.to_owned()).or_default();
        (*times, *now) = (*times + 1, Some(value.to_owned()));
    }

    fn delete(&mut self, name: &str) {
        self.engine.pool.mailbox(&self.engine.key).unwrap().send(change(name, Content::Delete));
        let (times, now) = self.sent.get_mut(name).unwrap();
        (*times, *now) = (*times + 1, None);
    }

    fn somebody_else_writes(&mut self, path: &str, text: &str) {
        self.repo.commit_file("main", path, text, ERIN);
        self.foreign.insert(path.to_owned(), text.to_owned());
    }

    /// Several changes of several objects, and a deletion.
    fn write_some(&mut self) {
        for number in 0..8 {
            self.write(["a", "b", "c"][number % 3], &number.to_string());
        }
        self.delete("b");
    }

    /// Waits until every change is on the branch, and checks that this is all there is.
    async fn complete(&self) {
        let ours = self.sent.values().map(|(times, _)| times).sum::<usize>();
        commits(&self.repo, ours + self.foreign.len()).await;
        self.check();
    }

    fn check(&self) {
        let log = self.repo.log("main");
        assert!(log.iter().all(|commit| commit.changes.len() == 1), "one file a commit: {log:#?}");
        for (name, (times, value)) in &self.sent {
            let found = log.iter().filter(|commit| commit.changes[0].1 == path(name)).count();
            assert_eq!(found, *times, "commits of {name}: {log:#?}");
            assert_eq!(self.repo.read("main", &path(name)), value.as_ref().and_then(|value| content(value, name)));
        }
        for (path, text) in &self.foreign {
            assert_eq!(self.repo.read("main", path).as_ref(), Some(text), "{path}");
        }
    }

    /// What a person does who has mended something: touches the configuration, so that it is tried at once.
    fn touch(&mut self) {
        let mut spec = self.engine.spec(self.server.password());
        self.touches += 1;
        spec.push.max_commits += self.touches;
        self.engine.apply(vec![spec]);
    }

    async fn fault_met(&self, before: u64) {
        eventually(SOON, "the fault to be met", async || Ok((self.server.faults_met() > before).then_some(())))
            .await
            .unwrap();
    }

    /// Lets every request of a kind fail while changes flow, until the status gives `reason`; then heals.
    async fn ride_out(&mut self, kind: Kind, fault: Fault, reason: &str) {
        let before = self.server.faults_met();
        // Makes the next push stale, so that a fetch is needed too.
        self.somebody_else_writes(&format!("theirs/{before}-{}", self.foreign.len()), "theirs\n");
        self.server.fault_on(kind, fault);
        self.write_some();
        self.fault_met(before).await;
        failure(&self.engine, |failure| failure.reason == reason).await;
        self.write_some();
        self.server.set_fault(None);
        self.touch();
        self.complete().await;
        let available = async || Ok((self.engine.status().remote == RemoteState::Available).then_some(()));
        eventually(SOON, "the status to be well again", available).await.unwrap();
    }

    /// Lets one request of a kind fail while changes flow.
    async fn stumble(&mut self, kind: Kind, fault: Fault) {
        let before = self.server.faults_met();
        self.somebody_else_writes(&format!("theirs/{before}-{}", self.foreign.len()), "theirs\n");
        self.server.fault_once(kind, fault);
        self.write_some();
        self.fault_met(before).await;
        self.write_some();
        self.complete().await;
    }
}

const KINDS: [Kind; 3] = [Kind::Refs, Kind::UploadPack, Kind::ReceivePack];

#[tokio::test]
async fn refused_credentials_are_told_and_nothing_is_lost() {
    let mut flow = Flow::start("refused").await;
    for kind in KINDS {
        for status in [401, 403] {
            flow.ride_out(kind, Fault::Status(status), "AuthenticationFailed").await;
        }
    }
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_server_that_is_unwell_is_tried_again() {
    let mut flow = Flow::start("unwell").await;
    for kind in KINDS {
        for status in [429, 500, 503] {
            flow.ride_out(kind, Fault::Status(status), "NetworkError").await;
        }
    }
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let mut flow = Flow::start("stalled").await;
    for kind in KINDS {
        flow.ride_out(kind, Fault::Stall, "NetworkError").await;
    }
    flow.engine.stop().await;
}

#[tokio::test]
async fn cut_connections_lose_and_double_nothing() {
    let mut flow = Flow::start("cut").await;
    for kind in KINDS {
        for bytes in [0, 10, 60] {
            flow.stumble(kind, Fault::CutAnswer(bytes)).await;
        }
    }
    for bytes in [0, 10, 150, 400] {
        flow.stumble(Kind::ReceivePack, Fault::CutRequest(bytes)).await;
        flow.ride_out(Kind::ReceivePack, Fault::CutRequest(bytes), "NetworkError").await;
    }
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_made_once() {
    let mut flow = Flow::start("unheard").await;
    for _ in 0..3 {
        flow.stumble(Kind::ReceivePack, Fault::AnswerLost).await;
    }
    // Even if no push is ever answered.
    flow.server.fault_on(Kind::ReceivePack, Fault::AnswerLost);
    flow.write_some();
    flow.complete().await;
    flow.write_some();
    flow.complete().await;
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let mut flow = Flow::start("slow").await;
    flow.server.set_fault(Some(Fault::Slow(Duration::from_millis(250))));
    for round in 0..3 {
        flow.somebody_else_writes(&format!("theirs/{round}"), "theirs\n");
        flow.write_some();
        flow.complete().await;
    }
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_repository_that_is_gone_is_told_and_used_again_when_it_is_back() {
    let mut flow = Flow::start("gone").await;
    let elsewhere = flow.repo.path().with_extension("moved");
    std::fs::rename(flow.repo.path(), &elsewhere).unwrap();
    flow.write_some();
    failure(&flow.engine, |failure| failure.reason == "RepositoryNotFound").await;
    unpushed(&flow.engine, 9).await;
    std::fs::rename(&elsewhere, flow.repo.path()).unwrap();
    flow.touch();
    flow.complete().await;
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_hook_that_refuses_is_quoted_and_asked_again() {
    let mut flow = Flow::start("hook").await;
    flow.repo.set_hook("pre-receive", "echo 'no YAML on Fridays' >&2; exit 1");
    flow.write_some();
    failure(&flow.engine, |failure| {
        failure.reason == "GitOperationFailed" && failure.message.contains("no YAML on Fridays")
    })
    .await;
    flow.write_some();
    unpushed(&flow.engine, 18).await;
    flow.repo.set_hook("pre-receive", "exit 0");
    flow.touch();
    flow.complete().await;
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_clone_that_was_lost_is_made_anew_and_pushes_without_the_old_content() {
    let mut flow = Flow::start("lost").await;
    flow.write_some();
    flow.complete().await;
    let Flow { server, repo, engine, work_dir, .. } = flow;
    engine.stop().await;
    std::fs::remove_dir_all(work_dir.path().join("clones/repos")).unwrap();
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "after"));
    mailbox.send(change("c", Content::Delete));
    commits(&repo, 13).await;
    assert_eq!(repo.read("main", &path("a")), content("after", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn what_was_removed_from_the_history_does_not_come_back() {
    let mut flow = Flow::start("rewritten").await;
    let before = flow.repo.head("main").unwrap();
    flow.write("scrubbed", "secret");
    flow.complete().await;
    let removed = flow.repo.head("main").unwrap();
    flow.server.set_fault(Some(Fault::Down));
    flow.write_some();
    unpushed(&flow.engine, 9).await;
    // Somebody rewrites the history, and goes on from there.
    let onto = flow.repo.commit_file_on(Some(&before), "theirs/new", "theirs\n", ERIN);
    flow.repo.git(&["update-ref", "refs/heads/main", &onto, &removed]);
    flow.foreign.insert("theirs/new".to_owned(), "theirs\n".to_owned());
    flow.sent.insert("scrubbed".to_owned(), (0, None));
    flow.server.set_fault(None);
    flow.write_some();
    flow.complete().await;
    assert!(flow.repo.log("main").iter().all(|commit| commit.oid != removed));
    flow.engine.stop().await;
}

#[tokio::test]
async fn a_repository_on_the_disk_is_a_remote_too() {
    let (_server, repo, work_dir) = mk_remote("file").await;
    repo.commit_file("main", "README.md", "theirs\n", ERIN);
    let url = format!("file://{}", repo.path().display());
    let engine = Engine::start(&work_dir, &url, "").await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 2).await;
    repo.commit_file("main", "other", "theirs\n", ERIN);
    mailbox.send(upsert("a", "2"));
    commits(&repo, 4).await;
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    assert_eq!(repo.read("main", "README.md").as_deref(), Some("theirs\n"));
    engine.stop().await;
}

#[tokio::test]
async fn five_hundred_changes_arrive_beside_a_foreign_writer() {
    let mut flow = Flow::start("busy").await;
    let stop = Arc::new(AtomicBool::new(false));
    let (repo, told) = (flow.repo.clone(), Arc::clone(&stop));
    let writer = std::thread::spawn(move || {
        let mut written = BTreeMap::new();
        while !told.load(Ordering::Relaxed) {
            let (path, begun) = (format!("theirs/{}", written.len()), Instant::now());
            repo.commit_file("main", &path, "theirs\n", ERIN);
            written.insert(path, "theirs\n".to_owned());
            // Once a second, but no faster than in this proportion to what git takes on a machine that is busy.
            let next = begun + (begun.elapsed() * 20).max(Duration::from_secs(1));
            // Not to wait for anything: this is how fast the writer is.
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        written
    });
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    for round in 0..50 {
        pace.tick().await;
        for number in 0..10 {
            flow.write(&format!("object-{number}"), &round.to_string());
        }
    }
    // The writer goes on for as long as anything of ours is not there.
    eventually(4 * SOON, "all changes on the remote", async || {
        let ours = flow.repo.log("main").iter().filter(|commit| commit.author_name != "Erin").count();
        anyhow::ensure!(ours == 501, "{ours} of 501 are there");
        Ok(Some(()))
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    flow.foreign.extend(writer.join().unwrap());
    assert!(flow.foreign.len() > 2, "too few to be in the way: {}", flow.foreign.len());
    flow.complete().await;
    flow.engine.stop().await;
}

#[tokio::test]
async fn two_workers_on_one_branch_both_get_everything_there() {
    let (server, repo, work_dir) = mk_remote("race").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    // Another provider on the same URL, for another folder, in the same operator.
    let other = NamespacedName::new("team", "second");
    let (key, folder) = (
        BranchKey { provider: ProviderKey::ours(other.clone()), ..engine.key.clone() },
        BaseFolder::new("second").unwrap(),
    );
    let mut spec = engine.spec(server.password());
    let mut mirrored = spec.targets[&target()].clone();
    mirrored.folder = folder.clone();
    (spec.key, spec.targets) = (key.clone(), [(other.clone(), mirrored)].into());
    engine.apply(vec![engine.spec(server.password()), spec]);
    let mine = engine.ready().await;
    eventually(SOON, "the second target to be ready", async || {
        let status = engine.pool.statuses().remove(&key).unwrap();
        Ok(status.targets.get(&other).filter(|target| target.state == TargetState::Ready).map(drop))
    })
    .await
    .unwrap();
    let theirs = engine.pool.mailbox(&key).unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    for round in 0..30 {
        pace.tick().await;
        for name in ["a", "b"] {
            let one = upsert(name, &round.to_string());
            let path = layout::manifest_path(&folder, &one.id).unwrap();
            theirs.send(Change { target: other.clone(), path, ..upsert(name, &round.to_string()) });
            mine.send(one);
        }
    }
    commits(&repo, 120).await;
    let log = repo.log("main");
    assert!(log.iter().all(|commit| commit.changes.len() == 1), "{log:#?}");
    for name in ["a", "b"] {
        for path in [path(name), path(name).replacen("base", "second", 1)] {
            let touching = log.iter().filter(|commit| commit.changes[0].1 == path).count();
            assert_eq!(touching, 30, "commits of {path}");
            let text = String::from_utf8(manifest(name, "29").bytes().to_vec()).unwrap();
            assert_eq!(repo.read("main", &path), Some(text));
        }
    }
    engine.stop().await;
}
