//! What waits to become commits. Pure: the clock is passed in.

use super::draft::Draft;
use std::time::{Duration, Instant};

/// A batch is sealed when nothing came for so long,
const QUIET: Duration = Duration::from_millis(100);
/// and in any case after this.
const LONGEST: Duration = Duration::from_secs(1);

/// How large a batch may become.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    /// Files.
    pub files: usize,
    /// Bytes of content.
    pub bytes: usize,
}

/// The open batch of one branch.
#[derive(Debug)]
pub struct Batch {
    limits: BatchLimits,
    drafts: Vec<Draft>,
    files: usize,
    bytes: usize,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new(limits: BatchLimits) -> Self {
        Self { limits, drafts: Vec::new(), files: 0, bytes: 0, first: None, last: None }
    }

    /// Adds a commit.
    pub fn add(&mut self, draft: Draft, now: Instant) {
        // The commit of an initial list is one whatever the limits say, and fills the batch; so is that of a window.
        self.files += draft.len();
        self.bytes += draft.bytes();
        self.drafts.push(draft);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// When the batch is to be sealed; `None` while it is empty.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        let full = self.files >= self.limits.files || self.bytes >= self.limits.bytes;
        Some(if full { first } else { (last + QUIET).min(first + LONGEST) })
    }

    /// How many changes of files are in it.
    #[must_use]
    pub fn files(&self) -> usize {
        self.drafts.iter().map(Draft::len).sum()
    }

    /// What is in it.
    #[must_use]
    pub fn drafts(&self) -> &[Draft] {
        &self.drafts
    }

    /// Keeps only what `wanted` says of each draft, and no empty ones.
    pub fn retain(&mut self, mut wanted: impl FnMut(&mut Draft) -> bool) {
        self.drafts.retain_mut(|draft| wanted(draft) && !draft.is_empty());
    }

    /// The commits, leaving the batch empty.
    pub fn take(&mut self) -> Vec<Draft> {
        let limits = self.limits;
        std::mem::replace(self, Self::new(limits)).drafts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::samples::{mk_edit, mk_verdict};
    use crate::resource::NamespacedName;

    fn mk_draft(files: usize) -> Draft {
        let edit = |number: usize| mk_edit(&number.to_string(), None, Some("x"), mk_verdict(&[], ""));
        Draft::Changes(NamespacedName::new("team", "live"), (0..files).map(edit).collect())
    }

    #[test]
    fn quiet_deadline_and_size_seal_a_batch() {
        let start = Instant::now();
        for limits in [BatchLimits { files: 20, bytes: 1_000 }, BatchLimits { files: 1_000, bytes: 20 }] {
            let mut batch = Batch::new(limits);
            assert_eq!(batch.due(), None);
            batch.add(mk_draft(1), start);
            assert_eq!(batch.due(), Some(start + QUIET));
            for tick in 1..15 {
                batch.add(mk_draft(1), start + Duration::from_millis(90) * tick);
            }
            assert_eq!(batch.due(), Some(start + LONGEST));
            batch.add(mk_draft(5), start + LONGEST);
            assert_eq!(batch.due(), Some(start));
            assert_eq!(batch.take().len(), 16);
            assert_eq!(batch.due(), None);
        }
    }
}
