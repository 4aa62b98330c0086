//! From watch events of one type to changes: sanitize once, skip what is unchanged, find the author, route.
//!
//! Pure but for the attribution index. Of an object it keeps identity, version and content id, never the object. Several
//! watches and lists of one type may feed it, and may show the same: versions of one type are compared as numbers, and
//! what is not newer than what was seen is nothing.

mod audience;
mod beside;
mod lists;
mod reading;

pub use lists::Source;

use super::join::{Join, Scalable, Sight};
use super::object::RawObject;
use crate::attribution::{Index, Verdict};
use crate::change::{Change, Content, Notice, ObjectVersion};
use crate::git::mailbox::Message;
use crate::resource::{NamespaceSet, NamespacedName, ObjectName, Oid, RepoPath, ResourceId, ResourceType, layout};
use crate::rules::{Route, RuleSet, Target};
use crate::sanitize::{Document, Manifest, SanitizeError};
use audience::{Footing, Interned, Standing, Wanted, Wanters};
use beside::Awaited;
use kube::Resource as _;
use lists::{Ahead, Listing};
use reading::{Read, Reading, number};
use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// The versions at which objects ended, while anybody may still show earlier ones.
    gone: HashMap<ObjectName, u64>,
    /// Where watches run.
    live: NamespaceSet,
    /// Whether several watches run in one place.
    overlaps: bool,
    standings: BTreeMap<NamespacedName, Standing>,
    lists: BTreeMap<Source, Listing>,
    ahead: HashMap<ObjectName, Ahead>,
    awaited: HashMap<ObjectName, Awaited>,
    /// What lists could not tell some targets.
    asked: Vec<(NamespacedName, ResourceId)>,
    interned: Interned,
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
    /// Whether it asks to be left alone.
    ignored: bool,
    /// Where labels decide, who wanted it. `None`: whoever wants objects in its namespace.
    wanters: Option<Wanters>,
    /// What targets that leave out fields have of it.
    cut: Option<Box<[(NamespacedName, Oid)]>>,
}

impl Seen {
    fn new(version: ObjectVersion) -> Self {
        Self {
            version,
            content: None,
            scalable: None,
            terminating: false,
            unusable: false,
            ignored: false,
            wanters: None,
            cut: None,
        }
    }
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
            gone: HashMap::new(),
            live: NamespaceSet::NONE,
            overlaps: false,
            standings: BTreeMap::new(),
            lists: BTreeMap::new(),
            ahead: HashMap::new(),
            awaited: HashMap::new(),
            asked: Vec::new(),
            interned: Interned::default(),
            notices: Vec::new(),
        }
    }

    /// Watches run in the namespaces `live`, and several in one place if that `overlaps`.
    pub fn set_live(&mut self, live: NamespaceSet, overlaps: bool) {
        (self.live, self.overlaps) = (live, overlaps);
    }

    /// Forgets the objects that are in none of these namespaces: nobody watches them any more.
    pub fn retain(&mut self, namespaces: &NamespaceSet) {
        let is_in = |name: &ObjectName| namespaces.contains(name.namespace.as_deref());
        self.objects.retain(|name, _| is_in(name));
        self.gone.retain(|name, _| is_in(name));
        self.ahead.retain(|name, _| is_in(name));
        self.awaited.retain(|name, _| is_in(name));
        for standing in self.standings.values_mut() {
            standing.seeded = standing.seeded.intersection(namespaces);
            standing.followed = standing.followed.intersection(namespaces);
        }
    }

    fn routes(&self) -> &[Route] {
        self.rules.routes(&self.kind)
    }

    /// What a person should hear of, since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The objects that have to be read for targets, since the last call.
    pub fn take_asked(&mut self) -> Vec<(NamespacedName, ResourceId)> {
        std::mem::take(&mut self.asked)
    }

    /// How many objects are known in `namespaces`, and of how many of them no file can be.
    #[must_use]
    pub fn count(&self, namespaces: &NamespaceSet) -> (usize, usize) {
        let known = self.objects.iter().filter(|(name, _)| namespaces.contains(name.namespace.as_deref()));
        known.fold((0, 0), |(all, unusable), (_, seen)| (all + 1, unusable + usize::from(seen.unusable)))
    }

    /// An object was added or changed.
    pub fn applied(&mut self, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        if self.is_old(&name, &version) {
            return Vec::new();
        }
        if is_terminating(object) {
            return self.terminating(name, version, object, Sight::Watch, None, now);
        }
        let reading = self.read(object, &name);
        self.observe(name, version, reading, Sight::Watch, None, now)
    }

    /// An object is gone.
    pub fn deleted(&mut self, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        // A server may show the end of an object under the version that was seen last.
        let is_same = self.objects.get(&name).is_some_and(|seen| seen.version == version);
        if !is_same && self.is_old(&name, &version) {
            return Vec::new();
        }
        self.caught_up(&name, &version, true);
        self.awaited.remove(&name);
        if (!self.lists.is_empty() || self.overlaps)
            && let Some(end) = number(&version.resource_version)
        {
            self.gone.insert(name.clone(), end);
        }
        let seen = self.objects.remove(&name);
        let same = seen.as_ref().filter(|seen| seen.version.uid == version.uid);
        // The file went with the first sight of the deletion.
        if same.is_some_and(|seen| seen.terminating) {
            return Vec::new();
        }
        let verdict = match same {
            Some(seen) => self.join.author_of_removal(&name, &seen.version, Sight::Watch, now),
            None => Verdict::none(),
        };
        let holding = self.holding(&name, seen.as_ref(), self.labels_of(object).as_ref());
        self.removal(&name, holding, &version, &verdict, None)
    }

    /// The watch in `range` has shown everything up to `resource_version`.
    pub fn passed(&mut self, range: &NamespaceSet, resource_version: &str) {
        if self.gone.is_empty() || self.overlaps || !self.lists.is_empty() {
            return;
        }
        let Some(passed) = number(resource_version) else { return };
        self.gone.retain(|name, end| *end > passed || !range.contains(name.namespace.as_deref()));
    }

    /// Whether something as new was seen of the object `name`.
    fn is_old(&self, name: &ObjectName, version: &ObjectVersion) -> bool {
        let seen = match self.objects.get(name) {
            Some(seen) => number(&seen.version.resource_version),
            None if self.gone.is_empty() => return false,
            None => self.gone.get(name).copied(),
        };
        seen.zip(number(&version.resource_version)).is_some_and(|(seen, shown)| shown <= seen)
    }

    /// Whether the watch has shown a later version than `object`, which was read: what it says is of the past, and what
    /// came after need not come again.
    #[must_use]
    pub fn is_outdated(&self, object: &RawObject) -> bool {
        let Some((name, version)) = identify(object) else { return false };
        self.objects.get(&name).is_some_and(|seen| seen.version != version) && self.is_old(&name, &version)
    }

    /// An object that `target` asked for again, as it is now, which is not outdated. A version that the watch has yet to show is left to it:
    /// it would be undone by those before, whose content comes even if it is nothing new.
    #[must_use]
    pub fn asked_for(&mut self, object: &RawObject, target: &NamespacedName) -> Option<Delivery> {
        let (name, version) = identify(object)?;
        if self.objects.get(&name)?.version != version {
            self.awaited.entry(name).or_default().targets.insert(target.clone());
            return None;
        }
        if is_terminating(object) {
            return None;
        }
        let reading = self.read(object, &name);
        let Read::Manifest(document, manifest) = &reading.content else { return None };
        let mut wanting = self.wanting(&name, reading.labels.as_ref()).into_iter();
        let wanted = wanting.find(|wanted| wanted.target.name == *target)?;
        let manifest = self.cut(document, &wanted.target, &name).unwrap_or_else(|| manifest.clone());
        self.change(&name, wanted, Content::Upsert(manifest), version, Verdict::none())
    }

    fn observe(
        &mut self,
        name: ObjectName,
        version: ObjectVersion,
        reading: Reading<'_>,
        sight: Sight,
        list: Option<&Source>,
        now: Instant,
    ) -> Vec<Delivery> {
        self.caught_up(&name, &version, false);
        self.gone.remove(&name);
        // An object of the same name but another uid is another object.
        let before = self.objects.remove(&name).filter(|seen| seen.version.uid == version.uid);
        let had = before.as_ref().and_then(|seen| seen.wanters.clone());
        let mut seen = Seen::new(version);
        let known = before.as_ref().filter(|seen| !seen.terminating).and_then(|seen| seen.content);
        let scalable_before = before.as_ref().and_then(|seen| seen.scalable);
        let was_ignored = before.as_ref().is_some_and(|seen| seen.ignored);
        let (document, content) = match reading.content {
            Read::Manifest(document, manifest) => (document, Some(manifest)),
            Read::Noise(document) => (document, None),
            Read::Ignored => {
                seen.ignored = true;
                (seen.content, seen.scalable, seen.wanters) = (known, scalable_before, had);
                seen.cut = before.and_then(|seen| seen.cut);
                self.objects.insert(name, seen);
                return Vec::new();
            }
            Read::Unusable(error) => {
                self.notice(&name, &reading.labels, &error);
                (seen.unusable, seen.wanters) = (true, had);
                self.objects.insert(name, seen);
                return Vec::new();
            }
        };
        let awaited = self.awaited.remove(&name).map(|awaited| awaited.targets).unwrap_or_default();
        seen.wanters = self.wanters(&name, reading.labels.as_ref(), had.as_ref());
        seen.content = content.as_ref().map(Manifest::oid);
        let is_new = was_ignored || seen.content != known;
        seen.scalable = if is_new { self.join.scalable(&document) } else { scalable_before };
        if !is_new && awaited.is_empty() && seen.wanters == had {
            seen.cut = before.and_then(|seen| seen.cut);
            self.objects.insert(name, seen);
            return Vec::new();
        }
        let sighting = Sighting { name: &name, document: &document, before: before.as_ref(), list };
        let verdict = LazyCell::new(|| {
            let previous = sighting.before.map(|before| &before.version);
            let scaled = scalable_before.zip(seen.scalable);
            let verdict = self.join.author_of_content(&seen.version, previous, sight, scaled, &document, now);
            // The versions that no file could hold come with it.
            let is_mended = was_ignored || sighting.before.is_some_and(|before| before.unusable);
            if is_mended { verdict.merged_with(BTreeSet::new()) } else { verdict }
        });
        let news = News { is_new, content, labels: reading.labels, had, awaited };
        let (deliveries, cut) = self.tell(&sighting, &news, &seen, || verdict.clone());
        seen.cut = cut;
        self.objects.insert(name, seen);
        deliveries
    }

    /// The changes that a sighting means, and what targets that leave out fields then have of the object.
    fn tell(
        &self,
        sighting: &Sighting<'_>,
        news: &News,
        seen: &Seen,
        verdict: impl Fn() -> Verdict,
    ) -> (Vec<Delivery>, Option<Box<[(NamespacedName, Oid)]>>) {
        let Sighting { name, document, before, list } = *sighting;
        let mut deliveries = Vec::new();
        let mut cuts = Vec::new();
        let mut deliver = |wanted: Wanted, content: Content, footing: Footing| {
            // What others changed since the file was written comes with it, unless it is the first version.
            let is_awaited = news.awaited.contains(&wanted.target.name);
            let is_whole = (footing == Footing::Whole && !is_awaited) || before.is_none();
            let verdict = if is_whole { verdict() } else { verdict().merged_with(BTreeSet::new()) };
            deliveries.extend(self.change(name, wanted, content, seen.version.clone(), verdict));
        };
        for wanted in self.wanting(name, news.labels.as_ref()) {
            let target = &wanted.target.name;
            let is_awaited = news.awaited.contains(target);
            let is_gained = news.had.as_ref().is_some_and(|had| had.binary_search(target).is_err());
            let cut = news.content.as_ref().and_then(|_| self.cut(document, &wanted.target, name));
            let is_same_cut = cut.as_ref().is_some_and(|cut| {
                let had = before.and_then(|before| before.cut.as_ref()).into_iter().flatten();
                had.into_iter().any(|(of, oid)| of == target && *oid == cut.oid())
                    && !before.is_some_and(|seen| seen.ignored)
            });
            cuts.extend(cut.as_ref().map(|cut| (target.clone(), cut.oid())));
            let is_news = (news.is_new && !is_same_cut) || is_gained || is_awaited;
            let footing = self.footing(target, name.namespace.as_deref(), list);
            let footing = footing.or(is_awaited.then_some(Footing::Partial));
            let (true, Some(footing)) = (is_news, footing) else { continue };
            let content = match (cut, &news.content) {
                (Some(cut), _) => Content::Upsert(cut),
                (None, Some(manifest)) => Content::Upsert(manifest.clone()),
                // What becomes noise loses its file.
                (None, None) => Content::Delete,
            };
            deliver(wanted, content, footing);
        }
        let awaiting: Wanters = news.awaited.iter().cloned().collect();
        let lost = [news.had.as_ref(), Some(&awaiting)].into_iter().flatten();
        let mut lost: Vec<Wanted> = lost.flat_map(|had| self.losing(name, had, seen.wanters.as_ref())).collect();
        lost.sort_by(|a, b| a.target.name.cmp(&b.target.name));
        lost.dedup_by(|a, b| a.target.name == b.target.name);
        for wanted in lost.into_iter().filter(|_| seen.wanters.is_some()) {
            if let Some(footing) = self.footing(&wanted.target.name, name.namespace.as_deref(), list) {
                deliver(wanted, Content::Deselect, footing);
            }
        }
        (deliveries, (!cuts.is_empty()).then(|| cuts.into()))
    }

    /// The first sight of a deletion timestamp is the deletion: what follows until the object is gone is housekeeping.
    fn terminating(
        &mut self,
        name: ObjectName,
        version: ObjectVersion,
        object: &RawObject,
        sight: Sight,
        list: Option<&Source>,
        now: Instant,
    ) -> Vec<Delivery> {
        self.caught_up(&name, &version, false);
        self.gone.remove(&name);
        let awaited = self.awaited.remove(&name);
        let seen = Seen { terminating: true, ..Seen::new(version.clone()) };
        let before = self.objects.insert(name.clone(), seen);
        let same = before.as_ref().filter(|before| before.version.uid == version.uid);
        if same.is_some_and(|before| before.terminating) && awaited.is_none() {
            return Vec::new();
        }
        let verdict = match same {
            Some(before) => self.join.author_of_mark(&name, object, &before.version, sight, now),
            None => Verdict::none(),
        };
        let mut holding = self.holding(&name, before.as_ref(), self.labels_of(object).as_ref());
        // A list may have left a file to the watch that nobody remembers otherwise.
        let awaiting = awaited.map(|awaited| awaited.targets).unwrap_or_default();
        holding.extend(self.reaching(&name).into_iter().filter(|wanted| awaiting.contains(&wanted.target.name)));
        holding.sort_by(|a, b| a.target.name.cmp(&b.target.name));
        holding.dedup_by(|a, b| a.target.name == b.target.name);
        self.removal(&name, holding, &version, &verdict, list)
    }

    /// One removal for each of `holding` that has had a list.
    fn removal(
        &self,
        name: &ObjectName,
        holding: Vec<Wanted>,
        version: &ObjectVersion,
        verdict: &Verdict,
        list: Option<&Source>,
    ) -> Vec<Delivery> {
        let namespace = name.namespace.as_deref();
        let is_ready = |wanted: &Wanted| self.footing(&wanted.target.name, namespace, list).is_some();
        let ready = holding.into_iter().filter(is_ready);
        let change = |wanted| self.change(name, wanted, Content::Delete, version.clone(), verdict.clone());
        ready.filter_map(change).collect()
    }

    fn notice(&mut self, name: &ObjectName, labels: &Option<reading::Labels>, error: &SanitizeError) {
        let object = ResourceId { kind: Arc::clone(&self.kind), name: name.clone() };
        for wanted in self.wanting(name, labels.as_ref()) {
            let problem = format!("{error}; its file stays as it is");
            self.notices.push(Notice { target: wanted.target.name.clone(), object: object.clone(), problem });
        }
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

/// One version of an object that is news to somebody.
#[derive(Clone, Copy)]
struct Sighting<'a> {
    name: &'a ObjectName,
    document: &'a Document<'a>,
    before: Option<&'a Seen>,
    /// The list that shows it.
    list: Option<&'a Source>,
}

/// What is new about it.
struct News {
    /// Whether its content is.
    is_new: bool,
    /// `None` for what is not worth a file.
    content: Option<Manifest>,
    labels: Option<reading::Labels>,
    /// Who wanted it before, where labels decided.
    had: Option<Wanters>,
    /// Who must hear of it in any case.
    awaited: BTreeSet<NamespacedName>,
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
mod tests;
