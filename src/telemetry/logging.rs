//! Structured logs: text on a terminal, JSON otherwise.

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// Silences what the Kubernetes client logs by itself.
const CLIENT: &str = "kube_client::client::builder=off";

/// A log filter that is not understood, or logs that were set up before.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter.
    #[error(
        "the log filter {filter:?} is not understood; write a level such as `info`, or `info,gitops_reverser::git=debug`"
    )]
    Filter {
        /// What was given.
        filter: String,
    },
    /// The process has a log already.
    #[error("logging cannot be set up: {0}")]
    Init(#[from] TryInitError),
}

/// Sets up logging to standard error, for the whole process. `filter` is a level, or levels by module.
///
/// # Errors
/// When the filter is not understood, or logging was set up before.
pub fn init(filter: &str) -> Result<(), LoggingError> {
    let parsed = EnvFilter::try_new(filter).map_err(|_| LoggingError::Filter { filter: filter.to_owned() })?;
    // The client logs every failed request as an error; whoever made it says so with what it means.
    let parsed = match CLIENT.parse() {
        Ok(directive) => parsed.add_directive(directive),
        Err(_) => parsed,
    };
    // A `target` in our lines is a GitTarget, never a module of the program.
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_target(false).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.finish().try_init()?;
    } else {
        builder.json().flatten_event(true).finish().try_init()?;
    }
    Ok(())
}
