//! Changes that wait to become commits. Pure: the clock is passed in.

use super::commit::{Commit, FileChange};
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
    commits: Vec<Commit>,
    files: usize,
    bytes: usize,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new(limits: BatchLimits) -> Self {
        Self { limits, commits: Vec::new(), files: 0, bytes: 0, first: None, last: None }
    }

    /// Adds a commit.
    pub fn add(&mut self, commit: Commit, now: Instant) {
        // The commit of an initial list is one whatever the limits say, and fills the batch.
        self.files += commit.files.len();
        self.bytes += commit.files.iter().map(FileChange::bytes).sum::<usize>();
        self.commits.push(commit);
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

    /// The commits, leaving the batch empty.
    pub fn take(&mut self) -> Vec<Commit> {
        let limits = self.limits;
        std::mem::replace(self, Self::new(limits)).commits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::commit::Signature;
    use crate::resource::RepoPath;

    fn mk_commit(files: usize) -> Commit {
        let path = |n| RepoPath::new(&format!("f{n}")).unwrap();
        Commit {
            target: None,
            author: Signature::verbatim("a <b> 1 +0000"),
            committer: Signature::verbatim("a <b> 1 +0000"),
            message: String::new(),
            files: (0..files).map(|n| FileChange::Remove(path(n))).collect(),
        }
    }

    #[test]
    fn quiet_deadline_and_size_seal_a_batch() {
        let start = Instant::now();
        let mut batch = Batch::new(BatchLimits { files: 20, bytes: 1_000 });
        assert_eq!(batch.due(), None);
        batch.add(mk_commit(1), start);
        assert_eq!(batch.due(), Some(start + QUIET));
        for tick in 1..15 {
            batch.add(mk_commit(1), start + Duration::from_millis(90) * tick);
        }
        assert_eq!(batch.due(), Some(start + LONGEST));
        batch.add(mk_commit(5), start + LONGEST);
        assert_eq!(batch.due(), Some(start));
        assert_eq!(batch.take().len(), 16);
        assert_eq!(batch.due(), None);
    }
}
