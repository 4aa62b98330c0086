//! The input of `git fast-import`: one process a batch, one commit a change.

use super::cli::GitError;
use super::commit::{Commit, FileChange};
use crate::resource::{Oid, RepoPath};
use crate::sanitize::Manifest;

/// A stream that adds `commits` to `reference` on top of `tip`, and makes fast-import print each commit's id.
#[must_use]
pub fn commits(reference: &str, tip: Option<Oid>, commits: &[Commit]) -> Vec<u8> {
    let mut stream = Stream::begin();
    for (number, commit) in commits.iter().enumerate() {
        stream.line(&format!("commit {reference}"));
        stream.line(&format!("mark :{}", number + 1));
        stream.line(&format!("author {}", commit.author.as_str()));
        stream.line(&format!("committer {}", commit.committer.as_str()));
        stream.data(commit.message.as_bytes());
        if let (0, Some(tip)) = (number, tip) {
            stream.line(&format!("from {tip}"));
        }
        commit.files.iter().for_each(|file| stream.file(file));
        stream.line(&format!("get-mark :{}", number + 1));
    }
    stream.end()
}

/// A stream that only stores blobs, for commits that point to them later.
#[must_use]
pub fn blobs<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> Vec<u8> {
    let mut stream = Stream::begin();
    for manifest in manifests {
        stream.line("blob");
        stream.data(manifest.bytes());
    }
    stream.end()
}

/// The ids that fast-import printed, one for each of `expected` commits.
///
/// # Errors
/// When it printed anything else.
pub fn printed_ids(stdout: &[u8], expected: usize) -> Result<Vec<Oid>, GitError> {
    let text = String::from_utf8_lossy(stdout);
    let ids: Result<Vec<Oid>, _> = text.lines().map(str::parse).collect();
    match ids {
        Ok(ids) if ids.len() == expected => Ok(ids),
        _ => Err(GitError::unreadable("fast-import", stdout)),
    }
}

struct Stream(Vec<u8>);

impl Stream {
    /// With `done` demanded, a stream that is cut moves no ref.
    fn begin() -> Self {
        Self(b"feature done\n".to_vec())
    }

    fn line(&mut self, line: &str) {
        self.0.extend_from_slice(line.as_bytes());
        self.0.push(b'\n');
    }

    fn data(&mut self, bytes: &[u8]) {
        self.line(&format!("data {}", bytes.len()));
        self.0.extend_from_slice(bytes);
        self.0.push(b'\n');
    }

    fn file(&mut self, file: &FileChange) {
        match file {
            FileChange::Write(path, manifest) => {
                self.line(&format!("M 100644 inline {}", quoted(path)));
                self.data(manifest.bytes());
            }
            FileChange::Point(path, oid) => self.line(&format!("M 100644 {oid} {}", quoted(path))),
            FileChange::Remove(path) => self.line(&format!("D {}", quoted(path))),
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.line("done");
        self.0
    }
}

/// A [`RepoPath`] holds neither backslashes nor control characters, so only quotes matter.
fn quoted(path: &RepoPath) -> String {
    if path.as_str().contains('"') { format!("\"{}\"", path.as_str().replace('"', "\\\"")) } else { path.to_string() }
}
