//! The validating admission webhook: it always allows, and remembers who asked for what.
//!
//! It does no I/O but its own connections, and nothing that it is told causes anything: a request only
//! becomes a [`Record`](crate::attribution::Record), which may later name the author of a change that a
//! watch proves. Whatever goes wrong here, the API server goes on without an answer.

pub mod admission;
pub mod certificates;
pub mod configuration;
mod connection;
pub mod mounted;
pub mod server;
#[cfg(test)]
mod server_tests;
mod subresource;
pub mod tls;

pub use admission::{Decoded, MalformedReview, decode};
pub use certificates::{Certificate, CertificateError, Serving, certificate, issue};
pub use configuration::{Endpoint, Registration};
pub use mounted::Mounted;
pub use server::{Desk, Limits, serve};
pub use tls::{LiveCertificate, TlsError, server_config};
