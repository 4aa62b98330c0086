//! Lists: of a scope, from which its watch goes on, and of what is new to a target, beside the watches that run.
use super::audience::Wanted;
use super::beside::Awaited;
use super::reading::{Read, Reading, number};
use super::{Delivery, Intake, RawObject, Sight, identify, is_terminating};
use crate::attribution::Verdict;
use crate::change::{ObjectVersion, SeedItem, SeedScope};
use crate::git::mailbox::Message;
use crate::resource::{NamespaceSet, NamespacedName, ObjectName, Operation};
use crate::rules::{Target, WatchScope};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// What a list is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// For the watch that goes on from it.
    Scope(WatchScope),
    /// For targets to which something is new.
    Side,
}

/// A list while it arrives.
#[derive(Debug)]
pub(super) struct Listing {
    /// The namespaces that it is of.
    range: NamespaceSet,
    seen: HashSet<ObjectName>,
    seeds: Arc<[Seed]>,
    /// Whether all its seeds have become worthless.
    spoiled: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Seed {
    target: Arc<Target>,
    pub(super) scope: Arc<SeedScope>,
    sweep: NamespaceSet,
}

/// What a watch that runs has yet to show of an object before a list can take over from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    /// This version, or a later one.
    Version(Option<u64>),
    /// Its end.
    End,
}

impl Intake {
    /// The list `source` of the objects in `range` starts; one that had started before is worthless.
    pub fn begin(&mut self, source: Source, range: NamespaceSet) -> Vec<Delivery> {
        self.lists.remove(&source);
        self.ahead.retain(|name, _| !range.contains(name.namespace.as_deref()));
        let mut targets: Vec<Arc<Target>> = self.routes().iter().map(|route| Arc::clone(&route.target)).collect();
        targets.dedup_by(|a, b| a.name == b.name);
        let mut seeds: Vec<Seed> = Vec::new();
        for target in targets {
            let namespaces = self.missing_for(&target.name, &range);
            if namespaces.is_empty() {
                continue;
            }
            let sweep = self.swept(&target.name).intersection(&namespaces);
            let (folder, kind) = (target.base_folder.clone(), Arc::clone(&self.kind));
            let scope = Arc::new(SeedScope { target: target.name.clone(), folder, kind, namespaces });
            seeds.push(Seed { target, scope, sweep });
        }
        let deliveries = seeds.iter().map(|seed| seed.deliver(Message::SeedBegin(Arc::clone(&seed.scope)))).collect();
        let listing = Listing { range, seen: HashSet::new(), seeds: seeds.into(), spoiled: false };
        self.lists.insert(source, listing);
        deliveries
    }

    /// The namespaces in which `target` wants files to go whose object is gone, whatever its labels were.
    fn swept(&self, target: &NamespacedName) -> NamespaceSet {
        let (mut all, mut some, mut not) = (NamespaceSet::NONE, NamespaceSet::NONE, NamespaceSet::NONE);
        for route in self.routes().iter().filter(|route| route.target.name == *target) {
            let deletes = route.wish.operations().contains(Operation::Delete);
            let set = match (deletes, &route.selector) {
                (true, None) => &mut all,
                (true, Some(_)) => &mut some,
                (false, _) => &mut not,
            };
            *set = set.union(&route.namespaces);
        }
        // A file does not tell its object's last labels.
        all.union(&some.minus(&not))
    }

    /// The list `source` will not be completed.
    pub fn abandon(&mut self, source: &Source) {
        self.lists.remove(source);
    }

    /// The lists that serve nobody any more, since what was wanted of them has changed. Each is told once.
    pub fn take_spoiled(&mut self) -> Vec<Source> {
        let lists = self.lists.iter_mut();
        lists.filter_map(|(source, listing)| std::mem::take(&mut listing.spoiled).then(|| source.clone())).collect()
    }

    pub(super) fn drop_seeds(&mut self, target: &NamespacedName, namespaces: &NamespaceSet) {
        for listing in self.lists.values_mut() {
            let is_wrong = |seed: &&Seed| {
                seed.target.name == *target && !seed.scope.namespaces.intersection(namespaces).is_empty()
            };
            if listing.seeds.iter().any(|seed| is_wrong(&seed)) {
                listing.seeds = listing.seeds.iter().filter(|seed| !is_wrong(seed)).cloned().collect();
                listing.spoiled = listing.seeds.is_empty();
            }
        }
    }

    /// Where lists for `target` are under way.
    pub(super) fn seeding(&self, target: &NamespacedName) -> NamespaceSet {
        let seeds = self.lists.values().flat_map(|listing| listing.seeds.iter());
        let of_target = seeds.filter(|seed| seed.target.name == *target);
        of_target.fold(NamespaceSet::NONE, |all, seed| all.union(&seed.scope.namespaces))
    }

    pub(super) fn is_seeding(&self, target: &NamespacedName, namespace: Option<&str>, but: Option<&Source>) -> bool {
        let others = self.lists.iter().filter(|(source, _)| but != Some(source));
        let mut seeds = others.flat_map(|(_, listing)| listing.seeds.iter());
        seeds.any(|seed| seed.covers(target, namespace))
    }

    /// One object of the list `source`.
    pub fn listed(&mut self, source: &Source, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        let Some(listing) = self.lists.get_mut(source) else { return Vec::new() };
        if *source != Source::Side {
            listing.seen.insert(name.clone());
        }
        let seeds = Arc::clone(&listing.seeds);
        if *source == Source::Side || self.live.contains(name.namespace.as_deref()) {
            return self.listed_beside(source, &seeds, name, &version, object);
        }
        if is_terminating(object) {
            return self.terminating(name, version, object, Sight::List, Some(source), now);
        }
        let reading = self.read(object, &name);
        let mut deliveries = self.items(&seeds, &name, &reading);
        deliveries.extend(self.replaced(source, &name, &version, &reading, now));
        deliveries.extend(self.observe(name, version, reading, Sight::List, Some(source), now));
        deliveries
    }

    /// What the list says of an object to those that it is for.
    pub(super) fn items(&self, seeds: &[Seed], name: &ObjectName, reading: &Reading<'_>) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let namespace = name.namespace.as_deref();
        if !seeds.iter().any(|seed| seed.scope.namespaces.contains(namespace)) {
            return deliveries;
        }
        // What asks to be left alone keeps its file, whatever its labels.
        let labels = reading.labels.as_ref().filter(|_| !matches!(reading.content, Read::Ignored));
        let wanting = self.wanting(name, labels);
        deliveries.extend(wanting.iter().filter_map(|wanted| self.item(seeds, wanted, name, reading)));
        deliveries
    }

    /// What the list says of an object to one of those.
    pub(super) fn item(
        &self,
        seeds: &[Seed],
        wanted: &Wanted,
        name: &ObjectName,
        reading: &Reading<'_>,
    ) -> Option<Delivery> {
        let target = &wanted.target;
        let seed = seeds.iter().find(|seed| seed.covers(&target.name, name.namespace.as_deref()))?;
        let (scope, path) = (Arc::clone(&seed.scope), self.path(target, name)?);
        Some(seed.deliver(match &reading.content {
            Read::Manifest(document, manifest) => {
                let cut = self.cut(document, target, name);
                let (manifest, operations) = (cut.unwrap_or_else(|| manifest.clone()), wanted.operations);
                Message::SeedItem(scope, SeedItem { path, manifest, operations })
            }
            Read::Noise(_) | Read::Unwanted => return None,
            Read::Ignored | Read::Unusable(_) => Message::SeedKeep(scope, path),
        }))
    }

    /// A list shows another object under the name of one that is gone. Whoever made it did not delete the other.
    fn replaced(
        &self,
        source: &Source,
        name: &ObjectName,
        version: &ObjectVersion,
        reading: &Reading<'_>,
        now: Instant,
    ) -> Vec<Delivery> {
        let gone = self.objects.get(name).filter(|seen| seen.version.uid != version.uid && !seen.terminating);
        let Some(gone) = gone else { return Vec::new() };
        let keeps_file = match &reading.content {
            Read::Manifest(_, manifest) => gone.content == Some(manifest.oid()),
            Read::Noise(_) | Read::Unwanted => false,
            Read::Ignored | Read::Unusable(_) => true,
        };
        if keeps_file {
            return Vec::new();
        }
        let verdict = self.join.author_of_removal(name, &gone.version, Sight::List, now);
        let holding = self.holding(name, Some(gone), None);
        self.removal(name, holding, &gone.version, &verdict, Some(source))
    }

    /// The list `source` is complete, as of `resource_version`: what it did not name is gone.
    pub fn end(&mut self, source: &Source, resource_version: &str, now: Instant) -> Vec<Delivery> {
        let Some(listing) = self.lists.remove(source) else { return Vec::new() };
        let mut deliveries = Vec::new();
        if *source != Source::Side {
            deliveries.extend(self.end_scope(&listing, resource_version, now));
        }
        for seed in listing.seeds.iter() {
            deliveries.push(seed.deliver(Message::SeedEnd(Arc::clone(&seed.scope), seed.sweep.clone())));
            let namespaces = &seed.scope.namespaces;
            let standing = self.standings.entry(seed.target.name.clone()).or_default();
            standing.seeded = standing.seeded.union(namespaces);
            standing.followed = standing.followed.union(namespaces);
        }
        deliveries
    }

    fn end_scope(&mut self, listing: &Listing, resource_version: &str, now: Instant) -> Vec<Delivery> {
        let version = number(resource_version);
        let is_unnamed =
            |name: &&ObjectName| listing.range.contains(name.namespace.as_deref()) && !listing.seen.contains(*name);
        let unnamed: Vec<ObjectName> = self.objects.keys().filter(is_unnamed).cloned().collect();
        let mut deliveries = Vec::new();
        for name in unnamed {
            if self.live.contains(name.namespace.as_deref()) {
                // Made after the list, or deleted before it, which the watch that runs will show.
                let shown = self.objects.get(&name).and_then(|seen| number(&seen.version.resource_version));
                if shown.zip(version).is_none_or(|(shown, listed)| shown <= listed) {
                    self.ahead.insert(name, Ahead::End);
                }
                continue;
            }
            if let Some(seen) = self.objects.remove(&name)
                && !seen.terminating
            {
                let verdict = self.join.author_of_removal(&name, &seen.version, Sight::List, now);
                let holding = self.holding(&name, Some(&seen), None);
                deliveries.extend(self.removal(&name, holding, &seen.version, &verdict, None));
            }
        }
        deliveries.extend(self.end_of_awaited(listing, version));
        deliveries
    }

    /// What another list had shown before, and neither the watch nor this one has shown since, is gone.
    fn end_of_awaited(&mut self, listing: &Listing, version: Option<u64>) -> Vec<Delivery> {
        let is_gone = |(name, awaited): &(&ObjectName, &Awaited)| {
            let namespace = name.namespace.as_deref();
            listing.range.contains(namespace)
                && !self.live.contains(namespace)
                && !listing.seen.contains(*name)
                && awaited.version.zip(version).is_none_or(|(shown, listed)| shown <= listed)
        };
        let gone: Vec<ObjectName> = self.awaited.iter().filter(is_gone).map(|(name, _)| name.clone()).collect();
        let mut deliveries = Vec::new();
        for name in gone {
            let Some(awaited) = self.awaited.remove(&name) else { continue };
            let reaching = self.reaching(&name).into_iter();
            let holding = reaching.filter(|wanted| awaited.targets.contains(&wanted.target.name)).collect();
            deliveries.extend(self.removal(&name, holding, &ObjectVersion::default(), &Verdict::none(), None));
        }
        deliveries
    }

    /// Whether a list of objects in `range` has shown what the watch that runs there has yet to show.
    #[must_use]
    pub fn is_ahead(&self, range: &NamespaceSet) -> bool {
        self.ahead.keys().any(|name| range.contains(name.namespace.as_deref()))
    }

    /// A watch that runs has shown `version` of the object `name`, which is its end if `ended`.
    pub(super) fn caught_up(&mut self, name: &ObjectName, version: &ObjectVersion, ended: bool) {
        if self.ahead.is_empty() {
            return;
        }
        let is_shown = match self.ahead.get(name) {
            Some(Ahead::Version(listed)) => {
                number(&version.resource_version).zip(*listed).is_none_or(|(shown, listed)| shown >= listed)
            }
            Some(Ahead::End) => ended,
            None => false,
        };
        if is_shown {
            self.ahead.remove(name);
        }
    }
}

impl Seed {
    pub(super) fn deliver(&self, message: Message) -> Delivery {
        Delivery { target: Arc::clone(&self.target), message }
    }

    pub(super) fn covers(&self, target: &NamespacedName, namespace: Option<&str>) -> bool {
        self.target.name == *target && self.scope.namespaces.contains(namespace)
    }
}
