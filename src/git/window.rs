//! Changes of one author that wait for company, and become one commit. Pure: the clock is passed in.
//!
//! A window belongs to one author and one target. It closes when nothing came for its length, after five lengths in any
//! case, and at once when anybody else touches one of its files. So a file is in one window at most, and what is
//! committed after it was changed after it. Changes of nobody who is proven share a window, which the committer signs.

use super::draft::{Draft, Edit};
use crate::resource::{NamespacedName, RepoPath};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A window that nothing lets rest closes after so many of its lengths.
const LENGTHS: u32 = 5;
/// A window closes when it has so many files: each adds some lines to the message.
const MOST_FILES: usize = 1_000;
/// When all windows together hold more, those that were opened first close.
const MOST_BYTES: usize = 8 << 20;
/// What a change takes besides its content.
const ENVELOPE: usize = 512;

/// Whose window it is. Nobody proven is an owner too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Owner {
    target: NamespacedName,
    user: Option<String>,
}

/// The open windows of one branch.
#[derive(Debug, Default)]
pub struct Windows {
    open: HashMap<Arc<Owner>, Window>,
    /// Whose window a file is in.
    files: BTreeMap<RepoPath, Arc<Owner>>,
    opened: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Window {
    /// Windows close in the order in which they were opened.
    number: u64,
    edits: BTreeMap<RepoPath, Edit>,
    first: Instant,
    last: Instant,
    length: Duration,
}

impl Window {
    fn due(&self) -> Instant {
        (self.last + self.length).min(self.first + self.length * LENGTHS)
    }
}

impl Windows {
    /// Takes a change of a file of `target` into its author's window of `length`; without length it is a commit of its
    /// own. Returns what is to be committed now, in this order.
    pub fn add(&mut self, target: &NamespacedName, edit: Edit, length: Duration, now: Instant) -> Vec<Draft> {
        let user = edit.verdict.author().map(|author| author.user.name.clone());
        let owner = Owner { target: target.clone(), user };
        let joins = |path: &RepoPath, other: &Owner| !length.is_zero() && *path == edit.path && *other == owner;
        let mut closed = self.close_around(&edit.path, joins);
        if length.is_zero() {
            closed.push(Draft::Changes(owner.target, vec![edit]));
            return closed;
        }
        let owner = self.open.get_key_value(&owner).map_or_else(|| Arc::new(owner), |(owner, _)| Arc::clone(owner));
        self.opened += 1;
        let number = self.opened;
        let window = self.open.entry(Arc::clone(&owner)).or_insert_with(|| Window {
            number,
            edits: BTreeMap::new(),
            first: now,
            last: now,
            length,
        });
        (window.last, window.length) = (now, length);
        self.bytes += edit.bytes() + ENVELOPE;
        match window.edits.get_mut(&edit.path) {
            Some(known) => {
                self.bytes -= known.bytes() + ENVELOPE;
                known.replace(edit);
            }
            None => {
                self.files.insert(edit.path.clone(), Arc::clone(&owner));
                window.edits.insert(edit.path.clone(), edit);
            }
        }
        if window.edits.len() >= MOST_FILES {
            closed.extend(self.close(|other, _| **other == *owner));
        }
        while self.bytes > MOST_BYTES {
            let oldest = self.open.values().map(|window| window.number).min();
            closed.extend(self.close(|_, window| Some(window.number) == oldest));
        }
        closed
    }

    /// How many files are to be changed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.files.len()
    }

    /// When the next window is to be closed; `None` while none is open.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.open.values().map(Window::due).min()
    }

    /// Closes the windows whose time is up.
    pub fn close_due(&mut self, now: Instant) -> Vec<Draft> {
        self.close(|_, window| window.due() <= now)
    }

    /// Closes all windows.
    pub fn close_all(&mut self) -> Vec<Draft> {
        self.close(|_, _| true)
    }

    /// Closes the windows that one of `paths` is in.
    pub fn close_over<'a>(&mut self, paths: impl Iterator<Item = &'a RepoPath>) -> Vec<Draft> {
        paths.flat_map(|path| self.close_around(path, |_, _| false)).collect()
    }

    /// Forgets what waits for `target`.
    pub fn forget(&mut self, target: &NamespacedName) {
        // What comes of it is for nobody.
        drop(self.close(|owner, _| owner.target == *target));
    }

    /// Closes the windows that hold the file `path`, a folder above it or a file below it, but for those that it `joins`.
    fn close_around(&mut self, path: &RepoPath, joins: impl Fn(&RepoPath, &Owner) -> bool) -> Vec<Draft> {
        let below = format!("{path}/");
        let from = (Bound::Included(below.as_str()), Bound::Unbounded);
        let below = self.files.range::<str, _>(from).take_while(|(other, _)| other.as_str().starts_with(&below));
        let above = path.ancestors().chain([path.as_str()]).filter_map(|above| self.files.get_key_value(above));
        let mut touched: Vec<Arc<Owner>> = Vec::new();
        for (other, owner) in below.chain(above) {
            if !joins(other, owner) && !touched.contains(owner) {
                touched.push(Arc::clone(owner));
            }
        }
        if touched.is_empty() { Vec::new() } else { self.close(|owner, _| touched.contains(owner)) }
    }

    fn close(&mut self, is_over: impl Fn(&Arc<Owner>, &Window) -> bool) -> Vec<Draft> {
        let mut over: Vec<(Arc<Owner>, Window)> =
            self.open.extract_if(|owner, window| is_over(owner, window)).collect();
        over.sort_by_key(|(_, window)| window.number);
        let mut drafts = Vec::new();
        for (owner, window) in over {
            for edit in window.edits.values() {
                self.files.remove(&edit.path);
                self.bytes -= edit.bytes() + ENVELOPE;
            }
            let edits: Vec<Edit> = window.edits.into_values().filter(|edit| !edit.is_void()).collect();
            if !edits.is_empty() {
                drafts.push(Draft::Changes(owner.target.clone(), edits));
            }
        }
        drafts
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
