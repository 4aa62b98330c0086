//! Identities: what an object, a file, a repository and a branch are called.
//!
//! Everything here is a validated newtype, so that a path, a branch, a URL and an object id cannot be
//! mixed up, and so that nothing unchecked reaches a git command line or a tree.

pub mod branch;
pub mod glob;
pub mod hash;
pub mod hex;
pub mod hosts;
pub mod id;
pub mod layout;
pub mod namespaces;
pub mod oid;
pub mod operation;
pub mod path;
pub mod target;
pub mod url;

pub use branch::{BranchName, BranchPattern};
pub use hash::{ContentHash, Fingerprint};
pub use hex::hex;
pub use hosts::{HostPattern, HostPolicy};
pub use id::{ObjectName, ResourceId, ResourceType};
pub use namespaces::NamespaceSet;
pub use oid::Oid;
pub use operation::{Operation, Operations};
pub use path::{BaseFolder, RepoPath};
pub use target::{BranchKey, NamespacedName, ProviderKey, ProviderKind};
pub use url::RepoUrl;
