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
    /// Nobody has said which key an SSH server has. It was not connected to.
    #[error("no SSH key of the server {0} is known")]
    UnknownHost(String),
    /// The operator's list of SSH servers cannot be read.
    #[error("the file of --known-hosts, {path}, cannot be read ({source}); mount it, or start the operator without it")]
    KnownHosts {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
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
            Self::LocalAddress { .. } | Self::UnknownHost(_) | Self::KnownHosts { .. } => Class::Config,
            Self::Unresolved { .. } | Self::Unreachable { .. } => Class::Transient,
            Self::NoToken { status, .. } => match status {
                401 | 403 | 404 | 422 => Class::Auth,
                200..=399 => Class::Config,
                _ => Class::Transient,
            },
        }
    }
}
