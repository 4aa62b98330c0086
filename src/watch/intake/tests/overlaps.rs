//! Several watches of one type: one takes over from others while objects change, and nobody can tell.

use super::*;

const FILE: &str = "live/core/v1/configmaps/shop";

fn shop() -> NamespaceSet {
    NamespaceSet::one("shop")
}

/// A rig whose namespace is watched by itself, and by a new watch of everything whose list is under way.
fn mk_promotion(objects: &[RawObject]) -> Rig {
    let mut rig = Rig::new(&[("live", Some("shop"))]);
    let of_namespace = Source::Scope(WatchScope::Namespace("shop".into()));
    rig.list_as(&of_namespace, shop(), objects, 10);
    rig.intake.set_live(shop(), true);
    assert_eq!(rig.begin(&ALL, NamespaceSet::ALL), [""; 0], "nothing is new to anybody");
    rig
}

#[test]
fn a_list_that_takes_over_says_nothing_that_the_watch_says() {
    let mut rig = mk_promotion(&["a", "b", "c"].map(|name| object(name, 1, "x")));
    let versions = [object("a", 11, "y"), object("a", 12, "z")];
    rig.record(Operation::Update, "bob", Some(1), &versions[0]);
    rig.record(Operation::Update, "carol", Some(11), &versions[1]);
    rig.record(Operation::Delete, "dave", Some(1), &object("c", 1, "x"));
    rig.record(Operation::Create, "erin", None, &object("new", 13, "x"));
    // As of version 15, a and new are ahead, b is the same, and c is missing.
    for listed in [&versions[1], &object("b", 1, "x"), &object("new", 13, "x")] {
        assert_eq!(rig.item(&ALL, listed), [""; 0]);
    }
    assert_eq!(rig.end(&ALL, 15), [""; 0]);
    assert!(rig.intake.is_ahead(&NamespaceSet::ALL));
    assert_eq!(rig.applied(&versions[0]), [format!("upsert {FILE}/a.yaml by bob")]);
    assert_eq!(rig.applied(&versions[1]), [format!("upsert {FILE}/a.yaml by carol")]);
    assert_eq!(rig.applied(&object("new", 13, "x")), [format!("upsert {FILE}/new.yaml by erin")]);
    assert!(rig.intake.is_ahead(&NamespaceSet::ALL), "c is not gone yet");
    assert_eq!(rig.deleted(&object("c", 14, "x")), [format!("delete {FILE}/c.yaml by dave")]);
    assert!(!rig.intake.is_ahead(&NamespaceSet::ALL));
}

#[test]
fn whatever_two_watches_show_counts_once() {
    let mut rig = mk_promotion(&[object("a", 1, "x"), object("b", 1, "x")]);
    rig.item(&ALL, &object("a", 1, "x"));
    rig.item(&ALL, &object("b", 1, "x"));
    rig.end(&ALL, 10);
    assert!(!rig.intake.is_ahead(&NamespaceSet::ALL));
    rig.intake.set_live(NamespaceSet::ALL, true);
    let versions = [object("a", 11, "y"), object("a", 12, "x"), object("a", 13, "z")];
    for (base, version) in [(1, &versions[0]), (11, &versions[1]), (12, &versions[2])] {
        rig.record(Operation::Update, "bob", Some(base), version);
    }
    let said = format!("upsert {FILE}/a.yaml by bob");
    let steps = [(0, true), (1, true), (0, false), (1, false), (2, true), (2, false)];
    for (version, is_new) in steps {
        assert_eq!(rig.applied(&versions[version]), if is_new { vec![said.clone()] } else { vec![] });
    }
    // The end of b, shown by one watch, is not undone by what the other shows late.
    rig.record(Operation::Delete, "dave", Some(14), &object("b", 14, "y"));
    rig.applied(&object("b", 14, "y"));
    assert_eq!(rig.deleted(&object("b", 15, "y")), [format!("delete {FILE}/b.yaml by dave")]);
    assert_eq!(rig.applied(&object("b", 14, "y")), [""; 0]);
    assert_eq!(rig.deleted(&object("b", 15, "y")), [""; 0]);
    // Nor is another object of that name.
    assert_eq!(rig.applied(&mk_object("b", "b2", 16, "y", "")).len(), 1);
    assert_eq!(rig.deleted(&object("b", 15, "y")), [""; 0]);
    // The watch that is left may be behind the one that ended, until it has passed.
    rig.deleted(&mk_object("b", "b2", 17, "y", ""));
    rig.intake.set_live(NamespaceSet::ALL, false);
    assert_eq!(rig.applied(&mk_object("b", "b2", 16, "y", "")), [""; 0]);
    rig.intake.passed(&NamespaceSet::ALL, "18");
    assert!(rig.intake.gone.is_empty());
}

#[test]
fn what_the_list_is_too_old_to_know_stays() {
    let mut rig = mk_promotion(&[object("a", 1, "x")]);
    // Made, and changed, after what the list shows.
    assert_eq!(rig.applied(&object("late", 20, "x")).len(), 1);
    assert_eq!(rig.applied(&object("a", 21, "y")).len(), 1);
    assert_eq!(rig.item(&ALL, &object("a", 1, "x")), [""; 0]);
    assert_eq!(rig.end(&ALL, 15), [""; 0]);
    assert!(!rig.intake.is_ahead(&NamespaceSet::ALL));
    assert_eq!(rig.intake.count(&NamespaceSet::ALL), (2, 0));
}

#[test]
fn where_no_watch_runs_the_list_is_the_truth() {
    let mut rig = mk_promotion(&[object("a", 11, "x"), object("b", 1, "x")]);
    rig.intake.set_live(NamespaceSet::NONE, false);
    // Older than what was seen: the API server was restored from a backup.
    assert_eq!(rig.item(&ALL, &object("a", 5, "y")), [format!("upsert {FILE}/a.yaml by nobody")]);
    assert_eq!(rig.end(&ALL, 6), [format!("delete {FILE}/b.yaml by nobody")]);
    assert_eq!(rig.applied(&object("a", 7, "z")), [format!("upsert {FILE}/a.yaml by nobody")]);
}

#[test]
fn a_promotion_seeds_what_is_new_with_its_list() {
    let mut rig = mk_promotion(&[object("a", 1, "x")]);
    rig.intake.abandon(&ALL);
    rig.intake.set_rules(mk_rules(&[("live", None)]));
    assert_eq!(rig.intake.missing(&shop()), NamespaceSet::NONE, "what was wanted there is the same");
    let elsewhere: RawObject = serde_json::from_str(
        r#"{"metadata":{"name":"a","namespace":"other","uid":"o","resourceVersion":"3"},"data":{"k":"x"}}"#,
    )
    .unwrap();
    let said = rig.list_as(&ALL, NamespaceSet::ALL, &[object("a", 1, "x"), elsewhere], 10);
    let expected = ["begin live * but shop", "item live/core/v1/configmaps/other/a.yaml", "end live * but shop"];
    assert_eq!(said, expected);
}

#[test]
fn what_nobody_wants_is_known_but_not_read() {
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let odd = |namespace: &str| -> RawObject {
        let text = format!(
            r#"{{"metadata":{{"name":"odd","namespace":"{namespace}","uid":"{namespace}","resourceVersion":"2"}},"data":{deep}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    let mut rig = Rig::new(&[("live", Some("other"))]);
    rig.list(&[object("a", 1, "x")]);
    rig.applied(&odd("shop"));
    assert_eq!(rig.intake.count(&NamespaceSet::ALL), (2, 0));
    rig.applied(&odd("other"));
    assert_eq!(rig.intake.count(&NamespaceSet::ALL), (3, 1));
    // It is read once somebody wants it.
    rig.intake.set_rules(mk_rules(&[("live", None)]));
    let expected = ["begin live * but other", &format!("item {FILE}/a.yaml"), "end live * but other"];
    assert_eq!(rig.side_list(&[object("a", 1, "x")]), expected);
    assert_eq!(rig.applied(&object("a", 2, "x")), [""; 0], "nothing new");
    rig.record(Operation::Update, "bob", Some(2), &object("a", 3, "y"));
    assert_eq!(rig.applied(&object("a", 3, "y")), [format!("upsert {FILE}/a.yaml by bob")]);
}

#[test]
fn what_nobody_watches_any_more_is_forgotten() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    rig.intake.retain(&NamespaceSet::one("other"));
    assert_eq!(rig.intake.count(&NamespaceSet::ALL), (0, 0));
    assert_eq!(rig.intake.missing(&NamespaceSet::ALL).to_string(), "* but other");
}
