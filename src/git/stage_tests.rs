//! What becomes a commit, and what does not.

use super::*;
use crate::attribution::Verdict;
use crate::change::{ObjectVersion, SeedItem};
use crate::git::samples::{ADMITTED, mk_verdict};
use crate::git::spec::Prune;
use crate::resource::{NamespaceSet, ObjectName, Operation, Operations, ResourceType};
use crate::rules::{CommitPolicy, Selected, Selection};
use std::time::Duration;

const NOW: i64 = 1_800_000_000;

pub(super) fn now() -> Now {
    Now { instant: Instant::now(), seconds: NOW }
}

pub(super) fn target() -> NamespacedName {
    NamespacedName::new("team", "live")
}

pub(super) fn folder() -> BaseFolder {
    BaseFolder::new("live").unwrap()
}

pub(super) fn id(name: &str) -> ResourceId {
    let kind = ResourceType {
        group: String::new(),
        version: "v1".into(),
        resource: "configmaps".into(),
        kind: "ConfigMap".into(),
        namespaced: true,
    };
    ResourceId { kind: Arc::new(kind), name: ObjectName::new(Some("shop"), name) }
}

fn path(name: &str) -> RepoPath {
    layout::manifest_path(&folder(), &id(name)).unwrap()
}

pub(super) fn manifest(text: &str) -> Manifest {
    Manifest::new(text.as_bytes().to_vec())
}

pub(super) fn mk_change(name: &str, content: Content) -> Change {
    Change {
        target: target(),
        id: id(name),
        path: path(name),
        content,
        is_news: true,
        operations: Operations::ALL,
        version: ObjectVersion::default(),
        verdict: Verdict::none(),
    }
}

/// What selects all ConfigMaps.
fn mk_selection() -> Selection {
    Selection::new([mk_selected(NamespaceSet::ALL)])
}

pub(super) fn mk_selected(namespaces: NamespaceSet) -> Selected {
    let (resource, version) = ("configmaps".to_owned(), "v1".to_owned());
    Selected { group: String::new(), resource, version, namespaces, selector: None, deletes: true }
}

fn mk_target(commit: CommitPolicy) -> TargetSpec {
    TargetSpec {
        folder: folder(),
        foreign_edit_grace: Duration::from_secs(60),
        commit,
        prune: Prune::default(),
        selection: Arc::new(mk_selection()),
        gone: Arc::default(),
        denied: BTreeSet::new(),
    }
}

/// A stage whose branch holds the files `present`.
pub(super) fn mk_stage(present: &[(&str, &str)]) -> Stage {
    let installation =
        Installation { cluster_uid: "c".into(), namespace: "n".into(), name: "r".into(), instance_id: "i".into() };
    let committer = Identity { name: "Committer".into(), email: "c@example.invalid".into() };
    let limits = BatchLimits { files: 200, bytes: 1 << 20 };
    let mut stage = Stage::new(Arc::new(installation), committer.clone(), ObjectFormat::Sha1, limits);
    stage.set_targets([(target(), mk_target(CommitPolicy::default()))].into(), committer, Instant::now());
    let mut index = TreeIndex::default();
    for (name, text) in present {
        index.insert(path(name), manifest(text).oid());
    }
    stage.set_index(index);
    stage
}

fn subjects(stage: &mut Stage) -> Vec<String> {
    let commits = stage.take_commits(NOW);
    commits.iter().map(|commit| commit.message.lines().next().unwrap().to_owned()).collect()
}

pub(super) fn take(stage: &mut Stage, change: Change) {
    assert!(stage.take(Message::Change(Box::new(change)), now()).is_none());
}

#[test]
fn only_what_differs_becomes_a_commit() {
    let upsert = |name, text| mk_change(name, Content::Upsert(manifest(text)));
    let only = |operation, change: Change| Change { operations: Operations::NONE.with(operation), ..change };
    let table: Vec<(Change, &[&str])> = vec![
        (upsert("new", "x"), &["[CREATE] ConfigMap/new in ns/shop by user/unknown"]),
        (upsert("old", "y"), &["[UPDATE] ConfigMap/old in ns/shop by user/unknown"]),
        (upsert("old", "x"), &[]),
        (mk_change("old", Content::Delete), &["[DELETE] ConfigMap/old in ns/shop by user/unknown"]),
        (mk_change("new", Content::Delete), &[]),
        (mk_change("old", Content::Dropped), &[]),
        (only(Operation::Update, upsert("new", "x")), &[]),
        (only(Operation::Create, upsert("old", "y")), &[]),
        (only(Operation::Create, mk_change("old", Content::Delete)), &[]),
        (Change { target: NamespacedName::new("team", "other"), ..upsert("new", "x") }, &[]),
        (Change { path: RepoPath::new("elsewhere/x.yaml").unwrap(), ..upsert("new", "x") }, &[]),
        (Change { path: RepoPath::new("livelier/x.yaml").unwrap(), ..upsert("new", "x") }, &[]),
    ];
    for (change, expected) in table {
        let mut stage = mk_stage(&[("old", "x")]);
        let what = format!("{change:?}");
        take(&mut stage, change);
        assert_eq!(subjects(&mut stage), expected, "{what}");
    }
}

#[test]
fn the_open_batch_counts_as_done() {
    let mut stage = mk_stage(&[]);
    for content in ["x", "x", "y", "x"] {
        take(&mut stage, mk_change("a", Content::Upsert(manifest(content))));
    }
    take(&mut stage, mk_change("a", Content::Delete));
    take(&mut stage, mk_change("a", Content::Delete));
    assert_eq!(stage.take_commits(NOW).len(), 4);
}

#[test]
fn dropped_content_is_asked_for() {
    let mut stage = mk_stage(&[]);
    take(&mut stage, mk_change("a", Content::Dropped));
    assert_eq!(stage.take_dropped(), [(target(), id("a"))]);
    assert!(stage.take_dropped().is_empty());
}

pub(super) fn mk_scope(folder: &str) -> Arc<SeedScope> {
    let folder = BaseFolder::new(folder).unwrap();
    Arc::new(SeedScope { target: target(), folder, kind: id("a").kind, namespaces: NamespaceSet::ALL })
}

fn item(name: &str, text: &str) -> SeedItem {
    SeedItem { path: path(name), manifest: manifest(text), operations: Operations::ALL }
}

#[test]
fn a_list_writes_what_differs_and_names_the_orphans() {
    let mut stage = mk_stage(&[("same", "x"), ("changed", "x"), ("kept", "x"), ("gone", "x")]);
    let scope = mk_scope("live");
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    stage.take(Message::SeedItem(Arc::clone(&scope), item("never-complete", "x")), now());
    // The list starts again: what came before is worthless.
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    for (name, text) in [("same", "x"), ("changed", "y"), ("new", "x")] {
        stage.take(Message::SeedItem(Arc::clone(&scope), item(name, text)), now());
    }
    stage.take(Message::SeedKeep(Arc::clone(&scope), path("kept")), now());
    let mut sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
    let orphans = std::mem::take(&mut sweep.candidates);
    assert_eq!(orphans.iter().map(|orphan| orphan.path.clone()).collect::<Vec<_>>(), [path("gone")]);
    stage.finish(sweep, orphans, now());
    let commits = stage.take_commits(NOW);
    let [commit] = commits.as_slice() else { panic!("{commits:#?}") };
    assert!(commit.message.starts_with("[RECONCILE] 2 files written, 1 deleted\n"));
    let changed: Vec<&RepoPath> = commit.files.iter().map(FileChange::path).collect();
    assert_eq!(changed, [&path("changed"), &path("new"), &path("gone")]);
}

#[test]
fn a_list_that_changes_nothing_makes_no_commit() {
    let mut stage = mk_stage(&[("a", "x")]);
    let scope = mk_scope("live");
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    stage.take(Message::SeedItem(Arc::clone(&scope), item("a", "x")), now());
    let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
    stage.finish(sweep, Vec::new(), now());
    assert!(stage.take_commits(NOW).is_empty());
}

#[test]
fn without_the_wish_to_delete_nothing_is_an_orphan() {
    let mut stage = mk_stage(&[("gone", "x")]);
    let scope = mk_scope("live");
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::NONE), now()).unwrap();
    assert!(sweep.candidates.is_empty());
}

#[test]
fn a_list_for_another_folder_of_the_target_has_no_effect() {
    let mut stage = mk_stage(&[("gone", "x")]);
    let scope = mk_scope("elsewhere");
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    assert!(stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).is_none());
}

#[test]
fn a_list_that_never_began_here_has_no_effect() {
    let mut stage = mk_stage(&[("gone", "x")]);
    assert!(stage.take(Message::SeedEnd(mk_scope("live"), NamespaceSet::ALL), now()).is_none());
}

#[test]
fn a_live_change_wins_over_the_list_that_is_under_way() {
    let (before, after, gone) = ("before", "after", "gone");
    let mut stage = mk_stage(&[(before, "old"), (after, "old"), (gone, "old"), ("orphan", "old")]);
    let scope = mk_scope("live");
    let upsert = |name| mk_change(name, Content::Upsert(manifest("new")));
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    take(&mut stage, upsert(before));
    stage.take(Message::SeedItem(Arc::clone(&scope), item(before, "listed")), now());
    stage.take(Message::SeedItem(Arc::clone(&scope), item(after, "listed")), now());
    take(&mut stage, upsert(after));
    take(&mut stage, mk_change(gone, Content::Delete));
    stage.take(Message::SeedItem(Arc::clone(&scope), item(gone, "listed")), now());
    // Made after what the list shows: no orphan.
    take(&mut stage, upsert("made"));
    let sweep = stage.take(Message::SeedEnd(Arc::clone(&scope), NamespaceSet::ALL), now()).unwrap();
    let candidates: Vec<_> = sweep.candidates.iter().map(|candidate| &*candidate.name.name).collect();
    assert_eq!(candidates, ["orphan"]);
    stage.finish(sweep, Vec::new(), now());
    let written: Vec<_> = subjects(&mut stage);
    assert_eq!(written.len(), 4, "each change is a commit, and the list none: {written:?}");
}

#[test]
fn a_list_of_the_same_objects_replaces_one_that_is_not_completed() {
    let mut stage = mk_stage(&[]);
    let (all, part) = (mk_scope("live"), NamespaceSet::one("shop"));
    let part = Arc::new(SeedScope { namespaces: part, ..SeedScope::clone(&all) });
    stage.take(Message::SeedBegin(Arc::clone(&all)), now());
    stage.take(Message::SeedBegin(Arc::clone(&part)), now());
    assert!(stage.take(Message::SeedEnd(all, NamespaceSet::ALL), now()).is_none());
    assert!(stage.take(Message::SeedEnd(part, NamespaceSet::ALL), now()).is_some());
}

#[test]
fn what_a_change_wrote_meanwhile_is_not_written_again() {
    let mut stage = mk_stage(&[]);
    let scope = mk_scope("live");
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    stage.take(Message::SeedItem(Arc::clone(&scope), item("a", "x")), now());
    take(&mut stage, mk_change("a", Content::Upsert(manifest("x"))));
    let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
    stage.finish(sweep, Vec::new(), now());
    assert_eq!(subjects(&mut stage), ["[CREATE] ConfigMap/a in ns/shop by user/unknown"]);
}

fn by(user: &str, change: Change) -> Change {
    Change { verdict: mk_verdict(&[user], "kubectl"), ..change }
}

/// A stage whose target groups the changes of `window`.
fn mk_grouping(present: &[(&str, &str)], window: Duration) -> Stage {
    let mut stage = mk_stage(present);
    let committer = stage.committer.clone();
    let policy = CommitPolicy { window, ..CommitPolicy::default() };
    stage.set_targets([(target(), mk_target(policy))].into(), committer, Instant::now());
    stage
}

#[test]
fn changes_of_one_author_become_one_commit_when_the_window_closes() {
    let mut stage = mk_grouping(&[("old", "x"), ("gone", "x")], Duration::from_secs(10));
    let upsert = |name, text| mk_change(name, Content::Upsert(manifest(text)));
    let at = |seconds| Now { instant: now().instant + Duration::from_secs(seconds), seconds: NOW };
    for change in [upsert("new", "1"), upsert("old", "1"), upsert("new", "2"), mk_change("gone", Content::Delete)] {
        stage.take(Message::Change(Box::new(by("alice", change))), at(0));
    }
    stage.take(Message::Change(Box::new(by("bob", upsert("other", "1")))), at(0));
    stage.take(Message::Change(Box::new(upsert("nobodys", "1"))), at(0));
    assert!(!stage.close_due(at(9).instant));
    assert!(stage.take_commits(NOW).is_empty());
    stage.close_due(at(11).instant);
    assert!(stage.close_due(at(12).instant), "the batch of what was closed is sealed when it is quiet");
    let commits = stage.take_commits(NOW);
    let told: Vec<_> = commits
        .iter()
        .map(|commit| (commit.message.lines().next().unwrap(), commit.author.as_str(), commit.files.len()))
        .collect();
    let user = |name: &str| format!("{name} <{name}@users.noreply.invalid> {ADMITTED} +0000");
    assert_eq!(
        told,
        [
            ("[CHANGE] 3 resources in ns/shop by user/alice", user("alice").as_str(), 3),
            ("[CREATE] ConfigMap/other in ns/shop by user/bob", user("bob").as_str(), 1),
            (
                "[CREATE] ConfigMap/nobodys in ns/shop by user/unknown",
                &format!("Committer <c@example.invalid> {NOW} +0000"),
                1
            ),
        ]
    );
}

#[test]
fn a_file_that_says_the_same_is_not_named_in_the_message() {
    let mut stage = mk_grouping(&[("a", "foreign"), ("b", "foreign")], Duration::from_secs(1));
    // What was there when the index was loaded is not known to be ours.
    for name in ["a", "b"] {
        let oid = stage.index.get(&path(name)).unwrap();
        stage.index.leave(path(name), oid);
    }
    for (name, text) in [("a", "1"), ("a", "2"), ("b", "3")] {
        take(&mut stage, by("alice", mk_change(name, Content::Upsert(manifest(text)))));
    }
    assert!(stage.take_doubts().is_empty(), "what waits in a window is not in doubt yet");
    stage.close_all(now().instant);
    let doubts = stage.take_doubts();
    assert_eq!(doubts.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), [path("a"), path("b")]);
    assert_eq!(doubts[0].1.manifest, manifest("2"), "only the last version is compared");
    stage.adopt(&doubts[0].0, &doubts[0].1);
    assert_eq!(stage.index.get(&path("a")), Some(manifest("foreign").oid()));
    let commits = stage.take_commits(NOW);
    let [commit] = commits.as_slice() else { panic!("{commits:#?}") };
    assert!(commit.message.starts_with("[UPDATE] ConfigMap/b in ns/shop by user/alice\n"), "{}", commit.message);
}

#[test]
fn a_list_does_not_overtake_a_window() {
    let mut stage = mk_grouping(&[], Duration::from_secs(10));
    let scope = mk_scope("live");
    for name in ["a", "b"] {
        take(&mut stage, by("alice", mk_change(name, Content::Upsert(manifest("1")))));
    }
    take(&mut stage, by("bob", mk_change("c", Content::Upsert(manifest("1")))));
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    stage.take(Message::SeedItem(Arc::clone(&scope), item("a", "2")), now());
    stage.take(Message::SeedKeep(Arc::clone(&scope), path("b")), now());
    stage.take(Message::SeedKeep(Arc::clone(&scope), path("c")), now());
    let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
    stage.finish(sweep, Vec::new(), now());
    assert_eq!(
        subjects(&mut stage),
        ["[CREATE] 2 resources in ns/shop by user/alice", "[RECONCILE] 1 files written, 0 deleted"]
    );
    stage.close_all(now().instant);
    assert_eq!(subjects(&mut stage), ["[CREATE] ConfigMap/c in ns/shop by user/bob"]);
}

/// Authors of the commits, and who else had a part in them.
fn parts(stage: &mut Stage) -> Vec<(String, Option<String>)> {
    let commits = stage.take_commits(NOW);
    let users = |message: &str| {
        let line = message.lines().find_map(|line| line.strip_prefix("X-ConfigButler-Users: "));
        line.map(str::to_owned)
    };
    let name = |author: &str| author.split(" <").next().unwrap().to_owned();
    commits.iter().map(|commit| (name(commit.author.as_str()), users(&commit.message))).collect()
}

fn part(author: &str, users: &str) -> (String, Option<String>) {
    (author.to_owned(), (!users.is_empty()).then(|| users.to_owned()))
}

#[test]
fn whoever_changes_what_lost_its_last_content_is_not_its_only_author() {
    let upsert = |text| mk_change("a", Content::Upsert(manifest(text)));
    let mut stage = mk_stage(&[("a", "1")]);
    take(&mut stage, by("alice", mk_change("a", Content::Dropped)));
    take(&mut stage, by("bob", upsert("3")));
    take(&mut stage, by("carol", upsert("4")));
    assert_eq!(parts(&mut stage), [part("Committer", "alice, bob"), part("carol", "")]);
    // Who asks for it again gets it without an author.
    take(&mut stage, by("alice", mk_change("a", Content::Dropped)));
    take(&mut stage, upsert("5"));
    assert_eq!(parts(&mut stage), [part("Committer", "alice")]);
    // An end is an end, whatever came before.
    take(&mut stage, by("alice", mk_change("a", Content::Dropped)));
    take(&mut stage, by("bob", mk_change("a", Content::Delete)));
    take(&mut stage, by("carol", upsert("6")));
    assert_eq!(parts(&mut stage), [part("bob", ""), part("carol", "")]);
}

#[test]
fn until_a_list_nobody_is_the_only_author_of_what_may_have_been_lost() {
    let lose: [fn(&mut Stage); 3] = [Stage::forget, Stage::drop_batch, |stage| {
        stage.refuse(&target());
        stage.pardon();
    }];
    for lose in lose {
        let mut stage = mk_stage(&[("a", "1")]);
        take(&mut stage, by("alice", mk_change("a", Content::Upsert(manifest("2")))));
        lose(&mut stage);
        // What the branch holds, as it is loaded again.
        stage.set_index(mk_stage(&[("a", "1")]).index.clone());
        take(&mut stage, by("bob", mk_change("a", Content::Upsert(manifest("3")))));
        assert_eq!(parts(&mut stage), [part("Committer", "bob")]);
        let scope = mk_scope("live");
        stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
        stage.take(Message::SeedItem(Arc::clone(&scope), item("a", "3")), now());
        let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
        stage.finish(sweep, Vec::new(), now());
        take(&mut stage, by("carol", mk_change("a", Content::Upsert(manifest("4")))));
        assert_eq!(parts(&mut stage), [part("carol", "")]);
    }
}

#[test]
fn whoever_changes_what_a_list_left_to_others_is_not_its_only_author() {
    let mut stage = mk_stage(&[("a", "1"), ("b", "1")]);
    stage.foreign().note(path("a"), Duration::from_secs(60), now().instant);
    let scope = mk_scope("live");
    stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
    for name in ["a", "b"] {
        stage.take(Message::SeedItem(Arc::clone(&scope), item(name, "2")), now());
    }
    let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
    stage.finish(sweep, Vec::new(), now());
    for name in ["a", "b"] {
        take(&mut stage, by("bob", mk_change(name, Content::Upsert(manifest("3")))));
    }
    assert_eq!(parts(&mut stage), [part("Committer", ""), part("Committer", "bob"), part("bob", "")]);
}

#[test]
fn what_is_only_told_again_leaves_an_edit_its_time() {
    let again = |value: &str| Change { is_news: false, ..mk_change("a", Content::Upsert(manifest(value))) };
    let mut stage = mk_stage(&[("a", "theirs")]);
    stage.foreign().note(path("a"), Duration::from_secs(60), now().instant);
    take(&mut stage, again("theirs"));
    take(&mut stage, again("ours"));
    assert!(parts(&mut stage).is_empty());
    assert!(stage.foreign().due().is_some(), "somebody has to look again");
    let later = Now { instant: now().instant + Duration::from_secs(61), ..now() };
    stage.take(Message::Change(Box::new(again("ours"))), later);
    assert_eq!(parts(&mut stage), [part("Committer", "")]);

    let mut stage = mk_stage(&[("a", "theirs")]);
    stage.foreign().note(path("a"), Duration::from_secs(60), now().instant);
    take(&mut stage, mk_change("a", Content::Upsert(manifest("ours"))));
    assert_eq!(parts(&mut stage), [part("Committer", "")], "an object that changes wins at once");
}

#[test]
fn an_edit_of_what_a_list_has_read_already_is_not_taken_for_settled_by_its_end() {
    for is_read in [true, false] {
        let mut stage = mk_stage(&[("a", "1")]);
        let scope = mk_scope("live");
        stage.take(Message::SeedBegin(Arc::clone(&scope)), now());
        if is_read {
            stage.take(Message::SeedItem(Arc::clone(&scope), item("a", "1")), now());
        }
        let mut index = TreeIndex::default();
        index.leave(path("a"), manifest("edited").oid());
        stage.set_index(index);
        stage.foreign().note(path("a"), Duration::from_secs(60), Instant::now());
        if !is_read {
            stage.take(Message::SeedItem(Arc::clone(&scope), item("a", "1")), now());
        }
        let doubts = stage.take_seed_doubts(true);
        assert_eq!(doubts.len(), usize::from(!is_read));
        for (scope, path, doubt) in doubts {
            stage.overwrite(&scope, path, doubt.manifest);
        }
        let sweep = stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), now()).unwrap();
        stage.finish(sweep, Vec::new(), now());
        assert!(stage.take_commits(NOW).is_empty());
        assert!(stage.foreign().due().is_some(), "nobody would write what the cluster has (read before: {is_read})");
    }
}
