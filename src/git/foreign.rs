//! Edits of our files by others: how long they are left alone, and when to give up. Pure: the clock is passed in.
//!
//! Whoever edits a file, a person or a tool that applies from the same folder, gets time to bring the edit into the
//! cluster. Until then a list neither writes nor removes that file; an object that itself changes does so at once.

use crate::resource::RepoPath;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// So many times within [`FIGHT`] the edits of one path are overwritten; then whoever makes them has won.
const ROUNDS: usize = 3;
/// See [`ROUNDS`].
const FIGHT: Duration = Duration::from_secs(60 * 60);

/// The edits that have not reached the cluster yet.
#[derive(Debug, Default)]
pub struct ForeignEdits {
    edits: BTreeMap<RepoPath, Edit>,
    /// What paths start with of which nobody knows who wrote them, and until when that excuses every difference.
    unknown: Vec<(String, Instant)>,
    overwritten: HashMap<RepoPath, Vec<Instant>>,
    /// Paths that are left to others until their object changes.
    lost: BTreeSet<RepoPath>,
    /// Those of [`ForeignEdits::lost`] that nobody was told of.
    untold: Vec<RepoPath>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    /// When it was noticed.
    noted: Instant,
    /// When the time to reach the cluster is over.
    due: Instant,
    /// Whether the object was asked for since.
    asked: bool,
}

impl ForeignEdits {
    /// Somebody else changed, added or removed `path`; it is left alone for `grace`, even if an earlier edit is due.
    pub fn note(&mut self, path: RepoPath, grace: Duration, now: Instant) {
        if !self.lost.contains(&path) {
            self.edits.insert(path, Edit { noted: now, due: now + grace, asked: false });
        }
    }

    /// Nobody knows who wrote what below `prefix`: for `grace` every difference counts as an edit of somebody else.
    pub fn note_unknown(&mut self, prefix: String, grace: Duration, now: Instant) {
        self.unknown.push((prefix, now + grace));
    }

    /// The object of `path` changed in the cluster: it wins over whatever was edited.
    pub fn object_changed(&mut self, path: &RepoPath) {
        self.edits.remove(path);
        self.overwritten.remove(path);
        self.lost.remove(path);
    }

    /// A complete list of what `covers` tells would write or remove `differing`. Of what was edited before it was
    /// begun, which `None` says of nothing, it found everything else as it should be. Returns those that are left alone;
    /// the others count as overwritten if they were edited.
    pub fn hold<'a>(
        &mut self,
        covers: impl Fn(&RepoPath) -> bool,
        differing: impl Iterator<Item = &'a RepoPath>,
        begun: Option<Instant>,
        now: Instant,
    ) -> BTreeSet<RepoPath> {
        let mut held = BTreeSet::new();
        for path in differing {
            if self.edit(path, now).is_some_and(|edit| edit.due > now) || self.lost.contains(path) {
                held.insert(path.clone());
            } else if self.edits.remove(path).is_some() {
                self.overwrite(path, now);
            }
        }
        let is_settled = |edit: &Edit| begun.is_some_and(|begun| edit.noted < begun);
        self.edits.retain(|path, edit| !covers(path) || held.contains(path) || !is_settled(edit));
        held
    }

    /// The edit of `path`; one is made up where nobody knows better.
    fn edit(&mut self, path: &RepoPath, now: Instant) -> Option<Edit> {
        let covers = |(prefix, _): &&(String, Instant)| path.as_str().starts_with(prefix.as_str());
        let unknown = self.unknown.iter().filter(covers).map(|(_, due)| *due).max();
        if let Some(due) = unknown {
            self.edits.entry(path.clone()).or_insert(Edit { noted: now, due, asked: false });
        }
        self.edits.get(path).copied()
    }

    fn overwrite(&mut self, path: &RepoPath, now: Instant) {
        let times = self.overwritten.entry(path.clone()).or_default();
        times.retain(|time| now.duration_since(*time) < FIGHT);
        times.push(now);
        if times.len() >= ROUNDS {
            self.overwritten.remove(path);
            self.lost.insert(path.clone());
            self.untold.push(path.clone());
        }
    }

    /// When the next edit has had its time; `None` while none has to be looked after.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.edits.values().filter(|edit| !edit.asked).map(|edit| edit.due).min()
    }

    /// The edits that have had their time, each once: their objects must be asked for, to be written if they still differ.
    pub fn take_due(&mut self, now: Instant) -> Vec<RepoPath> {
        self.unknown.retain(|(_, due)| *due > now);
        let mut due = Vec::new();
        for (path, edit) in self.edits.iter_mut().filter(|(_, edit)| !edit.asked && edit.due <= now) {
            edit.asked = true;
            due.push(path.clone());
        }
        due
    }

    /// Whether `path` is left to others until its object changes.
    #[must_use]
    pub fn is_lost(&self, path: &RepoPath) -> bool {
        self.lost.contains(path)
    }

    /// Forgets the edit of `path`, which no object can have.
    pub fn dismiss(&mut self, path: &RepoPath) {
        self.edits.remove(path);
    }

    /// The paths that are left to others from now on, since somebody writes them again and again; each once.
    pub fn take_lost(&mut self) -> Vec<RepoPath> {
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(300);
    const MINUTE: Duration = Duration::from_secs(60);

    fn path(name: &str) -> RepoPath {
        RepoPath::new(&format!("base/maps/{name}")).unwrap()
    }

    /// Which of `differing` a complete list leaves alone.
    fn hold(edits: &mut ForeignEdits, differing: &[&str], now: Instant) -> Vec<String> {
        let differing: Vec<_> = differing.iter().map(|name| path(name)).collect();
        let covers = |path: &RepoPath| path.as_str().starts_with("base/maps/");
        let held = edits.hold(covers, differing.iter(), Some(now + MINUTE / 60), now);
        held.into_iter().map(|path| path.to_string().replace("base/maps/", "")).collect()
    }

    #[test]
    fn an_edit_has_its_time_and_is_asked_for_once() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        edits.note(path("a"), GRACE, start);
        assert_eq!(hold(&mut edits, &["a", "b"], start + MINUTE), ["a"]);
        assert_eq!(edits.due(), Some(start + GRACE));
        assert!(edits.take_due(start + GRACE - MINUTE).is_empty());
        assert_eq!(edits.take_due(start + GRACE), [path("a")]);
        assert_eq!((edits.due(), edits.take_due(start + GRACE)), (None, vec![]));
        assert!(hold(&mut edits, &["a", "b"], start + GRACE).is_empty());
        assert!(edits.edits.is_empty(), "what was written again is no edit any more");
    }

    #[test]
    fn no_grace_is_no_delay() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        edits.note(path("a"), Duration::ZERO, start);
        assert_eq!(edits.take_due(start), [path("a")]);
        assert!(hold(&mut edits, &["a"], start).is_empty());
    }

    #[test]
    fn what_the_list_finds_as_it_should_be_has_reached_the_cluster() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        edits.note(path("a"), GRACE, start);
        let elsewhere = RepoPath::new("base/secrets/a").unwrap();
        edits.note(elsewhere.clone(), GRACE, start + MINUTE);
        assert!(hold(&mut edits, &[], start + MINUTE).is_empty());
        assert_eq!(edits.due(), Some(start + MINUTE + GRACE), "the list said nothing of others");
        edits.dismiss(&elsewhere);
        assert_eq!(edits.due(), None);
    }

    #[test]
    fn each_edit_has_its_own_time() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        edits.note(path("a"), GRACE, start);
        assert_eq!(edits.take_due(start + GRACE), [path("a")]);
        edits.note(path("a"), GRACE, start + GRACE);
        assert_eq!(hold(&mut edits, &["a"], start + GRACE + MINUTE), ["a"]);
        assert_eq!(edits.take_due(start + GRACE + GRACE), [path("a")]);
    }

    #[test]
    fn an_object_that_changes_wins_at_once() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        edits.note(path("a"), GRACE, start);
        edits.object_changed(&path("a"));
        assert_eq!(edits.due(), None);
        assert!(hold(&mut edits, &["a"], start).is_empty());
    }

    #[test]
    fn where_nobody_knows_every_difference_is_an_edit() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        edits.note_unknown("base/".into(), GRACE, start);
        assert_eq!(edits.due(), None, "without a difference there is nothing to look after");
        assert_eq!(hold(&mut edits, &["a", "b"], start + MINUTE), ["a", "b"]);
        edits.object_changed(&path("b"));
        assert_eq!(edits.take_due(start + GRACE), [path("a")]);
        assert!(hold(&mut edits, &["a", "b", "c"], start + GRACE).is_empty());
    }

    #[test]
    fn the_third_time_within_an_hour_is_the_last_until_the_object_changes() {
        let (mut edits, start) = (ForeignEdits::default(), Instant::now());
        let round = |edits: &mut ForeignEdits, minutes: u32| {
            let now = start + MINUTE * minutes;
            edits.note(path("a"), Duration::ZERO, now);
            (hold(edits, &["a"], now).is_empty(), edits.take_lost().len())
        };
        // Two within an hour are no fight, nor are three within more.
        assert_eq!([0, 50, 100].map(|minutes| round(&mut edits, minutes)), [(true, 0); 3]);
        assert_eq!([105, 108, 200].map(|minutes| round(&mut edits, minutes)), [(true, 1), (false, 0), (false, 0)]);
        edits.object_changed(&path("a"));
        assert_eq!([201, 202, 203].map(|minutes| round(&mut edits, minutes)), [(true, 0), (true, 0), (true, 1)]);
    }
}
