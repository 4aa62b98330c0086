//! Keeps `git status` in a clone clean while nothing of it is ever checked out.
//!
//! The index is written here, not by git: git's own way to a sparse index, cone mode, checks out the files at the root of
//! the repository, whatever they are, and fetches their content for that. One entry for each file and folder of the root,
//! each marked as not checked out, says the same, takes as much for any size of the repository, and touches no file.

use super::{BranchClone, READS};
use crate::git::cli::{GitError, Output};
use crate::resource::oid::ObjectFormat;
use crate::resource::{Oid, hex};
use sha1::Digest as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Which commit the index was last made of, and which bytes that gave.
const STATE: &str = "reverser-index";
/// How long to wait while somebody else changes the index.
const BUSY: Duration = Duration::from_millis(500);
/// Mode of a folder, of which the index says nothing more.
const FOLDER: u32 = 0o040_000;
/// An entry has more flags; of those, that it is not checked out.
const EXTENDED: u16 = 0x4000;
const NOT_CHECKED_OUT: u16 = 0x4000;
/// The longest name whose length an entry tells.
const LONGEST_NAME: usize = 0xfff;

/// Follows the tip of a clone, beside everything else.
#[derive(Clone, Debug)]
pub(super) struct WorkTree {
    tip: watch::Sender<Option<Oid>>,
    /// Ends with the last clone of this.
    _task: Arc<JoinSet<()>>,
}

impl WorkTree {
    pub(super) fn start(clone: &BranchClone) -> Self {
        let (tip, wanted) = watch::channel(None);
        let clone = BranchClone { work_tree: None, ..clone.clone() };
        let mut task = JoinSet::new();
        task.spawn(follow(clone, wanted));
        Self { tip, _task: Arc::new(task) }
    }
}

async fn follow(clone: BranchClone, mut wanted: watch::Receiver<Option<Oid>>) {
    while wanted.changed().await.is_ok() {
        let Some(tip) = *wanted.borrow_and_update() else { continue };
        while !clone.sync_index(tip).await {
            // Best effort: a person's git goes first, and what comes next goes before what could not be done.
            if tokio::time::timeout(BUSY, wanted.changed()).await.is_ok() {
                wanted.mark_changed();
                break;
            }
        }
    }
}

impl BranchClone {
    /// The work tree is to follow the branch to `tip`.
    pub(super) fn work_tree_follows(&self, tip: Option<Oid>) {
        if let (Some(work_tree), Some(tip)) = (&self.work_tree, tip) {
            work_tree.tip.send_if_modified(|current| current.replace(tip) != Some(tip));
        }
    }

    /// Makes the index what `tip` holds; `false` while somebody else has it.
    async fn sync_index(&self, tip: Oid) -> bool {
        match self.try_sync_index(tip).await {
            Ok(()) => true,
            Err(GitError::Process { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => {
                tracing::debug!(%error, directory = %self.directory.display(), "The index stays as it is");
                true
            }
        }
    }

    async fn try_sync_index(&self, tip: Oid) -> Result<(), GitError> {
        let git_dir = self.git_dir();
        let failed = |source| Self::io("ls-tree", source);
        // From the first look to the last byte: what a person puts into the index in between would be lost.
        let lock = IndexLock::take(&git_dir).map_err(failed)?;
        let (synced, is_ours) = State::read(&git_dir);
        match synced {
            Some(synced) if synced == tip => return Ok(()),
            Some(synced) if !is_ours && !self.is_untouched(synced).await? => {
                drop(lock);
                return self.merge_index(synced, tip).await;
            }
            _ => {}
        }
        let listing = self.command("ls-tree").flag("-z").flag("--full-tree").operand(tip.to_string()).run().await?;
        let listing = listing.success()?.stdout;
        let index = encode(&listing, self.format()).ok_or_else(|| GitError::unreadable("ls-tree", &listing))?;
        lock.replace(&index).map_err(failed)?;
        State::write(&git_dir, tip, true).map_err(failed)
    }

    /// Whether nobody has checked anything out, or put something into the index.
    async fn is_untouched(&self, synced: Oid) -> Result<bool, GitError> {
        let entries = std::fs::read_dir(&self.directory).map_err(|source| Self::io("diff-index", source))?;
        let is_empty = entries.flatten().all(|entry| entry.file_name() == ".git");
        Ok(is_empty && self.is_unstaged(synced).await?)
    }

    async fn is_unstaged(&self, commit: Oid) -> Result<bool, GitError> {
        let asked = self.command("diff-index").flag("--cached").flag("--quiet").operand(commit.to_string());
        Ok(asked.offline().deadline(READS).run().await?.code == 0)
    }

    /// Somebody works in here: git keeps what they changed, or refuses.
    async fn merge_index(&self, synced: Oid, tip: Oid) -> Result<(), GitError> {
        let merge = self.command("read-tree").flag("-m").flag("-u").operand(synced.to_string());
        let merge = merge.operand(tip.to_string()).work_tree(&self.directory).offline().deadline(READS);
        merge.run().await.and_then(Output::success)?;
        let is_ours = self.is_unstaged(tip).await?;
        State::write(&self.git_dir(), tip, is_ours && self.is_untouched(tip).await?)
            .map_err(|source| Self::io("read-tree", source))
    }
}

/// What is known of the index.
struct State;

impl State {
    /// The commit that it was last made of, and whether it is still what was written then.
    fn read(git_dir: &Path) -> (Option<Oid>, bool) {
        let text = std::fs::read_to_string(git_dir.join(STATE)).unwrap_or_default();
        let (synced, checksum) = text.trim().split_once(' ').unwrap_or_default();
        let present = checksum_of(&git_dir.join("index"));
        (synced.parse().ok().filter(|_| present.is_some()), present.is_some_and(|present| present == checksum))
    }

    fn write(git_dir: &Path, synced: Oid, is_ours: bool) -> io::Result<()> {
        let checksum = checksum_of(&git_dir.join("index")).filter(|_| is_ours).unwrap_or_default();
        std::fs::write(git_dir.join(STATE), format!("{synced} {checksum}\n"))
    }
}

/// The last bytes of an index, which depend on all others, in hexadecimal.
fn checksum_of(index: &Path) -> Option<String> {
    let bytes = std::fs::read(index).ok()?;
    let last = bytes.len().checked_sub(20)?;
    Some(hex(&bytes[last..]))
}

/// As git does it: who makes the lock has the index.
struct IndexLock {
    file: std::fs::File,
    path: PathBuf,
    /// Not any more once it has become the index: the next one is somebody else's.
    is_held: bool,
}

impl IndexLock {
    fn take(git_dir: &Path) -> io::Result<Self> {
        let path = git_dir.join("index.lock");
        Ok(Self { file: std::fs::File::create_new(&path)?, path, is_held: true })
    }

    fn replace(mut self, index: &[u8]) -> io::Result<()> {
        self.file.write_all(index)?;
        std::fs::rename(&self.path, self.path.with_extension(""))?;
        self.is_held = false;
        Ok(())
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        if self.is_held
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(%error, "The lock of an index stays");
        }
    }
}

/// An index (version 3) of the answer of `git ls-tree -z`, in which nothing is checked out; see `gitformat-index`.
fn encode(listing: &[u8], format: ObjectFormat) -> Option<Vec<u8>> {
    let mut entries = Vec::new();
    for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        let mut head = std::str::from_utf8(&entry[..tab]).ok()?.split(' ');
        let mode = u32::from_str_radix(head.next()?, 8).ok()?;
        let oid: Oid = head.nth(1)?.parse().ok()?;
        let mut name = entry[tab + 1..].to_vec();
        if mode == FOLDER {
            name.push(b'/');
        }
        entries.push((name, mode, oid));
    }
    entries.sort();
    let mut index = b"DIRC".to_vec();
    index.extend(3_u32.to_be_bytes());
    index.extend(u32::try_from(entries.len()).ok()?.to_be_bytes());
    for (name, mode, oid) in &entries {
        let start = index.len();
        // Times, device, inode, owner and size are those of no file.
        index.extend([0; 24]);
        index.extend(mode.to_be_bytes());
        index.extend([0; 12]);
        index.extend(oid.as_bytes());
        index.extend((EXTENDED | name.len().min(LONGEST_NAME) as u16).to_be_bytes());
        index.extend(NOT_CHECKED_OUT.to_be_bytes());
        index.extend(name);
        let padding = 8 - (index.len() - start) % 8;
        index.resize(index.len() + padding, 0);
    }
    // Folders may stand for all that is in them.
    index.extend(b"sdir");
    index.extend(0_u32.to_be_bytes());
    let checksum = match format {
        ObjectFormat::Sha1 => sha1::Sha1::digest(&index).to_vec(),
        ObjectFormat::Sha256 => sha2::Sha256::digest(&index).to_vec(),
    };
    index.extend(checksum);
    Some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_no_index() {
        for listing in ["100644 blob 12\ta\0", "x", "100644\ta\0", "blob 0 0\ta\0"] {
            assert!(encode(listing.as_bytes(), ObjectFormat::Sha1).is_none(), "{listing}");
        }
        assert_eq!(encode(b"", ObjectFormat::Sha1).unwrap().len(), 12 + 8 + 20);
        assert_eq!(encode(b"", ObjectFormat::Sha256).unwrap().len(), 12 + 8 + 32);
    }

    #[test]
    fn a_lock_of_somebody_else_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let (index, lock) = (dir.path().join("index"), dir.path().join("index.lock"));
        std::fs::write(&lock, "").unwrap();
        assert_eq!(IndexLock::take(dir.path()).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        assert!(lock.exists());
        std::fs::remove_file(&lock).unwrap();
        drop(IndexLock::take(dir.path()).unwrap());
        assert!(!lock.exists() && !index.exists());
        IndexLock::take(dir.path()).unwrap().replace(b"x").unwrap();
        assert!(!lock.exists() && index.exists());
    }
}
