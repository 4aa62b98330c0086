//! What becomes of files when rules change, row by row, and in any order.

use super::*;
use crate::resource::NamespaceSet;
use kube::core::Selector;
use proptest::prelude::*;

const FULL: Effect = Effect::Full;
const PARTIAL: Effect = Effect::Partial;
const KEPT: Effect = Effect::Kept;

/// Reads `configmaps@a,b secrets@* things@-a?tier=web pods@a!`: all namespaces, all but some, labels, no deletions.
fn sel(text: &str) -> Selection {
    Selection::new(text.split_whitespace().map(|part| {
        let (part, deletes) = part.strip_suffix('!').map_or((part, true), |part| (part, false));
        let (part, labels) = part.split_once('?').map_or((part, None), |(part, labels)| (part, Some(labels)));
        let (resource, names) = part.split_once('@').unwrap();
        let set = |names: &str| names.split(',').map(Arc::from).collect();
        let namespaces = match (names, names.strip_prefix('-')) {
            ("*", _) => NamespaceSet::ALL,
            (_, Some(but)) => NamespaceSet::AllBut(set(but)),
            (only, None) => NamespaceSet::Only(set(only)),
        };
        let selector = labels.map(|labels| {
            let (key, value) = labels.split_once('=').unwrap();
            Arc::new(Selector::from_iter([(key.to_owned(), value.to_owned())]))
        });
        let (group, version) = (String::new(), "v1".to_owned());
        Selected { group, resource: resource.to_owned(), version, namespaces, selector, deletes }
    }))
}

fn text(selection: &Selection) -> String {
    let parts = selection.iter().map(|part| {
        let namespaces = part.namespaces.to_string().replace("* but ", "-").replace(", ", ",");
        let labels = part.selector.as_ref().map(|selector| format!("?{selector}")).unwrap_or_default();
        format!("{}@{namespaces}{labels}{}", part.resource, if part.deletes { "" } else { "!" })
    });
    parts.collect::<Vec<_>>().join(" ")
}

fn target(name: &str) -> NamespacedName {
    NamespacedName::new("ns", name)
}

fn mk_target(stored: &str) -> TargetLook {
    TargetLook { name: target("t"), uid: "1".to_owned(), stored: Some(sel(stored)), swept: None }
}

fn mk_rule(uid: &str, generation: i64, selection: &str, effect: Effect) -> RuleLook {
    let terms = Terms { generation, omits_secrets: false };
    RuleLook { uid: Arc::from(uid), terms, sink: Sink::Target(target("t")), selection: sel(selection), effect }
}

/// When, which rules there are (uid, generation, selection, effect), and what is then kept and what is to go.
type Step<'a> = (u64, &'a [(&'a str, i64, &'a str, Effect)], &'a str, &'a str);

/// Plays `steps` with a target whose status holds `stored`. The type `lost` is served no more; of `dark`
/// nobody knows.
fn play(what: &str, stored: &str, steps: &[Step<'_>]) {
    let start = Instant::now();
    let mut selections = Selections::default();
    for (at, rules, kept, gone) in steps {
        let rules =
            rules.iter().map(|(uid, generation, selection, effect)| mk_rule(uid, *generation, selection, *effect));
        let presence = |_: &str, resource: &str| match resource {
            "lost" => Presence::Gone,
            "dark" => Presence::Unknown,
            _ => Presence::Served,
        };
        let look = Look { targets: vec![mk_target(stored)], rules: rules.collect() };
        selections.observe(look, &presence, start + Duration::from_secs(*at));
        let found = (text(&selections.kept(&target("t"))), text(&selections.gone(&target("t"))));
        assert_eq!(found, ((*kept).to_owned(), (*gone).to_owned()), "{what}, at {at} s");
    }
}

#[test]
fn each_transition_keeps_or_removes_as_it_says() {
    let table: &[(&str, &str, &[Step<'_>])] = &[
        (
            "a type of which nobody knows after a start, where a wildcard selected it",
            "a@* b@* dark@*",
            &[
                (0, &[("r", 1, "a@*", FULL)], "b@* dark@*", ""),
                (60, &[("r", 1, "a@*", FULL)], "dark@*", "b@*"),
                (900, &[("r", 1, "a@* dark@*", FULL)], "", "b@*"),
            ],
        ),
        ("a rule that stays", "", &[(0, &[("r", 1, "a@x", FULL)], "", ""), (90, &[("r", 1, "a@x", FULL)], "", "")]),
        (
            "a namespace is matched no more",
            "",
            &[(0, &[("r", 1, "a@x,y", FULL)], "", ""), (1, &[("r", 1, "a@x", FULL)], "", "a@y")],
        ),
        (
            "a namespace is matched no more while something else is misspelt",
            "",
            &[(0, &[("r", 1, "a@x,y", PARTIAL)], "", ""), (1, &[("r", 1, "a@x", PARTIAL)], "", "a@y")],
        ),
        (
            "a namespace is matched no more, but another rule has it",
            "",
            &[
                (0, &[("r", 1, "a@x,y", FULL), ("s", 1, "a@*", FULL)], "", ""),
                (1, &[("r", 1, "a@x", FULL), ("s", 1, "a@*", FULL)], "", ""),
            ],
        ),
        (
            "a rule is edited",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("r", 2, "a@x", FULL)], "b@x", ""),
                (60, &[("r", 2, "a@x", FULL)], "b@x", ""),
                (61, &[("r", 2, "a@x", FULL)], "", "b@x"),
            ],
        ),
        (
            "an edit is taken back",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("r", 2, "a@x", FULL)], "b@x", ""),
                (50, &[("r", 3, "a@x b@x", FULL)], "", ""),
                (100, &[("r", 3, "a@x b@x", FULL)], "", ""),
            ],
        ),
        (
            "a rule is deleted",
            "",
            &[(0, &[("r", 1, "a@x", FULL)], "", ""), (1, &[], "a@x", ""), (60, &[], "a@x", ""), (61, &[], "", "a@x")],
        ),
        (
            "a rule is deleted and made anew",
            "",
            &[
                (0, &[("r", 1, "a@x", FULL)], "", ""),
                (1, &[], "a@x", ""),
                (60, &[("s", 1, "a@x", FULL)], "", ""),
                (200, &[("s", 1, "a@x", FULL)], "", ""),
            ],
        ),
        (
            "a rule is deleted twice",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("s", 1, "a@x", FULL)], "b@x", ""),
                (30, &[], "a@x b@x", ""),
                (61, &[], "a@x", "b@x"),
                (90, &[], "", "a@x b@x"),
            ],
        ),
        (
            "a rule gets other labels",
            "",
            &[
                (0, &[("r", 1, "a@x?tier=web", FULL)], "", ""),
                (1, &[("r", 2, "a@x?tier=db", FULL)], "a@x?tier=web", ""),
                (61, &[("r", 2, "a@x?tier=db", FULL)], "", ""),
            ],
        ),
        (
            "a rule without labels gets some",
            "",
            &[
                (0, &[("r", 1, "a@x", FULL)], "", ""),
                (1, &[("r", 2, "a@x?tier=db", FULL)], "a@x", ""),
                (61, &[("r", 2, "a@x?tier=db", FULL)], "", ""),
            ],
        ),
        (
            "a rule is suspended, changed meanwhile, and goes on",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("r", 2, "a@x", KEPT)], "b@x", ""),
                (500, &[("r", 3, "a@x", KEPT)], "b@x", ""),
                (501, &[("r", 4, "a@x", FULL)], "b@x", ""),
                (561, &[("r", 4, "a@x", FULL)], "", "b@x"),
            ],
        ),
        (
            "a suspended rule whose namespace is matched no more",
            "",
            &[
                (0, &[("r", 1, "a@x,y", FULL)], "", ""),
                (1, &[("r", 2, "a@x,y", KEPT)], "", ""),
                (2, &[("r", 2, "a@x", KEPT)], "a@y", ""),
                (100, &[("r", 3, "a@x", FULL)], "a@y", ""),
                (160, &[("r", 3, "a@x", FULL)], "", "a@y"),
            ],
        ),
        (
            "a rule becomes wrong and is corrected",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("r", 2, "", KEPT)], "a@x b@x", ""),
                (500, &[("r", 2, "", KEPT)], "a@x b@x", ""),
                (501, &[("r", 3, "a@x b@x", FULL)], "", ""),
            ],
        ),
        (
            "a name in a rule is misspelt",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("r", 2, "a@x", PARTIAL)], "b@x", ""),
                (500, &[("r", 2, "a@x", PARTIAL)], "b@x", ""),
            ],
        ),
        (
            "a type is not found for a moment",
            "",
            &[
                (0, &[("r", 1, "a@x b@x", FULL)], "", ""),
                (1, &[("r", 1, "a@x", PARTIAL)], "b@x", ""),
                (500, &[("r", 1, "a@x", PARTIAL)], "b@x", ""),
                (501, &[("r", 1, "a@x b@x", FULL)], "", ""),
            ],
        ),
        (
            "a type of a wildcard is not found, and nobody knows that it is gone",
            "",
            &[(0, &[("r", 1, "a@x b@x", FULL)], "", ""), (100, &[("r", 1, "a@x", FULL)], "b@x", "")],
        ),
        (
            "a type is served no more",
            "",
            &[(0, &[("r", 1, "a@x lost@x", FULL)], "", ""), (1, &[("r", 1, "a@x", PARTIAL)], "", "lost@x")],
        ),
        (
            "a type is served no more while the rule is suspended",
            "",
            &[(0, &[("r", 1, "a@x lost@x", FULL)], "", ""), (1, &[("r", 2, "a@x", KEPT)], "lost@x", "")],
        ),
        (
            "removals were not wanted",
            "",
            &[(0, &[("r", 1, "a@x! b@x", FULL)], "", ""), (1, &[], "a@x! b@x", ""), (61, &[], "", "b@x")],
        ),
        (
            "a restart, and a rule was deleted meanwhile",
            "a@x b@x",
            &[(0, &[("r", 1, "a@x", FULL)], "b@x", ""), (60, &[("r", 1, "a@x", FULL)], "", "b@x")],
        ),
        (
            "a restart, and a rule is wrong",
            "a@x b@x",
            &[
                (0, &[("r", 1, "a@x", FULL), ("s", 1, "", KEPT)], "b@x", ""),
                (500, &[("r", 1, "a@x", FULL), ("s", 1, "", KEPT)], "b@x", ""),
                (501, &[("r", 1, "a@x", FULL), ("s", 2, "c@x", FULL)], "b@x", ""),
                (561, &[("r", 1, "a@x", FULL), ("s", 2, "c@x", FULL)], "", "b@x"),
            ],
        ),
        (
            "a restart, and a suspended rule may have selected more before",
            "a@x b@x c@x",
            &[
                (0, &[("r", 1, "a@x", FULL), ("s", 1, "c@x", KEPT)], "b@x", ""),
                (500, &[("r", 1, "a@x", FULL), ("s", 1, "c@x", KEPT)], "b@x", ""),
                (501, &[("r", 1, "a@x", FULL), ("s", 2, "c@x", FULL)], "b@x", ""),
                (561, &[("r", 1, "a@x", FULL), ("s", 2, "c@x", FULL)], "", "b@x"),
            ],
        ),
        (
            "a restart, and a type is gone whose rule still names it",
            "a@x b@x lost@x",
            &[(0, &[("r", 1, "a@x", PARTIAL)], "b@x lost@x", ""), (60, &[("r", 1, "a@x", PARTIAL)], "b@x", "lost@x")],
        ),
        ("a restart, and all is as before", "a@x", &[(0, &[("r", 1, "a@x", FULL)], "", "")]),
        (
            "a part of all namespaces is left",
            "",
            &[(0, &[("r", 1, "a@*", FULL)], "", ""), (1, &[("r", 1, "a@x", FULL)], "", "a@-x")],
        ),
        (
            "what is to go is wanted again",
            "",
            &[
                (0, &[("r", 1, "a@x,y", FULL)], "", ""),
                (1, &[("r", 1, "a@x", FULL)], "", "a@y"),
                (2, &[("r", 1, "a@x,y", FULL)], "", ""),
            ],
        ),
    ];
    for (what, stored, steps) in table {
        play(what, stored, steps);
    }
}

#[test]
fn a_rule_that_writes_elsewhere_leaves_its_old_target() {
    let start = Instant::now();
    let mut selections = Selections::default();
    let targets = || vec![mk_target(""), TargetLook { name: target("u"), ..mk_target("") }];
    let mut look = |at: u64, to: Option<&str>, effect| {
        let rule = RuleLook {
            sink: to.map_or(Sink::Anywhere, |to| Sink::Target(target(to))),
            ..mk_rule("r", 1, "a@x", effect)
        };
        let look = Look { targets: targets(), rules: vec![rule] };
        selections.observe(look, &|_, _| Presence::Served, start + Duration::from_secs(at));
        ["t", "u"].map(|name| (text(&selections.kept(&target(name))), text(&selections.gone(&target(name)))))
    };
    let (nothing, kept, gone) = (("", ""), ("a@x", ""), ("", "a@x"));
    let own = |expected: [(&str, &str); 2]| expected.map(|(kept, gone)| (kept.to_owned(), gone.to_owned()));
    assert_eq!(look(0, Some("t"), FULL), own([nothing, nothing]));
    assert_eq!(look(1, None, KEPT), own([kept, nothing]), "it cannot be read");
    assert_eq!(look(2, Some("u"), KEPT), own([kept, nothing]), "its new target is not ready");
    assert_eq!(look(100, Some("u"), FULL), own([kept, nothing]));
    assert_eq!(look(160, Some("u"), FULL), own([gone, nothing]));
}

#[test]
fn a_rule_that_cannot_be_read_makes_unclear_what_it_may_write() {
    let table = [
        (Sink::Anywhere, "b@x", ""),
        (Sink::Namespace("ns".into()), "b@x", ""),
        (Sink::Namespace("other".into()), "", "b@x"),
    ];
    for (sink, kept, gone) in table {
        let (start, mut selections) = (Instant::now(), Selections::default());
        for at in [0, 60] {
            let unreadable = RuleLook { sink: sink.clone(), ..mk_rule("s", 0, "", KEPT) };
            let rules = vec![mk_rule("r", 1, "a@x", FULL), unreadable];
            let look = Look { targets: vec![mk_target("a@x b@x")], rules };
            selections.observe(look, &|_, _| Presence::Served, start + Duration::from_secs(at));
        }
        let found = (text(&selections.kept(&target("t"))), text(&selections.gone(&target("t"))));
        assert_eq!(found, (kept.to_owned(), gone.to_owned()), "{sink:?}");
    }
}

#[test]
fn secrets_that_are_left_out_now_fade_like_an_edit() {
    let start = Instant::now();
    let mut selections = Selections::default();
    let mut look = |at: u64, omits_secrets, selection: &str| {
        let mut rule = mk_rule("r", 1, selection, FULL);
        rule.terms.omits_secrets = omits_secrets;
        let look = Look { targets: vec![mk_target("")], rules: vec![rule] };
        selections.observe(look, &|_, _| Presence::Served, start + Duration::from_secs(at));
        (text(&selections.kept(&target("t"))), text(&selections.gone(&target("t"))))
    };
    look(0, false, "a@x secrets@x");
    assert_eq!(look(1, true, "a@x").0, "secrets@x");
    assert_eq!(look(61, true, "a@x").1, "secrets@x");
}

#[test]
fn a_target_made_anew_has_no_past() {
    let mut selections = Selections::default();
    let mut look = |uid: &str, rules: Vec<RuleLook>| {
        let target = TargetLook { uid: uid.to_owned(), ..mk_target("") };
        selections.observe(Look { targets: vec![target], rules }, &|_, _| Presence::Served, Instant::now());
    };
    look("1", vec![mk_rule("r", 1, "a@x", FULL)]);
    look("2", vec![]);
    assert_eq!(selections.due(), None);
    assert!(selections.stored(&target("t")).unwrap().is_empty());
}

#[test]
fn what_was_swept_is_forgotten() {
    let start = Instant::now();
    let mut selections = Selections::default();
    let mut look = |at: u64, swept: Option<&str>| {
        let swept = swept.map(|swept| Arc::new(sel(swept)));
        let target = TargetLook { swept, ..mk_target("a@x b@x") };
        let rules = vec![mk_rule("r", 1, "a@x", FULL)];
        let look = Look { targets: vec![target], rules };
        selections.observe(look, &|_, _| Presence::Served, start + Duration::from_secs(at));
        (
            text(&selections.gone(&super::tests::target("t"))),
            text(&selections.stored(&super::tests::target("t")).unwrap()),
        )
    };
    let own = |gone: &str, stored: &str| (gone.to_owned(), stored.to_owned());
    assert_eq!(look(0, None), own("", "a@x b@x"));
    assert_eq!(look(60, Some("")), own("b@x", "a@x b@x"));
    assert_eq!(look(61, Some("")), own("b@x", "a@x b@x"), "the worker has not heard of it");
    assert_eq!(look(62, Some("b@x")), own("", "a@x"));
}

fn any_rules() -> impl Strategy<Value = Vec<(u8, i64, String, Effect)>> {
    let part = ("[ab]", "(\\*|[xy]|x,y|-x)", "(\\?k=[vw])?").prop_map(|(a, b, c)| format!("{a}@{b}{c}"));
    let selection = proptest::collection::vec(part, 0..3).prop_map(|parts| parts.join(" "));
    let effect = prop_oneof![Just(FULL), Just(FULL), Just(PARTIAL), Just(KEPT)];
    proptest::collection::vec((0..3_u8, 1..4_i64, selection, effect), 0..4)
}

/// By resource and namespace: whether anything of `selection` is there.
fn places(selection: &Selection) -> BTreeSet<(String, &'static str)> {
    let names = ["x", "y", "z"];
    let of = |part: &Selected| {
        let inside = names.into_iter().filter(|name| part.namespaces.contains(Some(name)));
        inside.map(|name| (part.resource.clone(), name)).collect::<Vec<_>>()
    };
    selection.iter().flat_map(of).collect()
}

proptest! {
    #[test]
    fn nothing_goes_that_is_wanted_and_nothing_is_forgotten_before_it_went(
        steps in proptest::collection::vec((any_rules(), 0..50_u64, any::<bool>()), 1..12),
        stored in "([ab]@[xy] ){0,2}",
    ) {
        let (mut now, mut selections) = (Instant::now(), Selections::default());
        let mut before = sel(&stored);
        let mut swept = None;
        for (rules, wait, sweeps) in steps {
            now += Duration::from_secs(wait);
            let rules: BTreeMap<u8, RuleLook> = rules
                .into_iter()
                .map(|(uid, generation, selection, effect)| (uid, mk_rule(&uid.to_string(), generation, &selection, effect)))
                .collect();
            let wanted = union(rules.values().map(|rule| &rule.selection));
            let target_look = TargetLook { swept: swept.clone(), ..mk_target(&stored) };
            let rules = rules.into_values().collect();
            selections.observe(Look { targets: vec![target_look], rules }, &|_, _| Presence::Served, now);
            let (gone, after) = (selections.gone(&target("t")), selections.stored(&target("t")).unwrap());
            let kept = union([&wanted, &selections.kept(&target("t"))]);
            prop_assert!(places(&gone).is_disjoint(&places(&kept)), "{} is wanted: {}", text(&gone), text(&kept));
            prop_assert!(lost(&wanted, &after).is_empty(), "{} is not stored: {}", text(&wanted), text(&after));
            let gone_before = swept.take().map(|swept| places(&swept)).unwrap_or_default();
            let forgotten: Vec<_> = places(&before).difference(&places(&after)).cloned().collect();
            prop_assert!(forgotten.iter().all(|place| gone_before.contains(place)), "{forgotten:?} is forgotten");
            prop_assert_eq!(lost(&after, &union([&selections.selection(&target("t")), &*gone])), vec![]);
            before = after;
            swept = sweeps.then_some(gone);
        }
    }
}
