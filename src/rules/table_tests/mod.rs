//! What rules come to, as tables by topic: a small world in, routes and verdicts out.

mod access;
mod effect;
mod flux;
mod outcome;
mod overlap;
mod plan;
mod properties;
mod providers;
mod resources;
mod selectors;
mod targets;
mod versions;
mod world;

use super::compile::{Compiled, Verdict};
use super::set::{Route, Wish};
use crate::resource::{NamespacedName, Operation};
use std::collections::BTreeMap;
use world::World;

/// A row: what it shows; the lines that are put over the world of [`World::base`]; the routes, all of them; and what is
/// said about objects, as in `WatchRule ns/r NoMatchingResources part of the message | another part`. Objects of which a
/// row does not say anything must be all right.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], &'a [&'a str]);

/// Tries each of `rows`, in the order given and with all inputs turned round.
fn check(rows: &[Row<'_>]) {
    for (name, given, routes, said) in rows {
        let mut world = World::base();
        world.put(given);
        let compiled = world.compile();
        assert_eq!(routes_of(&compiled), *routes, "{name}: routes");
        check_said(name, &compiled, said);
        world.turn_round();
        let turned = world.compile();
        assert_eq!(compiled.set, turned.set, "{name}: the order of the inputs matters");
        assert_eq!(verdicts_of(&compiled), verdicts_of(&turned), "{name}: the order of the inputs matters");
        assert_eq!(compiled.rules, turned.rules, "{name}: the order of the inputs matters");
    }
}

/// Each route as `type -> target in namespaces`, with its labels, and what is wanted if that is not everything.
fn routes_of(compiled: &Compiled) -> Vec<String> {
    let types: Vec<_> = compiled.set.all().collect();
    let lines =
        types.iter().flat_map(|(kind, routes)| routes.iter().map(move |route| format!("{kind} -> {}", shown(route))));
    lines.collect()
}

fn shown(route: &Route) -> String {
    let mut text = format!("{} in {}", route.target.name, route.namespaces);
    if let Some(selector) = &route.selector {
        text.push_str(&format!(" where {selector}"));
    }
    match route.wish {
        Wish::Keep => text.push_str(" kept"),
        Wish::Mirror(operations) => {
            let missing = [Operation::Create, Operation::Update, Operation::Delete].into_iter();
            let missing = missing.filter(|operation| !operations.contains(*operation));
            missing.for_each(|operation| text.push_str(&format!(" not {operation}")));
        }
    }
    text
}

fn verdicts_of(compiled: &Compiled) -> BTreeMap<String, Verdict> {
    fn named<'a>(
        kind: &'static str,
        verdicts: &'a BTreeMap<NamespacedName, Verdict>,
    ) -> impl Iterator<Item = (String, Verdict)> + 'a {
        verdicts.iter().map(move |(name, verdict)| (format!("{kind} {name}"), verdict.clone()))
    }
    let verdicts = &compiled.verdicts;
    let of_cluster = verdicts.cluster_watch_rules.iter();
    named("GitProvider", &verdicts.providers)
        .chain(named("GitTarget", &verdicts.targets))
        .chain(named("WatchRule", &verdicts.watch_rules))
        .chain(of_cluster.map(|(name, verdict)| (format!("ClusterWatchRule {name}"), verdict.clone())))
        .collect()
}

fn check_said(row: &str, compiled: &Compiled, said: &[&str]) {
    let mut verdicts = verdicts_of(compiled);
    for line in said {
        let mut words = line.splitn(4, ' ');
        let object = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        let verdict = verdicts.remove(&object).unwrap_or_else(|| panic!("{row}: there is no {object}"));
        let rejection = verdict.expect_err(&format!("{row}: {object} is all right"));
        assert_eq!(Some(rejection.reason), words.next(), "{row}: {object}: {}", rejection.message);
        for part in words.next().unwrap_or_default().split(" | ") {
            assert!(rejection.message.contains(part), "{row}: {object}: {part:?} is not in {:?}", rejection.message);
        }
    }
    for (object, verdict) in verdicts {
        assert_eq!(verdict, Ok(()), "{row}: {object}");
    }
}
