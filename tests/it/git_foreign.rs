//! What becomes of edits that others make in our folder: a person, or a tool that applies from there.

use crate::support::engine::{Engine, SOON, change, commits, content, mk_remote, path, seed, unpushed, upsert};
use crate::support::git_server::{Fault, GitServer};
use crate::support::operator::{Mirror, apply, shared};
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use crate::support::scratch::ScratchDir;
use gitops_reverser::change::Content;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::time::Duration;

const ERIN: &str = "Erin <erin@example.com>";
const FOR_EVER: Duration = Duration::from_secs(3_600);
/// Long enough for everything that has to happen within it, on a busy machine too.
const A_WHILE: Duration = Duration::from_secs(4);

/// An engine that looks often, and leaves edits alone for `grace`.
async fn start(server: &GitServer, repo: &RemoteRepo, work_dir: &ScratchDir, grace: Duration) -> Engine {
    Engine::start_as(work_dir, repo.url(), server.password(), |_, spec| {
        spec.poll_interval = Duration::from_millis(200);
        spec.targets.values_mut().for_each(|target| target.foreign_edit_grace = grace);
    })
    .await
}

/// Waits until the engine knows the tip of the remote.
async fn seen(engine: &Engine, repo: &RemoteRepo) {
    eventually(SOON, "the remote's commit to be seen", async || {
        let (known, tip) = (engine.status().pushed.map(|tip| tip.to_string()), repo.head("main"));
        Ok((known == tip).then_some(()))
    })
    .await
    .unwrap();
}

/// `a` and `b`, pushed and known.
async fn mirrored(engine: &Engine, repo: &RemoteRepo) {
    seed(&*engine.ready().await, &[("a", "1"), ("b", "1")]).await;
    commits(repo, 1).await;
    unpushed(engine, 0).await;
}

#[tokio::test]
async fn an_edit_that_does_not_reach_the_cluster_is_overwritten_after_its_time() {
    let (server, repo, work_dir) = mk_remote("overwritten").await;
    let mut engine = start(&server, &repo, &work_dir, A_WHILE).await;
    mirrored(&engine, &repo).await;
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    repo.commit_file("main", &path("c"), &content("theirs", "c").unwrap(), ERIN);
    repo.commit_file("main", "base/README.md", "theirs\n", ERIN);
    seen(&engine, &repo).await;
    let mailbox = engine.ready().await;
    // Whatever lists come by: until then the edits stay.
    seed(&mailbox, &[("a", "1"), ("b", "2")]).await;
    commits(&repo, 5).await;
    assert_eq!(repo.read("main", &path("a")), content("theirs", "a"));
    assert_eq!(repo.read("main", &path("c")), content("theirs", "c"));
    engine.asked().await;
    seed(&mailbox, &[("a", "1"), ("b", "2")]).await;
    commits(&repo, 6).await;
    assert_eq!(repo.log("main")[5].subject, "[RECONCILE] 1 files written, 1 deleted");
    assert_eq!(repo.read("main", &path("a")), content("1", "a"));
    assert_eq!(repo.files("main"), ["base/README.md".to_owned(), path("a"), path("b")]);
    engine.stop().await;
}

#[tokio::test]
async fn an_edit_that_reaches_the_cluster_in_time_is_never_reverted() {
    let (server, repo, work_dir) = mk_remote("applied").await;
    let mut engine = start(&server, &repo, &work_dir, FOR_EVER).await;
    mirrored(&engine, &repo).await;
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    repo.commit_file("main", &path("c"), &content("theirs", "c").unwrap(), ERIN);
    seen(&engine, &repo).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "theirs"));
    // A restart in between: the list still has the old `c`, that is none.
    engine.stop().await;
    engine = start(&server, &repo, &work_dir, FOR_EVER).await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "theirs"), ("b", "1")]).await;
    mailbox.send(upsert("c", "theirs"));
    mailbox.send(upsert("b", "2"));
    commits(&repo, 4).await;
    seed(&mailbox, &[("a", "theirs"), ("b", "2"), ("c", "theirs")]).await;
    mailbox.send(upsert("b", "3"));
    commits(&repo, 5).await;
    let subjects: Vec<String> = repo.log("main").into_iter().map(|commit| commit.subject).collect();
    assert!(subjects[3..].iter().all(|subject| subject.starts_with("[UPDATE] ConfigMap/b")), "{subjects:?}");
    assert!(engine.resyncs.try_recv().is_err(), "nothing is left to be asked for");
    engine.stop().await;
}

#[tokio::test]
async fn a_deletion_by_others_has_its_time_across_a_restart_and_a_lost_volume() {
    let (server, repo, work_dir) = mk_remote("deletion").await;
    let engine = start(&server, &repo, &work_dir, FOR_EVER).await;
    mirrored(&engine, &repo).await;
    engine.stop().await;
    remove_file(&repo, &path("a"));
    let elsewhere = ScratchDir::new().unwrap();
    let mut listed = vec![("a", "1"), ("b", "1")];
    for (work_dir, name) in [(&work_dir, "c"), (&elsewhere, "d")] {
        let engine = start(&server, &repo, work_dir, FOR_EVER).await;
        let mailbox = engine.ready().await;
        let before = repo.log("main").len();
        seed(&mailbox, &listed).await;
        mailbox.send(upsert(name, "1"));
        commits(&repo, before + 1).await;
        listed.push((name, "1"));
        assert_eq!(repo.read("main", &path("a")), None);
        engine.stop().await;
    }
    let engine = start(&server, &repo, &work_dir, Duration::ZERO).await;
    seed(&*engine.ready().await, &listed).await;
    commits(&repo, 5).await;
    assert_eq!(repo.read("main", &path("a")), content("1", "a"));
    engine.stop().await;
}

fn remove_file(repo: &RemoteRepo, path: &str) {
    let files = repo.git(&["ls-tree", "-r", "main"]);
    let index = repo.path().join("index-of-the-test");
    let entries: Vec<&str> = files.lines().filter(|line| !line.ends_with(&format!("\t{path}"))).collect();
    let with_index = |args: &[&str]| {
        let mut git = crate::support::remote_repo::git_command();
        let output = git.env("GIT_INDEX_FILE", &index).arg("--git-dir").arg(repo.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    for entry in entries {
        let (head, name) = entry.split_once('\t').unwrap();
        let blob = head.rsplit(' ').next().unwrap();
        with_index(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{name}")]);
    }
    let tree = with_index(&["write-tree"]);
    std::fs::remove_file(&index).unwrap();
    let commit = repo.git(&["commit-tree", "-m", "Remove", "-p", "main", &tree]);
    repo.git(&["update-ref", "refs/heads/main", &commit]);
}

#[tokio::test]
async fn an_object_that_changes_wins_at_once() {
    let (server, repo, work_dir) = mk_remote("wins").await;
    let engine = start(&server, &repo, &work_dir, FOR_EVER).await;
    mirrored(&engine, &repo).await;
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    repo.commit_file("main", &path("b"), &content("theirs", "b").unwrap(), ERIN);
    seen(&engine, &repo).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "2"));
    mailbox.send(change("b", Content::Delete));
    commits(&repo, 5).await;
    assert_eq!(repo.files("main"), [path("a")]);
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn what_a_list_brought_does_not_revert_an_edit_that_was_pushed_meanwhile() {
    let (server, repo, work_dir) = mk_remote("spared").await;
    let engine = start(&server, &repo, &work_dir, FOR_EVER).await;
    mirrored(&engine, &repo).await;
    server.set_fault(Some(Fault::Down));
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "2"), ("b", "2")]).await;
    mailbox.send(upsert("c", "1"));
    unpushed(&engine, 2).await;
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    server.set_fault(None);
    commits(&repo, 4).await;
    assert_eq!(repo.read("main", &path("a")), content("theirs", "a"));
    assert_eq!(repo.read("main", &path("b")), content("2", "b"));
    engine.stop().await;
}

#[tokio::test]
async fn who_writes_a_file_again_and_again_keeps_it_until_its_object_changes() {
    let (server, repo, work_dir) = mk_remote("fight").await;
    let mut engine = start(&server, &repo, &work_dir, Duration::ZERO).await;
    mirrored(&engine, &repo).await;
    let mailbox = engine.ready().await;
    for round in 1..=3 {
        repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
        engine.asked().await;
        seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
        commits(&repo, 1 + 2 * round).await;
        unpushed(&engine, 0).await;
    }
    let warning = engine.event("ForeignEdits").await;
    assert!(warning.message.contains(&path("a")), "{}", warning.message);
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    seen(&engine, &repo).await;
    seed(&mailbox, &[("a", "1"), ("b", "2")]).await;
    commits(&repo, 9).await;
    assert_eq!(repo.read("main", &path("a")), content("theirs", "a"));
    mailbox.send(upsert("a", "2"));
    commits(&repo, 10).await;
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn where_the_history_does_not_reach_every_difference_has_its_time() {
    let (server, repo, work_dir) = mk_remote("unknown").await;
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    for number in 0..60 {
        repo.commit_file("main", "README.md", &format!("{number}\n"), ERIN);
    }
    let mut engine = start(&server, &repo, &work_dir, A_WHILE).await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1")]).await;
    mailbox.send(upsert("b", "1"));
    commits(&repo, 62).await;
    assert_eq!(repo.read("main", &path("a")), content("theirs", "a"));
    engine.asked().await;
    seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
    commits(&repo, 63).await;
    assert_eq!(repo.read("main", &path("a")), content("1", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn files_that_cannot_be_read_for_now_are_looked_at_later() {
    let (server, repo, work_dir) = mk_remote("unread").await;
    let by_hand = "# mine\nkind: ConfigMap\napiVersion: v1\nmetadata: {namespace: shop, name: a}\ndata: {key: \"1\"}\n";
    repo.commit_file("main", &path("a"), by_hand, ERIN);
    repo.commit_file("main", &path("gone"), &content("1", "gone").unwrap(), ERIN);
    let mut engine = start(&server, &repo, &work_dir, FOR_EVER).await;
    let mailbox = engine.ready().await;
    server.set_fault(Some(Fault::Down));
    let objects = [("a", "\"1\""), ("b", "1")];
    seed(&mailbox, &objects).await;
    unpushed(&engine, 1).await;
    server.set_fault(None);
    engine.asked().await;
    seed(&mailbox, &objects).await;
    commits(&repo, 4).await;
    assert_eq!(repo.read("main", &path("a")).as_deref(), Some(by_hand));
    assert_eq!(repo.files("main"), [path("a"), path("b")]);
    engine.stop().await;
}

/// One file of somebody else is applied to the cluster in time, as a GitOps tool does, the other is not.
#[tokio::test]
async fn beside_a_gitops_tool_only_what_it_does_not_apply_is_overwritten() {
    let cluster = shared().await.unwrap();
    let mirror = Mirror::prepare(cluster, "beside").await.unwrap();
    let configuration = mirror.configuration(&["configmaps"]);
    let grace = "baseFolder: live\n  foreignEditGrace: 5s";
    apply(cluster, &configuration.replace("baseFolder: live", grace)).await.unwrap();
    mirror.ready(cluster).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client_as("flux").await.unwrap(), &mirror.namespace);
    let mk_map = |name: &str| serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": "old"}}));
    for name in ["applied", "ignored"] {
        maps.create(&PostParams::default(), &mk_map(name).unwrap()).await.unwrap();
        mirror.commits(&mirror.config_map(name), 1).await.unwrap();
    }
    let (applied, ignored) = (mirror.config_map("applied"), mirror.config_map("ignored"));
    for file in [&applied, &ignored] {
        let edited = mirror.repo.read("main", file).unwrap().replace("old", "theirs");
        mirror.repo.commit_file("main", file, &edited, ERIN);
    }
    let patch = Patch::Merge(json!({"data": {"key": "theirs"}}));
    maps.patch("applied", &PatchParams::default(), &patch).await.unwrap();
    let log = mirror.commits(&ignored, 3).await.unwrap();
    assert_eq!(log[2].subject, "[RECONCILE] 1 files written, 0 deleted");
    assert!(mirror.repo.read("main", &ignored).unwrap().contains("old"));
    assert!(mirror.repo.read("main", &applied).unwrap().contains("theirs"));
    assert_eq!(mirror.history(&applied).len(), 2, "{:#?}", mirror.history(&applied));

    // Rewritten history is told as an event on the target.
    mirror.repo.git(&["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    maps.create(&PostParams::default(), &mk_map("another").unwrap()).await.unwrap();
    eventually(SOON, "the event", async || {
        let mut events = cluster.kubectl();
        events.args(["get", "events", "--namespace", &mirror.namespace, "--output=name"]);
        let output = events.args(["--field-selector=reason=HistoryRewritten,type=Warning"]).output().await?;
        Ok((!output.stdout.is_empty()).then_some(()))
    })
    .await
    .unwrap();
}
