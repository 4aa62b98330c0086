//! One commit before git has seen it.

use super::spec::Identity;
use crate::resource::{NamespacedName, Oid, RepoPath};
use crate::sanitize::Manifest;

/// Who and when, as it stands in a commit: `Name <email> seconds +0000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(String);

impl Signature {
    /// A signature of `identity` at `seconds` since 1970, in UTC. What would break the header is left out.
    #[must_use]
    pub fn new(identity: &Identity, seconds: i64) -> Self {
        let name = header_safe(&identity.name);
        let name = if name.is_empty() { "unknown".to_owned() } else { name };
        Self(format!("{name} <{}> {} +0000", header_safe(&identity.email), seconds.max(0)))
    }

    /// A signature as it was read from a commit of ours.
    #[must_use]
    pub fn verbatim(line: &str) -> Self {
        Self(line.to_owned())
    }

    /// The header line without its keyword.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Leaves out what ends a name or a header, and what git itself would trim.
fn header_safe(text: &str) -> String {
    let safe: String = super::message::plain(text).chars().filter(|c| !matches!(c, '<' | '>')).collect();
    safe.trim_matches(|c: char| c.is_whitespace() || ".,:;'\"".contains(c)).to_owned()
}

/// What becomes of one file.
#[derive(Clone, Debug)]
pub enum FileChange {
    /// It holds these bytes.
    Write(RepoPath, Manifest),
    /// It holds this blob, which the repository has.
    Point(RepoPath, Oid),
    /// It is gone.
    Remove(RepoPath),
}

impl FileChange {
    /// The file.
    #[must_use]
    pub const fn path(&self) -> &RepoPath {
        match self {
            Self::Write(path, _) | Self::Point(path, _) | Self::Remove(path) => path,
        }
    }

    /// How many bytes of content it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Write(_, manifest) => manifest.len(),
            Self::Point(..) | Self::Remove(_) => 0,
        }
    }
}

/// One commit to be made.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The target that it is made for; `None` when it is replayed.
    pub target: Option<NamespacedName>,
    /// Who did it, and when.
    pub author: Signature,
    /// Who commits it, and when.
    pub committer: Signature,
    /// Subject, body and trailers.
    pub message: String,
    /// The files, each at most once.
    pub files: Vec<FileChange>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_can_end_the_header() {
        let table = [
            ("alice", "a@b", "alice <a@b> 7 +0000"),
            ("a<b>\nauthor x", "e>\n", "ab author x <e> 7 +0000"),
            ("<>", "", "unknown <> 7 +0000"),
            ("\u{202e}evil", "x", "evil <x> 7 +0000"),
        ];
        for (name, email, expected) in table {
            let identity = Identity { name: name.into(), email: email.into() };
            assert_eq!(Signature::new(&identity, 7).as_str(), expected);
        }
    }
}
