//! From watch events of one type to changes: sanitize once, skip what is unchanged, find the author, route.
//!
//! Pure but for the attribution index. Of an object it keeps identity, version and content id, never the object.

use super::join::{Join, Scalable, Sight};
use super::object::RawObject;
use crate::attribution::{Index, Verdict};
use crate::change::{Change, Content, Notice, ObjectVersion, SeedItem, SeedScope};
use crate::git::mailbox::Message;
use crate::resource::{
    NamespaceSet, NamespacedName, ObjectName, Oid, Operation, Operations, RepoPath, ResourceId, ResourceType, layout,
};
use crate::rules::{Route, RuleSet, Target, Wish};
use crate::sanitize::{self, Document, Manifest, SanitizeError};
use kube::Resource as _;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Something for the worker of a target's branch.
#[derive(Debug)]
pub struct Delivery {
    /// The target.
    pub target: Arc<Target>,
    /// What its worker is to do.
    pub message: Message,
}

/// What is known of the objects of one type, and for which targets.
#[derive(Debug)]
pub struct Intake {
    kind: Arc<ResourceType>,
    join: Join,
    /// Whether objects that the cluster makes by itself are left out.
    filters_noise: bool,
    rules: Arc<RuleSet>,
    objects: HashMap<ObjectName, Seen>,
    /// Targets that have had a complete list; the others are seeded by the next one.
    seeded: HashSet<NamespacedName>,
    listing: Option<Listing>,
    /// What nobody was told yet.
    notices: Vec<Notice>,
}

#[derive(Debug)]
struct Seen {
    version: ObjectVersion,
    /// `None` for an object that cannot be written, or is not worth it.
    content: Option<Oid>,
    /// Of a type with `/scale`, what tells whether only the replicas change next.
    scalable: Option<Scalable>,
    terminating: bool,
    /// Whether no file can hold it.
    unusable: bool,
    /// Whether its next version is to be told even if its content is nothing new.
    is_awaited: bool,
}

/// What an object came to.
enum Read<'a> {
    /// A manifest; the document still knows all of the object.
    Manifest(Document<'a>, Manifest),
    /// Nothing that is worth a file.
    Noise(Document<'a>),
    /// Something that no file can hold, and why.
    Unusable(SanitizeError),
}

/// A list while it arrives.
#[derive(Debug, Default)]
struct Listing {
    seen: HashSet<ObjectName>,
    seeds: Arc<[Seed]>,
}

#[derive(Clone, Debug)]
struct Seed {
    target: Arc<Target>,
    scope: Arc<SeedScope>,
    sweep: NamespaceSet,
}

/// A target that wants an object, and which operations on it.
struct Wanted {
    target: Arc<Target>,
    operations: Operations,
}

impl Intake {
    /// Nothing seen yet, nobody interested.
    #[must_use]
    pub fn new(kind: Arc<ResourceType>, evidence: Arc<Index>, filters_noise: bool) -> Self {
        Self {
            join: Join::new(Arc::clone(&kind), evidence),
            kind,
            filters_noise,
            rules: Arc::default(),
            objects: HashMap::new(),
            seeded: HashSet::new(),
            listing: None,
            notices: Vec::new(),
        }
    }

    /// Takes over who wants what. Returns whether a list has to start: because a target is new or wants something else,
    /// and no list that is under way is right for it.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>) -> bool {
        self.join.replicas = rules.replicas_path(&self.kind).cloned();
        let before = std::mem::replace(&mut self.rules, rules);
        let withheld = self.rules.withholds_otherwise(&before, &self.kind);
        let of = |rules: &RuleSet, name: &NamespacedName| -> Vec<Route> {
            rules.routes(&self.kind).iter().filter(|route| route.target.name == *name).cloned().collect()
        };
        let is_same = |name: &NamespacedName| !withheld && of(&before, name) == of(&self.rules, name);
        self.seeded.retain(is_same);
        let is_served = |name: &NamespacedName| {
            self.seeded.contains(name) || self.seeding().any(|seed| seed.target.name == *name && is_same(name))
        };
        // A list whose target has gone would take for orphans what it no longer names.
        let is_spoiled = self.seeding().any(|seed| !is_same(&seed.target.name));
        is_spoiled || self.routes().iter().any(|route| !is_served(&route.target.name))
    }

    /// Forgets that `target` had a list. Returns whether it needs one now.
    pub fn unseed(&mut self, target: &NamespacedName) -> bool {
        self.seeded.remove(target);
        self.routes().iter().any(|route| route.target.name == *target)
    }

    /// Whether `target` has had a complete list.
    #[must_use]
    pub fn is_seeded(&self, target: &NamespacedName) -> bool {
        self.seeded.contains(target)
    }

    fn seeding(&self) -> impl Iterator<Item = &Seed> {
        self.listing.iter().flat_map(|listing| listing.seeds.iter())
    }

    fn routes(&self) -> &[Route] {
        self.rules.routes(&self.kind)
    }

    /// What a person should hear of, since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// How many objects are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// How many of them no file can hold.
    #[must_use]
    pub fn unusable(&self) -> usize {
        self.objects.values().filter(|seen| seen.unusable).count()
    }

    /// Whether no object is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// A list starts; one that had started before is worthless.
    pub fn begin(&mut self) -> Vec<Delivery> {
        let mut seeds: Vec<Seed> = Vec::new();
        for route in self.routes().iter().filter(|route| !self.seeded.contains(&route.target.name)) {
            let everywhere = |other: &Route| other.namespaces.is_all() && other.target.name == route.target.name;
            // A list of all namespaces covers each of them.
            if !route.namespaces.is_all() && self.routes().iter().any(everywhere) {
                continue;
            }
            let scope = SeedScope {
                target: route.target.name.clone(),
                folder: route.target.base_folder.clone(),
                kind: Arc::clone(&self.kind),
                namespaces: route.namespaces.clone(),
            };
            let removes = route.wish.operations().contains(Operation::Delete);
            let sweep = if removes { route.namespaces.clone() } else { NamespaceSet::NONE };
            seeds.push(Seed { target: Arc::clone(&route.target), scope: Arc::new(scope), sweep });
        }
        let deliveries = seeds.iter().map(|seed| seed.deliver(Message::SeedBegin(Arc::clone(&seed.scope)))).collect();
        self.listing = Some(Listing { seen: HashSet::new(), seeds: seeds.into() });
        deliveries
    }

    /// One object of a list.
    pub fn listed(&mut self, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        let Some(listing) = &mut self.listing else { return Vec::new() };
        listing.seen.insert(name.clone());
        let seeds = Arc::clone(&listing.seeds);
        let mut deliveries = Vec::new();
        if !is_terminating(object) {
            let content = self.read(object, &name);
            for wanted in self.wanted(&name) {
                let seed = seeds.iter().find(|seed| seed.covers(&wanted.target, &name));
                let (Some(seed), Some(path)) = (seed, self.path(&wanted.target, &name)) else { continue };
                let scope = Arc::clone(&seed.scope);
                deliveries.push(seed.deliver(match &content {
                    Read::Manifest(_, manifest) => {
                        let (manifest, operations) = (manifest.clone(), wanted.operations);
                        Message::SeedItem(scope, SeedItem { path, manifest, operations })
                    }
                    Read::Noise(_) => continue,
                    Read::Unusable(_) => Message::SeedKeep(scope, path),
                }));
            }
            deliveries.extend(self.replaced(&name, &version, &content, now));
            deliveries.extend(self.observe(name, version, content, Sight::List, now));
        } else {
            deliveries.extend(self.terminating(name, version, object, Sight::List, now));
        }
        deliveries
    }

    /// A list shows another object under the name of one that is gone. Whoever made it did not delete the other.
    fn replaced(&self, name: &ObjectName, version: &ObjectVersion, read: &Read<'_>, now: Instant) -> Vec<Delivery> {
        let gone = self.objects.get(name).filter(|seen| seen.version.uid != version.uid && !seen.terminating);
        let Some(gone) = gone else { return Vec::new() };
        let keeps_file = match read {
            Read::Manifest(_, manifest) => gone.content == Some(manifest.oid()),
            Read::Noise(_) => false,
            Read::Unusable(_) => true,
        };
        if keeps_file {
            return Vec::new();
        }
        let verdict = self.join.author_of_removal(name, &gone.version, Sight::List, now);
        self.removal(name, gone.version.clone(), &verdict)
    }

    /// The list is complete: what it did not name is gone.
    pub fn end(&mut self, now: Instant) -> Vec<Delivery> {
        let Some(listing) = self.listing.take() else { return Vec::new() };
        let gone: Vec<ObjectName> = self.objects.keys().filter(|name| !listing.seen.contains(*name)).cloned().collect();
        let mut deliveries = Vec::new();
        for name in gone {
            if let Some(seen) = self.objects.remove(&name)
                && !seen.terminating
            {
                let verdict = self.join.author_of_removal(&name, &seen.version, Sight::List, now);
                deliveries.extend(self.removal(&name, seen.version, &verdict));
            }
        }
        for seed in listing.seeds.iter() {
            deliveries.push(seed.deliver(Message::SeedEnd(Arc::clone(&seed.scope), seed.sweep.clone())));
            self.seeded.insert(seed.target.name.clone());
        }
        deliveries
    }

    /// An object was added or changed.
    pub fn applied(&mut self, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        if is_terminating(object) {
            return self.terminating(name, version, object, Sight::Watch, now);
        }
        let content = self.read(object, &name);
        self.observe(name, version, content, Sight::Watch, now)
    }

    /// An object is gone.
    pub fn deleted(&mut self, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        match self.objects.remove(&name) {
            // The file went with the first sight of the deletion.
            Some(seen) if seen.terminating && seen.version.uid == version.uid => Vec::new(),
            Some(seen) if seen.version.uid == version.uid => {
                let verdict = self.join.author_of_removal(&name, &seen.version, Sight::Watch, now);
                self.removal(&name, version, &verdict)
            }
            _ => self.removal(&name, version, &Verdict::none()),
        }
    }

    /// An object that `target` asked for again, as it is now. A version that the watch has yet to show is left to it:
    /// it would be undone by those before, whose content comes even if it is nothing new.
    #[must_use]
    pub fn asked_for(&mut self, object: &RawObject, target: &NamespacedName) -> Option<Delivery> {
        let (name, version) = identify(object)?;
        let seen = self.objects.get_mut(&name)?;
        if seen.version != version {
            seen.is_awaited = true;
            return None;
        }
        if is_terminating(object) {
            return None;
        }
        let Read::Manifest(_, manifest) = self.read(object, &name) else { return None };
        let wanted = self.wanted(&name).into_iter().find(|wanted| wanted.target.name == *target)?;
        self.change(&name, wanted, Content::Upsert(manifest), version, Verdict::none())
    }

    fn observe(
        &mut self,
        name: ObjectName,
        version: ObjectVersion,
        read: Read<'_>,
        sight: Sight,
        now: Instant,
    ) -> Vec<Delivery> {
        // An object of the same name but another uid is another object.
        let before = self.objects.get(&name).filter(|seen| seen.version.uid == version.uid);
        let is_mended = before.is_some_and(|seen| seen.unusable);
        let is_awaited = before.is_some_and(|seen| seen.is_awaited);
        let known = before.filter(|seen| !seen.terminating).and_then(|seen| seen.content);
        let scalable_before = before.and_then(|seen| seen.scalable);
        let unusable = matches!(read, Read::Unusable(_));
        let mut scalable = None;
        let (content, change) = match read {
            Read::Manifest(_, manifest) if known == Some(manifest.oid()) && !is_awaited => {
                scalable = scalable_before;
                (known, None)
            }
            Read::Manifest(document, manifest) => {
                scalable = self.join.scalable(&document);
                (Some(manifest.oid()), Some((document, Content::Upsert(manifest))))
            }
            // What becomes noise loses its file.
            Read::Noise(document) => (None, known.map(|_| (document, Content::Delete))),
            Read::Unusable(error) => {
                self.notices.extend(self.notice(&name, &error));
                (None, None)
            }
        };
        let before = before.map(|seen| seen.version.clone());
        let deliveries = change.map_or_else(Vec::new, |(document, content)| {
            let scaled = scalable_before.zip(scalable);
            self.deliver(&name, &version, content, |intake| {
                let verdict = intake.join.author_of_content(&version, before.as_ref(), sight, scaled, &document, now);
                // The versions that no file could hold come with it.
                if is_mended { verdict.merged_with(BTreeSet::new()) } else { verdict }
            })
        });
        let seen = Seen { version, content, scalable, terminating: false, unusable, is_awaited: false };
        self.objects.insert(name, seen);
        deliveries
    }

    /// The first sight of a deletion timestamp is the deletion: what follows until the object is gone is housekeeping.
    fn terminating(
        &mut self,
        name: ObjectName,
        version: ObjectVersion,
        object: &RawObject,
        sight: Sight,
        now: Instant,
    ) -> Vec<Delivery> {
        let seen = Seen {
            version: version.clone(),
            content: None,
            scalable: None,
            terminating: true,
            unusable: false,
            is_awaited: false,
        };
        let before = self.objects.insert(name.clone(), seen).filter(|before| before.version.uid == version.uid);
        let verdict = match &before {
            Some(before) if before.terminating => return Vec::new(),
            Some(before) => self.join.author_of_mark(&name, object, &before.version, sight, now),
            None => Verdict::none(),
        };
        self.removal(&name, version, &verdict)
    }

    fn removal(&self, name: &ObjectName, version: ObjectVersion, verdict: &Verdict) -> Vec<Delivery> {
        self.deliver(name, &version, Content::Delete, |_| verdict.clone())
    }

    /// One change for each target that wants the object and has had a list; the author is looked for only if there is one.
    fn deliver(
        &self,
        name: &ObjectName,
        version: &ObjectVersion,
        content: Content,
        verdict: impl FnOnce(&Self) -> Verdict,
    ) -> Vec<Delivery> {
        let is_seeded = |wanted: &Wanted| self.seeded.contains(&wanted.target.name);
        let wanted: Vec<Wanted> = self.wanted(name).into_iter().filter(is_seeded).collect();
        if wanted.is_empty() {
            return Vec::new();
        }
        let verdict = verdict(self);
        let change = |wanted| self.change(name, wanted, content.clone(), version.clone(), verdict.clone());
        wanted.into_iter().filter_map(change).collect()
    }

    /// Parses and sanitizes an object.
    fn read<'a>(&self, object: &'a RawObject, name: &ObjectName) -> Read<'a> {
        let read = Document::parse(object.json()).and_then(|mut document| {
            if self.filters_noise && sanitize::noise(&document, &self.kind).is_some() {
                return Ok(Read::Noise(document));
            }
            let manifest = sanitize::manifest(&mut document, &self.kind)?;
            Ok(Read::Manifest(document, manifest))
        });
        read.unwrap_or_else(|error| {
            tracing::warn!(kind = %self.kind, %name, %error, "Object cannot be written; its file stays as it is");
            Read::Unusable(error)
        })
    }

    fn notice(&self, name: &ObjectName, error: &SanitizeError) -> Vec<Notice> {
        let object = ResourceId { kind: Arc::clone(&self.kind), name: name.clone() };
        let notice = |wanted: Wanted| Notice {
            target: wanted.target.name.clone(),
            object: object.clone(),
            problem: format!("{error}; its file stays as it is"),
        };
        self.wanted(name).into_iter().map(notice).collect()
    }

    fn wanted(&self, name: &ObjectName) -> Vec<Wanted> {
        if self.rules.is_withheld(&self.kind, name) {
            return Vec::new();
        }
        let no_labels = BTreeMap::new();
        let wanting = self.rules.wanting(&self.kind, name.namespace.as_deref(), &no_labels);
        let wanting = wanting.filter(|(_, wish)| *wish != Wish::Keep);
        wanting.map(|(target, wish)| Wanted { target: Arc::clone(target), operations: wish.operations() }).collect()
    }

    fn path(&self, target: &Target, name: &ObjectName) -> Option<RepoPath> {
        let id = ResourceId { kind: Arc::clone(&self.kind), name: name.clone() };
        match layout::manifest_path(&target.base_folder, &id) {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::warn!(object = %id, %error, "Object has no file");
                None
            }
        }
    }

    fn change(
        &self,
        name: &ObjectName,
        wanted: Wanted,
        content: Content,
        version: ObjectVersion,
        verdict: Verdict,
    ) -> Option<Delivery> {
        let Wanted { target, operations } = wanted;
        let path = self.path(&target, name)?;
        let id = ResourceId { kind: Arc::clone(&self.kind), name: name.clone() };
        let change = Change { target: target.name.clone(), id, path, content, operations, version, verdict };
        Some(Delivery { target, message: Message::Change(Box::new(change)) })
    }
}

impl Seed {
    fn deliver(&self, message: Message) -> Delivery {
        Delivery { target: Arc::clone(&self.target), message }
    }

    fn covers(&self, target: &Target, name: &ObjectName) -> bool {
        self.target.name == target.name && self.scope.namespaces.contains(name.namespace.as_deref())
    }
}

fn identify(object: &RawObject) -> Option<(ObjectName, ObjectVersion)> {
    let meta = object.meta();
    let name = ObjectName::new(meta.namespace.as_deref(), meta.name.as_deref()?);
    let text = |text: &Option<String>| Arc::from(text.as_deref().unwrap_or_default());
    Some((name, ObjectVersion { uid: text(&meta.uid), resource_version: text(&meta.resource_version) }))
}

fn is_terminating(object: &RawObject) -> bool {
    object.meta().deletion_timestamp.is_some()
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
