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

/// Tries each of `rows`, in the order given and with all inputs turned round, and tells all that fail.
fn check(rows: &[Row<'_>]) {
    let failures: Vec<_> =
        rows.iter().filter_map(|row| check_row(row).err().map(|why| format!("{}: {why}", row.0))).collect();
    assert!(failures.is_empty(), "{} of {} rows:\n{}", failures.len(), rows.len(), failures.join("\n"));
}

fn check_row((_, given, routes, said): &Row<'_>) -> Result<(), String> {
    let mut world = World::base();
    world.put(given);
    let compiled = world.compile();
    let found = routes_of(&compiled);
    if found != *routes {
        return Err(format!("routes are {found:#?}"));
    }
    check_said(&compiled, said)?;
    world.turn_round();
    let turned = world.compile();
    let is_same =
        compiled.set == turned.set && verdicts_of(&compiled) == verdicts_of(&turned) && compiled.rules == turned.rules;
    if is_same { Ok(()) } else { Err("the order of the inputs matters".to_owned()) }
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

fn check_said(compiled: &Compiled, said: &[&str]) -> Result<(), String> {
    let mut verdicts = verdicts_of(compiled);
    for line in said {
        let mut words = line.splitn(4, ' ');
        let object = format!("{} {}", words.next().unwrap(), words.next().unwrap());
        let verdict = verdicts.remove(&object).ok_or_else(|| format!("there is no {object}"))?;
        let Err(rejection) = verdict else { return Err(format!("{object} is all right")) };
        if words.next() != Some(rejection.reason) {
            return Err(format!("{object} is {rejection:?}"));
        }
        let mut parts = words.next().unwrap_or_default().split(" | ");
        if let Some(part) = parts.find(|part| !rejection.message.contains(part)) {
            return Err(format!("{object}: {part:?} is not in {:?}", rejection.message));
        }
    }
    let wrong = verdicts.into_iter().find(|(_, verdict)| verdict.is_err());
    wrong.map_or(Ok(()), |wrong| Err(format!("{wrong:?}")))
}
