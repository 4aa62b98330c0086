//! How a target gets what is new to it, while everything else goes on.

use super::*;
use crate::rules::{IgnoredFields, JsonPointer};

const FILE: &str = "core/v1/configmaps/shop";

fn name(target: &str) -> NamespacedName {
    NamespacedName::new("team", target)
}

fn spaced(name: &str, namespace: &str, version: u32) -> RawObject {
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","uid":"{name}","resourceVersion":"{version}"}},"data":{{"k":"{version}"}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn mk_only(names: &[&str]) -> NamespaceSet {
    NamespaceSet::Only(names.iter().map(|name| Arc::from(*name)).collect())
}

/// Rules by which the target wants these namespaces and operations.
fn wishes(routes: &[(&str, NamespaceSet, Wish)]) -> Arc<RuleSet> {
    let mk = |(target, namespaces, wish): &(&str, NamespaceSet, Wish)| {
        (kind(), Route { wish: *wish, ..mk_route(target, namespaces.clone()) })
    };
    Arc::new(RuleSet::new(routes.iter().map(|(target, ..)| mk_target(target)), routes.iter().map(mk)))
}

const MIRROR: Wish = Wish::Mirror(Operations::ALL);

#[test]
fn a_new_target_is_seeded_from_a_list_of_its_own() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", Some("shop"))]));
    assert_eq!(rig.intake.missing(&NamespaceSet::ALL).to_string(), "shop");
    let said = rig.side_list(&[object("a", 1, "x"), spaced("b", "other", 2)]);
    assert_eq!(said, ["begin second shop".to_owned(), format!("item second/{FILE}/a.yaml"), "end second shop".into()]);
    assert!(rig.intake.missing(&NamespaceSet::ALL).is_empty());
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", Some("shop"))]));
    assert!(rig.intake.missing(&NamespaceSet::ALL).is_empty(), "nothing is new");
    rig.intake.unseed(&name("live"));
    assert!(rig.intake.missing(&NamespaceSet::ALL).is_all());
    let next = object("a", 3, "y");
    rig.record(Operation::Update, "bob", Some(1), &next);
    let expected = ["live", "second"].map(|target| format!("upsert {target}/{FILE}/a.yaml by bob"));
    assert_eq!(rig.applied(&next), expected, "what its worker has lost it knows itself");
}

#[test]
fn only_where_the_wish_changes_a_list_is_missing() {
    let keep = Wish::Keep;
    let some = Wish::Mirror(Operations::NONE.with(Operation::Create));
    let table: [(NamespaceSet, Wish, NamespaceSet, Wish, &str); 9] = [
        (mk_only(&["a"]), MIRROR, mk_only(&["a", "b"]), MIRROR, "b"),
        (mk_only(&["a", "b"]), MIRROR, mk_only(&["b"]), MIRROR, ""),
        (mk_only(&["a"]), MIRROR, NamespaceSet::ALL, MIRROR, "* but a"),
        (NamespaceSet::ALL, MIRROR, mk_only(&["a"]), MIRROR, ""),
        (mk_only(&["a"]), MIRROR, mk_only(&["a"]), some, "a"),
        (mk_only(&["a"]), some, mk_only(&["a"]), MIRROR, "a"),
        (mk_only(&["a"]), MIRROR, mk_only(&["a"]), keep, ""),
        (mk_only(&["a"]), keep, mk_only(&["a"]), MIRROR, "a"),
        (mk_only(&["a"]), MIRROR, mk_only(&["a"]), MIRROR, ""),
    ];
    for (before, wish_before, after, wish_after, missing) in table {
        let mut rig = Rig::new(&[]);
        rig.intake.set_rules(wishes(&[("live", before.clone(), wish_before)]));
        rig.list(&[]);
        rig.intake.set_rules(wishes(&[("live", after.clone(), wish_after)]));
        assert_eq!(rig.intake.missing(&NamespaceSet::ALL).to_string(), missing, "{before} to {after}");
    }
}

#[test]
fn live_changes_reach_a_target_during_its_seed() {
    let mut rig = Rig::listed(&[object("a", 1, "x"), object("b", 1, "x")]);
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", None)]));
    let versions = [object("a", 2, "y"), object("new", 3, "x")];
    rig.record(Operation::Update, "bob", Some(1), &versions[0]);
    rig.record(Operation::Create, "carol", None, &versions[1]);
    assert!(!rig.intake.is_told(&name("second"), Some("shop")));
    assert_eq!(rig.begin(&Source::Side, NamespaceSet::ALL), ["begin second *"]);
    assert!(rig.intake.is_told(&name("second"), Some("shop")), "it may ask for what was told live");
    let mut said = rig.applied(&versions[0]);
    // What others changed before comes with it, as far as the second target is concerned.
    let expected =
        ["live/core/v1/configmaps/shop/a.yaml by bob", "second/core/v1/configmaps/shop/a.yaml by nobody of [\"bob\"]"];
    assert_eq!(said, expected.map(|line| format!("upsert {line}")));
    said = rig.applied(&versions[1]);
    assert_eq!(said, ["live", "second"].map(|target| format!("upsert {target}/{FILE}/new.yaml by carol")));
    let deleted = rig.deleted(&object("b", 4, "x"));
    assert_eq!(deleted, ["live", "second"].map(|target| format!("delete {target}/{FILE}/b.yaml by nobody")));
    // The list is of a moment before.
    assert_eq!(rig.item(&Source::Side, &object("a", 1, "x")), [format!("keep second/{FILE}/a.yaml")]);
    assert_eq!(rig.item(&Source::Side, &object("b", 1, "x")), [""; 0], "it is gone");
    assert_eq!(rig.end(&Source::Side, 3), ["end second *"]);
    assert_eq!(rig.applied(&object("a", 5, "z")).len(), 2);
}

#[test]
fn what_a_list_shows_of_the_past_is_served_as_the_watch_has_shown_it_since() {
    let mut rig = Rig::listed(&["same", "changed", "marked", "noise", "odd"].map(|name| object(name, 1, "x")));
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", None)]));
    rig.begin(&Source::Side, NamespaceSet::ALL);
    let owned = r#","ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"x","controller":true}]"#;
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let odd = format!(
        r#"{{"metadata":{{"name":"odd","namespace":"shop","uid":"odd","resourceVersion":"3"}},"data":{deep}}}"#
    );
    rig.applied(&object("same", 3, "x"));
    rig.applied(&object("changed", 3, "y"));
    rig.applied(&marked("marked", 3, "x"));
    rig.applied(&mk_object("noise", "noise", 3, "x", owned));
    rig.applied(&serde_json::from_str(&odd).unwrap());
    let mut item = |name| rig.item(&Source::Side, &object(name, 2, "x"));
    assert_eq!(item("same"), [format!("item second/{FILE}/same.yaml")]);
    assert_eq!(item("changed"), [format!("keep second/{FILE}/changed.yaml")]);
    assert_eq!(item("odd"), [format!("keep second/{FILE}/odd.yaml")]);
    assert_eq!((item("marked"), item("noise")), (vec![], vec![]));
    let asked = rig.intake.take_asked();
    let asked: Vec<_> = asked.iter().map(|(target, id)| format!("{} for {target}", id.name)).collect();
    assert_eq!(asked, ["shop/changed for team/second"]);
}

#[test]
fn what_the_watch_has_yet_to_show_is_left_to_it() {
    let mut rig = Rig::listed(&[object("a", 1, "x"), object("b", 1, "x"), object("c", 1, "x")]);
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", None)]));
    let said = rig.side_list(&[object("a", 3, "z"), object("b", 2, "x"), marked("c", 3, "x"), object("new", 4, "x")]);
    let keeps = ["a", "b", "c", "new"].map(|name| format!("keep second/{FILE}/{name}.yaml"));
    assert_eq!(said[1..5], keeps);
    let versions = [object("a", 2, "y"), object("a", 3, "z"), object("b", 2, "x"), object("new", 4, "x")];
    for (base, version) in [(Some(1), &versions[0]), (Some(2), &versions[1]), (Some(1), &versions[2])] {
        rig.record(Operation::Update, "bob", base, version);
    }
    rig.record(Operation::Create, "carol", None, &versions[3]);
    rig.record(Operation::Delete, "dave", Some(1), &object("c", 1, "x"));
    let both = |what: &str, file: &str, user: &str| {
        ["live", "second"].map(|target| format!("{what} {target}/{FILE}/{file}.yaml by {user}"))
    };
    let merged = |file: &str| format!("upsert second/{FILE}/{file}.yaml by nobody of [\"bob\"]");
    assert_eq!(rig.applied(&versions[0]), [format!("upsert live/{FILE}/a.yaml by bob"), merged("a")]);
    assert_eq!(rig.applied(&versions[1]), both("upsert", "a", "bob"));
    let repeated = merged("b").replace("upsert", "repeat");
    assert_eq!(rig.applied(&versions[2]), [repeated], "nothing new to the other");
    assert_eq!(rig.applied(&versions[3]), both("upsert", "new", "carol"));
    assert_eq!(rig.applied(&marked("c", 3, "x")), both("delete", "c", "dave"));
}

#[test]
fn what_a_seed_left_to_the_watch_and_a_list_does_not_name_is_gone() {
    let mut rig = Rig::listed(&[]);
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", None)]));
    rig.side_list(&[object("a", 5, "x"), object("late", 2_000, "x")]);
    // The watch breaks before it has shown either.
    assert_eq!(rig.list(&[]), [format!("delete second/{FILE}/a.yaml by nobody")]);
    assert_eq!(rig.applied(&object("late", 2_000, "x")).len(), 2);
}

#[test]
fn what_happens_between_a_list_that_failed_and_the_next_comes_with_the_next() {
    let mut rig = Rig::listed(&["a", "b", "c"].map(|name| object(name, 1, "x")));
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", None)]));
    rig.begin(&Source::Side, NamespaceSet::ALL);
    rig.item(&Source::Side, &object("late", 9, "x"));
    assert_eq!(rig.applied(&object("a", 2, "y")).len(), 2);
    rig.intake.abandon(&Source::Side);
    assert_eq!(rig.applied(&object("a", 3, "z")), [format!("upsert live/{FILE}/a.yaml by nobody")]);
    assert_eq!(rig.deleted(&object("b", 4, "x")), [format!("delete live/{FILE}/b.yaml by nobody")]);
    assert_eq!(rig.applied(&object("late", 9, "x")).len(), 2, "that was left to the watch");
    // What the list names is written, and what it does not is swept.
    let said = rig.side_list(&[object("a", 3, "z"), object("c", 1, "x"), object("late", 9, "x")]);
    let items = ["a", "c", "late"].map(|name| format!("item second/{FILE}/{name}.yaml"));
    assert_eq!((&said[1..4], &*said[4]), (&items[..], "end second *"));
    let next = object("a", 10, "x");
    rig.record(Operation::Update, "bob", Some(3), &next);
    assert_eq!(rig.applied(&next), ["live", "second"].map(|target| format!("upsert {target}/{FILE}/a.yaml by bob")));
}

#[test]
fn a_seed_whose_wish_changes_is_dropped_and_the_others_go_on() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", None), ("third", None)]));
    assert_eq!(rig.begin(&Source::Side, NamespaceSet::ALL), ["begin second *", "begin third *"]);
    rig.intake.set_rules(mk_rules(&[("live", None), ("second", Some("shop")), ("third", None)]));
    assert_eq!(rig.intake.take_spoiled(), []);
    assert_eq!(rig.item(&Source::Side, &object("a", 1, "x")), [format!("item third/{FILE}/a.yaml")]);
    assert_eq!(rig.end(&Source::Side, 1), ["end third *"]);
    assert_eq!(rig.intake.missing(&NamespaceSet::ALL).to_string(), "shop");
    // With nobody left to serve, the list is worthless.
    rig.begin(&Source::Side, NamespaceSet::ALL);
    rig.intake.set_rules(mk_rules(&[("live", None), ("third", None)]));
    assert_eq!(rig.intake.take_spoiled(), [Source::Side]);
    assert_eq!(rig.intake.take_spoiled(), [], "which is said once");
}

#[test]
fn a_target_whose_rule_is_edited_misses_no_change_and_no_author() {
    let mut rig = Rig::listed(&[object("a", 1, "x")]);
    let edited = Wish::Mirror(Operations::NONE.with(Operation::Create).with(Operation::Update));
    rig.intake.set_rules(wishes(&[("live", NamespaceSet::ALL, edited)]));
    let next = object("a", 2, "y");
    rig.record(Operation::Update, "bob", Some(1), &next);
    assert_eq!(rig.applied(&next), [format!("upsert live/{FILE}/a.yaml by bob")]);
    assert!(rig.intake.missing(&NamespaceSet::ALL).is_all(), "and yet it is listed");
    // Who did not want every change before has files that are older than the last version.
    let mut rig = Rig::new(&[]);
    let create = Wish::Mirror(Operations::NONE.with(Operation::Create));
    rig.intake.set_rules(wishes(&[("live", NamespaceSet::ALL, create)]));
    rig.list(&[object("a", 1, "x")]);
    rig.intake.set_rules(wishes(&[("live", NamespaceSet::ALL, MIRROR)]));
    rig.record(Operation::Update, "bob", Some(1), &next);
    assert_eq!(rig.applied(&next), [""; 0]);
}

#[test]
fn only_files_are_swept_that_every_rule_wants_gone() {
    let create = Wish::Mirror(Operations::NONE.with(Operation::Create));
    let shop = || mk_only(&["shop"]);
    let table: [(&[(&str, NamespaceSet, Wish)], &str); 5] = [
        (&[("live", NamespaceSet::ALL, MIRROR)], "end live *"),
        (&[("live", NamespaceSet::ALL, create)], "end live "),
        (&[("live", NamespaceSet::ALL, create), ("live", shop(), MIRROR)], "end live shop"),
        // All that is kept is mirrored anyway.
        (&[("live", NamespaceSet::ALL, MIRROR), ("live", shop(), Wish::Keep)], "end live *"),
        (&[("live", shop(), MIRROR), ("live", NamespaceSet::ALL, Wish::Keep)], "end live shop"),
    ];
    for (routes, expected) in table {
        let mut rig = Rig::new(&[]);
        rig.intake.set_rules(wishes(routes));
        assert_eq!(rig.list(&[]).pop().as_deref(), Some(expected), "{routes:?}");
    }
}

#[test]
fn fields_that_a_target_leaves_out_are_no_change_to_it() {
    let pointers = vec![JsonPointer::parse("/data/noise").unwrap()];
    let (group, resource) = (String::new(), "configmaps".to_owned());
    let ignored = IgnoredFields { group, resource, namespace: None, name: Some("a".into()), pointers };
    let rules = || Arc::unwrap_or_clone(mk_rules(&[("live", None), ("second", None)]));
    let mut rig = Rig::new(&[]);
    rig.intake.set_rules(Arc::new(rules().ignoring([(name("second"), [ignored].into())].into())));
    let mk = |version: u32, value: &str, noise: &str| -> RawObject {
        let text = format!(
            r#"{{"metadata":{{"name":"a","namespace":"shop","uid":"a","resourceVersion":"{version}"}},"data":{{"k":"{value}","noise":"{noise}"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    };
    rig.list(&[]);
    let told = |deliveries: Vec<Delivery>| -> Vec<String> {
        let text = |delivery: Delivery| {
            let Message::Change(change) = delivery.message else { panic!() };
            let Content::Upsert(manifest) = change.content else { panic!() };
            let data = String::from_utf8(manifest.bytes().to_vec()).unwrap();
            format!("{}:{}", change.target.name, data.split_once("\ndata:").unwrap().1.replace('\n', " "))
        };
        deliveries.into_iter().map(text).collect()
    };
    let mut applied = |object: &RawObject| told(rig.intake.applied(object, Instant::now()));
    assert_eq!(applied(&mk(1, "x", "1")), ["live:   k: x   noise: \"1\" ", "second:   k: x "]);
    assert_eq!(applied(&mk(2, "x", "2")), ["live:   k: x   noise: \"2\" "]);
    assert_eq!(applied(&mk(3, "y", "2")).len(), 2);
    rig.intake.set_rules(Arc::new(rules()));
    assert!(rig.intake.missing(&NamespaceSet::ALL).is_all(), "its files are others now");
}
