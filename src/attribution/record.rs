//! What one admission request tells.

use crate::resource::{Fingerprint, Operation};
use std::sync::Arc;

/// Who sent a request, as the API server authenticated (or impersonated) them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `userInfo.username`, as it came: not fit for a header or a trailer before it is cleaned.
    pub name: String,
}

/// One admission request that may change an object.
///
/// Proof of nothing: the request may have been refused, or retried, after it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `metadata.uid` of the object, for a CREATE the final one; for [`Request::Evict`] that of [`pod_key`].
    pub uid: Arc<str>,
    /// What was asked for.
    pub request: Request,
    /// Who asked.
    pub user: User,
    /// `options.fieldManager`.
    pub field_manager: Option<String>,
    /// `request.uid`: the identity of the call, new for each retry inside the API server.
    pub request_uid: String,
    /// When the request was admitted.
    pub at: jiff::Timestamp,
}

/// What a request asks to become of its object. `base` is the `metadata.resourceVersion` that it started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// That there be this object.
    Create(Asked),
    /// That it become this, whether by the object itself or a subresource that takes all of it, such as `/status`.
    Update {
        /// The version before.
        base: Arc<str>,
        /// The whole object.
        asked: Asked,
    },
    /// So many replicas and nothing else, by the subresource `/scale`.
    Scale {
        /// The version before.
        base: Arc<str>,
        /// `spec.replicas`.
        replicas: u64,
    },
    /// Its end.
    Delete {
        /// The version before.
        base: Arc<str>,
        /// What is to become of its dependants.
        propagation: Propagation,
    },
    /// The end of a Pod, by its name: the request knows neither uid nor version.
    Evict,
}

impl Request {
    /// The operation that it amounts to.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Create(_) => Operation::Create,
            Self::Update { .. } | Self::Scale { .. } => Operation::Update,
            Self::Delete { .. } | Self::Evict => Operation::Delete,
        }
    }

    /// The version that it started from; `None` for what knows none.
    #[must_use]
    pub const fn base(&self) -> Option<&Arc<str>> {
        match self {
            Self::Create(_) | Self::Evict => None,
            Self::Update { base, .. } | Self::Scale { base, .. } | Self::Delete { base, .. } => Some(base),
        }
    }

    /// The object that it wants.
    pub(super) const fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Create(asked) | Self::Update { asked, .. } => Some(asked),
            Self::Scale { .. } | Self::Delete { .. } | Self::Evict => None,
        }
    }
}

/// An object as a request wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The version of its API, such as `v1`, in which the request shows it.
    pub api_version: Arc<str>,
    /// All of it.
    pub content: Fingerprint,
}

/// What a deletion says of the dependants of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Propagation {
    /// They go afterwards.
    Background,
    /// They go first; a finalizer waits for them.
    Foreground,
    /// They stay; a finalizer waits until they are on their own.
    Orphan,
    /// The type decides, and the finalizers that are there already.
    Default,
}

impl Propagation {
    /// Whether a deletion that asked for this leaves an object as one whose finalizers show `seen`.
    pub(super) fn fits(self, seen: Self) -> bool {
        self == Self::Default || self == seen
    }
}

/// Under which key an eviction is kept, which names its Pod only.
#[must_use]
pub fn pod_key(namespace: &str, name: &str) -> Arc<str> {
    // No uid has a slash.
    Arc::from(format!("pods/{namespace}/{name}"))
}

impl Record {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let base = self.request.base().map_or(0, |base| base.len());
        let asked = self.request.asked().map_or(0, |asked| asked.api_version.len());
        let manager = self.field_manager.as_ref().map_or(0, String::len);
        let text = self.uid.len() + base + asked + manager + self.user.name.len() + self.request_uid.len();
        text + size_of::<Self>()
    }
}
