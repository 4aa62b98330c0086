//! What becomes of the journal when the remote does what it should not: moves, forgets, refuses.

use crate::support::engine::{
    Engine, SOON, clone_of, commits, content, failure, in_clone, mk_policy, mk_remote, path, seed, unpushed, upsert,
};
use crate::support::git_server::Fault;
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use gitops_reverser::git::cli::ProcessLimits;
use gitops_reverser::git::clone::policy::{ClonePolicy, Filter};
use gitops_reverser::git::status::RemoteState;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

const ERIN: &str = "Erin <erin@example.com>";

async fn available(engine: &Engine) {
    eventually(SOON, "the remote to be available", async || {
        Ok((engine.status().remote == RemoteState::Available).then_some(()))
    })
    .await
    .unwrap();
}

/// Makes every push to `repo` fail with a sentence.
fn refuse(repo: &RemoteRepo) {
    let hook = repo.path().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'no YAML on Fridays' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn agree(repo: &RemoteRepo) {
    std::fs::remove_file(repo.path().join("hooks/pre-receive")).unwrap();
}

#[tokio::test]
async fn a_push_that_landed_below_somebody_elses_is_not_repeated() {
    let (server, repo, work_dir) = mk_remote("landed-below").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    unpushed(&engine, 1).await;
    in_clone(&work_dir, &["push", "--quiet", repo.path().to_str().unwrap(), "main"]);
    repo.commit_file("main", "README.md", "hello\n", ERIN);
    mailbox.send(upsert("a", "3"));
    unpushed(&engine, 2).await;
    server.set_fault(None);
    commits(&repo, 4).await;
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    assert_eq!(repo.read("main", "README.md").as_deref(), Some("hello\n"));
    engine.stop().await;
}

#[tokio::test]
async fn what_was_removed_from_the_history_stays_removed() {
    let (server, repo, work_dir) = mk_remote("rewritten").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    mailbox.send(upsert("secret", "1"));
    commits(&repo, 2).await;
    // Put back to an older commit: to a plain push a fast-forward.
    let secret = repo.head("main").unwrap();
    repo.git(&["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    mailbox.send(upsert("b", "1"));
    engine.event("HistoryRewritten").await;
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), [path("a"), path("b")]);
    assert!(!repo.git(&["rev-list", "main"]).contains(&secret));
    // Another root altogether, where a tag has the branch's name.
    repo.git(&["update-ref", "-d", "refs/heads/main"]);
    repo.commit_file("main", "README.md", "anew\n", ERIN);
    repo.git(&["tag", "main"]);
    mailbox.send(upsert("b", "2"));
    engine.event("HistoryRewritten").await;
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), ["README.md".to_owned(), path("b")]);
    engine.stop().await;
}

#[tokio::test]
async fn a_branch_that_was_deleted_starts_from_the_default_branch_again() {
    let (server, repo, work_dir) = mk_remote("deleted").await;
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    for number in 0..60 {
        repo.commit_file("trunk", "README.md", &format!("{number}\n"), ERIN);
    }
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 61).await;
    let gone = repo.head("main").unwrap();
    repo.git(&["update-ref", "-d", "refs/heads/main"]);
    mailbox.send(upsert("b", "1"));
    let told = engine.event("HistoryRewritten").await;
    assert!(told.message.contains("default branch"), "{}", told.message);
    engine.asked().await;
    commits(&repo, 61).await;
    assert!(!repo.git(&["rev-list", "main"]).contains(&gone));
    seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
    commits(&repo, 62).await;
    assert_eq!(repo.read("main", &path("a")), content("1", "a"));

    // Neither branch nor default branch: from a shallow clone the history could not be pushed again.
    repo.git(&["update-ref", "-d", "refs/heads/trunk"]);
    repo.git(&["update-ref", "-d", "refs/heads/main"]);
    mailbox.send(upsert("b", "2"));
    let told = engine.event("HistoryRewritten").await;
    assert!(told.message.contains("without history"), "{}", told.message);
    engine.asked().await;
    commits(&repo, 1).await;
    assert_eq!(repo.files("main"), [path("b")]);
    engine.stop().await;
}

#[tokio::test]
async fn a_journal_that_another_replica_has_outrun_is_put_aside() {
    let (server, repo, work_dir) = mk_remote("outrun").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "old"));
    unpushed(&engine, 1).await;
    engine.kill().await;
    server.set_fault(None);

    let elsewhere = crate::support::scratch::ScratchDir::new().unwrap();
    let engine = Engine::start(&elsewhere, repo.url(), server.password()).await;
    engine.ready().await.send(upsert("a", "new"));
    commits(&repo, 2).await;
    engine.stop().await;

    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.event("JournalPutAside").await;
    engine.asked().await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "new")]).await;
    mailbox.send(upsert("b", "1"));
    commits(&repo, 3).await;
    assert_eq!(repo.read("main", &path("a")), content("new", "a"));
    let lost = in_clone(&work_dir, &["for-each-ref", "--format=%(contents:subject)", "refs/reverser/lost"]);
    assert_eq!(lost, "[UPDATE] ConfigMap/a in ns/shop by user/unknown");
    engine.stop().await;
}

#[tokio::test]
async fn a_refused_journal_goes_when_the_server_agrees() {
    let (server, repo, work_dir) = mk_remote("refused").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    available(&engine).await;
    refuse(&repo);
    mailbox.send(upsert("a", "1"));
    failure(&engine, |failure| failure.message.contains("no YAML on Fridays")).await;
    engine.event("PushRejected").await;
    agree(&repo);
    // Anything about the spec makes it try at once; otherwise it would a minute later.
    let mut spec = engine.spec(server.password());
    spec.push.max_commits = 7;
    engine.apply(vec![spec]);
    commits(&repo, 1).await;
    available(&engine).await;
    engine.stop().await;
}

#[tokio::test]
async fn a_refused_journal_is_replaced_when_people_change_what_it_came_from() {
    let (server, repo, work_dir) = mk_remote("replaced").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    refuse(&repo);
    mailbox.send(upsert("secret", "1"));
    mailbox.send(upsert("a", "1"));
    engine.event("PushRejected").await;
    agree(&repo);
    let mut spec = engine.spec(server.password());
    spec.revision = 1;
    engine.apply(vec![spec]);
    engine.event("JournalPutAside").await;
    engine.asked().await;
    seed(&mailbox, &[("a", "1")]).await;
    commits(&repo, 1).await;
    assert_eq!(repo.files("main"), [path("a")]);
    assert!(!in_clone(&work_dir, &["for-each-ref", "refs/reverser/lost"]).is_empty());
    engine.stop().await;
}

#[tokio::test]
async fn who_may_only_read_is_told_before_anything_is_written() {
    let (server, repo, work_dir) = mk_remote("read-only").await;
    repo.commit_file("main", "README.md", "hello\n", ERIN);
    repo.git(&["config", "http.receivepack", "false"]);
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    failure(&engine, |failure| failure.reason == "AuthenticationFailed").await;
    repo.git(&["config", "http.receivepack", "true"]);
    let mut spec = engine.spec(server.password());
    spec.push.max_commits = 7;
    engine.apply(vec![spec]);
    available(&engine).await;
    assert_eq!(repo.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main", "a probe leaves nothing");
    engine.stop().await;
}

#[tokio::test]
async fn an_idle_branch_sees_what_others_push() {
    let (server, repo, work_dir) = mk_remote("polled").await;
    let poll = Duration::from_millis(300);
    let engine = Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| spec.poll_interval = poll).await;
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    let theirs = repo.commit_file("main", "README.md", "hello\n", ERIN);
    eventually(SOON, "the commit to be seen", async || {
        Ok((engine.status().pushed.map(|tip| tip.to_string()) == Some(theirs.clone())).then_some(()))
    })
    .await
    .unwrap();
    engine.stop().await;
}

#[tokio::test]
async fn what_could_not_be_written_is_asked_for_once_the_way_is_free() {
    let (server, repo, work_dir) = mk_remote("unblocked").await;
    repo.commit_file("main", &format!("{}/precious", path("a")), "mine\n", ERIN);
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    mailbox.send(upsert("b", "1"));
    commits(&repo, 2).await;
    repo.git(&["update-ref", "refs/heads/main", "refs/heads/main~1"]);
    let root = repo.git(&["commit-tree", "-m", "Make way", "4b825dc642cb6eb9a060e54bf8d69288fbee4904", "-p", "main"]);
    repo.git(&["update-ref", "refs/heads/main", &root]);
    mailbox.send(upsert("b", "2"));
    engine.event("HistoryRewritten").await;
    engine.asked().await;
    engine.stop().await;
}

#[tokio::test]
async fn a_list_removes_more_than_can_be_read_at_once() {
    let (server, repo, work_dir) = mk_remote("sweep").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    let value = "x".repeat(1 << 20);
    let names: Vec<String> = (0..70).map(|number| format!("large-{number}")).collect();
    let objects: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    seed(&mailbox, &objects).await;
    commits(&repo, 1).await;
    seed(&mailbox, &[]).await;
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), [] as [String; 0]);
    engine.stop().await;
}

#[tokio::test]
async fn what_is_here_is_not_asked_of_the_remote() {
    let (server, repo, work_dir) = mk_remote("local").await;
    let policy = || ClonePolicy { depth: 0, filter: Filter::Nothing, ..mk_policy() };
    let start =
        async || Engine::start_with(&work_dir, repo.url(), server.password(), policy(), ProcessLimits::default()).await;
    let engine = start().await;
    engine.ready().await.send(upsert("a", "1"));
    commits(&repo, 1).await;
    engine.stop().await;
    // Nobody knows any more who wrote the file: it is read before it is overwritten.
    let engine = start().await;
    engine.ready().await.send(upsert("a", "2"));
    commits(&repo, 2).await;
    let settings = in_clone(&work_dir, &["config", "--local", "--list"]);
    assert!(!settings.contains("promisor"), "a whole clone counts on nobody: {settings}");
    engine.stop().await;
}

#[tokio::test]
async fn a_worker_without_a_clone_keeps_no_list_waiting() {
    let (server, repo, work_dir) = mk_remote("without").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let mailbox = engine.ready().await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    server.set_fault(Some(Fault::Down));
    // At once, whatever git is writing there.
    std::fs::rename(clone_of(&work_dir), work_dir.path().join("gone")).unwrap();
    mailbox.send(upsert("a", "2"));
    eventually(SOON, "the clone to be made anew", async || Ok(engine.status().targets.is_empty().then_some(())))
        .await
        .unwrap();
    failure(&engine, |failure| failure.reason == "NetworkError").await;
    // Whoever lists for this branch lists for others, too.
    let value = "x".repeat(1 << 20);
    let names: Vec<String> = (0..20).map(|number| format!("large-{number}")).collect();
    let objects: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    tokio::time::timeout(SOON, seed(&mailbox, &objects)).await.expect("the list goes on");
    server.set_fault(None);
    engine.asked().await;
    engine.ready().await.send(upsert("a", "2"));
    commits(&repo, 2).await;
    engine.stop().await;
}
