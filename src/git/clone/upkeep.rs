//! Keeping a clone small and quick: fewer packs, short logs, a bounded history.

use super::BranchClone;
use crate::git::cli::GitError;
use crate::git::spec::Credentials;
use crate::resource::Oid;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long repacking may take.
const REPACK: Duration = Duration::from_secs(600);
/// A log of a ref is cut when it is longer than this,
const LONGEST_LOG: u64 = 1 << 20;
/// to this, in bytes.
const KEPT_LOG: usize = 64 << 10;

/// The packs of a clone.
#[derive(Debug, Default)]
struct Packs {
    /// Those that were made here, without their extension, with their sizes.
    ours: Vec<(PathBuf, u64)>,
    /// How many came from the remote, and are its promise of what they lack.
    promised: usize,
    bytes: u64,
}

impl Packs {
    fn list(git_dir: &Path) -> io::Result<Self> {
        let mut packs = Self::default();
        for entry in std::fs::read_dir(git_dir.join("objects/pack"))? {
            let path = entry?.path();
            let Ok(metadata) = path.metadata() else { continue };
            packs.bytes += metadata.len();
            if path.extension().is_some_and(|extension| extension == "pack") {
                if path.with_extension("promisor").exists() {
                    packs.promised += 1;
                } else {
                    packs.ours.push((path.with_extension(""), metadata.len()));
                }
            }
        }
        packs.ours.sort_by_key(|(_, size)| *size);
        Ok(packs)
    }

    /// Those that are worth being put into one: each that stays is at least twice as large as all smaller ones together,
    /// so that what is large is rarely written anew.
    fn small(&self) -> &[(PathBuf, u64)] {
        let mut below: u64 = self.ours.iter().map(|(_, size)| size).sum();
        let mut end = self.ours.len();
        while let Some((_, size)) = end.checked_sub(1).and_then(|last| self.ours.get(last)) {
            below -= size;
            if *size < 2 * below {
                break;
            }
            end -= 1;
        }
        &self.ours[..end]
    }
}

impl BranchClone {
    /// Repacks if that is worth it. Others may read and write meanwhile: nothing that a pack held is lost, reachable or
    /// not, and a git that misses a pack looks for the new one.
    ///
    /// # Errors
    /// When git fails; nothing is lost then.
    pub async fn repack(&self) -> Result<(), GitError> {
        let failed = |source| Self::io("repack", source);
        let packs = Packs::list(&self.git_dir()).map_err(failed)?;
        if packs.promised > self.policy.most_packs {
            // Both kinds at once, each into one pack of its kind. What is unreachable may be about to be pointed to.
            let all = self.command("repack").flag("-a").flag("-d").flag("-k").flag("-n").flag("-q");
            all.low_priority().deadline(REPACK).run().await?.success()?;
            return Ok(());
        }
        let small = packs.small();
        if small.len() < 2 {
            return Ok(());
        }
        // `git repack --geometric` does not work in a partial clone before git 2.53.
        let name = |pack: &Path| pack.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let input: String = small.iter().map(|(pack, _)| format!("{}.pack\n", name(pack))).collect();
        let target = self.git_dir().join("objects/pack/pack").to_string_lossy().into_owned();
        let pack = self.command("pack-objects").flag("--stdin-packs").flag("--non-empty").flag("-q").operand(target);
        let made = pack.offline().low_priority().deadline(REPACK).input(input.into_bytes()).run().await?.success()?;
        let made = format!("pack-{}", made.text().trim());
        if !self.git_dir().join("objects/pack").join(&made).with_extension("idx").exists() {
            return Err(GitError::unreadable("pack-objects", made.as_bytes()));
        }
        for (old, _) in small.iter().filter(|(old, _)| name(old) != made) {
            // Without its index nobody looks into a pack any more.
            for extension in ["idx", "rev", "pack"] {
                match std::fs::remove_file(old.with_extension(extension)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                    _ => {}
                }
            }
        }
        tracing::debug!(directory = %self.directory.display(), packs = small.len(), "Repacked");
        Ok(())
    }

    /// How many packs there are.
    #[must_use]
    pub fn packs(&self) -> usize {
        Packs::list(&self.git_dir()).map_or(0, |packs| packs.ours.len() + packs.promised)
    }

    /// Whether there is more history than a clone is to hold.
    ///
    /// # Errors
    /// When git fails.
    pub async fn is_outgrown(&self, tip: Oid) -> Result<bool, GitError> {
        if self.marker.is_full {
            // Made anew it would be as long.
            return Ok(false);
        }
        let bytes = Packs::list(&self.git_dir()).map_err(|source| Self::io("rev-list", source))?.bytes;
        Ok(bytes > self.policy.most_bytes || self.journal_length(None, tip).await? > self.policy.most_commits)
    }

    /// A new clone in the folder beside, to take this one's place; see [`BranchClone::replace_with`].
    ///
    /// # Errors
    /// When the remote cannot be reached, or the clone cannot be made.
    pub async fn renewed(self, credentials: Credentials) -> Result<Self, GitError> {
        self.create(false, &credentials).await
    }

    /// Lets `next`, a clone that was made beside, take this one's place if both are at the same commit and nothing waits
    /// to be pushed. No git may run in here. Tells whether it did.
    ///
    /// # Errors
    /// When the folders cannot be exchanged.
    pub async fn replace_with(&mut self, next: Self) -> Result<bool, GitError> {
        let (tip, base) = (self.tip().await?, self.base().await?);
        if tip.is_none() || tip != base || next.tip().await? != tip {
            return Ok(false);
        }
        self.work_tree = None;
        *self = next.publish(false)?;
        self.start_work_tree().await?;
        Ok(true)
    }

    /// Cuts the logs of the refs. No git may change a ref meanwhile.
    ///
    /// # Errors
    /// When a log cannot be written.
    pub fn trim_logs(&self) -> Result<(), GitError> {
        let failed = |source| Self::io("reflog", source);
        for log in ["HEAD".to_owned(), self.key.branch.to_ref(), super::BASE.to_owned()] {
            trim(&self.git_dir().join("logs").join(log)).map_err(failed)?;
        }
        Ok(())
    }
}

fn trim(log: &Path) -> io::Result<()> {
    if std::fs::metadata(log).map_or(0, |metadata| metadata.len()) <= LONGEST_LOG {
        return Ok(());
    }
    let bytes = std::fs::read(log)?;
    let from = bytes.len().saturating_sub(KEPT_LOG);
    let line = bytes[from..].iter().position(|byte| *byte == b'\n').map_or(from, |end| from + end + 1);
    let short = log.with_extension("short");
    std::fs::write(&short, &bytes[line..])?;
    std::fs::rename(short, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_is_not_written_anew() {
        for (sizes, expected) in [
            (&[][..], 0),
            (&[5], 0),
            (&[5, 5], 2),
            (&[1, 10], 0),
            (&[1, 10, 10, 10], 4),
            (&[1, 1, 1, 100], 3),
            (&[1, 1, 50, 1000], 2),
            (&[1, 1, 4, 100], 2),
        ] {
            let ours = sizes.iter().map(|size| (PathBuf::new(), *size)).collect();
            assert_eq!(Packs { ours, ..Packs::default() }.small().len(), expected, "{sizes:?}");
        }
    }

    #[test]
    fn a_log_keeps_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("main");
        let lines: String = (0..20_000).map(|n| format!("{n:080}\n")).collect();
        std::fs::write(&log, &lines).unwrap();
        trim(&log).unwrap();
        let kept = std::fs::read_to_string(&log).unwrap();
        assert!(lines.ends_with(&kept) && kept.starts_with('0') && kept.len() > KEPT_LOG - 100);
        assert_eq!(kept.len() % 81, 0);
    }
}
