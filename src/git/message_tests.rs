//! What messages say, and what they cannot be made to say.

use super::*;
use crate::git::samples::{mk_edit, mk_kind, mk_verdict};
use crate::resource::{BaseFolder, NamespaceSet, ObjectName, RepoPath, ResourceId};
use crate::rules::template::Purpose;
use std::sync::Arc;

fn installation() -> Installation {
    Installation {
        cluster_uid: "c1".into(),
        namespace: "reverser".into(),
        name: "release".into(),
        instance_id: "ns1/release".into(),
    }
}

const OURS: &str = "X-ConfigButler-ClusterUID: c1
X-ConfigButler-ControllerNS: reverser
X-ConfigButler-ControllerName: release
X-ConfigButler-InstanceID: ns1/release
";

fn edit(
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    versions: (Option<&str>, Option<&str>),
    users: &[&str],
) -> Edit {
    let edit = mk_edit("f", versions.0, versions.1, mk_verdict(users, "kubectl"));
    let kind = mk_kind(kind, namespace.is_some());
    let version = crate::change::ObjectVersion { uid: "u1".into(), resource_version: "7".into() };
    Edit { id: ResourceId { kind, name: ObjectName::new(namespace, name) }, version, ..edit }
}

fn web(users: &[&str]) -> Edit {
    edit("Deployment", Some("shop"), "web", (Some("1"), Some("2")), users)
}

fn draft(edits: Vec<Edit>) -> Draft {
    Draft::Changes(NamespacedName::new("team", "live"), edits)
}

fn list() -> Draft {
    let scope = SeedScope {
        target: NamespacedName::new("team", "live"),
        folder: BaseFolder::root(),
        kind: mk_kind("Deployment", true),
        namespaces: NamespaceSet::one("shop"),
    };
    let path = |name| RepoPath::new(name).unwrap();
    Draft::List(Arc::new(scope), vec![FileChange::Remove(path("a")), FileChange::Remove(path("b"))])
}

fn usual(draft: &Draft) -> String {
    installation().message(&MessageTemplates::default(), draft)
}

#[test]
fn one_change_has_a_subject_and_trailers() {
    let trailers = "X-ConfigButler-Operation: UPDATE
X-ConfigButler-Resource: v1/deployments shop/web
X-ConfigButler-UID: u1
X-ConfigButler-ResourceVersion: 7
X-ConfigButler-Attribution: ";
    assert_eq!(
        usual(&draft(vec![web(&["alice"])])),
        format!(
            "[UPDATE] Deployment/web in ns/shop by user/alice\n\nX-ConfigButler-User: alice\n{trailers}version\nX-ConfigButler-FieldManager: kubectl\n{OURS}"
        )
    );
    assert_eq!(
        usual(&draft(vec![web(&["bob", "alice, root"])])),
        format!(
            "[UPDATE] Deployment/web in ns/shop by user/unknown\n\nX-ConfigButler-Users: alice  root, bob\n{trailers}ambiguous\n{OURS}"
        )
    );
    let cluster_wide = usual(&draft(vec![edit("Node", None, "n1", (Some("1"), None), &["alice"])]));
    assert!(cluster_wide.starts_with("[DELETE] Node/n1 by user/alice\n"), "{cluster_wide}");
    assert_eq!(
        usual(&list()),
        format!("[RECONCILE] 0 files written, 2 deleted\n\nX-ConfigButler-Operation: RECONCILE\n{OURS}")
    );
}

#[test]
fn a_group_names_each_resource_and_has_trailers_for_each() {
    let create = edit("Service", Some("shop"), "web", (None, Some("1")), &["alice"]);
    let message = usual(&draft(vec![web(&["alice"]), create]));
    let (head, trailers) = message.rsplit_once("\n\n").unwrap();
    assert_eq!(
        head,
        "[CHANGE] 2 resources in ns/shop by user/alice\n\nUPDATE Deployment/web in ns/shop\nCREATE Service/web in ns/shop"
    );
    let per_resource = |operation, resource| {
        format!(
            "X-ConfigButler-Operation: {operation}\nX-ConfigButler-Resource: v1/{resource} shop/web\nX-ConfigButler-UID: u1\nX-ConfigButler-ResourceVersion: 7\nX-ConfigButler-Attribution: version\nX-ConfigButler-FieldManager: kubectl\n"
        )
    };
    let (update, create) = (per_resource("UPDATE", "deployments"), per_resource("CREATE", "services"));
    assert_eq!(trailers, format!("X-ConfigButler-User: alice\n{update}{create}{OURS}"));
}

#[test]
fn a_group_names_what_all_have_in_common() {
    let node = || edit("Node", None, "n1", (Some("1"), Some("2")), &["alice"]);
    let other = || edit("Deployment", Some("bar"), "web", (Some("1"), Some("2")), &["alice"]);
    for (edits, expected) in [
        (vec![web(&["alice"]), web(&["alice"])], "[UPDATE] 2 resources in ns/shop by user/alice"),
        (vec![web(&[]), web(&[])], "[UPDATE] 2 resources in ns/shop by user/unknown"),
        (vec![web(&["alice"]), other()], "[UPDATE] 2 resources by user/alice"),
        (vec![web(&["alice"]), node()], "[UPDATE] 2 resources by user/alice"),
        (vec![node(), web(&["alice"])], "[UPDATE] 2 resources by user/alice"),
        (vec![node(), node()], "[UPDATE] 2 resources by user/alice"),
    ] {
        assert_eq!(usual(&draft(edits)).lines().next(), Some(expected));
    }
}

fn templated(text: &str, purpose: Purpose, draft: &Draft) -> String {
    let template = Some(MessageTemplate::parse(text, purpose).unwrap());
    let templates = match purpose {
        Purpose::Change => MessageTemplates { change: template, ..MessageTemplates::default() },
        Purpose::Group => MessageTemplates { group: template, ..MessageTemplates::default() },
        Purpose::Seed => MessageTemplates { seed: template, ..MessageTemplates::default() },
    };
    installation().message(&templates, draft)
}

#[test]
fn templates_replace_what_stands_above_the_trailers() {
    let one = draft(vec![web(&["alice"])]);
    let two = draft(vec![web(&["alice"]), edit("Node", None, "n1", (None, Some("2")), &["alice"])]);
    let everything = |purpose: Purpose| {
        let names = purpose.placeholders().iter().map(|placeholder| format!("{{{placeholder}}}"));
        names.collect::<Vec<_>>().join("|")
    };
    for (purpose, draft, expected) in [
        (Purpose::Change, &one, "UPDATE|Deployment|web|shop|v1|deployments|alice|team/live\n"),
        (Purpose::Group, &two, "CHANGE|2|1|1|0||alice|team/live\n\nUPDATE Deployment/web in ns/shop\nCREATE Node/n1\n"),
        (Purpose::Seed, &list(), "RECONCILE|2|0|2|Deployment|shop|v1|deployments|team/live\n"),
    ] {
        let message = templated(&everything(purpose), purpose, draft);
        let (_, trailers) = usual(draft).rsplit_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert_eq!(message, format!("{expected}\n{trailers}"));
    }
}

#[test]
fn a_template_can_neither_hide_nor_forge_trailers() {
    let one = draft(vec![web(&["--- x"])]);
    let subject = "[UPDATE] Deployment/web in ns/shop by user/--- x\n";
    for (template, expected) in [
        ("{user}", "-- x\n"),
        ("---", "--\n"),
        ("a\n---\nb", "a\n\n--\nb\n"),
        ("a\n-----  \nb", "a\n\n--\nb\n"),
        ("a\n# ------------------------ >8 ------------------------\nb", "a\n\n# -- >8 --\nb\n"),
        ("X-ConfigButler-User: root", subject),
        ("a\nx-configbutler-user: root\n  X-CONFIGBUTLER-Users: x\nb", "a\n\nb\n"),
        ("\n\n a\nb\n\n\n", " a\n\nb\n"),
        ("a\r".trim_end(), "a\n"),
    ] {
        let message = templated(template, Purpose::Change, &one);
        let (head, trailers) = message.split_at(message.find("\nX-ConfigButler-").unwrap());
        assert_eq!(head, expected, "{template:?}");
        assert_eq!(trailers, &usual(&one)[subject.len()..], "{template:?}");
    }
}

#[test]
fn values_are_one_plain_line() {
    for (text, expected) in [
        ("a\nb\rc\td\u{2028}e\u{85}f", "a b c d e f"),
        ("  a  ", "a"),
        ("a\0b\u{1b}[31m\u{7f}", "ab[31m"),
        ("a\u{202e}b\u{200b}c\u{feff}\u{ad}\u{e0041}", "abc"),
        ("\u{2066}", ""),
    ] {
        assert_eq!(plain(text), expected);
    }
    assert_eq!(plain(&"ä".repeat(1_000)).chars().count(), LONGEST_VALUE);
}

#[test]
fn of_many_candidates_only_whole_names_are_named() {
    let mut edit = web(&[]);
    edit.candidates = (0..100).map(|number| format!("user-{number:03}-{}", "x".repeat(30))).collect();
    let message = usual(&draft(vec![edit]));
    let users = message.lines().find_map(|line| line.strip_prefix("X-ConfigButler-Users: ")).unwrap();
    let names: Vec<&str> = users.split(", ").collect();
    let (last, names) = names.split_last().unwrap();
    assert_eq!(*last, "...");
    assert!(names.len() > 20 && names.iter().all(|name| name.len() == 39), "{users}");
}

#[test]
fn users_whose_names_look_the_same_are_told_apart() {
    let long = "x".repeat(300);
    for pair in [["alice", "al\u{200b}ice"], ["alice", "alice\u{202e}"], ["alice", " alice"], [&long, &long[1..]]] {
        for template in [None, Some("{user}")] {
            let told = pair.map(|user| {
                let one = draft(vec![web(&[user])]);
                template.map_or_else(|| usual(&one), |template| templated(template, Purpose::Change, &one))
            });
            let subjects = told.each_ref().map(|told| told.lines().next().unwrap());
            assert_ne!(subjects[0], subjects[1], "{pair:?}");
            let trailers = told
                .each_ref()
                .map(|told| told.lines().find(|line| line.starts_with("X-ConfigButler-User: ")).unwrap());
            assert_ne!(trailers[0], trailers[1], "{pair:?}");
        }
        let told = pair.map(|user| usual(&draft(vec![web(&[user, "bob"])])));
        assert_ne!(told[0], told[1], "{pair:?}");
    }
}
