//! Who wants an object, who did before, and who is ready to hear of it.

use super::lists::Source;
use super::reading::Labels;
use super::{Intake, Seen};
use crate::resource::{NamespaceSet, NamespacedName, ObjectName, Operation, Operations};
use crate::rules::{Route, RuleSet, Target, Wish};
use std::collections::HashSet;
use std::sync::Arc;

/// The targets that want an object, in order.
pub(super) type Wanters = Arc<[NamespacedName]>;

/// A target, and which operations on an object it wants.
pub(super) struct Wanted {
    pub(super) target: Arc<Target>,
    pub(super) operations: Operations,
}

impl Wanted {
    /// Each target once, in order.
    pub(super) fn once_each(mut all: Vec<Self>) -> Vec<Self> {
        all.sort_by(|a, b| a.target.name.cmp(&b.target.name));
        all.dedup_by(|a, b| a.target.name == b.target.name);
        all
    }
}

/// What a target has had of the objects of some namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// A complete list, and every change since.
    Whole,
    /// A list of them is under way.
    Partial,
}

/// What a target has had.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// Where it has had a complete list of all that it wants now; a list of the rest has to come.
    pub(super) seeded: NamespaceSet,
    /// Where it has had every change since a complete list of what it wanted then.
    pub(super) followed: NamespaceSet,
}

impl Default for Standing {
    fn default() -> Self {
        Self { seeded: NamespaceSet::NONE, followed: NamespaceSet::NONE }
    }
}

/// The few sets of targets that all objects share.
#[derive(Debug, Default)]
pub(super) struct Interned(HashSet<Wanters>);

impl Interned {
    fn get(&mut self, targets: &[NamespacedName]) -> Wanters {
        if let Some(known) = self.0.get(targets) {
            return Arc::clone(known);
        }
        // Those that no object has any more, now and then.
        if self.0.len() >= 64 && self.0.len().is_power_of_two() {
            self.0.retain(|known| Arc::strong_count(known) > 1);
        }
        let wanters = Wanters::from(targets);
        self.0.insert(Arc::clone(&wanters));
        wanters
    }
}

impl Intake {
    /// Takes over who wants what. What has become wrong of the lists that are under way is forgotten.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) {
        self.join.replicas = rules.replicas_path(&self.kind).cloned();
        let before = std::mem::replace(&mut self.rules, rules);
        let names: HashSet<NamespacedName> = [&before, &self.rules]
            .into_iter()
            .flat_map(|rules| rules.routes(&self.kind))
            .map(|route| route.target.name.clone())
            .collect();
        for name in names {
            let (otherwise, content) = self.difference(&before, &name);
            self.drop_seeds(&name, &otherwise.union(&content));
            let wanted = self.wanted_by(&self.rules, &name, Operations::NONE);
            // What was written before every change was wanted is no ground to build on.
            let written = Operations::NONE.with(Operation::Create).with(Operation::Update);
            let known = self.wanted_by(&before, &name, written);
            let Some(standing) = self.standings.get_mut(&name) else { continue };
            standing.seeded = standing.seeded.minus(&otherwise).minus(&content).intersection(&wanted);
            let shaky = otherwise.minus(&known).union(&content);
            standing.followed = standing.followed.minus(&shaky).intersection(&wanted);
            if wanted.is_empty() {
                self.standings.remove(&name);
            }
        }
    }

    /// Where the target `name` wants something else than by `before`, and where it writes something else for the same.
    fn difference(&self, before: &RuleSet, name: &NamespacedName) -> (NamespaceSet, NamespaceSet) {
        let of = |rules: &RuleSet| {
            let routes = rules.routes(&self.kind).iter().filter(|route| route.target.name == *name);
            let mut parts: Vec<(String, Wish, NamespaceSet)> = Vec::new();
            for route in routes {
                let selector = route.selector.as_ref().map(ToString::to_string).unwrap_or_default();
                match parts.iter_mut().find(|(known, wish, _)| *known == selector && *wish == route.wish) {
                    Some((.., namespaces)) => *namespaces = namespaces.union(&route.namespaces),
                    None => parts.push((selector, route.wish, route.namespaces.clone())),
                }
            }
            parts
        };
        let (old, new) = (of(before), of(&self.rules));
        let beyond = |these: &[(String, Wish, NamespaceSet)], those: &[(String, Wish, NamespaceSet)]| {
            these.iter().fold(NamespaceSet::NONE, |all, (selector, wish, namespaces)| {
                let other = those.iter().find(|(known, same, _)| known == selector && same == wish);
                all.union(&other.map_or_else(|| namespaces.clone(), |(.., other)| namespaces.minus(other)))
            })
        };
        let otherwise = beyond(&old, &new).union(&beyond(&new, &old));
        let place =
            |rules: &RuleSet| rules.target(name).map(|target| (target.branch.clone(), target.base_folder.clone()));
        let same_content = place(before) == place(&self.rules)
            && before.ignored(name, &self.kind).eq(self.rules.ignored(name, &self.kind))
            && !self.rules.withholds_otherwise(before, &self.kind);
        (otherwise, if same_content { NamespaceSet::NONE } else { NamespaceSet::ALL })
    }

    /// Where `rules` want objects in the target `name`, with at least `operations`.
    pub(super) fn wanted_by(&self, rules: &RuleSet, name: &NamespacedName, operations: Operations) -> NamespaceSet {
        let mirrored = rules.routes(&self.kind).iter().filter(|route| {
            let wanted = route.wish.operations();
            route.target.name == *name && route.wish != Wish::Keep && wanted.union(operations) == wanted
        });
        mirrored.fold(NamespaceSet::NONE, |wanted, route| wanted.union(&route.namespaces))
    }

    /// `target` needs everything again. Whatever it may have lost, its worker knows about.
    pub fn unseed(&mut self, target: &NamespacedName) {
        if let Some(standing) = self.standings.get_mut(target) {
            standing.seeded = NamespaceSet::NONE;
        }
        self.drop_seeds(target, &NamespaceSet::ALL);
    }

    /// Whether `target` has had a complete list of the objects in `namespace`.
    fn is_seeded(&self, target: &NamespacedName, namespace: Option<&str>) -> bool {
        self.standings.get(target).is_some_and(|standing| standing.seeded.contains(namespace))
    }

    /// Whether `target` is told of changes of objects in `namespace`: it has had a complete list of them, or one is under
    /// way, in which what was told live counts more than the list.
    #[must_use]
    pub fn is_told(&self, target: &NamespacedName, namespace: Option<&str>) -> bool {
        self.is_seeded(target, namespace) || self.is_seeding(target, namespace, None)
    }

    /// Where lists are to be made for targets that have not had them, within `reach`.
    #[must_use]
    pub fn missing(&self, reach: &NamespaceSet) -> NamespaceSet {
        let names: HashSet<_> = self.rules.routes(&self.kind).iter().map(|route| &route.target.name).collect();
        names.into_iter().fold(NamespaceSet::NONE, |all, name| all.union(&self.missing_for(name, reach)))
    }

    pub(super) fn missing_for(&self, name: &NamespacedName, reach: &NamespaceSet) -> NamespaceSet {
        let wanted = self.wanted_by(&self.rules, name, Operations::NONE).intersection(reach);
        let had = self.standings.get(name).map_or(NamespaceSet::NONE, |standing| standing.seeded.clone());
        wanted.minus(&had).minus(&self.seeding(name))
    }

    /// What `target` has had of the objects in `namespace`, the list `but` aside.
    pub(super) fn footing(
        &self,
        target: &NamespacedName,
        namespace: Option<&str>,
        but: Option<&Source>,
    ) -> Option<Footing> {
        if self.standings.get(target).is_some_and(|standing| standing.followed.contains(namespace)) {
            return Some(Footing::Whole);
        }
        self.is_seeding(target, namespace, but).then_some(Footing::Partial)
    }

    /// Who wants the object `name` with `labels` mirrored. Without labels: who might.
    pub(super) fn wanting(&self, name: &ObjectName, labels: Option<&Labels>) -> Vec<Wanted> {
        let Some(labels) = labels else { return self.reaching(name) };
        if self.rules.is_withheld(&self.kind, name) {
            return Vec::new();
        }
        let wanting = self.rules.wanting(&self.kind, name.namespace.as_deref(), labels);
        let mirrored = wanting.filter_map(|(target, wish)| match wish {
            Wish::Mirror(operations) => Some(Wanted { target: Arc::clone(target), operations }),
            Wish::Keep => None,
        });
        mirrored.collect()
    }

    /// Who wants objects in the namespace of the object `name` mirrored, whatever their labels.
    pub(super) fn reaching(&self, name: &ObjectName) -> Vec<Wanted> {
        let mut reaching: Vec<Wanted> = Vec::new();
        if self.rules.is_withheld(&self.kind, name) {
            return reaching;
        }
        for route in self.rules.routes(&self.kind) {
            let Wish::Mirror(operations) = route.wish else { continue };
            if !route.namespaces.contains(name.namespace.as_deref()) {
                continue;
            }
            match reaching.last_mut().filter(|last| last.target.name == route.target.name) {
                Some(last) => last.operations = last.operations.union(operations),
                None => reaching.push(Wanted { target: Arc::clone(&route.target), operations }),
            }
        }
        reaching
    }

    /// Whether any rule reaches into the namespace of the object `name`.
    pub(super) fn is_covered(&self, name: &ObjectName) -> bool {
        let mut routes = self.routes().iter();
        let covers = |route: &Route| route.namespaces.contains(name.namespace.as_deref());
        routes.any(covers) && !self.rules.is_withheld(&self.kind, name)
    }

    /// Whether nobody wants or keeps the object `name` by its labels, has it from before or awaits it.
    pub(super) fn is_unwanted(&self, name: &ObjectName, labels: &Labels) -> bool {
        let had = self.objects.get(name).and_then(|seen| seen.wanters.as_ref());
        had.is_none_or(|had| had.is_empty())
            && !self.awaited.contains_key(name)
            && self.rules.wanting(&self.kind, name.namespace.as_deref(), labels).next().is_none()
    }

    /// Whether what `target` has of the object `name` with `labels` is to stay as it is.
    fn keeps(&self, target: &NamespacedName, name: &ObjectName, labels: &Labels) -> bool {
        let mut wanting = self.rules.wanting(&self.kind, name.namespace.as_deref(), labels);
        wanting.any(|(known, wish)| known.name == *target && wish == Wish::Keep)
    }

    /// Who, as far as labels decide, wants the object `name` now. Whoever keeps what it has of it counts as one who wants
    /// it if he did `before`.
    pub(super) fn wanters(
        &mut self,
        name: &ObjectName,
        labels: Option<&Labels>,
        before: Option<&Wanters>,
    ) -> Option<Wanters> {
        if !self.rules.reads_labels(&self.kind) {
            return None;
        }
        let Some(labels) = labels else { return before.cloned() };
        let mut names: Vec<NamespacedName> =
            self.wanting(name, Some(labels)).into_iter().map(|wanted| wanted.target.name.clone()).collect();
        let kept = before.into_iter().flat_map(|before| before.iter());
        let kept: Vec<_> = kept.filter(|target| self.keeps(target, name, labels)).cloned().collect();
        if !kept.is_empty() {
            names.extend(kept);
            names.sort();
            names.dedup();
        }
        Some(self.interned.get(&names))
    }

    /// From whom the object `name` is to be taken: it is in their namespaces, they had it, and no label keeps it there.
    pub(super) fn losing(&self, name: &ObjectName, had: &Wanters, wanters: Option<&Wanters>) -> Vec<Wanted> {
        let is_lost = |target: &NamespacedName| {
            had.binary_search(target).is_ok() && wanters.is_none_or(|now| now.binary_search(target).is_err())
        };
        self.reaching(name).into_iter().filter(|wanted| is_lost(&wanted.target.name)).collect()
    }

    /// Who has a file of the object `name`, which is gone: `seen` tells how it was before, `labels` what it has at the end.
    pub(super) fn holding(&self, name: &ObjectName, seen: Option<&Seen>, labels: Option<&Labels>) -> Vec<Wanted> {
        if !self.rules.reads_labels(&self.kind) {
            return self.wanting(name, Some(&Labels::new()));
        }
        let remembered = seen.and_then(|seen| seen.wanters.as_ref());
        let wanting = self.wanting(name, labels);
        let holds = |target: &NamespacedName| match remembered {
            Some(remembered) => remembered.binary_search(target).is_ok(),
            None => wanting.iter().any(|wanted| wanted.target.name == *target),
        };
        let keeps = |target: &NamespacedName| labels.is_some_and(|labels| self.keeps(target, name, labels));
        let reaching = self.reaching(name).into_iter();
        reaching.filter(|wanted| holds(&wanted.target.name) && !keeps(&wanted.target.name)).collect()
    }
}
