//! What holds whatever people write.

use super::super::catalog::Catalog;
use super::super::selection::{Selected, Selection};
use super::super::selector::Reach;
use super::super::set::RuleSet;
use super::world::World;
use super::{routes_of, verdicts_of};
use crate::resource::{NamespaceSet, NamespacedName};
use kube::core::{Expression, Selector};
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

/// Parts of specs, as apt to be right as wrong.
fn any_rule() -> impl Strategy<Value = String> {
    let resource = prop::sample::select(vec![
        "roles",
        "configmaps",
        "secrets",
        "widgets",
        "widgets.example.com",
        "'*'",
        "'widgets.*'",
        "deployments/scale",
        "nodes",
        "unicorns",
        "Role",
        "'*.apps'",
        "'/'",
        "''",
    ]);
    let resources =
        prop::collection::vec(resource, 0..3).prop_map(|names| format!("resources: [{}]", names.join(", ")));
    let versions = prop::sample::select(vec![
        "",
        ", apiVersions: [v1]",
        ", apiVersions: [v2]",
        ", apiVersions: ['*']",
        ", apiVersions: [v9]",
    ]);
    let groups = prop::sample::select(vec!["", ", apiGroups: ['']", ", apiGroups: [example.com, apps]"]);
    let operations = prop::sample::select(vec!["", ", operations: [CREATE]", ", operations: [X]"]);
    let part = (resources, versions, groups, operations).prop_map(|(a, b, c, d)| format!("{{{a}{b}{c}{d}}}"));
    let selector = prop::sample::select(vec![
        "",
        ", objectSelector: {matchLabels: {a: b}}",
        ", objectSelector: {matchLabels: {'': b}}",
        ", suspend: true",
    ]);
    (prop::collection::vec(part, 0..3), selector, prop::sample::select(vec!["a", "b", "nobody"])).prop_map(
        |(parts, selector, sink)| {
            let rules = if parts.is_empty() { String::new() } else { format!(", rules: [{}]", parts.join(", ")) };
            format!("{{sinkRef: {{name: {sink}}}{rules}{selector}}}")
        },
    )
}

fn any_rules() -> impl Strategy<Value = Vec<(String, u8, String)>> {
    prop::collection::vec((prop::sample::select(vec!["p", "q", "r", "s", "t"]), 1u8..4, any_rule()), 0..5)
        .prop_map(|rules| rules.into_iter().map(|(name, age, spec)| (name.to_owned(), age, spec)).collect())
}

fn mk_world(rules: &[(String, u8, String)]) -> World {
    let mut world = World::base();
    world.put("GitTarget ns/b: {}");
    for (name, age, spec) in rules {
        world.put(&format!("WatchRule ns/{name}@{age}: {spec}"));
    }
    world
}

fn routes_to(set: &RuleSet, target: &str) -> Vec<String> {
    let name = NamespacedName::new("ns", target);
    let routes = set.all().flat_map(|(kind, routes)| routes.iter().map(move |route| (kind, route)));
    routes.filter(|(_, route)| route.target.name == name).map(|(kind, route)| format!("{kind} {route:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_the_inputs_does_not_matter(rules in any_rules()) {
        let mut world = mk_world(&rules);
        let compiled = world.compile();
        world.turn_round();
        let turned = world.compile();
        prop_assert_eq!(&compiled.set, &turned.set);
        prop_assert_eq!(verdicts_of(&compiled), verdicts_of(&turned));
        prop_assert_eq!(compiled.rules, turned.rules);
    }

    #[test]
    fn a_rule_changes_nothing_for_another_target(rules in any_rules(), version in prop::option::of(1u8..3), more in any_rule()) {
        let mut world = mk_world(&rules);
        world.put("WatchRule ns/w@5: {sinkRef: {name: b}, rules: [{resources: [widgets.example.com], apiVersions: [v2]}]}");
        let before = world.compile().set;
        let widgets = |version| format!("{{rules: [{{resources: [widgets.example.com], apiVersions: [v{version}]}}]}}");
        let more = version.map_or_else(|| more.replace("name: b", "name: a"), widgets);
        world.put(&format!("WatchRule ns/x@0: {more}"));
        prop_assert_eq!(routes_to(&before, "b"), routes_to(&world.compile().set, "b"));
    }

    #[test]
    fn a_bad_rule_takes_nothing_from_another(rules in any_rules(), bad in any_rule()) {
        let mut world = mk_world(&rules);
        let before = routes_of(&world.compile());
        let bad = bad.replacen('{', "{objectSelector: {matchExpressions: [{key: a, operator: X}]}, ", 1);
        // The last of two equal keys would count: no other selector may follow.
        prop_assume!(bad.matches("objectSelector").count() == 1);
        world.put(&format!("WatchRule ns/x@0: {bad}"));
        let after = routes_of(&world.compile());
        for route in before.iter().filter(|route| !route.ends_with(" kept")) {
            prop_assert!(after.contains(route), "{} is not in {:?}", route, after);
        }
    }

    #[test]
    fn what_is_in_effect_lies_in_the_selection(rules in any_rules()) {
        let compiled = mk_world(&rules).compile();
        let selected = compiled.rules.values().filter(|outcome| outcome.in_effect);
        let selected = selected.fold(Selection::default(), |all, outcome| all.union(&outcome.selection));
        for (kind, routes) in compiled.set.all() {
            let mirrored = routes.iter().filter(|route| route.wish != crate::rules::Wish::Keep);
            for route in mirrored {
                for namespace in route.namespaces.named().into_iter().flatten() {
                    prop_assert!(selected.covers(kind, Some(namespace)), "{}", kind);
                }
            }
        }
    }

    #[test]
    fn no_text_panics(text in prop::collection::vec(".{0,10}", 12)) {
        let [url, branch, folder, mode, key, operator, value, group, pointer, window, scope, name] = text.as_slice() else {
            unreachable!()
        };
        let selector = json!({"matchLabels": {key: value}, "matchExpressions": [{"key": value, "operator": operator}]});
        let provider = json!({
            "url": url, "allowedBranches": [branch], "pollInterval": window,
            "accessPolicy": {"namespacedRules": {"mode": mode, "namespaceSelector": selector}}
        });
        let target = json!({
            "branch": branch, "baseFolder": folder, "foreignEditGrace": window, "prune": {"mode": mode, "maxDeletesPerCycle": -1},
            "secrets": {"policy": mode}, "ignoreFields": [{"group": group, "resource": name, "jsonPointers": [pointer]}]
        });
        let part = json!({"apiGroups": [group], "apiVersions": [value], "resources": [name], "operations": [mode]});
        let mut of_cluster = part.clone();
        of_cluster["scope"] = json!(scope);
        of_cluster["namespaceSelector"] = selector.clone();
        let mut world = World::base();
        // Each of them alone: with all at once what is wrong above would hide what is wrong below.
        world.put_one("GitProvider", "ns/odd", 0, provider);
        world.put_one("GitTarget", "ns/odd", 0, target.clone());
        world.put_one("GitTarget", "ns/c", 0, json!({"ignoreFields": target["ignoreFields"]}));
        world.put_one("WatchRule", "ns/r", 0, json!({"rules": [part], "objectSelector": selector}));
        world.put_one("ClusterWatchRule", "r", 0, json!({"rules": [of_cluster]}));
        world.put_one("GitRepository", "ns/odd", 0, json!({"url": url, "provider": mode, "secretRef": {"name": name}}));
        let compiled = world.compile();
        prop_assert_eq!(compiled.verdicts.targets.len(), 3);
        prop_assert!(compiled.verdicts.cluster_watch_rules["r"].is_err());
    }

    #[test]
    fn no_name_panics(resources in prop::collection::vec(".{0,12}", 0..4), groups in prop::collection::vec("[a-z.*/]{0,8}", 0..3)) {
        use super::super::selector::{self, resolve};
        let catalog: Catalog = World::base().catalog();
        for reach in [Reach::OwnNamespace, Reach::AllNamespaces, Reach::Cluster] {
            let selection = selector::Selection { reach, api_groups: &groups, api_versions: &[], resources: &resources };
            let resolved = resolve(&selection, &catalog, &crate::rules::Wildcards::default());
            prop_assert!(resolved.problems.iter().all(|problem| !problem.to_string().is_empty()));
        }
    }
}

fn any_namespaces() -> impl Strategy<Value = NamespaceSet> {
    let names = prop::collection::btree_set("[a-d]", 0..4);
    (any::<bool>(), names).prop_map(|(but, names)| {
        let names = names.into_iter().map(Arc::from).collect();
        if but { NamespaceSet::AllBut(names) } else { NamespaceSet::Only(names) }
    })
}

fn any_selector() -> impl Strategy<Value = Option<Arc<Selector>>> {
    let values = || prop::collection::btree_set("[a-c]", 1..3);
    let expression = prop_oneof![
        ("[a-c]", "[a-c]").prop_map(|(key, value)| Expression::Equal(key, value)),
        ("[a-c]", values()).prop_map(|(key, values)| Expression::In(key, values)),
        ("[a-c]", values()).prop_map(|(key, values)| Expression::NotIn(key, values)),
        "[a-c]".prop_map(Expression::Exists),
        "[a-c]".prop_map(Expression::DoesNotExist),
    ];
    // The API holds the values that labels must have in a map: one a key, and before all else.
    prop::option::of(prop::collection::btree_map("[a-c]", expression, 1..3).prop_map(|expressions| {
        let (equal, other): (Vec<_>, Vec<_>) =
            expressions.into_values().partition(|expression| matches!(expression, Expression::Equal(_, _)));
        let equal: std::collections::BTreeMap<_, _> = equal
            .into_iter()
            .filter_map(|expression| match expression {
                Expression::Equal(key, value) => Some((key, value)),
                _ => None,
            })
            .collect();
        let mut selector = Selector::from_iter(equal);
        selector.extend(other);
        Arc::new(selector)
    }))
}

fn any_selection() -> impl Strategy<Value = Selection> {
    let one = ("[ab]", prop::sample::select(vec!["v1", "v2"]), any_namespaces(), any_selector(), any::<bool>());
    let one = one.prop_map(|(resource, version, namespaces, selector, deletes)| Selected {
        group: "g".into(),
        resource,
        version: version.into(),
        namespaces,
        selector,
        deletes,
    });
    prop::collection::vec(one, 0..4).prop_map(Selection::new)
}

proptest! {
    #[test]
    fn a_selection_survives_the_status(selection in any_selection()) {
        let status = selection.to_status();
        let stored = serde_json::to_string(&status).unwrap();
        prop_assert_eq!(Selection::from_status(&serde_json::from_str::<Vec<_>>(&stored).unwrap()), selection);
    }

    #[test]
    fn selections_are_what_they_cover(a in any_selection(), b in any_selection(), resource in "[ab]", namespace in prop::option::of("[a-e]")) {
        let kind = super::super::catalog::tests::mk_type("g", "v1", &resource, "Kind", true);
        let namespace = namespace.as_deref();
        let (in_a, in_b) = (a.covers(&kind, namespace), b.covers(&kind, namespace));
        prop_assert_eq!(a.union(&b).covers(&kind, namespace), in_a || in_b);
        prop_assert_eq!(a.minus(&b).covers(&kind, namespace), in_a && !in_b);
        prop_assert!(a.minus(&a).is_empty());
        for one in a.minus(&b).iter() {
            let is_part = |whole: &&Selected| Selected { namespaces: one.namespaces.clone(), ..(*whole).clone() } == *one;
            prop_assert!(a.iter().filter(is_part).any(|whole| one.namespaces.minus(&whole.namespaces).is_empty()));
        }
        prop_assert_eq!(a.union(&b), b.union(&a));
    }
}
