//! What belongs under a filter is never written in clear: real attributes, real git.

use crate::support::engine::{
    Engine, SOON, commits, content, in_clone, manifest, mk_remote, path, target, unpushed, upsert,
};
use crate::support::git_server::{Fault, GitServer};
use crate::support::poll::eventually;
use crate::support::remote_repo::RemoteRepo;
use gitops_reverser::change::{Change, Resync};
use gitops_reverser::git::mailbox::Mailbox;
use gitops_reverser::git::spec::TargetSpec;
use gitops_reverser::git::status::TargetState;
use gitops_reverser::resource::{BaseFolder, NamespacedName, RepoPath};

const ERIN: &str = "Erin <erin@example.com>";

/// A second target on the branch, which nothing filters.
fn free() -> NamespacedName {
    NamespacedName::new("team", "free")
}

fn upsert_free(name: &str, value: &str) -> Change {
    let path = RepoPath::new(&format!("free/{name}.yaml")).unwrap();
    Change { target: free(), path, ..upsert(&format!("free-{name}"), value) }
}

async fn start(server: &GitServer, repo: &RemoteRepo, work_dir: &crate::support::scratch::ScratchDir) -> Engine {
    let engine = Engine::start(work_dir, repo.url(), server.password()).await;
    let mut spec = engine.spec(server.password());
    let mirrored = spec.targets[&target()].clone();
    spec.targets.insert(free(), TargetSpec { folder: BaseFolder::new("free").unwrap(), ..mirrored });
    engine.apply(vec![spec]);
    eventually(SOON, "both targets to be ready", async || {
        let targets = engine.status().targets;
        let is_ready = |target| targets.get(&target).is_some_and(|status| status.state == TargetState::Ready);
        Ok((is_ready(target()) && is_ready(free())).then_some(()))
    })
    .await
    .unwrap();
    engine
}

/// The sentence with which the target is refused.
async fn refusal(engine: &Engine) -> String {
    eventually(SOON, "the target to be refused", async || {
        Ok(match engine.status().targets.get(&target()).map(|status| status.state.clone()) {
            Some(TargetState::Refused(sentence)) => Some(sentence),
            _ => None,
        })
    })
    .await
    .unwrap()
}

async fn asked_again(engine: &mut Engine) {
    loop {
        let asked = tokio::time::timeout(SOON, engine.resyncs.recv()).await.expect("a resync").expect("a worker");
        if asked == Resync::Target(target()) {
            return;
        }
    }
}

/// Whether the clone holds what the object's file would say in clear.
fn is_stored(work_dir: &crate::support::scratch::ScratchDir, name: &str, value: &str) -> bool {
    let all = in_clone(work_dir, &["cat-file", "--batch-check=%(objectname)", "--batch-all-objects"]);
    all.contains(&manifest(name, value).oid().to_string())
}

async fn mailbox(engine: &Engine) -> std::sync::Arc<Mailbox> {
    engine.pool.mailbox(&engine.key).unwrap()
}

#[tokio::test]
async fn a_target_is_refused_exactly_where_a_path_is_under_a_filter() {
    let server = GitServer::start().await.unwrap();
    let root = ".gitattributes";
    let table: [(&[(&str, &str)], Option<&str>); 9] = [
        (&[(root, "*.yaml filter=git-crypt diff=git-crypt\n")], Some("filter=git-crypt")),
        (&[("base/.gitattributes", "core/** filter=lfs\n")], Some("filter=lfs")),
        (&[("base/core/v1/.gitattributes", "configmaps/*/a.yaml ident\n")], Some("ident")),
        (&[(root, "[attr]secret filter=crypt\n"), ("base/.gitattributes", "* secret\n")], Some("filter=crypt")),
        (&[(root, "*.yaml working-tree-encoding=UTF-16\n")], Some("working-tree-encoding=UTF-16")),
        (&[(root, "*.yaml filter=x\nbase/** -filter\n")], None),
        (&[(root, "*.yaml filter=x\n"), ("base/.gitattributes", "*.yaml !filter\n")], None),
        (&[(root, "*.txt filter=lfs\n* text=auto eol=crlf\n"), ("other/.gitattributes", "* filter=x\n")], None),
        (&[("base/core/v1/secrets/.gitattributes", "* filter=x\n"), (root, "b.yaml filter=x\n")], None),
    ];
    for (number, (files, expected)) in table.into_iter().enumerate() {
        let repo = server.create_repo(&format!("attributes-{number}"));
        let work_dir = crate::support::scratch::ScratchDir::new().unwrap();
        for (path, text) in files {
            repo.commit_file("main", path, text, ERIN);
        }
        let engine = start(&server, &repo, &work_dir).await;
        let mailbox = mailbox(&engine).await;
        mailbox.send(upsert("a", "1"));
        if let Some(attribute) = expected {
            let sentence = refusal(&engine).await;
            assert!(sentence.contains(attribute) && sentence.contains(&path("a")), "{files:?}: {sentence}");
        }
        mailbox.send(upsert("a", "2"));
        mailbox.send(upsert_free("a", "1"));
        let ours = if expected.is_some() { 0 } else { 2 };
        // The free target's own file may be under a filter as well, where the attributes speak of all files.
        if !files.iter().any(|(path, text)| *path == root && text.starts_with("*.yaml")) {
            commits(&repo, files.len() + ours + 1).await;
        } else if expected.is_none() {
            commits(&repo, files.len() + ours).await;
        }
        assert_eq!(repo.read("main", &path("a")), content("2", "a").filter(|_| expected.is_none()), "{files:?}");
        for value in ["1", "2"] {
            assert_eq!(is_stored(&work_dir, "a", value), expected.is_none(), "{files:?}");
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn a_list_is_refused_before_anything_of_it_is_stored() {
    let (server, repo, work_dir) = mk_remote("attributes-list").await;
    repo.commit_file("main", "base/.gitattributes", "*.yaml filter=git-crypt\n", ERIN);
    let engine = start(&server, &repo, &work_dir).await;
    let large = "x".repeat(3 << 20);
    crate::support::engine::seed(&*mailbox(&engine).await, &[("a", &large), ("b", &large), ("c", "1")]).await;
    refusal(&engine).await;
    mailbox(&engine).await.send(upsert_free("a", "1"));
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), ["base/.gitattributes", "free/a.yaml"]);
    assert!(!is_stored(&work_dir, "a", &large) && !is_stored(&work_dir, "c", "1"));
    engine.stop().await;
}

#[tokio::test]
async fn a_filter_that_comes_later_spares_the_journal_and_one_that_goes_lets_all_in() {
    let (server, repo, work_dir) = mk_remote("attributes-later").await;
    let mut engine = start(&server, &repo, &work_dir).await;
    let mailbox = mailbox(&engine).await;
    mailbox.send(upsert("a", "1"));
    commits(&repo, 1).await;
    server.set_fault(Some(Fault::Down));
    mailbox.send(upsert("a", "2"));
    mailbox.send(upsert_free("a", "1"));
    unpushed(&engine, 2).await;
    repo.commit_file("main", ".gitattributes", "base/** filter=git-crypt\n", ERIN);
    server.set_fault(None);
    // What was committed before the filter was known is left out of the journal, and asked for again.
    commits(&repo, 3).await;
    assert_eq!(repo.read("main", &path("a")), content("1", "a"));
    asked_again(&mut engine).await;
    mailbox.send(upsert("a", "2"));
    assert!(refusal(&engine).await.contains("filter=git-crypt"));

    repo.commit_file("main", ".gitattributes", "base/** -filter\n", ERIN);
    mailbox.send(upsert_free("a", "2"));
    commits(&repo, 5).await;
    asked_again(&mut engine).await;
    engine.ready().await.send(upsert("a", "3"));
    commits(&repo, 6).await;
    assert_eq!(repo.read("main", &path("a")), content("3", "a"));
    engine.stop().await;
}
