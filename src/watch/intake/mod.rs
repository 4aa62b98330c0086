//! From watch events of one type to changes: sanitize once, skip what is unchanged, find the author, route.
//!
//! Pure but for the attribution index. Of an object it keeps identity, version and content id, never the object. Several
//! watches and lists of one type may feed it, and may show the same: versions of one type are compared as numbers, and
//! what is not newer than what was seen is nothing.

mod audience;
mod beside;
mod lists;
mod reading;
mod removal;
mod sighting;

pub use lists::Source;

use super::join::{Join, Scalable, Sight};
use super::object::RawObject;
use crate::attribution::{Index, Verdict};
use crate::change::{Change, Content, Notice, ObjectVersion};
use crate::git::mailbox::Message;
use crate::resource::{NamespaceSet, NamespacedName, ObjectName, Oid, RepoPath, ResourceId, ResourceType, layout};
use crate::rules::{Route, RuleSet, Target};
use crate::sanitize::SanitizeError;
use audience::{Interned, Standing, Wanted, Wanters};
use beside::Awaited;
use kube::Resource as _;
use lists::{Ahead, Listing};
use reading::{Read, number};
use sighting::Told;
use std::collections::{BTreeMap, HashMap};
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
    /// Whether nobody wanted it, so that nobody knows what is in it.
    unread: bool,
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
            unread: false,
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

    /// An object that `target` asked for again, as it is now, which is not outdated. A version that the watch has yet to show
    /// is left to it: it would be undone by those before, whose content comes even if it is nothing new.
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
        let told = Told { content: Content::Upsert(manifest), is_news: false };
        self.change(&name, wanted, told, version, Verdict::none())
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
        told: Told,
        version: ObjectVersion,
        verdict: Verdict,
    ) -> Option<Delivery> {
        let (Wanted { target, operations }, Told { content, is_news }) = (wanted, told);
        let path = self.path(&target, name)?;
        let id = ResourceId { kind: Arc::clone(&self.kind), name: name.clone() };
        let target_name = target.name.clone();
        let change = Change { target: target_name, id, path, content, is_news, operations, version, verdict };
        Some(Delivery { target, message: Message::Change(Box::new(change)) })
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
mod tests;
