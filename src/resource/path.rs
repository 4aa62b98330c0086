//! Paths inside a repository.
//!
//! `git fast-import` accepts `../x`, `a/./b` and `.git/config`, so [`RepoPath`] is the only guard between
//! a name in the cluster and a tree that no checkout could survive. It is the only way to name a file.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A relative POSIX path of a file inside a repository, safe to write into a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoPath(Arc<str>);

/// A folder inside a repository below which one target writes; the root is written `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseFolder(Arc<str>);

/// A path that must not be written into a repository.
#[derive(Debug, thiserror::Error)]
#[error("{path:?} is not usable as a path in a repository: {reason}")]
pub struct InvalidPath {
    path: String,
    reason: &'static str,
}

impl RepoPath {
    /// Checks every component of `path`.
    ///
    /// # Errors
    /// Says which rule the path breaks.
    pub fn new(path: &str) -> Result<Self, InvalidPath> {
        check(path)?;
        Ok(Self(Arc::from(path)))
    }

    /// The path, as git has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The outermost folder that the file is in; the root for a file that is in none.
    #[must_use]
    pub fn top(&self) -> BaseFolder {
        self.0.split_once('/').map_or_else(BaseFolder::root, |(top, _)| BaseFolder(Arc::from(top)))
    }

    /// Every folder above the file, the nearest last: `a`, `a/b` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl Borrow<str> for RepoPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BaseFolder {
    /// Checks `folder`; `.` is the root of the repository.
    ///
    /// # Errors
    /// Says which rule the folder breaks.
    pub fn new(folder: &str) -> Result<Self, InvalidPath> {
        if folder != "." {
            check(folder)?;
        }
        Ok(Self(Arc::from(folder)))
    }

    /// The root of the repository.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from("."))
    }

    /// The folder as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What every path below the folder starts with: empty for the root, else ending in `/`.
    #[must_use]
    pub fn prefix(&self) -> String {
        if &*self.0 == "." { String::new() } else { format!("{}/", self.0) }
    }

    /// Every folder above this one and itself, outermost first: `a`, `a/b` for `a/b`; none for the root.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        let path = if &*self.0 == "." { "" } else { &*self.0 };
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(move |end| &path[..end]).filter(|level| !level.is_empty())
    }

    /// Whether `path` lies in the folder.
    #[must_use]
    pub fn contains(&self, path: &RepoPath) -> bool {
        path.as_str().starts_with(&self.prefix())
    }

    /// Whether one of the two folders is, or lies in, the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.prefix(), other.prefix());
        ours.starts_with(&theirs) || theirs.starts_with(&ours)
    }
}

impl fmt::Display for BaseFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(path: &str) -> Result<(), InvalidPath> {
    let broken = if path.len() > 4_000 {
        Some("it must not have more than 4000 bytes")
    } else {
        path.split('/').find_map(broken_rule)
    };
    broken.map_or(Ok(()), |reason| Err(InvalidPath { path: path.chars().take(120).collect(), reason }))
}

fn broken_rule(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        return Some("it must be relative, without empty components");
    }
    if component == "." || component == ".." {
        return Some("it must not contain `.` or `..`");
    }
    if component.len() > 255 {
        return Some("no component may have more than 255 bytes");
    }
    if component.ends_with('.') || component.ends_with(' ') {
        return Some("no component may end in a dot or a space");
    }
    if component.chars().any(|c| c.is_control() || c == '\\') {
        return Some("it must not contain control characters or backslashes");
    }
    is_git_metadata(component).then_some("it must not name Git's own files, in any disguise")
}

/// Whether some file system would take `component` for `.git` or for a file that configures git: without
/// regard to case, to characters that HFS+ ignores, to NTFS streams and short names.
fn is_git_metadata(component: &str) -> bool {
    let folded: String = component.chars().filter(|c| !is_ignored_by_hfs(*c)).flat_map(char::to_lowercase).collect();
    let name = folded.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    matches!(name, ".git" | ".gitmodules" | ".gitattributes" | ".gitignore")
        || name.strip_prefix("git~").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit()))
}

const fn is_ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_paths_are_refused() {
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "a/./b",
            ".git",
            ".git/config",
            "a/.GIT/x",
            "a/.git./x",
            "a/.git /x",
            "a/.g\u{200c}it/x",
            "a/git~1/x",
            "a/GIT~2",
            ".git::$INDEX_ALLOCATION/x",
            "a/.gitmodules",
            ".gitattributes",
            "a\0b",
            "a\nb",
            "a\\b",
            "a./b",
            "a /b",
            &"x".repeat(256),
            &"x/".repeat(2_001),
        ] {
            assert!(RepoPath::new(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b.yaml", ".github/x", "a b/c", "git", "ä/ö", ".hidden", "-x/y"] {
            assert!(RepoPath::new(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn the_root_must_be_written_out() {
        assert!(BaseFolder::new("").is_err());
        assert_eq!(BaseFolder::new(".").unwrap().prefix(), "");
        assert_eq!(BaseFolder::new("a/b").unwrap().prefix(), "a/b/");
    }

    #[test]
    fn levels_come_outermost_first_and_end_with_the_folder() {
        for (folder, levels) in [(".", &[][..]), ("a", &["a"]), ("a/b/c", &["a", "a/b", "a/b/c"])] {
            assert_eq!(BaseFolder::new(folder).unwrap().levels().collect::<Vec<_>>(), levels);
        }
    }

    #[test]
    fn folders_overlap_when_one_holds_the_other() {
        let table = [("a", "a", true), ("a", "a/b", true), (".", "a", true), ("a", "ab", false), ("a/b", "a/c", false)];
        for (one, other, expected) in table {
            let (one, other) = (BaseFolder::new(one).unwrap(), BaseFolder::new(other).unwrap());
            assert_eq!(one.overlaps(&other), expected);
            assert_eq!(other.overlaps(&one), expected);
        }
    }

    #[test]
    fn ancestors_come_outermost_first() {
        let path = RepoPath::new("a/b/c.yaml").unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
