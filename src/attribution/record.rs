//! What one admission request tells.

use crate::resource::{ContentHash, Operation};
use std::sync::Arc;

/// Who sent a request, as the API server authenticated (or impersonated) them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `userInfo.username`, as it came: not fit for a header or a trailer before it is cleaned.
    pub name: String,
}

/// One admission request for an object itself, not for a subresource of it.
///
/// Proof of nothing: the request may have been refused, or retried, after it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `metadata.uid` of the object; for a CREATE the final one.
    pub uid: Arc<str>,
    /// What was asked for.
    pub operation: Operation,
    /// `metadata.resourceVersion` that the request started from; `None` for CREATE.
    pub old_resource_version: Option<Arc<str>>,
    /// Fingerprint of the whole object that was asked for; `None` for DELETE, which carries none.
    pub content: Option<ContentHash>,
    /// Who asked.
    pub user: User,
    /// `options.fieldManager`.
    pub field_manager: Option<String>,
    /// `request.uid`: the identity of the call, new for each retry inside the API server.
    pub request_uid: String,
    /// When the request was admitted.
    pub at: jiff::Timestamp,
}
