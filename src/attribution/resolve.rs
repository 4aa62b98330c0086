//! The join of what the watch saw with who asked for it.

use super::index::Index;
use super::verdict::{Tier, Verdict};
use crate::resource::{ContentHash, Operation};
use std::time::Instant;

/// A change of one object, seen by a watch that has shown every version before it.
///
/// After a re-list versions may be missing, and nothing joins: use [`Verdict::none`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedEvent<'a> {
    /// `metadata.uid`.
    pub uid: &'a str,
    /// What happened to the object.
    pub transition: Transition<'a>,
}

/// What happened to an object. `previous` is the resourceVersion that the watch showed before the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition<'a> {
    /// ADDED by a live watch, not by a list.
    Created,
    /// MODIFIED, and not [`Transition::Marked`].
    Changed {
        /// The version before.
        previous: &'a str,
    },
    /// MODIFIED, with the first `deletionTimestamp`.
    Marked {
        /// The version before.
        previous: &'a str,
    },
    /// DELETED, without a `deletionTimestamp` before.
    Deleted {
        /// The version before.
        previous: &'a str,
    },
}

impl<'a> Transition<'a> {
    /// The operation that leads to it.
    const fn operation(self) -> Operation {
        match self {
            Self::Created => Operation::Create,
            Self::Changed { .. } => Operation::Update,
            Self::Marked { .. } | Self::Deleted { .. } => Operation::Delete,
        }
    }

    const fn previous(self) -> Option<&'a str> {
        match self {
            Self::Created => None,
            Self::Changed { previous } | Self::Marked { previous } | Self::Deleted { previous } => Some(previous),
        }
    }
}

impl Index {
    /// Says who made the change that `event` shows, and forgets the records that the object has left behind.
    ///
    /// `content` gives the fingerprint of the object in the event. It is called at most once, outside of
    /// the lock, and only when a record of this object and base version is there; `None` joins nothing.
    ///
    /// A creation and a change are joined by uid, base version and content ([`Tier::Exact`]). Content is
    /// what tells many writers apart: the API server retries a write on each newer version, so that one
    /// version has requests of several users. A deletion carries no content and is joined by uid and base
    /// version ([`Tier::Version`]). Records that were lost before the join leave a single user unproven.
    pub fn resolve(
        &self,
        event: &ObservedEvent<'_>,
        content: impl FnOnce() -> Option<ContentHash>,
        now: Instant,
    ) -> Verdict {
        let ObservedEvent { uid, transition } = *event;
        let mut found = self.find(uid, transition.operation(), transition.previous(), now);
        let proof = if transition.operation() == Operation::Delete { Tier::Version } else { Tier::Exact };
        if proof == Tier::Exact && !found.records.is_empty() {
            let content = content();
            found.records.retain(|record| content.is_some() && record.content == content);
        }
        match transition {
            Transition::Deleted { .. } => self.leave_object(uid),
            Transition::Created | Transition::Changed { .. } | Transition::Marked { .. } => {
                self.leave_version(uid, transition.previous());
            }
        }
        Verdict::among(&found.records, proof, found.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::{Limits, Record, User};
    use std::cell::Cell;
    use std::sync::Arc;

    const NOW: i64 = 1_800_000_000;

    fn mk_record(operation: Operation, base: Option<&str>, content: Option<u8>, user: &str) -> Record {
        Record {
            uid: Arc::from("u"),
            operation,
            old_resource_version: base.map(Arc::from),
            content: content.map(|byte| ContentHash([byte; 16])),
            user: User { name: user.to_owned() },
            field_manager: Some("kubectl".to_owned()),
            request_uid: String::new(),
            at: jiff::Timestamp::from_second(NOW).unwrap(),
        }
    }

    fn create(content: u8, user: &str) -> Record {
        mk_record(Operation::Create, None, Some(content), user)
    }

    fn update(base: &str, content: u8, user: &str) -> Record {
        mk_record(Operation::Update, Some(base), Some(content), user)
    }

    fn delete(base: &str, user: &str) -> Record {
        mk_record(Operation::Delete, Some(base), None, user)
    }

    fn resolve(records: &[Record], transition: Transition<'_>, content: Option<u8>) -> Verdict {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        for record in records {
            index.insert(record.clone(), now);
        }
        index.resolve(&ObservedEvent { uid: "u", transition }, || content.map(|byte| ContentHash([byte; 16])), now)
    }

    const CHANGED: Transition<'_> = Transition::Changed { previous: "5" };
    const MARKED: Transition<'_> = Transition::Marked { previous: "5" };
    const DELETED: Transition<'_> = Transition::Deleted { previous: "5" };

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
        let content = || {
            calls.set(calls.get() + 1);
            assert_eq!(index.len(), 1, "the lock is free");
            Some(ContentHash([1; 16]))
        };
        for transition in [CHANGED, MARKED, DELETED] {
            index.resolve(&ObservedEvent { uid: "u", transition }, content, now);
        }
        assert_eq!(calls.get(), 0);
        index.insert(update("5", 1, "alice"), now);
        index.resolve(&ObservedEvent { uid: "u", transition: CHANGED }, content, now);
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
            (Transition::Changed { previous: "1" }, 2, "b"),
            (Transition::Changed { previous: "2" }, 1, "c"),
            (Transition::Deleted { previous: "3" }, 1, "d"),
        ];
        for (transition, content, user) in transitions {
            let verdict =
                index.resolve(&ObservedEvent { uid: "u", transition }, || Some(ContentHash([content; 16])), now);
            assert_eq!(verdict.author().map(|author| author.user.name.as_str()), Some(user));
        }
        assert!(index.is_empty());
    }
}
