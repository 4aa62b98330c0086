//! What waits to be committed or pushed when a branch or a rule is let in no more.

use crate::support::engine::{Engine, SOON, commits, content, mk_remote, path, seed, unpushed, upsert};
use crate::support::evidence::verdict;
use crate::support::git_server::Fault;
use crate::support::poll::eventually;
use gitops_reverser::change::Change;
use gitops_reverser::git::spec::BranchSpec;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_halted_branch_pushes_nothing_until_it_is_given_back() {
    let (server, repo, work_dir) = mk_remote("halted").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    mailbox.send(upsert("b", "1"));
    unpushed(&engine, 2).await;
    engine.pool.apply(Vec::new(), &HashSet::from([engine.key.clone()]));
    server.set_fault(None);
    // What comes now is for nobody, and with the engine the worker has ended.
    mailbox.send(upsert("c", "1"));
    engine.stop().await;
    assert_eq!(repo.log("main").len(), 1);
    engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    commits(&repo, 3).await;
    assert_eq!(repo.files("main"), [path("a"), path("b")]);
    assert!(engine.event("Pushed").await.message.starts_with("2 commits were pushed"));
    engine.stop().await;
}

#[tokio::test]
async fn a_branch_that_is_let_go_pushes_what_is_committed_and_one_that_is_halted_late_stops() {
    let (server, repo, work_dir) = mk_remote("released").await;
    let engine = Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| {
        spec.targets.values_mut().for_each(|target| target.commit.window = Duration::from_secs(60));
    })
    .await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1")]).await;
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    seed(&mailbox, &[("a", "2")]).await;
    unpushed(&engine, 1).await;
    mailbox.send(upsert("b", "1"));
    eventually(SOON, "a change to wait", async || Ok((engine.status().counts.queued == 1).then_some(())))
        .await
        .unwrap();
    engine.apply(Vec::new());
    let halted = HashSet::from([engine.key.clone()]);
    engine.pool.apply(Vec::new(), &halted);
    server.set_fault(None);
    // Given back, it goes on where it was; what was not committed is gone.
    engine.apply(vec![engine.spec(server.password())]);
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), [path("a")]);
    engine.stop().await;
    assert_eq!(repo.log("main").len(), 2);
}

#[tokio::test]
async fn what_waits_when_a_rule_is_denied_is_not_committed() {
    let (server, repo, work_dir) = mk_remote("denied").await;
    let deny = |spec: &mut BranchSpec, denied: &[&str]| {
        for target in spec.targets.values_mut() {
            target.commit.window = Duration::from_secs(60);
            target.denied = denied.iter().map(|uid| Arc::from(*uid)).collect();
        }
    };
    let mut engine =
        Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| deny(spec, &["one", "two"])).await;
    let apply = |engine: &Engine, denied: &[&str]| {
        let mut spec = engine.spec(server.password());
        deny(&mut spec, denied);
        engine.apply(vec![spec]);
    };
    let by = |user: &str, value: &str| Change { verdict: verdict(&[user], "kubectl"), ..upsert("b", value) };
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1")]).await;
    commits(&repo, 1).await;
    mailbox.send(by("alice", "1"));
    mailbox.send(by("bob", "2"));
    commits(&repo, 2).await;
    // Whoever is let in again takes nothing from anybody.
    apply(&engine, &["two"]);
    mailbox.send(by("carol", "3"));
    commits(&repo, 3).await;
    while engine.resyncs.try_recv().is_ok() {}
    apply(&engine, &["two", "three"]);
    engine.asked().await;
    // What other rules want comes back with the list.
    seed(&mailbox, &[("a", "1"), ("b", "2"), ("c", "1")]).await;
    commits(&repo, 4).await;
    engine.stop().await;
    assert_eq!(repo.read("main", &path("b")), content("2", "b"));
    assert_eq!(repo.log("main").len(), 4);
}
