//! From what was seen of an object before and now to who made the change.
//!
//! A live watch shows every version of an object, so the one that was seen before is the one that a change was made on.
//! A list may have skipped some.

use super::object::RawObject;
use crate::attribution::{Index, ObservedEvent, Propagation, Transition, Verdict, pod_key};
use crate::change::ObjectVersion;
use crate::resource::{ContentHash, ObjectName, ResourceType};
use crate::sanitize::{self, Document};
use std::sync::Arc;
use std::time::Instant;

/// What showed an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// An event of the watch.
    Watch,
    /// A list.
    List,
}

/// An object of a scalable type without its replicas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalable {
    /// All that goes into its file but the replicas.
    rest: ContentHash,
    replicas: Option<u64>,
}

/// Finds the authors of the changes of one type.
#[derive(Debug)]
pub(super) struct Join {
    kind: Arc<ResourceType>,
    evidence: Arc<Index>,
    /// Where objects have the replicas that `/scale` sets; `None` for a type without it.
    pub(super) replicas: Option<Arc<[String]>>,
}

impl Join {
    pub(super) fn new(kind: Arc<ResourceType>, evidence: Arc<Index>) -> Self {
        Self { kind, evidence, replicas: None }
    }

    /// What tells whether only the replicas change next; `None` for a type without `/scale`. The passes have run over
    /// `document`.
    pub(super) fn scalable(&self, document: &Document<'_>) -> Option<Scalable> {
        let path: Vec<&str> = self.replicas.as_ref()?.iter().map(String::as_str).collect();
        let replicas = document.find(&path).and_then(|node| document.raw(node).parse().ok());
        Some(Scalable { rest: sanitize::hash_without(document, &path), replicas })
    }

    /// Who brought an object to `document` and to `version`. `before` is the version that was seen before, `scaled` how
    /// the object was before and is now.
    pub(super) fn author_of_content(
        &self,
        version: &ObjectVersion,
        before: Option<&ObjectVersion>,
        sight: Sight,
        scaled: Option<(Scalable, Scalable)>,
        document: &Document<'_>,
        now: Instant,
    ) -> Verdict {
        let previous = before.map(|before| &*before.resource_version);
        let transition = match (sight, previous) {
            (Sight::List, previous) => Transition::Listed { previous, version: &version.resource_version },
            (Sight::Watch, None) => Transition::Created,
            (Sight::Watch, Some(previous)) => {
                let scaled_to = scaled.filter(|(before, after)| before.rest == after.rest);
                Transition::Changed { previous, scaled_to: scaled_to.and_then(|(_, after)| after.replicas) }
            }
        };
        let event = self.event(&version.uid, transition);
        self.evidence.resolve(&event, || Some(sanitize::fingerprint(document)), now)
    }

    /// Who deleted the object `name`, which `object` shows with its first deletion timestamp.
    pub(super) fn author_of_mark(
        &self,
        name: &ObjectName,
        object: &RawObject,
        before: &ObjectVersion,
        sight: Sight,
        now: Instant,
    ) -> Verdict {
        let previous = &before.resource_version;
        let transition = match sight {
            Sight::Watch => Transition::Marked { previous, propagation: propagation(object) },
            Sight::List => Transition::Missed { previous },
        };
        self.author_of_end(name, before, transition, now)
    }

    /// Who deleted the object `name`, which is gone.
    pub(super) fn author_of_removal(
        &self,
        name: &ObjectName,
        before: &ObjectVersion,
        sight: Sight,
        now: Instant,
    ) -> Verdict {
        let previous = &before.resource_version;
        let transition = match sight {
            Sight::Watch => Transition::Deleted { previous },
            Sight::List => Transition::Missed { previous },
        };
        self.author_of_end(name, before, transition, now)
    }

    fn author_of_end(
        &self,
        name: &ObjectName,
        before: &ObjectVersion,
        transition: Transition<'_>,
        now: Instant,
    ) -> Verdict {
        let is_pod = self.kind.group.is_empty() && self.kind.resource == "pods";
        let evictions = name.namespace.as_deref().filter(|_| is_pod).map(|namespace| pod_key(namespace, &name.name));
        let event = ObservedEvent { evictions: evictions.as_deref(), ..self.event(&before.uid, transition) };
        self.evidence.resolve(&event, || None, now)
    }

    fn event<'a>(&'a self, uid: &'a str, transition: Transition<'a>) -> ObservedEvent<'a> {
        ObservedEvent { uid, api_version: &self.kind.version, evictions: None, transition }
    }
}

/// What the finalizers of a deleted object say that becomes of its dependants.
fn propagation(object: &RawObject) -> Propagation {
    let Ok(document) = Document::parse(object.json()) else { return Propagation::Background };
    let has = |name: &str| {
        let finalizers = document.find(&["metadata", "finalizers"]);
        let mut names = finalizers.into_iter().flat_map(|list| document.elements(list));
        names.any(|node| document.string(node).as_deref() == Some(name))
    };
    match (has("foregroundDeletion"), has("orphan")) {
        (true, _) => Propagation::Foreground,
        (false, true) => Propagation::Orphan,
        (false, false) => Propagation::Background,
    }
}
