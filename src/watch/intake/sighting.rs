//! What a version of an object means: changes, for whom, and by whom.

use super::audience::{Footing, Wanted, Wanters};
use super::reading::{self, Read, Reading};
use super::{Delivery, Intake, Seen, Source};
use crate::attribution::Verdict;
use crate::change::{Content, ObjectVersion};
use crate::resource::{NamespacedName, ObjectName, Oid};
use crate::sanitize::{Document, Manifest};
use crate::watch::join::Sight;
use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::time::Instant;

impl Intake {
    /// A version that is new, of an object that is not going.
    pub(super) fn observe(
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
            Read::Unwanted => {
                (seen.unread, seen.wanters) = (true, self.wanters(&name, reading.labels.as_ref(), had.as_ref()));
                self.objects.insert(name, seen);
                return Vec::new();
            }
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
        let mut deliver = |wanted: Wanted, told: Told, footing: Footing| {
            // What others changed since the file was written comes with it, unless it is the first version.
            let is_awaited = news.awaited.contains(&wanted.target.name);
            let is_whole = (footing == Footing::Whole && !is_awaited) || before.is_none();
            let verdict = if is_whole { verdict() } else { verdict().merged_with(BTreeSet::new()) };
            deliveries.extend(self.change(name, wanted, told, seen.version.clone(), verdict));
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
            let is_news = (news.is_new && !is_same_cut) || is_gained;
            let footing = self.footing(target, name.namespace.as_deref(), list);
            let footing = footing.or(is_awaited.then_some(Footing::Partial));
            let (true, Some(footing)) = (is_news || is_awaited, footing) else { continue };
            let content = match (cut, &news.content) {
                (Some(cut), _) => Content::Upsert(cut),
                (None, Some(manifest)) => Content::Upsert(manifest.clone()),
                // What becomes noise loses its file.
                (None, None) => Content::Delete,
            };
            deliver(wanted, Told { content, is_news }, footing);
        }
        let awaiting: Wanters = news.awaited.iter().cloned().collect();
        let lost = [news.had.as_ref(), Some(&awaiting)].into_iter().flatten();
        let lost = lost.flat_map(|had| self.losing(name, had, seen.wanters.as_ref())).collect();
        for wanted in Wanted::once_each(lost).into_iter().filter(|_| seen.wanters.is_some()) {
            if let Some(footing) = self.footing(&wanted.target.name, name.namespace.as_deref(), list) {
                deliver(wanted, Told { content: Content::Deselect, is_news: true }, footing);
            }
        }
        (deliveries, (!cuts.is_empty()).then(|| cuts.into()))
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

/// What one target is told of it.
pub(super) struct Told {
    pub(super) content: Content,
    /// See [`Change::is_news`](crate::change::Change::is_news).
    pub(super) is_news: bool,
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
