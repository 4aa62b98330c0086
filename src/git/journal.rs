//! The commits made here that the remote does not have yet, and how they move onto a new tip.

use super::cli::{Git, GitError};
use super::commit::{Commit, FileChange, Signature};
use super::message;
use super::tree::TreeIndex;
use crate::resource::{Oid, RepoPath};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// So many commits are read at a time: what git may say at once, and how long that may take, is bounded, and a journal is
/// as long as the remote was down.
const AT_ONCE: usize = 1_000;

/// Reads the commits `base..main` with their ids, oldest first; all of `main` without a base. Those that `onto`, the
/// remote's tip, has already are left out: a push may have landed although nobody heard of it.
///
/// # Errors
/// When git fails, or answers in a form that is not understood.
pub async fn read(
    git: &Git,
    git_dir: &Path,
    base: Option<Oid>,
    main: Oid,
    onto: Option<Oid>,
) -> Result<Vec<(Oid, Commit)>, GitError> {
    let mut list = git.command(git_dir, "rev-list").flag("--reverse").offline().operand(main.to_string());
    for known in [base, onto].into_iter().flatten() {
        list = list.operand(format!("^{known}"));
    }
    let ids = list.run().await?.success()?.text();
    let ids: Vec<&str> = ids.lines().collect();
    let mut commits = Vec::with_capacity(ids.len());
    let mut rest: Vec<&[&str]> = ids.chunks(AT_ONCE).rev().collect();
    while let Some(part) = rest.pop() {
        match read_part(git, git_dir, part).await {
            Ok(read) => commits.extend(read),
            Err(GitError::TooMuchOutput { .. }) if part.len() > 1 => {
                let (first, second) = part.split_at(part.len() / 2);
                rest.extend([second, first]);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(commits)
}

/// Reads the commits `ids`.
async fn read_part(git: &Git, git_dir: &Path, ids: &[&str]) -> Result<Vec<(Oid, Commit)>, GitError> {
    let input: Vec<u8> = ids.iter().flat_map(|id| format!("{id}\n").into_bytes()).collect();
    let objects = git.command(git_dir, "cat-file").flag("--batch").offline().input(input.clone()).run();
    let diffs = git
        .command(git_dir, "diff-tree")
        .flag("--stdin")
        .flag("-r")
        .flag("-z")
        .flag("--root")
        .flag("--no-renames")
        .offline()
        .input(input)
        .run();
    let (objects, diffs) = tokio::try_join!(objects, diffs)?;
    let (objects, diffs) = (objects.success()?.stdout, diffs.success()?.stdout);
    let mut files = parse_diffs(&diffs).ok_or_else(|| GitError::unreadable("diff-tree", &diffs))?;
    let commits = parse_commits(&objects).ok_or_else(|| GitError::unreadable("cat-file", &objects))?;
    Ok(commits
        .into_iter()
        .map(|(id, mut commit)| {
            commit.files = files.remove(&id).unwrap_or_default();
            (id, commit)
        })
        .collect())
}

/// The commits of `journal` as they are to stand on a tip that holds `tree`: without what the tip already has and without
/// what would replace something foreign. What a list brought, and no change of an object, does not touch `spared` paths,
/// which somebody else has edited meanwhile. Commits that have nothing left are dropped.
#[must_use]
pub fn rebase(journal: Vec<Commit>, mut tree: TreeIndex, spared: &BTreeSet<RepoPath>) -> Vec<Commit> {
    let mut rebased = Vec::new();
    for mut commit in journal {
        if message::is_reconcile(&commit.message) {
            commit.files.retain(|file| !spared.contains(file.path()));
        }
        commit.files.retain(|file| match file {
            FileChange::Point(path, oid) => {
                let differs = tree.get(path) != Some(*oid) && tree.obstacle(path).is_none();
                if differs {
                    tree.insert(path.clone(), *oid);
                }
                differs
            }
            FileChange::Remove(path) => {
                let there = tree.get(path).is_some();
                tree.remove(path);
                there
            }
            // Journals are read with `Point` and `Remove` only.
            FileChange::Write(..) => true,
        });
        if !commit.files.is_empty() {
            rebased.push(commit);
        }
    }
    rebased
}

fn parse_commits(output: &[u8]) -> Option<Vec<(Oid, Commit)>> {
    objects(output)?.into_iter().map(|(id, object)| Some((id, parse_commit(object)?))).collect()
}

/// The commits that `cat-file --batch` printed: `<oid> SP commit SP <size> LF <object> LF`, again and again. `None` if
/// there is anything else.
pub(super) fn objects(mut output: &[u8]) -> Option<Vec<(Oid, &[u8])>> {
    let mut objects = Vec::new();
    while !output.is_empty() {
        let end = output.iter().position(|byte| *byte == b'\n')?;
        let mut head = std::str::from_utf8(&output[..end]).ok()?.split(' ');
        let (id, kind, size) = (head.next()?.parse().ok()?, head.next()?, head.next()?.parse::<usize>().ok()?);
        let object = output.get(end + 1..end + 1 + size)?;
        if kind != "commit" {
            return None;
        }
        objects.push((id, object));
        output = output.get(end + 2 + size..)?;
    }
    Some(objects)
}

fn parse_commit(object: &[u8]) -> Option<Commit> {
    let text = std::str::from_utf8(object).ok()?;
    let (headers, message) = text.split_once("\n\n")?;
    let header = |key: &str| headers.lines().find_map(|line| line.strip_prefix(key)).map(Signature::verbatim);
    Some(Commit {
        target: None,
        author: header("author ")?,
        committer: header("committer ")?,
        message: message.to_owned(),
        files: Vec::new(),
    })
}

/// `<oid> NUL`, then for each file `:<mode> <mode> <oid> <oid> <status> NUL <path> NUL`.
fn parse_diffs(diffs: &[u8]) -> Option<HashMap<Oid, Vec<FileChange>>> {
    let mut files: HashMap<Oid, Vec<FileChange>> = HashMap::new();
    let mut current = None;
    let mut parts = diffs.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    while let Some(part) = parts.next() {
        let part = std::str::from_utf8(part).ok()?.trim_start_matches('\n');
        let Some(entry) = part.strip_prefix(':') else {
            current = Some(part.parse::<Oid>().ok()?);
            continue;
        };
        let fields: Vec<&str> = entry.split(' ').collect();
        let path = RepoPath::new(std::str::from_utf8(parts.next()?).ok()?).ok()?;
        let change = match fields.as_slice() {
            [_, _, _, _, "D"] => FileChange::Remove(path),
            [_, _, _, oid, _] => FileChange::Point(path, oid.parse().ok()?),
            _ => return None,
        };
        files.entry(current?).or_default().push(change);
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_in_the_header_is_passed_over() {
        let signature =
            "gpgsig -----BEGIN SSH SIGNATURE-----\n author nobody <> 1 +0000\n \n -----END SSH SIGNATURE-----\n";
        let object = format!(
            "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a@b> 7 +0000\ncommitter c <c@d> 8 +0000\n{signature}\nsubject\n\nbody\n"
        );
        let commit = parse_commit(object.as_bytes()).unwrap();
        assert_eq!((commit.author.as_str(), commit.committer.as_str()), ("a <a@b> 7 +0000", "c <c@d> 8 +0000"));
        assert_eq!(commit.message, "subject\n\nbody\n");
    }

    const OLD: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    const NEW: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const LIST: &str = "[RECONCILE] 1 files written, 0 deleted\n\nX-ConfigButler-Operation: RECONCILE\n";
    const CHANGE: &str =
        "[UPDATE] ConfigMap/a\n\nX-ConfigButler-Operation: RECONCILE\n\nX-ConfigButler-Operation: UPDATE\n";

    fn path(name: &str) -> RepoPath {
        RepoPath::new(name).unwrap()
    }

    fn mk_commit(message: &str, files: &[(&str, Option<&str>)]) -> Commit {
        let file = |(name, oid): &(&str, Option<&str>)| match oid {
            Some(oid) => FileChange::Point(path(name), oid.parse().unwrap()),
            None => FileChange::Remove(path(name)),
        };
        Commit {
            target: None,
            author: Signature::verbatim("a <b> 1 +0000"),
            committer: Signature::verbatim("a <b> 1 +0000"),
            message: message.to_owned(),
            files: files.iter().map(file).collect(),
        }
    }

    /// The files of what is left of one commit on a tip that holds `a`, `b` and `c/d`.
    fn rebased(message: &str, files: &[(&str, Option<&str>)], spared: &[&str]) -> Vec<String> {
        let mut tree = TreeIndex::default();
        ["a", "b", "c/d"].iter().for_each(|name| tree.insert(path(name), OLD.parse().unwrap()));
        let spared = spared.iter().map(|name| path(name)).collect();
        let left = rebase(vec![mk_commit(message, files)], tree, &spared);
        assert!(left.iter().all(|commit| !commit.files.is_empty()));
        left.iter().flat_map(|commit| &commit.files).map(|file| file.path().to_string()).collect()
    }

    #[test]
    fn only_what_the_tip_lacks_is_replayed() {
        let files = [("a", Some(OLD)), ("b", Some(NEW)), ("c", Some(NEW)), ("x", None), ("c/d", None)];
        assert_eq!(rebased(CHANGE, &files, &[]), ["b", "c/d"]);
        assert!(rebased(CHANGE, &[("a", Some(OLD)), ("x", None)], &[]).is_empty());
    }

    #[test]
    fn a_list_does_not_revert_what_was_edited_since_but_a_change_does() {
        let files = [("a", Some(NEW)), ("b", None)];
        assert_eq!(rebased(LIST, &files, &["a"]), ["b"]);
        assert!(rebased(LIST, &files, &["a", "b"]).is_empty());
        assert_eq!(rebased(CHANGE, &files, &["a", "b"]), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_journal_may_be_longer_than_what_git_is_let_say_at_once() {
        const COMMITS: usize = 70;
        let dir = tempfile::tempdir().unwrap();
        let git = Git::find(true).await.unwrap();
        let git_dir = dir.path().join(".git");
        std::fs::create_dir_all(&git_dir).unwrap();
        let init = git.command(&git_dir, "init").flag("--quiet").value("--template", "");
        init.run().await.unwrap().success().unwrap();
        let commit = |number: usize| {
            let mut commit = mk_commit(&format!("{number}\n\n{}\n", "x".repeat(1 << 20)), &[]);
            let text = crate::sanitize::Manifest::new(format!("{number}\n").into_bytes());
            commit.files = vec![FileChange::Write(path("a"), text)];
            commit
        };
        let commits: Vec<Commit> = (0..COMMITS).map(commit).collect();
        let stream = crate::git::fast_import::commits("refs/heads/main", None, &commits);
        let made = git.command(&git_dir, "fast-import").flag("--quiet").input(stream).run().await.unwrap();
        let made = crate::git::fast_import::printed_ids(&made.success().unwrap().stdout, COMMITS).unwrap();
        let journal = read(&git, &git_dir, None, made[COMMITS - 1], None).await.unwrap();
        assert_eq!(journal.iter().map(|(id, _)| *id).collect::<Vec<_>>(), made);
        assert!(journal.iter().zip(&commits).all(|((_, found), made)| found.message == made.message));
        assert!(journal.iter().all(|(_, commit)| commit.files.len() == 1));
    }
}
