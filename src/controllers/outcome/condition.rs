//! What conditions say, and what follows from `Ready` for those who wait for it.

use crate::rules::VALIDATING;

/// What one condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// One sentence: what is, and what to do.
    pub message: String,
}

impl Said {
    pub(super) fn yes(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "True", reason, message: message.into() }
    }

    pub(super) fn no(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "False", reason, message: message.into() }
    }

    pub(super) fn unknown(reason: &'static str, message: impl Into<String>) -> Self {
        Self { status: "Unknown", reason, message: message.into() }
    }

    /// `Ready` while it is not known yet.
    pub(super) fn wait(message: impl Into<String>) -> Self {
        Self::unknown(VALIDATING, message)
    }
}

/// `Ready` says that the resource is in effect.
pub const READY: &str = "Ready";
/// There while a resource is not ready and may become so without anybody changing it.
pub const RECONCILING: &str = "Reconciling";
/// There while a resource is not ready and somebody has to do something about it.
pub const STALLED: &str = "Stalled";

/// What goes away without anybody touching the resource: because it is tried again, or because something else that it
/// needs appears or is put right.
const MAY_PASS: [&str; 9] = [
    "NetworkError",
    "GitOperationFailed",
    "SecretNotFound",
    "ProviderNotFound",
    "ProviderNotReady",
    "SinkNotFound",
    "SinkNotReady",
    "ResourcesUnavailable",
    // A definition may be installed a moment later.
    "NoMatchingResources",
];

/// The condition that stands beside `ready` while it is not `True`, as tools that follow kstatus expect it: they take
/// [`RECONCILING`] for work in progress and [`STALLED`] for a failure.
pub(super) fn abnormal(ready: &Said, needs_somebody: bool) -> Option<(&'static str, Said)> {
    let kind = match ready.status {
        "True" => return None,
        "False" if needs_somebody || !MAY_PASS.contains(&ready.reason) => STALLED,
        _ => RECONCILING,
    };
    Some((kind, Said { status: "True", ..ready.clone() }))
}
