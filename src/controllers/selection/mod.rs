//! Remembers what each rule has selected, so that what is selected no more can go: when it is due, and not before.
//!
//! | what happens | what becomes of what only that rule selected |
//! |---|---|
//! | namespaces are matched no more, a type is served no more | it is to go at once |
//! | the rule is edited or deleted | it fades: it is kept for [`FADE`], then it is to go |
//! | the rule is not in effect, or not all of it can be understood | it is kept |
//! | nobody knows which rule it was (a restart) | it fades as soon as all rules of the target are in effect |
//!
//! What is to go stays remembered until the worker of the branch says that no file of it is left. Labels play no part in
//! that: files of objects whose labels match no more are removed by whoever watches these.

mod look;
mod parts;
#[cfg(test)]
mod tests;

pub use self::look::look;
pub use self::parts::lost;
use self::parts::union;
use crate::resource::NamespacedName;
use crate::rules::catalog::Presence;
use crate::rules::{Selected, Selection};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long files outlive the edit or the end of the rule that selected their objects: one that is deleted and made anew
/// changes nothing.
pub const FADE: Duration = Duration::from_secs(60);

/// What there is at one moment.
#[derive(Debug)]
pub struct Look {
    /// Every target that exists, whether or not it can be used or even read.
    pub targets: Vec<TargetLook>,
    /// Every rule that exists, whether or not it is in effect or can even be read.
    pub rules: Vec<RuleLook>,
}

/// A target.
#[derive(Clone, Debug)]
pub struct TargetLook {
    /// Its name.
    pub name: NamespacedName,
    /// Its uid: one that was deleted and made anew has no past.
    pub uid: String,
    /// What its status holds; `None` while it cannot be read.
    pub stored: Option<Selection>,
    /// What of that which was to go has no files left, as its worker says.
    pub swept: Option<Arc<Selection>>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleLook {
    /// Its uid.
    pub uid: Arc<str>,
    /// What people have written about what it selects.
    pub terms: Terms,
    /// Where it writes.
    pub sink: Sink,
    /// What it selects there, whether or not that is mirrored at the moment.
    pub selection: Selection,
    /// Whether it is in effect.
    pub effect: Effect,
}

/// Where a rule writes, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sink {
    /// To this target.
    Target(NamespacedName),
    /// To some target of this namespace: it cannot be read.
    Namespace(Arc<str>),
    /// To any target: it cannot be read.
    Anywhere,
}

/// What people have written about what a rule selects. Other terms mean that somebody has edited it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The rule's `metadata.generation`.
    pub generation: i64,
    /// Whether the target leaves Secrets out.
    pub omits_secrets: bool,
}

/// How far a rule is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Entirely.
    Full,
    /// What it selects is mirrored, but something that it asks for is not understood or not possible.
    Partial,
    /// Not at all: it is suspended, wrong, or its target cannot be used. What it selected when it last was in effect may
    /// be more than it says now.
    Kept,
}

/// The memory.
#[derive(Debug, Default)]
pub struct Selections {
    targets: BTreeMap<NamespacedName, Memory>,
    /// By uid of the rule and target.
    rules: BTreeMap<(Arc<str>, NamespacedName), Remembered>,
}

/// What a rule has selected for a target.
#[derive(Debug)]
struct Remembered {
    /// When it was last wholly in effect, or first seen.
    terms: Terms,
    selection: Selection,
    /// What of it the rule selects now.
    current: Selection,
}

/// The past of a target.
#[derive(Debug, Default)]
struct Memory {
    uid: String,
    /// What an earlier process left, of which nobody knows the rule.
    restored: Selection,
    fading: Vec<Fading>,
    gone: Arc<Selection>,
}

#[derive(Debug)]
struct Fading {
    selection: Selection,
    since: Instant,
}

impl Selections {
    /// Takes in what there is `now`. `presence` tells whether a type is served, by group and resource.
    pub fn observe(&mut self, look: Look, presence: &dyn Fn(&str, &str) -> Presence, now: Instant) {
        let Look { targets, rules } = look;
        self.observe_targets(targets);
        self.rules.values_mut().for_each(|rule| rule.current = Selection::default());
        let known: BTreeSet<Arc<str>> = rules.iter().map(|rule| Arc::clone(&rule.uid)).collect();
        let (mut going, mut fading) = (Parts::default(), Parts::default());
        let ended = self.rules.extract_if(.., |(uid, _), _| !known.contains(uid));
        ended.for_each(|((_, target), rule)| fading.add(&target, rule.selection));
        // A target of which a rule is not wholly in effect may hold what only that rule has selected.
        let mut unclear = BTreeSet::new();
        for rule in rules {
            if rule.effect != Effect::Full {
                unclear.insert(rule.sink.clone());
            }
            self.observe_rule(rule, presence, &mut going, &mut fading);
        }
        for (name, memory) in &mut self.targets {
            let covered = covered(&self.rules, name);
            let sinks = [Sink::Target(name.clone()), Sink::Namespace(Arc::clone(&name.namespace)), Sink::Anywhere];
            let is_unclear = sinks.iter().any(|sink| unclear.contains(sink));
            memory.settle(&covered, is_unclear, presence, (going.take(name), fading.take(name)), now);
        }
    }

    fn observe_targets(&mut self, targets: Vec<TargetLook>) {
        let mut before = std::mem::take(&mut self.targets);
        for TargetLook { name, uid, stored, swept } in targets {
            let mut memory = match (before.remove(&name).filter(|memory| memory.uid == uid), stored) {
                (Some(memory), _) => memory,
                (None, Some(restored)) => {
                    self.rules.retain(|(_, target), _| *target != name);
                    Memory { uid, restored, ..Memory::default() }
                }
                (None, None) => continue,
            };
            if swept.is_some_and(|swept| swept == memory.gone) {
                memory.gone = Arc::default();
            }
            self.targets.insert(name, memory);
        }
        self.rules.retain(|(_, target), _| self.targets.contains_key(target));
    }

    fn observe_rule(
        &mut self,
        rule: RuleLook,
        presence: &dyn Fn(&str, &str) -> Presence,
        going: &mut Parts,
        fading: &mut Parts,
    ) {
        let RuleLook { uid, terms, sink, selection, effect } = rule;
        let target = if let Sink::Target(target) = sink { Some(target) } else { None };
        if effect == Effect::Full {
            // It writes elsewhere now.
            let elsewhere = |(of, at): &(Arc<str>, NamespacedName)| *of == uid && Some(at) != target.as_ref();
            let left = self.rules.extract_if(.., |key, _| elsewhere(key));
            left.for_each(|((_, target), rule)| fading.add(&target, rule.selection));
        }
        let Some(target) = target.filter(|target| self.targets.contains_key(target)) else { return };
        let known = self.rules.entry((uid, target.clone())).or_insert_with(|| Remembered {
            terms,
            selection: Selection::default(),
            current: Selection::default(),
        });
        let mut kept = Vec::new();
        for part in lost(&known.selection, &selection) {
            let still_asks = || selection.iter().any(|one| one.group == part.group && one.resource == part.resource);
            match effect {
                Effect::Full if known.terms != terms => fading.add(&target, Selection::new([part])),
                Effect::Full | Effect::Partial
                    if known.terms == terms
                        && (still_asks() || presence(&part.group, &part.resource) == Presence::Gone) =>
                {
                    going.add(&target, Selection::new([part]));
                }
                _ => kept.push(part),
            }
        }
        if effect == Effect::Full {
            known.terms = terms;
        }
        known.selection = union([&Selection::new(kept), &selection]);
        known.current = selection;
    }

    /// When something fades out next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.targets.values().flat_map(|memory| &memory.fading).map(|fading| fading.since + FADE).min()
    }

    /// What is kept in the target although no rule selects it at the moment.
    #[must_use]
    pub fn kept(&self, target: &NamespacedName) -> Selection {
        let Some(memory) = self.targets.get(target) else { return Selection::default() };
        let of_target = || self.rules.iter().filter(|((_, at), _)| at == target).map(|(_, rule)| rule);
        let current = union(of_target().map(|rule| &rule.current));
        Selection::new(lost(&union(of_target().map(|rule| &rule.selection).chain(memory.past())), &current))
    }

    /// What rules select or keep in the target, fading included.
    #[must_use]
    pub fn selection(&self, target: &NamespacedName) -> Selection {
        let Some(memory) = self.targets.get(target) else { return Selection::default() };
        union([&covered(&self.rules, target)].into_iter().chain(memory.past()))
    }

    /// What was selected and is to go.
    #[must_use]
    pub fn gone(&self, target: &NamespacedName) -> Arc<Selection> {
        self.targets.get(target).map(|memory| Arc::clone(&memory.gone)).unwrap_or_default()
    }

    /// All that the status of the target has to hold: what may have files. `None` while nothing is known of the target.
    #[must_use]
    pub fn stored(&self, target: &NamespacedName) -> Option<Selection> {
        self.targets.get(target).map(|memory| union([&self.selection(target), &*memory.gone]))
    }
}

/// What rules of `target` select, or did when they were last in effect.
fn covered(rules: &BTreeMap<(Arc<str>, NamespacedName), Remembered>, target: &NamespacedName) -> Selection {
    union(rules.iter().filter(|((_, at), _)| at == target).map(|(_, rule)| &rule.selection))
}

impl Memory {
    /// What is there without a rule, and stays for now.
    fn past(&self) -> impl Iterator<Item = &Selection> {
        std::iter::once(&self.restored).chain(self.fading.iter().map(|fading| &fading.selection))
    }

    /// Moves on what is not `covered`: what is restored to what fades, unless it is unclear whose it is or what there is; what
    /// fades to what goes when it is due; with what begins to go or to fade right now.
    fn settle(
        &mut self,
        covered: &Selection,
        is_unclear: bool,
        presence: &dyn Fn(&str, &str) -> Presence,
        (going, fading): (Selection, Selection),
        now: Instant,
    ) {
        let restored = lost(&self.restored, covered);
        let (begins, stays): (Vec<Selected>, Vec<Selected>) =
            restored.into_iter().partition(|part| match presence(&part.group, &part.resource) {
                Presence::Served => !is_unclear,
                // A wildcard would select it, and does not know that it is there.
                Presence::Unknown => false,
                Presence::Gone => true,
            });
        self.restored = Selection::new(stays);
        self.fading.push(Fading { selection: union([&fading, &Selection::new(begins)]), since: now });
        let mut going = vec![going];
        for mut fading in std::mem::take(&mut self.fading) {
            fading.selection = Selection::new(lost(&fading.selection, covered));
            if now.duration_since(fading.since) >= FADE {
                going.push(fading.selection);
            } else if !fading.selection.is_empty() {
                self.fading.push(fading);
            }
        }
        // Where removals are not wanted, nothing is to go.
        let going = going.iter().flat_map(Selection::iter).filter(|part| part.deletes).cloned();
        let gone = union([&*self.gone, &Selection::new(going)]);
        let stays = union(std::iter::once(covered).chain(self.past()));
        let gone = gone.minus(&stays);
        if gone != *self.gone {
            self.gone = Arc::new(gone);
        }
    }
}

/// Parts of selections, by target.
#[derive(Debug, Default)]
struct Parts(BTreeMap<NamespacedName, Vec<Selection>>);

impl Parts {
    fn add(&mut self, target: &NamespacedName, part: Selection) {
        self.0.entry(target.clone()).or_default().push(part);
    }

    fn take(&mut self, target: &NamespacedName) -> Selection {
        union(self.0.remove(target).iter().flatten())
    }
}
