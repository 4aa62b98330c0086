//! The join against a simulated API server whose truth is known: many writers, retries on newer bases, conflicts,
//! requests that are denied later, writes that change nothing, status writes with metadata, finalizers, scaling,
//! eviction, watch breaks and lists, lost, replayed and forged records.

mod object;
mod world;

use super::{Limits, Request, Tier};
use object::without_managers;
use std::collections::BTreeMap;
use world::{Dangers, FRAMED, Judged, NAMES, World, run};

/// Interleavings of the main property; `ATTRIBUTION_INTERLEAVINGS` makes them more.
const INTERLEAVINGS: u64 = 100_000;

fn interleavings() -> u64 {
    std::env::var("ATTRIBUTION_INTERLEAVINGS").ok().and_then(|number| number.parse().ok()).unwrap_or(INTERLEAVINGS)
}

/// Runs `check` on worlds of so many seeds, on two threads, and adds up what it counts.
fn count(
    worlds: u64,
    limits: Limits,
    dangers: Dangers,
    check: impl Fn(&World, &mut BTreeMap<&'static str, u64>) + Sync,
) -> BTreeMap<&'static str, u64> {
    const THREADS: u64 = 2;
    let part = |first: u64| {
        let mut counts = BTreeMap::new();
        (first..worlds).step_by(THREADS as usize).for_each(|seed| check(&run(seed, limits, dangers), &mut counts));
        counts
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || part(first))).collect();
        let mut sum = BTreeMap::new();
        for (key, number) in parts.into_iter().flat_map(|part| part.join().unwrap()) {
            *sum.entry(key).or_default() += number;
        }
        sum
    })
}

fn name(author: Option<u8>) -> Option<&'static str> {
    author.map(|user| NAMES[usize::from(user)])
}

fn author(change: &Judged) -> Option<&str> {
    change.verdict.author().map(|author| author.user.name.as_str())
}

/// Whether `user` is the only one who had a part in `change`. What is written without a call changes no file.
fn made(change: &Judged, user: &str) -> bool {
    let is_writer = |author: &Option<u8>| name(*author) == Some(user);
    let had_no_part = |author: &Option<u8>| author.is_none() && change.content.is_some();
    change.authors.iter().any(is_writer) && change.authors.iter().all(|author| is_writer(author) || had_no_part(author))
}

/// Whether `user` really asked, before, for just this on just this version: nobody could tell the difference.
fn asked_for_it(world: &World, change: &Judged, user: &str) -> bool {
    world.calls[..change.calls].iter().any(|(record, _)| {
        let same_base = record.request.base().map(|base| &**base) == change.previous.as_deref();
        let same = match (&change.content, &record.request) {
            (Some(content), Request::Scale { replicas, .. }) => change.scaled && *replicas == content.replicas(),
            (Some(content), request) => request.asked().is_some_and(|asked| asked.content == content.fingerprint()),
            (None, Request::Evict) => return record.user.name == user,
            (None, request) => matches!(request, Request::Delete { .. }),
        };
        record.user.name == user && same_base && same && record.uid == change.uid
    })
}

#[test]
fn with_every_record_the_author_is_right_or_the_verdict_says_that_it_is_not_known() {
    let counts = count(interleavings(), Limits::default(), Dangers::default(), |world, counts| {
        for change in &world.judged {
            let tier = change.verdict.tier();
            *counts.entry(tier.as_str()).or_default() += 1;
            *counts.entry("all").or_default() += 1;
            let candidates = change.verdict.candidates();
            let last = name(*change.authors.last().unwrap());
            match author(change) {
                Some(user) => assert!(made(change, user), "{change:?}"),
                None if tier == Tier::Ambiguous => {
                    assert!(
                        candidates.len() > 1 && candidates.iter().any(|user| Some(user.as_str()) == last),
                        "{change:?}"
                    );
                }
                None if tier == Tier::Relisted => {
                    assert!(last.is_none() || candidates.iter().any(|user| Some(user.as_str()) == last), "{change:?}");
                }
                // A live watch shows every version, and each that changes a file has had its call.
                None => assert!(!change.live, "{change:?}"),
            }
        }
    });
    println!("Tiers of {} changes in {} interleavings:", counts["all"], interleavings());
    for (tier, number) in counts.iter().filter(|(tier, _)| **tier != "all") {
        println!("  {tier}: {:.2} %", *number as f64 * 100.0 / counts["all"] as f64);
    }
    for tier in ["exact", "version", "relisted", "inferred", "ambiguous", "none"] {
        assert!(counts.get(tier).is_some_and(|number| *number > 0), "the model never reaches {tier}: {counts:?}");
    }
}

#[test]
fn with_records_that_found_no_room_the_author_is_right_or_unknown() {
    let limits = Limits { records_per_uid: 2, ..Limits::default() };
    for limits in [limits, Limits { records: 3, ..Limits::default() }, Limits { bytes: 900, ..Limits::default() }] {
        count(5_000, limits, Dangers::default(), |world, _| {
            for change in &world.judged {
                assert!(author(change).is_none_or(|user| made(change, user)), "{change:?}");
            }
        });
    }
}

const DANGERS: Dangers = Dangers { lost: 30, forged: true };

#[test]
fn whoever_is_named_wrongly_had_really_asked_for_just_that() {
    let counts = count(20_000, Limits::default(), DANGERS, |world, counts| {
        for change in &world.judged {
            let Some(user) = author(change) else { continue };
            *counts.entry("named").or_default() += 1;
            if !made(change, user) {
                *counts.entry("wrong").or_default() += 1;
                assert!(asked_for_it(world, change, user), "{change:?}");
            }
        }
    });
    println!("With 30 % of the calls lost and records forged: {counts:?}");
    assert!(counts["wrong"] > 0, "the model does not reach what it is for");
}

#[test]
fn a_forged_record_names_nobody_but_where_the_real_call_for_a_deletion_or_a_scale_never_came() {
    let forger = NAMES[usize::from(FRAMED)];
    let counts = count(20_000, Limits::default(), DANGERS, |world, counts| {
        for change in world.judged.iter().filter(|change| author(change) == Some(forger)) {
            let is_end_or_scale = change.content.is_none() || change.scaled;
            assert!(is_end_or_scale && change.verdict.tier() != Tier::Exact, "{change:?}");
            *counts.entry("framed").or_default() += 1;
        }
    });
    assert!(counts["framed"] > 0, "the model does not reach what it is for");
    count(20_000, Limits::default(), Dangers { lost: 0, forged: true }, |world, _| {
        for change in world.judged.iter().filter(|change| author(change) == Some(forger)) {
            assert!(change.authors.iter().all(Option::is_none), "{change:?}");
        }
    });
}

/// Rules that are simpler than the product's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weaker {
    NewestOfTheObject,
    WithoutContent,
    WithoutOldVersion,
    WithoutManagers,
}

/// Whom a weaker rule names as the author of a live change.
fn named_by(rule: Weaker, world: &World, change: &Judged) -> Option<String> {
    let content = change.content.as_ref()?.fingerprint();
    let arrived = world.calls[..change.calls].iter().filter(|(_, arrived)| *arrived).map(|(record, _)| record);
    let of_object = arrived.filter(|record| record.uid == change.uid);
    let is_candidate = |record: &&super::Record| {
        let Some(asked) = record.request.asked() else { return rule == Weaker::NewestOfTheObject };
        let same_base = record.request.base().map(|base| &**base) == change.previous.as_deref();
        match rule {
            Weaker::NewestOfTheObject => true,
            Weaker::WithoutContent => same_base,
            Weaker::WithoutOldVersion => asked.content == content,
            Weaker::WithoutManagers => same_base && without_managers(asked.content) == without_managers(content),
        }
    };
    let users: Vec<&str> = of_object.filter(is_candidate).map(|record| record.user.name.as_str()).collect();
    let last = *users.last()?;
    let is_alone = rule == Weaker::NewestOfTheObject || users.iter().all(|user| *user == last);
    is_alone.then(|| last.to_owned())
}

#[test]
fn every_simpler_rule_is_wrong_somewhere() {
    use Weaker::{NewestOfTheObject, WithoutContent, WithoutManagers, WithoutOldVersion};
    for rule in [NewestOfTheObject, WithoutContent, WithoutOldVersion, WithoutManagers] {
        let counts = count(20_000, Limits::default(), DANGERS, |world, counts| {
            for change in world.judged.iter().filter(|change| change.live && change.content.is_some()) {
                let Some(user) = named_by(rule, world, change) else { continue };
                *counts.entry("named").or_default() += 1;
                let is_wrong = !made(change, &user) && !asked_for_it(world, change, &user);
                *counts.entry("wrong").or_default() += u64::from(is_wrong);
            }
        });
        println!("{rule:?}: {counts:?}");
        assert!(counts["wrong"] > 0, "{rule:?} would do as well: {counts:?}");
    }
}
