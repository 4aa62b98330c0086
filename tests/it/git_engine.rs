//! The git engine against the real git and a real smart-HTTP remote, without a cluster.

use crate::support::engine::{
    Engine, SOON, change, commits, content, failure, in_clone, mk_remote, path, seed, target, unpushed, upsert,
};
use crate::support::git_server::Fault;
use crate::support::poll::eventually;
use gitops_reverser::change::{Content, Resync};
use gitops_reverser::git::status::RemoteState;

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
    failure(&engine, |failure| failure.reason == "NetworkError").await;
    unpushed(&engine, 1).await;
    engine.kill().await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "3"));
    server.set_fault(None);
    commits(&repo, 3).await;
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn a_journal_survives_a_kill_and_a_remote_that_moved_meanwhile() {
    let (server, repo, work_dir) = mk_remote("moved").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    for name in ["a", "gone", "same"] {
        mailbox.send(upsert(name, "1"));
    }
    commits(&repo, 3).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    mailbox.send(change("gone", Content::Delete));
    mailbox.send(upsert("same", "2"));
    mailbox.send(upsert("d", "1"));
    unpushed(&engine, 4).await;
    engine.kill().await;

    let erin = "Erin <erin@example.com>";
    repo.commit_file("main", "README.md", "hello\n", erin);
    repo.commit_file("main", &path("same"), &content("2", "same").unwrap(), erin);
    repo.commit_file("main", &format!("{}/precious", path("d")), "foreign\n", erin);
    // What a replay that was killed leaves behind.
    in_clone(&work_dir, &["update-ref", "refs/reverser/replay", "refs/heads/main"]);
    server.set_fault(None);
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.ready().await;
    // The update of `a` and the deletion: the remote has `same`, and something foreign is where `d` would be.
    commits(&repo, 8).await;
    let log = repo.log("main");
    assert!(log.iter().all(|commit| !commit.changes.is_empty()), "{log:#?}");
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
    assert_eq!(repo.read("main", &path("gone")), None);
    assert_eq!(repo.read("main", "README.md").as_deref(), Some("hello\n"));
    assert_eq!(repo.read("main", &format!("{}/precious", path("d"))).as_deref(), Some("foreign\n"));
    engine.stop().await;
}

#[tokio::test]
async fn a_push_that_landed_unheard_is_not_repeated() {
    let (server, repo, work_dir) = mk_remote("landed").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    mailbox.send(upsert("a", "3"));
    unpushed(&engine, 2).await;
    in_clone(&work_dir, &["push", "--quiet", repo.path().to_str().unwrap(), "main"]);
    mailbox.send(upsert("a", "4"));
    unpushed(&engine, 3).await;
    server.set_fault(None);
    commits(&repo, 4).await;
    assert_eq!(repo.read("main", &path("a")), content("4", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn a_branch_that_cannot_be_moved_is_told_and_not_hammered() {
    let (server, repo, work_dir) = mk_remote("stuck").await;
    repo.commit_file("main", "README.md", "hello\n", "Erin <erin@example.com>");
    std::fs::write(repo.path().join("refs/heads/main.lock"), "").unwrap();
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.ready().await.send(upsert("a", "1"));
    failure(&engine, |failure| failure.message.contains("lock")).await;
    std::fs::remove_file(repo.path().join("refs/heads/main.lock")).unwrap();
    commits(&repo, 2).await;
    engine.stop().await;
}

#[tokio::test]
async fn what_only_looks_different_is_left_alone() {
    let (server, repo, work_dir) = mk_remote("adopted").await;
    let by_hand = |value| {
        format!(
            "# mine\nkind: ConfigMap\napiVersion: v1\nmetadata: {{namespace: shop, name: a}}\ndata: {{key: {value}}}\n"
        )
    };
    repo.commit_file("main", &path("a"), &by_hand(1), "Erin <erin@example.com>");
    repo.commit_file("main", &path("b"), &by_hand(1), "Erin <erin@example.com>");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    // `b` by its path, but not by its content.
    seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
    commits(&repo, 3).await;
    assert_eq!(repo.read("main", &path("a")), Some(by_hand(1)));
    assert_eq!(repo.read("main", &path("b")), content("1", "b"));
    // Edited by hand again, and applied to the cluster from there.
    repo.commit_file("main", &path("a"), &by_hand(2), "Erin <erin@example.com>");
    mailbox.send(upsert("b", "2"));
    commits(&repo, 5).await;
    mailbox.send(upsert("a", "2"));
    mailbox.send(upsert("b", "3"));
    commits(&repo, 6).await;
    assert_eq!(repo.read("main", &path("a")), Some(by_hand(2)));
    mailbox.send(upsert("a", "3"));
    commits(&repo, 7).await;
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn a_damaged_clone_is_repaired_and_asks_for_everything() {
    let (server, repo, work_dir) = mk_remote("damaged").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    let lock = in_clone(&work_dir, &["rev-parse", "--path-format=absolute", "--git-path", "refs/heads/main.lock"]);
    std::fs::write(&lock, "").unwrap();
    mailbox.send(upsert("a", "2"));
    eventually(SOON, "the damage to be told", async || {
        let status = engine.status();
        Ok((status.targets.is_empty() && matches!(status.remote, RemoteState::Failed(_))).then_some(()))
    })
    .await
    .unwrap();
    std::fs::remove_file(&lock).unwrap();
    engine.ready().await;
    engine.asked().await;
    seed(&mailbox, &[("a", "2")]).await;
    commits(&repo, 2).await;
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
    failure(&engine, |failure| failure.reason == "AuthenticationFailed").await;
    engine.apply(vec![engine.spec(server.password())]);
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
