//! Where a clone lies, and how one takes another's place without ever being half there.

use super::marker::Marker;
use crate::resource::{BranchKey, hex};
use sha2::Digest as _;
use std::io;
use std::path::{Path, PathBuf};

/// Below the work directory.
const CLONES: &str = "repos";

/// The folders of one branch.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The clone that is used.
    pub(super) current: PathBuf,
    /// One that is being made.
    pub(super) next: PathBuf,
    /// One that was replaced, while it is removed.
    outgoing: PathBuf,
    /// One that was damaged and could not be emptied: for people.
    damaged: PathBuf,
}

impl Place {
    pub(super) fn of(work_dir: &Path, key: &BranchKey) -> Self {
        let current = folder_of(work_dir, key);
        let beside = |suffix: &str| {
            let mut name = current.clone().into_os_string();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self { next: beside(".new"), outgoing: beside(".old"), damaged: beside(".damaged"), current }
    }

    /// Finishes what a process that was killed had begun. A complete clone beside none is the one that was to take its
    /// place.
    pub(super) fn settle(&self) -> io::Result<()> {
        if !self.current.exists() && Marker::read(&git_dir(&self.next)).is_some() {
            std::fs::rename(&self.next, &self.current)?;
        }
        remove(&self.next)?;
        remove(&self.outgoing)
    }

    /// Puts the next clone where the current one is. That one is removed, or kept beside if `keeps_old`.
    pub(super) fn swap(&self, keeps_old: bool) -> io::Result<()> {
        if self.current.exists() {
            let aside = if keeps_old { &self.damaged } else { &self.outgoing };
            remove(aside)?;
            std::fs::rename(&self.current, aside)?;
        }
        std::fs::rename(&self.next, &self.current)?;
        if let Some(parent) = self.current.parent() {
            std::fs::File::open(parent)?.sync_all()?;
        }
        remove(&self.outgoing)
    }
}

/// Where the clones of a work directory lie.
#[must_use]
pub fn clones_of(work_dir: &Path) -> PathBuf {
    work_dir.join(CLONES)
}

/// Where the clone of a branch lies.
#[must_use]
pub fn folder_of(work_dir: &Path, key: &BranchKey) -> PathBuf {
    clones_of(work_dir).join(folder_name(key))
}

/// The repository inside of a clone.
pub(super) fn git_dir(clone: &Path) -> PathBuf {
    clone.join(".git")
}

pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// `<host>_<path>_<branch>-<hash8>`: recognisable, and different for every key.
fn folder_name(key: &BranchKey) -> String {
    let readable = format!("{}_{}_{}", key.url.host(), key.url.repository(), key.branch);
    let readable: String = readable
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .take(120)
        .collect();
    let identity = format!("{}\0{}\0{}\0{}", key.provider, key.provider_uid, key.url.normalized(), key.branch);
    let digest = sha2::Sha256::digest(identity);
    format!("{}-{}", readable.trim_start_matches(['.', '_', '-']), hex(&digest[..4]))
}
