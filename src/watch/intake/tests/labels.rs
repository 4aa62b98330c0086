//! What labels and annotations of an object decide.

use super::*;
use kube::core::Selector;

const FILE: &str = "core/v1/configmaps/shop/a.yaml";

fn labelled(version: u32, value: &str, labels: &str) -> RawObject {
    mk_object("a", "a", version, value, &format!(r#","labels":{{{labels}}}"#))
}

/// Rules by which each target wants, or keeps, what has the label `tier` of that value; none: all.
fn mk_tiers(routes: &[(&str, Option<&'static str>, Wish)]) -> Arc<RuleSet> {
    let mk = |(target, tier, wish): &(&str, Option<&'static str>, Wish)| {
        let selector = tier.map(|tier| Arc::new(Selector::from_iter([("tier", tier)])));
        (kind(), Route { selector, wish: *wish, ..mk_route(target, NamespaceSet::ALL) })
    };
    Arc::new(RuleSet::new(routes.iter().map(|(target, ..)| mk_target(target)), routes.iter().map(mk)))
}

const MIRROR: Wish = Wish::Mirror(Operations::ALL);

fn tiers(routes: &[(&str, Option<&'static str>, Wish)], objects: &[RawObject]) -> Rig {
    let mut rig = Rig::new(&[]);
    rig.intake.set_rules(mk_tiers(routes));
    rig.list(objects);
    rig
}

#[test]
fn an_object_comes_and_goes_with_the_labels_that_a_rule_asks_for() {
    let mut rig = tiers(&[("all", None, MIRROR), ("web", Some("web"), MIRROR)], &[labelled(1, "x", r#""tier":"db""#)]);
    let versions = [labelled(2, "x", r#""tier":"web""#), labelled(3, "y", ""), labelled(4, "z", "")];
    for (base, version) in (1..).zip(&versions) {
        rig.record(Operation::Update, "bob", Some(base), version);
    }
    let said = |what: &str, target: &str| format!("{what} {target}/{FILE} by bob");
    assert_eq!(rig.applied(&versions[0]), [said("upsert", "all"), said("upsert", "web")]);
    assert_eq!(rig.applied(&versions[1]), [said("upsert", "all"), said("deselect", "web")]);
    assert_eq!(rig.applied(&versions[2]), [said("upsert", "all")]);
    assert_eq!(rig.deleted(&labelled(5, "z", "")), [format!("delete all/{FILE} by nobody")]);
}

#[test]
fn what_no_label_selects_is_not_read() {
    let (web, db) = (r#""tier":"web""#, r#""tier":"db""#);
    let mut rig = tiers(&[("web", Some("web"), MIRROR), ("kept", Some("db"), Wish::Keep)], &[labelled(1, "x", "")]);
    let is_read = |rig: &Rig| !rig.intake.objects.values().any(|seen| seen.unread);
    assert!(!is_read(&rig));
    rig.record(Operation::Update, "bob", Some(1), &labelled(2, "x", web));
    assert_eq!(rig.applied(&labelled(2, "x", web)), [format!("upsert web/{FILE} by bob")]);
    assert_eq!(rig.applied(&labelled(3, "x", "")), [format!("deselect web/{FILE} by nobody")]);
    assert!(is_read(&rig));
    rig.applied(&labelled(4, "x", ""));
    assert!(!is_read(&rig));
    rig.applied(&labelled(5, "x", db));
    assert!(is_read(&rig), "it is kept");
}

#[test]
fn labels_that_are_in_no_manifest_count_too() {
    let rules = |label: &'static str| {
        let selector = Some(Arc::new(Selector::from_iter([(label, "x")])));
        let route = Route { selector, ..mk_route("live", NamespaceSet::ALL) };
        Arc::new(RuleSet::new([mk_target("live")], [(kind(), route)]))
    };
    let app = r#""app":"a""#;
    let mut rig = Rig::new(&[]);
    rig.intake.set_rules(rules("velero.io/backup-name"));
    rig.list(&[labelled(1, "x", app)]);
    assert_eq!(
        rig.applied(&labelled(2, "x", r#""app":"a","velero.io/backup-name":"x""#)),
        [format!("upsert live/{FILE} by nobody")]
    );
    assert_eq!(rig.applied(&labelled(3, "x", app)), [format!("deselect live/{FILE} by nobody")]);
}

#[test]
fn lists_name_what_the_labels_select_and_find_what_lost_them() {
    let web = r#""tier":"web""#;
    let mut rig = Rig::new(&[]);
    rig.intake.set_rules(mk_tiers(&[("web", Some("web"), MIRROR)]));
    assert_eq!(
        rig.list(&[labelled(1, "x", web)]),
        ["begin web *".to_owned(), format!("item web/{FILE}"), "end web *".into()]
    );
    assert_eq!(rig.list(&[labelled(5, "x", "")]), [format!("deselect web/{FILE} by nobody")]);
    assert_eq!(rig.list(&[labelled(6, "x", web)]), [format!("upsert web/{FILE} by nobody")]);
    assert_eq!(rig.list(&[]), [format!("delete web/{FILE} by nobody")]);
}

#[test]
fn what_a_rule_keeps_is_neither_written_nor_removed() {
    let (web, db) = (r#""tier":"web""#, r#""tier":"db""#);
    let mut rig = tiers(&[("live", Some("web"), MIRROR), ("live", Some("db"), Wish::Keep)], &[labelled(1, "x", web)]);
    assert_eq!(rig.applied(&labelled(2, "y", db)), [""; 0]);
    assert_eq!(rig.applied(&labelled(3, "z", db)), [""; 0]);
    assert_eq!(rig.applied(&labelled(4, "z", "")), [format!("deselect live/{FILE} by nobody")], "nobody keeps it now");
    let mut rig = tiers(&[("live", Some("web"), MIRROR), ("live", Some("db"), Wish::Keep)], &[labelled(1, "x", web)]);
    rig.applied(&labelled(2, "y", db));
    assert_eq!(rig.deleted(&labelled(3, "y", db)), [""; 0]);
    // Files do not tell the labels that their objects had: those of a kept rule may be among the orphans.
    assert_eq!(Rig::new(&[]).list(&[]), [""; 0]);
    let mut rig = Rig::new(&[]);
    rig.intake.set_rules(mk_tiers(&[("live", Some("web"), MIRROR), ("live", Some("db"), Wish::Keep)]));
    assert_eq!(rig.list(&[]), ["begin live *", "end live "]);
}

#[test]
fn who_newly_asks_for_labels_is_seeded_and_then_follows_them() {
    let web = r#""tier":"web""#;
    let mut rig = Rig::listed(&[labelled(1, "x", web)]);
    rig.intake.set_rules(mk_tiers(&[("live", None, MIRROR), ("web", Some("web"), MIRROR)]));
    assert_eq!(rig.side_list(&[labelled(1, "x", web)])[1..2], [format!("item web/{FILE}")]);
    let said = rig.applied(&labelled(2, "x", ""));
    assert_eq!(said, [format!("upsert live/{FILE} by nobody"), format!("deselect web/{FILE} by nobody")]);
}

#[test]
fn what_a_list_shows_of_the_past_counts_by_the_labels_that_the_watch_has_shown_since() {
    let backup = |version: u32, label: &str| labelled(version, "x", label);
    let start = || {
        let selector = Some(Arc::new(Selector::from_iter([("velero.io/backup-name", "x")])));
        let route = Route { selector, ..mk_route("second", NamespaceSet::ALL) };
        let routes = [(kind(), mk_route("live", NamespaceSet::ALL)), (kind(), route)];
        let mut rig = Rig::listed(&[backup(1, "")]);
        rig.intake.set_rules(Arc::new(RuleSet::new(["live", "second"].map(mk_target), routes)));
        rig.begin(&Source::Side, NamespaceSet::ALL);
        rig
    };
    // A label that is in no manifest.
    let label = r#""velero.io/backup-name":"x""#;
    let mut rig = start();
    rig.applied(&backup(3, ""));
    assert_eq!(rig.item(&Source::Side, &backup(2, label)), [""; 0], "it is lost again");
    assert!(rig.intake.take_asked().is_empty());
    let mut rig = start();
    rig.applied(&backup(3, label));
    assert_eq!(rig.item(&Source::Side, &backup(2, "")), [format!("keep second/{FILE}")], "it has come since");
    assert_eq!(rig.intake.take_asked().len(), 1);
    let mut rig = start();
    rig.applied(&backup(3, label));
    assert_eq!(rig.item(&Source::Side, &backup(2, label)), [format!("item second/{FILE}")]);
    // Whoever is left alone keeps its file without any label.
    let mut rig = start();
    rig.applied(&backup(3, r#""configbutler.ai/ignore":"""#));
    assert_eq!(rig.item(&Source::Side, &backup(2, "")), [format!("keep second/{FILE}")]);
    assert!(rig.intake.take_asked().is_empty());
}

#[test]
fn a_label_that_is_lost_while_the_watch_has_yet_to_show_the_object() {
    let web = r#""tier":"web""#;
    let mut rig = Rig::listed(&[]);
    rig.intake.set_rules(mk_tiers(&[("live", None, MIRROR), ("web", Some("web"), MIRROR)]));
    assert_eq!(rig.side_list(&[labelled(5, "x", web)])[1..2], [format!("keep web/{FILE}")]);
    // The file that was kept may be there from before.
    let said = rig.applied(&labelled(6, "x", ""));
    assert_eq!(said, [format!("upsert live/{FILE} by nobody"), format!("deselect web/{FILE} by nobody")]);
}

#[test]
fn an_object_that_asks_for_it_is_left_alone_while_it_lives() {
    let ignoring = [
        r#","labels":{"configbutler.ai/ignore":""}"#,
        r#","annotations":{"configbutler.ai/ignore":"true"}"#,
        r#","annotations":{"configbutler.ai\/ignore":"x"}"#,
    ];
    for ignore in ignoring {
        let ignored = |version, value| mk_object("a", "a", version, value, ignore);
        let mut rig = Rig::listed(&[object("a", 1, "x")]);
        assert_eq!(rig.applied(&ignored(2, "x")), [""; 0]);
        assert_eq!(rig.applied(&ignored(3, "y")), [""; 0]);
        assert_eq!(rig.list(&[ignored(4, "y")]), [""; 0]);
        rig.intake.unseed(&NamespacedName::new("team", "live"));
        assert_eq!(
            rig.side_list(&[ignored(4, "y")]),
            ["begin live *".to_owned(), format!("keep live/{FILE}"), "end live *".into()]
        );
        let next = object("a", 5, "y");
        rig.record(Operation::Update, "bob", Some(4), &next);
        // Others may have had a part in what it has become meanwhile.
        assert_eq!(rig.applied(&next), [format!("upsert live/{FILE} by nobody of [\"bob\"]")]);
        rig.applied(&ignored(6, "y"));
        assert_eq!(rig.deleted(&ignored(7, "y")), [format!("delete live/{FILE} by nobody")]);
        assert_eq!(Rig::listed(&[ignored(1, "x")]).list(&[]), [format!("delete live/{FILE} by nobody")]);
    }
}

#[test]
fn an_object_that_is_left_alone_keeps_its_file_whatever_its_labels() {
    let mut rig = tiers(&[("web", Some("web"), MIRROR)], &[labelled(1, "x", r#""tier":"web""#)]);
    let ignored = || labelled(2, "x", r#""configbutler.ai/ignore":"""#);
    assert_eq!(rig.applied(&ignored()), [""; 0]);
    rig.intake.unseed(&NamespacedName::new("team", "web"));
    assert_eq!(rig.side_list(&[ignored()])[1..2], [format!("keep web/{FILE}")]);
    assert_eq!(rig.applied(&labelled(3, "x", "")), [format!("deselect web/{FILE} by nobody")]);
    // The watch may have yet to show that it asks for it.
    let mut rig = tiers(&[("web", Some("web"), MIRROR)], &[labelled(1, "x", r#""tier":"web""#)]);
    rig.intake.unseed(&NamespacedName::new("team", "web"));
    assert_eq!(rig.side_list(&[ignored()])[1..2], [format!("keep web/{FILE}")]);
    assert_eq!(rig.applied(&ignored()), [""; 0]);
    assert_eq!(rig.applied(&labelled(3, "x", "")), [format!("deselect web/{FILE} by nobody")]);
}

#[test]
fn a_deletion_without_the_label_takes_the_file_that_was_left_to_the_watch() {
    let mut rig = Rig::listed(&[]);
    rig.intake.set_rules(mk_tiers(&[("live", None, MIRROR), ("web", Some("web"), MIRROR)]));
    assert_eq!(rig.side_list(&[labelled(5, "x", r#""tier":"web""#)])[1..2], [format!("keep web/{FILE}")]);
    let expected = ["live", "web"].map(|target| format!("delete {target}/{FILE} by nobody"));
    let mut at_once = Rig::listed(&[]);
    at_once.intake.set_rules(Arc::clone(&rig.intake.rules));
    at_once.side_list(&[labelled(5, "x", r#""tier":"web""#)]);
    assert_eq!(rig.applied(&marked("a", 6, "x")), expected);
    assert_eq!(at_once.deleted(&object("a", 6, "x")), expected);
}
