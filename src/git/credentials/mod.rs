//! Credentials, and how they get to git without being shown: never in argv, in a URL or on a disk.

mod access;
mod address;
mod error;
mod github_app;
mod hidden;
mod kinds;
mod known_hosts;
mod private_key;
mod redaction;
mod request;
mod ssh;

pub use access::Access;
pub use error::AccessError;
pub use github_app::{AppKeyError, GithubApp};
pub use hidden::Hidden;
pub use kinds::{Authentication, BasicAuth, ClientCertificate, Credentials, SshKey, Tls};
pub use private_key::{BadKey, OpenKey};
