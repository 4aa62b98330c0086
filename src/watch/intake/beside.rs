//! Lists where a watch runs already: they only seed.
//!
//! What such a list shows that the watch has yet to show is left to the watch, which knows every version and so every
//! author. A list that is to take over from such a watch remembers these as *ahead*. What the watch has left behind is of
//! the past.

use super::audience::Wanted;
use super::lists::{Ahead, Seed, Source};
use super::reading::{Read, number};
use super::{Delivery, Intake, RawObject, is_terminating};
use crate::change::ObjectVersion;
use crate::git::mailbox::Message;
use crate::resource::{NamespacedName, ObjectName, ResourceId};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An object whose next sight is to be told to some targets, even if its content is nothing new.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    pub(super) targets: BTreeSet<NamespacedName>,
    /// The version that was seen of it.
    pub(super) version: Option<u64>,
}

/// How a version that a list shows stands to what the watch has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// The watch has shown a later one, or the end.
    Behind,
    /// It is the last that the watch has shown.
    Same,
    /// The watch has yet to show it.
    Ahead,
}

impl Intake {
    /// One object of a list, where a watch tells what happens to it.
    pub(super) fn listed_beside(
        &mut self,
        source: &Source,
        seeds: &[Seed],
        name: ObjectName,
        version: &ObjectVersion,
        object: &RawObject,
    ) -> Vec<Delivery> {
        let relation = self.relation(&name, version);
        if relation == Relation::Ahead && *source != Source::Side {
            self.ahead.insert(name.clone(), Ahead::Version(number(&version.resource_version)));
        }
        let namespace = name.namespace.as_deref();
        if !seeds.iter().any(|seed| seed.scope.namespaces.contains(namespace)) {
            return Vec::new();
        }
        match relation {
            Relation::Ahead => self.await_sight(seeds, name, version, object),
            Relation::Same if is_terminating(object) => Vec::new(),
            Relation::Same => self.listed_alike(seeds, &name, object),
            Relation::Behind => self.listed_late(seeds, &name, object),
        }
    }

    /// The version of the object `name` that the watch has shown last.
    fn listed_alike(&mut self, seeds: &[Seed], name: &ObjectName, object: &RawObject) -> Vec<Delivery> {
        let reading = self.read(object, name);
        let deliveries = self.items(seeds, name, &reading);
        let before = self.objects.get(name).and_then(|seen| seen.wanters.clone());
        let wanters = self.wanters(name, reading.labels.as_ref(), before.as_ref());
        let Some(seen) = self.objects.get_mut(name) else { return deliveries };
        // Who had it when it asked to be left alone has it still.
        if !matches!(reading.content, Read::Ignored) {
            seen.wanters = wanters;
        }
        if let (true, Read::Manifest(document, manifest)) = (seen.unread, &reading.content) {
            (seen.content, seen.scalable) = (Some(manifest.oid()), self.join.scalable(document));
            seen.unread = false;
        }
        deliveries
    }

    /// A version of the object `name` that is of the past: what the watch has shown since decides who gets anything. Where
    /// that is not what the list shows, the object is asked for: the watch may have told it before the list began.
    fn listed_late(&mut self, seeds: &[Seed], name: &ObjectName, object: &RawObject) -> Vec<Delivery> {
        let Some(seen) = self.objects.get(name).filter(|seen| !seen.terminating) else { return Vec::new() };
        let is_left_alone = seen.ignored || seen.unusable;
        if seen.content.is_none() && !is_left_alone && !seen.unread {
            return Vec::new();
        }
        let reading = self.read(object, name);
        let oid = if let Read::Manifest(_, manifest) = &reading.content { Some(manifest.oid()) } else { None };
        let is_same = !is_left_alone && oid.is_some() && oid == seen.content;
        let listed = self.wanting(name, reading.labels.as_ref());
        let (mut deliveries, mut asked) = (Vec::new(), Vec::new());
        for Wanted { target, .. } in self.reaching(name) {
            let listed = listed.iter().find(|wanted| wanted.target.name == target.name);
            let had = seen.wanters.as_ref().map(|wanters| wanters.binary_search(&target.name).is_ok());
            // What asks to be left alone keeps its file, whatever its labels.
            if !seen.ignored && !had.unwrap_or(listed.is_some()) {
                continue;
            }
            if let Some(wanted) = listed.filter(|_| is_same) {
                deliveries.extend(self.item(seeds, wanted, name, &reading));
                continue;
            }
            let seed = seeds.iter().find(|seed| seed.covers(&target.name, name.namespace.as_deref()));
            let (Some(seed), Some(path)) = (seed, self.path(&target, name)) else { continue };
            deliveries.push(seed.deliver(Message::SeedKeep(Arc::clone(&seed.scope), path)));
            if !is_left_alone {
                let id = ResourceId { kind: Arc::clone(&self.kind), name: name.clone() };
                asked.push((target.name.clone(), id));
            }
        }
        self.asked.extend(asked);
        deliveries
    }

    /// Leaves what the watch has yet to show of the object `name` to the watch.
    fn await_sight(
        &mut self,
        seeds: &[Seed],
        name: ObjectName,
        version: &ObjectVersion,
        object: &RawObject,
    ) -> Vec<Delivery> {
        let labels = self.labels_of_unfrozen(object);
        let wanting = self.wanting(&name, labels.as_ref());
        let mut deliveries = Vec::new();
        for wanted in wanting {
            let seed = seeds.iter().find(|seed| seed.covers(&wanted.target.name, name.namespace.as_deref()));
            let (Some(seed), Some(path)) = (seed, self.path(&wanted.target, &name)) else { continue };
            deliveries.push(seed.deliver(Message::SeedKeep(Arc::clone(&seed.scope), path)));
            let awaited = self.awaited.entry(name.clone()).or_default();
            awaited.targets.insert(wanted.target.name.clone());
            awaited.version = number(&version.resource_version);
        }
        deliveries
    }

    fn relation(&self, name: &ObjectName, version: &ObjectVersion) -> Relation {
        let listed = number(&version.resource_version);
        let shown = match self.objects.get(name) {
            Some(seen) if seen.version == *version => return Relation::Same,
            Some(seen) => number(&seen.version.resource_version),
            None => self.gone.get(name).copied(),
        };
        match listed.zip(shown).map(|(listed, shown)| listed.cmp(&shown)) {
            Some(Ordering::Less | Ordering::Equal) => Relation::Behind,
            Some(Ordering::Greater) | None => Relation::Ahead,
        }
    }
}
