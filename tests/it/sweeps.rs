//! What of a target's folder is removed, and what never is; and when nothing may be written any more.

use crate::support::engine::{
    Engine, SOON, change, commits, content, failure, kind, manifest, mk_remote, path, seed, selected, target, unpushed,
    upsert,
};
use crate::support::git_server::{Fault, GitServer};
use crate::support::poll::eventually;
use crate::support::remote_repo::{RemoteRepo, git_command};
use gitops_reverser::change::{Change, Content, SeedItem, SeedScope};
use gitops_reverser::git::mailbox::{Mailbox, Message};
use gitops_reverser::git::spec::{BranchSpec, Prune, PruneMode, TargetSpec};
use gitops_reverser::git::status::{PushState, RemoteState, Severity, TargetStatus};
use gitops_reverser::resource::{BaseFolder, BranchName, NamespaceSet, NamespacedName, Operations, RepoUrl, layout};
use gitops_reverser::rules::Selection;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

const ERIN: &str = "Erin <erin@example.com>";
/// Far longer than any test takes.
const FOR_EVER: Duration = Duration::from_secs(3_600);

fn everything() -> Arc<Selection> {
    Arc::new(Selection::new([selected(NamespaceSet::ALL)]))
}

/// What the engine does for its target, changed by `adapt`.
fn respec(engine: &Engine, server: &GitServer, adapt: impl FnOnce(&mut TargetSpec)) -> BranchSpec {
    let mut spec = engine.spec(server.password());
    spec.targets.values_mut().for_each(|target| target.foreign_edit_grace = Duration::ZERO);
    adapt(spec.targets.get_mut(&target()).unwrap());
    spec
}

fn prune(mode: PruneMode, cap: Option<usize>) -> impl Fn(&mut TargetSpec) {
    move |target| target.prune = Prune { mode, cap }
}

async fn status(engine: &Engine, what: &str, check: impl Fn(&TargetStatus) -> bool) {
    eventually(SOON, what, async || {
        let known =
            engine.pool.statuses().remove(&engine.key).and_then(|status| status.targets.get(&target()).cloned());
        Ok(known.filter(|known| check(known)).map(drop))
    })
    .await
    .unwrap();
}

/// Commits `files` in one commit, as somebody else.
pub(crate) fn commit_files(repo: &RemoteRepo, files: impl IntoIterator<Item = (String, String)>) {
    let mut git = git_command();
    git.arg("--git-dir").arg(repo.path()).args(["fast-import", "--quiet", "--date-format=now"]);
    let mut import = git.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = import.stdin.take().unwrap();
    writeln!(input, "commit refs/heads/main\ncommitter {ERIN} now\ndata 5\nMany\n").unwrap();
    if let Some(head) = repo.head("main") {
        writeln!(input, "from {head}").unwrap();
    }
    for (path, text) in files {
        writeln!(input, "M 100644 inline {path}\ndata {}\n{text}", text.len()).unwrap();
    }
    drop(input);
    assert!(import.wait().unwrap().success());
}

#[tokio::test]
async fn more_than_five_hundred_orphans_go_in_one_commit() {
    let (server, repo, work_dir) = mk_remote("many").await;
    let names: Vec<String> = (0..600).map(|number| format!("map-{number}")).collect();
    commit_files(&repo, names.iter().map(|name| (path(name), content("1", name).unwrap())));
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    seed(&*engine.ready().await, &[("stays", "1")]).await;
    commits(&repo, 2).await;
    let commit = &repo.log("main")[1];
    assert_eq!(commit.subject, "[RECONCILE] 1 files written, 600 deleted");
    assert_eq!(repo.files("main"), [path("stays")]);
    let pruned = engine.event("Pruned").await;
    assert_eq!((pruned.severity, pruned.target), (Severity::Normal, target()));
    assert!(pruned.message.starts_with("600 files"), "{}", pruned.message);
    let pushed = engine.event("Pushed").await;
    assert!(
        pushed.message.starts_with("1 commit was pushed") && pushed.message.contains(&commit.oid[..7]),
        "{pushed:?}"
    );
    engine.stop().await;
}

#[tokio::test]
async fn a_cap_holds_back_until_it_is_raised() {
    let (server, repo, work_dir) = mk_remote("cap").await;
    commit_files(&repo, ["a", "b", "c", "d", "e", "f", "g"].map(|name| (path(name), content("1", name).unwrap())));
    let mut engine = Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| {
        spec.targets.values_mut().for_each(prune(PruneMode::Always, Some(0)));
    })
    .await;
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1")]).await;
    status(&engine, "all to be held back", |target| target.held_back == 6).await;
    engine.apply(vec![respec(&engine, &server, prune(PruneMode::Always, Some(3)))]);
    engine.asked().await;
    assert_eq!(repo.log("main").len(), 1, "nothing may go while the cap is 0");
    seed(&mailbox, &[("a", "1")]).await;
    commits(&repo, 2).await;
    assert_eq!(repo.files("main"), ["a", "e", "f", "g"].map(path), "the first go first");
    status(&engine, "the rest to be held back", |target| target.held_back == 3).await;
    seed(&mailbox, &[("a", "1")]).await;
    commits(&repo, 3).await;
    assert_eq!(repo.files("main"), ["a"].map(path));
    status(&engine, "nothing to be held back", |target| target.held_back == 0).await;
    engine.stop().await;
}

#[tokio::test]
async fn each_prune_mode_removes_what_it_says() {
    for (mode, left) in [
        (PruneMode::Always, &[][..]),
        (PruneMode::OnEvent, &["b", "c", "d"]),
        (PruneMode::Never, &["a", "b", "c", "d"]),
    ] {
        let (server, repo, work_dir) = mk_remote("mode").await;
        commit_files(&repo, ["a", "b", "c", "d"].map(|name| (path(name), content("1", name).unwrap())));
        let mut engine = Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| {
            spec.targets.values_mut().for_each(prune(mode, None));
        })
        .await;
        let mailbox = engine.ready().await;
        // Seen to be deleted, deselected, absent from a list, and selected no more.
        mailbox.send(change("a", Content::Delete));
        mailbox.send(change("b", Content::Deselect));
        seed(&mailbox, &[("d", "1"), ("new", "1")]).await;
        eventually(SOON, "the list", async || Ok(repo.read("main", &path("new")))).await.unwrap();
        let deselected = |target: &mut TargetSpec| {
            prune(mode, None)(target);
            target.gone = everything();
            target.selection = Arc::default();
        };
        engine.apply(vec![respec(&engine, &server, deselected)]);
        status(&engine, "the end of the selection", |target| target.swept == everything()).await;
        unpushed(&engine, 0).await;
        let new = if mode == PruneMode::Always { None } else { Some("new") };
        let expected: Vec<String> = left.iter().copied().chain(new).map(path).collect();
        assert_eq!(repo.files("main"), expected, "{mode:?}");
        if mode == PruneMode::Never {
            // Whoever may remove everything from now on has to look at everything.
            engine.apply(vec![respec(&engine, &server, |_| {})]);
            engine.asked().await;
            seed(&mailbox, &[("d", "1")]).await;
            eventually(SOON, "the orphans to go", async || Ok((repo.files("main") == [path("d")]).then_some(())))
                .await
                .unwrap();
        }
        engine.stop().await;
    }
}

#[tokio::test]
async fn what_is_selected_no_more_goes_but_nothing_else_does() {
    let (server, repo, work_dir) = mk_remote("deselected").await;
    let mut engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let foreign = [
        ("base/README.md".to_owned(), "hello\n".to_owned()),
        ("base/core/v1/configmaps/shop/README.md".to_owned(), "hello\n".to_owned()),
        (
            "base/core/v1/configmaps/flat.yaml".to_owned(),
            "kind: ConfigMap\napiVersion: v1\nmetadata: {name: flat}\n".to_owned(),
        ),
        (path("secret"), "kind: Secret\napiVersion: v1\nmetadata: {name: secret, namespace: shop}\n".to_owned()),
        (path("misplaced"), content("1", "other").unwrap()),
        (path("odd"), "- just\n- a list\n".to_owned()),
        ("base/core/v1/secrets/shop/a.yaml".to_owned(), content("1", "a").unwrap()),
        ("elsewhere/core/v1/configmaps/shop/a.yaml".to_owned(), content("1", "a").unwrap()),
    ];
    let mailbox = engine.ready().await;
    seed(&mailbox, &[("a", "1"), ("b", "1")]).await;
    commits(&repo, 1).await;
    commit_files(&repo, foreign.clone());
    let mut expected: Vec<String> = foreign.iter().map(|(path, _)| path.clone()).collect();
    expected.sort();
    let deselected = |target: &mut TargetSpec| (target.gone, target.selection) = (everything(), Arc::default());
    engine.apply(vec![respec(&engine, &server, deselected)]);
    // Who still sends is not listened to.
    mailbox.send(upsert("late", "1"));
    seed(&mailbox, &[("later", "1")]).await;
    commits(&repo, 3).await;
    assert_eq!(repo.log("main")[2].subject, "[RECONCILE] 0 files written, 2 deleted");
    assert_eq!(repo.files("main"), expected);
    status(&engine, "the end of the selection", |target| target.swept == everything()).await;
    assert_eq!(engine.event("Pruned").await.target, target());
    engine.stop().await;
    // After a restart nobody knows the type any more.
    commit_files(&repo, ["a", "c"].map(|name| (path(name), content("1", name).unwrap())));
    let engine = Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| {
        spec.targets.values_mut().for_each(|target| {
            deselected(target);
            target.foreign_edit_grace = Duration::ZERO;
        });
    })
    .await;
    commits(&repo, 5).await;
    assert_eq!(repo.files("main"), expected);
    engine.stop().await;
}

#[tokio::test]
async fn what_was_removed_is_forgotten_only_when_the_remote_has_it() {
    let (server, repo, work_dir) = mk_remote("forgotten").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    seed(&*engine.ready().await, &[("a", "1")]).await;
    commits(&repo, 1).await;
    unpushed(&engine, 0).await;
    server.set_fault(Some(Fault::Down));
    let deselected = |target: &mut TargetSpec| (target.gone, target.selection) = (everything(), Arc::default());
    engine.apply(vec![respec(&engine, &server, deselected)]);
    unpushed(&engine, 1).await;
    failure(&engine, |failure| failure.reason == "NetworkError").await;
    assert_eq!(engine.status().push, Some(PushState::Failed));
    assert!(engine.status().targets[&target()].swept.is_empty());
    server.set_fault(None);
    status(&engine, "the end of the selection", |target| target.swept == everything()).await;
    assert!(repo.files("main").is_empty());
    assert_eq!((engine.status().push, engine.status().branch_exists), (Some(PushState::Success), Some(true)));
    engine.stop().await;
}

#[tokio::test]
async fn a_new_selection_neither_seals_windows_nor_keeps_those_of_a_target_that_vanished() {
    let (server, repo, work_dir) = mk_remote("windows").await;
    let grouping = |target: &mut TargetSpec| target.commit.window = Duration::from_secs(60);
    let both = |engine: &Engine, adapt: &dyn Fn(&mut TargetSpec)| {
        let mut spec = respec(engine, &server, grouping);
        let folder = BaseFolder::new("beside").unwrap();
        let beside = TargetSpec { folder, ..spec.targets[&target()].clone() };
        spec.targets.insert(NamespacedName::new("team", "beside"), beside);
        adapt(spec.targets.get_mut(&target()).unwrap());
        spec
    };
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    seed(&*engine.ready().await, &[("a", "1"), ("b", "1")]).await;
    engine.apply(vec![both(&engine, &|_| {})]);
    eventually(SOON, "the second target", async || Ok((engine.status().targets.len() == 2).then_some(())))
        .await
        .unwrap();
    let mailbox = engine.ready().await;
    let beside = |name: &str| {
        let Change { id, .. } = upsert(name, "1");
        let path = layout::manifest_path(&BaseFolder::new("beside").unwrap(), &id).unwrap();
        Change { target: NamespacedName::new("team", "beside"), path, ..upsert(name, "1") }
    };
    mailbox.send(upsert("c", "1"));
    mailbox.send(beside("d"));
    let queued = async |count: usize| {
        eventually(SOON, "changes to wait", async || Ok((engine.status().counts.queued == count).then_some(())))
            .await
            .unwrap();
    };
    queued(2).await;
    // Of what is selected no more all goes at once, and what waits for the other target waits on.
    engine.apply(vec![both(&engine, &|target| (target.gone, target.selection) = (everything(), Arc::default()))]);
    status(&engine, "the end of the selection", |target| target.swept == everything()).await;
    commits(&repo, 3).await;
    assert_eq!(repo.log("main")[2].subject, "[RECONCILE] 0 files written, 3 deleted");
    queued(1).await;
    assert_eq!(engine.status().counts.files.values().sum::<usize>(), 1, "what waits counts already");
    engine.apply(vec![both(&engine, &|_| {})]);
    mailbox.send(upsert("e", "1"));
    queued(2).await;
    let mut alone = both(&engine, &|_| {});
    alone.targets.remove(&target());
    engine.apply(vec![alone]);
    commits(&repo, 4).await;
    mailbox.send(upsert("f", "1"));
    mailbox.send(beside("g"));
    queued(1).await;
    assert_eq!(repo.files("main"), ["beside/core/v1/configmaps/shop/d.yaml"]);
    engine.stop().await;
    assert_eq!(repo.files("main"), ["d", "g"].map(|name| format!("beside/core/v1/configmaps/shop/{name}.yaml")));
}

#[tokio::test]
async fn files_move_in_one_commit_when_the_version_of_their_type_changes() {
    let (server, repo, work_dir) = mk_remote("versions").await;
    let in_old = |name: &str| path(name).replace("/v1/", "/v1beta1/");
    let old = |name: &str| content("1", name).unwrap().replace("apiVersion: v1", "apiVersion: v1beta1");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let files = ["a", "b", "gone"].map(|name| (in_old(name), old(name)));
    let foreign = (in_old("foreign"), content("1", "foreign").unwrap());
    commit_files(&repo, files.into_iter().chain([foreign]));
    engine.stop().await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    seed(&*engine.ready().await, &[("a", "1"), ("b", "1")]).await;
    commits(&repo, 2).await;
    assert_eq!(repo.log("main")[1].subject, "[RECONCILE] 2 files written, 3 deleted");
    assert_eq!(repo.files("main"), [path("a"), path("b"), in_old("foreign")]);
    engine.stop().await;
}

/// Lists `objects`, which have the value 1, for any target.
async fn seed_for(mailbox: &Mailbox, target: &NamespacedName, folder: &str, objects: &[&str]) {
    let folder = BaseFolder::new(folder).unwrap();
    let (target, kind) = (target.clone(), kind());
    let scope = Arc::new(SeedScope { target, folder: folder.clone(), kind, namespaces: NamespaceSet::ALL });
    mailbox.send_seed(Message::SeedBegin(Arc::clone(&scope))).await;
    for name in objects {
        let path = layout::manifest_path(&folder, &upsert(name, "1").id).unwrap();
        let item = SeedItem { path, manifest: manifest(name, "1"), operations: Operations::ALL };
        mailbox.send_seed(Message::SeedItem(Arc::clone(&scope), item)).await;
    }
    mailbox.send_seed(Message::SeedEnd(scope, NamespaceSet::ALL)).await;
}

#[tokio::test]
async fn many_targets_branches_and_repositories_do_not_mix() {
    let (server, repo, work_dir) = mk_remote("crowd").await;
    let other = server.create_repo("crowd-other");
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    let places = [(&repo, "main", 12), (&repo, "release/1", 3), (&other, "main", 3)];
    let specs: Vec<BranchSpec> = places
        .iter()
        .map(|(repo, branch, targets)| {
            let mut spec = engine.spec(server.password());
            spec.key.url = RepoUrl::parse(repo.url(), true).unwrap();
            spec.key.branch = BranchName::new(branch).unwrap();
            let mirrored = spec.targets.remove(&target()).unwrap();
            for number in 0..*targets {
                let folder = BaseFolder::new(&format!("folder-{number}")).unwrap();
                let name = NamespacedName::new("team", &format!("target-{number}"));
                spec.targets.insert(name, TargetSpec { folder, ..mirrored.clone() });
            }
            spec
        })
        .collect();
    engine.apply(specs.clone());
    let is_ready = |spec: &BranchSpec| {
        engine.pool.statuses().get(&spec.key).is_some_and(|status| status.targets.len() == spec.targets.len())
    };
    eventually(SOON, "all targets", async || Ok(specs.iter().all(is_ready).then_some(()))).await.unwrap();
    for round in [&["a", "b", "c"][..], &["a"]] {
        for spec in &specs {
            let mailbox = engine.pool.mailbox(&spec.key).unwrap();
            for (name, target) in &spec.targets {
                // The first target of each keeps everything.
                let objects = if &*name.name == "target-0" { &["a", "b", "c"][..] } else { round };
                seed_for(&mailbox, name, target.folder.as_str(), objects).await;
            }
        }
        for (repo, branch, targets) in places {
            let expected = 3 + (targets - 1) * round.len();
            eventually(SOON, "the files", async || Ok((repo.files(branch).len() == expected).then_some(())))
                .await
                .unwrap();
        }
    }
    for (repo, branch, _) in places {
        assert!(repo.files(branch).iter().all(|file| file.starts_with("folder-0/") || file.ends_with("/a.yaml")));
    }
    engine.stop().await;
}

#[tokio::test]
async fn an_edit_of_somebody_else_has_its_time_before_its_deselected_file_goes() {
    let (server, repo, work_dir) = mk_remote("graced").await;
    let grace = |grace: Duration| move |target: &mut TargetSpec| target.foreign_edit_grace = grace;
    let engine = Engine::start_as(&work_dir, repo.url(), server.password(), |_, spec| {
        spec.poll_interval = Duration::from_millis(200);
        spec.targets.values_mut().for_each(grace(Duration::from_secs(4)));
    })
    .await;
    seed(&*engine.ready().await, &[("a", "1"), ("b", "1")]).await;
    commits(&repo, 1).await;
    repo.commit_file("main", &path("a"), &content("theirs", "a").unwrap(), ERIN);
    eventually(SOON, "the edit to be seen", async || {
        let known = engine.status().pushed.map(|tip| tip.to_string());
        Ok((known == repo.head("main")).then_some(()))
    })
    .await
    .unwrap();
    let deselected = |target: &mut TargetSpec| {
        grace(FOR_EVER)(target);
        (target.gone, target.selection) = (everything(), Arc::default());
    };
    engine.apply(vec![respec(&engine, &server, deselected)]);
    commits(&repo, 3).await;
    assert_eq!(repo.files("main"), [path("a")]);
    assert!(engine.status().targets[&target()].swept.is_empty());
    commits(&repo, 4).await;
    assert!(repo.files("main").is_empty());
    status(&engine, "the end of the selection", |target| target.swept == everything()).await;
    engine.stop().await;
}

#[tokio::test]
async fn whoever_asks_has_the_remote_looked_at_now() {
    let (server, repo, work_dir) = mk_remote("asked").await;
    let engine = Engine::start(&work_dir, repo.url(), server.password()).await;
    engine.ready().await;
    let available = async || {
        let check = async || Ok((engine.status().remote == RemoteState::Available).then_some(()));
        eventually(SOON, "the remote to be available", check).await.unwrap();
    };
    available().await;
    let ask = |requested| engine.apply(vec![BranchSpec { requested, ..engine.spec(server.password()) }]);
    server.set_fault(Some(Fault::Down));
    ask(1);
    failure(&engine, |failure| failure.reason == "NetworkError").await;
    server.set_fault(None);
    ask(2);
    available().await;
    repo.commit_file("main", "README.md", "hello\n", ERIN);
    ask(3);
    eventually(SOON, "the commit to be seen", async || {
        let known = engine.status().pushed.map(|tip| tip.to_string());
        Ok((known == repo.head("main")).then_some(()))
    })
    .await
    .unwrap();
    engine.stop().await;
}
