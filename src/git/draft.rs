//! What is decided and not committed yet: changes with their evidence, before a message is written for them.

use super::commit::FileChange;
use crate::attribution::Verdict;
use crate::change::{ObjectVersion, SeedScope};
use crate::resource::{NamespacedName, Oid, Operation, RepoPath, ResourceId};
use crate::sanitize::Manifest;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A commit without its message.
#[derive(Clone, Debug)]
pub enum Draft {
    /// Changes of one author to files of one target, each file at most once; never empty.
    Changes(NamespacedName, Vec<Edit>),
    /// What a complete list writes and removes.
    List(Arc<SeedScope>, Vec<FileChange>),
}

impl Draft {
    /// The target that it is made for.
    #[must_use]
    pub fn target(&self) -> &NamespacedName {
        match self {
            Self::Changes(target, _) => target,
            Self::List(scope, _) => &scope.target,
        }
    }

    /// How many files it changes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Changes(_, edits) => edits.len(),
            Self::List(_, files) => files.len(),
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes of content it carries; the content of lists is stored already.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Changes(_, edits) => edits.iter().map(Edit::bytes).sum(),
            Self::List(..) => 0,
        }
    }

    /// The files that get content.
    pub fn writes(&self) -> impl Iterator<Item = &RepoPath> {
        let (edits, files) = match self {
            Self::Changes(_, edits) => (edits.as_slice(), [].as_slice()),
            Self::List(_, files) => ([].as_slice(), files.as_slice()),
        };
        let edits = edits.iter().filter(|edit| edit.content.is_some()).map(|edit| &edit.path);
        let files = files.iter().filter(|file| !matches!(file, FileChange::Remove(_))).map(FileChange::path);
        edits.chain(files)
    }
}

/// A change of one file.
#[derive(Clone, Debug)]
pub struct Edit {
    /// The file.
    pub path: RepoPath,
    /// What it is to hold; `None`: it goes.
    pub content: Option<Manifest>,
    /// The blob that it holds before.
    pub before: Option<Oid>,
    /// The blob that it holds afterwards.
    pub after: Option<Oid>,
    /// The blob of somebody else that is overwritten, although it may say the same in other words.
    pub doubt: Option<Oid>,
    /// The object.
    pub id: ResourceId,
    /// The version of the object that this leads to.
    pub version: ObjectVersion,
    /// Who did it, as far as that is proven.
    pub verdict: Verdict,
    /// Users of whom one did it, where no single one is proven; those of versions that this one replaced included.
    pub candidates: BTreeSet<String>,
    /// When it was seen, in seconds since 1970.
    pub seconds: i64,
}

impl Edit {
    /// What happened, as the branch sees it.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match (self.before, self.after) {
            (None, _) => Operation::Create,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        }
    }

    /// Whether the file is as it was.
    #[must_use]
    pub fn is_void(&self) -> bool {
        self.before == self.after
    }

    /// How many bytes of content it carries.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.content.as_ref().map_or(0, Manifest::len)
    }

    /// Lets a `later` version of the same file take the place of this one.
    pub fn replace(&mut self, mut later: Self) {
        later.before = self.before;
        later.doubt = later.content.as_ref().and(self.doubt);
        later.candidates.append(&mut self.candidates);
        *self = later;
    }

    /// The change as git is told of it.
    #[must_use]
    pub fn file(&self) -> FileChange {
        match &self.content {
            Some(manifest) => FileChange::Write(self.path.clone(), manifest.clone()),
            None => FileChange::Remove(self.path.clone()),
        }
    }
}
