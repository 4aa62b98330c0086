//! Whether a clone can be worked with.

use super::{BASE, BranchClone, READS};
use crate::git::cli::GitError;
use crate::resource::Oid;
use std::collections::BTreeSet;
use std::io::Read as _;

/// A log of a ref is read from so many bytes before its end.
const LOG_TAIL: u64 = 64 << 10;

impl BranchClone {
    /// Looks whether the refs are there and the journal can be read, as far as that is quick.
    ///
    /// # Errors
    /// [`GitError::Damaged`] says what was found; others when git cannot be run.
    pub(super) async fn check(&self) -> Result<(), GitError> {
        let damaged = |what: &str| Err(GitError::Damaged { what: what.to_owned() });
        let listed = self.command("for-each-ref").flag("--format=%(refname)").operand(self.key.branch.to_ref());
        let listed = listed.operand(BASE).offline().run().await?;
        if listed.code != 0 || !listed.stderr.is_empty() {
            return damaged(listed.stderr.lines().next().unwrap_or("its refs cannot be listed"));
        }
        let (tip, base) = (self.tip().await?, self.base().await?);
        if tip.is_none() && (base.is_some() || !self.logged(&self.key.branch.to_ref()).is_empty()) {
            return damaged("its branch is gone");
        }
        if base.is_none() && !self.logged(BASE).is_empty() {
            return damaged("what it knows of the remote is gone");
        }
        let Some(tip) = tip else { return Ok(()) };
        if !self.has_tree(tip).await? {
            return damaged("the files of its last commit cannot be listed");
        }
        match self.missing(tip, base).await {
            Ok(missing) if missing.is_empty() => Ok(()),
            Ok(_) => damaged("objects of its journal are missing"),
            // So long a journal is not walked at each start; whatever it lacks is found when it is needed.
            Err(GitError::Timeout { .. }) => Ok(()),
            Err(GitError::Failed { diagnosis, .. }) => damaged(diagnosis.lines().next().unwrap_or("unknown")),
            Err(error) => Err(error),
        }
    }

    /// The objects of the commits `base..tip` that are not here.
    pub(super) async fn missing(&self, tip: Oid, base: Option<Oid>) -> Result<BTreeSet<Oid>, GitError> {
        let walk = self.command("rev-list").flag("--objects").flag("--missing=print").offline().deadline(READS);
        let mut walk = walk.operand(tip.to_string());
        if let Some(base) = base {
            walk = walk.operand(format!("^{base}"));
        }
        let walked = walk.run().await?.success()?.text();
        Ok(walked.lines().filter_map(|line| line.strip_prefix('?')?.parse().ok()).collect())
    }

    /// What a ref has pointed at, the latest first, as far as its log tells.
    pub(super) fn logged(&self, reference: &str) -> Vec<Oid> {
        let log = self.git_dir().join("logs").join(reference);
        let text = tail(&log).unwrap_or_default();
        // `<old> SP <new> SP <who and when> TAB <why>`
        text.lines().rev().filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect()
    }
}

fn tail(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::{Seek as _, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
