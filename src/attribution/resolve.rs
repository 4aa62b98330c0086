//! The join of what the watch saw with who asked for it.

use super::index::{Index, is_later};
use super::record::{Asked, Propagation, Record, Request};
use super::verdict::{Tier, Verdict};
use crate::resource::Fingerprint;
use std::sync::Arc;
use std::time::Instant;

/// A change of one object, as a watch or a list showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedEvent<'a> {
    /// `metadata.uid`.
    pub uid: &'a str,
    /// The version of its API in which it is watched, such as `v1`.
    pub api_version: &'a str,
    /// Of a Pod, the key of its evictions: [`pod_key`](super::pod_key).
    pub evictions: Option<&'a str>,
    /// What happened to the object.
    pub transition: Transition<'a>,
}

/// What happened to an object. `previous` is the resourceVersion that was seen before the event. A live watch shows
/// every version, so that the one before is the one that the change was made on; a list may have skipped some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition<'a> {
    /// ADDED by a live watch.
    Created,
    /// MODIFIED by a live watch, and not [`Transition::Marked`].
    Changed {
        /// The version before.
        previous: &'a str,
        /// The replicas after, if nothing else has changed.
        scaled_to: Option<u64>,
    },
    /// MODIFIED by a live watch, with the first `deletionTimestamp`.
    Marked {
        /// The version before.
        previous: &'a str,
        /// What its finalizers say that becomes of its dependants; never [`Propagation::Default`].
        propagation: Propagation,
    },
    /// DELETED by a live watch, without a `deletionTimestamp` before.
    Deleted {
        /// The version before.
        previous: &'a str,
    },
    /// Shown by a list.
    Listed {
        /// The version before; `None` for an object that was not there.
        previous: Option<&'a str>,
        /// The version that the list shows.
        version: &'a str,
    },
    /// Not shown by a list any more, or with its first `deletionTimestamp`.
    Missed {
        /// The version before.
        previous: &'a str,
    },
}

/// What a record amounts to.
enum Fit {
    /// This much.
    As(Tier),
    /// This much, if what it asked for is what became of the object; where versions were missed, else a rival.
    IfContent(Tier),
    /// Nothing, but it may have led to a version that was missed.
    Rival,
}

impl<'a> Transition<'a> {
    const fn previous(self) -> Option<&'a str> {
        match self {
            Self::Created => None,
            Self::Changed { previous, .. }
            | Self::Marked { previous, .. }
            | Self::Deleted { previous }
            | Self::Missed { previous } => Some(previous),
            Self::Listed { previous, .. } => previous,
        }
    }

    const fn is_end(self) -> bool {
        matches!(self, Self::Marked { .. } | Self::Deleted { .. } | Self::Missed { .. })
    }

    /// How `request` fits the transition, apart from content; `None` where it does not.
    fn fit(self, request: &Request) -> Option<Fit> {
        let is_base = |base: &Arc<str>| Some(&**base) == self.previous();
        let ends = |seen: Propagation, base: &Arc<str>, propagation: Propagation| {
            (is_base(base) && propagation.fits(seen)).then_some(Fit::As(Tier::Version))
        };
        match (self, request) {
            (Self::Created, Request::Create(_)) => Some(Fit::IfContent(Tier::Exact)),
            (Self::Changed { .. }, Request::Update { base, .. }) if is_base(base) => Some(Fit::IfContent(Tier::Exact)),
            (Self::Changed { scaled_to, .. }, Request::Scale { base, replicas }) => {
                (is_base(base) && scaled_to == Some(*replicas)).then_some(Fit::As(Tier::Version))
            }
            (Self::Marked { propagation: seen, .. }, Request::Delete { base, propagation }) => {
                ends(seen, base, *propagation)
            }
            // Whatever asks for a finalizer leaves an object that is marked first.
            (Self::Deleted { .. }, Request::Delete { base, propagation }) => {
                ends(Propagation::Background, base, *propagation)
            }
            (Self::Listed { previous, .. }, request) => {
                let is_left_behind = match (previous, request.base()) {
                    (Some(previous), base) => base.is_none_or(|base| is_later(previous, base)),
                    (None, _) => false,
                };
                let fit = request.asked().map_or(Fit::Rival, |_| Fit::IfContent(Tier::Relisted));
                (!is_left_behind).then_some(fit)
            }
            // Later versions that were missed may have had their own: whoever asked then is a rival.
            (Self::Missed { previous }, Request::Delete { base, .. }) => {
                (!is_later(previous, base)).then_some(Fit::As(Tier::Inferred))
            }
            (_, Request::Evict) if self.is_end() => Some(Fit::As(Tier::Inferred)),
            _ => None,
        }
    }
}

impl Index {
    /// Says who made the change that `event` shows, and forgets the records that the object has left behind.
    ///
    /// `content` gives the fingerprint of the object in the event. It is called at most once, outside of
    /// the lock, and only when a record could be joined by it; `None` joins nothing.
    ///
    /// A creation and a change are joined by uid, base version and content ([`Tier::Exact`]). Content is
    /// what tells many writers apart: the API server retries a write on each newer version, so that one
    /// version has requests of several users. Deletions and `/scale` carry no content and are joined by uid and
    /// base version ([`Tier::Version`]). After a list only the content joins ([`Tier::Relisted`]), and who
    /// deleted is inferred. Records that were lost before the join leave a single user unproven.
    pub fn resolve(
        &self,
        event: &ObservedEvent<'_>,
        content: impl FnOnce() -> Option<Fingerprint>,
        now: Instant,
    ) -> Verdict {
        let transition = event.transition;
        let is_candidate = |record: &Record| transition.fit(&record.request).is_some();
        let mut found = self.find(event.uid, now, is_candidate);
        let mut lost_evictions = None;
        if let Some(key) = event.evictions.filter(|_| transition.is_end()) {
            let evictions = self.find(key, now, is_candidate);
            found.records.extend(evictions.records);
            lost_evictions = evictions.lost;
        }
        let needs_content = found.records.iter().any(|kept| kept.record.request.asked().is_some());
        let content = needs_content.then(content).flatten();
        let mut complete = true;
        let (mut fitting, mut rivals): (Vec<(Arc<Record>, Tier)>, Vec<Arc<Record>>) = Default::default();
        for kept in found.records {
            let tier = match self.judge(event, &kept.record, content.as_ref()) {
                Some(Fit::As(tier)) => tier,
                Some(Fit::Rival) => {
                    rivals.push(kept.record);
                    continue;
                }
                Some(Fit::IfContent(_)) | None => continue,
            };
            // Nobody else can have made an object of that uid.
            if transition != Transition::Created {
                let mut lost = found.lost.iter().chain(&lost_evictions);
                complete &= !lost.any(|lost| lost.rivals(&kept, transition.previous()));
            }
            fitting.push((kept.record, tier));
        }
        self.leave(event);
        let verdict = Verdict::among(&fitting, complete);
        let on_previous = |(record, _): &(Arc<Record>, Tier)| {
            record.request.base().map(|base| &**base) == transition.previous() && record.request != Request::Evict
        };
        let is_alone = || rivals.iter().all(|rival| fitting.iter().all(|(record, _)| record.user == rival.user));
        match transition {
            // Versions before the last one were made by nobody knows whom.
            Transition::Listed { .. }
                if verdict.tier() != Tier::None && !(fitting.iter().all(on_previous) && is_alone()) =>
            {
                Verdict::merged(fitting.iter().map(|(record, _)| record).chain(&rivals))
            }
            Transition::Missed { .. } if verdict.author().is_some() && !fitting.iter().any(on_previous) => {
                Verdict::none()
            }
            _ => verdict,
        }
    }

    /// What `record` amounts to, its content looked at; `None` if to nothing.
    fn judge(&self, event: &ObservedEvent<'_>, record: &Record, content: Option<&Fingerprint>) -> Option<Fit> {
        let (fit, asked) = (event.transition.fit(&record.request)?, record.request.asked());
        match (fit, asked) {
            (Fit::IfContent(tier), Some(asked)) if Some(&asked.content) == content => Some(Fit::As(tier)),
            // Of an object in another version of its API only the metadata compares: managers and times are there.
            (Fit::IfContent(Tier::Exact), Some(Asked { api_version, content: asked })) => {
                let is_foreign = self.accepts_other_versions() && **api_version != *event.api_version;
                (is_foreign && content.is_some_and(|content| content.metadata == asked.metadata))
                    .then_some(Fit::As(Tier::Inferred))
            }
            (Fit::IfContent(_), _) => Some(Fit::Rival),
            (fit, _) => Some(fit),
        }
    }

    fn leave(&self, event: &ObservedEvent<'_>) {
        match event.transition {
            Transition::Created => self.leave_version(event.uid, None),
            Transition::Changed { previous, .. } | Transition::Marked { previous, .. } => {
                self.leave_version(event.uid, Some(previous));
            }
            Transition::Listed { version, .. } => self.reach_version(event.uid, version),
            // Evictions stay: one may be of the next Pod of that name, whose end is not seen yet.
            Transition::Deleted { .. } | Transition::Missed { .. } => self.leave_object(event.uid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::{Limits, Record, User, pod_key};
    use crate::resource::ContentHash;
    use std::cell::Cell;
    use std::sync::Arc;

    const NOW: i64 = 1_800_000_000;

    fn mk_record(request: Request, user: &str) -> Record {
        Record {
            uid: Arc::from("u"),
            request,
            user: User { name: user.to_owned(), email: None },
            field_manager: Some("kubectl".to_owned()),
            request_uid: String::new(),
            at: jiff::Timestamp::from_second(NOW).unwrap(),
        }
    }

    fn content(byte: u8) -> Fingerprint {
        Fingerprint { metadata: ContentHash([byte; 16]), rest: ContentHash([byte; 16]) }
    }

    fn asked(byte: u8) -> Asked {
        Asked { api_version: Arc::from("v1"), content: content(byte) }
    }

    fn create(byte: u8, user: &str) -> Record {
        mk_record(Request::Create(asked(byte)), user)
    }

    fn update(base: &str, byte: u8, user: &str) -> Record {
        mk_record(Request::Update { base: Arc::from(base), asked: asked(byte) }, user)
    }

    fn scale(base: &str, replicas: u64, user: &str) -> Record {
        mk_record(Request::Scale { base: Arc::from(base), replicas }, user)
    }

    fn delete_with(base: &str, propagation: Propagation, user: &str) -> Record {
        mk_record(Request::Delete { base: Arc::from(base), propagation }, user)
    }

    fn delete(base: &str, user: &str) -> Record {
        delete_with(base, Propagation::Default, user)
    }

    fn evict(user: &str) -> Record {
        Record { uid: pod_key("n", "p"), ..mk_record(Request::Evict, user) }
    }

    fn event(transition: Transition<'_>) -> ObservedEvent<'_> {
        ObservedEvent { uid: "u", api_version: "v1", evictions: Some("pods/n/p"), transition }
    }

    fn resolve_in(index: Index, records: &[Record], transition: Transition<'_>, byte: Option<u8>) -> Verdict {
        let now = Instant::now();
        for record in records {
            index.insert(record.clone(), now);
        }
        index.resolve(&event(transition), || byte.map(content), now)
    }

    fn resolve(records: &[Record], transition: Transition<'_>, byte: Option<u8>) -> Verdict {
        resolve_in(Index::new(Limits::default()), records, transition, byte)
    }

    const CHANGED: Transition<'_> = Transition::Changed { previous: "5", scaled_to: None };
    const SCALED: Transition<'_> = Transition::Changed { previous: "5", scaled_to: Some(0) };
    const MARKED: Transition<'_> = Transition::Marked { previous: "5", propagation: Propagation::Background };
    const DELETED: Transition<'_> = Transition::Deleted { previous: "5" };
    const LISTED: Transition<'_> = Transition::Listed { previous: Some("5"), version: "9" };
    const LISTED_NEW: Transition<'_> = Transition::Listed { previous: None, version: "9" };
    const MISSED: Transition<'_> = Transition::Missed { previous: "5" };

    #[test]
    fn one_user_among_the_candidates_is_the_author() {
        let table: &[(&str, &[Record], Transition<'_>, Tier)] = &[
            ("created", &[create(1, "alice")], Transition::Created, Tier::Exact),
            ("updated", &[update("5", 1, "alice")], CHANGED, Tier::Exact),
            ("marked", &[delete("5", "alice")], MARKED, Tier::Version),
            ("deleted", &[delete("5", "alice")], DELETED, Tier::Version),
            ("called twice", &[update("5", 1, "alice"), update("5", 1, "alice")], CHANGED, Tier::Exact),
            (
                "other content on the same version",
                &[update("5", 2, "bob"), update("5", 1, "alice")],
                CHANGED,
                Tier::Exact,
            ),
            (
                "same content on an older version",
                &[update("4", 1, "bob"), update("5", 1, "alice")],
                CHANGED,
                Tier::Exact,
            ),
            (
                "same content on a later version",
                &[update("5", 1, "alice"), update("6", 1, "bob")],
                CHANGED,
                Tier::Exact,
            ),
            ("deleted on an older version", &[delete("4", "bob"), delete("5", "alice")], MARKED, Tier::Version),
            (
                "another operation",
                &[delete("5", "bob"), update("5", 1, "alice"), create(1, "carol")],
                CHANGED,
                Tier::Exact,
            ),
            (
                "an update of the deleted version",
                &[update("5", 1, "bob"), delete("5", "alice")],
                DELETED,
                Tier::Version,
            ),
            ("scaled", &[scale("5", 0, "alice"), scale("5", 3, "bob"), scale("4", 0, "bob")], SCALED, Tier::Version),
            ("updated to other replicas", &[scale("5", 0, "alice"), update("5", 1, "alice")], SCALED, Tier::Exact),
            (
                "the propagation fits",
                &[delete_with("5", Propagation::Orphan, "bob"), delete_with("5", Propagation::Background, "alice")],
                MARKED,
                Tier::Version,
            ),
            (
                "waits for dependants",
                &[delete_with("5", Propagation::Foreground, "alice"), delete_with("5", Propagation::Background, "bob")],
                Transition::Marked { previous: "5", propagation: Propagation::Foreground },
                Tier::Version,
            ),
            ("evicted", &[evict("alice")], DELETED, Tier::Inferred),
            ("evicted with grace", &[evict("alice")], MARKED, Tier::Inferred),
            ("evicted and deleted by the same", &[evict("alice"), delete("5", "alice")], MARKED, Tier::Version),
            ("listed", &[update("5", 1, "alice"), update("5", 2, "alice")], LISTED, Tier::Relisted),
            (
                "listed after a change that was seen",
                &[update("4", 1, "bob"), update("5", 1, "alice")],
                LISTED,
                Tier::Relisted,
            ),
            ("created while nobody watched", &[create(1, "alice")], LISTED_NEW, Tier::Relisted),
            ("gone when listed", &[delete("5", "alice"), delete("4", "bob")], MISSED, Tier::Inferred),
            ("gone when listed, asked twice", &[delete("5", "alice"), delete("6", "alice")], MISSED, Tier::Inferred),
        ];
        for (what, records, transition, tier) in table {
            let verdict = resolve(records, *transition, Some(1));
            assert_eq!(verdict.tier(), *tier, "{what}");
            assert_eq!(verdict.author().unwrap().user.name, "alice", "{what}");
            assert!(verdict.candidates().is_empty(), "{what}");
        }
    }

    #[test]
    fn what_does_not_fit_proves_nobody() {
        let table: &[(&str, &[Record], Transition<'_>, Option<u8>)] = &[
            ("nothing", &[], CHANGED, Some(1)),
            ("other content", &[update("5", 2, "bob")], CHANGED, Some(1)),
            ("created with other content", &[create(2, "bob")], Transition::Created, Some(1)),
            ("older version", &[update("4", 1, "bob")], CHANGED, Some(1)),
            ("later version", &[update("6", 1, "bob")], CHANGED, Some(1)),
            ("no content", &[update("5", 1, "bob")], CHANGED, None),
            ("deleted on another version", &[delete("4", "bob")], DELETED, Some(1)),
            ("update for a deletion", &[update("5", 1, "bob")], MARKED, Some(1)),
            ("replicas that are not alone", &[scale("5", 0, "bob")], CHANGED, Some(1)),
            ("other replicas", &[scale("5", 1, "bob")], SCALED, Some(1)),
            ("other propagation", &[delete_with("5", Propagation::Foreground, "bob")], MARKED, None),
            ("a finalizer that nobody saw", &[delete_with("5", Propagation::Orphan, "bob")], DELETED, None),
            ("an eviction for a change", &[evict("bob")], CHANGED, Some(1)),
            ("listed with other content", &[update("5", 2, "bob"), create(2, "bob")], LISTED, Some(1)),
            ("listed after what was seen", &[update("4", 1, "bob"), create(1, "bob")], LISTED, Some(1)),
            ("scaled when listed", &[scale("5", 0, "bob")], LISTED, Some(1)),
            ("gone when listed, deleted later", &[delete("6", "bob")], MISSED, None),
            ("gone when listed, deleted before", &[delete("4", "bob")], MISSED, None),
            ("gone when listed, evicted", &[evict("bob")], MISSED, None),
        ];
        for (what, records, transition, content) in table {
            assert_eq!(resolve(records, *transition, *content), Verdict::none(), "{what}");
        }
        let other_object = Record { uid: Arc::from("v"), ..update("5", 1, "bob") };
        assert_eq!(resolve(&[other_object], CHANGED, Some(1)), Verdict::none());
    }

    #[test]
    fn two_users_are_ambiguous_and_named_in_order() {
        let records = [update("5", 1, "carol"), update("5", 1, "bob"), update("5", 1, "carol"), update("5", 2, "dave")];
        let verdict = resolve(&records, CHANGED, Some(1));
        assert_eq!((verdict.tier(), verdict.author()), (Tier::Ambiguous, None));
        assert_eq!(verdict.candidates(), ["bob", "carol"]);
        let table: &[(&str, &[Record], Transition<'_>)] = &[
            ("scaled or written", &[scale("5", 0, "bob"), update("5", 1, "carol")], SCALED),
            ("deleted or evicted", &[delete("5", "bob"), evict("carol")], DELETED),
            ("listed, on the same version", &[update("5", 1, "bob"), update("5", 1, "carol")], LISTED),
            ("gone, deleted on one version or another", &[delete("5", "bob"), delete("7", "carol")], MISSED),
            ("gone, deleted or evicted", &[delete("5", "bob"), evict("carol")], MISSED),
        ];
        for (what, records, transition) in table {
            let verdict = resolve(records, *transition, Some(1));
            assert_eq!((verdict.tier(), verdict.author()), (Tier::Ambiguous, None), "{what}");
            assert_eq!(verdict.candidates(), ["bob", "carol"], "{what}");
        }
        let crowd: Vec<Record> = (0..50).map(|n| delete("5", &format!("user-{n:02}"))).collect();
        assert_eq!(resolve(&crowd, MARKED, None).candidates().len(), super::super::verdict::MAX_CANDIDATES);
    }

    #[test]
    fn the_last_of_one_users_records_tells_time_and_manager() {
        let at = jiff::Timestamp::from_second(NOW + 1).unwrap();
        let last = Record { at, field_manager: Some("helm".to_owned()), ..update("5", 1, "alice") };
        for records in [[update("5", 1, "alice"), last.clone()], [last.clone(), update("5", 1, "alice")]] {
            let verdict = resolve(&records, CHANGED, Some(1));
            let author = verdict.author().unwrap();
            assert_eq!((author.at, author.field_manager.as_deref()), (at, Some("helm")));
        }
    }

    #[test]
    fn content_is_computed_only_for_a_candidate() {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        index.insert(update("4", 1, "alice"), now);
        index.insert(delete("5", "alice"), now);
        let calls = Cell::new(0);
        let once = || {
            calls.set(calls.get() + 1);
            assert_eq!(index.len(), 1, "the lock is free");
            Some(content(1))
        };
        for transition in [CHANGED, MARKED, DELETED] {
            index.resolve(&event(transition), once, now);
        }
        assert_eq!(calls.get(), 0);
        index.insert(update("5", 1, "alice"), now);
        index.resolve(&event(CHANGED), once, now);
        assert_eq!(calls.get(), 1);
    }

    #[test]
    fn a_chain_of_changes_is_joined_although_the_watch_lags() {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        let chain = [create(1, "a"), update("1", 2, "b"), update("2", 1, "c"), delete("3", "d")];
        for record in &chain {
            index.insert(record.clone(), now);
        }
        let transitions = [
            (Transition::Created, 1, "a"),
            (Transition::Changed { previous: "1", scaled_to: None }, 2, "b"),
            (Transition::Changed { previous: "2", scaled_to: None }, 1, "c"),
            (Transition::Deleted { previous: "3" }, 1, "d"),
        ];
        for (transition, byte, user) in transitions {
            let verdict = index.resolve(&event(transition), || Some(content(byte)), now);
            assert_eq!(verdict.author().map(|author| author.user.name.as_str()), Some(user));
        }
        assert!(index.is_empty());
    }

    #[test]
    fn who_made_the_last_of_several_versions_is_not_their_author() {
        for (records, transition) in [
            (&[update("7", 1, "alice")][..], LISTED),
            (&[update("5", 1, "alice"), update("7", 1, "alice")], LISTED),
            (&[update("7", 1, "alice")], LISTED_NEW),
            (&[update("5", 1, "alice"), update("5", 2, "bob")], LISTED),
            (&[update("5", 1, "alice"), scale("6", 2, "bob")], LISTED),
            (&[update("5", 1, "alice"), delete("5", "bob")], LISTED),
            (&[update("5", 1, "alice"), update("7", 1, "bob")], LISTED),
            (&[update("5", 2, "carol"), update("6", 1, "alice"), update("6", 1, "bob")], LISTED),
        ] {
            let verdict = resolve(records, transition, Some(1));
            assert_eq!((verdict.tier(), verdict.author()), (Tier::Relisted, None), "{records:?}");
            let names: std::collections::BTreeSet<_> = records.iter().map(|record| &record.user.name).collect();
            assert!(verdict.candidates().iter().eq(names), "{records:?}");
        }
    }

    #[test]
    fn another_version_of_the_api_is_joined_by_its_metadata_where_it_is_shown() {
        let foreign = |byte: u8, user| {
            let asked = Asked {
                api_version: Arc::from("v2"),
                content: Fingerprint { rest: ContentHash([9; 16]), ..content(byte) },
            };
            mk_record(Request::Update { base: Arc::from("5"), asked }, user)
        };
        let accepting = || Index::new(Limits::default()).with_other_versions();
        let verdict = resolve_in(accepting(), &[foreign(1, "alice"), foreign(2, "bob")], CHANGED, Some(1));
        assert_eq!((verdict.tier(), verdict.author().unwrap().user.name.as_str()), (Tier::Inferred, "alice"));
        let verdict = resolve_in(accepting(), &[foreign(1, "bob"), update("5", 1, "carol")], CHANGED, Some(1));
        assert_eq!((verdict.tier(), verdict.candidates().len()), (Tier::Ambiguous, 2));
        let same_version = Asked { api_version: Arc::from("v1"), ..foreign(1, "bob").request.asked().unwrap().clone() };
        let same_version = mk_record(Request::Update { base: Arc::from("5"), asked: same_version }, "bob");
        assert_eq!(resolve_in(accepting(), &[same_version], CHANGED, Some(1)), Verdict::none());
        assert_eq!(resolve(&[foreign(1, "bob")], CHANGED, Some(1)), Verdict::none(), "where only a forger shows it");
    }

    #[test]
    fn an_eviction_may_be_of_the_next_pod_of_that_name() {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        index.insert(evict("bob"), now);
        assert_eq!(index.resolve(&event(DELETED), || None, now).tier(), Tier::Inferred);
        index.insert(evict("mallory"), now);
        let next = ObservedEvent { uid: "another", ..event(DELETED) };
        assert_eq!(index.resolve(&next, || None, now).tier(), Tier::Ambiguous);
    }

    #[test]
    fn a_list_drops_what_can_no_longer_come() {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        for base in ["5", "8", "9", "10"] {
            index.insert(update(base, 1, "alice"), now);
        }
        index.resolve(&event(LISTED), || Some(content(2)), now);
        assert_eq!(index.len(), 2, "on the listed version and on a later one");
    }
}
