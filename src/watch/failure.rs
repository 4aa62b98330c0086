//! Why a list or a watch does not work at the moment.

use super::report::FailureReason;

/// A failure of one list or watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// What kind of failure.
    pub(super) reason: FailureReason,
    /// A sentence without an end.
    pub(super) message: String,
}

impl Failure {
    /// What `error`, the answer to a request, amounts to.
    pub(super) fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else {
            return Self::failed(format!("the API server cannot be asked: {error}"));
        };
        Self::refused(status.code, &status.message)
    }

    /// The API server answered with the HTTP status `code`.
    pub(super) fn refused(code: u16, message: &str) -> Self {
        match code {
            401 | 403 => {
                let message = format!("grant list and watch in the operator's ClusterRole: {message}");
                Self { reason: FailureReason::Forbidden, message }
            }
            404 | 405 => {
                let message = format!("the API server does not serve it at the moment: {message}");
                Self { reason: FailureReason::NotServed, message }
            }
            _ => Self::failed(format!("the API server answers with an error ({code}): {message}")),
        }
    }

    /// Something else went wrong.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { reason: FailureReason::WatchFailed, message: message.into() }
    }
}

/// Whether `error` says that the resourceVersion is too old to go on from.
pub(super) fn is_expired(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}
