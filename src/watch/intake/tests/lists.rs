//! What lists show of an object besides the watch.

use super::*;

#[test]
fn a_deletion_seen_in_a_list_is_inferred_from_the_last_version() {
    let mut rig = Rig::listed(&["a", "b", "c", "d"].map(|name| object(name, 1, "x")));
    for name in ["a", "b", "c"] {
        rig.record(Operation::Delete, "alice", Some(1), &object(name, 1, "x"));
    }
    rig.record(Operation::Delete, "denied", Some(5), &object("c", 5, "x"));
    rig.record(Operation::Delete, "denied", Some(5), &object("d", 5, "x"));
    let mut said = rig.list(&[marked("a", 7, "x")]);
    said.sort();
    let expected = [("a", "alice"), ("b", "alice"), ("c", "nobody of [\"alice\", \"denied\"]"), ("d", "nobody")]
        .map(|(name, user)| format!("delete live/core/v1/configmaps/shop/{name}.yaml by {user}"));
    assert_eq!(said, expected);
}

#[test]
fn after_a_list_the_author_is_known_only_if_no_version_was_missed() {
    let mut rig = Rig::listed(&["a", "b", "c"].map(|name| object(name, 1, "x")));
    let now = ["a", "b", "c", "new"].map(|name| object(name, 5, "y"));
    rig.record(Operation::Update, "alice", Some(1), &now[0]);
    rig.record(Operation::Update, "alice", Some(3), &now[1]);
    rig.record(Operation::Create, "alice", None, &now[3]);
    let expected = [("a", "alice"), ("b", "nobody of [\"alice\"]"), ("c", "nobody"), ("new", "alice")]
        .map(|(name, user)| format!("upsert live/core/v1/configmaps/shop/{name}.yaml by {user}"));
    assert_eq!(rig.list(&now), expected);
    // From what the list has shown on, every version is seen again.
    let next = object("b", 6, "z");
    rig.record(Operation::Update, "bob", Some(5), &next);
    assert_eq!(rig.applied(&next), ["upsert live/core/v1/configmaps/shop/b.yaml by bob"]);
}

#[test]
fn a_list_again_says_only_what_changed() {
    let mut rig = Rig::listed(&[object("same", 1, "x"), object("changed", 1, "x"), object("gone", 1, "x")]);
    let said = rig.list(&[object("same", 1, "x"), object("changed", 5, "y"), object("new", 6, "x")]);
    let file = |name| format!("live/core/v1/configmaps/shop/{name}.yaml by nobody");
    let expected = [
        "upsert ".to_owned() + &file("changed"),
        "upsert ".to_owned() + &file("new"),
        "delete ".to_owned() + &file("gone"),
    ];
    assert_eq!(said, expected);
}

#[test]
fn an_object_that_was_made_anew_meanwhile_was_deleted_first() {
    let mut rig = Rig::listed(&["a", "same", "going"].map(|name| object(name, 1, "x")));
    rig.applied(&marked("going", 2, "x"));
    let anew = ["a", "same", "going"]
        .map(|name| mk_object(name, &format!("{name}2"), 5, if name == "same" { "x" } else { "y" }, ""));
    for (old, new) in ["a", "same", "going"].into_iter().zip(&anew) {
        rig.record(Operation::Delete, "alice", Some(1), &object(old, 1, "x"));
        rig.record(Operation::Create, "bob", None, new);
    }
    let expected =
        [("delete", "a", "alice"), ("upsert", "a", "bob"), ("upsert", "same", "bob"), ("upsert", "going", "bob")]
            .map(|(what, name, user)| format!("{what} live/core/v1/configmaps/shop/{name}.yaml by {user}"));
    assert_eq!(rig.list(&anew), expected);
}

#[test]
fn an_object_that_cannot_be_written_keeps_its_file() {
    let mut rig = Rig::new(&[("live", None)]);
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let odd =
        format!(r#"{{"metadata":{{"name":"odd","namespace":"shop","uid":"o","resourceVersion":"1"}},"data":{deep}}}"#);
    let said = rig.list(&[serde_json::from_str(&odd).unwrap()]);
    assert_eq!(said[1], "keep live/core/v1/configmaps/shop/odd.yaml");
    let notices = rig.intake.take_notices();
    assert_eq!(notices.iter().map(|notice| notice.object.to_string()).collect::<Vec<_>>(), ["configmaps shop/odd"]);
    assert!(rig.intake.take_notices().is_empty());
    assert_eq!(rig.intake.count(&NamespaceSet::ALL), (1, 1));
    rig.applied(&mk_object("odd", "o", 2, "x", ""));
    assert_eq!(rig.intake.count(&NamespaceSet::ALL), (1, 0), "it was mended");
}

#[test]
fn what_the_cluster_makes_by_itself_is_left_out_unless_wanted() {
    let controlled = |version| {
        mk_object(
            "a",
            "a",
            version,
            "x",
            r#","ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"x","controller":true}]"#,
        )
    };
    let mut rig = Rig::new(&[("live", None)]);
    assert_eq!(rig.list(&[controlled(1)]), ["begin live *", "end live *"]);
    assert_eq!(rig.applied(&controlled(2)), [""; 0]);
    let file = "live/core/v1/configmaps/shop/a.yaml";
    assert_eq!(rig.applied(&object("a", 3, "x")), [format!("upsert {file} by nobody")]);
    assert_eq!(rig.applied(&controlled(4)), [format!("delete {file} by nobody")]);
    assert_eq!(rig.deleted(&controlled(5)), [format!("delete {file} by nobody")], "which is nothing for git");
    let mut rig = Rig::new(&[("live", None)]);
    rig.intake.filters_noise = false;
    assert_eq!(rig.list(&[controlled(1)])[1], format!("item {file}"));
}
