//! The values that cross from the watch plane to git, and the request that goes back.

use crate::attribution::Verdict;
use crate::resource::{BaseFolder, NamespaceSet, NamespacedName, Operations, RepoPath, ResourceId, ResourceType};
use crate::sanitize::Manifest;
use std::sync::Arc;

/// One upsert or delete of one file for one target, with the evidence of who did it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The target whose folder holds the file.
    pub target: NamespacedName,
    /// The object.
    pub id: ResourceId,
    /// Its file, from the root of the repository.
    pub path: RepoPath,
    /// What the file is to become.
    pub content: Content,
    /// Whether the object became so just now. Otherwise it is only told again, which is no reason to write over what
    /// others edited meanwhile.
    pub is_news: bool,
    /// Which of creating, changing and removing a file the target's rules want for this object.
    pub operations: Operations,
    /// The version of the object that the change led to.
    pub version: ObjectVersion,
    /// Who did it, as far as that is proven.
    pub verdict: Verdict,
}

/// What a file is to become.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Upsert(Manifest),
    /// Nothing: the file goes with its object.
    Delete,
    /// Nothing: the object lives on, but no rule selects it any more.
    Deselect,
    /// Bytes that were dropped to stay within the mailbox's budget; a [`Resync`] brings them back.
    Dropped,
}

/// Which version of which incarnation of an object a change led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectVersion {
    /// `metadata.uid`.
    pub uid: Arc<str>,
    /// `metadata.resourceVersion`.
    pub resource_version: Arc<str>,
}

/// The objects of one type, in some or all namespaces, that one complete list covers for one target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeedScope {
    /// The target.
    pub target: NamespacedName,
    /// Its folder.
    pub folder: BaseFolder,
    /// The type.
    pub kind: Arc<ResourceType>,
    /// The namespaces that the list covers.
    pub namespaces: NamespaceSet,
}

/// One object of an initial list.
#[derive(Clone, Debug)]
pub struct SeedItem {
    /// Its file.
    pub path: RepoPath,
    /// What the file must hold.
    pub manifest: Manifest,
    /// Which of creating and changing a file the rules want for it.
    pub operations: Operations,
}

/// "Give me these objects, or all that the target wants, again": the one way to get content back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resync {
    /// Objects of which a content was lost, by their identity.
    Objects {
        /// The target that needs them.
        target: NamespacedName,
        /// The objects.
        ids: Vec<ResourceId>,
    },
    /// Everything that the target's rules select.
    Target(NamespacedName),
}

/// Something about an object that a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The target that would hold the object.
    pub target: NamespacedName,
    /// The object.
    pub object: ResourceId,
    /// What is wrong with it, as the end of a sentence.
    pub problem: String,
}
