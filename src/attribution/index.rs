//! The admission records of the last minute, by the uid of the object.

use super::record::Record;
use crate::resource::Operation;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much an [`Index`] holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a record can be joined.
    pub ttl: Duration,
    /// The largest number of records of all objects together.
    pub records: usize,
    /// The largest number of records of one object: one that many write at once sees about 50 calls a
    /// persisted write.
    pub records_per_uid: usize,
}

impl Default for Limits {
    /// 60 s, 10 000 records, 256 an object.
    fn default() -> Self {
        Self { ttl: Duration::from_secs(60), records: 10_000, records_per_uid: 256 }
    }
}

/// A bounded store of [`Record`]s, shared by the webhook, which inserts, and the watch, which joins.
///
/// Records go when they are too old, when there is no room for them, and when the watch has seen their
/// object move on. Every operation takes amortised constant time, apart from the records of the one
/// object that a join looks at.
#[derive(Debug)]
pub struct Index {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: HashMap<Arc<str>, Object>,
    /// Every record in the order of its arrival, which is the order in which they expire. Records that went
    /// for another reason stay as stale entries until they come to the front, or until too many are stale.
    arrivals: VecDeque<Arrival>,
    records: usize,
    next: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Arrival {
    number: u64,
    at: Instant,
    uid: Arc<str>,
}

/// The records of one object.
#[derive(Debug, Default)]
struct Object {
    /// With the number of their arrival, ascending.
    records: VecDeque<(u64, Arc<Record>)>,
    /// The latest base version of which a record went before it could be joined: the records of that
    /// version, and of earlier ones, are perhaps not all.
    lost: Option<Arc<str>>,
}

/// The records that have the wanted operation and base version.
pub(super) struct Found {
    pub(super) records: Vec<Arc<Record>>,
    /// Whether no record of that base version was lost.
    pub(super) complete: bool,
}

impl Index {
    /// An empty index. It holds at least one record an object, whatever the limits say.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { records_per_uid: limits.records_per_uid.max(1), ..limits };
        Self { limits, state: Mutex::new(State::default()) }
    }

    /// Keeps `record`, which arrived at `now`, for a later join. The oldest records make room for it.
    pub fn insert(&self, record: Record, now: Instant) {
        let mut state = self.lock();
        state.expire(now, self.limits.ttl);
        let (number, uid) = (state.next, Arc::clone(&record.uid));
        state.next += 1;
        state.arrivals.push_back(Arrival { number, at: now, uid: Arc::clone(&uid) });
        state.records += 1;
        let object = state.objects.entry(uid).or_default();
        object.records.push_back((number, Arc::new(record)));
        if object.records.len() > self.limits.records_per_uid {
            object.lose_first();
            state.records -= 1;
            state.evictions += 1;
        }
        while state.records > self.limits.records {
            if state.drop_first_arrival() {
                state.evictions += 1;
            }
        }
        if state.arrivals.len() > 2 * self.limits.records.max(1) {
            state.drop_stale_arrivals();
        }
    }

    /// How many records went for want of room since the start. Those that expired are not counted.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.lock().evictions
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().records
    }

    /// Whether there are no records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records of `uid` that ask for `operation` on the version `base`.
    pub(super) fn find(&self, uid: &str, operation: Operation, base: Option<&str>, now: Instant) -> Found {
        let mut state = self.lock();
        state.expire(now, self.limits.ttl);
        let Some(object) = state.objects.get(uid) else { return Found { records: Vec::new(), complete: true } };
        let fits = |record: &Record| record.operation == operation && record.old_resource_version.as_deref() == base;
        Found {
            records: object
                .records
                .iter()
                .filter(|(_, record)| fits(record))
                .map(|(_, record)| Arc::clone(record))
                .collect(),
            complete: match (&object.lost, base) {
                (Some(lost), Some(base)) => is_later(base, lost),
                _ => true,
            },
        }
    }

    /// Drops the records of `uid` that nothing can join any more, because the watch has seen the object
    /// leave the version `base`; `None`: because it has seen the object come into being.
    pub(super) fn leave_version(&self, uid: &str, base: Option<&str>) {
        let mut state = self.lock();
        let Some(object) = state.objects.get_mut(uid) else { return };
        let before = object.records.len();
        object.records.retain(|(_, record)| match (record.old_resource_version.as_deref(), base) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(old), Some(base)) => old != base && !is_later(base, old),
        });
        let (dropped, empty) = (before - object.records.len(), object.records.is_empty());
        if empty {
            state.objects.remove(uid);
        }
        state.records -= dropped;
    }

    /// Drops all records of `uid`, which is gone.
    pub(super) fn leave_object(&self, uid: &str) {
        let mut state = self.lock();
        if let Some(object) = state.objects.remove(uid) {
            state.records -= object.records.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, records would be lost at worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn expire(&mut self, now: Instant, ttl: Duration) {
        while self.arrivals.front().is_some_and(|first| now.saturating_duration_since(first.at) >= ttl) {
            self.drop_first_arrival();
        }
    }

    /// Drops the first arrival; says whether it stood for a record that was still there. Of one object
    /// the records arrive in order, so that a record that is still there is its object's first.
    fn drop_first_arrival(&mut self) -> bool {
        let Some(Arrival { number, uid, .. }) = self.arrivals.pop_front() else { return false };
        let Some(object) = self.objects.get_mut(&uid) else { return false };
        if object.records.front().is_none_or(|(first, _)| *first != number) {
            return false;
        }
        object.lose_first();
        if object.records.is_empty() {
            self.objects.remove(&uid);
        }
        self.records -= 1;
        true
    }

    fn drop_stale_arrivals(&mut self) {
        let objects = &self.objects;
        self.arrivals.retain(|Arrival { number, uid, .. }| {
            objects.get(uid).is_some_and(|object| object.records.binary_search_by_key(number, |(n, _)| *n).is_ok())
        });
    }
}

impl Object {
    fn lose_first(&mut self) {
        let Some((_, record)) = self.records.pop_front() else { return };
        if let Some(version) = &record.old_resource_version
            && self.lost.as_ref().is_none_or(|lost| !is_later(lost, version))
        {
            self.lost = Some(Arc::clone(version));
        }
    }
}

/// Whether the resourceVersion `a` is known to be later than `b`, of the same object. They compare as
/// decimal numbers; of anything else no order is known.
fn is_later(a: &str, b: &str) -> bool {
    let number = |version: &str| version.parse::<u128>().ok();
    matches!((number(a), number(b)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::{ObservedEvent, Transition, User};

    fn mk_delete(uid: &str, base: &str, user: &str) -> Record {
        Record {
            uid: Arc::from(uid),
            operation: Operation::Delete,
            old_resource_version: Some(Arc::from(base)),
            content: None,
            user: User { name: user.to_owned() },
            field_manager: None,
            request_uid: String::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn author_of_delete(index: &Index, uid: &str, previous: &str, now: Instant) -> Option<String> {
        let event = ObservedEvent { uid, transition: Transition::Marked { previous } };
        index.resolve(&event, || None, now).author().map(|author| author.user.name.clone())
    }

    #[test]
    fn records_expire() {
        let (index, start) = (Index::new(Limits::default()), Instant::now());
        index.insert(mk_delete("a", "1", "alice"), start);
        index.insert(mk_delete("b", "1", "bob"), start);
        assert_eq!(author_of_delete(&index, "a", "1", start + Duration::from_millis(59_999)), Some("alice".into()));
        assert_eq!(author_of_delete(&index, "b", "1", start + Duration::from_secs(60)), None);
        assert_eq!((index.len(), index.evictions()), (0, 0));
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let (index, now) = (Index::new(Limits { records: 3, records_per_uid: 2, ..Limits::default() }), Instant::now());
        for (uid, base) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")] {
            index.insert(mk_delete(uid, base, "alice"), now);
        }
        assert_eq!((index.len(), index.evictions()), (3, 1));
        index.insert(mk_delete("c", "1", "alice"), now);
        assert_eq!((index.len(), index.evictions()), (3, 2));
        assert_eq!(author_of_delete(&index, "a", "2", now), None);
        assert_eq!(author_of_delete(&index, "a", "3", now), Some("alice".into()));
        assert_eq!(author_of_delete(&index, "b", "1", now), Some("alice".into()));
    }

    #[test]
    fn a_version_that_lost_a_record_proves_nobody() {
        let (index, now) = (Index::new(Limits { records_per_uid: 2, ..Limits::default() }), Instant::now());
        for user in ["alice", "bob", "bob"] {
            index.insert(mk_delete("a", "9", user), now);
        }
        assert_eq!(author_of_delete(&index, "a", "9", now), None);
        index.insert(mk_delete("a", "10", "carol"), now);
        assert_eq!(author_of_delete(&index, "a", "10", now), Some("carol".into()));
    }

    #[test]
    fn an_event_drops_what_is_not_later() {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        for base in ["9", "10", "10", "11"] {
            index.insert(mk_delete("a", base, "alice"), now);
        }
        assert_eq!(author_of_delete(&index, "a", "10", now), Some("alice".into()));
        assert_eq!(index.len(), 1);
        assert_eq!(author_of_delete(&index, "a", "10", now), None);
        assert_eq!(author_of_delete(&index, "a", "11", now), Some("alice".into()));
        assert!(index.is_empty());
    }

    #[test]
    fn versions_without_an_order_are_dropped_one_by_one() {
        let (index, now) = (Index::new(Limits::default()), Instant::now());
        for base in ["x", "y"] {
            index.insert(mk_delete("a", base, "alice"), now);
        }
        assert_eq!(author_of_delete(&index, "a", "x", now), Some("alice".into()));
        assert_eq!(author_of_delete(&index, "a", "y", now), Some("alice".into()));
    }

    #[test]
    fn joined_records_leave_nothing_behind() {
        let (index, now) = (Index::new(Limits { records: 10, ..Limits::default() }), Instant::now());
        index.insert(mk_delete("stays", "1", "alice"), now);
        for round in 0..1_000 {
            let uid = format!("uid-{round}");
            index.insert(mk_delete(&uid, "1", "bob"), now);
            assert!(author_of_delete(&index, &uid, "1", now).is_some());
        }
        let state = index.lock();
        assert!(state.arrivals.len() <= 20, "{}", state.arrivals.len());
        assert_eq!((state.objects.len(), state.records, state.evictions), (1, 1, 0));
    }
}
