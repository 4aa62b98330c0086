//! What else comes of a compilation: halted branches, outcomes of rules, settings of targets, what is withheld.

use super::super::compile::Compiled;
use super::super::ignore_fields::JsonPointer;
use super::super::outcome::{RuleKey, RuleOutcome};
use super::super::prune::{Prune, PruneMode};
use super::super::selection::Selection;
use super::super::set::Target;
use super::routes_of;
use super::world::World;
use crate::resource::{NamespacedName, ObjectName, ProviderKey, ProviderKind};
use std::collections::{BTreeMap, HashSet};

fn compiled(lines: &str) -> Compiled {
    let mut world = World::base();
    world.put(lines);
    world.compile()
}

#[test]
fn branches_that_lost_their_last_target_to_somebodys_word_are_halted() {
    // What is written first, what changes then, and what is halted.
    const DEV: &str = "GitProvider ns/main: {allowedBranches: ['*']}\nGitTarget ns/a: {branch: dev}";
    let table: &[(&str, &str, &[&str])] = &[
        ("", "", &[]),
        ("", "GitTarget ns/a: {suspend: true}", &["main"]),
        ("", "GitProvider ns/main: {suspend: true}", &["main"]),
        ("", "GitProvider ns/main: {allowedBranches: [dev]}", &["main"]),
        ("", "GitProvider ns/main: {allowedBranches: [dev]}\nGitTarget ns/a: {suspend: true}", &["main"]),
        ("", "GitTarget ns/a: {suspend: true}\nGitTarget ns/b: {}", &[]),
        ("GitTarget ns/b: {}", "GitTarget ns/a: {suspend: true}\nGitTarget ns/b: {suspend: true}", &["main"]),
        // Of a stranger that was never let in.
        ("", "Without: GitTarget ns/a\nGitTarget other/b: {providerRef: {name: main, namespace: ns}}", &[]),
        ("", "Without: GitTarget ns/a\nGitTarget ns/b: {suspend: true}", &[]),
        ("", "GitTarget other/b: {providerRef: {name: main, namespace: ns}}", &[]),
        ("", "GitTarget ns/a: {foreignEditGrace: soon}", &[]),
        ("", "GitProvider ns/main: {allowedBranches: []}", &[]),
        ("", "Without: GitTarget ns/a", &[]),
        (DEV, "GitTarget ns/a: {branch: dev, suspend: true}\nGitTarget ns/b: {}", &["dev"]),
    ];
    for (before, lines, expected) in table {
        let mut world = World::base();
        world.put(before);
        let written = world.compile().targets.values().map(|target| Target::clone(target)).collect();
        world.put(lines);
        for (ready, folders) in [(&written, "as before"), (&HashSet::new(), "refused since")] {
            let compiled = world.compile_with(ready, &written);
            let mut halted: Vec<_> = compiled.halted.iter().map(|key| key.branch.as_str()).collect();
            halted.sort_unstable();
            assert_eq!(halted, *expected, "{lines}; folders {folders}");
        }
    }
}

#[test]
fn only_repositories_that_can_be_used_are_there() {
    let lines = "GitProvider ns/bad: {allowedBranches: []}\nGitProvider ns/off: {suspend: true}
                 GitRepository ns/main: {url: 'https://git.example.com/f'}\nGitRepository ns/gone: {}";
    let repositories = compiled(lines).repositories;
    let name = NamespacedName::new("ns", "main");
    let of_flux = ProviderKey { kind: ProviderKind::GitRepository, name: name.clone() };
    assert!(repositories.keys().eq([&ProviderKey::ours(name), &of_flux]));
    assert_eq!(repositories[&of_flux].url.as_str(), "https://git.example.com/f");
}

/// What came of the only rule.
fn outcome(lines: &str) -> RuleOutcome {
    let compiled = compiled(lines);
    let mut outcomes = compiled.rules.into_values();
    let outcome = outcomes.next().unwrap();
    assert_eq!(outcomes.next(), None);
    outcome
}

#[test]
fn an_outcome_says_whether_all_of_a_rule_is_known() {
    // In effect, complete, and what it selects.
    let table: &[(&str, (bool, bool), &[&str])] = &[
        ("{rules: [{resources: [roles]}]}", (true, true), &["roles in ns"]),
        ("{rules: [{resources: [roles, unicorns]}]}", (true, false), &["roles in ns"]),
        ("{suspend: true, rules: [{resources: [roles]}]}", (false, true), &["roles in ns"]),
        ("{suspend: true, rules: [{resources: [unicorns]}]}", (false, false), &[]),
        ("{objectSelector: {matchLabels: {'': a}}, rules: [{resources: [roles]}]}", (false, false), &["roles in ns"]),
        ("{rules: [{resources: [roles], operations: [X]}]}", (false, false), &["roles in ns"]),
        ("{sinkRef: {name: nobody}, rules: [{resources: [roles]}]}", (false, true), &["roles in ns"]),
        ("{rules: [{resources: [roles], operations: [CREATE]}]}", (true, true), &["roles in ns without deletes"]),
        (
            "{objectSelector: {matchLabels: {a: b}}, rules: [{resources: [roles]}]}",
            (true, true),
            &["roles in ns where a=b"],
        ),
    ];
    for (spec, (in_effect, complete), selected) in table {
        let outcome = outcome(&format!("WatchRule ns/r: {spec}"));
        assert_eq!((outcome.in_effect, outcome.complete), (*in_effect, *complete), "{spec}");
        assert_eq!(shown(&outcome.selection), *selected, "{spec}");
    }
}

fn shown(selection: &Selection) -> Vec<String> {
    let lines = selection.iter().map(|one| {
        let labels = one.selector.as_ref().map(|selector| format!(" where {selector}")).unwrap_or_default();
        let deletes = if one.deletes { "" } else { " without deletes" };
        format!("{} in {}{labels}{deletes}", one.resource, one.namespaces)
    });
    lines.collect()
}

#[test]
fn too_few_watches_take_nothing_from_the_selection() {
    let outcome = outcome("Policy: {maxWatches: 1}\nWatchRule ns/r: {rules: [{resources: [roles, configmaps]}]}");
    assert_eq!(shown(&outcome.selection), ["configmaps in ns", "roles in ns"]);
    assert!(outcome.in_effect && outcome.complete);
    let resources: Vec<_> = outcome.resources.iter().map(ToString::to_string).collect();
    assert_eq!(resources, ["v1/configmaps", "rbac.authorization.k8s.io/v1/roles"]);
}

#[test]
fn a_target_that_omits_secrets_makes_another_revision_of_its_rules() {
    let of = |lines: &str| outcome(&format!("{lines}\nWatchRule ns/r: {{rules: [{{apiGroups: ['']}}]}}"));
    let plain = of("");
    for lines in ["GitTarget ns/a: {secrets: {policy: Omit}}", "Policy: {secrets: Omit}"] {
        let omitted = of(lines);
        assert_ne!(plain.revision, omitted.revision);
        assert_eq!(shown(&omitted.selection), ["configmaps in ns"]);
        // A target that stops being usable changes nothing of that.
        let suspended = of(&format!("{lines}\nGitTarget ns/a: {{secrets: {{policy: Omit}}, suspend: true}}"));
        assert_eq!(suspended.revision, omitted.revision);
    }
    assert_eq!(plain.revision, of("GitTarget ns/a: {suspend: true}").revision);
    assert_ne!(plain.revision, of("Namespace ns: {team: red}\nPolicy: {secrets: Omit}").revision);
    assert_eq!(plain.revision, of("Namespace ns: {team: green}").revision);
}

#[test]
fn settings_of_a_target_arrive() {
    let policy = |lines: &str| compiled(lines).policies[&NamespacedName::new("ns", "a")].clone();
    let caps: &[(&str, Option<usize>)] = &[
        ("", None),
        ("GitTarget ns/a: {prune: {maxDeletesPerCycle: 3}}", Some(3)),
        ("Policy: {deletesCap: 5}", Some(5)),
        ("Policy: {deletesCap: 5}\nGitTarget ns/a: {prune: {maxDeletesPerCycle: 3}}", Some(3)),
        ("Policy: {deletesCap: 2}\nGitTarget ns/a: {prune: {maxDeletesPerCycle: 3}}", Some(2)),
        ("Policy: {deletesCap: 0}\nGitTarget ns/a: {prune: {maxDeletesPerCycle: 3}}", Some(0)),
    ];
    for (lines, cap) in caps {
        assert_eq!(policy(lines).prune, Prune { mode: PruneMode::Always, cap: *cap }, "{lines}");
    }
    let modes = [("Always", PruneMode::Always), ("OnEvent", PruneMode::OnEvent), ("Never", PruneMode::Never)];
    for (name, mode) in modes {
        assert_eq!(policy(&format!("GitTarget ns/a: {{prune: {{mode: {name}}}}}")).prune.mode, mode);
    }
}

#[test]
fn ignored_fields_are_those_of_the_type_and_the_target() {
    let lines = "GitTarget ns/a: {ignoreFields: [{group: apps, resource: deployments, name: web, jsonPointers: [/spec/replicas]}, {group: '', resource: configmaps, jsonPointers: [/data/x, /data/y]}]}
                 GitTarget ns/b: {}\nWatchRule ns/r: {}";
    let compiled = compiled(lines);
    let catalog = World::base().catalog();
    let pointers = |target: &str, resource: &str, group: &str, name: &str| -> Vec<String> {
        let kind = &catalog.versions(resource, group)[0];
        let (target, object) = (NamespacedName::new("ns", target), ObjectName::new(Some("ns"), name));
        let fields = compiled.set.ignored(&target, kind).filter(|fields| fields.are_in(&object));
        fields.flat_map(|fields| &fields.pointers).map(JsonPointer::to_string).collect()
    };
    assert_eq!(pointers("a", "deployments", "apps", "web"), ["/spec/replicas"]);
    assert!(pointers("a", "deployments", "apps", "db").is_empty());
    assert_eq!(pointers("a", "configmaps", "", "any"), ["/data/x", "/data/y"]);
    assert!(pointers("a", "secrets", "", "any").is_empty() && pointers("b", "configmaps", "", "any").is_empty());
}

#[test]
fn secrets_that_open_repositories_are_withheld() {
    let lines = "GitProvider ns/main: {secretRef: {name: open}, commit: {signing: {secretRef: {name: sign}}}}
                 GitProvider ns/bad: {allowedBranches: [], secretRef: {name: bad}}
                 GitRepository ns/used: {url: 'https://git.example.com/f', secretRef: {name: used}}
                 GitRepository ns/unused: {url: 'https://git.example.com/g', secretRef: {name: unused}}
                 GitTarget ns/f: {providerRef: {group: source.toolkit.fluxcd.io, kind: GitRepository, name: used}, suspend: true}";
    let set = compiled(lines).set;
    let secrets = World::base().catalog().versions("secrets", "")[0].clone();
    let withheld = |namespace: &str, name: &str| set.is_withheld(&secrets, &ObjectName::new(Some(namespace), name));
    assert!(["open", "sign", "bad", "used"].iter().all(|name| withheld("ns", name)));
    assert!(!withheld("ns", "unused") && !withheld("other", "open"));
}

#[test]
fn a_target_that_is_not_ready_has_no_routes_and_its_rules_no_error() {
    let mut world = World::base();
    world.put("WatchRule ns/r: {}");
    let compiled = world.compile_with(&HashSet::new(), &HashSet::new());
    assert_eq!((routes_of(&compiled).len(), compiled.set.targets().count()), (0, 0));
    assert_eq!(compiled.set.selected().count(), 5);
    assert!(compiled.verdicts.watch_rules.values().all(Result::is_ok));
    assert!(compiled.targets.contains_key(&NamespacedName::new("ns", "a")));
}

#[test]
fn what_fades_is_kept_until_it_is_mirrored_again() {
    let mut world = World::base();
    world.put("WatchRule ns/r: {rules: [{resources: [widgets.example.com, roles]}]}");
    let before = world.compile().rules.remove(&RuleKey::Namespaced(NamespacedName::new("ns", "r"))).unwrap();
    world.put("WatchRule ns/r: {rules: [{resources: [roles]}]}");
    let (compiled, catalog) = (world.compile(), world.catalog());
    let fading = BTreeMap::from([
        (NamespacedName::new("ns", "a"), before.selection.clone()),
        (NamespacedName::new("ns", "unknown"), before.selection),
    ]);
    let set = compiled.set.clone().keeping(&fading, &catalog);
    let kept = Compiled { set: set.clone(), ..compiled.clone() };
    let expected = [
        "example.com/v1/widgets -> ns/a in ns kept",
        "example.com/v2/widgets -> ns/a in ns kept",
        "rbac.authorization.k8s.io/v1/roles -> ns/a in ns",
    ];
    assert_eq!(routes_of(&kept), expected);
    // Nothing more is watched, and keeping the same again changes nothing.
    assert!(set.kinds().eq(compiled.set.kinds()) && set.selected().eq(compiled.set.selected()));
    assert_eq!(set.clone().keeping(&fading, &catalog), set);
    assert_eq!(compiled.set.clone().keeping(&BTreeMap::new(), &catalog), compiled.set);
}
