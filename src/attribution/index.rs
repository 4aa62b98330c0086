//! The admission records of the last minute, by the uid of the object.

use super::record::{Record, Request};
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
    /// The most that all records together may take, in bytes.
    pub bytes: usize,
}

impl Default for Limits {
    /// 60 s, 10 000 records, 256 an object, 16 MiB.
    fn default() -> Self {
        Self { ttl: Duration::from_secs(60), records: 10_000, records_per_uid: 256, bytes: 16 << 20 }
    }
}

/// How many records went for want of room since the start, by what there was too much of. Those that expired are not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evictions {
    /// Records.
    pub records: u64,
    /// Records of one object.
    pub records_per_uid: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A bounded store of [`Record`]s, shared by the webhook, which inserts, and the watch, which joins.
///
/// Records go when they are too old, when there is no room for them, and when the watch has seen their
/// object move on. Every operation takes amortised constant time, apart from the records of the one
/// object that a join looks at.
#[derive(Debug)]
pub struct Index {
    limits: Limits,
    other_versions: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: HashMap<Arc<str>, Object>,
    /// Every record in the order of its arrival, which is the order in which they expire. Records that went
    /// for another reason stay as stale entries until they come to the front, or until too many are stale.
    arrivals: VecDeque<Arrival>,
    /// Objects of which nothing is left but that records were lost, oldest first.
    bereft: VecDeque<Arc<str>>,
    records: usize,
    bytes: usize,
    next: u64,
    evictions: Evictions,
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
    /// In the order of their arrival.
    records: VecDeque<Kept>,
    lost: Option<Lost>,
}

/// A record with the number and time of its arrival.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    number: u64,
    at: Instant,
    pub(super) record: Arc<Record>,
}

/// Records of an object that went before they could be joined.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// None of them started from a later version; `None`: that is not known.
    up_to: Option<Arc<str>>,
    /// When the last of them had arrived.
    at: Instant,
}

/// The version that a CREATE starts from, before all others.
const BEFORE_ALL: &str = "0";

impl Lost {
    /// Whether a lost record may have fitted as well as `kept`: it started from the version `previous` or a later one
    /// (`None`: from any), and not so long before that its request was over, which takes a minute at most.
    pub(super) fn rivals(&self, kept: &Kept, previous: Option<&str>) -> bool {
        const LONGEST_REQUEST: Duration = Duration::from_secs(60);
        let is_left_behind = match (&self.up_to, previous) {
            (Some(lost), Some(previous)) => is_later(previous, lost),
            _ => false,
        };
        !is_left_behind && kept.at < self.at + LONGEST_REQUEST
    }

    fn and(self, other: Self) -> Self {
        let up_to = match (self.up_to, other.up_to) {
            (Some(a), Some(b)) if a == b || is_later(&a, &b) => Some(a),
            (Some(a), Some(b)) if is_later(&b, &a) => Some(b),
            _ => None,
        };
        Self { up_to, at: self.at.max(other.at) }
    }
}

/// What there is of an object that fits.
#[derive(Default)]
pub(super) struct Found {
    pub(super) records: Vec<Kept>,
    pub(super) lost: Option<Lost>,
}

impl Index {
    /// An empty index. It holds at least one record an object, whatever the limits say.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let limits = Limits { records_per_uid: limits.records_per_uid.max(1), ..limits };
        Self { limits, other_versions: false, state: Mutex::new(State::default()) }
    }

    /// The index, which then also infers who submitted an object in another version of its API than the watched one.
    /// Only where the API server is asked for all versions does it show them; everywhere else they would be forged.
    #[must_use]
    pub fn with_other_versions(self) -> Self {
        Self { other_versions: true, ..self }
    }

    pub(super) const fn accepts_other_versions(&self) -> bool {
        self.other_versions
    }

    /// Keeps `record`, which arrived at `now`, for a later join. The oldest records make room for it.
    pub fn insert(&self, record: Record, now: Instant) {
        let mut state = self.lock();
        state.expire(now, self.limits.ttl);
        state.add(record, now);
        state.make_room(&self.limits);
    }

    /// How many records went for want of room since the start.
    #[must_use]
    pub fn evictions(&self) -> Evictions {
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

    /// The records kept under `uid` that are `wanted`.
    pub(super) fn find(&self, uid: &str, now: Instant, wanted: impl Fn(&Record) -> bool) -> Found {
        let mut state = self.lock();
        state.expire(now, self.limits.ttl);
        let Some(object) = state.objects.get(uid) else { return Found::default() };
        let records = object.records.iter().filter(|kept| wanted(&kept.record));
        Found { records: records.cloned().collect(), lost: object.lost.clone() }
    }

    /// Drops the records of `uid` that nothing can join any more, because the watch has seen the object
    /// leave the version `base`; `None`: because it has seen the object come into being.
    pub(super) fn leave_version(&self, uid: &str, base: Option<&str>) {
        self.lock().retain(uid, |old| match (old, base) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(old), Some(base)) => old != base && !is_later(base, old),
        });
    }

    /// Drops the records of `uid` that nothing can join any more, because a list has shown the object in `version`.
    pub(super) fn reach_version(&self, uid: &str, version: &str) {
        self.lock().retain(uid, |old| old.is_some_and(|old| !is_later(version, old)));
    }

    /// Drops all records of `uid`, which is gone.
    pub(super) fn leave_object(&self, uid: &str) {
        self.lock().remove_object(uid);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; if it did, records would be lost at worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, record: Record, now: Instant) {
        let (number, uid) = (self.next, Arc::clone(&record.uid));
        self.next += 1;
        self.records += 1;
        self.bytes += record.size();
        self.arrivals.push_back(Arrival { number, at: now, uid: Arc::clone(&uid) });
        let kept = Kept { number, at: now, record: Arc::new(record) };
        self.objects.entry(uid).or_default().records.push_back(kept);
    }

    /// Drops the oldest records until the rest is within `limits`.
    fn make_room(&mut self, limits: &Limits) {
        if let Some(uid) = self.arrivals.back().map(|last| Arc::clone(&last.uid))
            && self.objects.get(&uid).is_some_and(|object| object.records.len() > limits.records_per_uid)
        {
            self.lose_first(&uid);
            self.evictions.records_per_uid += 1;
        }
        while self.records > limits.records {
            self.evictions.records += u64::from(self.drop_first_arrival());
        }
        while self.bytes > limits.bytes && self.records > 0 {
            self.evictions.bytes += u64::from(self.drop_first_arrival());
        }
        if self.arrivals.len() > 2 * limits.records.max(1) {
            let objects = &self.objects;
            self.arrivals.retain(|Arrival { number, uid, .. }| {
                let is_there =
                    |object: &Object| object.records.binary_search_by_key(number, |kept| kept.number).is_ok();
                objects.get(uid).is_some_and(is_there)
            });
        }
        while self.bereft.len() > limits.records.max(1) {
            let Some(uid) = self.bereft.pop_front() else { break };
            if self.objects.get(&uid).is_some_and(|object| object.records.is_empty()) {
                self.objects.remove(&uid);
            }
        }
    }

    fn expire(&mut self, now: Instant, ttl: Duration) {
        while self.arrivals.front().is_some_and(|first| now.saturating_duration_since(first.at) >= ttl) {
            self.drop_first_arrival();
        }
    }

    /// Drops the first arrival; says whether it stood for a record that was still there. Of one object
    /// the records arrive in order, so that a record that is still there is its object's first.
    fn drop_first_arrival(&mut self) -> bool {
        let Some(Arrival { number, uid, .. }) = self.arrivals.pop_front() else { return false };
        let first = self.objects.get(&uid).and_then(|object| object.records.front());
        let is_there = first.is_some_and(|first| first.number == number);
        if is_there {
            self.lose_first(&uid);
        }
        is_there
    }

    /// Drops the first record of `uid`, and remembers that it did: whoever else asked then is no longer proven.
    fn lose_first(&mut self, uid: &Arc<str>) {
        let Some(object) = self.objects.get_mut(uid) else { return };
        let Some(Kept { at, record, .. }) = object.records.pop_front() else { return };
        self.records -= 1;
        self.bytes -= record.size();
        let up_to = match (record.request.base(), &record.request) {
            (Some(base), _) => Some(Arc::clone(base)),
            (None, Request::Create(_)) => Some(Arc::from(BEFORE_ALL)),
            (None, _) => None,
        };
        let lost = Lost { up_to, at };
        object.lost = Some(match object.lost.take() {
            Some(earlier) => earlier.and(lost),
            None => lost,
        });
        if object.records.is_empty() {
            self.bereft.push_back(Arc::clone(uid));
        }
    }

    /// Drops the records of `uid` whose base is not worth keeping.
    fn retain(&mut self, uid: &str, keeps: impl Fn(Option<&str>) -> bool) {
        let Some(object) = self.objects.get_mut(uid) else { return };
        let (mut dropped, mut bytes) = (0, 0);
        object.records.retain(|Kept { record, .. }| {
            let keep = keeps(record.request.base().map(|base| &**base));
            if !keep {
                dropped += 1;
                bytes += record.size();
            }
            keep
        });
        // What was lost on versions that the object has left is no rival any more.
        object.lost.take_if(|lost| lost.up_to.as_deref().is_some_and(|up_to| !keeps(Some(up_to))));
        if object.records.is_empty() {
            match object.lost {
                Some(_) => self.bereft.push_back(Arc::from(uid)),
                None => drop(self.objects.remove(uid)),
            }
        }
        self.records -= dropped;
        self.bytes -= bytes;
    }

    fn remove_object(&mut self, uid: &str) {
        if let Some(object) = self.objects.remove(uid) {
            self.records -= object.records.len();
            self.bytes -= object.records.iter().map(|kept| kept.record.size()).sum::<usize>();
        }
    }
}

/// Whether the resourceVersion `a` is known to be later than `b`, of the same object. They compare as
/// decimal numbers; of anything else no order is known.
pub(super) fn is_later(a: &str, b: &str) -> bool {
    let number = |version: &str| version.parse::<u128>().ok();
    matches!((number(a), number(b)), (Some(a), Some(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::{ObservedEvent, Propagation, Transition, User};

    fn mk_delete(uid: &str, base: &str, user: &str) -> Record {
        Record {
            uid: Arc::from(uid),
            request: Request::Delete { base: Arc::from(base), propagation: Propagation::Default },
            user: User { name: user.to_owned(), email: None },
            field_manager: None,
            request_uid: String::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    fn author_of_delete(index: &Index, uid: &str, previous: &str, now: Instant) -> Option<String> {
        let transition = Transition::Marked { previous, propagation: Propagation::Background };
        let event = ObservedEvent { uid, api_version: "v1", evictions: None, transition };
        index.resolve(&event, || None, now).author().map(|author| author.user.name.clone())
    }

    #[test]
    fn records_expire() {
        let (index, start) = (Index::new(Limits::default()), Instant::now());
        index.insert(mk_delete("a", "1", "alice"), start);
        index.insert(mk_delete("b", "1", "bob"), start);
        assert_eq!(author_of_delete(&index, "a", "1", start + Duration::from_millis(59_999)), Some("alice".into()));
        assert_eq!(author_of_delete(&index, "b", "1", start + Duration::from_secs(60)), None);
        assert_eq!((index.len(), index.evictions()), (0, Evictions::default()));
    }

    #[test]
    fn the_oldest_make_room_and_are_counted() {
        let (index, now) = (Index::new(Limits { records: 3, records_per_uid: 2, ..Limits::default() }), Instant::now());
        for (uid, base) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")] {
            index.insert(mk_delete(uid, base, "alice"), now);
        }
        let evicted = |records, records_per_uid| Evictions { records, records_per_uid, bytes: 0 };
        assert_eq!((index.len(), index.evictions()), (3, evicted(0, 1)));
        index.insert(mk_delete("c", "1", "alice"), now);
        assert_eq!((index.len(), index.evictions()), (3, evicted(1, 1)));
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
        assert_eq!((state.objects.len(), state.records, state.evictions), (1, 1, Evictions::default()));
    }

    #[test]
    fn bytes_are_bounded_and_counted_down_again() {
        let now = Instant::now();
        let size = mk_delete("a", "1", "alice").size();
        let index = Index::new(Limits { bytes: 3 * size, ..Limits::default() });
        for uid in ["a", "b", "c", "d"] {
            index.insert(mk_delete(uid, "1", "alice"), now);
        }
        assert_eq!((index.len(), index.evictions().bytes), (3, 1));
        assert!(author_of_delete(&index, "b", "1", now).is_some());
        index.insert(mk_delete("c", "1", "alice"), now);
        assert_eq!((index.len(), index.evictions().bytes), (3, 1), "room was made by the join");
        index.insert(mk_delete("e", "1", &"x".repeat(4 * size)), now);
        assert!(index.is_empty(), "more than fits goes as well");
        assert_eq!(index.lock().bytes, 0);
    }

    #[test]
    fn an_object_whose_last_record_was_lost_proves_nobody_on_that_version() {
        let (index, now) = (Index::new(Limits { records: 1, ..Limits::default() }), Instant::now());
        index.insert(mk_delete("a", "5", "alice"), now);
        index.insert(mk_delete("b", "5", "bob"), now);
        index.insert(mk_delete("a", "5", "mallory"), now);
        assert_eq!(author_of_delete(&index, "a", "5", now), None);
        index.insert(mk_delete("a", "6", "carol"), now);
        assert_eq!(author_of_delete(&index, "a", "6", now), Some("carol".into()), "on another version");
        index.insert(mk_delete("b", "5", "carol"), now + Duration::from_secs(60));
        let later = now + Duration::from_secs(60);
        assert_eq!(author_of_delete(&index, "b", "5", later), Some("carol".into()), "the lost request is over");
    }

    #[test]
    fn what_is_remembered_of_lost_records_is_bounded() {
        let (index, now) = (Index::new(Limits { records: 10, ..Limits::default() }), Instant::now());
        for round in 0..1_000 {
            index.insert(mk_delete(&format!("uid-{round}"), "1", "bob"), now);
        }
        let state = index.lock();
        assert!(state.objects.len() <= 20 && state.bereft.len() <= 10, "{} objects", state.objects.len());
    }

    #[test]
    fn what_was_lost_before_a_version_that_was_seen_is_forgotten() {
        let (index, mut now) = (Index::new(Limits { records: 10, ..Limits::default() }), Instant::now());
        for round in 0..100 {
            let uid = format!("uid-{round}");
            index.insert(mk_delete(&uid, "1", "alice"), now);
            index.insert(mk_delete(&uid, "2", "bob"), now + Duration::from_secs(59));
            now += Duration::from_secs(60);
            assert_eq!(author_of_delete(&index, &uid, "2", now), Some("bob".into()));
        }
        let state = index.lock();
        assert!(state.objects.len() <= 10, "{} objects", state.objects.len());
    }
}
