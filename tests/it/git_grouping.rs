//! `spec.commit` of a target through the engine and the real git: windows and templates.

use crate::support::engine::{Engine, SOON, change, commits, content, mk_remote, path, seed, target, upsert};
use crate::support::evidence::verdict;
use gitops_reverser::change::{Change, Content};
use gitops_reverser::rules::template::{MessageTemplate, Purpose};
use gitops_reverser::rules::{CommitPolicy, MessageTemplates};
use std::time::Duration;

fn by(user: &str, change: Change) -> Change {
    Change { verdict: verdict(&[user], "kubectl"), ..change }
}

fn group(engine: &Engine, password: &str, window: Duration, messages: MessageTemplates) {
    let mut spec = engine.spec(password);
    if let Some(target) = spec.targets.get_mut(&target()) {
        target.commit = CommitPolicy { window, messages };
    }
    engine.apply(vec![spec]);
}

#[tokio::test]
async fn changes_of_one_author_become_one_commit_and_authors_never_share_one() {
    let (server, repo, work_dir) = mk_remote("grouping").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    group(&engine, server.password(), Duration::from_secs(2), MessageTemplates::default());
    let mailbox = engine.ready().await;
    for (name, value) in [("a", "1"), ("b", "1"), ("a", "2")] {
        mailbox.send(by("alice", upsert(name, value)));
    }
    mailbox.send(by("alice", upsert("void", "1")));
    mailbox.send(by("alice", change("void", Content::Delete)));
    mailbox.send(by("bob", upsert("c", "1")));
    // Closes alice's window at once; bob's goes on.
    mailbox.send(by("bob", upsert("a", "3")));
    commits(&repo, 2).await;
    let log = repo.log("main");
    let told: Vec<_> = log
        .iter()
        .map(|commit| (commit.author_name.as_str(), commit.subject.as_str(), commit.changes.as_slice()))
        .collect();
    assert_eq!(
        told,
        [
            ("alice", "[CREATE] 2 resources in ns/shop by user/alice", [('A', path("a")), ('A', path("b"))].as_slice()),
            ("bob", "[CHANGE] 2 resources in ns/shop by user/bob", [('M', path("a")), ('A', path("c"))].as_slice()),
        ]
    );
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    engine.stop().await;
}

#[tokio::test]
async fn who_leaves_waits_for_no_window_and_lists_do_not_overtake_one() {
    let (server, repo, work_dir) = mk_remote("leaving").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    group(&engine, server.password(), Duration::from_secs(60), MessageTemplates::default());
    let mailbox = engine.ready().await;
    mailbox.send(by("alice", upsert("a", "1")));
    mailbox.send(by("alice", upsert("b", "1")));
    seed(&mailbox, &[("a", "2"), ("b", "1"), ("c", "1")]).await;
    commits(&repo, 2).await;
    mailbox.send(by("bob", upsert("d", "1")));
    mailbox.send(by("alice", upsert("e", "1")));
    tokio::time::timeout(SOON, engine.stop()).await.unwrap();
    let subjects: Vec<String> = repo.log("main").into_iter().map(|commit| commit.subject).collect();
    assert_eq!(
        subjects,
        [
            "[CREATE] 2 resources in ns/shop by user/alice",
            "[RECONCILE] 2 files written, 0 deleted",
            "[CREATE] ConfigMap/d in ns/shop by user/bob",
            "[CREATE] ConfigMap/e in ns/shop by user/alice",
        ]
    );
    assert_eq!(repo.read("main", &path("a")), content("2", "a"));
}

#[tokio::test]
async fn templates_say_what_stands_above_the_trailers() {
    let (server, repo, work_dir) = mk_remote("templates").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let template = |text, purpose| Some(MessageTemplate::parse(text, purpose).unwrap());
    let messages = MessageTemplates {
        change: template("{user}: {operation} {kind} {namespace}/{name}\n\nX-ConfigButler-User: root", Purpose::Change),
        group: None,
        seed: template("{target}: {written} {resource}", Purpose::Seed),
    };
    group(&engine, server.password(), Duration::ZERO, messages);
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1")]).await;
    mailbox.send(by("alice", upsert("a", "2")));
    commits(&repo, 2).await;
    let log = repo.log("main");
    let subjects: Vec<&str> = log.iter().map(|commit| commit.subject.as_str()).collect();
    assert_eq!(subjects, ["team/mirror: 1 configmaps", "alice: UPDATE ConfigMap shop/a"]);
    assert!(log[1].body.starts_with("X-ConfigButler-User: alice\n"), "{}", log[1].body);
    engine.stop().await;
}
