//! Why credentials cannot be handed to git.

use crate::git::classify::Class;
use std::io;
use std::net::IpAddr;

/// Why a command that needs the remote was not run.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The files for git cannot be written.
    #[error("the directory for credentials cannot be written ({0}); it needs room and must be private to the operator")]
    Files(#[from] io::Error),
    /// The name of a host leads to where a tenant must not send the operator.
    #[error(
        "{host} leads to {address}, a loopback, link-local or cloud metadata address; start the operator with \
         --allow-insecure-transports to permit it"
    )]
    LocalAddress {
        /// The host.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// The name of a host leads nowhere.
    #[error("Could not resolve host: {host} ({problem})")]
    Unresolved {
        /// The host.
        host: String,
        /// Why.
        problem: String,
    },
    /// A request to the API of GitHub failed on its way.
    #[error("no token from {host}: {problem}")]
    Unreachable {
        /// The host.
        host: String,
        /// What failed.
        problem: String,
    },
    /// The API of GitHub answered with something else than a token.
    #[error("no token from {host}: it answered {status}; {advice}")]
    NoToken {
        /// The host.
        host: String,
        /// The status of the answer.
        status: u16,
        /// What to check.
        advice: &'static str,
    },
}

impl AccessError {
    /// The class decides how it is retried.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Files(_) => Class::Disk,
            Self::LocalAddress { .. } => Class::Config,
            Self::Unresolved { .. } | Self::Unreachable { .. } => Class::Transient,
            Self::NoToken { status, .. } => match status {
                401 | 403 | 404 | 422 => Class::Auth,
                300..=399 | 200..=299 => Class::Config,
                _ => Class::Transient,
            },
        }
    }
}
