//! How objects go: who is told, and by whom it was.

use super::audience::Wanted;
use super::beside::Awaited;
use super::reading::number;
use super::sighting::Told;
use super::{Delivery, Intake, RawObject, Seen, Source, identify};
use crate::attribution::Verdict;
use crate::change::{Content, ObjectVersion};
use crate::resource::ObjectName;
use crate::watch::join::Sight;
use std::time::Instant;

impl Intake {
    /// An object is gone.
    pub fn deleted(&mut self, object: &RawObject, now: Instant) -> Vec<Delivery> {
        let Some((name, version)) = identify(object) else { return Vec::new() };
        // A server may show the end of an object under the version that was seen last.
        let is_same = self.objects.get(&name).is_some_and(|seen| seen.version == version);
        if !is_same && self.is_old(&name, &version) {
            return Vec::new();
        }
        self.caught_up(&name, &version, true);
        let awaited = self.awaited.remove(&name);
        if (!self.lists.is_empty() || self.overlaps)
            && let Some(end) = number(&version.resource_version)
        {
            self.gone.insert(name.clone(), end);
        }
        let seen = self.objects.remove(&name);
        let same = seen.as_ref().filter(|seen| seen.version.uid == version.uid);
        // The file went with the first sight of the deletion.
        if same.is_some_and(|seen| seen.terminating) && awaited.is_none() {
            return Vec::new();
        }
        let verdict = match same {
            Some(seen) => self.join.author_of_removal(&name, &seen.version, Sight::Watch, now),
            None => Verdict::none(),
        };
        let holding = self.holding_or_awaiting(&name, seen.as_ref(), object, awaited);
        self.removal(&name, holding, &version, &verdict, None)
    }

    /// The first sight of a deletion timestamp is the deletion: what follows until the object is gone is housekeeping.
    pub(super) fn terminating(
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
        let holding = self.holding_or_awaiting(&name, before.as_ref(), object, awaited);
        self.removal(&name, holding, &version, &verdict, list)
    }

    /// Who has a file of the object `name`, which goes, and who awaits its next sight: a list may have left a file to the
    /// watch that nobody remembers otherwise.
    fn holding_or_awaiting(
        &self,
        name: &ObjectName,
        before: Option<&Seen>,
        object: &RawObject,
        awaited: Option<Awaited>,
    ) -> Vec<Wanted> {
        let mut holding = self.holding(name, before, self.labels_of(object).as_ref());
        let awaiting = awaited.map(|awaited| awaited.targets).unwrap_or_default();
        holding.extend(self.reaching(name).into_iter().filter(|wanted| awaiting.contains(&wanted.target.name)));
        Wanted::once_each(holding)
    }

    /// One removal for each of `holding` that has had a list.
    pub(super) fn removal(
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
        let change = |wanted| {
            let told = Told { content: Content::Delete, is_news: true };
            self.change(name, wanted, told, version.clone(), verdict.clone())
        };
        ready.filter_map(change).collect()
    }
}
