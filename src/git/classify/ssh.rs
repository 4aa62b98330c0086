//! What goes wrong over SSH. Git itself says little; what ssh and the servers say comes through on stderr.

use super::Class;

/// Why a connection over SSH was of no use, where that can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody has said which key the server has.
    HostUnknown,
    /// The server shows another key than the known one.
    HostChanged,
    /// The server does not let our key in.
    KeyRefused,
    /// The key may read, but not write.
    ReadOnly,
    /// The server knows the key, but has no such repository for it.
    NotFound,
    /// There is no ssh.
    NoClient,
    /// The connection did not come about, or broke.
    Network,
    /// The server ended the connection without a word: usually a key without permission.
    Silent,
}

/// In the order in which they are looked for: what says most comes first.
const PATTERNS: &[(&str, Cause)] = &[
    ("cannot run ssh", Cause::NoClient),
    ("ssh: not found", Cause::NoClient),
    ("ssh: command not found", Cause::NoClient),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Cause::HostChanged),
    ("REVOKED HOST KEY DETECTED", Cause::HostChanged),
    ("Host key verification failed", Cause::HostUnknown),
    ("Permission denied (", Cause::KeyRefused),
    ("Too many authentication failures", Cause::KeyRefused),
    // The words of GitHub, GitLab, Gitea and Bitbucket, in this order.
    ("has been marked as read only", Cause::ReadOnly),
    ("This deploy key does not have write access", Cause::ReadOnly),
    ("Deploy Key: ", Cause::ReadOnly),
    ("access key is read-only", Cause::ReadOnly),
    ("ERROR: Permission to ", Cause::ReadOnly),
    ("ERROR: Repository not found", Cause::NotFound),
    ("The project you were looking for could not be found", Cause::NotFound),
    ("does not appear to be a git repository", Cause::NotFound),
    ("No route to host", Cause::Network),
    ("Network is unreachable", Cause::Network),
    ("Connection closed by ", Cause::Network),
    ("Connection reset by ", Cause::Network),
    ("Connection refused", Cause::Network),
    ("Connection timed out", Cause::Network),
    ("Broken pipe", Cause::Network),
    ("kex_exchange_identification", Cause::Network),
    ("banner exchange", Cause::Network),
    ("not responding", Cause::Network),
    ("Could not resolve hostname", Cause::Network),
];

/// What git says whenever the far end of an SSH connection ends before it has said anything.
const SILENT: &str = "Could not read from remote repository";

impl Cause {
    /// The cause that a diagnosis tells of; `None` if it is not of an SSH connection.
    pub(super) fn of(diagnosis: &str) -> Option<Self> {
        let is_ssh = diagnosis.contains(SILENT) || diagnosis.contains("cannot run ssh");
        let cause = PATTERNS.iter().find(|(pattern, _)| diagnosis.contains(pattern)).map(|(_, cause)| *cause);
        is_ssh.then(|| cause.unwrap_or(Self::Silent))
    }

    pub(super) const fn class(self) -> Class {
        match self {
            Self::HostUnknown | Self::HostChanged | Self::NoClient => Class::Config,
            Self::KeyRefused | Self::ReadOnly | Self::Silent => Class::Auth,
            Self::NotFound => Class::NotFound,
            Self::Network => Class::Transient,
        }
    }

    pub(super) const fn advice(self) -> &'static str {
        match self {
            Self::HostUnknown => {
                "The SSH key of the server is not known, so nothing was sent; compare the key that ssh-keyscan prints with what the host publishes, and add its line under the key known_hosts to the Secret of the GitProvider, or to the file of --known-hosts"
            }
            Self::HostChanged => {
                "The server shows another SSH key than the known one, so nothing was sent: somebody may stand in between; if the host has announced a new key, put its line under the key known_hosts into the Secret of the GitProvider"
            }
            Self::KeyRefused => {
                "The server does not let the SSH key in; add its public half to the repository as a deploy key that may write, and check the user name in spec.url (most hosts want git@)"
            }
            Self::ReadOnly => {
                "The SSH key may read but not write; give it write access, for example by adding it again as a deploy key that may write"
            }
            Self::NotFound => {
                "The remote has no such repository, or hides it from this SSH key; check spec.url of the GitProvider, and that the key belongs to that repository"
            }
            Self::NoClient => "There is no ssh on the PATH of the operator; install openssh-client, or use its image",
            Self::Network => Class::Transient.advice(),
            Self::Silent => {
                "The server ended the SSH connection without a reason; check that the key may write to the repository, and spec.url of the GitProvider"
            }
        }
    }
}
