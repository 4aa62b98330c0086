//! A simulated API server with one object name, its writers, its webhook calls and one watcher. The truth is known.

use super::object::{Content, Intent, MANAGER_OF, Outcome, last_write};
use crate::attribution::{
    Asked, Index, Limits, ObservedEvent, Propagation, Record, Request, Transition, User, Verdict, pod_key,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// What can go wrong in a world besides what always can.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dangers {
    /// How many of 100 calls never reach the webhook.
    pub(super) lost: u8,
    /// Whether somebody posts records of his own making, and objects go without any call.
    pub(super) forged: bool,
}

/// Honest users; the last is what the forger calls himself.
pub(super) const NAMES: [&str; 5] = ["u0", "u1", "u2", "collector", "framed"];
pub(super) const FRAMED: u8 = 4;
const WRITERS: usize = 4;
const NAME: &str = "p";

#[derive(Clone, Debug)]
struct Object {
    uid: Arc<str>,
    version: u64,
    content: Content,
}

/// A write in flight.
#[derive(Clone, Debug)]
struct Write {
    user: u8,
    intent: Intent,
    base: Object,
    /// What the server has made of it on that base.
    outcome: Outcome,
    denied: bool,
}

/// One persisted version, as the watch will show it; `None` as content: gone.
#[derive(Clone, Debug)]
struct Event {
    /// `None`: nobody who made a call.
    author: Option<u8>,
    uid: Arc<str>,
    version: u64,
    content: Option<Content>,
}

/// What the watcher knows of the object.
#[derive(Clone, Debug)]
struct Seen {
    uid: Arc<str>,
    version: String,
    content: Content,
}

/// A change that was seen, with the truth about it.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Who made the versions that the change may consist of, the last at the end; `None`: no call was made.
    pub(super) authors: Vec<Option<u8>>,
    pub(super) uid: Arc<str>,
    pub(super) previous: Option<String>,
    /// `None` for a deletion.
    pub(super) content: Option<Content>,
    pub(super) scaled: bool,
    pub(super) live: bool,
    /// How many calls were made before.
    pub(super) calls: usize,
    pub(super) verdict: Verdict,
}

pub(super) struct World {
    random: fastrand::Rng,
    dangers: Dangers,
    index: Index,
    now: Instant,
    clock: u8,
    version: u64,
    object: Option<Object>,
    writes: [Option<Write>; WRITERS],
    /// Every call, with whether it reached the webhook.
    pub(super) calls: Vec<(Record, bool)>,
    events: VecDeque<Event>,
    seen: Option<Seen>,
    pub(super) judged: Vec<Judged>,
}

/// One interleaving of about 40 steps.
pub(super) fn run(seed: u64, limits: Limits, dangers: Dangers) -> World {
    let mut world = World {
        random: fastrand::Rng::with_seed(seed),
        dangers,
        index: Index::new(limits),
        now: Instant::now(),
        clock: 1,
        // The number of digits changes soon.
        version: 93,
        object: None,
        writes: [const { None }; WRITERS],
        calls: Vec::new(),
        events: VecDeque::new(),
        seen: None,
        judged: Vec::new(),
    };
    for _ in 0..40 {
        world.step();
    }
    while !world.events.is_empty() {
        world.deliver();
    }
    world
}

impl World {
    fn step(&mut self) {
        match self.random.u8(..100) {
            0..35 => self.begin(),
            35..72 => self.finish(),
            72..90 => self.deliver(),
            90..93 => self.relist(),
            93..96 => self.clock += 1,
            96..98 => self.replay(),
            _ if self.dangers.forged => self.forge(),
            _ => self.finish(),
        }
    }

    fn begin(&mut self) {
        let (user, denied) = (self.random.u8(..3), self.random.u8(..10) < 2);
        let Some(base) = self.object.clone() else { return self.create(user, denied) };
        let intent = Intent::any(&mut self.random);
        let user = if intent == Intent::Collect { 3 } else { user };
        let writer = self.random.usize(..WRITERS);
        if self.writes[writer].is_none() {
            self.call(writer, user, intent, base, denied);
        }
    }

    fn create(&mut self, user: u8, denied: bool) {
        self.version += 3;
        let uid = Arc::from(format!("uid-{}", self.version));
        let content = Content::new(&mut self.random, MANAGER_OF[usize::from(user)], self.clock);
        self.record(user, &uid, Request::Create(content.asked()));
        if !denied {
            self.persist(Some(user), uid, Some(content));
        }
    }

    /// Calls the webhook for a write, unless it would change nothing.
    fn call(&mut self, writer: usize, user: u8, intent: Intent, base: Object, denied: bool) {
        let version = Arc::from(base.version.to_string());
        let outcome = base.content.after(&intent, user, self.clock);
        let request = match (intent, outcome) {
            (Intent::Evict, _) => Some(Request::Evict),
            (Intent::Delete(propagation), _) => Some(Request::Delete { base: version, propagation }),
            (_, Outcome::Same) => return,
            // Only a status write that changes metadata is worth a call.
            (Intent::Status(_, None), _) => None,
            (Intent::Scale(replicas), _) => Some(Request::Scale { base: version, replicas: u64::from(replicas) }),
            (_, Outcome::Content(content)) => Some(Request::Update { base: version, asked: content.asked() }),
            (_, Outcome::Gone) => None,
        };
        let uid = if intent == Intent::Evict { pod_key("n", NAME) } else { Arc::clone(&base.uid) };
        if let Some(request) = request {
            self.record(user, &uid, request);
        }
        self.writes[writer] = (!denied).then_some(Write { user, intent, base, outcome, denied });
    }

    fn record(&mut self, user: u8, uid: &Arc<str>, request: Request) {
        let record = Record {
            uid: Arc::clone(uid),
            request,
            user: User { name: NAMES[usize::from(user)].to_owned(), email: None },
            field_manager: None,
            request_uid: String::new(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        let arrives = user == FRAMED || self.random.u8(..100) >= self.dangers.lost;
        if arrives {
            self.index.insert(record.clone(), self.now);
        }
        self.calls.push((record, arrives));
    }

    /// A writer persists, if its version still stands; otherwise it calls again or gives up.
    fn finish(&mut self) {
        let writer = self.random.usize(..WRITERS);
        let Some(write) = self.writes[writer].take() else { return };
        let Some(object) = self.object.clone().filter(|object| object.uid == write.base.uid) else { return };
        let moved_on = object.version != write.base.version;
        let now = object.content.after(&write.intent, write.user, self.clock);
        let author = Some(write.user).filter(|_| !matches!(write.intent, Intent::Evict | Intent::Status(_, None)));
        match write.intent {
            // Of an object that is to go, the last finalizer goes on whatever version there is.
            Intent::Collect if now == Outcome::Gone => self.persist(author, object.uid, None),
            Intent::Put(..) if moved_on => {}
            Intent::Evict => {
                if let Outcome::Content(content) = now {
                    self.persist(None, object.uid, Some(content));
                }
                let base = self.object.clone().unwrap_or(write.base);
                self.writes[writer] = Some(Write { intent: Intent::EvictMarked, base, ..write });
            }
            Intent::EvictMarked => self.apply(author, object.uid, now),
            _ if moved_on && self.random.u8(..10) < 8 => {
                self.call(writer, write.user, write.intent, object, write.denied);
            }
            _ if moved_on => {}
            _ => self.apply(author, object.uid, write.outcome),
        }
    }

    fn apply(&mut self, author: Option<u8>, uid: Arc<str>, outcome: Outcome) {
        match outcome {
            Outcome::Same => {}
            Outcome::Content(content) => self.persist(author, uid, Some(content)),
            Outcome::Gone => self.persist(author, uid, None),
        }
    }

    fn persist(&mut self, author: Option<u8>, uid: Arc<str>, content: Option<Content>) {
        self.version += 1 + self.random.u64(..2);
        let version = self.version;
        self.object = content.map(|content| Object { uid: Arc::clone(&uid), version, content });
        self.events.push_back(Event { author, uid, version, content });
    }

    /// Somebody sends what was sent before.
    fn replay(&mut self) {
        if let Some((record, true)) = self.random.choice(&self.calls).cloned() {
            self.index.insert(record, self.now);
        }
    }

    /// Somebody who knows the object, its version and what was asked for before pretends a request; or the object goes
    /// without any.
    fn forge(&mut self) {
        let Some(Object { uid, version, content }) = self.object.clone() else { return };
        let base: Arc<str> = Arc::from(version.to_string());
        let request = match self.random.u8(..5) {
            0 => Request::Delete { base, propagation: Propagation::Default },
            1 => Request::Scale { base, replicas: self.random.u64(..3) },
            2 => Request::Evict,
            3 if self.random.bool() => return self.persist(None, uid, None),
            _ => {
                // What it was asked to be before this second, or what it may become but for when.
                let mut asked = self.calls.iter().rev().filter_map(|(record, _)| record.request.asked());
                let is_wanted_again = |asked: &Asked| {
                    let wanted = |write: &Write| matches!(write.outcome, Outcome::Content(to) if to.asked() == *asked);
                    self.writes.iter().flatten().any(wanted)
                };
                let old =
                    asked.find(|asked| last_write(asked.content) < self.clock && !is_wanted_again(asked)).cloned();
                let asked = match (content.after(&Intent::any(&mut self.random), FRAMED, u8::MAX), old) {
                    (_, Some(old)) if self.random.bool() => old,
                    (Outcome::Content(guess), _) => guess.asked(),
                    _ => return,
                };
                Request::Update { base, asked }
            }
        };
        let uid = if request == Request::Evict { pod_key("n", NAME) } else { uid };
        self.record(FRAMED, &uid, request);
    }

    fn deliver(&mut self) {
        let Some(event) = self.events.pop_front() else { return };
        let version = event.version.to_string();
        let before = self.seen.take().filter(|seen| seen.uid == event.uid);
        let previous = before.as_ref().map(|seen| seen.version.clone());
        let known = before.as_ref().map(|seen| seen.content);
        let transition = match (known, event.content, previous.as_deref()) {
            (Some(known), ..) if known.is_terminating() => None,
            (Some(_), None, Some(previous)) => Some(Transition::Deleted { previous }),
            (Some(_), Some(content), Some(previous)) if content.is_terminating() => {
                Some(Transition::Marked { previous, propagation: content.propagation() })
            }
            (Some(known), Some(content), _) if known.file() == content.file() => None,
            (Some(known), Some(content), Some(previous)) => {
                let scaled_to = (known.but_replicas() == content.but_replicas()).then_some(content.replicas());
                Some(Transition::Changed { previous, scaled_to })
            }
            (None, Some(_), _) => Some(Transition::Created),
            _ => None,
        };
        if let Some(transition) = transition {
            self.judge(vec![event.author], &event.uid, transition, event.content);
        }
        self.seen = event.content.map(|content| Seen { uid: event.uid, version, content });
    }

    /// The watch breaks, and what has become of the object meanwhile is listed.
    fn relist(&mut self) {
        let missed: Vec<Event> = self.events.drain(..).collect();
        let object = self.object.clone();
        let authors =
            |uid: &Arc<str>| missed.iter().filter(|event| event.uid == *uid).map(|event| event.author).collect();
        let before = self.seen.take();
        if let Some(before) = before.clone().filter(|seen| !seen.content.is_terminating()) {
            let now = object.as_ref().filter(|object| object.uid == before.uid);
            if now.is_none_or(|object| object.content.is_terminating()) {
                // Who marked it, not who let it go.
                let mark = |event: &&Event| {
                    event.uid == before.uid && event.content.is_none_or(|content| content.is_terminating())
                };
                let author = missed.iter().find(mark).and_then(|event| event.author);
                self.judge(vec![author], &before.uid, Transition::Missed { previous: &before.version }, None);
            }
        }
        if let Some(Object { uid, version, content }) = object.clone().filter(|object| !object.content.is_terminating())
        {
            let before = before.filter(|seen| seen.uid == uid);
            if before.as_ref().is_none_or(|seen| seen.content.file() != content.file()) {
                let (previous, version) = (before.map(|seen| seen.version), version.to_string());
                let transition = Transition::Listed { previous: previous.as_deref(), version: &version };
                self.judge(authors(&uid), &uid, transition, Some(content));
            }
        }
        self.seen =
            object.map(|object| Seen { version: object.version.to_string(), uid: object.uid, content: object.content });
    }

    fn judge(
        &mut self,
        authors: Vec<Option<u8>>,
        uid: &Arc<str>,
        transition: Transition<'_>,
        content: Option<Content>,
    ) {
        let key = pod_key("n", NAME);
        let event = ObservedEvent { uid, api_version: "v1", evictions: Some(&key), transition };
        let content = content.filter(|content| !content.is_terminating());
        let verdict = self.index.resolve(&event, || content.map(|content| content.fingerprint()), self.now);
        let (previous, scaled, live) = match transition {
            Transition::Created => (None, false, true),
            Transition::Changed { previous, scaled_to } => (Some(previous.to_owned()), scaled_to.is_some(), true),
            Transition::Marked { previous, .. } | Transition::Deleted { previous } => {
                (Some(previous.to_owned()), false, true)
            }
            Transition::Listed { previous, .. } => (previous.map(str::to_owned), false, false),
            Transition::Missed { previous } => (Some(previous.to_owned()), false, false),
        };
        let (uid, calls) = (Arc::clone(uid), self.calls.len());
        self.judged.push(Judged { authors, uid, previous, content, scaled, live, calls, verdict });
    }
}
