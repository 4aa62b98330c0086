//! The join against a simulated API server whose truth is known: several writers, calls that are retried on
//! newer versions, refused calls, conflicts, writes that change nothing, deletions and re-creations.

use super::{Index, Limits, ObservedEvent, Record, Tier, Transition, User};
use crate::resource::{ContentHash, Operation};
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

const WRITERS: usize = 4;

/// One step of the world. Users, writers and contents come from few, so that they meet.
#[derive(Clone, Debug)]
enum Step {
    Create {
        user: u8,
        content: u8,
        refused: bool,
    },
    /// A writer reads the object and calls admission for what it wants to become of it.
    Begin {
        writer: usize,
        user: u8,
        want: Option<u8>,
        refused: bool,
    },
    /// The writer persists, if its version still stands; otherwise it gives up or calls again.
    Finish {
        writer: usize,
        gives_up: bool,
    },
    /// The watch delivers so many events.
    Deliver(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let refused = || prop::bool::weighted(0.2);
    let want = prop_oneof![4 => (0..3_u8).prop_map(Some), 1 => Just(None)];
    prop::collection::vec(
        prop_oneof![
            2 => (0..3_u8, 0..3_u8, refused()).prop_map(|(user, content, refused)| Step::Create { user, content, refused }),
            6 => (0..WRITERS, 0..3_u8, want, refused())
                .prop_map(|(writer, user, want, refused)| Step::Begin { writer, user, want, refused }),
            6 => (0..WRITERS, prop::bool::weighted(0.2)).prop_map(|(writer, gives_up)| Step::Finish { writer, gives_up }),
            2 => (0..5_usize).prop_map(Step::Deliver),
        ],
        0..120,
    )
}

#[derive(Clone, Debug)]
struct Object {
    uid: String,
    version: String,
    content: u8,
}

/// A write in flight: on which version of which object, and what it wants (`None`: to delete it).
#[derive(Clone, Debug)]
struct Write {
    user: u8,
    base: Object,
    want: Option<u8>,
    refused: bool,
}

/// A persisted write, with what the watch will show of it.
#[derive(Clone, Debug)]
struct Event {
    author: u8,
    uid: String,
    /// Version before; `None` for a creation.
    previous: Option<String>,
    /// Content after; `None` for a deletion.
    content: Option<u8>,
}

struct World {
    index: Index,
    now: Instant,
    version: u64,
    object: Option<Object>,
    writes: [Option<Write>; WRITERS],
    calls: Vec<(Operation, Record)>,
    events: VecDeque<Event>,
    /// Of every delivered event: the truth, who else fitted, and the verdict.
    outcomes: Vec<(Event, BTreeSet<String>, super::Verdict)>,
}

fn name(user: u8) -> String {
    format!("user-{user}")
}

fn hash(content: u8) -> ContentHash {
    ContentHash([content; 16])
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            index: Index::new(limits),
            now: Instant::now(),
            version: 7,
            object: None,
            writes: [const { None }; WRITERS],
            calls: Vec::new(),
            events: VecDeque::new(),
            outcomes: Vec::new(),
        }
    }

    fn call(&mut self, user: u8, operation: Operation, uid: &str, base: Option<&str>, content: Option<u8>) {
        let record = Record {
            uid: Arc::from(uid),
            operation,
            old_resource_version: base.map(Arc::from),
            content: content.map(hash),
            user: User { name: name(user) },
            field_manager: None,
            request_uid: self.calls.len().to_string(),
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        self.calls.push((operation, record.clone()));
        self.index.insert(record, self.now);
    }

    fn next_version(&mut self) -> String {
        // Gaps, and a change in the number of digits.
        self.version += 2;
        self.version.to_string()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Create { user, content, refused } => self.create(user, content, refused),
            Step::Begin { writer, user, want, refused } => {
                if let Some(base) = self.object.clone() {
                    self.begin(writer, Write { user, base, want, refused });
                }
            }
            Step::Finish { writer, gives_up } => self.finish(writer, gives_up),
            Step::Deliver(count) => (0..count).for_each(|_| self.deliver()),
        }
    }

    fn create(&mut self, user: u8, content: u8, refused: bool) {
        if self.object.is_some() {
            return;
        }
        let version = self.next_version();
        let uid = format!("uid-{version}");
        self.call(user, Operation::Create, &uid, None, Some(content));
        if !refused {
            self.events.push_back(Event { author: user, uid: uid.clone(), previous: None, content: Some(content) });
            self.object = Some(Object { uid, version, content });
        }
    }

    fn begin(&mut self, writer: usize, write: Write) {
        let operation = if write.want.is_some() { Operation::Update } else { Operation::Delete };
        self.call(write.user, operation, &write.base.uid, Some(&write.base.version), write.want);
        self.writes[writer] = (!write.refused).then_some(write);
    }

    fn finish(&mut self, writer: usize, gives_up: bool) {
        let Some(write) = self.writes[writer].take() else { return };
        let Some(object) = self.object.clone().filter(|object| object.uid == write.base.uid) else { return };
        if object.version != write.base.version {
            if !gives_up {
                self.begin(writer, Write { base: object, ..write });
            }
            return;
        }
        if write.want == Some(object.content) {
            return;
        }
        let version = self.next_version();
        let previous = Some(object.version);
        self.events.push_back(Event { author: write.user, uid: object.uid.clone(), previous, content: write.want });
        self.object = write.want.map(|content| Object { uid: object.uid, version, content });
    }

    fn deliver(&mut self) {
        let Some(event) = self.events.pop_front() else { return };
        let (operation, transition) = match (event.previous.as_deref(), event.content) {
            (None, _) => (Operation::Create, Transition::Created),
            (Some(previous), Some(_)) => (Operation::Update, Transition::Changed { previous }),
            (Some(previous), None) => (Operation::Delete, Transition::Deleted { previous }),
        };
        let fitting = self
            .calls
            .iter()
            .filter(|(called, record)| *called == operation && *record.uid == *event.uid)
            .filter(|(_, record)| record.old_resource_version.as_deref() == event.previous.as_deref())
            .filter(|(_, record)| record.content == event.content.map(hash))
            .map(|(_, record)| record.user.name.clone())
            .collect();
        let observed = ObservedEvent { uid: &event.uid, transition };
        let verdict = self.index.resolve(&observed, || event.content.map(hash), self.now);
        self.outcomes.push((event, fitting, verdict));
    }
}

fn run(steps: &[Step], limits: Limits) -> World {
    let mut world = World::new(limits);
    for step in steps {
        world.step(step);
    }
    while !world.events.is_empty() {
        world.deliver();
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn with_every_record_the_author_is_right_or_ambiguous(steps in steps()) {
        for (event, fitting, verdict) in run(&steps, Limits::default()).outcomes {
            prop_assert!(fitting.contains(&name(event.author)), "the model lost a call");
            if fitting.len() == 1 {
                let tier = if event.content.is_some() { Tier::Exact } else { Tier::Version };
                prop_assert_eq!(verdict.tier(), tier, "{:?}", event);
                prop_assert_eq!(&verdict.author().unwrap().user.name, &name(event.author));
            } else {
                prop_assert_eq!((verdict.tier(), verdict.author()), (Tier::Ambiguous, None), "{:?}", event);
                prop_assert!(verdict.candidates().iter().eq(&fitting));
            }
        }
    }

    #[test]
    fn with_lost_records_the_author_is_right_or_unknown(steps in steps(), records_per_uid in 1..4_usize) {
        for (event, _, verdict) in run(&steps, Limits { records_per_uid, ..Limits::default() }).outcomes {
            if let Some(author) = verdict.author() {
                prop_assert_eq!(&author.user.name, &name(event.author), "{:?}", event);
            }
        }
    }
}

#[test]
fn the_model_reaches_what_it_is_for() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let (mut runner, mut seen) = (TestRunner::deterministic(), BTreeSet::new());
    for _ in 0..200 {
        let world = run(&steps().new_tree(&mut runner).unwrap().current(), Limits::default());
        for (event, fitting, verdict) in &world.outcomes {
            seen.insert(verdict.tier().as_str());
            let on_base = world.calls.iter().filter(|(_, record)| {
                *record.uid == *event.uid && record.old_resource_version.as_deref() == event.previous.as_deref()
            });
            let users: BTreeSet<_> = on_base.map(|(_, record)| &record.user.name).collect();
            if fitting.len() == 1 && users.len() > 1 {
                seen.insert("content tells users apart");
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["ambiguous", "content tells users apart", "exact", "version"]);
}
