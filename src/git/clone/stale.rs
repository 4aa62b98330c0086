//! Removing clones that nobody wants any more.
//!
//! What such a clone holds is as confidential as its repository, so it does not stay for ever, not even commits that
//! never reached the remote: they are what a target wanted that is gone, and the log says how many they were.

use super::marker::Marker;
use super::place;
use crate::git::cli::{Git, GitError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The clones and what is left of them below `work_dir` that were last wanted longer than `ttl` ago.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(work_dir: &Path, ttl: Duration) -> std::io::Result<Vec<PathBuf>> {
    let clones = place::clones_of(work_dir);
    if ttl.is_zero() || !clones.exists() {
        return Ok(Vec::new());
    }
    let mut stale = Vec::new();
    for entry in std::fs::read_dir(clones)? {
        let path = entry?.path();
        let last_wanted = Marker::last_wanted(&place::git_dir(&path)).or_else(|| path.metadata().ok()?.modified().ok());
        if last_wanted.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > ttl) {
            stale.push(path);
        }
    }
    Ok(stale)
}

/// Removes a clone that nobody uses, and says what is lost with it.
///
/// # Errors
/// When it cannot be removed.
pub async fn remove(git: &Git, clone: &Path) -> std::io::Result<()> {
    let unpushed = unpushed(git, &place::git_dir(clone)).await.unwrap_or_default();
    if unpushed > 0 {
        tracing::warn!(directory = %clone.display(), unpushed, "Removing a clone that nobody wants, with commits that were never pushed");
    } else {
        tracing::info!(directory = %clone.display(), "Removing a clone that nobody wants");
    }
    let clone = clone.to_owned();
    tokio::task::spawn_blocking(move || place::remove(&clone)).await?
}

async fn unpushed(git: &Git, git_dir: &Path) -> Result<usize, GitError> {
    let known = git.command(git_dir, "for-each-ref").flag("--format=%(objectname)").operand(super::BASE);
    let known = known.run().await?.success()?.text();
    let mut count = git.command(git_dir, "rev-list").flag("--count").offline().operand("HEAD");
    if !known.is_empty() {
        count = count.operand(format!("^{}", known.trim()));
    }
    let text = count.run().await?.success()?.text();
    text.trim().parse().map_err(|_| GitError::unreadable("rev-list", text.as_bytes()))
}

/// Notes that the clone was wanted until now.
pub fn touch(clone: &Path) {
    if let Err(error) = Marker::touch(&place::git_dir(clone)) {
        tracing::debug!(%error, directory = %clone.display(), "When the clone was last wanted is not noted");
    }
}
