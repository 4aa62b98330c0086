//! Credentials in Secrets: what is read of one, and how they are watched.

pub mod parse;
pub mod watch;

pub use parse::{InvalidSecret, credentials};
pub use watch::{SecretState, SecretWatches};
