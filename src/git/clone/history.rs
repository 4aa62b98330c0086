//! Who did what on the branch, and what of the journal is put aside.

use super::{BASE, BranchClone};
use crate::git::cli::{GitError, Output};
use crate::git::message::plain;
use crate::resource::{BaseFolder, Oid, RepoPath};
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// Where journals are kept that lost their right to be pushed.
const LOST: &str = "refs/reverser/lost/";
/// So many of them are kept.
const LOST_KEPT: usize = 10;
/// So many commits are looked at where nothing else bounds the look.
const LOOKED_AT: usize = 200;
/// How long looking through the history may take; one that touches our folders rarely is walked to its end.
const WALK: Duration = Duration::from_secs(300);

/// Commits that touch some folders.
#[derive(Debug, Default)]
pub struct History {
    /// Those of this installation, newest first.
    pub ours: Vec<Oid>,
    /// The paths whose newest commit is somebody else's.
    pub foreign: BTreeSet<RepoPath>,
    /// Whether everything that was asked for is here: a shallow clone ends somewhere.
    pub is_complete: bool,
}

impl BranchClone {
    /// Whether commit `tip` is `ancestor` or has it in its history.
    ///
    /// # Errors
    /// When git fails.
    pub async fn contains(&self, tip: Oid, ancestor: Oid) -> Result<bool, GitError> {
        let command = self.command("merge-base").flag("--is-ancestor");
        let output = command.operand(ancestor.to_string()).operand(tip.to_string()).offline().run().await?;
        if output.code == 1 { Ok(false) } else { output.success().map(|_| true) }
    }

    /// The commits of `tip` that touch `folders`: those that none of `known` has or, without `known`, the newest.
    /// `instance` names this installation in the trailer of its commits.
    ///
    /// # Errors
    /// When git fails.
    pub async fn history<'a>(
        &self,
        tip: Oid,
        known: &[Oid],
        folders: impl Iterator<Item = &'a BaseFolder>,
        instance: &str,
    ) -> Result<History, GitError> {
        let mut input = format!("{tip}\n");
        known.iter().for_each(|known| input.push_str(&format!("^{known}\n")));
        input.push_str("--\n");
        input.push_str(&pathspecs(folders));
        let mut log = self
            .command("log")
            .flag("--stdin")
            .flag("-z")
            .flag("--name-only")
            .flag("--no-renames")
            .flag("--first-parent")
            .flag("--diff-merges=first-parent")
            .flag("--format=%x01%H%x02%P%x02%(trailers:key=X-ConfigButler-InstanceID,valueonly)%x02")
            .offline()
            .deadline(WALK);
        if known.is_empty() {
            log = log.value("--max-count", &LOOKED_AT.to_string());
        }
        let output = log.input(input.into_bytes()).run().await?.success()?;
        let shallow = self.git_dir().join("shallow");
        let is_shallow = std::fs::metadata(shallow).is_ok_and(|file| file.len() > 0);
        parse(&output.stdout, plain(instance).as_str(), is_shallow && known.is_empty())
            .ok_or_else(|| GitError::unreadable("log", &output.stdout))
    }

    /// The paths below `folders` at which the trees of two commits differ.
    ///
    /// # Errors
    /// When git fails.
    pub async fn differences<'a>(
        &self,
        before: Oid,
        after: Oid,
        folders: impl Iterator<Item = &'a BaseFolder>,
    ) -> Result<BTreeSet<RepoPath>, GitError> {
        let prefixes: Vec<String> = folders.map(BaseFolder::prefix).collect();
        let command = self.command("diff-tree").flag("-r").flag("-z").flag("--name-only").flag("--no-renames");
        let output = command.operand(before.to_string()).operand(after.to_string()).offline().run().await?.success()?;
        let is_ours = |path: &RepoPath| prefixes.iter().any(|prefix| path.as_str().starts_with(prefix));
        Ok(paths(&output.stdout).filter(is_ours).collect())
    }

    /// Keeps `tip` under a ref that nothing pushes, named for the time `at`; the oldest of these refs go.
    ///
    /// # Errors
    /// When git fails.
    pub async fn put_aside(&self, tip: Oid, at: jiff::Timestamp) -> Result<String, GitError> {
        let listed = self.command("for-each-ref").flag("--format=%(refname)").operand(LOST).run().await?.success()?;
        let listed = listed.text();
        let mut kept: Vec<&str> = listed.lines().collect();
        kept.sort_unstable();
        let name = format!("{LOST}{}", at.strftime("%Y%m%dT%H%M%S%.3fZ"));
        let mut input = format!("update {name} {tip}\n");
        let surplus = (kept.len() + 1).saturating_sub(LOST_KEPT);
        kept.iter().take(surplus).for_each(|oldest| input.push_str(&format!("delete {oldest}\n")));
        self.command("update-ref").flag("--stdin").input(input.into_bytes()).run().await?.success()?;
        Ok(name)
    }

    /// Makes `tip` the journal's tip on a branch of which the remote has nothing.
    ///
    /// # Errors
    /// When git fails; nothing has changed then.
    pub(super) async fn set_root(&self, tip: Oid) -> Result<(), GitError> {
        let mut input = format!("update {} {tip}\n", self.key.branch.to_ref());
        if self.base().await?.is_some() {
            input.push_str(&format!("delete {BASE}\n"));
        }
        self.command("update-ref").flag("--stdin").input(input.into_bytes()).run().await?.success()?;
        self.work_tree_follows(Some(tip));
        Ok(())
    }

    /// Makes `tip` both the journal's tip and its base; `None` makes the branch one without commits. The journal is empty
    /// then.
    ///
    /// # Errors
    /// When git fails; nothing has changed then.
    pub async fn restart(&self, tip: Option<Oid>) -> Result<(), GitError> {
        if let Some(tip) = tip {
            return self.set_refs(tip, Some(tip)).await;
        }
        for reference in [BASE.to_owned(), self.key.branch.to_ref()] {
            self.command("update-ref").flag("-d").operand(reference).run().await.and_then(Output::success)?;
        }
        Ok(())
    }
}

/// One path a line; what is no line of its own cannot be a folder of a target.
fn pathspecs<'a>(folders: impl Iterator<Item = &'a BaseFolder>) -> String {
    let folders: Vec<&BaseFolder> = folders.collect();
    if folders.iter().any(|folder| folder.levels().next().is_none()) {
        return String::new();
    }
    folders.iter().map(|folder| format!("{folder}\n")).collect()
}

/// `SOH <oid> STX <parents> STX <instance> STX`, then the paths, with NUL between everything; newest first.
fn parse(log: &[u8], instance: &str, ends_somewhere: bool) -> Option<History> {
    let mut history = History { is_complete: true, ..History::default() };
    let mut seen = HashSet::new();
    let mut commits = 0;
    for record in log.split(|byte| *byte == 1).skip(1) {
        let mut parts = record.splitn(4, |byte| *byte == 2);
        let mut text = || std::str::from_utf8(parts.next()?).ok();
        let (oid, parents, trailer) = (text()?.parse().ok()?, text()?, text()?);
        commits += 1;
        let is_ours = trailer.lines().any(|line| line.trim() == instance);
        if is_ours {
            history.ours.push(oid);
        }
        // Where a shallow clone ends, a commit seems to add everything that it holds.
        if ends_somewhere && parents.is_empty() {
            history.is_complete = false;
            continue;
        }
        for path in paths(parts.next()?) {
            if seen.insert(path.clone()) && !is_ours {
                history.foreign.insert(path);
            }
        }
    }
    history.is_complete &= !ends_somewhere && commits < LOOKED_AT;
    Some(history)
}

/// Paths with NUL between them; those that no [`RepoPath`] can name are none of ours.
fn paths(listing: &[u8]) -> impl Iterator<Item = RepoPath> {
    let names = listing.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
    names.filter_map(|name| RepoPath::new(name.trim_start_matches('\n')).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    const B: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5392";

    fn foreign(history: &History) -> Vec<&str> {
        history.foreign.iter().map(RepoPath::as_str).collect()
    }

    #[test]
    fn the_newest_commit_of_a_path_decides() {
        let log = format!(
            "\x01{A}\x02{B}\x02\x02\0\nx\0y\0\0\x01{B}\x02{A}\x02me\n\x02\0\nx\0z\0\0\x01{A}\x02\x02you\x02\0\nz\0w\0"
        );
        let history = parse(log.as_bytes(), "me", false).unwrap();
        assert_eq!(foreign(&history), ["w", "x", "y"]);
        assert_eq!((history.ours.len(), history.is_complete), (1, true));
    }

    #[test]
    fn the_end_of_a_shallow_clone_tells_nothing_of_its_files() {
        let log = format!("\x01{A}\x02{B}\x02\x02\0\nx\0\0\x01{B}\x02\x02me\x02\0\ny\0");
        let history = parse(log.as_bytes(), "me", true).unwrap();
        assert_eq!((foreign(&history), history.ours.len(), history.is_complete), (vec!["x"], 1, false));
        let empty = parse(b"", "me", false).unwrap();
        assert_eq!((foreign(&empty), empty.is_complete), (vec![], true));
    }

    #[test]
    fn the_root_needs_no_path() {
        let folders = |names: &[&str]| names.iter().map(|name| BaseFolder::new(name).unwrap()).collect::<Vec<_>>();
        assert_eq!(pathspecs(folders(&["a", "b c"]).iter()), "a\nb c\n");
        assert_eq!(pathspecs(folders(&["a", "."]).iter()), "");
    }
}
