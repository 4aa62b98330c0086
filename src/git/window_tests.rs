//! What waits together, and that waiting changes neither the content nor the order of authors.

use super::*;
use crate::git::samples::{mk_edit, mk_verdict};
use crate::resource::{Oid, RepoPath};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn target(name: &str) -> NamespacedName {
    NamespacedName::new("team", name)
}

fn edit(user: &str, path: &str, before: Option<&str>, after: Option<&str>) -> Edit {
    let users: Vec<&str> = [user].into_iter().filter(|user| !user.is_empty()).collect();
    mk_edit(path, before, after, mk_verdict(&users, ""))
}

/// Author and files of each draft, such as `alice: a b`.
fn told(drafts: &[Draft]) -> Vec<String> {
    let tell = |draft: &Draft| {
        let Draft::Changes(_, edits) = draft else { panic!("{draft:?}") };
        let users: Vec<&str> =
            edits.iter().map(|edit| edit.verdict.author().map_or("", |author| &author.user.name)).collect();
        assert!(users.iter().all(|user| *user == users[0]), "{users:?}");
        let files: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
        format!("{}: {}", users[0], files.join(" "))
    };
    drafts.iter().map(tell).collect()
}

#[test]
fn a_window_closes_when_it_is_quiet_or_has_waited_long_enough() {
    let (mut windows, start) = (Windows::default(), Instant::now());
    assert_eq!(windows.due(), None);
    for tick in 0..5_u32 {
        let now = start + SECOND * tick;
        assert!(windows.close_due(now).is_empty());
        assert!(
            windows.add(&target("a"), edit("alice", &tick.to_string(), None, Some("x")), SECOND * 2, now).is_empty()
        );
        assert_eq!(windows.due(), Some(now + SECOND * 2));
    }
    assert!(windows.add(&target("a"), edit("alice", "9", None, Some("x")), SECOND * 2, start + SECOND * 9).is_empty());
    assert_eq!(windows.due(), Some(start + SECOND * 10), "five lengths after it was opened");
    assert!(windows.close_due(start + SECOND * 10 - Duration::from_millis(1)).is_empty());
    assert_eq!(told(&windows.close_due(start + SECOND * 10)), ["alice: 0 1 2 3 4 9"]);
    assert_eq!((windows.due(), windows.bytes, windows.files.len()), (None, 0, 0));
}

#[test]
fn another_author_on_a_file_closes_its_window_at_once() {
    let (mut windows, now) = (Windows::default(), Instant::now());
    let mut add =
        |user, path, before, after| told(&windows.add(&target("a"), edit(user, path, before, after), SECOND, now));
    assert_eq!(add("alice", "f", None, Some("1")), [""; 0]);
    assert_eq!(add("bob", "g", None, Some("1")), [""; 0]);
    assert_eq!(add("", "h", None, Some("1")), [""; 0], "nobody proven has a window too");
    assert_eq!(add("bob", "f", Some("1"), Some("2")), ["alice: f"]);
    assert_eq!(add("", "g", Some("1"), None), ["bob: f g"]);
    assert_eq!(told(&windows.close_all()), [": g h"]);
}

#[test]
fn a_later_version_takes_the_place_of_an_earlier_one() {
    let now = Instant::now();
    let table: [(&[Option<&str>], Option<&str>); 6] = [
        (&[None, Some("1"), Some("2")], Some("CREATE")),
        (&[Some("1"), Some("2"), Some("3")], Some("UPDATE")),
        (&[Some("1"), None, Some("2")], Some("UPDATE")),
        (&[Some("1"), Some("2"), None], Some("DELETE")),
        (&[None, Some("1"), None], None),
        (&[Some("1"), Some("2"), Some("1")], None),
    ];
    for (versions, expected) in table {
        let mut windows = Windows::default();
        for pair in versions.windows(2) {
            windows.add(&target("a"), edit("alice", "f", pair[0], pair[1]), SECOND, now);
        }
        let drafts = windows.close_all();
        let operations: Vec<String> = drafts
            .iter()
            .flat_map(|draft| match draft {
                Draft::Changes(_, edits) => edits.iter().map(|edit| edit.operation().to_string()).collect::<Vec<_>>(),
                Draft::List(..) => Vec::new(),
            })
            .collect();
        assert_eq!(operations, expected.into_iter().collect::<Vec<_>>(), "{versions:?}");
    }
}

#[test]
fn what_was_in_doubt_stays_so_until_the_file_goes() {
    let now = Instant::now();
    let foreign = Oid::of_blob(crate::resource::oid::ObjectFormat::Sha1, b"foreign");
    for (last, expected) in [(Some("2"), Some(foreign)), (None, None)] {
        let mut windows = Windows::default();
        let first = Edit { doubt: Some(foreign), ..edit("alice", "f", Some("foreign"), Some("1")) };
        windows.add(&target("a"), first, SECOND, now);
        windows.add(&target("a"), edit("alice", "f", Some("1"), last), SECOND, now);
        let drafts = windows.close_all();
        let [Draft::Changes(_, edits)] = drafts.as_slice() else { panic!("{drafts:?}") };
        assert_eq!(edits[0].doubt, expected);
    }
}

#[test]
fn lists_and_single_commits_do_not_overtake() {
    let (mut windows, now) = (Windows::default(), Instant::now());
    for path in ["f", "g/h", "i"] {
        windows.add(&target(path), edit("alice", path, None, Some("1")), SECOND, now);
    }
    let single = windows.add(&target("f"), edit("alice", "f", Some("1"), Some("2")), Duration::ZERO, now);
    assert_eq!(told(&single), ["alice: f", "alice: f"]);
    let paths = ["x", "g"].map(|path| RepoPath::new(path).unwrap());
    assert_eq!(told(&windows.close_over(paths.iter())), ["alice: g/h"]);
    windows.forget(&target("x"));
    assert!(windows.due().is_some());
    windows.forget(&target("i"));
    assert_eq!(windows.due(), None);
}

#[test]
fn windows_are_bounded() {
    let (mut windows, now) = (Windows::default(), Instant::now());
    let large = "x".repeat(MOST_BYTES / 3);
    for (user, path, closed) in [("alice", "a", 0), ("bob", "b", 0), ("carol", "c", 1)] {
        let drafts = windows.add(&target("a"), edit(user, path, None, Some(&large)), SECOND, now);
        assert_eq!(drafts.len(), closed, "{user}");
        assert!(windows.bytes <= MOST_BYTES);
    }
    let mut windows = Windows::default();
    for number in 1..MOST_FILES {
        assert!(windows.add(&target("a"), edit("", &number.to_string(), None, Some("1")), SECOND, now).is_empty());
    }
    let drafts = windows.add(&target("a"), edit("", "last", None, Some("1")), SECOND, now);
    assert_eq!(drafts.iter().map(Draft::len).collect::<Vec<_>>(), [MOST_FILES]);
}

/// One step of a history: who changes what to what, in which target, and how long after the step before.
#[derive(Clone, Debug)]
struct Step {
    user: &'static str,
    path: &'static str,
    content: Option<&'static str>,
    length: u64,
    wait: u64,
}

fn mk_step() -> impl Strategy<Value = Step> {
    let user = prop::sample::select(vec!["", "alice", "bob"]);
    // Also a file where another needs a folder.
    let path = prop::sample::select(vec!["a/f", "a/g", "a/f/x", "b/f", "b/g"]);
    let content = prop::option::weighted(0.7, prop::sample::select(vec!["1", "2"]));
    (user, path, content, prop::sample::select(vec![0, 5, 5, 5]), 0..12_u64)
        .prop_map(|(user, path, content, length, wait)| Step { user, path, content, length, wait })
}

/// Whether something stands in the way of a file: then the stage takes no change of it.
fn is_blocked(tree: &BTreeMap<String, String>, path: &str) -> bool {
    tree.keys().any(|other| other.starts_with(&format!("{path}/")) || path.starts_with(&format!("{other}/")))
}

/// Puts a file into a tree as fast-import does: what stands in the way goes.
fn write(tree: &mut BTreeMap<String, String>, path: &str, content: Option<&str>) {
    tree.retain(|other, _| !other.starts_with(&format!("{path}/")));
    if let Some(content) = content {
        tree.retain(|other, _| !path.starts_with(&format!("{other}/")));
        tree.insert(path.to_owned(), content.to_owned());
    } else {
        tree.remove(path);
    }
}

/// Commits `drafts` to `tree`, noting who changed which file.
fn commit(
    tree: &mut BTreeMap<String, String>,
    authors: &mut BTreeMap<String, Vec<String>>,
    drafts: Vec<Draft>,
    at: Instant,
    seen: &mut BTreeMap<String, (Instant, u64)>,
) {
    told(&drafts);
    for draft in drafts {
        let Draft::Changes(target, edits) = draft else { panic!("{draft:?}") };
        let mut files: Vec<&str> = edits.iter().map(|edit| edit.path.as_str()).collect();
        files.dedup();
        assert!(!edits.is_empty() && files.len() == edits.len());
        for edit in edits {
            let path = edit.path.as_str();
            assert!(path.starts_with(&*target.name));
            assert!(!edit.is_void());
            let text = edit.content.as_ref().map(|manifest| String::from_utf8(manifest.bytes().to_vec()).unwrap());
            write(tree, path, text.as_deref());
            let author = edit.verdict.author().map(|author| author.user.name.clone()).unwrap_or_default();
            authors.entry(path.to_owned()).or_default().push(author);
            if let Some((first, length)) = seen.remove(path) {
                assert!(at <= first + Duration::from_secs(length * 5), "{path} waited too long");
            }
        }
    }
}

proptest! {
    #[test]
    fn grouping_changes_nothing_but_the_number_of_commits(steps in prop::collection::vec(mk_step(), 1..40)) {
        let (mut windows, mut now) = (Windows::default(), Instant::now());
        // The index runs ahead, as the stage's does.
        let (mut ahead, mut tree) = (BTreeMap::new(), BTreeMap::new());
        let (mut meant, mut authors) = (BTreeMap::<String, Vec<String>>::new(), BTreeMap::new());
        let mut seen = BTreeMap::new();
        let mut changes = 0;
        for step in steps {
            let until = now + Duration::from_secs(step.wait);
            while let Some(due) = windows.due().filter(|due| *due <= until) {
                let drafts = windows.close_due(due);
                commit(&mut tree, &mut authors, drafts, due, &mut seen);
                prop_assert!(windows.due().is_none_or(|next| next > due));
            }
            now = until;
            let before = ahead.get(step.path).cloned();
            if before.as_deref() == step.content || (step.content.is_some() && is_blocked(&ahead, step.path)) {
                continue;
            }
            changes += 1;
            write(&mut ahead, step.path, step.content);
            meant.entry(step.path.to_owned()).or_default().push(step.user.to_owned());
            seen.entry(step.path.to_owned()).or_insert((now, step.length));
            let edit = edit(step.user, step.path, before.as_deref(), step.content);
            let drafts = windows.add(&target(&step.path[..1]), edit, Duration::from_secs(step.length), now);
            commit(&mut tree, &mut authors, drafts, now, &mut seen);
            // What is as it was has nothing to wait for.
            seen.retain(|path, _| tree.get(path) != ahead.get(path));
        }
        let drafts = windows.close_all();
        commit(&mut tree, &mut authors, drafts, now, &mut seen);
        prop_assert_eq!(tree, ahead);
        prop_assert_eq!((windows.bytes, windows.files.len(), windows.open.len()), (0, 0, 0));
        let committed: usize = authors.values().map(Vec::len).sum();
        prop_assert!(committed <= changes);
        for (path, authors) in authors {
            let mut meant = meant.remove(&path).unwrap().into_iter();
            prop_assert!(authors.iter().all(|author| meant.any(|other| other == *author)), "{}: {:?}", path, authors);
        }
    }
}
