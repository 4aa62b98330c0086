//! Which files go: with lists, and with selections that end.

use super::super::tests::*;
use super::super::*;
use crate::change::SeedItem;
use crate::git::spec::Prune;
use crate::resource::{NamespaceSet, ObjectName, Operations};
use crate::rules::{Selected, Selection};
use std::time::Duration;

fn mk_kind(version: &str) -> ResourceType {
    ResourceType { version: version.into(), ..ResourceType::clone(&id("a").kind) }
}

/// The file of `ns/name` in `version`.
fn file(version: &str, object: &str) -> RepoPath {
    let (namespace, name) = object.split_once('/').unwrap();
    let id = ResourceId { kind: Arc::new(mk_kind(version)), name: ObjectName::new(Some(namespace), name) };
    layout::manifest_path(&folder(), &id).unwrap()
}

fn text(version: &str, object: &str) -> String {
    let (namespace, name) = object.split_once('/').unwrap();
    format!("apiVersion: {version}\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\n")
}

/// A stage whose branch holds, beside whatever else, files with content.
struct Branch {
    stage: Stage,
    contents: BTreeMap<RepoPath, String>,
    at: Now,
}

impl Branch {
    fn new(files: &[(RepoPath, String)], adapt: impl FnOnce(&mut TargetSpec)) -> Self {
        let mut stage = mk_stage(&[]);
        let mut index = TreeIndex::default();
        for (path, text) in files {
            index.leave(path.clone(), manifest(text).oid());
        }
        stage.set_index(index);
        let mut branch = Self { stage, contents: files.iter().cloned().collect(), at: now() };
        branch.respec(adapt);
        branch
    }

    /// Files of ConfigMaps in version `v1`.
    fn of(objects: &[&str], adapt: impl FnOnce(&mut TargetSpec)) -> Self {
        let files: Vec<_> = objects.iter().map(|object| (file("v1", object), text("v1", object))).collect();
        Self::new(&files, adapt)
    }

    fn respec(&mut self, adapt: impl FnOnce(&mut TargetSpec)) -> bool {
        let mut targets = self.stage.targets.clone();
        adapt(targets.get_mut(&target()).unwrap());
        let committer = self.stage.committer.clone();
        !self.stage.set_targets(targets, committer, self.at.instant).is_empty()
    }

    fn after(&mut self, seconds: u64) {
        self.at.instant += Duration::from_secs(seconds);
    }

    fn recognised(&self, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let is_known = |candidate: Candidate| match candidate.doubtful {
            Some(_) => {
                let content = self.contents.get(&candidate.path).cloned().unwrap_or_default();
                recognise(candidate, content.as_bytes())
            }
            None => Some(candidate),
        };
        candidates.into_iter().filter_map(is_known).collect()
    }

    /// A complete list of `objects` in `v1`.
    fn list(&mut self, objects: &[&str]) {
        self.list_with(objects, &[], NamespaceSet::ALL);
    }

    fn list_with(&mut self, objects: &[&str], kept: &[&str], sweep: NamespaceSet) {
        let scope = mk_scope("live");
        self.stage.take(Message::SeedBegin(Arc::clone(&scope)), self.at);
        for object in objects {
            let item = SeedItem {
                path: file("v1", object),
                manifest: manifest(&text("v1", object)),
                operations: Operations::ALL,
            };
            self.stage.take(Message::SeedItem(Arc::clone(&scope), item), self.at);
        }
        for object in kept {
            self.stage.take(Message::SeedKeep(Arc::clone(&scope), file("v1", object)), self.at);
        }
        let mut sweep = self.stage.take(Message::SeedEnd(scope, sweep), self.at).unwrap();
        let orphans = self.recognised(std::mem::take(&mut sweep.candidates));
        self.stage.finish(sweep, orphans, self.at);
    }

    /// Sweeps what is selected no more; whether that is all done.
    fn sweep(&mut self) -> bool {
        let unswept: Vec<_> = self.stage.unswept().cloned().collect();
        let Some(target) = unswept.first() else { return true };
        let mut deselected = self.stage.deselected(target).unwrap();
        let files = self.recognised(std::mem::take(&mut deselected.candidates));
        self.stage.sweep_deselected(deselected, files, self.at)
    }

    /// What each commit removes, and then writes.
    fn committed(&mut self) -> Vec<(Vec<String>, Vec<String>)> {
        let commits = self.stage.take_commits(0);
        let commits = commits.into_iter().map(|commit| {
            let (removed, written): (Vec<_>, Vec<_>) =
                commit.files.into_iter().partition(|file| matches!(file, FileChange::Remove(_)));
            let names = |files: Vec<FileChange>| files.iter().map(|file| short(file.path())).collect::<Vec<_>>();
            (names(removed), names(written))
        });
        commits.collect()
    }

    fn removed(&mut self) -> Vec<String> {
        self.committed().into_iter().flat_map(|(removed, _)| removed).collect()
    }

    fn held_back(&self) -> usize {
        self.stage.sweeps(&target()).map_or(0, Sweeps::held_back)
    }
}

fn short(path: &RepoPath) -> String {
    path.as_str().replace("live/core/", "").replace("configmaps/", "").replace(".yaml", "")
}

fn prune(mode: PruneMode, cap: Option<usize>) -> impl FnOnce(&mut TargetSpec) {
    move |target| target.prune = Prune { mode, cap }
}

fn gone(selected: Selection) -> impl FnOnce(&mut TargetSpec) {
    |target| (target.gone, target.selection) = (Arc::new(selected), Arc::default())
}

fn everything() -> Selection {
    Selection::new([mk_selected(NamespaceSet::ALL)])
}

#[test]
fn each_mode_removes_what_it_says() {
    let table: [(PruneMode, [bool; 4]); 3] = [
        (PruneMode::Always, [true, true, true, true]),
        (PruneMode::OnEvent, [true, false, false, false]),
        (PruneMode::Never, [false, false, false, false]),
    ];
    for (mode, expected) in table {
        let went = |act: &dyn Fn(&mut Branch)| {
            let mut branch = Branch::of(&["shop/a"], prune(mode, None));
            act(&mut branch);
            !branch.removed().is_empty()
        };
        let change =
            |content: Content| move |branch: &mut Branch| take(&mut branch.stage, mk_change("a", content.clone()));
        let by_selection = |branch: &mut Branch| {
            branch.respec(gone(everything()));
            assert!(branch.sweep(), "what may not go is done with");
        };
        let found = [
            went(&change(Content::Delete)),
            went(&change(Content::Deselect)),
            went(&|branch| branch.list(&[])),
            went(&by_selection),
        ];
        assert_eq!(found, expected, "{mode:?}");
    }
}

#[test]
fn what_may_not_be_removed_is_written_all_the_same() {
    let mut branch = Branch::of(&["shop/a"], prune(PruneMode::Never, None));
    take(&mut branch.stage, mk_change("a", Content::Delete));
    branch.list(&["shop/b"]);
    assert_eq!(branch.committed(), [(vec![], vec!["v1/shop/b".into()])]);
}

#[test]
fn a_cap_lets_the_first_go_and_the_next_list_the_next() {
    let mut branch = Branch::of(&["shop/a", "shop/b", "shop/c", "shop/d"], prune(PruneMode::Always, Some(3)));
    branch.list(&[]);
    assert_eq!(branch.removed(), ["v1/shop/a", "v1/shop/b", "v1/shop/c"]);
    assert_eq!(branch.held_back(), 1);
    branch.list(&[]);
    assert_eq!((branch.removed(), branch.held_back()), (vec!["v1/shop/d".into()], 0));
    assert_eq!(branch.stage.sweeps_due(), None);
}

#[test]
fn a_raised_cap_goes_on_at_once() {
    let mut branch = Branch::of(&["shop/a", "shop/b"], prune(PruneMode::Always, Some(0)));
    branch.list(&[]);
    assert_eq!((branch.committed(), branch.held_back(), branch.stage.sweeps_due()), (vec![], 2, None));
    assert!(branch.respec(prune(PruneMode::Always, Some(1))), "it is asked for");
    branch.list(&[]);
    assert_eq!((branch.removed().len(), branch.held_back()), (1, 1));
    branch.after(299);
    assert!(branch.stage.take_sweeps_due(branch.at.instant).is_empty());
    branch.after(1);
    assert_eq!(branch.stage.take_sweeps_due(branch.at.instant), [target()]);
    assert!(!branch.respec(prune(PruneMode::Always, Some(1))), "nothing has changed");
}

#[test]
fn what_is_held_back_and_wanted_again_is_held_back_no_more() {
    let mut branch = Branch::of(&["shop/a", "stall/b"], prune(PruneMode::Always, Some(0)));
    branch.list(&[]);
    assert_eq!(branch.held_back(), 2);
    branch.list(&["shop/a"]);
    assert_eq!(branch.held_back(), 1);
    branch.respec(|target| target.selection = Arc::default());
    assert_eq!(branch.held_back(), 0, "nobody wants to know whether that is an orphan");
}

#[test]
fn files_move_with_the_version_of_their_type() {
    let old = |object: &str| (file("v1beta1", object), text("v1beta1", object));
    let foreign = (file("v1beta1", "shop/foreign"), text("v2", "shop/foreign"));
    let odd = (RepoPath::new("live/core/v1beta1/configmaps/shop/README.md").unwrap(), "read me".to_owned());
    let files = [old("shop/a"), old("shop/gone"), old("shop/frozen"), old("stall/b"), foreign, odd];
    let mut branch = Branch::new(&files, |_| {});
    branch.list_with(&["shop/a", "stall/b"], &["shop/frozen"], NamespaceSet::one("shop"));
    let removed = vec!["v1beta1/shop/a".into(), "v1beta1/shop/gone".into()];
    assert_eq!(branch.committed(), [(removed, vec!["v1/shop/a".into(), "v1/stall/b".into()])]);
}

#[test]
fn a_file_does_not_move_to_nowhere() {
    let old = |object: &str| (file("v1beta1", object), text("v1beta1", object));
    let mut branch = Branch::new(&[old("shop/a"), old("shop/b")], |_| {});
    // Somebody has just removed the new file; until that has reached the cluster the old one stays, too.
    branch.stage.foreign().note(file("v1", "shop/a"), Duration::from_secs(60), branch.at.instant);
    branch.after(1);
    branch.list(&["shop/a", "shop/b"]);
    assert_eq!(branch.committed(), [(vec!["v1beta1/shop/b".into()], vec!["v1/shop/b".into()])]);
}

#[test]
fn what_the_selection_does_not_cover_is_let_be() {
    let shop =
        |target: &mut TargetSpec| target.selection = Arc::new(Selection::new([mk_selected(NamespaceSet::one("shop"))]));
    let mut branch = Branch::of(&["stall/a"], shop);
    let elsewhere = |content| {
        let id = ResourceId { kind: id("a").kind, name: ObjectName::new(Some("stall"), "a") };
        Change { path: file("v1", "stall/a"), id, ..mk_change("a", content) }
    };
    take(&mut branch.stage, elsewhere(Content::Upsert(manifest("x"))));
    take(&mut branch.stage, elsewhere(Content::Dropped));
    take(&mut branch.stage, elsewhere(Content::Delete));
    branch.list(&["stall/b", "shop/c"]);
    assert_eq!(branch.committed(), [(vec![], vec!["v1/shop/c".into()])]);
    assert!(branch.stage.take_dropped().is_empty());
}

#[test]
fn what_is_selected_no_more_goes_where_nothing_else_selects_it() {
    let mut branch = Branch::of(&["shop/a", "shop/b", "stall/c"], |_| {});
    assert!(branch.stage.unswept().next().is_none());
    branch.respec(|target| {
        target.gone = Arc::new(everything());
        target.selection = Arc::new(Selection::new([mk_selected(NamespaceSet::one("stall"))]));
    });
    assert!(branch.sweep());
    assert_eq!(branch.committed(), [(vec!["v1/shop/a".into(), "v1/shop/b".into()], vec![])]);
    assert_eq!(**branch.stage.sweeps(&target()).unwrap().swept(), everything());
    assert!(branch.stage.unswept().next().is_none());
    // What was not committed is looked for again.
    branch.stage.forget();
    assert_eq!(branch.stage.unswept().count(), 1);
}

#[test]
fn what_waits_for_its_window_goes_too() {
    let mut branch = Branch::of(&[], |target| target.commit.window = Duration::from_secs(10));
    take(&mut branch.stage, mk_change("a", Content::Upsert(manifest("x"))));
    branch.respec(gone(everything()));
    assert!(branch.sweep());
    assert_eq!(branch.committed(), [(vec![], vec!["v1/shop/a".into()]), (vec!["v1/shop/a".into()], vec![])]);
}

#[test]
fn rules_without_deletes_leave_their_files() {
    let mut branch = Branch::of(&["shop/a"], |_| {});
    branch.respec(gone(Selection::new([Selected { deletes: false, ..mk_selected(NamespaceSet::ALL) }])));
    assert!(branch.sweep() && branch.committed().is_empty());
}

#[test]
fn what_is_not_that_object_stays_when_its_type_is_selected_no_more() {
    let at = |path: &str, text: &str| (RepoPath::new(&format!("live/core/v1/{path}")).unwrap(), text.to_owned());
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: b, namespace: shop}\n";
    let files = [
        (file("v1", "shop/a"), text("v1", "shop/a")),
        at("configmaps/shop/b.yaml", secret),
        at("configmaps/shop/c.yaml", &text("v1", "shop/other")),
        at("configmaps/shop/d.yaml", "# notes"),
        at("configmaps/shop/e.yml", &text("v1", "shop/e")),
        at("configmaps/f.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: f}\n"),
        at("configmaps/shop/deep/g.yaml", &text("v1", "deep/g")),
        at("secrets/shop/h.yaml", &text("v1", "shop/h")),
        (RepoPath::new("live/README.md").unwrap(), "read me".into()),
    ];
    for is_known in [false, true] {
        let mut branch = Branch::new(&files, |_| {});
        if is_known {
            branch.list_with(&[], &[], NamespaceSet::NONE);
        }
        branch.respec(gone(everything()));
        assert!(branch.sweep());
        assert_eq!(branch.removed(), ["v1/shop/a"], "{is_known}");
    }
}

#[test]
fn an_edit_of_somebody_else_has_its_time_before_its_file_goes() {
    let mut branch = Branch::of(&["shop/a", "shop/b"], |_| {});
    branch.stage.foreign().note(file("v1", "shop/a"), Duration::from_secs(60), branch.at.instant);
    branch.respec(gone(everything()));
    assert!(!branch.sweep());
    assert_eq!(branch.removed(), ["v1/shop/b"]);
    branch.after(60);
    assert_eq!(branch.stage.foreign().due(), Some(branch.at.instant));
    assert!(branch.sweep());
    assert_eq!(branch.removed(), ["v1/shop/a"]);
}

#[test]
fn the_end_of_a_selection_keeps_to_the_cap() {
    let mut branch = Branch::of(&["shop/a", "shop/b", "shop/c"], prune(PruneMode::Always, Some(2)));
    branch.respec(gone(everything()));
    assert!(!branch.sweep());
    assert_eq!((branch.removed().len(), branch.held_back()), (2, 1));
    assert!(!branch.sweep(), "the same cycle");
    branch.after(300);
    assert_eq!(branch.stage.take_sweeps_due(branch.at.instant), [target()]);
    assert!(branch.sweep());
    assert_eq!((branch.removed(), branch.held_back()), (vec!["v1/shop/c".into()], 0));
}

#[test]
fn the_types_are_told_by_their_plurals_where_nobody_knows_them() {
    let table = [
        ("configmaps", "ConfigMap", true),
        ("ingresses", "Ingress", true),
        ("networkpolicies", "NetworkPolicy", true),
        ("gateways", "Gateway", true),
        ("endpoints", "Endpoints", true),
        ("configmaps", "Secret", false),
        ("configmaps", "Config", false),
    ];
    for (resource, kind, expected) in table {
        assert_eq!(super::super::deselected::is_plural(resource, kind), expected, "{resource} {kind}");
    }
}

#[test]
fn a_target_that_vanishes_leaves_nothing_that_waits() {
    let mut branch = Branch::of(&["shop/a"], |target| target.commit.window = Duration::from_secs(10));
    take(&mut branch.stage, mk_change("a", Content::Upsert(manifest("x"))));
    let scope = mk_scope("live");
    branch.stage.take(Message::SeedBegin(Arc::clone(&scope)), branch.at);
    assert_eq!(branch.stage.waiting(), 1);
    branch.stage.drop_targets(|_, _| false);
    branch.stage.close_all(branch.at.instant);
    assert!(branch.committed().is_empty());
    assert!(branch.stage.take(Message::SeedEnd(scope, NamespaceSet::ALL), branch.at).is_none());
    take(&mut branch.stage, mk_change("a", Content::Upsert(manifest("y"))));
    assert_eq!(branch.stage.waiting(), 0);
}

#[test]
fn files_are_counted_as_they_come_and_go() {
    let readme = (RepoPath::new("live/core/v1/README.md").unwrap(), "read me".to_owned());
    let mut branch = Branch::new(&[(file("v1", "shop/a"), text("v1", "shop/a")), readme], |_| {});
    let count = |branch: &Branch| branch.stage.files()[&target()];
    assert_eq!(count(&branch), 1);
    take(&mut branch.stage, mk_change("a", Content::Upsert(manifest("x"))));
    take(&mut branch.stage, mk_change("b", Content::Upsert(manifest("x"))));
    assert_eq!(count(&branch), 2);
    take(&mut branch.stage, mk_change("a", Content::Delete));
    branch.list(&["shop/b", "shop/c"]);
    assert_eq!(count(&branch), 2);
    branch.list(&["shop/b"]);
    assert_eq!(count(&branch), 1);
}
